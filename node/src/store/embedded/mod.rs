//! The store on local files.
//!
//! * [`segments`]: the block log. One write and one fdatasync there is what commits a block:
//!   body, outcomes, certificate, position. Everything else can be made again from it.
//! * [`outputs`]: the unspent outputs, in memory; [`snapshot`] puts them on disk now and then.
//! * [`index`]: what queries need, written behind the commit path; [`Pending`] answers for
//!   the blocks that it has not taken in yet.
//! * [`replay`]: opening. [`Directory`]: whose directory it is.

mod index;
mod outputs;
mod record;
mod replay;
mod segments;
mod snapshot;
#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    thread::{self, JoinHandle},
};

use cairn_ledger::{
    block::{self, Block, Header, Place, Tip},
    genesis::Genesis,
    ids::{ChainId, Height, OutputReference, PublicKey, TransactionId},
    rules::{OutputState, Reads, View},
    state::{Changes, StateHash},
};
use cairn_metrics::Histogram;
use parking_lot::{Condvar, Mutex, RwLock};
use tokio::sync::watch;

use self::{
    index::Index,
    outputs::Outputs,
    replay::{Replay, Replayed},
    segments::Log,
};
use super::{
    Located, Spent, Store, StoreError, Stretch,
    files::{Directory, corrupt, trouble},
    pending::{Fate, Pending},
    recent::Recent,
    rows::Rows,
};
use crate::clock::Stopwatch;

/// What a test makes smaller.
#[derive(Clone, Copy, Debug)]
struct Options {
    segment_bytes: u64,
    /// A snapshot is written after that many transactions: what a restart after a crash
    /// has to replay at most, unless the state is much larger.
    snapshot_transactions: u64,
    /// So many transactions may wait for the index before commits wait too.
    pending_transactions_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: segments::SEGMENT_BYTES,
            snapshot_transactions: 100_000,
            pending_transactions_max: 50_000,
        }
    }
}

/// Blocks and state in a directory.
#[derive(Debug)]
pub struct Embedded {
    shared: Arc<Shared>,
    workers: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    genesis: Arc<Genesis>,
    options: Options,
    blocks: PathBuf,
    snapshots: PathBuf,
    log: Log,
    index: Index,
    state: RwLock<State>,
    recent: Mutex<Recent>,
    tips: watch::Sender<Height>,
    work: Mutex<Work>,
    /// Where the seconds of each snapshot are counted.
    snapshot_seconds: OnceLock<Histogram>,
    /// Something in `work` or `state` that a thread may wait for has changed.
    changed: Condvar,
    /// Let go last.
    _directory: Directory,
}

/// What all reads see: whole blocks only.
#[derive(Debug)]
struct State {
    tip: Tip,
    hash: StateHash,
    outputs: Outputs,
    pending: Pending,
}

/// What the background has been asked for.
#[derive(Debug, Default)]
struct Work {
    /// Index what is there, then end.
    stopping: bool,
    /// End at once.
    abandoned: bool,
    /// Why the index takes no more blocks.
    index_trouble: Option<String>,
    since_snapshot: u64,
    /// As of which height the snapshot on disk is.
    snapshot: Height,
}

impl Embedded {
    /// Counts the seconds of each snapshot from now on.
    pub fn count_snapshots(&self, seconds: Histogram) {
        // Whoever counts already goes on.
        let _ = self.shared.snapshot_seconds.set(seconds);
    }

    /// Opens the store in a directory, which is made when it is not there, and holds it until
    /// dropped.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] when the directory is another chain's, a newer version's or in
    /// use; [`StoreError::Corrupt`] when a block that was committed cannot be read back.
    /// Snapshots and indexes are never the reason: they are made again.
    pub fn open(directory: &Path, genesis: Arc<Genesis>) -> Result<Self, StoreError> {
        Self::open_with(directory, genesis, Options::default())
    }

