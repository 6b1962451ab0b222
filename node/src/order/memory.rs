//! The log in memory, for tests and simulation. Every clone is another validator's view of
//! the same log: what one appends all see; each releases for itself.

use std::sync::{Arc, Weak};

use cairn_ledger::{ids::Position, limits::BATCH_BYTES_MAX};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{AppendError, Batch, Lead, Order, Ordered, ReadError, check_size};
use crate::mesh::Peer;

/// What all views share.
#[derive(Debug)]
struct Log {
    entries: Mutex<Entries>,
    end: watch::Sender<Position>,
}

/// The batches that some view may still read, and who the views are.
#[derive(Debug, Default)]
struct Entries {
    /// Position of the last batch that was forgotten.
    forgotten: u64,
    /// The batches after it, each with its encoded length.
    batches: std::collections::VecDeque<(Batch, usize)>,
    /// Each view's release point; the log forgets what every living view released.
    views: Vec<Weak<Mutex<Position>>>,
}

/// One validator's view of a shared log.
#[derive(Debug)]
pub struct Memory {
    log: Arc<Log>,
    released: Arc<Mutex<Position>>,
}

impl Memory {
    /// An empty log with one view.
    pub fn new() -> Self {
        let (end, _) = watch::channel(Position(0));
        Self::view(Arc::new(Log { entries: Mutex::default(), end }))
    }

    /// An empty log whose first batch comes after a position: for a chain that was ordered by
    /// an earlier life of this process.
    pub fn after(position: Position) -> Self {
        let entries = Entries { forgotten: position.0, ..Entries::default() };
        let (end, _) = watch::channel(position);
        Self::view(Arc::new(Log { entries: Mutex::new(entries), end }))
    }

    fn view(log: Arc<Log>) -> Self {
        let mut entries = log.entries.lock();
        let released = Arc::new(Mutex::new(Position(entries.forgotten)));
        entries.views.push(Arc::downgrade(&released));
        drop(entries);
        Self { log, released }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

/// Another validator's view of the same log; what is forgotten already stays so.
impl Clone for Memory {
    fn clone(&self) -> Self {
        Self::view(Arc::clone(&self.log))
    }
}

#[async_trait::async_trait]
impl Order for Memory {
    async fn append(&self, batch: &Batch) -> Result<Position, AppendError> {
        let encoded = check_size(batch)?;
        let mut entries = self.log.entries.lock();
        entries.batches.push_back((batch.clone(), encoded.len()));
        let position = Position(entries.forgotten + entries.batches.len() as u64);
        // Under the lock, so that the end never goes back.
        self.log.end.send_replace(position);
        Ok(position)
    }

    async fn read(&self, after: Position, most_bytes: usize) -> Result<Vec<Ordered>, ReadError> {
        let released = *self.released.lock();
        if after < released {
            return Err(ReadError::Released(released));
        }
        let entries = self.log.entries.lock();
        let skip = usize::try_from(after.0 - entries.forgotten).unwrap_or(usize::MAX);
        let mut taken = Vec::new();
        let mut bytes = 0_usize;
        for (position, (batch, length)) in (after.0..).zip(entries.batches.iter().skip(skip)) {
            bytes = bytes.saturating_add(*length);
            if bytes > most_bytes && !taken.is_empty() {
                break;
            }
            taken.push(Ordered { position: Position(position).next(), batch: batch.clone() });
        }
        Ok(taken)
    }

    fn end(&self) -> watch::Receiver<Position> {
        self.log.end.subscribe()
    }

    async fn release(&self, up_to: Position) {
        let mut entries = self.log.entries.lock();
        let end = entries.forgotten + entries.batches.len() as u64;
        {
            let mut released = self.released.lock();
            *released = (*released).max(Position(up_to.0.min(end)));
        }
        entries.views.retain(|view| view.strong_count() > 0);
        let views = entries.views.iter().filter_map(Weak::upgrade);
        let by_all = views.map(|view| view.lock().0).min().unwrap_or(entries.forgotten);
        while entries.forgotten < by_all {
            entries.batches.pop_front();
            entries.forgotten += 1;
        }
    }

    fn is_durable_here(&self) -> bool {
        false
    }

    fn lead(&self, _reachable: &[Peer]) -> Lead {
        Lead::Here
    }

    fn describe(&self) -> String {
        let entries = self.log.entries.lock();
        format!("in memory, {} batches of at most {BATCH_BYTES_MAX} bytes", entries.batches.len())
    }

    async fn stop(&self) {}
}

#[cfg(test)]
mod tests {
    use super::{super::contract, *};

    #[tokio::test]
    async fn memory_keeps_the_promises() {
        contract::suite(async |count: usize| {
            let first = Memory::new();
            let mut views: Vec<Arc<dyn Order>> = Vec::new();
            for _ in 1..count {
                views.push(Arc::new(first.clone()));
            }
            views.push(Arc::new(first));
            (views, ())
        })
        .await;
    }

    #[tokio::test]
    async fn the_log_forgets_only_what_every_view_released() {
        let (one, other) = {
            let one = Memory::new();
            let other = one.clone();
            (one, other)
        };
        for byte in 0..4 {
            one.append(&Batch { transactions: vec![Arc::from([byte])] }).await.unwrap();
        }
        one.release(Position(3)).await;
        assert_eq!(other.read(Position(0), usize::MAX).await.unwrap().len(), 4);
        other.release(Position(2)).await;
        assert_eq!(one.log.entries.lock().batches.len(), 2);
        assert_eq!(one.read(Position(2), 1).await, Err(ReadError::Released(Position(3))));
        drop(other);
        one.release(Position(4)).await;
        assert_eq!(one.log.entries.lock().batches.len(), 0);
    }
}
