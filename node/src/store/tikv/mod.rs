//! The store in TiKV: one validator, one key prefix. Nothing here grows with the ledger.
//!
//! * [`families`]: the keys, a file each. A block in pieces; a row for each transaction, output
//!   spent, owner, asset. Rows never change once written.
//! * [`seal`]: the tip, one key. A block's pieces are written first, then the tip moves onto it:
//!   that commits the block. What lies above the tip is not there.
//! * [`writer`]: the other rows, written behind the commit path; [`overlay`] answers for the
//!   blocks that they do not have yet. [`reading`]: the overlay, then the rows.
//! * [`vault`]: every row carries a keyed hash, whose secret lies on the validator's own volume.
//! * [`known`]: which rows there are, on that volume; [`written`] reads those, and notices one
//!   that was removed.
//! * [`pinned`]: the tip once more, on that volume: a TiKV that was rolled back is noticed.
//! * [`opening`]: which tip to go on from. [`scrub`]: every row compared with the blocks, and
//!   written again. [`far`]: the calls to TiKV.

mod families;
mod far;
mod known;
mod opening;
mod overlay;
mod pinned;
mod reading;
mod scrub;
mod seal;
#[cfg(test)]
mod tests;
mod vault;
mod writer;
mod written;

use std::{
    collections::BTreeSet,
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use cairn_ledger::{
    block::{Block, Header, Place, Tip},
    genesis::Genesis,
    ids::{Height, OutputReference, PublicKey, TransactionId},
    rules::{Reads, View},
    state::{Changes, StateHash},
};
use cairn_tikv::Space;
use parking_lot::{Condvar, Mutex, RwLock};
pub use scrub::Findings;
use tokio::sync::watch;

use self::{
    families::{TIP, block_rows},
    far::InTikv,
    known::Known,
    overlay::Overlay,
    pinned::Pinned,
    seal::Seal,
    vault::{Secret, Vault},
    writer::Work,
};
use super::{
    Located, Scrubbed, Spent, Store, StoreError, Stretch,
    files::{Directory, trouble},
    recent::Recent,
    rows::Rows,
};

/// What a test makes smaller.
#[derive(Clone, Copy, Debug)]
struct Options {
    /// So much may wait for its rows before commits wait too.
    pending_bytes_max: usize,
    /// Transactions whose rows are written together.
    batch_transactions: usize,
    /// After so many transactions the mark moves: what an opening replays at most, and what
    /// waits besides.
    mark_transactions: usize,
    /// From one look at all rows to the next.
    scrub_every: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pending_bytes_max: 32 * 1024 * 1024,
            batch_transactions: 2048,
            mark_transactions: 4096,
            scrub_every: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// Blocks and state in TiKV.
pub struct TikvStore {
    shared: Arc<Shared>,
    workers: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    genesis: Arc<Genesis>,
    options: Options,
    vault: Arc<Vault>,
    /// Which rows were written.
    known: Known,
    /// Who we are, in the tip: a later process has another name.
    me: [u8; 16],
    state: RwLock<State>,
    commits: Mutex<Commits>,
    recent: Mutex<Recent>,
    /// Blocks that could not be read back.
    damaged: Mutex<BTreeSet<Height>>,
    scrubbed: Mutex<Scrubbed>,
    tips: watch::Sender<Height>,
    work: Mutex<Work>,
    /// Something in `work` or `state` that a thread may wait for has changed.
    changed: Condvar,
    /// Only the end is told here.
    ending: Condvar,
    /// Let go last.
    _directory: Directory,
}

/// What all reads see: whole blocks only.
struct State {
    tip: Tip,
    hash: StateHash,
    overlay: Overlay,
}

/// What commits need of their own.
struct Commits {
    pinned: Pinned,
    /// Why there are no more.
    over: Option<String>,
}

impl std::fmt::Debug for TikvStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TikvStore").field("keys", &self.shared.vault.name()).finish_non_exhaustive()
    }
}

