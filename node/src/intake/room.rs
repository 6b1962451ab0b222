//! The waiting room's book: plain data, no tasks, no log.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use cairn_ledger::{
    block::{Block, Place},
    execution::Outcome,
    ids::{OutputReference, Position, TransactionId},
    limits::{BATCH_BYTES_MAX, BATCH_TRANSACTIONS_MAX},
    refusal::{Recorded, Refusal},
    transaction::Admitted,
};
use tokio::{sync::oneshot, time::Instant};

use super::{Busy, Fate, IntakeLimits};
use crate::{
    order::Batch,
    traces::{Day, Seen, Step},
};

/// How often a transaction that blocks pass by is put into the log. A log that loses it so
/// often will not carry it the next time; its submitter hears [`Fate::Unknown`].
const APPENDS_MAX: u8 = 8;

/// What a batch's encoding needs beside the transactions: a count, and a length for each.
const BATCH_HEAD_BYTES: usize = 4;
const LENGTH_BYTES: usize = 4;

/// A transaction on its way in.
pub(super) struct Entering {
    pub(super) transaction: Arc<Admitted>,
    /// Who waits for it.
    pub(super) waiter: Option<oneshot::Sender<Fate>>,
    /// Its day, if that is followed: almost never.
    pub(super) day: Option<Arc<Day>>,
}

/// Hashes bytes under a seed that nobody outside knows, so that nobody can aim at one bucket.
#[derive(Clone, Default)]
pub(super) struct Fingerprints(RandomState);

impl Fingerprints {
    pub(super) fn of(&self, bytes: &[u8]) -> u64 {
        self.0.hash_one(bytes)
    }
}

/// Names one stay in the room: the same id may leave and come again.
type Stay = (TransactionId, u64);

struct Pending {
    transaction: Arc<Admitted>,
    waiters: Vec<oneshot::Sender<Fate>>,
    fingerprint: u64,
    /// Which stay this is.
    serial: u64,
    /// How often it was put into the log.
    appends: u8,
    since: Instant,
    day: Option<Arc<Day>>,
}

/// A batch on its way into the log.
pub(super) struct Taken {
    pub(super) batch: Batch,
    stays: Vec<Stay>,
}

/// A waiting transaction whose copy a block refused because an earlier block has it.
pub(super) struct Duplicate {
    pub(super) id: TransactionId,
    pub(super) place: Place,
    pub(super) refusal: Recorded,
}

/// What a block meant for the room.
#[derive(Default)]
pub(super) struct Decided {
    /// Each committed, and how long it had waited.
    pub(super) waited: Vec<(Duration, TransactionId)>,
    pub(super) duplicates: Vec<Duplicate>,
    pub(super) queued_again: u64,
}

/// The book.
pub(super) struct Room {
    limits: IntakeLimits,
    fingerprints: Fingerprints,
    pending: HashMap<TransactionId, Pending>,
    /// Two transactions with one fingerprint (once in 2^64): the later is found, the other is
    /// checked again, which is slow and right.
    by_fingerprint: HashMap<u64, TransactionId>,
    /// Who of those that wait spends what, the first of each: as large as their inputs are many,
    /// which their bytes bound.
    spending: HashMap<OutputReference, TransactionId>,
    /// Waits to be put into the log.
    queue: VecDeque<Stay>,
    /// Is in the log, there, and not yet in a block.
    in_log: BTreeMap<Position, Vec<Stay>>,
    /// In order of arrival.
    by_age: VecDeque<(Instant, Stay)>,
    bytes: usize,
    /// Blocks hold the log up to here.
    decided_to: Position,
    serial: u64,
    closed: bool,
}

impl Room {
    pub(super) fn new(limits: IntakeLimits) -> Self {
        Self {
            limits,
            fingerprints: Fingerprints::default(),
            pending: HashMap::new(),
            by_fingerprint: HashMap::new(),
            spending: HashMap::new(),
            queue: VecDeque::new(),
            in_log: BTreeMap::new(),
            by_age: VecDeque::new(),
            bytes: 0,
            decided_to: Position(0),
            serial: 0,
            closed: false,
        }
    }

    pub(super) fn fingerprints(&self) -> Fingerprints {
        self.fingerprints.clone()
    }

