//! Slices cut, examined and stored, by two validators over stores in memory.

use cairn_ledger::{execution::Outcome, ids::PublicKey};

use super::*;
use crate::{
    order::Batch,
    store::memory::MemoryStore,
    testing::{Federation, Signed, create, key},
};

fn entry(position: u64, transactions: &[&Signed]) -> Ordered {
    let transactions = transactions.iter().map(|one| Arc::clone(&one.bytes)).collect();
    Ordered { position: Position(position), batch: Batch { transactions } }
}

fn executor(federation: &Federation, me: Peer) -> Executor {
    let store = Arc::new(MemoryStore::new(&federation.genesis));
    Executor::new(store, &federation.genesis, me)
}

fn asset(note: &str) -> Signed {
    let owner: PublicKey = key(1).public();
    create(&key(1), note, &[(&[owner], 1)])
}

#[test]
fn what_one_cuts_another_finds_valid_and_both_store_the_same() {
    let federation = Federation::new(4);
    let (one, two) = (asset("one"), asset("two"));
    let entries = [entry(3, &[&one]), entry(5, &[]), entry(7, &[&two, &one])];
    let mut tips = Vec::new();
    let mut cutter = executor(&federation, 0);
    cutter.take(prepare(&entries, |_| None));
    let header = cutter.cut(1000).unwrap().unwrap();
    assert_eq!((header.order_to, header.transactions, header.committed), (Position(7), 3, 2));
    for me in 1..4 {
        let mut examiner = executor(&federation, me);
        examiner.take(prepare(&entries, |_| None));
        assert_eq!(examiner.examine(&header, 1000).unwrap(), Verdict::Valid);
        let Stored { block, tip, .. } =
            examiner.commit(&header, federation.certify(&header)).unwrap();
        assert_eq!(block.body.len(), 3);
        assert!(!examiner.has_work());
        assert_eq!(examiner.end(), Position(7));
        tips.push(tip);
        // One that lags takes the block whole.
        let mut synced = executor(&federation, me);
        assert_eq!(&synced.commit_synced(&block).unwrap().tip, tips.last().unwrap());
    }
    assert!(tips.iter().all(|tip| *tip == tips[0]));
}

#[test]
fn validators_agree_on_votes_and_on_the_one_that_would_conclude() {
    let federation = Federation::new(4);
    let election = federation.election(2, "go on elsewhere");
    let votes = [0, 1, 3].map(|voter| federation.vote(&election, voter, None));
    let entries = [entry(1, &[&election, &votes[0]]), entry(2, &[&votes[1], &votes[2]])];
    let mut cutter = executor(&federation, 0);
    cutter.take(prepare(&entries, |_| None));
    let header = cutter.cut(1000).unwrap().unwrap();
    assert_eq!((header.transactions, header.committed), (4, 3));
    let mut examiner = executor(&federation, 1);
    examiner.take(prepare(&entries, |_| None));
    assert_eq!(examiner.examine(&header, 1000).unwrap(), Verdict::Valid);
    let stored = examiner.commit(&header, federation.certify(&header)).unwrap();
    let Outcome::Refused(why) = &stored.block.outcomes[3] else { panic!("it concludes") };
    assert_eq!(why.code(), "ELECTION_CONCLUSION_UNSUPPORTED");
    let mut synced = executor(&federation, 2);
    assert_eq!(synced.commit_synced(&stored.block).unwrap().tip, stored.tip);
}

#[test]
fn a_lying_log_is_found_out_and_the_body_of_a_peer_is_taken() {
    let federation = Federation::new(4);
    let (one, two) = (asset("one"), asset("two"));
    let mut cutter = executor(&federation, 0);
    cutter.take(prepare(&[entry(1, &[&one])], |_| None));
    let header = cutter.cut(1000).unwrap().unwrap();
    let mut examiner = executor(&federation, 1);
    assert_eq!(examiner.examine(&header, 1000).unwrap(), Verdict::Missing, "no log yet");
    examiner.take(prepare(&[entry(1, &[&two])], |_| None));
    assert_eq!(examiner.examine(&header, 1000).unwrap(), Verdict::Missing, "another log");
    examiner.offer_body(header.id(), vec![Arc::clone(&two.bytes)]);
    assert!(matches!(examiner.examine(&header, 1000).unwrap(), Verdict::Invalid(_)));
    examiner.offer_body(header.id(), cutter.body_of(&header.id()).unwrap().unwrap());
    assert_eq!(examiner.examine(&header, 1000).unwrap(), Verdict::Valid);
}

#[test]
fn headers_that_do_not_follow_are_not_voted_for() {
    let federation = Federation::new(4);
    let one = asset("one");
    let mut cutter = executor(&federation, 0);
    cutter.take(prepare(&[entry(1, &[&one])], |_| None));
    let header = cutter.cut(1000).unwrap().unwrap();
    let wrong = [
        Header { state_root: cairn_ledger::ids::Hash([1; 32]), ..header.clone() },
        Header { height: Height(2), ..header.clone() },
        Header { time_ms: 1_000_000, ..header.clone() },
    ];
    for wrong in wrong {
        assert!(matches!(cutter.examine(&wrong, 1000).unwrap(), Verdict::Invalid(_)), "{wrong:?}");
    }
    let wrong = Header { outcomes_root: cairn_ledger::ids::Hash([1; 32]), ..header };
    assert_eq!(cutter.examine(&wrong, 1000).unwrap(), Verdict::Missing);
}

#[test]
fn nothing_to_cut_without_a_transaction() {
    let federation = Federation::new(4);
    let mut cutter = executor(&federation, 0);
    assert_eq!(cutter.cut(1).unwrap(), None);
    cutter.take(prepare(&[entry(4, &[])], |_| None));
    assert_eq!(cutter.cut(1).unwrap(), None);
    assert_eq!(cutter.end(), Position(4));
}
