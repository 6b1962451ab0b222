use proptest::prelude::*;

use super::*;
use crate::{
    genesis::{Genesis, tests::founders},
    refusal::Refusal,
    signature::SigningKey,
    state::Changes,
    vote::tests::certify,
};

/// A decided block over those transactions, whatever they are, by a quorum of `founders`.
pub(crate) fn decided(
    genesis: &Genesis,
    keys: &[SigningKey],
    body: Body,
    outcomes: Vec<Outcome>,
) -> Block {
    let tip = Tip::genesis(genesis.chain());
    let pairs = body.iter().map(|bytes| &**bytes).zip(&outcomes);
    let header = Header {
        chain: tip.chain,
        height: Height(1),
        parent: tip.block,
        time_ms: 1_700_000_000_000,
        proposer: 2,
        order_from: tip.order,
        order_to: Position(3),
        transactions: body.len() as u32,
        committed: count_committed(&outcomes),
        outcomes_root: merkle::root(&leaves(pairs)),
        state_root: tip.state_root,
    };
    let signers: Vec<u16> = (0..keys.len() as u16 * 2 / 3 + 1).collect();
    let certificate = certify(genesis, keys, &signers, header.height, header.id());
    Block { header, body, outcomes, certificate }
}

fn refused(text: &str) -> Outcome {
    Outcome::Refused(Recorded { number: 7, text: text.to_owned() })
}

fn body(transactions: &[&[u8]]) -> Body {
    transactions.iter().map(|bytes| Arc::from(*bytes)).collect()
}

fn three() -> (Genesis, Block) {
    let (genesis, keys) = founders(4);
    let outcomes = vec![Outcome::Committed, refused("ValidationError: no"), Outcome::Committed];
    let block = decided(&genesis, &keys, body(&[b"one", b"", b"three"]), outcomes);
    (genesis, block)
}

#[test]
fn a_block_reads_back_as_it_was_written() {
    let (genesis, block) = three();
    let validators = genesis.validators().len();
    let bytes = block.encode(validators);
    assert_eq!(Block::decode(&bytes, validators), Ok(block.clone()));
    let (chain, certificate) = block.encode_apart(validators);
    assert_eq!(Block::join(&chain, &certificate), Ok(bytes.clone()));
    assert_eq!(block.certificate.verify(&genesis), Ok(()));

    let (_, keys) = founders(4);
    let empty = decided(&genesis, &keys, vec![], vec![]);
    assert_eq!(Block::decode(&empty.encode(validators), validators), Ok(empty));
}

/// Whatever happens to a stored or sent block: it reads as what was decided, or not at all.
#[test]
fn any_flipped_bit_and_any_missing_byte_is_noticed() {
    let (genesis, block) = three();
    let validators = genesis.validators().len();
    let bytes = block.encode(validators);
    let is_the_block = |bytes: &[u8]| {
        Block::decode(bytes, validators).is_ok_and(|b| b.certificate.verify(&genesis).is_ok())
    };
    assert!(is_the_block(&bytes));
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bent = bytes.clone();
            bent[at] ^= 1 << bit;
            assert!(!is_the_block(&bent), "bit {bit} of byte {at}");
        }
        assert!(!is_the_block(&bytes[..at]), "cut at {at}");
    }
    assert!(!is_the_block(&[&bytes[..], &[0]].concat()), "a byte more");
}

