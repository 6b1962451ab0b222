//! Reads, each true at a height: what the API asks of the store.
//!
//! Every answer comes as [`At`]: what was found, and the height it is true at. All calls may
//! look on the disk; call them where blocking is allowed.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use cairn_ledger::{
    block::{Block, Place},
    execution::Outcome,
    genesis::Genesis,
    ids::{Height, OutputReference, PublicKey, TransactionId},
    receipt::Receipt,
    refusal::{Recorded, Refusal},
    rules::{self, Reads},
    transaction::{Operation, Parsed},
};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::store::{Located, Store};
// Whoever asks speaks of these, and needs nothing else of the store.
pub use crate::store::{Spent, StoreError};

/// Most rows of one answer. What is longer is read in pages, by API v2.
pub const ROWS_MAX: usize = 10_000;

/// Blocks that were read last are kept: who reads one transaction of a block often reads the next.
const BLOCKS_KEPT: usize = 4;

/// How often an answer is read again because a block was stored meanwhile.
const LOOKS_MAX: usize = 3;

/// What was found, and the height it is true at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At<T> {
    /// The height. Rows of a block just after it may be in an answer that a busy chain kept changing.
    pub height: Height,
    /// The answer.
    pub found: T,
}

/// What is decided about a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is part of the ledger, there.
    Committed(Place),
    /// It was refused, there, and why.
    Refused(Place, Recorded),
}

/// Transactions as they came from their clients.
pub type Transactions = Vec<Arc<[u8]>>;

/// The reads.
pub struct Query {
    store: Arc<dyn Store>,
    genesis: Arc<Genesis>,
    recent: Mutex<VecDeque<Arc<Block>>>,
}

impl std::fmt::Debug for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Query(chain {})", self.genesis.chain())
    }
}

impl Query {
    /// Reads from `store`, which holds the chain of `genesis`.
    pub fn new(store: Arc<dyn Store>, genesis: Arc<Genesis>) -> Self {
        Self { store, genesis, recent: Mutex::default() }
    }

    /// The chain's founding record.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The last stored block's height.
    pub fn height(&self) -> Height {
        self.store.tip().0.height
    }

    /// The last stored block's height; wakes after each block.
    pub fn heights(&self) -> watch::Receiver<Height> {
        self.store.tips()
    }

    /// Waits until that height is stored here; whether it was before patience ended.
    pub async fn reaches(&self, height: Height, patience: Duration) -> bool {
        let mut heights = self.heights();
        let reached = heights.wait_for(|stored| *stored >= height);
        matches!(tokio::time::timeout(patience, reached).await, Ok(Ok(_)))
    }

