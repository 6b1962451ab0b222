//! Reads that are exact as of a height at or below the tip, whatever is stored meanwhile: each
//! looks only at blocks up to there, which never change.

use std::sync::Arc;

use cairn_ledger::{
    block::{Block, Header, Place},
    genesis::Validator,
    ids::{Height, OutputReference, TransactionId},
    rules::{OutputState, Reads},
};

use super::{Query, misplaced};
use crate::store::{Located, StoreError, Stretch};

impl Query {
    /// A block's header.
    pub fn header(&self, height: Height) -> Result<Option<Header>, StoreError> {
        self.store.header(height)
    }

    /// A block with all that it decided and its certificate.
    pub fn whole_block(&self, height: Height) -> Result<Option<Arc<Block>>, StoreError> {
        self.read_block(height)
    }

    /// When a stored block was made, by its proposer's clock.
    ///
    /// # Errors
    /// Also when there is no such block.
    pub fn time_of(&self, height: Height) -> Result<u64, StoreError> {
        let header = self.store.header(height)?;
        Ok(header.ok_or_else(|| misplaced(Place { height, index: 0 }))?.time_ms)
    }

    /// Where a transaction is committed, if it was by then.
    pub fn committed_at(
        &self,
        id: &TransactionId,
        as_of: Height,
    ) -> Result<Option<Place>, StoreError> {
        Ok(match self.store.locate(id)? {
            Some(Located::Committed(place)) if place.height <= as_of => Some(place),
            Some(Located::Committed(_) | Located::Refused(_)) | None => None,
        })
    }

    /// A stretch of an asset's committed transactions.
    pub fn transactions_along(
        &self,
        asset: &TransactionId,
        stretch: &Stretch,
    ) -> Result<Vec<Place>, StoreError> {
        self.store.transactions_along(asset, stretch)
    }

    /// Who had spent each of these outputs by then; in the order given.
    pub fn spenders(
        &self,
        outputs: Vec<OutputReference>,
        as_of: Height,
    ) -> Result<Vec<Option<TransactionId>>, StoreError> {
        let reads = Reads { transactions: Vec::new(), outputs };
        let view = self.store.view(&reads)?;
        let spender = |output| match view.outputs.get(output) {
            // Spent now, which may be later than was asked for.
            Some(OutputState::Spent(by)) => {
                Ok(self.committed_at(by, as_of)?.is_some().then_some(*by))
            }
            Some(OutputState::Unspent(_) | OutputState::Unknown) | None => Ok(None),
        };
        reads.outputs.iter().map(spender).collect()
    }

    /// Who may vote on the block of that height.
    pub fn validators_at(&self, _height: Height) -> &[Validator] {
        self.genesis.validators()
    }
}