/// W12 of the threat table: the parts are not those of the header.
#[test]
fn parts_of_other_blocks_are_malformed() {
    let (genesis, block) = three();
    type Bend = fn(&mut Block);
    let bends: [(&str, Bend); 9] = [
        ("another certificate height", |b| b.certificate.height = Height(2)),
        ("another certified block", |b| b.certificate.block = BlockId([1; 32])),
        ("another transaction", |b| b.body[0] = Arc::from(&b"0ne"[..])),
        ("transactions run together", |b| {
            b.body[0] = Arc::from(&b"onet"[..]);
            b.body[2] = Arc::from(&b"hree"[..]);
        }),
        ("another order", |b| b.body.swap(0, 2)),
        ("a refusal of other words", |b| b.outcomes[1] = refused("ValidationError: yes")),
        ("a refusal that is none", |b| b.outcomes[1] = Outcome::Committed),
        ("outcomes in another order", |b| b.outcomes.swap(0, 1)),
        ("a transaction twice", |b| {
            b.body.push(b.body[2].clone());
            b.outcomes.push(b.outcomes[2].clone());
        }),
    ];
    for (what, bend) in bends {
        let mut bent = block.clone();
        bend(&mut bent);
        assert!(Block::decode(&bent.encode(4), 4).is_err(), "{what}");
    }
    assert_eq!(block.header.chain, genesis.chain());
}

/// A header whose own count lies still cannot make the body's last leaf count twice.
#[test]
fn a_header_that_counts_wrongly_is_malformed() {
    for (transactions, committed) in [(2, 2), (4, 2), (3, 1), (3, 3), (u32::MAX, 2)] {
        let (_, mut block) = three();
        block.header.transactions = transactions;
        block.header.committed = committed;
        block.certificate.block = block.header.id();
        assert!(Block::decode(&block.encode(4), 4).is_err(), "{transactions} {committed}");
    }
}

#[test]
fn limits_hold_before_anything_is_taken_in() {
    let (genesis, keys) = founders(4);
    let block_of = |sizes: &[usize], text: usize| {
        let body: Body = sizes.iter().map(|size| Arc::from(vec![b' '; *size])).collect();
        let outcomes = vec![refused(&"x".repeat(text)); body.len()];
        Block::decode(&decided(&genesis, &keys, body, outcomes).encode(4), 4)
    };
    assert!(block_of(&[TRANSACTION_BYTES_MAX], REFUSAL_BYTES_MAX).is_ok());
    assert!(block_of(&[TRANSACTION_BYTES_MAX + 1], 0).is_err());
    assert!(block_of(&[1], REFUSAL_BYTES_MAX + 1).is_err());
    let full = vec![TRANSACTION_BYTES_MAX; BLOCK_BYTES_MAX / TRANSACTION_BYTES_MAX];
    assert!(block_of(&full, 0).is_ok());
    assert!(block_of(&[full.as_slice(), &[1]].concat(), 0).is_err());
    assert!(block_of(&vec![0; BLOCK_TRANSACTIONS_MAX], 0).is_ok());
    assert!(block_of(&vec![0; BLOCK_TRANSACTIONS_MAX + 1], 0).is_err());
}

#[test]
fn a_leaf_differs_whenever_place_bytes_or_outcome_do() {
    let mut seen = std::collections::HashSet::new();
    let outcomes = [
        Outcome::Committed,
        refused(""),
        refused("a"),
        Outcome::Refused(Recorded { number: 8, text: "a".to_owned() }),
    ];
    for index in [0, 1, 256] {
        for bytes in [&b""[..], b"a", b"a\0", b"\0"] {
            for outcome in &outcomes {
                assert!(seen.insert(leaf(index, bytes, outcome)), "{index} {bytes:?} {outcome:?}");
            }
        }
    }
}

fn header() -> (Tip, Header) {
    let (_, block) = three();
    let mut tip = Tip::after(&block.header, Hash([9; 32]));
    tip.order = Position(40);
    let header = Header {
        chain: tip.chain,
        height: Height(2),
        parent: tip.block,
        time_ms: tip.time_ms + 5,
        proposer: 0,
        order_from: tip.order,
        order_to: Position(44),
        transactions: 10,
        committed: 9,
        outcomes_root: Hash([3; 32]),
        state_root: tip.state_root,
    };
    (tip, header)
}

