//! TiKV in memory: what it holds can be copied, put back and tampered with.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use cairn_tikv::Pair;
use parking_lot::Mutex;

use crate::store::{
    StoreError,
    tikv::far::{Decide, Far},
};

/// TiKV in memory, with a fuse: after so many steps it is cut off, for good or for one call.
pub(super) struct Shelf {
    pub(super) rows: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    pub(super) fuse: AtomicI64,
    /// One call fails, and the next ones work again.
    comes_back: AtomicBool,
}

impl Shelf {
    pub(super) fn new() -> Arc<Self> {
        let fuse = AtomicI64::new(i64::MAX);
        Arc::new(Self { rows: Mutex::default(), fuse, comes_back: AtomicBool::new(false) })
    }

    pub(super) fn light(&self, steps: i64, comes_back: bool) {
        self.comes_back.store(comes_back, Ordering::SeqCst);
        self.fuse.store(steps, Ordering::SeqCst);
    }

    pub(super) fn mend(&self) {
        self.fuse.store(i64::MAX, Ordering::SeqCst);
    }

    fn step(&self) -> Result<(), StoreError> {
        let left = self.fuse.fetch_sub(1, Ordering::SeqCst);
        if left > 0 || (self.comes_back.load(Ordering::SeqCst) && left < 0) {
            return Ok(());
        }
        Err(StoreError::Unreachable("the fuse is out".to_owned()))
    }

    pub(super) fn copy(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        self.rows.lock().clone()
    }

    pub(super) fn put_back(&self, rows: BTreeMap<Vec<u8>, Vec<u8>>) {
        *self.rows.lock() = rows;
    }
}

impl Far for Shelf {
    fn name(&self) -> String {
        "shelf/".to_owned()
    }

    fn get_many(&self, keys: Vec<Vec<u8>>) -> Result<HashMap<Vec<u8>, Vec<u8>>, StoreError> {
        let rows = self.rows.lock();
        Ok(keys
            .into_iter()
            .filter_map(|key| Some((key.clone(), rows.get(&key)?.clone())))
            .collect())
    }

    fn scan(
        &self,
        range: Range<Vec<u8>>,
        most: u32,
        backwards: bool,
    ) -> Result<Vec<Pair>, StoreError> {
        if range.start >= range.end {
            return Ok(Vec::new());
        }
        let rows = self.rows.lock();
        let found = rows.range(range).map(|(key, value)| (key.clone(), value.clone()));
        let most = most as usize;
        Ok(if backwards { found.rev().take(most).collect() } else { found.take(most).collect() })
    }

    fn put_each(&self, rows: Vec<Pair>) -> Result<(), StoreError> {
        for (key, value) in rows {
            self.step()?;
            self.rows.lock().insert(key, value);
        }
        Ok(())
    }

    fn remove_each(&self, keys: Vec<Vec<u8>>) -> Result<(), StoreError> {
        for key in keys {
            self.step()?;
            self.rows.lock().remove(&key);
        }
        Ok(())
    }

    fn update(&self, key: &[u8], decide: Decide) -> Result<(), StoreError> {
        self.step()?;
        {
            let mut rows = self.rows.lock();
            if let Some(value) = decide(rows.get(key).map(Vec::as_slice))? {
                rows.insert(key.to_vec(), value);
            }
        }
        // Written, and the answer lost.
        self.step()
    }

    fn close(&self) {}
}
