//! Reads the ordered log ahead of the votes: every batch is parsed and its signatures are
//! checked by the time that a proposal over it arrives.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use cairn_ledger::{block::Tip, ids::Position, limits::BATCH_BYTES_MAX};
use tokio::{sync::watch, task::JoinHandle};

use super::{Event, Inbox};
use crate::{
    chain::executor::{Prepared, prepare},
    clock::Stopwatch,
    intake::Intake,
    metrics::Metrics,
    order::{Order, Ordered, ReadError},
};

/// Most bytes of transactions that are prepared and not yet decided. Past this the log
/// waits where it is: on the disk.
const AHEAD_BYTES_MAX: usize = 24 << 20;

/// How often to look again when the log cannot be read or has run too far ahead; wake-ups
/// come sooner as a rule.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Bytes that are prepared and not yet decided; the chain's thread takes off what it uses.
pub(super) type Ahead = Arc<AtomicUsize>;

/// What the reader works with.
pub(super) struct Reader {
    pub(super) order: Arc<dyn Order>,
    pub(super) intake: Arc<Intake>,
    pub(super) tip: watch::Receiver<Tip>,
    pub(super) inbox: Inbox,
    pub(super) ahead: Ahead,
    pub(super) metrics: Arc<Metrics>,
}

impl Reader {
    /// Runs until the chain's thread is gone.
    pub(super) async fn run(mut self) {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let mut end = self.order.end();
        let mut after = self.tip.borrow().order;
        let mut running: VecDeque<JoinHandle<Vec<Prepared>>> = VecDeque::new();
        while !self.inbox.is_closed() {
            // Blocks that came from peers may have overtaken the log.
            after = after.max(self.tip.borrow().order);
            let has_room = self.ahead.load(Ordering::Relaxed) < AHEAD_BYTES_MAX;
            // As it is before the read: what comes during it is for the next one.
            let known_end = *end.borrow_and_update();
            if running.len() < workers && has_room && known_end > after {
                match self.order.read(after, BATCH_BYTES_MAX).await {
                    Ok(entries) => {
                        // Entries that are no batches leave nothing to read before the end.
                        after = entries.last().map_or(known_end, |last| last.position).max(after);
                        self.ahead.fetch_add(entries.iter().map(size).sum(), Ordering::Relaxed);
                        running.push_back(self.prepare(entries, after));
                    }
                    Err(ReadError::Released(begin)) => self.wait_for_blocks(begin).await,
                    Err(ReadError::Unavailable(_)) => tokio::time::sleep(LOOK_AGAIN).await,
                }
            } else if let Some(front) = running.front_mut() {
                let Ok(prepared) = front.await else { return };
                running.pop_front();
                self.inbox.put(Event::Prepared(prepared));
            } else if has_room {
                let _ = tokio::time::timeout(LOOK_AGAIN * 20, end.changed()).await;
            } else {
                // A decided block makes room.
                let _ = tokio::time::timeout(LOOK_AGAIN, self.tip.changed()).await;
            }
        }
    }

    /// Checks a slice of the log on a thread of its own. The slice always says where it ends,
    /// even when there is nothing in it.
    fn prepare(&self, entries: Vec<Ordered>, end: Position) -> JoinHandle<Vec<Prepared>> {
        let (intake, metrics) = (self.intake.clone(), self.metrics.clone());
        tokio::task::spawn_blocking(move || {
            let watch = Stopwatch::start();
            let mut prepared = prepare(&entries, |bytes| intake.admitted(bytes));
            let count = entries.iter().map(|entry| entry.batch.transactions.len()).sum();
            metrics.checked("log", count, watch.seconds());
            if prepared.last().is_none_or(|last| last.position() < end) {
                prepared.push(Prepared::nothing(end));
            }
            prepared
        })
    }

    /// The log forgot what this node has not read: its peers have it in blocks.
    async fn wait_for_blocks(&mut self, begin: Position) {
        while !self.inbox.is_closed() && self.tip.borrow_and_update().order < begin {
            let _ = tokio::time::timeout(LOOK_AGAIN * 20, self.tip.changed()).await;
        }
    }
}

fn size(ordered: &Ordered) -> usize {
    ordered.batch.transactions.iter().map(|bytes| bytes.len()).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::{atomic::AtomicBool, mpsc::channel};

    use cairn_ledger::ids::ChainId;

    use super::*;
    use crate::{
        intake::IntakeLimits,
        mesh::Peer,
        order::{AppendError, Batch, Lead},
    };

    /// A log of one entry that is no batch, which gets its first batch while it is being read.
    struct Racing(watch::Sender<Position>);

    #[async_trait::async_trait]
    impl Order for Racing {
        async fn append(&self, _batch: &Batch) -> Result<Position, AppendError> {
            Err(AppendError::Unavailable("nobody appends here".to_owned()))
        }
        async fn read(&self, after: Position, _most: usize) -> Result<Vec<Ordered>, ReadError> {
            if *self.0.borrow() == Position(1) {
                self.0.send_replace(Position(2));
                return Ok(Vec::new());
            }
            let batch = Batch { transactions: vec![Arc::from(&b"late"[..])] };
            let all = [Ordered { position: Position(2), batch }];
            Ok(all.into_iter().filter(|entry| entry.position > after).collect())
        }
        fn end(&self) -> watch::Receiver<Position> {
            self.0.subscribe()
        }
        async fn release(&self, _up_to: Position) {}
        fn is_durable_here(&self) -> bool {
            true
        }
        fn lead(&self, _: &[Peer]) -> Lead {
            Lead::Here
        }
        fn describe(&self) -> String {
            "a race".to_owned()
        }
        async fn stop(&self) {}
    }

    #[test]
    fn a_batch_that_comes_while_the_log_is_read_is_not_passed_by() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (sender, events) = channel();
        let (_tip, tip) = watch::channel(Tip::genesis(ChainId([7; 32])));
        let order: Arc<dyn Order> = Arc::new(Racing(watch::channel(Position(1)).0));
        let inbox = Inbox { sender, closed: Arc::new(AtomicBool::new(false)) };
        let _entered = runtime.enter();
        let intake = Intake::start(Arc::clone(&order), IntakeLimits::default());
        let ahead = Ahead::default();
        runtime.spawn(Reader { order, intake, tip, inbox, ahead, metrics: Arc::default() }.run());
        loop {
            let event = events.recv_timeout(Duration::from_secs(20)).expect("the batch is read");
            if let Event::Prepared(slice) = event
                && slice.iter().any(|prepared| prepared.bytes() == 4)
            {
                break;
            }
        }
    }
}
