//! Rows that only this validator can have written: each ends with a keyed hash over its key and
//! its value, and the secret never leaves the validator's own volume.
//!
//! So whoever administers TiKV can remove rows and put old ones back, but make none up, change
//! none and move none elsewhere.

use std::{
    collections::HashMap,
    fs,
    io::Write as _,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use cairn_ledger::{encoding::DecodeError, ids::ChainId};
use cairn_tikv::Pair;

use super::far::Far;
use crate::store::{
    StoreError,
    files::{corrupt, replace, trouble},
};

/// Bytes of the hash at the end of each value: guessing one takes 2^128 tries.
const MAC_BYTES: usize = 16;
/// What the key of the hash is for.
const CONTEXT: &str = "cairn 2026 rows of a store in TiKV";

/// A validator's own secret.
#[derive(Clone)]
pub(super) struct Secret([u8; 32]);

impl Secret {
    /// The secret in a file; made there the first time.
    pub(super) fn read_or_make(path: &Path) -> Result<Self, StoreError> {
        if path.exists() {
            let bytes = fs::read(path).map_err(trouble("reading", path))?;
            let secret = bytes.try_into().map_err(|bytes: Vec<u8>| {
                corrupt(path, 0, format!("has {} bytes, 32 were written", bytes.len()))
            })?;
            return Ok(Self(secret));
        }
        let secret: [u8; 32] = crate::clock::random();
        replace(path, |file| file.write_all(&secret))?;
        Ok(Self(secret))
    }

    /// Tells the keys of this volume from those of another that had the same validator's name.
    pub(super) fn volume(&self) -> String {
        // A validator has few volumes in its life, and the name is in front of every key.
        hex::encode(&blake3::derive_key("cairn 2026 name of a volume in TiKV", &self.0)[..4])
    }
}

/// What ties the register of rows to a volume, a chain and keys in TiKV.
pub(super) struct Stamp {
    /// Hashes what its names are about.
    pub(super) key: [u8; 32],
    /// Tells it from those of others.
    pub(super) label: [u8; 32],
}

/// A key that was looked at.
pub(super) struct Looked {
    pub(super) key: Vec<u8>,
    /// What its value has.
    pub(super) bytes: usize,
    /// Whether this validator wrote it there.
    pub(super) is_ours: bool,
}

/// The keys of a validator, what is read from them checked.
pub(super) struct Vault {
    far: Arc<dyn Far>,
    name: String,
    key: [u8; 32],
    /// Left behind when a row was not what was written: the next start looks at all of them.
    note: PathBuf,
}

impl Vault {
    pub(super) fn new(far: Arc<dyn Far>, secret: &Secret, chain: &ChainId, note: PathBuf) -> Self {
        let name = far.name();
        let material = [&secret.0[..], &chain.0, name.as_bytes()].concat();
        Self { far, name, key: blake3::derive_key(CONTEXT, &material), note }
    }

    /// What the register of these rows is tied to.
    pub(super) fn stamp(&self) -> Stamp {
        let key = blake3::derive_key("cairn 2026 names of rows in TiKV", &self.key);
        let label = blake3::derive_key("cairn 2026 label of a register of rows", &self.key);
        Stamp { key, label }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: Vec<u8>) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.get_many(vec![key.clone()])?.remove(&key))
    }

    /// The values of those keys that have one.
    pub(super) fn get_many(
        &self,
        keys: Vec<Vec<u8>>,
    ) -> Result<HashMap<Vec<u8>, Vec<u8>>, StoreError> {
        let mut found = self.far.get_many(keys)?;
        for (key, value) in &mut found {
            self.unseal(key, value)?;
        }
        Ok(found)
    }

    /// The first or the last pairs of a range.
    pub(super) fn scan(
        &self,
        range: Range<Vec<u8>>,
        most: u32,
        backwards: bool,
    ) -> Result<Vec<Pair>, StoreError> {
        let mut found = self.far.scan(range, most, backwards)?;
        for (key, value) in &mut found {
            self.unseal(key, value)?;
        }
        Ok(found)
    }

    /// Keys of a range, whoever wrote what they hold.
    pub(super) fn look(&self, range: Range<Vec<u8>>, most: u32) -> Result<Vec<Looked>, StoreError> {
        let found = self.far.scan(range, most, false)?;
        let looked = found.into_iter().map(|(key, mut value)| {
            let (bytes, is_ours) = (value.len(), self.take_mac(&key, &mut value));
            Looked { key, bytes, is_ours }
        });
        Ok(looked.collect())
    }

    /// Like [`Vault::get_many`], nothing for what nobody here wrote.
    pub(super) fn get_sound(
        &self,
        keys: Vec<Vec<u8>>,
    ) -> Result<HashMap<Vec<u8>, Vec<u8>>, StoreError> {
        let mut found = self.far.get_many(keys)?;
        found.retain(|key, value| self.take_mac(key, value));
        Ok(found)
    }

    /// Writes each of these rows.
    pub(super) fn put_each(&self, rows: Vec<Pair>) -> Result<(), StoreError> {
        let seal = |(key, value): Pair| {
            let sealed = self.seal(&key, value);
            (key, sealed)
        };
        self.far.put_each(rows.into_iter().map(seal).collect())
    }

    /// Removes each of these rows.
    pub(super) fn remove_each(&self, keys: Vec<Vec<u8>>) -> Result<(), StoreError> {
        self.far.remove_each(keys)
    }

    /// Reads a key and writes what `decide` makes of it, as one step. It gets nothing when the
    /// key holds what nobody here wrote.
    pub(super) fn update(
        self: &Arc<Self>,
        key: &'static [u8],
        decide: impl Fn(Option<&[u8]>) -> Result<Option<Vec<u8>>, StoreError> + Send + Sync + 'static,
    ) -> Result<(), StoreError> {
        let vault = Arc::clone(self);
        let decide = move |value: Option<&[u8]>| {
            let mut value = value.map(<[u8]>::to_vec);
            value.take_if(|value| !vault.take_mac(key, value));
            Ok(decide(value.as_deref())?.map(|value| vault.seal(key, value)))
        };
        self.far.update(key, Arc::new(decide))
    }

    /// Why the keys cannot be reached, while they cannot.
    pub(super) fn trouble(&self) -> Option<String> {
        self.far.trouble()
    }

    /// All calls end soon from now on.
    pub(super) fn close(&self) {
        self.far.close();
    }

    /// What stands before all keys.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The note that a row was not what was written.
    pub(super) fn note(&self) -> &Path {
        &self.note
    }

    /// Leaves a note for the next start, which looks at all rows.
    pub(super) fn suspect(&self) {
        if let Err(error) = fs::write(&self.note, b"") {
            tracing::warn!(%error, "a note of a damaged row could not be left");
        }
    }

    /// A key does not hold what was written there. Leaves a note for the next start.
    pub(super) fn damaged(&self, key: &[u8], what: impl Into<String>) -> StoreError {
        self.suspect();
        StoreError::Corrupt { path: self.readable(key), at: 0, what: what.into() }
    }

    /// The same for a value that cannot be read.
    pub(super) fn malformed(&self, key: &[u8]) -> impl Fn(DecodeError) -> StoreError {
        move |error| self.damaged(key, error.to_string())
    }

    /// A key as people read it: the family's letter, and the rest in hexadecimal digits.
    pub(super) fn readable(&self, key: &[u8]) -> String {
        let (family, rest) = key.split_at(key.len().min(1));
        if key.is_ascii() && key.starts_with(b"0") {
            return format!("TiKV key {}{}", self.name, String::from_utf8_lossy(key));
        }
        let family = String::from_utf8_lossy(family);
        format!("TiKV key {}{family}:{}", self.name, hex::encode(rest))
    }

    fn unseal(&self, key: &[u8], value: &mut Vec<u8>) -> Result<(), StoreError> {
        if self.take_mac(key, value) {
            return Ok(());
        }
        Err(self.damaged(key, "it holds what this validator did not write"))
    }

    fn seal(&self, key: &[u8], mut value: Vec<u8>) -> Vec<u8> {
        let mac = self.mac(key, &value);
        value.extend(mac);
        value
    }

    /// Checks the hash and takes it off.
    fn take_mac(&self, key: &[u8], value: &mut Vec<u8>) -> bool {
        let Some((rest, mac)) = value.split_last_chunk::<MAC_BYTES>() else { return false };
        if self.mac(key, rest) != *mac {
            return false;
        }
        value.truncate(value.len() - MAC_BYTES);
        true
    }

    fn mac(&self, key: &[u8], value: &[u8]) -> [u8; MAC_BYTES] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&(key.len() as u64).to_be_bytes()).update(key).update(value);
        let mut mac = [0; MAC_BYTES];
        hasher.finalize_xof().fill(&mut mac);
        mac
    }
}