#[test]
fn a_header_follows_from_its_parent_in_every_field_or_not_at_all() {
    let (tip, good) = header();
    let now_ms = good.time_ms;
    assert_eq!(follows(&tip, &good, now_ms), Ok(()));
    type Bend = fn(&mut Header);
    let bends: [(&str, Bend); 12] = [
        ("chain", |h| h.chain.0[0] ^= 1),
        ("height", |h| h.height.0 += 1),
        ("height", |h| h.height.0 -= 1),
        ("height", |h| h.height.0 = u64::MAX),
        ("parent", |h| h.parent.0[31] ^= 1),
        ("order_from", |h| h.order_from.0 += 1),
        ("order_from", |h| h.order_from.0 -= 1),
        ("order_to", |h| h.order_to = h.order_from),
        ("order_to", |h| h.order_to.0 = 1),
        ("state_root", |h| h.state_root.0[7] ^= 1),
        ("transactions", |h| h.transactions = BLOCK_TRANSACTIONS_MAX as u32 + 1),
        ("committed", |h| h.committed = h.transactions + 1),
    ];
    for (what, bend) in bends {
        let mut bent = good.clone();
        bend(&mut bent);
        assert_eq!(follows(&tip, &bent, now_ms), Err(HeaderFault::NotNext(what)), "{bent:?}");
    }
}

/// W13 of the threat table.
#[test]
fn time_goes_forward_and_not_far_ahead() {
    let (tip, good) = header();
    let of = |time_ms, now_ms| {
        let result = follows(&tip, &Header { time_ms, ..good.clone() }, now_ms);
        assert!(matches!(result, Ok(()) | Err(HeaderFault::Time { .. })));
        result.is_ok()
    };
    let parent = tip.time_ms;
    let cases = [
        (parent - 1, parent, false),
        (parent, parent, false),
        (parent + 1, parent, true),
        // A voter whose clock is behind still accepts what is within the drift.
        (parent + 1, parent + 1 - CLOCK_DRIFT_MS_MAX, true),
        (parent + 1, parent - CLOCK_DRIFT_MS_MAX, false),
        (parent + CLOCK_DRIFT_MS_MAX, parent, true),
        (parent + CLOCK_DRIFT_MS_MAX + 1, parent, false),
        (parent + 3_600_000, parent, false),
        (u64::MAX, parent, false),
        // An old block, seen by a node that catches up years later.
        (parent + 1, u64::MAX, true),
    ];
    for (time_ms, now_ms, expected) in cases {
        assert_eq!(of(time_ms, now_ms), expected, "{time_ms} at {now_ms}");
    }
}

fn turned_away(count: u8) -> (Vec<Candidate>, Execution) {
    let refusal = Refusal::Duplicate(TransactionId([1; 32]));
    let candidates = (0..count).map(|i| Candidate::Refused {
        bytes: Arc::from(vec![i]),
        claimed_id: None,
        refusal: refusal.clone(),
    });
    let changes = Changes::none(StateHash::default());
    let outcomes = vec![Outcome::Refused(refusal.record()); usize::from(count)];
    (candidates.collect(), Execution { outcomes, changes })
}

#[test]
fn what_is_sealed_follows_and_matches() {
    let (genesis, _) = founders(4);
    let tip = Tip::genesis(genesis.chain());
    assert_eq!((tip.height, tip.block.0, tip.order.0), (Height(0), tip.chain.0, 0));
    let (candidates, execution) = turned_away(3);
    let first = seal(&tip, Position(1), &candidates, &execution, 1, 1000);
    assert_eq!((first.height.0, first.parent.0, first.time_ms), (1, tip.chain.0, 1000));
    assert_eq!((first.transactions, first.committed), (3, 0));
    assert_eq!(follows(&tip, &first, 1000), Ok(()));
    assert_eq!(matches(&first, &candidates, &execution), Ok(()));

    // A proposer whose clock is behind its parent's still makes a block that follows.
    let tip = Tip::after(&first, Hash([1; 32]));
    let second = seal(&tip, Position(2), &[], &turned_away(0).1, 1, 900);
    assert_eq!((second.time_ms, second.parent), (1001, first.id()));
    assert_eq!(second.state_root, Hash([1; 32]));
    assert_eq!(follows(&tip, &second, 900), Ok(()));
}

