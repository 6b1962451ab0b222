//! Reads by what assets and metadata say: words, as BigchainDB's text search, and fields.
//!
//! Behind the commit path: an index of its own follows the stored blocks, and is made again
//! from them when it is lost. Every answer says up to which height it is complete.

use std::{path::Path as FilePath, sync::Arc, time::Duration};

use cairn_ledger::{
    block::Place,
    ids::{Height, PublicKey, TransactionId},
};

use tokio::sync::watch;

use crate::{
    metrics::Metrics,
    query::At,
    store::{Store, StoreError},
};

mod document;
mod filter;
mod index;
mod naive;
mod order;
mod select;
mod text;
mod words;

pub use filter::{
    COMPARISONS_MAX, FILTER_BYTES_MAX, Filter, FilterError, NESTING_MAX, ORDER_BYTES_MAX, Path,
};

/// Where text is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collection {
    /// `asset.data` of transactions that make assets.
    Assets,
    /// `metadata` of all transactions.
    Metadata,
}

/// What is selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Assets: `asset.…` is the asset's data, `metadata.…` that of the transaction that made it.
    Assets,
    /// Outputs: `asset.…` is the data of the asset that they hold a share of, `metadata.…` that
    /// of the transaction that made the output.
    Outputs,
}

/// In which order rows come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SortBy {
    /// The order of the chain.
    #[default]
    Chain,
    /// By a field: numbers, then strings by their first 256 bytes; then, in either direction,
    /// rows without it (or with something else there). Of several values at one path the first
    /// counts.
    Field(Path),
}

/// Which rows, in which order, from where on.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// Of what.
    pub rows: Rows,
    /// Only those for which this holds.
    pub filter: Option<Filter>,
    /// Only those that list this key among their owners (outputs only).
    pub owner: Option<PublicKey>,
    /// Only those of this asset (outputs only).
    pub asset: Option<TransactionId>,
    /// Only those spent, or not yet spent, as of `as_of` (outputs only).
    pub spent: Option<bool>,
    /// In which order.
    pub sort: SortBy,
    /// The other way round. Rows with the same value at a field stay in the order of the chain.
    pub descending: bool,
    /// Go on behind this row.
    pub after: Option<Mark>,
    /// As things stood at that height; the index must have reached it.
    pub as_of: Height,
    /// At most so many rows.
    pub most: usize,
}

/// Where a page ended: opaque bytes that mean the same to every validator of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark(pub Vec<u8>);

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The transaction that made the asset or the output.
    pub place: Place,
    /// Its id.
    pub transaction: TransactionId,
    /// Which of its outputs; nothing for an asset.
    pub output: Option<u32>,
    /// Who had spent the output as of the height that was asked for.
    pub spent_by: Option<TransactionId>,
    /// The transaction, when finding the row took reading it and it was kept: nobody needs to read it again.
    pub body: Option<Arc<[u8]>>,
}

/// A page of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Row>,
    /// Where the next page begins, if there may be one.
    pub next: Option<Mark>,
    /// How it was found.
    pub explained: Explained,
}

/// How a page was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Explained {
    /// Which index served it: `fields`, `owners`, `assets` (the transactions of one asset), `chain`.
    pub index: &'static str,
    /// One line for each part of the selection, and what it cost to apply.
    pub steps: Vec<String>,
    /// Rows that were looked at to find those of the page.
    pub examined: u64,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The store, or the index itself.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A mark that no page of this selection ended with.
    #[error("the cursor is of another query, or none at all")]
    Mark,
    /// The selection would take too much work; says what would be fine.
    #[error("{0}")]
    TooMuch(String),
}

/// Finds assets, metadata and outputs by what they say.
pub struct Search {
    store: Arc<dyn Store>,
    /// Without one, the blocks themselves are looked through.
    index: Option<index::Index>,
}

impl std::fmt::Debug for Search {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Search").finish_non_exhaustive()
    }
}

impl Search {
    /// Looks through the blocks themselves, without any index: right, and slow.
    pub fn over(store: Arc<dyn Store>) -> Self {
        Self { store, index: None }
    }

    /// Keeps an index in a directory of its own, which follows the store from where it ended;
    /// one that cannot be used is made again.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn open(
        directory: &FilePath,
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        let index = index::Index::open(directory, Arc::clone(&store), metrics)?;
        Ok(Self { store, index: Some(index) })
    }

    /// Up to which height answers are complete.
    pub fn height(&self) -> Height {
        match &self.index {
            Some(index) => index.height(),
            None => self.store.tip().0.height,
        }
    }

    /// The same; wakes whenever it grows.
    pub fn heights(&self) -> watch::Receiver<Height> {
        match &self.index {
            Some(index) => index.heights(),
            None => self.store.tips(),
        }
    }

    /// Waits until answers are complete up to that height; whether they were before patience
    /// ended.
    pub async fn reaches(&self, height: Height, patience: Duration) -> bool {
        let mut heights = self.heights();
        let reached = heights.wait_for(|complete| *complete >= height);
        matches!(tokio::time::timeout(patience, reached).await, Ok(Ok(_)))
    }

    /// Transactions whose asset or metadata has those words, as MongoDB's `$text` finds and
    /// scores them, the best first; at most `most`. Blocks: call it where that is allowed.
    ///
    /// The order is exact when at most a thousand transactions have one of the words (ten
    /// thousand when phrases decide); of more, those that seem the best are scored.
    pub fn text(
        &self,
        collection: Collection,
        words: &str,
        most: usize,
    ) -> Result<At<Vec<Place>>, StoreError> {
        if let Some(index) = &self.index {
            return index.text(collection, words, most);
        }
        let height = self.height();
        let found = naive::text(&*self.store, height, collection, words, most)?;
        Ok(At { height, found })
    }

    /// A page of rows. Blocks: call it where that is allowed.
    pub fn select(&self, selection: &Selection) -> Result<At<Page>, SearchError> {
        if let Some(index) = &self.index {
            return select::page(&*self.store, index, selection);
        }
        let height = self.height();
        let found = naive::select(&*self.store, height, selection)?;
        Ok(At { height, found })
    }

    /// Ends background work.
    pub fn stop(&self) {
        if let Some(index) = &self.index {
            index.stop();
        }
    }
}