    fn open_with(
        directory: &Path,
        genesis: Arc<Genesis>,
        options: Options,
    ) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::open(directory, genesis, options)?);
        let run = |name: &str, work: fn(&Shared)| {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || work(&shared))
                .map_err(trouble("starting a thread for", directory))
        };
        let store = Self { shared: Arc::clone(&shared), workers: Mutex::default() };
        store.workers.lock().push(run("index", Shared::index_blocks)?);
        store.workers.lock().push(run("snapshot", Shared::write_snapshots)?);
        Ok(store)
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.shared.work.lock().abandoned = true;
        self.shared.changed.notify_all();
        for worker in self.workers.get_mut().drain(..) {
            // Its panic was printed when it happened.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn open(path: &Path, genesis: Arc<Genesis>, options: Options) -> Result<Self, StoreError> {
        let chain = genesis.chain();
        let directory = Directory::claim(path, chain)?;
        let (blocks, snapshots) = (directory.join("blocks"), directory.join("snapshot"));
        let index_path = directory.join("index");
        let random: [[u8; 8]; 2] = [crate::clock::random(), crate::clock::random()];
        let seed = random.map(u64::from_le_bytes);

        let mut snapshot = snapshot::read(&snapshots, &chain, seed);
        let (mut index, mut mark) = Index::open(&index_path, &chain)?;
        let end = snapshot.as_ref().map(|snapshot| &snapshot.end);
        let known = end.map_or(Vec::new(), |end| end.spans.clone());
        let committed = mark.map_or(Height(0), |mark| mark.height).max(Height(known.len() as u64));
        let log = Log::open(&blocks, &chain, options.segment_bytes, known, committed)?;

        let stored = |height| -> Result<_, StoreError> {
            let block = replay::read_block(&log, &genesis, &blocks, height)?;
            Ok(block.map(|block| block.header.id()))
        };
        // Both must be of this very history.
        if let Some(found) = mark
            && stored(found.height)? != Some(found.block)
        {
            drop(index);
            index = Index::reset(&index_path, &chain)?;
            mark = None;
        }
        if let Some(end) = snapshot.as_ref().map(|snapshot| &snapshot.end)
            && stored(end.height)? != Some(end.block)
        {
            snapshot = None;
        }
        let snapshot_height = snapshot.as_ref().map_or(Height(0), |found| found.end.height);
        let Replayed { tip, state: hash, outputs } = {
            let (directory, log, index) = (&*blocks, &log, &index);
            Replay { genesis: &genesis, directory, log, index, mark, seed }.run(snapshot)?
        };
        let pending = Pending::new(tip.height);
        let tips = watch::Sender::new(tip.height);
        let state = State { tip, hash, outputs, pending };
        let work = Work { snapshot: snapshot_height, ..Work::default() };
        Ok(Self {
            genesis,
            options,
            blocks,
            snapshots,
            log,
            index,
            state: RwLock::new(state),
            recent: Mutex::default(),
            tips,
            work: Mutex::new(work),
            snapshot_seconds: OnceLock::new(),
            changed: Condvar::new(),
            _directory: directory,
        })
    }

    fn chain(&self) -> ChainId {
        self.genesis.chain()
    }

    /// The thread that takes blocks into the index.
    fn index_blocks(&self) {
        while let Some((block, rows)) = self.next_to_index() {
            if let Err(error) = self.index.write(&self.chain(), block, &rows) {
                tracing::error!(%error, "the index takes no more blocks");
                self.work.lock().index_trouble = Some(error.to_string());
                self.changed.notify_all();
                return;
            }
            self.state.write().pending.forget_first();
            // Taken so that nobody misses this between looking and waiting.
            drop(self.work.lock());
            self.changed.notify_all();
        }
        if let Err(error) = self.index.sync() {
            tracing::warn!(%error, "the index is made again from the blocks it lacks");
        }
    }

    fn next_to_index(&self) -> Option<(cairn_ledger::ids::BlockId, Arc<Rows>)> {
        let mut work = self.work.lock();
        loop {
            if work.abandoned {
                return None;
            }
            let first = self.state.read().pending.first();
            if first.is_some() || work.stopping {
                return first;
            }
            self.changed.wait(&mut work);
        }
    }

    /// The thread that puts the state on disk now and then.
    fn write_snapshots(&self) {
        loop {
            let mut work = self.work.lock();
            loop {
                if work.abandoned || work.stopping {
                    return;
                }
                // A large state is written less often, so that writing it stays a small
                // part of all writing.
                let rows = self.state.read().outputs.len();
                if work.since_snapshot >= self.options.snapshot_transactions.max(rows / 10) {
                    break;
                }
                self.changed.wait(&mut work);
            }
            work.since_snapshot = 0;
            drop(work);
            self.write_snapshot();
        }
    }

    fn write_snapshot(&self) {
        let watch = Stopwatch::start();
        let written = snapshot::write(&self.snapshots, &self.chain(), |number| {
            let state = self.state.read();
            let end = (number + 1 == outputs::SHARDS).then(|| snapshot::End {
                height: state.tip.height,
                block: state.tip.block,
                state: state.hash.clone(),
                spans: self.log.spans_to(state.tip.height),
            });
            let rows = state.outputs.encode_shard(number);
            snapshot::Copy { height: state.tip.height, rows, end }
        });
        match written {
            Ok(height) => {
                self.work.lock().snapshot = height;
                if let Some(seconds) = self.snapshot_seconds.get() {
                    seconds.observe(watch.seconds());
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a snapshot could not be written: the next start replays more")
            }
        }
    }

    /// Waits until the index is not too far behind.
    fn wait_for_index(&self) -> Result<(), StoreError> {
        let mut work = self.work.lock();
        loop {
            if let Some(why) = &work.index_trouble {
                let source = io::Error::other(why.clone());
                return Err(trouble("indexing for", &self.blocks)(source));
            }
            let waiting = self.state.read().pending.transactions();
            if waiting <= self.options.pending_transactions_max || work.stopping {
                return Ok(());
            }
            self.changed.wait(&mut work);
        }
    }

    /// What became of a transaction. Committed wins, wherever it is known.
    fn fate(&self, state: &State, id: &TransactionId) -> Result<Option<Fate>, StoreError> {
        match state.pending.fate(id) {
            Some(fate @ Fate::Committed { .. }) => Ok(Some(fate)),
            later => match self.index.fate(id)? {
                Some(fate @ Fate::Committed { .. }) => Ok(Some(fate)),
                earlier => Ok(later.or(earlier)),
            },
        }
    }

    fn output(&self, state: &State, at: &OutputReference) -> Result<OutputState, StoreError> {
        if let Some(row) = state.outputs.get(at) {
            return Ok(OutputState::Unspent(row));
        }
        let spender = match state.pending.spender(at) {
            Some(spender) => Some(spender),
            None => self.index.spender(at)?,
        };
        Ok(spender.map_or(OutputState::Unknown, OutputState::Spent))
    }

    /// Where an asset was made.
    fn made(&self, state: &State, asset: &TransactionId) -> Result<Option<Place>, StoreError> {
        match self.fate(state, asset)? {
            Some(Fate::Committed { place, created: true }) => Ok(Some(place)),
            _ => Ok(None),
        }
    }
}