impl TikvStore {
    /// Opens the store of a validator in TiKV. The directory is on the validator's own volume,
    /// is made when it is not there, and is held until the store is dropped: it has the secret
    /// that the rows are signed with, and the pinned tip.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] when the directory is another chain's, a newer version's or in
    /// use; [`StoreError::Unreachable`] when TiKV does not answer. Rows that were removed or
    /// rolled back are never the reason: they are named in the log, and it goes on from the
    /// last tip whose blocks are there.
    pub fn open(
        space: Space,
        directory: &Path,
        genesis: Arc<Genesis>,
        validator: &str,
    ) -> Result<Self, StoreError> {
        let held = Directory::claim(directory, genesis.chain())?;
        let secret = Secret::read_or_make(&held.join("tikv.secret"))?;
        let all = space.below(&format!("v-{validator}"));
        let far = Arc::new(InTikv::new(all.below(&secret.volume())));
        opening::name_what_is_left(&InTikv::new(all), &secret.volume())?;
        Self::start(Shared::open(far, held, secret, genesis, Options::default())?, directory)
    }

    fn start(shared: Shared, directory: &Path) -> Result<Self, StoreError> {
        let shared = Arc::new(shared);
        let run = |name: &str, work: fn(&Shared)| {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || work(&shared))
                .map_err(trouble("starting a thread for", directory))
        };
        let store = Self { shared: Arc::clone(&shared), workers: Mutex::default() };
        shared.learn_rows()?;
        store.workers.lock().push(run("rows", Shared::write_rows)?);
        shared.replay()?;
        shared.look_at_what_was_damaged()?;
        store.workers.lock().push(run("scrub", Shared::scrub_now_and_then)?);
        Ok(store)
    }

    /// Compares every row with the blocks, and the blocks with their certificates and with the
    /// state that each names; writes rows again that are not what they should be.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] when TiKV does not answer.
    pub fn scrub(&self) -> Result<Findings, StoreError> {
        self.shared.scrub(true)
    }
}

impl Drop for TikvStore {
    fn drop(&mut self) {
        self.shared.end(|work| work.abandoned = true);
        for worker in self.workers.get_mut().drain(..) {
            // Its panic was printed when it happened.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn end(&self, how: impl Fn(&mut Work)) {
        how(&mut self.work.lock());
        self.changed.notify_all();
        self.ending.notify_all();
    }

    /// Wakes whoever waits for blocks, or for their rows.
    fn tell(&self) {
        // Taken so that nobody misses this between looking and waiting.
        drop(self.work.lock());
        self.changed.notify_all();
    }

    fn commit(&self, block: &Arc<Block>, changes: &Changes) -> Result<(), StoreError> {
        let rows = Rows::of(block, changes);
        let mut commits = self.commits.lock();
        let before = {
            // What would be a bug is found before anything is written.
            let state = self.state.read();
            super::assert_next(&state.tip, block);
            let after = state.hash.rows() + rows.created.len() as u64;
            assert_eq!(
                after.checked_sub(rows.spent.len() as u64),
                Some(changes.state.rows()),
                "changes and their state hash count the same outputs"
            );
            state.tip.clone()
        };
        if let Some(why) = &commits.over {
            return Err(StoreError::Foreign(why.clone()));
        }
        self.wait_for_rows()?;
        self.vault.put_each(block_rows(block, self.genesis.validators().len(), &rows))?;
        let tip = Tip::after(&block.header, changes.state.root());
        let seal = Seal { tip, state: changes.state.clone(), writer: self.me };
        let sealed = self.seal(before, &seal).and_then(|()| commits.pinned.pin(&seal));
        if let Err(error) = sealed {
            // Whether it is in must be asked again; everything else is the end.
            if !matches!(error, StoreError::Unreachable(_)) {
                commits.over = Some(error.to_string());
            }
            return Err(error);
        }
        self.recent.lock().put(Arc::clone(block));
        {
            let mut state = self.state.write();
            state.overlay.push(seal.tip.block, Arc::new(rows));
            state.tip = seal.tip;
            state.hash = seal.state;
        }
        self.tell();
        self.tips.send_replace(block.header.height);
        Ok(())
    }

    /// Moves the tip onto a block whose pieces are written: from here on it is committed.
    fn seal(&self, before: Tip, seal: &Seal) -> Result<(), StoreError> {
        let (seal, vault) = (seal.clone(), Arc::clone(&self.vault));
        self.vault.update(TIP, move |value| {
            let found = value.and_then(|value| Seal::decode(value).ok());
            match found {
                Some(found) if found.writer == seal.writer && found.tip == before => {
                    Ok(Some(seal.encode()))
                }
                // An earlier try, whose answer was lost.
                Some(found) if found == seal => Ok(None),
                Some(found) if found.writer != seal.writer => Err(StoreError::Foreign(format!(
                    "another process writes the keys below {} in TiKV; one is to go on alone",
                    vault.name()
                ))),
                _ => Err(StoreError::Corrupt {
                    path: vault.readable(TIP),
                    at: 0,
                    what: "the tip was removed or put back by another hand; \
                           the next start goes on from what is there"
                        .to_owned(),
                }),
            }
        })
    }
}

impl Store for TikvStore {
    fn tip(&self) -> (Tip, StateHash) {
        let state = self.shared.state.read();
        (state.tip.clone(), state.hash.clone())
    }

