//! A ledger that outgrows memory, on servers. A figure, on demand:
//! `cargo test --features tikv --lib -- --ignored --nocapture outputs_by_the_million`.
//!
//! `CAIRN_OUTPUTS` says how many outputs. Blocks are made up: what is in a transaction does not
//! matter to a store, and signing so many takes longer than storing them.

use cairn_ledger::{
    condition::Fingerprint,
    execution::Outcome,
    ids::{Hash, Position},
    rules::OutputRow,
};

use super::{
    cluster::{cluster, space},
    *,
};
use crate::clock::Stopwatch;

const TRANSACTIONS: usize = 4000;
const OUTPUTS: usize = 10;
const OWNERS: u64 = 1000;
/// About what a small transaction has.
const BODY_BYTES: usize = 700;

fn id_of(number: u64) -> TransactionId {
    TransactionId(*blake3::hash(&number.to_be_bytes()).as_bytes())
}

fn owner_of(number: u64) -> PublicKey {
    PublicKey(*blake3::hash(&(number % OWNERS + (1 << 60)).to_be_bytes()).as_bytes())
}

/// The block behind a tip: so many CREATEs, each with its outputs.
fn next(
    federation: &Federation,
    (tip, mut state): (Tip, StateHash),
    first: u64,
) -> (Arc<Block>, Changes) {
    let (mut created, mut committed, root) = (Vec::new(), Vec::new(), state.root());
    for index in 0..TRANSACTIONS as u32 {
        let transaction = id_of(first + u64::from(index));
        committed.push((transaction, index));
        for output in 0..OUTPUTS as u32 {
            let owner = owner_of(first + u64::from(index * 7 + output));
            let condition = Fingerprint::of_key(&owner);
            let owners = Box::new([owner]);
            let row = OutputRow { asset: transaction, amount: 1, condition, owners };
            let at = OutputReference { transaction, index: output };
            state.add(&at, &row);
            created.push((at, row));
        }
    }
    let header = Header {
        chain: tip.chain,
        height: tip.height.next(),
        parent: tip.block,
        time_ms: tip.time_ms + 1000,
        proposer: 0,
        order_from: tip.order,
        order_to: Position(tip.order.0 + 1),
        transactions: TRANSACTIONS as u32,
        committed: TRANSACTIONS as u32,
        outcomes_root: Hash([0; 32]),
        state_root: root,
    };
    let certificate = federation.certify(&header);
    let body = vec![Arc::from([b' '; BODY_BYTES]); TRANSACTIONS];
    let outcomes = vec![Outcome::Committed; TRANSACTIONS];
    let block = Block { header, body, outcomes, certificate };
    (Arc::new(block), Changes { committed, spent: Vec::new(), created, state })
}

fn resident_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

fn print_times(what: &str, times: &[f64]) {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[(part * (times.len() - 1) as f64) as usize] * 1000.0;
    println!("{what}: p50 {:.1} ms, p99 {:.1} ms", at(0.5), at(0.99));
}

#[test]
#[ignore = "measures, asserts nothing; takes minutes and gigabytes"]
fn outputs_by_the_million() {
    let wanted = std::env::var("CAIRN_OUTPUTS").ok().and_then(|text| text.parse::<u64>().ok());
    let blocks = wanted.unwrap_or(10_000_000) / (TRANSACTIONS * OUTPUTS) as u64;
    let (cluster, scratch, federation) = (cluster(), Scratch::new(), Federation::new(1));
    let space = space(&cluster.servers, &federation.genesis);
    let genesis = Arc::clone(&federation.genesis);
    let store = TikvStore::open(space, &scratch.0, genesis, "one").unwrap();
    let (all, mut times, mut most) = (Stopwatch::start(), Vec::new(), 0);
    for at in 0..blocks {
        let (block, changes) = next(&federation, store.tip(), at * TRANSACTIONS as u64);
        let watch = Stopwatch::start();
        while let Err(error) = store.commit(&block, &changes) {
            println!("{error}");
        }
        times.push(watch.seconds());
        most = most.max(resident_mib());
        if at % 10 == 9 || at + 1 == blocks {
            let outputs = store.tip().1.rows();
            println!(
                "{outputs} outputs after {:.0} s: {} MiB resident, at most {most}",
                all.seconds(),
                resident_mib()
            );
        }
    }
    let watch = Stopwatch::start();
    store.stop();
    println!("all rows {:.1} s later, {} MiB resident", watch.seconds(), resident_mib());
    let tenth = times.len().div_ceil(10);
    print_times("commit, first tenth", &times[..tenth]);
    print_times("commit, last tenth", &times[times.len() - tenth..]);
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for at in 0..2000 {
        let there = id_of(at * 7919 % (blocks * TRANSACTIONS as u64));
        for (id, times) in [(there, &mut known), (id_of(u64::MAX - at), &mut unknown)] {
            let output = OutputReference { transaction: id, index: 3 };
            let reads = Reads { transactions: vec![id], outputs: vec![output] };
            let watch = Stopwatch::start();
            let view = store.view(&reads).unwrap();
            times.push(watch.seconds());
            assert_eq!(view.transactions[&id], id == there);
        }
    }
    print_times("view of one that is there", &known);
    print_times("view of one that is not", &unknown);
    let watch = Stopwatch::start();
    let owned = store.outputs_of(&owner_of(1), Spent::No, 1000).unwrap();
    println!("{} outputs of one owner in {:.1} ms", owned.len(), watch.seconds() * 1000.0);
    println!("{} MiB resident, at most {most}", resident_mib());
    let register: u64 = register::files_below(&scratch.0.join("rows"))
        .iter()
        .map(|path| fs::metadata(path).unwrap().len())
        .sum();
    println!("the register: {:.1} MiB on the volume", register as f64 / f64::from(1 << 20));
}
