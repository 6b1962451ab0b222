//! The thread that writes rows behind the commit path, in the order of the chain, and moves the
//! mark now and then: an opening replays the blocks behind it.

use std::{io, sync::Arc, time::Duration};

use cairn_ledger::ids::BlockId;

use super::{
    Shared,
    families::{MARK, Mark, rows_of},
};
use crate::store::{StoreError, rows::Rows};

/// Rows of one call: so few that they are in before its time is up, however slow TiKV is.
const ROWS_AT_ONCE: usize = 1000;
/// From one try to the next while TiKV is away.
const PAUSE: Duration = Duration::from_millis(250);
/// A commit waits for rows that long before it says that TiKV is too slow or away.
const ROOM_WITHIN: Duration = Duration::from_secs(10);
/// What a block weighs besides its transactions: empty ones make an opening longer too.
const BLOCK_WEIGHT: usize = 16;

/// What the background has been asked for, and how far it is.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// Write what is there, then end.
    pub(super) stopping: bool,
    /// Do not wait for TiKV any more.
    pub(super) closing: bool,
    /// End at once.
    pub(super) abandoned: bool,
    /// Why rows are no longer written.
    pub(super) trouble: Option<String>,
}

type Batch = Vec<(BlockId, Arc<Rows>)>;

impl Shared {
    /// The thread.
    pub(super) fn write_rows(&self) {
        let mut unmarked = 0;
        let mut mark = None;
        while let Some(batch) = self.next_batch() {
            if !self.write_batch(&batch) {
                return;
            }
            for (block, rows) in &batch {
                unmarked += weight(rows);
                mark = Some(Mark { height: rows.height, block: *block });
                self.state.write().overlay.forget_first();
            }
            self.tell();
            if unmarked >= self.options.mark_transactions
                && let Some(mark) = mark.take()
            {
                unmarked = 0;
                if !self.insist("moving the mark", || self.move_mark(mark)) {
                    return;
                }
            }
        }
        if let Some(mark) = mark {
            self.insist("moving the mark", || self.move_mark(mark));
        }
    }

    /// Writes the rows of some blocks, then that they are there; whether it is done.
    fn write_batch(&self, batch: &Batch) -> bool {
        let Some(last) = batch.last().map(|(_, rows)| rows.height) else { return true };
        let rows: Vec<_> = batch.iter().flat_map(|(_, rows)| rows_of(rows)).collect();
        rows.chunks(ROWS_AT_ONCE)
            .all(|rows| self.insist("writing rows", || self.vault.put_each(rows.to_vec())))
            && self.insist("entering rows into the register", || {
                self.known.learn(rows.iter().map(|(key, _)| &key[..]), last)
            })
    }

    /// Blocks to write rows of; nothing at the end.
    fn next_batch(&self) -> Option<Batch> {
        let mut work = self.work.lock();
        loop {
            if work.abandoned {
                return None;
            }
            let batch = self.first_blocks();
            if !batch.is_empty() {
                return Some(batch);
            }
            if work.stopping {
                return None;
            }
            self.changed.wait(&mut work);
        }
    }

    fn first_blocks(&self) -> Batch {
        let state = self.state.read();
        let mut transactions = 0;
        let fit = state.overlay.blocks().take_while(|(_, rows)| {
            let first = transactions == 0;
            transactions += weight(rows);
            first || transactions <= self.options.batch_transactions
        });
        fit.cloned().collect()
    }

    /// Does something again and again while TiKV is away; whether it is done.
    fn insist(&self, doing: &'static str, write: impl Fn() -> Result<(), StoreError>) -> bool {
        let mut said = false;
        loop {
            let error = match write() {
                Ok(()) => return true,
                Err(error) => error,
            };
            let mut work = self.work.lock();
            // What is not written now is written by the next process, from the blocks.
            if work.stopping || work.closing || work.abandoned {
                return false;
            }
            if !matches!(error, StoreError::Unreachable(_)) {
                tracing::error!(%error, doing, "no more rows are written");
                work.trouble = Some(error.to_string());
                drop(work);
                self.changed.notify_all();
                return false;
            }
            if !std::mem::replace(&mut said, true) {
                tracing::warn!(%error, doing, "rows cannot be written: tries again");
            }
            self.ending.wait_for(&mut work, PAUSE);
        }
    }

    /// Says that all rows up to there are written. It never moves back here.
    pub(super) fn move_mark(&self, mark: Mark) -> Result<(), StoreError> {
        // An opening goes on behind the mark, and would enter again what was lost here.
        self.known.sync()?;
        self.vault.update(MARK, move |value| {
            let there = value.and_then(|value| Mark::decode(value).ok());
            let ahead = there.is_some_and(|there| there.height >= mark.height);
            Ok((!ahead).then(|| mark.encode()))
        })
    }

    /// Waits until the rows are not too far behind.
    pub(super) fn wait_for_rows(&self) -> Result<(), StoreError> {
        let mut work = self.work.lock();
        loop {
            if let Some(why) = &work.trouble {
                let source = io::Error::other(why.clone());
                let path = self.vault.name().to_owned();
                return Err(StoreError::Io { doing: "writing rows", path, source });
            }
            let waiting = self.state.read().overlay.bytes();
            if waiting <= self.options.pending_bytes_max || work.stopping {
                return Ok(());
            }
            let away = |what: &str| Err(StoreError::Unreachable(what.to_owned()));
            if work.closing {
                return away("this process is ending");
            }
            if self.changed.wait_for(&mut work, ROOM_WITHIN).timed_out() {
                return away("the rows of earlier blocks are not written yet");
            }
        }
    }
}

fn weight(rows: &Rows) -> usize {
    BLOCK_WEIGHT + rows.ends.len()
}
