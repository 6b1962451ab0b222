//! What R1 compares with: how many signatures these cores check when they do nothing else.

use std::time::{Duration, Instant};

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey, verify_batch};

const BATCH: usize = 1024;

/// Signatures a second, all cores together, by `ed25519-dalek`'s `verify_batch(1024)`.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub(crate) fn signatures_per_second() -> f64 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers: Vec<_> = (0..cores)
        .map(|_| {
            std::thread::spawn(|| {
                let (messages, signatures, keys) = batch();
                let messages: Vec<&[u8]> = messages.iter().map(|m| m.as_slice()).collect();
                let start = Instant::now();
                let mut checked = 0;
                while start.elapsed() < Duration::from_secs(1) {
                    verify_batch(&messages, &signatures, &keys).expect("honest signatures hold");
                    checked += BATCH;
                }
                checked as f64 / start.elapsed().as_secs_f64()
            })
        })
        .collect();
    workers.into_iter().map(|worker| worker.join().expect("the yardstick does not panic")).sum()
}

fn batch() -> (Vec<[u8; 32]>, Vec<Signature>, Vec<VerifyingKey>) {
    let mut all = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..BATCH {
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&index.to_be_bytes());
        let key = SigningKey::from_bytes(&seed);
        all.0.push(seed);
        all.1.push(key.sign(&seed));
        all.2.push(key.verifying_key());
    }
    all
}
