//! The waiting room: admitted transactions on their way into the log, and the reply that
//! their submitters wait for. Bounded; the only way in.
//!
//! `room.rs` is the book: who waits, who is queued, what lies where in the log. It is plain
//! data behind one lock that nobody holds across an await. This file is the traffic: it takes
//! batches out of the book, appends them to the log, and writes down what the log said.

use std::{sync::Arc, time::Duration};

use cairn_ledger::{
    block::{Block, Place},
    ids::{OutputReference, TransactionId},
    refusal::Recorded,
    transaction::Admitted,
};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch},
    time::{Instant, sleep},
};

use crate::{
    clock::Stopwatch,
    metrics::{Metrics, value_of},
    order::{AppendError, Order},
    traces::{Day, Seen},
};

mod room;

#[cfg(test)]
mod tests;

use room::{Entering, Room, Taken};

/// Appends that are under way at once: enough to hide the log's latency, few enough that
/// what arrives meanwhile gathers into full batches.
const APPENDS_IN_FLIGHT: usize = 4;

/// First pause after the log said no; doubled up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// Longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub struct IntakeLimits {
    /// Transactions waiting for a decision.
    pub transactions: usize,
    /// Their bytes together.
    pub bytes: usize,
    /// After this long without a decision a transaction is given up: its fate is then unknown,
    /// and its id tells.
    pub patience: Duration,
}

impl Default for IntakeLimits {
    fn default() -> Self {
        Self { transactions: 50_000, bytes: 64 << 20, patience: Duration::from_secs(120) }
    }
}

/// What became of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Decided: part of the ledger.
    Committed(Place),
    /// Decided: refused, and why.
    Refused(Place, Recorded),
    /// Given up waiting: it may still come in.
    Unknown,
}

/// No room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{waiting} transactions wait for a decision, the most that fit; try again in {retry_after_s} s"
)]
pub struct Busy {
    /// How many wait.
    pub waiting: usize,
    /// When trying again makes sense, in seconds.
    pub retry_after_s: u64,
}

/// Where a transaction is committed, as far as the store knows. Asked when a block refuses a
/// copy of a waiting transaction as a duplicate: an earlier block then has it.
pub type Lookup = Box<dyn Fn(&TransactionId) -> Option<Place> + Send + Sync>;

/// The waiting room.
pub struct Intake {
    room: Mutex<Room>,
    /// Rung when something is queued.
    queued: Notify,
    appends: Arc<Semaphore>,
    stopping: watch::Sender<bool>,
    order: Arc<dyn Order>,
    lookup: Lookup,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Intake({} waiting)", self.waiting())
    }
}

impl Intake {
    /// Opens it; batches go to `order` until [`Intake::stop`].
    pub fn start(order: Arc<dyn Order>, limits: IntakeLimits) -> Arc<Self> {
        Self::start_with(order, limits, Arc::new(Metrics::new()), Box::new(|_| None))
    }

    /// Like [`Intake::start`], counting in `metrics` and asking `lookup` where a duplicate's
    /// first copy is. Must be called within a tokio runtime.
    pub fn start_with(
        order: Arc<dyn Order>,
        limits: IntakeLimits,
        metrics: Arc<Metrics>,
        lookup: Lookup,
    ) -> Arc<Self> {
        metrics.pending_transactions_max.set(value_of(limits.transactions));
        metrics.pending_bytes_max.set(value_of(limits.bytes));
        let intake = Arc::new(Self {
            room: Mutex::new(Room::new(limits)),
            queued: Notify::new(),
            appends: Arc::new(Semaphore::new(APPENDS_IN_FLIGHT)),
            stopping: watch::Sender::new(false),
            order,
            lookup,
            metrics,
        });
        tokio::spawn(Self::flush(Arc::clone(&intake)));
        tokio::spawn(Self::expire(Arc::clone(&intake), limits.patience));
        intake
    }

