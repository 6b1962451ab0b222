//! Transactions made and signed before any clock starts.

use std::fmt::Write as _;

use cairn_ledger::{
    ids::{OutputReference, TransactionId},
    signature::SigningKey,
    transaction::{
        build::{Share, Spend, create, transfer},
        parse,
    },
};

/// One signed transaction.
pub(crate) struct Signed {
    /// Its name, in hexadecimal.
    pub(crate) id: String,
    /// Its JSON.
    pub(crate) bytes: Vec<u8>,
}

/// Outputs of each of the transactions that only fill the ledger.
const OUTPUTS_EACH: usize = 200;

/// That many CREATEs with a payload of that many bytes.
pub(crate) fn sign(count: usize, payload: usize) -> Vec<Signed> {
    let run = std::process::id();
    on_all_cores(count, |index| one(&format!("{run}-{index}"), index, payload))
}

/// CREATEs that leave at least so many outputs which nobody spends.
pub(crate) fn fill(outputs: usize) -> Vec<Signed> {
    let run = std::process::id();
    on_all_cores(outputs.div_ceil(OUTPUTS_EACH), |index| {
        let key = key(index);
        let data = format!("{{\"run\":\"{run}-fill-{index}\"}}");
        let shares = vec![Share::to(key.public(), 1); OUTPUTS_EACH];
        signed(create(&data, "null", &shares, &key).expect("the data is an object")).0
    })
}

/// Assets that move on and on, from one key to the next.
pub(crate) struct Chains {
    /// What makes them.
    pub(crate) created: Vec<Signed>,
    /// Their moves, round by round: each spends what the round before made.
    pub(crate) rounds: Vec<Vec<Signed>>,
}

/// That many assets, moved so often; each TRANSFER of about so many bytes.
pub(crate) fn chains(count: usize, moves: usize, bytes: usize) -> Chains {
    let run = std::process::id();
    let chains = on_all_cores(count, |index| {
        let (made, asset) = issue(&format!("{run}-chain-{index}"), index, 64);
        let (mut last, mut moved) = (asset, Vec::with_capacity(moves));
        for round in 0..moves {
            let (one, id) = move_on(asset, last, index + round, bytes);
            moved.push(one);
            last = id;
        }
        (made, moved)
    });
    let mut rounds: Vec<Vec<Signed>> = (0..moves).map(|_| Vec::with_capacity(count)).collect();
    let mut created = Vec::with_capacity(count);
    for (made, moved) in chains {
        created.push(made);
        for (round, one) in rounds.iter_mut().zip(moved) {
            round.push(one);
        }
    }
    Chains { created, rounds }
}

/// Makes so many things, on all cores.
fn on_all_cores<T: Send>(count: usize, make: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let make = &make;
        let workers: Vec<_> = (0..cores)
            .map(|core| scope.spawn(move || (core..count).step_by(cores).map(make).collect()))
            .collect();
        let made = workers.into_iter().map(|worker| worker.join().expect("signing does not panic"));
        made.collect::<Vec<Vec<T>>>().into_iter().flatten().collect()
    })
}

/// One of a thousand keys.
fn key(index: usize) -> SigningKey {
    let mut seed = [3; 32];
    seed[..8].copy_from_slice(&(index as u64 % 1000).to_be_bytes());
    SigningKey::from_seed(seed)
}

fn signed(bytes: Vec<u8>) -> (Signed, TransactionId) {
    let parsed = parse(bytes.clone().into(), cairn_ledger::json::Strictness::Strict)
        .expect("what was built by the rules parses by the rules");
    let id = *parsed.id();
    (Signed { id: id.to_string(), bytes }, id)
}

fn one(name: &str, index: usize, payload: usize) -> Signed {
    issue(name, index, payload).0
}

fn issue(name: &str, index: usize, payload: usize) -> (Signed, TransactionId) {
    let key = key(index);
    let head = format!("{{\"run\":\"{name}\",\"payload\":\"");
    let filler = noise(index as u64, payload.saturating_sub(head.len() + 2));
    let data = format!("{head}{filler}\"}}");
    signed(
        create(&data, "null", &[Share::to(key.public(), 1)], &key).expect("the data is an object"),
    )
}

/// Bytes of a TRANSFER of one output without metadata, about.
const TRANSFER_BYTES: usize = 720;

/// The transfer of a whole asset from the key of a number to that of the next.
fn move_on(
    asset: TransactionId,
    last: TransactionId,
    number: usize,
    bytes: usize,
) -> (Signed, TransactionId) {
    let (from, to) = (key(number), key(number + 1));
    let spend = Spend::of(from.public(), OutputReference { transaction: last, index: 0 });
    let note = noise(number as u64, bytes.saturating_sub(TRANSFER_BYTES));
    let metadata = format!("{{\"note\":\"{note}\"}}");
    let shares = [Share::to(to.public(), 1)];
    signed(
        transfer(asset, &metadata, &[spend], &shares, &[&from]).expect("the keys are the owners'"),
    )
}

/// So many hexadecimal digits without a pattern: what compresses blocks halves them, not more.
fn noise(seed: u64, digits: usize) -> String {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut noise = String::with_capacity(digits + 16);
    while noise.len() < digits {
        // Marsaglia's xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let _ = write!(noise, "{state:016x}");
    }
    noise.truncate(digits);
    noise
}

/// A request with these transactions.
pub(crate) fn array(transactions: &[Signed]) -> Vec<u8> {
    let mut body = vec![b'['];
    for (index, signed) in transactions.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&signed.bytes);
    }
    body.push(b']');
    body
}
