//! A store that waits for a backend which does not answer: what the chain works with. A read or a
//! commit that found nobody is tried again until somebody is there, or nobody waits any more; to
//! the chain, an outage is a long call.

use std::{sync::Arc, time::Duration};

use cairn_ledger::{
    block::{Block, Header, Place, Tip},
    ids::{Height, OutputReference, PublicKey, TransactionId},
    rules::{Reads, View},
    state::{Changes, StateHash},
};
use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use super::{Located, Scrubbed, Spent, Store, StoreError, Stretch};

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// A store whose reads and commits wait while it is [`StoreError::Unreachable`].
pub struct Patient {
    store: Arc<dyn Store>,
    interrupted: Mutex<bool>,
    changed: Condvar,
}

impl Patient {
    /// Around that store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, interrupted: Mutex::default(), changed: Condvar::new() }
    }

    fn wait<T>(
        &self,
        doing: &str,
        mut call: impl FnMut() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut said = false;
        loop {
            let trouble = match call() {
                Err(StoreError::Unreachable(trouble)) => trouble,
                done => {
                    if said {
                        tracing::info!("the store answers again");
                    }
                    return done;
                }
            };
            if !said {
                tracing::warn!(error = %trouble, doing, "the store does not answer: the chain waits for it");
                said = true;
            }
            let mut interrupted = self.interrupted.lock();
            if !*interrupted {
                self.changed.wait_for(&mut interrupted, PAUSE);
            }
            if *interrupted {
                return Err(StoreError::Unreachable(trouble));
            }
        }
    }
}

impl Store for Patient {
    fn tip(&self) -> (Tip, StateHash) {
        self.store.tip()
    }

    fn tips(&self) -> watch::Receiver<Height> {
        self.store.tips()
    }

    fn view(&self, reads: &Reads) -> Result<View, StoreError> {
        self.wait("reading the state", || self.store.view(reads))
    }

    fn commit(&self, block: &Arc<Block>, changes: &Changes) -> Result<(), StoreError> {
        self.wait("storing a block", || self.store.commit(block, changes))
    }

    fn block(&self, height: Height) -> Result<Option<Arc<Block>>, StoreError> {
        self.wait("reading a block", || self.store.block(height))
    }

    fn header(&self, height: Height) -> Result<Option<Header>, StoreError> {
        self.wait("reading a header", || self.store.header(height))
    }

    fn transaction(&self, place: Place) -> Result<Option<Arc<[u8]>>, StoreError> {
        self.wait("reading a transaction", || self.store.transaction(place))
    }

    fn locate(&self, id: &TransactionId) -> Result<Option<Located>, StoreError> {
        self.wait("reading an index", || self.store.locate(id))
    }

    fn transactions_of(
        &self,
        asset: &TransactionId,
        most: usize,
    ) -> Result<Vec<Place>, StoreError> {
        self.wait("reading an index", || self.store.transactions_of(asset, most))
    }

    fn transactions_along(
        &self,
        asset: &TransactionId,
        stretch: &Stretch,
    ) -> Result<Vec<Place>, StoreError> {
        self.wait("reading an index", || self.store.transactions_along(asset, stretch))
    }

    fn last_transaction_of(&self, asset: &TransactionId) -> Result<Option<Place>, StoreError> {
        self.wait("reading an index", || self.store.last_transaction_of(asset))
    }

    fn outputs_of(
        &self,
        owner: &PublicKey,
        spent: Spent,
        most: usize,
    ) -> Result<Vec<OutputReference>, StoreError> {
        self.wait("reading an index", || self.store.outputs_of(owner, spent, most))
    }

    fn trouble(&self) -> Option<String> {
        self.store.trouble()
    }

    fn scrubbed(&self) -> Scrubbed {
        self.store.scrubbed()
    }

    fn suspect(&self) {
        self.store.suspect();
    }

    fn damaged(&self) -> Vec<Height> {
        self.store.damaged()
    }

    fn repair(&self, block: &Block) -> Result<(), StoreError> {
        // Whoever repairs comes again.
        self.store.repair(block)
    }

    fn interrupt(&self) {
        *self.interrupted.lock() = true;
        self.changed.notify_all();
        self.store.interrupt();
    }

    fn stop(&self) {
        self.store.stop();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread,
    };

    use super::*;
    use crate::{store::memory::MemoryStore, testing::Federation};

    fn patient() -> Arc<Patient> {
        Arc::new(Patient::new(Arc::new(MemoryStore::new(&Federation::new(1).genesis))))
    }

    fn away() -> StoreError {
        StoreError::Unreachable("away".to_owned())
    }

    #[test]
    fn an_outage_is_a_long_call() {
        let calls = AtomicUsize::new(0);
        let outage = || match calls.fetch_add(1, Ordering::Relaxed) {
            0..3 => Err(away()),
            _ => Ok("there"),
        };
        assert_eq!(patient().wait("testing", outage).unwrap(), "there");
        assert_eq!(calls.into_inner(), 4);
    }

    #[test]
    fn other_trouble_is_told_at_once() {
        let calls = AtomicUsize::new(0);
        let foreign = || -> Result<(), _> {
            calls.fetch_add(1, Ordering::Relaxed);
            Err(StoreError::Foreign("not ours".to_owned()))
        };
        assert!(matches!(patient().wait("testing", foreign), Err(StoreError::Foreign(_))));
        assert_eq!(calls.into_inner(), 1);
    }

    #[test]
    fn nobody_waits_after_the_end() {
        let patient = patient();
        let waiting = Arc::clone(&patient);
        let waits = thread::spawn(move || waiting.wait("testing", || Err::<(), _>(away())));
        patient.interrupt();
        assert!(matches!(waits.join().unwrap(), Err(StoreError::Unreachable(_))));
    }
}
