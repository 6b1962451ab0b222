//! The rules of the ledger, as plain functions over plain data.
//!
//! Nothing here waits, reads a clock, rolls dice or touches a disk: the same
//! inputs give the same outputs on every validator, which is what lets them agree.
//!
//! Read in this order:
//!
//! 1. [`limits`]: how big anything may get.
//! 2. [`ids`]: the names of things.
//! 3. [`json`]: the one JSON reader, and the canonical form that is hashed and signed.
//! 4. [`condition`]: crypto-conditions: who may spend, and the proof that they did.
//! 5. [`signature`]: the one predicate that says whether a signature holds.
//! 6. [`transaction`]: `Submission → Parsed → Admitted`: what needs no state to check.
//! 7. [`refusal`]: every "no" that a client can hear.
//! 8. [`rules`] and [`election`]: what needs state: which rows to read, double spends, amounts,
//!    owners; who may propose and vote.
//! 9. [`execution`] and [`state`]: what a block does, what it changes, and the hash over all
//!    unspent outputs.
//! 10. [`encoding`] and [`merkle`]: the binary forms that are signed and hashed.
//! 11. [`genesis`]: who founded the chain; its hash is the chain's name.
//! 12. [`block`], [`vote`]: headers, bodies, votes, certificates.
//! 13. [`receipt`]: proof, for anyone, offline, that a transaction was decided (the crate
//!     `cairn-verifier` checks it).
//! 14. [`audit`]: a whole ledger, checked from the first block to the last.

// A new variant must be thought about wherever the rules branch.
#![warn(clippy::wildcard_enum_match_arm)]

pub mod audit;
pub mod block;
pub mod condition;
pub mod election;
pub mod encoding;
pub mod execution;
pub mod genesis;
pub mod ids;
pub mod json;
pub mod limits;
pub mod merkle;
pub mod receipt;
pub mod refusal;
pub mod rules;
pub mod signature;
pub mod state;
pub mod transaction;
pub mod vote;
