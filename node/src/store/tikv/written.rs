//! Rows, as far as the register knows of them: what it does not know of was never written, and
//! what it knows of is there, or was removed.

use std::{collections::HashMap, ops::Range};

use cairn_ledger::ids::{Height, OutputReference, TransactionId};
use cairn_tikv::Pair;

use super::{
    Shared,
    families::{
        spenders,
        transactions::{self, Entry},
    },
};
use crate::store::StoreError;

/// What became of a row that is not there.
const GONE: &str = "this validator wrote it, and it was removed";

impl Shared {
    /// The rows of those keys that were written. What was not is not asked for; what was, and is
    /// not there any more, is never taken for what never was.
    pub(super) fn written(
        &self,
        keys: Vec<Vec<u8>>,
    ) -> Result<HashMap<Vec<u8>, Vec<u8>>, StoreError> {
        let mut known = Vec::with_capacity(keys.len());
        for key in keys {
            if self.known.has(&key)? {
                known.push(key);
            } else {
                self.assert_certain()?;
            }
        }
        let found = self.vault.get_many(known.clone())?;
        match known.iter().find(|key| !found.contains_key(*key)) {
            Some(gone) => Err(self.gone(gone)),
            None => Ok(found),
        }
    }

    /// A row that was written is not there. While a block is awaited from a peer, it may be one
    /// of that block's, which then comes back with it.
    fn gone(&self, key: &[u8]) -> StoreError {
        match self.damaged.lock().first() {
            None => self.vault.damaged(key, GONE),
            Some(height) => StoreError::Unreachable(format!(
                "{} was removed, and block {height}, of which it may be, is awaited from a peer",
                self.vault.readable(key)
            )),
        }
    }

    /// The first or the last rows of a list that were written in a range of its keys.
    pub(super) fn written_within(
        &self,
        range: &Range<Vec<u8>>,
        most: usize,
        backwards: bool,
    ) -> Result<Vec<Pair>, StoreError> {
        self.assert_certain()?;
        let keys = self.known.within(range, most, backwards)?;
        let mut found = self.vault.get_many(keys.clone())?;
        let pair = |key: Vec<u8>| match found.remove(&key) {
            Some(value) => Ok((key, value)),
            None => Err(self.gone(&key)),
        };
        keys.into_iter().map(pair).collect()
    }

    /// While a block is missing whose rows the register lost, it cannot say what is not there.
    fn assert_certain(&self) -> Result<(), StoreError> {
        match self.known.gap() {
            None => Ok(()),
            Some(gap) => Err(StoreError::Unreachable(format!(
                "block {gap} was removed from TiKV, and is awaited from a peer"
            ))),
        }
    }

    /// A committed transaction's row, when it is of a block up to `settled`: others are newer
    /// than the answer.
    pub(super) fn entry(
        &self,
        id: &TransactionId,
        settled: Height,
    ) -> Result<Option<Entry>, StoreError> {
        let found = self.written(vec![transactions::key(id)])?;
        self.entry_in(id, &found, settled)
    }

    pub(super) fn entry_in(
        &self,
        id: &TransactionId,
        found: &HashMap<Vec<u8>, Vec<u8>>,
        settled: Height,
    ) -> Result<Option<Entry>, StoreError> {
        let key = transactions::key(id);
        let Some(value) = found.get(&key) else { return Ok(None) };
        let entry = Entry::decode(&key, value).map_err(self.vault.malformed(&key))?;
        Ok(Some(entry).filter(|entry| entry.place.height <= settled))
    }

    pub(super) fn spender_in(
        &self,
        at: &OutputReference,
        found: &HashMap<Vec<u8>, Vec<u8>>,
        settled: Height,
    ) -> Result<Option<TransactionId>, StoreError> {
        let key = spenders::key(at);
        let Some(value) = found.get(&key) else { return Ok(None) };
        let (spender, height) = spenders::decode(value).map_err(self.vault.malformed(&key))?;
        Ok((height <= settled).then_some(spender))
    }
}
