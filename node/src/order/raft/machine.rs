//! What openraft takes for the state machine: the position up to where the log is applied.
//! The state is Cairn's blocks, which the chain makes from the log by itself; a snapshot is a
//! pointer, "up to here it is in blocks", and a node behind it fetches certified blocks.

use std::{io, path::PathBuf, sync::Arc};

use cairn_ledger::ids::{ChainId, Position};
use openraft::{
    EntryPayload, ErrorSubject, ErrorVerb, OptionalSend, RaftSnapshotBuilder,
    storage::RaftStateMachine,
};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{
    log::{Log, blocking, trouble},
    segments::OpenError,
    slots::{read_pointer, write_pointer},
    types::{Entry, LogId, Pointer, Snapshot, SnapshotMeta, StorageError, StoredMembership, Types},
};

#[derive(Debug, Default)]
struct State {
    applied: Option<LogId>,
    membership: StoredMembership,
    pointer: Option<SnapshotMeta>,
    released: u64,
}

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    chain: ChainId,
    log: Log,
    end: watch::Sender<Position>,
    state: Mutex<State>,
}

/// The applied position. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Machine(Arc<Inner>);

impl Machine {
    pub(crate) fn open(directory: PathBuf, chain: ChainId, log: Log) -> Result<Self, OpenError> {
        let pointer = read_pointer(&directory, &chain)?;
        let mut state = State::default();
        if let Some(meta) = pointer {
            state.applied = meta.last_log_id;
            state.membership = meta.last_membership.clone();
            state.released = meta.last_log_id.map_or(0, |id| id.index);
            state.pointer = Some(meta);
        }
        let (end, _) = watch::channel(Position(state.released));
        Ok(Self(Arc::new(Inner { directory, chain, log, end, state: Mutex::new(state) })))
    }

    pub(crate) fn end(&self) -> watch::Receiver<Position> {
        self.0.end.subscribe()
    }

    pub(crate) fn applied(&self) -> u64 {
        self.0.end.borrow().0
    }

    /// Remembers that blocks have the log up to here; true when that is news.
    pub(crate) fn release(&self, up_to: u64) -> bool {
        let mut state = self.0.state.lock();
        let up_to = up_to.min(state.applied.map_or(0, |id| id.index));
        let news = up_to > state.released;
        state.released = state.released.max(up_to);
        news
    }

    /// Up to where blocks have it, and up to where the last pointer says so.
    pub(crate) fn released(&self) -> (u64, u64) {
        let state = self.0.state.lock();
        let pointed = state.pointer.as_ref().and_then(|meta| meta.last_log_id);
        (state.released, pointed.map_or(0, |id| id.index))
    }

    async fn save_pointer(&self, meta: SnapshotMeta) -> Result<(), StorageError> {
        let machine = self.clone();
        blocking(move || {
            let inner = &machine.0;
            write_pointer(&inner.directory, &inner.chain, &meta)?;
            inner.state.lock().pointer = Some(meta);
            Ok(())
        })
        .await
        .map_err(|error: io::Error| trouble(ErrorSubject::Snapshot(None), ErrorVerb::Write, error))
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    /// Points to the last released entry, not to the last applied one: only what is in this
    /// node's blocks may be forgotten.
    async fn build_snapshot(&mut self) -> Result<Snapshot, StorageError> {
        let meta = {
            let state = self.0.state.lock();
            let pointed = state.pointer.as_ref().and_then(|meta| meta.last_log_id);
            let last = self.0.log.id_at(state.released).max(pointed);
            SnapshotMeta {
                last_log_id: last,
                last_membership: state.membership.clone(),
                snapshot_id: last.map_or_else(String::new, |id| id.to_string()),
            }
        };
        self.save_pointer(meta.clone()).await?;
        Ok(Snapshot { meta, snapshot: Box::new(Pointer) })
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        let state = self.0.state.lock();
        Ok((state.applied, state.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<u64>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut answers = Vec::new();
        let mut state = self.0.state.lock();
        for entry in entries {
            if let EntryPayload::Membership(membership) = entry.payload {
                state.membership = StoredMembership::new(Some(entry.log_id), membership);
            }
            state.applied = Some(entry.log_id);
            answers.push(entry.log_id.index);
        }
        if let Some(last) = answers.last() {
            self.0.end.send_replace(Position(*last));
        }
        Ok(answers)
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Pointer>, StorageError> {
        Ok(Box::new(Pointer))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        _pointer: Box<Pointer>,
    ) -> Result<(), StorageError> {
        self.save_pointer(meta.clone()).await?;
        let mut state = self.0.state.lock();
        state.applied = meta.last_log_id;
        state.membership = meta.last_membership.clone();
        let index = meta.last_log_id.map_or(0, |id| id.index);
        state.released = state.released.max(index);
        self.0.end.send_replace(Position(index));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, StorageError> {
        let pointer = self.0.state.lock().pointer.clone();
        Ok(pointer.map(|meta| Snapshot { meta, snapshot: Box::new(Pointer) }))
    }
}