    /// Takes a transaction in. The receiver gets exactly one [`Fate`]. The same id twice shares
    /// one place in the log: both receivers hear. `day` is the transaction's, if it is followed.
    pub fn submit(
        &self,
        transaction: Arc<Admitted>,
        day: Option<Arc<Day>>,
    ) -> Result<oneshot::Receiver<Fate>, Busy> {
        let mut receivers = self.submit_each(vec![transaction], day)?;
        Ok(receivers.pop().expect("one transaction, one receiver"))
    }

    /// Like [`Intake::submit`] for many, all or nothing: a receiver for each, in order. `day` is
    /// that of the first.
    pub fn submit_each(
        &self,
        transactions: Vec<Arc<Admitted>>,
        day: Option<Arc<Day>>,
    ) -> Result<Vec<oneshot::Receiver<Fate>>, Busy> {
        let (senders, receivers): (Vec<_>, Vec<_>) =
            transactions.iter().map(|_| oneshot::channel()).unzip();
        self.enter(entries(transactions, senders.into_iter().map(Some), day))?;
        Ok(receivers)
    }

    /// Like [`Intake::submit_each`], without replies.
    pub fn submit_all(
        &self,
        transactions: Vec<Arc<Admitted>>,
        day: Option<Arc<Day>>,
    ) -> Result<(), Busy> {
        self.enter(entries(transactions, std::iter::repeat_with(|| None), day))
    }

    /// Whether that id waits here for a decision.
    pub fn is_pending(&self, id: &TransactionId) -> bool {
        self.room.lock().is_pending(id)
    }

    /// Another transaction that waits here and spends what this one spends, and which output;
    /// looks at each input once. Where several wait for one output, the first of them.
    pub fn spender(&self, transaction: &Admitted) -> Option<(OutputReference, TransactionId)> {
        self.room.lock().spender(transaction)
    }

    /// A transaction that was admitted here, found by its exact bytes: so that what was checked
    /// at the door is not checked again when it comes back in the log.
    pub fn admitted(&self, bytes: &[u8]) -> Option<Arc<Admitted>> {
        // Hashing and comparing happen outside the lock; two looks at the same lock are
        // cheaper than one long one.
        let fingerprint = self.room.lock().fingerprints().of(bytes);
        let found = self.room.lock().by_fingerprint(fingerprint)?;
        (**found.bytes() == *bytes).then_some(found)
    }

    /// A block was stored: answers those who wait for its transactions. What was appended at or
    /// before the block's `order_to` and is not in it is appended again: a lying log delays, no more.
    /// `seen` is how it was decided.
    pub fn decided(&self, block: &Block, ids: &[Option<TransactionId>], seen: &Seen) {
        let decided = self.room.lock().decided(block, ids, seen, Instant::now());
        for (waited, _) in &decided.waited {
            self.metrics.commit_latency.observe(waited.as_secs_f64());
        }
        if let Some((slowest, id)) = decided.waited.iter().max() {
            self.metrics.commit_latency.name(slowest.as_secs_f64(), id.to_string());
        }
        for duplicate in decided.duplicates {
            // Asked without the lock: the store may have to look on its disk.
            let fate = match (self.lookup)(&duplicate.id) {
                Some(place) => Fate::Committed(place),
                None => Fate::Refused(duplicate.place, duplicate.refusal),
            };
            self.room.lock().resolve(&duplicate.id, &fate);
        }
        if decided.queued_again > 0 {
            self.metrics.appended_again.inc_by(decided.queued_again);
            self.queued.notify_one();
        }
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.room.lock().waiting()
    }

    /// How many bytes wait.
    pub fn waiting_bytes(&self) -> usize {
        self.room.lock().bytes()
    }

    /// Gives up all that wait, as [`Fate::Unknown`], and ends.
    pub async fn stop(&self) {
        self.stopping.send_replace(true);
        self.room.lock().close();
        // Every append has ended, or notices that nobody waits for it, and gives its permit back.
        let all = u32::try_from(APPENDS_IN_FLIGHT).expect("a handful");
        let _all = self.appends.acquire_many(all).await;
    }