    fn tips(&self) -> watch::Receiver<Height> {
        self.shared.tips.subscribe()
    }

    fn view(&self, reads: &Reads) -> Result<View, StoreError> {
        self.shared.view(reads)
    }

    fn commit(&self, block: &Arc<Block>, changes: &Changes) -> Result<(), StoreError> {
        self.shared.commit(block, changes)
    }

    fn block(&self, height: Height) -> Result<Option<Arc<Block>>, StoreError> {
        self.shared.of_block(height, || self.shared.block(height))
    }

    fn header(&self, height: Height) -> Result<Option<Header>, StoreError> {
        self.shared.of_block(height, || self.shared.header(height))
    }

    fn transaction(&self, place: Place) -> Result<Option<Arc<[u8]>>, StoreError> {
        self.shared.of_block(place.height, || self.shared.transaction(place))
    }

    fn locate(&self, id: &TransactionId) -> Result<Option<Located>, StoreError> {
        self.shared.locate(id)
    }

    fn transactions_of(
        &self,
        asset: &TransactionId,
        most: usize,
    ) -> Result<Vec<Place>, StoreError> {
        let to = Height(u64::MAX);
        let all = Stretch { to, newest_first: false, after: None, most };
        self.shared.transactions_along(asset, &all)
    }

    fn transactions_along(
        &self,
        asset: &TransactionId,
        stretch: &Stretch,
    ) -> Result<Vec<Place>, StoreError> {
        self.shared.transactions_along(asset, stretch)
    }

    fn last_transaction_of(&self, asset: &TransactionId) -> Result<Option<Place>, StoreError> {
        self.shared.last_transaction_of(asset)
    }

    fn outputs_of(
        &self,
        owner: &PublicKey,
        spent: Spent,
        most: usize,
    ) -> Result<Vec<OutputReference>, StoreError> {
        self.shared.outputs_of(owner, spent, most)
    }

    fn damaged(&self) -> Vec<Height> {
        self.shared.damaged.lock().iter().copied().collect()
    }

    fn repair(&self, block: &Block) -> Result<(), StoreError> {
        self.shared.repair(block)
    }

    fn scrubbed(&self) -> Scrubbed {
        *self.shared.scrubbed.lock()
    }

    fn suspect(&self) {
        self.shared.vault.suspect();
    }

    fn trouble(&self) -> Option<String> {
        self.shared.vault.trouble()
    }

    fn interrupt(&self) {
        self.shared.vault.close();
        self.shared.end(|work| work.closing = true);
    }

    fn stop(&self) {
        self.shared.end(|work| work.stopping = true);
        for worker in self.workers.lock().drain(..) {
            // Its panic was printed when it happened.
            let _ = worker.join();
        }
    }
}