impl State {
    fn apply(&mut self, block: &Block, rows: Rows, changes: &Changes) {
        for created in &rows.created {
            self.outputs.insert(created.at, created.row.clone());
        }
        for (at, _) in &rows.spent {
            let row = self.outputs.remove(at);
            assert!(row.is_some(), "only unspent outputs are spent");
        }
        self.tip = Tip::after(&block.header, changes.state.root());
        self.hash = changes.state.clone();
        self.pending.push(self.tip.block, Arc::new(rows));
    }
}

impl Store for Embedded {
    fn tip(&self) -> (Tip, StateHash) {
        let state = self.shared.state.read();
        (state.tip.clone(), state.hash.clone())
    }

    fn tips(&self) -> watch::Receiver<Height> {
        self.shared.tips.subscribe()
    }

    fn view(&self, reads: &Reads) -> Result<View, StoreError> {
        let shared = &self.shared;
        let state = shared.state.read();
        let mut view = View::default();
        view.outputs.reserve(reads.outputs.len());
        view.transactions.reserve(reads.transactions.len());
        // Whoever has an unspent output is committed: no need to ask the index.
        let mut committed = HashSet::new();
        for at in &reads.outputs {
            let output = shared.output(&state, at)?;
            if matches!(output, OutputState::Unspent(_)) {
                committed.insert(at.transaction);
            }
            view.outputs.insert(*at, output);
        }
        for id in &reads.transactions {
            let is_committed = committed.contains(id)
                || matches!(shared.fate(&state, id)?, Some(Fate::Committed { .. }));
            view.transactions.insert(*id, is_committed);
        }
        Ok(view)
    }

    fn commit(&self, block: &Arc<Block>, changes: &Changes) -> Result<(), StoreError> {
        let shared = &self.shared;
        let rows = Rows::of(block, changes);
        {
            // What would be a bug is found before anything is written.
            let state = shared.state.read();
            super::assert_next(&state.tip, block);
            let after = state.outputs.len() + rows.created.len() as u64;
            assert_eq!(
                after - rows.spent.len() as u64,
                changes.state.rows(),
                "changes and their state hash count the same outputs"
            );
        }
        shared.wait_for_index()?;
        let bytes = block.encode(shared.genesis.validators().len());
        shared.log.append(block.header.height, &bytes)?;
        shared.recent.lock().put(Arc::clone(block));
        let transactions = block.body.len() as u64;
        shared.state.write().apply(block, rows, changes);
        shared.work.lock().since_snapshot += transactions;
        shared.changed.notify_all();
        shared.tips.send_replace(block.header.height);
        Ok(())
    }

    fn block(&self, height: Height) -> Result<Option<Arc<Block>>, StoreError> {
        let shared = &self.shared;
        // A block is in the log a moment before it is part of the state.
        if height > shared.state.read().tip.height {
            return Ok(None);
        }
        if let Some(block) = shared.recent.lock().get(height) {
            return Ok(Some(block));
        }
        let block = replay::read_block(&shared.log, &shared.genesis, &shared.blocks, height)?;
        let block = block.map(Arc::new);
        if let Some(block) = &block {
            shared.recent.lock().put(Arc::clone(block));
        }
        Ok(block)
    }

