//! Decided blocks and the state after them. One block is one atomic write.
//!
//! [`embedded`] keeps blocks in segment files and unspent outputs in memory; `tikv` (a feature)
//! keeps all of it in TiKV, for ledgers that outgrow one machine; [`memory`] is for tests and
//! simulation.

use std::sync::Arc;

use cairn_ledger::{
    block::{Block, Header, Place, Tip},
    genesis::Genesis,
    ids::{Height, OutputReference, PublicKey, TransactionId},
    rules::{OutputRow, Reads, View},
    state::{Changes, StateHash},
};
use tokio::sync::watch;

pub mod embedded;
mod files;
pub mod memory;
pub mod patient;
mod pending;
mod recent;
mod rows;
#[cfg(feature = "tikv")]
pub mod tikv;

#[cfg(test)]
mod contract;

pub(crate) use files::{Directory, replace};

/// Trouble with the store: never the client's fault.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full; nothing was written.
    #[error("the disk that holds {path} is full")]
    Full {
        /// Which file.
        path: String,
    },
    /// The operating system said no.
    #[error("{doing} failed on {path}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: String,
        /// What it said.
        source: std::io::Error,
    },
    /// What was read is not what was written.
    #[error("{path} is damaged at byte {at}: {what}")]
    Corrupt {
        /// Which file.
        path: String,
        /// Where.
        at: u64,
        /// How.
        what: String,
    },
    /// The directory belongs to another chain, another format, or another process.
    #[error("{0}")]
    Foreign(String),
    /// The backend does not answer now; asking again is right, a `commit` with the same block too.
    #[error("the store does not answer: {0}")]
    Unreachable(String),
}

/// Which outputs of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    /// All.
    Either,
    /// Only those already spent.
    Yes,
    /// Only those still unspent.
    No,
}

/// What became of a transaction, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Located {
    /// It is part of the ledger, there.
    Committed(Place),
    /// It was refused, there (the latest refusal when there were several).
    Refused(Place),
}

/// A stretch of an asset's transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Those up to this height.
    pub to: Height,
    /// The newest first, rather than in chain order.
    pub newest_first: bool,
    /// Only those that come behind this one, in that direction.
    pub after: Option<Place>,
    /// At most so many.
    pub most: usize,
}

impl Stretch {
    /// Whether a transaction there is part of it.
    fn holds(&self, place: Place) -> bool {
        let order = |place: Place| (place.height, place.index);
        let behind = self.after.is_none_or(|after| {
            if self.newest_first {
                order(place) < order(after)
            } else {
                order(place) > order(after)
            }
        });
        behind && place.height <= self.to
    }
}

/// What comparing rows with blocks has found since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Blocks that were compared.
    pub blocks: u64,
    /// Rows and blocks that were gone or wrong.
    pub damaged: u64,
}

/// Blocks and state.
///
/// All calls may block on the disk for a moment. `commit` is called by one thread, in
/// height order; reads by many, at any time, and always see whole blocks.
///
/// Promises, each tested by the contract suite (`contract.rs`) on every implementation:
/// when `commit` returns, the block, its certificate, the state and the position survive
/// a crash, together; before, none does. Reopening gives the same answers.
pub trait Store: Send + Sync + 'static {
    /// What the next block builds upon, and the hash of the state there.
    fn tip(&self) -> (Tip, StateHash);

    /// The tip's height; wakes after each commit, when reads see the block.
    fn tips(&self) -> watch::Receiver<Height>;

    /// The rows that were named, as of the tip.
    fn view(&self, reads: &Reads) -> Result<View, StoreError>;

    /// Stores the next block, durably and whole. An error leaves the store as it was, or
    /// poisoned (every later commit fails): it is never half there. After
    /// [`StoreError::Unreachable`] it may be there: the same call again makes sure.
    ///
    /// # Panics
    /// When the block is not the next one, which is a bug of the caller.
    fn commit(&self, block: &Arc<Block>, changes: &Changes) -> Result<(), StoreError>;

    /// A block by height.
    fn block(&self, height: Height) -> Result<Option<Arc<Block>>, StoreError>;

    /// A block's header by height: what looking through many blocks should cost.
    fn header(&self, height: Height) -> Result<Option<Header>, StoreError> {
        Ok(self.block(height)?.map(|block| block.header.clone()))
    }

    /// One transaction of a block, as it was ordered: what reading single transactions here
    /// and there should cost.
    fn transaction(&self, place: Place) -> Result<Option<Arc<[u8]>>, StoreError> {
        let block = self.block(place.height)?;
        Ok(block.and_then(|block| block.body.get(place.index as usize).cloned()))
    }

    /// What became of a transaction. Committed wins over refused.
    fn locate(&self, id: &TransactionId) -> Result<Option<Located>, StoreError>;

    /// Committed transactions of an asset in chain order, its CREATE first; at most `most`.
    fn transactions_of(&self, asset: &TransactionId, most: usize)
    -> Result<Vec<Place>, StoreError>;

    /// Committed transactions of an asset, its CREATE among them, from any of them on in
    /// either direction.
    fn transactions_along(
        &self,
        asset: &TransactionId,
        stretch: &Stretch,
    ) -> Result<Vec<Place>, StoreError>;

    /// The newest committed transaction of an asset.
    fn last_transaction_of(&self, asset: &TransactionId) -> Result<Option<Place>, StoreError>;

    /// Outputs that list `owner` among their public keys, in chain order; at most `most`.
    fn outputs_of(
        &self,
        owner: &PublicKey,
        spent: Spent,
        most: usize,
    ) -> Result<Vec<OutputReference>, StoreError>;

    /// Why the backend cannot be reached, while it cannot.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// What comparing rows with blocks has found, where rows can be changed by others.
    fn scrubbed(&self) -> Scrubbed {
        Scrubbed::default()
    }

    /// What was read led to another state than the federation's: the next opening compares
    /// every row with the blocks before it serves any. Where rows cannot be changed by others,
    /// there is nothing to do.
    fn suspect(&self) {}

    /// Blocks that were committed and could not be read back, as far as that was noticed: a
    /// peer has them.
    fn damaged(&self) -> Vec<Height> {
        Vec::new()
    }

    /// Writes a block of [`Store::damaged`] again, as a peer gave it: what its certificate does
    /// not prove is not taken.
    fn repair(&self, _block: &Block) -> Result<(), StoreError> {
        Ok(())
    }

    /// Calls that wait for a backend far away end soon from now on, with what they have: the
    /// process is about to end. What is on this machine is not waited for in the first place.
    fn interrupt(&self) {}

    /// Ends background work and flushes what can be flushed.
    fn stop(&self);
}

/// What an opened store must know to read blocks back.
pub type Chain = Arc<Genesis>;

/// Each owner of an output once, in the order of the output.
fn owners(row: &OutputRow) -> impl Iterator<Item = &PublicKey> {
    let owners = row.owners.iter().enumerate();
    owners.filter(|(at, owner)| !row.owners[..*at].contains(owner)).map(|(_, owner)| owner)
}

/// Only the block that follows the tip can be stored.
fn assert_next(tip: &Tip, block: &Block) {
    let header = &block.header;
    assert_eq!(header.height, tip.height.next(), "blocks are committed in height order");
    assert_eq!(header.parent, tip.block, "a block names the one before it");
    assert_eq!(header.chain, tip.chain, "a block belongs to the chain of the store");
}
