//! What R1 compares with: how many signatures these cores check when they do nothing else.

use std::{sync::OnceLock, time::Duration};

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey, verify_batch};

use crate::clock::now;

const BATCH: usize = 1024;

/// How long it is measured.
const WINDOW: Duration = Duration::from_millis(600);

/// Signatures a second, all cores together, by `ed25519-dalek`'s `verify_batch(1024)`.
pub(crate) fn signatures_per_second() -> f64 {
    let (messages, signatures, keys) = batch();
    let messages: Vec<&[u8]> = messages.iter().map(|message| message.as_slice()).collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let check = || {
        let start = now();
        let mut checked = 0;
        while start.elapsed() < WINDOW {
            verify_batch(&messages, signatures, keys).expect("honest signatures hold");
            checked += BATCH;
        }
        checked as f64 / start.elapsed().as_secs_f64()
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(check)).collect();
        workers.into_iter().map(|worker| worker.join().expect("checking does not panic")).sum()
    })
}

type Batch = (Vec<[u8; 32]>, Vec<Signature>, Vec<VerifyingKey>);

fn batch() -> &'static Batch {
    static BATCH_OF_ALL: OnceLock<Batch> = OnceLock::new();
    BATCH_OF_ALL.get_or_init(|| {
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
    })
}