    fn enter(&self, entries: Vec<Entering>) -> Result<(), Busy> {
        // Hashed before the lock is taken: a batch is a megabyte.
        let fingerprints = self.room.lock().fingerprints();
        let hashed =
            entries.iter().map(|entry| fingerprints.of(entry.transaction.bytes())).collect();
        self.room.lock().enter(entries, hashed, Instant::now())?;
        self.queued.notify_one();
        Ok(())
    }

    /// Appends what is queued as soon as there is room in flight. No artificial delay: under
    /// load, batches grow while earlier ones are under way.
    async fn flush(self: Arc<Self>) {
        let mut stopping = self.stopping.subscribe();
        loop {
            let permit = Arc::clone(&self.appends).acquire_owned().await;
            let permit = permit.expect("the semaphore is never closed");
            let taken = loop {
                if *stopping.borrow() {
                    return;
                }
                let taken = self.room.lock().take();
                if !taken.batch.transactions.is_empty() {
                    break taken;
                }
                tokio::select! {
                    () = self.queued.notified() => {}
                    _ = stopping.changed() => {}
                }
            };
            tokio::spawn(Self::append(Arc::clone(&self), taken, permit));
        }
    }

    /// Appends one batch until the log has it, or nobody waits for it any more.
    async fn append(self: Arc<Self>, mut taken: Taken, permit: OwnedSemaphorePermit) {
        let mut stopping = self.stopping.subscribe();
        let mut pause = PAUSE_MIN;
        while !taken.batch.transactions.is_empty() && !*stopping.borrow() {
            let watch = Stopwatch::start();
            let answer = tokio::select! {
                answer = self.order.append(&taken.batch) => answer,
                _ = stopping.changed() => break,
            };
            self.metrics.append.observe(watch.seconds());
            let outcome = match &answer {
                Ok(_) => "done",
                Err(AppendError::Unavailable(_)) => "unavailable",
                Err(AppendError::Unknown(_)) => "unknown",
                Err(AppendError::TooLarge { .. }) => "too_large",
            };
            self.metrics.appends.with_label_values(&[outcome]).inc();
            match answer {
                Ok(position) => {
                    let bytes = taken.batch.transactions.iter().map(|bytes| bytes.len() as u64);
                    self.metrics.appended_bytes.inc_by(bytes.sum());
                    let again = self.room.lock().appended(&taken, position);
                    if again > 0 {
                        self.metrics.appended_again.inc_by(again);
                        self.queued.notify_one();
                    }
                    break;
                }
                // A copy that came in all the same does no harm: the ledger refuses the second.
                Err(AppendError::Unavailable(why) | AppendError::Unknown(why)) => {
                    tracing::debug!(%why, "the log did not take a batch; trying again");
                }
                Err(error @ AppendError::TooLarge { .. }) => {
                    unreachable!("batches are cut to the log's limits: {error}")
                }
            }
            tokio::select! {
                () = sleep(pause) => {}
                _ = stopping.changed() => break,
            }
            pause = (pause * 2).min(PAUSE_MAX);
            taken = self.room.lock().still_waiting(taken);
        }
        drop(permit);
    }

    /// Gives up what has waited longer than `patience`.
    async fn expire(self: Arc<Self>, patience: Duration) {
        let pause = (patience / 8).clamp(Duration::from_millis(5), Duration::from_secs(1));
        let mut stopping = self.stopping.subscribe();
        while !*stopping.borrow() {
            tokio::select! {
                () = sleep(pause) => self.room.lock().expire(Instant::now()),
                _ = stopping.changed() => break,
            }
        }
    }
}

/// Each with who waits for it; the first with its day.
fn entries(
    transactions: Vec<Arc<Admitted>>,
    waiters: impl Iterator<Item = Option<oneshot::Sender<Fate>>>,
    day: Option<Arc<Day>>,
) -> Vec<Entering> {
    let days = std::iter::once(day).chain(std::iter::repeat_with(|| None));
    let each = transactions.into_iter().zip(waiters).zip(days);
    each.map(|((transaction, waiter), day)| Entering { transaction, waiter, day }).collect()
}