    /// Checks transactions against the state, without their signatures: what the next block
    /// would say if it held each of them alone.
    pub fn check<'a>(
        &self,
        transactions: impl IntoIterator<Item = &'a Parsed> + Clone,
    ) -> Result<Vec<Result<(), Refusal>>, StoreError> {
        let mut reads = Reads::default();
        for transaction in transactions.clone() {
            rules::reads(transaction, &mut reads);
        }
        let view = self.store.view(&reads)?;
        Ok(transactions.into_iter().map(|transaction| rules::check(&view, transaction)).collect())
    }

    /// What is decided about a transaction, if anything is.
    pub fn standing(&self, id: &TransactionId) -> Result<At<Option<Standing>>, StoreError> {
        self.at(|| match self.store.locate(id)? {
            None => Ok(None),
            Some(Located::Committed(place)) => Ok(Some(Standing::Committed(place))),
            Some(Located::Refused(place)) => {
                let block = self.stored_block(place.height)?;
                match block.outcomes.get(place.index as usize) {
                    Some(Outcome::Refused(why)) => Ok(Some(Standing::Refused(place, why.clone()))),
                    Some(Outcome::Committed) | None => Err(misplaced(place)),
                }
            }
        })
    }

    /// A committed transaction, as it came from its client.
    pub fn transaction(&self, id: &TransactionId) -> Result<At<Option<Arc<[u8]>>>, StoreError> {
        self.at(|| match self.store.locate(id)? {
            Some(Located::Committed(place)) => self.body_of(place).map(Some),
            Some(Located::Refused(_)) | None => Ok(None),
        })
    }

    /// The proof that a transaction was decided, in its file form.
    pub fn receipt(&self, id: &TransactionId) -> Result<At<Option<String>>, StoreError> {
        self.at(|| {
            let Some(located) = self.store.locate(id)? else { return Ok(None) };
            let (Located::Committed(place) | Located::Refused(place)) = located;
            let block = self.stored_block(place.height)?;
            let receipt = Receipt::of(&block, place.index, &self.genesis);
            receipt.map(|receipt| Some(receipt.to_json())).ok_or_else(|| misplaced(place))
        })
    }

    /// Committed transactions of an asset in chain order, at most [`ROWS_MAX`]; only those of
    /// one operation, only the newest, when asked so.
    pub fn transactions_of(
        &self,
        asset: &TransactionId,
        operation: Option<Operation>,
        last: bool,
    ) -> Result<At<Vec<Arc<[u8]>>>, StoreError> {
        self.at(|| {
            // An asset has one CREATE, the transaction whose id it bears.
            let create = match self.store.locate(asset)? {
                Some(Located::Committed(place)) => Some(place),
                Some(Located::Refused(_)) | None => None,
            };
            let places = match (operation, last) {
                (Some(Operation::Create), _) => create.into_iter().collect(),
                (None | Some(Operation::Transfer), true) => {
                    self.store.last_transaction_of(asset)?.into_iter().collect()
                }
                (None | Some(Operation::Transfer), false) => {
                    self.store.transactions_of(asset, ROWS_MAX)?
                }
            };
            let transfers_only = operation == Some(Operation::Transfer);
            let wanted =
                places.into_iter().filter(|place| !transfers_only || Some(*place) != create);
            wanted.map(|place| self.body_of(place)).collect()
        })
    }

    /// Outputs that list `owner` among their public keys, in chain order, at most [`ROWS_MAX`].
    pub fn outputs_of(
        &self,
        owner: &PublicKey,
        spent: Spent,
    ) -> Result<At<Vec<OutputReference>>, StoreError> {
        self.at(|| self.store.outputs_of(owner, spent, ROWS_MAX))
    }

    /// The committed transactions of a block, in order.
    pub fn block(&self, height: Height) -> Result<At<Option<Transactions>>, StoreError> {
        self.at(|| {
            let Some(block) = self.read_block(height)? else { return Ok(None) };
            let told = block.body.iter().zip(&block.outcomes);
            let committed = told.filter(|(_, outcome)| matches!(outcome, Outcome::Committed));
            Ok(Some(committed.map(|(bytes, _)| Arc::clone(bytes)).collect()))
        })
    }

    /// A block as it was decided, refused transactions and certificate included: true at every
    /// height from its own on. Not kept, unlike what single transactions are read from.
    pub fn decided(&self, height: Height) -> Result<Option<Arc<Block>>, StoreError> {
        self.store.block(height)
    }

    /// The block that commits a transaction.
    pub fn block_of(&self, id: &TransactionId) -> Result<At<Option<Height>>, StoreError> {
        self.at(|| match self.store.locate(id)? {
            Some(Located::Committed(place)) => Ok(Some(place.height)),
            Some(Located::Refused(_)) | None => Ok(None),
        })
    }

    /// Reads, and reads again when the tip moved meanwhile.
    fn at<T>(&self, read: impl Fn() -> Result<T, StoreError>) -> Result<At<T>, StoreError> {
        let mut height = self.height();
        for look in 1.. {
            let found = read()?;
            let after = self.height();
            if after == height || look == LOOKS_MAX {
                return Ok(At { height, found });
            }
            height = after;
        }
        unreachable!("the last look returns")
    }

    /// A transaction whose place an index told, as it came from its client.
    ///
    /// # Errors
    /// Also when nothing is there: the index is wrong then.
    pub fn body_of(&self, place: Place) -> Result<Arc<[u8]>, StoreError> {
        self.store.transaction(place)?.ok_or_else(|| misplaced(place))
    }

    fn stored_block(&self, height: Height) -> Result<Arc<Block>, StoreError> {
        self.read_block(height)?.ok_or_else(|| misplaced(Place { height, index: 0 }))
    }

    fn read_block(&self, height: Height) -> Result<Option<Arc<Block>>, StoreError> {
        let kept = self.recent.lock().iter().find(|b| b.header.height == height).cloned();
        if kept.is_some() {
            return Ok(kept);
        }
        let read = self.store.block(height)?;
        if let Some(block) = &read {
            let mut recent = self.recent.lock();
            recent.truncate(BLOCKS_KEPT - 1);
            recent.push_front(Arc::clone(block));
        }
        Ok(read)
    }
}

/// An index names a place where nothing is: the store is damaged, or was read half.
fn misplaced(place: Place) -> StoreError {
    StoreError::Corrupt {
        path: "the index of transactions".to_owned(),
        at: place.height.0,
        what: format!("it names transaction {} of block {}", place.index, place.height),
    }
}