    fn transaction(&self, place: Place) -> Result<Option<Arc<[u8]>>, StoreError> {
        let shared = &self.shared;
        if place.height > shared.state.read().tip.height {
            return Ok(None);
        }
        let kept = shared.recent.lock().get(place.height);
        if let Some(block) = kept {
            return Ok(block.body.get(place.index as usize).cloned());
        }
        // What the index has not taken in yet was stored a moment ago: it is kept, mostly.
        let Some(within) = shared.index.body(place)? else {
            let block = self.block(place.height)?;
            return Ok(block.and_then(|block| block.body.get(place.index as usize).cloned()));
        };
        let Some(head) = shared.log.read_part(place.height, 0..Block::HEAD_BYTES)? else {
            return Ok(None);
        };
        let start = Block::body_at(&head).ok_or_else(|| {
            corrupt(&shared.blocks, 0, format!("block {} does not begin as one", place.height))
        })?;
        let part = start + within.start..start + within.end;
        Ok(shared.log.read_part(place.height, part)?.map(Arc::from))
    }

    fn header(&self, height: Height) -> Result<Option<Header>, StoreError> {
        let shared = &self.shared;
        if height > shared.state.read().tip.height {
            return Ok(None);
        }
        if let Some(block) = shared.recent.lock().get(height) {
            return Ok(Some(block.header.clone()));
        }
        let front = shared.log.read_part(height, 0..Block::HEAD_BYTES)?;
        let Some(front) = front else { return Ok(None) };
        let header = block::front(&front)
            .map_err(|error| corrupt(&shared.blocks, height.0, error.to_string()))?;
        Ok(Some(header))
    }

    fn locate(&self, id: &TransactionId) -> Result<Option<Located>, StoreError> {
        let state = self.shared.state.read();
        Ok(self.shared.fate(&state, id)?.map(Located::from))
    }

    fn transactions_of(
        &self,
        asset: &TransactionId,
        most: usize,
    ) -> Result<Vec<Place>, StoreError> {
        let state = self.shared.state.read();
        let made = self.shared.made(&state, asset)?.map(Ok);
        let indexed = self.shared.index.transfers(asset, state.pending.indexed());
        let pending = state.pending.transfers(asset).map(Ok);
        made.into_iter().chain(indexed).chain(pending).take(most).collect()
    }

    fn transactions_along(
        &self,
        asset: &TransactionId,
        stretch: &Stretch,
    ) -> Result<Vec<Place>, StoreError> {
        let state = self.shared.state.read();
        let made = self.shared.made(&state, asset)?.map(Ok);
        let indexed = state.pending.indexed().min(stretch.to);
        let transfers = self.shared.index.transfers_along(asset, indexed, stretch);
        let pending = state.pending.transfers(asset).map(Ok);
        let all = made.into_iter().chain(transfers).chain(pending);
        // Trouble is handed on, not filtered out.
        let held = all.filter(|place| place.as_ref().map_or(true, |place| stretch.holds(*place)));
        if stretch.newest_first {
            held.rev().take(stretch.most).collect()
        } else {
            held.take(stretch.most).collect()
        }
    }

    fn last_transaction_of(&self, asset: &TransactionId) -> Result<Option<Place>, StoreError> {
        let state = self.shared.state.read();
        if let Some(place) = state.pending.transfers(asset).next_back() {
            return Ok(Some(place));
        }
        match self.shared.index.transfers(asset, state.pending.indexed()).next_back() {
            Some(place) => place.map(Some),
            None => self.shared.made(&state, asset),
        }
    }

    fn outputs_of(
        &self,
        owner: &PublicKey,
        spent: Spent,
        most: usize,
    ) -> Result<Vec<OutputReference>, StoreError> {
        let state = self.shared.state.read();
        let indexed = self.shared.index.outputs(owner, state.pending.indexed());
        let all = indexed.chain(state.pending.outputs(owner).map(Ok));
        let wanted = |at: &Result<OutputReference, StoreError>| match (spent, at) {
            // Trouble is handed on, not filtered out.
            (Spent::Either, _) | (_, Err(_)) => true,
            (Spent::Yes, Ok(at)) => !state.outputs.contains(at),
            (Spent::No, Ok(at)) => state.outputs.contains(at),
        };
        all.filter(wanted).take(most).collect()
    }

    fn stop(&self) {
        self.shared.work.lock().stopping = true;
        self.shared.changed.notify_all();
        for worker in self.workers.lock().drain(..) {
            // Its panic was printed when it happened.
            let _ = worker.join();
        }
        let height = self.shared.state.read().tip.height;
        if height > self.shared.work.lock().snapshot {
            self.shared.write_snapshot();
        }
    }
}
