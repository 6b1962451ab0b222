//! Opening: whose the index is, and up to where it goes. The mark is committed together with
//! the documents, so that both are always of one height.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use cairn_ledger::ids::{BlockId, ChainId, Height};
use tantivy::{Index, IndexReader, ReloadPolicy};

use super::{columns::Columns, failed, schema::Fields};
use crate::store::{Store, StoreError};

/// The layout of documents and terms; another one is made again.
const LAYOUT: u32 = 2;

/// Is there when the index was closed in order; else its files are checked before they are used.
const CLOSED: &str = "closed";
/// Is there when the index could not be read.
const DAMAGED: &str = "damaged";

/// Up to where an index goes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Mark {
    layout: u32,
    chain: ChainId,
    pub(super) height: Height,
    pub(super) block: BlockId,
    /// The paths that have a column.
    columns: Vec<String>,
}

impl Mark {
    fn nothing(chain: ChainId) -> Self {
        let (height, block) = (Height(0), BlockId(chain.0));
        Self { layout: LAYOUT, chain, height, block, columns: Vec::new() }
    }

    /// The mark after a block.
    pub(super) fn after(&self, height: Height, block: BlockId, columns: &Columns) -> Self {
        Self { layout: LAYOUT, chain: self.chain, height, block, columns: columns.write() }
    }

    pub(super) fn encode(&self) -> String {
        serde_json::to_string(self).expect("a mark is plain data")
    }
}

/// An index that can be used.
pub(super) struct Opened {
    pub(super) index: Index,
    pub(super) reader: IndexReader,
    pub(super) mark: Mark,
    pub(super) columns: Columns,
}

impl Opened {
    /// Opens the index; makes an empty one where there is none that can be used.
    pub(super) fn open(
        path: &Path,
        fields: &Fields,
        store: &dyn Store,
    ) -> Result<Self, StoreError> {
        if path.exists() {
            // The index is not ours, and what it reads may be damaged in any way.
            let why = match catch_unwind(AssertUnwindSafe(|| Self::try_open(path, fields, store))) {
                Ok(Ok(opened)) => return Ok(opened),
                Ok(Err(why)) => why,
                Err(_) => "it is damaged".to_owned(),
            };
            tracing::warn!(path = %path.display(), why, "makes the search index again");
        }
        Self::reset(path, fields, store.tip().0.chain)
    }

    /// An empty index in place of what is there.
    fn reset(path: &Path, fields: &Fields, chain: ChainId) -> Result<Self, StoreError> {
        if path.exists() {
            fs::remove_dir_all(path).map_err(|error| failed("removing", path, &error))?;
        }
        fs::create_dir_all(path).map_err(|error| failed("making", path, &error))?;
        let opened = Index::create_in_dir(path, fields.schema.clone()).and_then(|index| {
            let (mark, columns) = (Mark::nothing(chain), Columns::default());
            Ok(Self { reader: reader(&index)?, index, mark, columns })
        });
        opened.map_err(|error| failed("making", path, &error))
    }

    fn try_open(path: &Path, fields: &Fields, store: &dyn Store) -> Result<Self, String> {
        let text = |error: &dyn ToString| error.to_string();
        let closed = fs::remove_file(path.join(CLOSED)).is_ok();
        if path.join(DAMAGED).exists() {
            return Err("it could not be read".to_owned());
        }
        let index = Index::open_in_dir(path).map_err(|error| text(&error))?;
        if index.schema() != fields.schema {
            return Err("it has another layout".to_owned());
        }
        if !closed && !index.validate_checksum().map_err(|error| text(&error))?.is_empty() {
            return Err("its files are damaged".to_owned());
        }
        let payload = index.load_metas().map_err(|error| text(&error))?.payload;
        let chain = store.tip().0.chain;
        let mark = match payload {
            Some(payload) => serde_json::from_str(&payload).map_err(|error| text(&error))?,
            None => Mark::nothing(chain),
        };
        if mark.layout != LAYOUT || mark.chain != chain {
            return Err("it is of another chain or layout".to_owned());
        }
        let stored = match mark.height {
            Height(0) => Some(BlockId(chain.0)),
            height => {
                let block = store.block(height).map_err(|error| text(&error))?;
                block.map(|block| block.header.id())
            }
        };
        if stored != Some(mark.block) {
            return Err("it is of another history".to_owned());
        }
        let columns = Columns::read(&mark.columns).ok_or("it has other columns")?;
        let reader = reader(&index).map_err(|error| text(&error))?;
        Ok(Self { index, reader, mark, columns })
    }
}

fn reader(index: &Index) -> tantivy::Result<IndexReader> {
    let builder = index.reader_builder().reload_policy(ReloadPolicy::Manual);
    builder.doc_store_cache_num_blocks(1).try_into()
}

/// What cannot be read now will be made again at the next start.
pub(super) fn note_damage(path: &Path) {
    let _ = fs::write(path.join(DAMAGED), b"");
}

/// All was written in order.
pub(super) fn note_closed(path: &Path) {
    let _ = fs::write(path.join(CLOSED), b"");
}
