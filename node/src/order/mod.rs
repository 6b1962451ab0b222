//! One log of batches, the same for every validator. Trusted for speed, never for truth:
//! what a block holds is decided by votes over its hash.
//!
//! [`memory`] is for tests and simulation, [`raft`] for most federations, `tikv` for ledgers that
//! outgrow one machine.

use std::sync::Arc;

use cairn_ledger::{
    encoding::{DecodeError, Reader, Writer},
    ids::Position,
    limits::{BATCH_BYTES_MAX, BATCH_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX},
};
use tokio::sync::watch;

use crate::mesh::Peer;

pub mod forward;
pub mod memory;
pub mod raft;
#[cfg(feature = "tikv")]
pub mod tikv;

#[cfg(test)]
mod contract;

/// Transactions that are ordered together. Nothing in it is trusted: an orderer may lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Each as it came from a client.
    pub transactions: Vec<Arc<[u8]>>,
}

impl Batch {
    /// Count, then each transaction with its length in front.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u32(u32::try_from(self.transactions.len()).expect("a batch is far below 2^32"));
        for transaction in &self.transactions {
            writer.bytes(transaction);
        }
        writer.finish()
    }

    /// Reads the encoded form within the limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("batch", bytes);
        if bytes.len() > BATCH_BYTES_MAX {
            return Err(reader.malformed());
        }
        let count = reader.count(BATCH_TRANSACTIONS_MAX)?;
        let mut transactions = Vec::with_capacity(count);
        for _ in 0..count {
            transactions.push(Arc::from(reader.bytes(TRANSACTION_BYTES_MAX)?));
        }
        reader.finish()?;
        Ok(Self { transactions })
    }
}

/// A batch in its encoded form, if a log may take it: what [`Batch::decode`] would not read
/// back must not go in.
fn check_size(batch: &Batch) -> Result<Vec<u8>, AppendError> {
    let transactions = batch.transactions.len();
    let encoded = batch.encode();
    let fits = transactions <= BATCH_TRANSACTIONS_MAX
        && encoded.len() <= BATCH_BYTES_MAX
        && batch.transactions.iter().all(|one| one.len() <= TRANSACTION_BYTES_MAX);
    if fits {
        Ok(encoded)
    } else {
        Err(AppendError::TooLarge { transactions, bytes: encoded.len() })
    }
}

/// A batch at its place in the log. Only an [`Order`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// Where.
    pub position: Position,
    /// What; an entry that is no well-formed batch is an empty one.
    pub batch: Batch,
}

/// Why a batch may not be in the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// It is certainly not in; trying again is safe and may help.
    #[error("the log takes no batches now: {0}")]
    Unavailable(String),
    /// It may be in, or come in later. Appending it again may put it in twice, which the
    /// ledger's rules bear: the second copy of a transaction is refused as a duplicate.
    #[error("the log did not answer in time: {0}")]
    Unknown(String),
    /// It will never be taken.
    #[error(
        "a batch of {transactions} transactions and {bytes} bytes, at most {BATCH_TRANSACTIONS_MAX} and {BATCH_BYTES_MAX} fit"
    )]
    TooLarge {
        /// How many were given.
        transactions: usize,
        /// How large, encoded.
        bytes: usize,
    },
}

/// Why a slice of the log cannot be read here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It was released; blocks have it. What is left begins after this position.
    #[error("the log begins after position {0}, what is before is in blocks")]
    Released(Position),
    /// This node has no log, or cannot read it now.
    #[error("the log cannot be read: {0}")]
    Unavailable(String),
}

/// Who puts batches into the log now, as far as one node knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lead {
    /// That node itself, and those whom it needs for it have said so lately.
    Here,
    /// That validator; whether it can be reached is for the mesh to say.
    There(Peer),
    /// Nobody; why, in a sentence.
    Nobody(String),
}

/// The log.
///
/// Promises, each tested by the contract suite (`contract.rs`) on every implementation:
/// positions of appended batches grow; every reader sees the same batch at the same
/// position, in order, without holes; an acknowledged batch is never lost; what `read` returned stays.
#[async_trait::async_trait]
pub trait Order: Send + Sync + 'static {
    /// Puts a batch in, durably; says where. Safe to call on every validator.
    async fn append(&self, batch: &Batch) -> Result<Position, AppendError>;

    /// The batches after a position, in order, up to about `most_bytes` but at least one when
    /// there is one. Empty at the end. Entries that are not batches may be skipped.
    async fn read(&self, after: Position, most_bytes: usize) -> Result<Vec<Ordered>, ReadError>;

    /// The last position that is known here to be in the log for good. Wakes readers.
    fn end(&self) -> watch::Receiver<Position>;

    /// Everything up to here is in blocks on this node's disk: the log may forget it.
    async fn release(&self, up_to: Position);

    /// Whether what [`Order::read`] returns is already synced to this node's own disk, so that
    /// a validator may vote for it without writing it down again.
    fn is_durable_here(&self) -> bool;

    /// Who leads, given which other validators can be reached. From memory: asks nobody.
    fn lead(&self, reachable: &[Peer]) -> Lead;

    /// How often the lead was given anew, as far as this node knows: Raft's term, the epoch of TiKV's
    /// writer; 0 where nobody is elected.
    fn term(&self) -> u64 {
        0
    }

    /// One line for people and status pages: role, leader, term.
    fn describe(&self) -> String;

    /// Ends background work; waits until disks are quiet.
    async fn stop(&self);
}
