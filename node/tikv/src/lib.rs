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

mod settings;
mod trouble;

mod limits;
mod names;
mod packed;

mod connection;
mod orphans;
mod reach;

mod effort;

mod client;
mod garbage;
mod reads;
mod space;
mod writes;

pub use client::Client;
pub use effort::{Called, Observer};
pub use packed::{pack, unpack};
pub use reach::Reachable;
pub use settings::{Settings, TlsFiles};
pub use space::{ClaimError, Space};
pub use trouble::Trouble;

/// A key with its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// The key gets this value, which is not empty.
    Put(Vec<u8>, Vec<u8>),
    /// The key goes.
    Delete(Vec<u8>),
}

/// What became of an insert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The key holds the value that was to be inserted, by this call or an earlier one.
    Yes,
    /// The key holds another value.
    Taken(Vec<u8>),
}
