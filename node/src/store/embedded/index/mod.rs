//! The query index: what became of every transaction, which outputs an owner has, an asset's
//! transactions, an output's spender, where in its block a transaction lies.
//!
//! An LSM tree, written block by block behind the commit path; one batch carries a block's
//! rows and the height, so that it is always exactly as of some height. Nothing here is the
//! only copy: an index that is missing, damaged, ahead or of another chain is made again
//! from the blocks. One file per family of keys.

mod assets;
mod bodies;
mod owners;
mod spenders;
mod transactions;

use std::{
    fs, io,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use cairn_ledger::{
    block::Place,
    encoding::{DecodeError, Reader, Writer},
    ids::{BlockId, ChainId, Height, OutputReference, PublicKey, TransactionId},
};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::store::{
    StoreError, Stretch,
    files::{corrupt, trouble},
    owners as owners_of,
    pending::Fate,
    rows::{Rows, put_place, take_place},
};

/// Cached blocks of the tree. An idle validator is to stay below 60 MiB in total.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// What a family keeps in memory before it is sorted into a file.
const BUFFER_BYTES: u64 = 8 * 1024 * 1024;
/// The layout of all families; another one is made again.
const LAYOUT: u8 = 2;

/// The query index, as of [`Index::height`] at least.
pub(super) struct Index {
    path: PathBuf,
    database: Database,
    bodies: Keyspace,
    transactions: Keyspace,
    assets: Keyspace,
    owners: Keyspace,
    spenders: Keyspace,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Up to where the index goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) height: Height,
    pub(super) block: BlockId,
}

impl Mark {
    fn encode(&self, chain: &ChainId) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u8(LAYOUT).raw(&chain.0).u64(self.height.0).raw(&self.block.0);
        writer.finish()
    }

    fn decode(bytes: &[u8], chain: &ChainId) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("mark of the index", bytes);
        if reader.u8()? != LAYOUT || reader.array()? != chain.0 {
            return Err(reader.malformed());
        }
        let mark = Self { height: Height(reader.u64()?), block: BlockId(reader.array()?) };
        reader.finish()?;
        Ok(mark)
    }
}

/// Shorter than any other key of any family.
const MARK: &[u8] = b"mark";

impl Index {
    /// Opens the index; makes an empty one where there is none that can be used.
    pub(super) fn open(path: &Path, chain: &ChainId) -> Result<(Self, Option<Mark>), StoreError> {
        if !Self::is_damaged(path) {
            // The tree is not ours, and what it reads may be damaged in any way.
            match catch_unwind(AssertUnwindSafe(|| Self::try_open(path, chain))) {
                Ok(Ok(opened)) => return Ok(opened),
                Ok(Err(error)) => {
                    tracing::warn!(path = %path.display(), why = %error, "makes the index again");
                }
                Err(_) => {
                    let why = "it cannot be read";
                    tracing::warn!(path = %path.display(), why, "makes the index again");
                }
            }
        }
        Ok((Self::reset(path, chain)?, None))
    }

    /// An empty index in place of what is there.
    pub(super) fn reset(path: &Path, chain: &ChainId) -> Result<Self, StoreError> {
        if path.exists() {
            fs::remove_dir_all(path).map_err(trouble("removing", path))?;
        }
        Self::try_open(path, chain).map(|(index, _)| index)
    }

    fn damage_note(path: &Path) -> PathBuf {
        path.with_extension("damaged")
    }

    fn is_damaged(path: &Path) -> bool {
        let note = Self::damage_note(path);
        note.exists() && fs::remove_dir_all(path).and_then(|()| fs::remove_file(note)).is_ok()
    }

    fn try_open(path: &Path, chain: &ChainId) -> Result<(Self, Option<Mark>), StoreError> {
        let opening = |error| failed("opening", path, error);
        let database = Database::builder(path)
            .cache_size(CACHE_BYTES)
            .max_cached_files(Some(64))
            .max_journaling_size(64 * 1024 * 1024)
            .manual_journal_persist(true)
            .worker_threads(1)
            .open()
            .map_err(opening)?;
        let family = |name| {
            let options = || KeyspaceCreateOptions::default().max_memtable_size(BUFFER_BYTES);
            database.keyspace(name, options).map_err(opening)
        };
        let index = Self {
            path: path.to_owned(),
            bodies: family("bodies")?,
            transactions: family("transactions")?,
            assets: family("assets")?,
            owners: family("owners")?,
            spenders: family("spenders")?,
            database,
        };
        let mark = index.mark(chain)?;
        Ok((index, mark))
    }

    /// Up to where the index goes. Each family says so by itself: the tree opens one whose
    /// files are damaged as if it had always been empty.
    fn mark(&self, chain: &ChainId) -> Result<Option<Mark>, StoreError> {
        let read = |family: &Keyspace| family.get(MARK).map_err(|error| self.unreadable(error));
        let mark = read(&self.bodies)?;
        for family in self.families() {
            if read(family)? != mark {
                return Err(self.malformed(Reader::new("mark of a family", &[]).malformed()));
            }
        }
        let decoded = mark.map(|bytes| Mark::decode(&bytes, chain)).transpose();
        decoded.map_err(|error| self.malformed(error))
    }

    fn families(&self) -> [&Keyspace; 5] {
        [&self.bodies, &self.transactions, &self.assets, &self.owners, &self.spenders]
    }

