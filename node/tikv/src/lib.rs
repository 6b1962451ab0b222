//! TiKV, tamed: the one place that speaks to it.
//!
//! `tikv-client` 0.4 has calls without time limits, loses its way when a region's leader dies, and
//! panics when an active transaction is dropped. Here each call ends within a stated time, is tried
//! again where that is safe, and says one of three things when it fails: [`Trouble`].
//!
//! Writes are of four kinds, each safe to call again as it was after [`Trouble::Unreachable`]:
//!
//! * [`Client::insert`]: one key that nobody may have written before. The log's slots.
//! * [`Client::put_each`]: rows that never change once they are written, each by itself. Not atomic.
//! * [`Client::write`]: some keys together or not at all, whatever was there.
//! * [`Client::update`]: reads keys, decides, writes, as one step.
//!
//! Inserts and rows use one-phase commit, which TiKV offers for what fits into one request; what reads before it
//! writes never does. Async commit is never used: a dead writer's locks would stay.

mod client;
mod space;
mod trouble;

pub use client::{Client, Inserted, Pair, Settings, TlsFiles, Write};
pub use space::{ClaimError, Space};
pub use trouble::Trouble;
