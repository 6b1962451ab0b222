//! Reads, each true at a height: what the API asks of the store.
//!
//! Every answer comes as [`At`]: what was found, and the height it is true at. All calls may
//! look on the disk; call them where blocking is allowed. [`mod@as_of`] has the reads that are
//! exact as of a height of the asker's choice.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use cairn_ledger::{
    block::{Block, Place, Tip},
    election::Electorate,
    execution::Outcome,
    genesis::Genesis,
    ids::{Height, OutputReference, PublicKey, TransactionId},
    receipt::Receipt,
    refusal::{Recorded, Refusal},
    rules::{self, Reads},
    transaction::{Operation, Parsed, operation_of},
};
use parking_lot::Mutex;
use tokio::sync::watch;

pub mod as_of;

use crate::store::{Located, Store};
// Whoever asks speaks of these, and needs nothing else of the store.
pub use crate::store::{Spent, StoreError, Stretch};

/// Most rows of one answer. What is longer is read in pages, by API v2.
pub const ROWS_MAX: usize = 10_000;

/// Where an answer of many transactions ends, too: after the one that reaches so many bytes.
pub const ROWS_BYTES_MAX: usize = 64 * 1024 * 1024;

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
    electorate: Electorate,
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
        let electorate = Electorate::of(&genesis);
        Self { store, genesis, electorate, recent: Mutex::default() }
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
            rules::reads(transaction, &self.electorate, &mut reads);
        }
        let view = self.store.view(&reads)?;
        let check = |transaction| rules::check(&view, transaction, &self.electorate);
        Ok(transactions.into_iter().map(check).collect())
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
    /// one operation, only the newest, when asked so. The id of a transaction that made no asset
    /// finds that transaction, as in BigchainDB.
    pub fn transactions_of(
        &self,
        asset: &TransactionId,
        operation: Option<Operation>,
        last: bool,
    ) -> Result<At<Vec<Arc<[u8]>>>, StoreError> {
        self.at(|| {
            let Some(operation) = operation else {
                // Whatever bears that id is found by it, also what makes no asset.
                let mut places = self.moves_of(asset, last)?;
                if places.is_empty()
                    && let Some(Located::Committed(place)) = self.store.locate(asset)?
                {
                    places.push(place);
                }
                return self.bodies_of(places);
            };
            let is_wanted = |bytes: &Arc<[u8]>| operation_of(bytes) == Some(operation);
            if last && let Some(place) = self.store.last_transaction_of(asset)? {
                let newest = self.body_of(place)?;
                if is_wanted(&newest) {
                    return Ok(vec![newest]);
                }
            }
            let mut places = self.places_of(asset, operation)?;
            if last {
                places.reverse();
            }
            let bodies = places.into_iter().map(|place| self.body_of(place));
            let mut wanted = bodies.filter(|body| body.as_ref().map_or(true, is_wanted));
            if last {
                return Ok(wanted.next().transpose()?.into_iter().collect());
            }
            up_to(ROWS_BYTES_MAX, wanted)
        })
    }

    /// Where to look for an asset's transactions of an operation.
    fn places_of(
        &self,
        asset: &TransactionId,
        operation: Operation,
    ) -> Result<Vec<Place>, StoreError> {
        if !operation.makes_asset() {
            return self.store.transactions_of(asset, ROWS_MAX);
        }
        // What makes an asset is the one transaction whose id it bears.
        Ok(match self.store.locate(asset)? {
            Some(Located::Committed(place)) => vec![place],
            Some(Located::Refused(_)) | None => Vec::new(),
        })
    }

    fn bodies_of(
        &self,
        places: impl IntoIterator<Item = Place>,
    ) -> Result<Transactions, StoreError> {
        up_to(ROWS_BYTES_MAX, places.into_iter().map(|place| self.body_of(place)))
    }

    /// The transactions of an asset, its CREATE first; only the newest when asked so.
    fn moves_of(&self, asset: &TransactionId, last: bool) -> Result<Vec<Place>, StoreError> {
        if last {
            return Ok(self.store.last_transaction_of(asset)?.into_iter().collect());
        }
        self.store.transactions_of(asset, ROWS_MAX)
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

    /// The last stored block, by what its header says.
    pub fn tip(&self) -> Tip {
        self.store.tip().0
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

/// The first of them, until they reach that many bytes.
fn up_to(
    most: usize,
    bodies: impl Iterator<Item = Result<Arc<[u8]>, StoreError>>,
) -> Result<Transactions, StoreError> {
    let mut taken = Vec::new();
    let mut bytes = 0;
    for body in bodies {
        let body = body?;
        bytes += body.len();
        taken.push(body);
        if bytes >= most {
            break;
        }
    }
    Ok(taken)
}

/// What is stored is not what was decided: its text cannot be read.
pub fn unreadable(place: Place, what: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt {
        path: "the blocks".to_owned(),
        at: place.height.0,
        what: format!("transaction {} of block {}: {what}", place.index, place.height),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_after_so_many_bytes() {
        let four = |_| Ok(Arc::from(&b"four"[..]));
        for (most, taken) in [(0, 1), (3, 1), (4, 1), (5, 2), (8, 2), (9, 3), (100, 3)] {
            assert_eq!(up_to(most, (0..3).map(four)).unwrap().len(), taken, "{most}");
        }
    }
}
