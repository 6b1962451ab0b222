//! A Cairn validator: the server around the rules of [`cairn_ledger`].
//!
//! A transaction's day, which is also the reading order of the rooms:
//!
//! 1. [`api`]: HTTP in and out; a request becomes a `Submission`.
//! 2. [`intake`]: the waiting room: bounded, de-duplicated; hands back what became of it.
//! 3. [`order`]: one log of batches, the same for every validator.
//! 4. [`chain`]: proposals, votes, certificates: the federation decides slices of the log.
//! 5. [`store`]: decided blocks and the state after them, durable.
//! 6. [`query`]: reads, each true at a height; [`search`]: reads by what assets and metadata say;
//!    [`streams`]: what was decided, told as it comes.
//!
//! Around them: [`mesh`] carries bytes between validators, [`metrics`] counts,
//! [`traces`] follows the day of some transactions, [`config`] knows what was asked for, [`clock`] is the only one who knows the time,
//! [`node`] wires it all together. [`cli`] is the `cairn` command, [`keys`] reads and writes
//! its key files, [`exit`] lists how it ends.

pub mod api;
pub mod chain;
pub mod cli;
pub mod clock;
pub mod config;
pub mod exit;
pub mod intake;
pub mod keys;
pub mod mesh;
pub mod metrics;
pub mod node;
pub mod order;
pub mod query;
pub mod search;
pub mod store;
pub mod streams;
pub mod traces;

#[cfg(test)]
mod testing;
