//! The register of rows: which ones this validator wrote, on its own volume. So an administrator
//! of TiKV can remove a row, but not have it read as one that never was; and what never was is
//! known without asking TiKV.
//!
//! An LSM tree of names alone, some 20 bytes each: a keyed hash of what the row is about, and
//! for the rows of a list where they are in it. A name is here once its row is in TiKV, and
//! before the overlay forgets its block. Nothing here is the only copy: a register that is
//! missing, behind, damaged or another volume's is made again from the blocks.

use std::{
    collections::BTreeSet,
    fs, io,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use cairn_ledger::{
    encoding::{DecodeError, Reader},
    ids::Height,
};
use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, PersistMode,
    config::{PartitioningPolicy, PinningPolicy},
};
use parking_lot::Mutex;

use super::{families::subject_bytes, vault::Stamp};
use crate::store::{
    StoreError,
    files::{corrupt, trouble},
};

/// Cached blocks of the tree.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;
/// What is kept in memory before it is sorted into a file.
const BUFFER_BYTES: u64 = 4 * 1024 * 1024;
/// What stands for a row's subject. With 2^32 rows, that two of them share one by chance is a
/// matter of 1 in 100,000; the worst of it is damage that is named where there is none.
const SUBJECT_BYTES: usize = 10;
/// The layout of names; another one is made again.
const LAYOUT: u8 = 1;
/// Whose names these are. Written first of all: a tree that lost its files is opened as if it
/// had always been empty, and has no such record.
const BORN: &[u8] = b"born";
/// Up to which block. Both are shorter than any name.
const REACH: &[u8] = b"reach";
/// As many blocks may be missing while the register is made again.
const GAPS_MAX: usize = 1024;

/// The register, open.
pub(super) struct Known {
    path: PathBuf,
    database: Database,
    names: Keyspace,
    key: [u8; 32],
    reach: Mutex<Reach>,
}

/// How far the register goes.
#[derive(Debug, Default)]
struct Reach {
    /// The rows of all blocks up to here are in it, but for those of the gaps.
    to: Height,
    /// Blocks that were not there when their rows were to be learnt.
    gaps: BTreeSet<Height>,
}

impl Reach {
    /// Up to where there is no gap: where a later process goes on.
    fn whole(&self) -> Height {
        self.gaps.first().map_or(self.to, |gap| Height(gap.0 - 1).min(self.to))
    }

    fn encode(&self) -> [u8; 8] {
        self.whole().0.to_be_bytes()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("reach of the register of rows", bytes);
        let to = Height(reader.u64()?);
        reader.finish()?;
        Ok(Self { to, gaps: BTreeSet::new() })
    }
}

impl Known {
    /// Opens the register; makes an empty one where there is none that can be used, and where
    /// it knows of blocks above the tip: those were left behind.
    pub(super) fn open(path: &Path, stamp: &Stamp, tip: Height) -> Result<Self, StoreError> {
        let note = damage_note(path);
        if !note.exists() {
            // The tree is not ours, and what it reads may be damaged in any way.
            let why = match catch_unwind(AssertUnwindSafe(|| Self::try_open(path, stamp))) {
                Ok(Ok(known)) if known.reaches() <= tip => return Ok(known),
                Ok(Ok(known)) => format!("it is of block {}, above the tip", known.reaches()),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it cannot be read".to_owned(),
            };
            tracing::warn!(path = %path.display(), why, "makes the register of rows again");
        }
        remove(path)?;
        if note.exists() {
            fs::remove_file(&note).map_err(trouble("removing", &note))?;
        }
        Self::try_open(path, stamp)
    }

