//! Transactions made and signed before any clock starts.

use cairn_ledger::{
    signature::SigningKey,
    transaction::{
        build::{Share, create},
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

/// That many CREATEs, each of its own key and with a payload of that many bytes.
pub(crate) fn sign(count: usize, payload: usize) -> Vec<Signed> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let run = std::process::id();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores)
            .map(|core| {
                scope.spawn(move || {
                    (core..count)
                        .step_by(cores)
                        .map(|index| one(run, index, payload))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("signing does not panic"))
            .collect()
    })
}

fn one(run: u32, index: usize, payload: usize) -> Signed {
    let mut seed = [3; 32];
    seed[..8].copy_from_slice(&(index as u64 % 1000).to_be_bytes());
    let key = SigningKey::from_seed(seed);
    let head = format!("{{\"run\":\"{run}-{index}\",\"payload\":\"");
    let filler = "x".repeat(payload.saturating_sub(head.len() + 2));
    let data = format!("{head}{filler}\"}}");
    let bytes =
        create(&data, "null", &[Share::to(key.public(), 1)], &key).expect("the data is an object");
    let parsed = parse(bytes.clone().into(), cairn_ledger::json::Strictness::Strict)
        .expect("what was built by the rules parses by the rules");
    Signed { id: parsed.id().to_string(), bytes }
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