    /// Takes a block's rows in; the blocks before it are there.
    pub(super) fn write(
        &self,
        chain: &ChainId,
        block: BlockId,
        rows: &Rows,
    ) -> Result<(), StoreError> {
        let mut batch = self.database.batch();
        batch.insert(&self.bodies, bodies::key(rows.height), bodies::encode(&rows.ends));
        for transaction in &rows.committed {
            let place = rows.place(transaction.index);
            let created = transaction.id == transaction.asset;
            let fate = Fate::Committed { place, created };
            batch.insert(&self.transactions, &transaction.id.0[..], fate.encode());
            if !created {
                batch.insert(&self.assets, assets::key(&transaction.asset, place), []);
            }
        }
        for (id, index) in &rows.refused {
            // Committed wins, whether in this block or before.
            let here = || rows.committed.iter().any(|transaction| transaction.id == *id);
            if !here() && !matches!(self.fate(id)?, Some(Fate::Committed { .. })) {
                let fate = Fate::Refused { place: rows.place(*index) };
                batch.insert(&self.transactions, &id.0[..], fate.encode());
            }
        }
        for created in &rows.created {
            let place = rows.place(created.index);
            for owner in owners_of(&created.row) {
                let key = owners::key(owner, place, created.at.index);
                batch.insert(&self.owners, key, &created.at.transaction.0[..]);
            }
        }
        for (at, spender) in &rows.spent {
            batch.insert(&self.spenders, spenders::key(at), &spender.0[..]);
        }
        let mark = Mark { height: rows.height, block }.encode(chain);
        for family in self.families() {
            batch.insert(family, MARK, mark.clone());
        }
        batch.commit().map_err(|error| failed("writing", &self.path, error))
    }

    /// What became of a transaction.
    pub(super) fn fate(&self, id: &TransactionId) -> Result<Option<Fate>, StoreError> {
        let found = self.transactions.get(id.0).map_err(|error| self.unreadable(error))?;
        found.map(|bytes| Fate::decode(&bytes)).transpose().map_err(|error| self.malformed(error))
    }

    /// Where in a block's binary form a transaction is, counted from where the first begins;
    /// nothing when the index does not have that block, or the block no such transaction.
    pub(super) fn body(&self, place: Place) -> Result<Option<Range<usize>>, StoreError> {
        let found = self.bodies.get(bodies::key(place.height));
        let found = found.map_err(|error| self.unreadable(error))?;
        let Some(ends) = found else { return Ok(None) };
        bodies::decode(&ends, place.index).map_err(|error| self.malformed(error))
    }

    /// Who spent an output.
    pub(super) fn spender(
        &self,
        at: &OutputReference,
    ) -> Result<Option<TransactionId>, StoreError> {
        let found = self.spenders.get(spenders::key(at)).map_err(|error| self.unreadable(error))?;
        found
            .map(|bytes| spenders::decode(&bytes))
            .transpose()
            .map_err(|error| self.malformed(error))
    }

    /// The places of an asset's transfers, up to a height, in chain order.
    pub(super) fn transfers(
        &self,
        asset: &TransactionId,
        to: Height,
    ) -> impl DoubleEndedIterator<Item = Result<Place, StoreError>> {
        let found = self.assets.range(assets::range(asset, to));
        found.map(|guard| self.place_of(guard.key()))
    }

    /// The same, leaving out those that a stretch begins behind.
    pub(super) fn transfers_along(
        &self,
        asset: &TransactionId,
        to: Height,
        stretch: &Stretch,
    ) -> impl DoubleEndedIterator<Item = Result<Place, StoreError>> {
        let mut bounds = assets::range(asset, to).into_inner();
        if let Some(after) = stretch.after {
            let key = assets::key(asset, after);
            if stretch.newest_first {
                bounds.1 = key.min(bounds.1);
            } else {
                bounds.0 = key.max(bounds.0);
            }
        }
        // The tree does not take a range that ends before it begins.
        let found = (bounds.0 <= bounds.1).then(|| self.assets.range(bounds.0..=bounds.1));
        found.into_iter().flatten().map(|guard| self.place_of(guard.key()))
    }

    fn place_of(&self, key: fjall::Result<impl AsRef<[u8]>>) -> Result<Place, StoreError> {
        let key = key.map_err(|error| self.unreadable(error))?;
        assets::decode(key.as_ref()).map_err(|error| self.malformed(error))
    }

    /// The outputs of an owner, up to a height, in chain order.
    pub(super) fn outputs(
        &self,
        owner: &PublicKey,
        to: Height,
    ) -> impl Iterator<Item = Result<OutputReference, StoreError>> {
        let found = self.owners.range(owners::range(owner, to));
        found.map(|guard| {
            let (key, value) = guard.into_inner().map_err(|error| self.unreadable(error))?;
            owners::decode(&key, &value).map_err(|error| self.malformed(error))
        })
    }

    /// Makes durable what was written.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let synced = self.database.persist(PersistMode::SyncAll);
        synced.map_err(|error| failed("syncing", &self.path, error))
    }

    /// What cannot be read now will be made again at the next start.
    fn unreadable(&self, error: fjall::Error) -> StoreError {
        let _ = fs::write(Self::damage_note(&self.path), b"");
        failed("reading", &self.path, error)
    }

    fn malformed(&self, error: DecodeError) -> StoreError {
        let _ = fs::write(Self::damage_note(&self.path), b"");
        corrupt(&self.path, 0, error.to_string())
    }
}

fn failed(doing: &'static str, path: &Path, error: fjall::Error) -> StoreError {
    match error {
        fjall::Error::Io(source) => trouble(doing, path)(source),
        other => trouble(doing, path)(io::Error::other(other.to_string())),
    }
}