    fn try_open(path: &Path, stamp: &Stamp) -> Result<Self, StoreError> {
        let opening = |error| failed("opening", path, error);
        let database = Database::builder(path)
            .cache_size(CACHE_BYTES)
            .max_cached_files(Some(64))
            .max_journaling_size(64 * 1024 * 1024)
            .manual_journal_persist(true)
            .worker_threads(1)
            .open()
            .map_err(opening)?;
        // Filters and indexes grow with the ledger: in parts, and only those in use in memory.
        let options = || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(BUFFER_BYTES)
                .filter_block_partitioning_policy(PartitioningPolicy::all(true))
                .index_block_partitioning_policy(PartitioningPolicy::all(true))
                .filter_block_pinning_policy(PinningPolicy::disabled())
                .index_block_pinning_policy(PinningPolicy::disabled())
        };
        let names = database.keyspace("names", options).map_err(opening)?;
        let born = [&[LAYOUT][..], &stamp.label].concat();
        match names.get(BORN).map_err(opening)? {
            Some(found) if *found == born[..] => {}
            None if names.is_empty().map_err(opening)? => {
                names.insert(BORN, born).map_err(opening)?;
                database.persist(PersistMode::SyncAll).map_err(opening)?;
            }
            _ => return Err(corrupt(path, 0, "it is another volume's, or lost what it had")),
        }
        let found = names.get(REACH).map_err(opening)?;
        let reach = found.map(|bytes| Reach::decode(&bytes)).transpose();
        let reach = reach.map_err(|error| corrupt(path, 0, error.to_string()))?;
        let reach = Mutex::new(reach.unwrap_or_default());
        Ok(Self { path: path.to_owned(), database, names, key: stamp.key, reach })
    }

    /// The rows of all blocks up to here have been learnt.
    pub(super) fn reaches(&self) -> Height {
        self.reach.lock().to
    }

    /// Whether a row of that key was written. With gaps, another answer than yes is not certain.
    pub(super) fn has(&self, key: &[u8]) -> Result<bool, StoreError> {
        self.names.contains_key(self.name(key)).map_err(|error| self.unreadable(error))
    }

    /// The keys of the first or the last rows that were written in a range, which is about one
    /// subject.
    pub(super) fn within(
        &self,
        range: &Range<Vec<u8>>,
        most: usize,
        backwards: bool,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let subject = &range.start[..subject_bytes(&range.start)];
        assert!(range.end.starts_with(subject), "a range is about one subject");
        let (first, end) = (self.name(&range.start), self.name(&range.end));
        if first >= end {
            return Ok(Vec::new());
        }
        let found = self.names.range(first..end);
        let key = |guard: fjall::Guard| {
            let name = guard.key().map_err(|error| self.unreadable(error))?;
            Ok([subject, &name[SUBJECT_BYTES..]].concat())
        };
        if backwards {
            found.rev().take(most).map(key).collect()
        } else {
            found.take(most).map(key).collect()
        }
    }

    /// Takes in that the rows of these keys are written, and with them all of the blocks up to a
    /// height.
    pub(super) fn learn<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k [u8]>,
        to: Height,
    ) -> Result<(), StoreError> {
        let mut batch = self.database.batch();
        for key in keys {
            batch.insert(&self.names, self.name(key), []);
        }
        let reach = {
            let mut reach = self.reach.lock();
            reach.to = reach.to.max(to);
            reach.encode()
        };
        batch.insert(&self.names, REACH, reach);
        batch.commit().map_err(|error| failed("writing", &self.path, error))
    }

    /// The rows of a block could not be learnt, because it is not there.
    pub(super) fn miss(&self, height: Height) -> Result<(), StoreError> {
        let mut reach = self.reach.lock();
        reach.gaps.insert(height);
        if reach.gaps.len() > GAPS_MAX {
            let what = format!(
                "it cannot be made again: more than {GAPS_MAX} blocks are missing in TiKV; \
                 restore them, or let the validator begin anew with an empty volume"
            );
            return Err(corrupt(&self.path, 0, what));
        }
        Ok(())
    }

    /// They were, now that it came back.
    pub(super) fn found(&self, height: Height) {
        self.reach.lock().gaps.remove(&height);
    }

    /// A block whose rows are not here; while there is one, nothing is known not to be.
    pub(super) fn gap(&self) -> Option<Height> {
        self.reach.lock().gaps.first().copied()
    }

    /// Makes durable what was learnt.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let synced = self.database.persist(PersistMode::SyncData);
        synced.map_err(|error| failed("syncing", &self.path, error))
    }

    /// Sorts what is in memory into a file.
    #[cfg(test)]
    pub(super) fn flush(&self) {
        self.names.rotate_memtable_and_wait().unwrap();
    }

    /// What stands for a row here: its subject's hash, then where it is in the subject's list.
    fn name(&self, key: &[u8]) -> Vec<u8> {
        let (subject, place) = key.split_at(subject_bytes(key));
        let mut name = vec![0; SUBJECT_BYTES];
        blake3::Hasher::new_keyed(&self.key).update(subject).finalize_xof().fill(&mut name);
        name.extend(place);
        name
    }

    /// What cannot be read now will be made again at the next start.
    fn unreadable(&self, error: fjall::Error) -> StoreError {
        let _ = fs::write(damage_note(&self.path), b"");
        failed("reading", &self.path, error)
    }
}

fn damage_note(path: &Path) -> PathBuf {
    path.with_extension("damaged")
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(trouble("removing", path)(error))
        }
        _ => Ok(()),
    }
}

fn failed(doing: &'static str, path: &Path, error: fjall::Error) -> StoreError {
    match error {
        fjall::Error::Io(source) => trouble(doing, path)(source),
        other => trouble(doing, path)(io::Error::other(other.to_string())),
    }
}