    pub(super) fn waiting(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_pending(&self, id: &TransactionId) -> bool {
        self.pending.contains_key(id)
    }

    pub(super) fn spender(
        &self,
        transaction: &Admitted,
    ) -> Option<(OutputReference, TransactionId)> {
        let spent = transaction.inputs().iter().filter_map(|input| input.spends);
        spent
            .filter_map(|output| Some((output, *self.spending.get(&output)?)))
            .find(|(_, by)| *by != transaction.id())
    }

    pub(super) fn by_fingerprint(&self, fingerprint: u64) -> Option<Arc<Admitted>> {
        let id = self.by_fingerprint.get(&fingerprint)?;
        let pending = self.pending.get(id)?;
        if let Some(day) = &pending.day {
            day.reach(Step::Read);
        }
        Some(Arc::clone(&pending.transaction))
    }

    /// All or none come in; what is in already only gets one more who waits.
    pub(super) fn enter(
        &mut self,
        entries: Vec<Entering>,
        fingerprints: Vec<u64>,
        now: Instant,
    ) -> Result<(), Busy> {
        if self.closed {
            for waiter in entries.into_iter().filter_map(|entry| entry.waiter) {
                let _ = waiter.send(Fate::Unknown);
            }
            return Ok(());
        }
        let all = entries.iter().map(|entry| &entry.transaction);
        let new = all.filter(|transaction| !self.is_pending(&transaction.id()));
        let (count, bytes) = new.fold((0, 0), |(count, bytes), transaction| {
            (count + 1, bytes + transaction.bytes().len())
        });
        if self.pending.len() + count > self.limits.transactions
            || self.bytes + bytes > self.limits.bytes
        {
            return Err(Busy { waiting: self.pending.len(), retry_after_s: 1 });
        }
        for (entry, fingerprint) in entries.into_iter().zip(fingerprints) {
            self.enter_one(entry, fingerprint, now);
        }
        Ok(())
    }

    fn enter_one(&mut self, entry: Entering, fingerprint: u64, now: Instant) {
        let Entering { transaction, waiter, day } = entry;
        if let Some(day) = &day {
            day.reach(Step::Admitted);
        }
        let id = transaction.id();
        if let Some(pending) = self.pending.get_mut(&id) {
            // Who hung up makes room, so that asking again and again does not fill memory.
            if pending.waiters.len().is_power_of_two() {
                pending.waiters.retain(|waiter| !waiter.is_closed());
            }
            pending.waiters.extend(waiter);
            if let Some(day) = day {
                day.joins();
            }
            return;
        }
        self.serial += 1;
        let stay = (id, self.serial);
        self.bytes += transaction.bytes().len();
        self.by_fingerprint.insert(fingerprint, id);
        for output in transaction.inputs().iter().filter_map(|input| input.spends) {
            self.spending.entry(output).or_insert(id);
        }
        self.queue.push_back(stay);
        self.by_age.push_back((now, stay));
        let waiters = waiter.into_iter().collect();
        let serial = self.serial;
        let (appends, since) = (0, now);
        let pending = Pending { transaction, waiters, fingerprint, serial, appends, since, day };
        self.pending.insert(id, pending);
    }

    fn staying(&self, (id, serial): &Stay) -> Option<&Pending> {
        self.pending.get(id).filter(|pending| pending.serial == *serial)
    }

    fn stays(&self, stay: &Stay) -> bool {
        self.staying(stay).is_some()
    }

    /// The next batch, cut to the log's limits; empty when nothing is queued.
    pub(super) fn take(&mut self) -> Taken {
        let mut batch = Batch::default();
        let mut stays = Vec::new();
        let mut bytes = BATCH_HEAD_BYTES;
        while let Some(stay) = self.queue.front().copied() {
            let (id, serial) = stay;
            if let Some(pending) = self.pending.get_mut(&id).filter(|p| p.serial == serial) {
                let size = pending.transaction.bytes().len() + LENGTH_BYTES;
                if stays.len() == BATCH_TRANSACTIONS_MAX || bytes + size > BATCH_BYTES_MAX {
                    break;
                }
                bytes += size;
                pending.appends += 1;
                if let Some(day) = &pending.day {
                    day.taken(pending.appends);
                }
                batch.transactions.push(Arc::clone(pending.transaction.bytes()));
                stays.push(stay);
            }
            self.queue.pop_front();
        }
        Taken { batch, stays }
    }

    /// What of a batch still waits.
    pub(super) fn still_waiting(&self, taken: Taken) -> Taken {
        let Taken { batch, stays } = taken;
        let (transactions, stays) =
            batch.transactions.into_iter().zip(stays).filter(|(_, stay)| self.stays(stay)).unzip();
        Taken { batch: Batch { transactions }, stays }
    }

    /// A batch is in the log. Says how many of it are queued again, because the block that
    /// should hold them was decided without them before the log had answered.
    pub(super) fn appended(&mut self, taken: &Taken, position: Position) -> u64 {
        let is_in = |stay: &&Stay| {
            let Some(pending) = self.staying(stay) else { return false };
            if let Some(day) = &pending.day {
                day.appended(position);
            }
            true
        };
        let stays: Vec<Stay> = taken.stays.iter().filter(is_in).copied().collect();
        if position <= self.decided_to {
            return self.queue_again(stays);
        }
        if !stays.is_empty() {
            self.in_log.entry(position).or_default().extend(stays);
        }
        0
    }

    /// A block was stored.
    pub(super) fn decided(
        &mut self,
        block: &Block,
        ids: &[Option<TransactionId>],
        seen: &Seen,
        now: Instant,
    ) -> Decided {
        let mut decided = Decided::default();
        let duplicate = Refusal::Duplicate(TransactionId::default()).number();
        let told = block.body.iter().zip(&block.outcomes).zip(ids).zip(0..);
        for (((bytes, outcome), id), index) in told {
            let Some(id) = id else { continue };
            let Some(pending) = self.pending.get(id) else { continue };
            let place = Place { height: block.header.height, index };
            // Anyone can put bytes into the log that claim an id: only the refusal of the very
            // bytes that wait here is the answer to who waits.
            if *outcome != Outcome::Committed && **bytes != **pending.transaction.bytes() {
                continue;
            }
            if let Some(day) = &pending.day {
                day.stored(place, block.certificate.round, seen);
            }
            match outcome {
                Outcome::Committed => {
                    decided.waited.push((now.saturating_duration_since(pending.since), *id));
                    self.resolve(id, &Fate::Committed(place));
                }
                Outcome::Refused(refusal) if refusal.number == duplicate => {
                    let refusal = refusal.clone();
                    decided.duplicates.push(Duplicate { id: *id, place, refusal });
                }
                Outcome::Refused(refusal) => {
                    self.resolve(id, &Fate::Refused(place, refusal.clone()));
                }
            }
        }
        self.decided_to = self.decided_to.max(block.header.order_to);
        let later = self.in_log.split_off(&self.decided_to.next());
        let passed_by = std::mem::replace(&mut self.in_log, later);
        // A duplicate has its answer, only not yet here.
        let answered: HashSet<TransactionId> = decided.duplicates.iter().map(|d| d.id).collect();
        let left = passed_by
            .into_values()
            .flatten()
            .filter(|stay| self.stays(stay) && !answered.contains(&stay.0))
            .collect();
        decided.queued_again = self.queue_again(left);
        decided
    }

    fn queue_again(&mut self, stays: Vec<Stay>) -> u64 {
        let mut again = 0;
        for stay in stays {
            if self.pending.get(&stay.0).is_some_and(|pending| pending.appends >= APPENDS_MAX) {
                self.resolve(&stay.0, &Fate::Unknown);
            } else {
                self.queue.push_back(stay);
                again += 1;
            }
        }
        again
    }

    /// Tells all who wait for that id, and forgets it.
    pub(super) fn resolve(&mut self, id: &TransactionId, fate: &Fate) {
        let Some(pending) = self.pending.remove(id) else { return };
        self.bytes -= pending.transaction.bytes().len();
        if self.by_fingerprint.get(&pending.fingerprint) == Some(id) {
            self.by_fingerprint.remove(&pending.fingerprint);
        }
        for output in pending.transaction.inputs().iter().filter_map(|input| input.spends) {
            if self.spending.get(&output) == Some(id) {
                self.spending.remove(&output);
            }
        }
        if let Some(day) = pending.day {
            match fate {
                Fate::Committed(place) => day.committed(*place),
                Fate::Refused(place, why) => day.refused(*place, why.code()),
                Fate::Unknown => day.given_up(),
            }
        }
        for waiter in pending.waiters {
            let _ = waiter.send(fate.clone());
        }
    }

    /// Gives up what has waited too long.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((since, stay)) = self.by_age.front().copied() {
            let stays = self.stays(&stay);
            if stays && now.saturating_duration_since(since) < self.limits.patience {
                break;
            }
            if stays {
                self.resolve(&stay.0, &Fate::Unknown);
            }
            self.by_age.pop_front();
        }
        // One that stays long must not keep the names of all who came after it and left.
        if self.by_age.len() > 2 * self.pending.len() + 1024 {
            let mut by_age = std::mem::take(&mut self.by_age);
            by_age.retain(|(_, stay)| self.stays(stay));
            self.by_age = by_age;
        }
    }

    /// Gives up all; nobody comes in any more.
    pub(super) fn close(&mut self) {
        self.closed = true;
        let ids: Vec<TransactionId> = self.pending.keys().copied().collect();
        for id in &ids {
            self.resolve(id, &Fate::Unknown);
        }
        self.queue.clear();
        self.in_log.clear();
        self.by_age.clear();
    }
}
