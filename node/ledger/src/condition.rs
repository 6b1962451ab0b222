//! Crypto-conditions: who may spend an output, and the proof that they did.

use crate::ids::PublicKey;

/// What must be fulfilled to spend an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// One key signs.
    Ed25519(PublicKey),
    /// At least `threshold` of the nested conditions are fulfilled.
    Threshold {
        /// How many.
        threshold: u32,
        /// Of these.
        subconditions: Vec<Condition>,
    },
}

/// The part of a condition that decides whether a fulfillment matches it: what the
/// condition's URI says, in binary.
/// (Its `subtypes` follow: a threshold always has ed25519 keys in it.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// True for threshold-sha-256, false for ed25519-sha-256.
    pub threshold: bool,
    /// SHA-256 of the condition's fingerprint contents.
    pub sha256: [u8; 32],
    /// The URI's `cost`.
    pub cost: u64,
}