#[test]
fn a_header_over_other_transactions_does_not_match() {
    let (genesis, _) = founders(4);
    let tip = Tip::genesis(genesis.chain());
    let (candidates, execution) = turned_away(3);
    let good = seal(&tip, Position(1), &candidates, &execution, 1, 1000);
    let of = |header: &Header| matches(header, &candidates, &execution);
    let fault = |what| Err(HeaderFault::Outcome(what));
    assert_eq!(of(&Header { transactions: 2, ..good.clone() }), fault("transactions"));
    assert_eq!(of(&Header { committed: 1, ..good.clone() }), fault("committed"));
    assert_eq!(
        of(&Header { outcomes_root: Hash([0; 32]), ..good.clone() }),
        fault("outcomes_root")
    );

    let mut other = candidates.clone();
    other.swap(0, 1);
    assert_eq!(matches(&good, &other, &execution), fault("outcomes_root"));
    let mut other = execution.clone();
    other.outcomes[2] = Outcome::Committed;
    assert_eq!(matches(&good, &candidates, &other), fault("committed"));

    let large = Candidate::Refused {
        bytes: Arc::from(vec![0; BLOCK_BYTES_MAX + 1]),
        claimed_id: None,
        refusal: Refusal::Duplicate(TransactionId([1; 32])),
    };
    let too_large = HeaderFault::TooLarge { bytes: BLOCK_BYTES_MAX + 1 };
    assert_eq!(matches(&good, &[large], &turned_away(1).1), Err(too_large));
}

proptest! {
    #[test]
    fn a_header_reads_back(
        hashes in any::<[[u8; 32]; 4]>(),
        numbers in any::<[u64; 4]>(),
        proposer in any::<u16>(),
        counts in any::<[u32; 2]>(),
    ) {
        let header = Header {
            chain: ChainId(hashes[0]),
            height: Height(numbers[0]),
            parent: BlockId(hashes[1]),
            time_ms: numbers[1],
            proposer,
            order_from: Position(numbers[2]),
            order_to: Position(numbers[3]),
            transactions: counts[0],
            committed: counts[1],
            outcomes_root: Hash(hashes[2]),
            state_root: Hash(hashes[3]),
        };
        let bytes = header.encode();
        prop_assert_eq!(bytes.len(), Header::BYTES);
        prop_assert_eq!(Header::decode(&bytes), Ok(header));
        prop_assert!(Header::decode(&bytes[..bytes.len() - 1]).is_err());
        prop_assert!(Header::decode(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn any_bytes_are_read_or_malformed(
        rest in proptest::collection::vec(any::<u8>(), 0..400),
        validators in 0_usize..5,
    ) {
        prop_assert!(Header::decode(&rest).is_err() || rest.starts_with(HEADER_TAG));
        prop_assert!(Block::decode(&rest, validators).is_err());
        prop_assert!(Block::decode(&[&BLOCK_TAG[..], &rest].concat(), validators).is_err());
    }
}

#[test]
fn what_all_validators_have_does_not_depend_on_whose_votes_came_first() {
    let (genesis, block) = three();
    let (_, keys) = founders(4);
    let header = &block.header;
    let other = certify(&genesis, &keys, &[1, 2, 3], header.height, header.id());
    let other = Block { certificate: other, ..block.clone() };
    assert_ne!(block.encode(4), other.encode(4));
    assert_eq!(block.encode_apart(4).0, other.encode_apart(4).0);
    assert!(Block::join(&block.encode(4), &[]).is_err(), "a whole block is not the first part");
}
