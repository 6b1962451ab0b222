//! The moments of one transaction's day, written down as it goes.

use std::sync::Arc;

use cairn_ledger::{
    block::Place,
    ids::{Position, TransactionId},
};
use parking_lot::Mutex;

use super::{
    Over, Shared,
    context::{SpanId, TraceId},
};
use crate::clock::Stopwatch;

/// What a transaction passes, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The request's body is here.
    Received,
    /// Read, and its signatures and the state checked.
    Checked,
    /// It is in the waiting room.
    Admitted,
    /// It left the queue with a batch.
    Taken,
    /// The log has the batch.
    Appended,
    /// It came back in the log, and was recognised.
    Read,
    /// The proposal that holds it is here: made, or seen for the first time.
    Proposed,
    /// More than two thirds of the power precommitted it, as far as is known here.
    Decided,
    /// Its block is durable here.
    Stored,
    /// Searches find it.
    Searchable,
}

/// How many steps there are.
pub(super) const STEPS: usize = Step::Searchable as usize + 1;

/// When this validator saw what of a block's decision.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// The first proposal.
    pub proposed: Option<Stopwatch>,
    /// Its own prevote left.
    pub prevoted: Option<Stopwatch>,
    /// Its own precommit left.
    pub precommitted: Option<Stopwatch>,
    /// There were enough precommits, or a certificate.
    pub decided: Option<Stopwatch>,
}

/// Whose day it is.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) trace: TraceId,
    /// The caller's span.
    pub(super) parent: Option<SpanId>,
    pub(super) came: Stopwatch,
    pub(super) route: &'static str,
    pub(super) request_id: Arc<str>,
}

/// What was written down.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    pub(super) steps: [Option<Stopwatch>; STEPS],
    pub(super) prevoted: Option<Stopwatch>,
    pub(super) precommitted: Option<Stopwatch>,
    /// When the answer was over, and its status.
    pub(super) answered: Option<(Stopwatch, u16)>,
    pub(super) id: Option<TransactionId>,
    /// How many came with it in its request.
    pub(super) transactions: usize,
    pub(super) position: Option<Position>,
    pub(super) appends: u8,
    pub(super) place: Option<Place>,
    pub(super) round: Option<u32>,
    pub(super) outcome: Option<&'static str>,
    /// Of a refusal, or of a failure.
    pub(super) code: Option<&'static str>,
}

/// The day of one transaction. It is over when nobody holds it any more.
#[derive(Debug)]
pub struct Day {
    /// There until it is dropped.
    origin: Option<Origin>,
    told: Mutex<Told>,
    shared: Arc<Shared>,
}

impl Day {
    pub(super) fn begin(origin: Origin, shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self { origin: Some(origin), told: Mutex::default(), shared })
    }

    /// The trace's id, as people and tools write it.
    pub fn trace_id(&self) -> String {
        self.origin.as_ref().map_or_else(String::new, |origin| hex::encode(origin.trace))
    }

    /// It is there now, unless it was before.
    pub fn reach(&self, step: Step) {
        self.told.lock().reach(step, Stopwatch::start());
    }

    /// It is that transaction's, which came with others in its request.
    pub fn is_of(&self, id: TransactionId, transactions: usize) {
        let mut told = self.told.lock();
        told.id = Some(id);
        told.transactions = transactions;
    }

    /// Nothing of the request was taken in.
    pub fn turned_away(&self) {
        self.told.lock().outcome = Some("turned_away");
    }

    /// The same transaction waits here already, or is part of the ledger: its day is another one.
    pub fn joins(&self) {
        self.told.lock().outcome = Some("joined");
    }

    /// It left the queue with a batch, the how manieth.
    pub fn taken(&self, appends: u8) {
        let mut told = self.told.lock();
        told.appends = appends;
        told.reach(Step::Taken, Stopwatch::start());
    }

    /// The log has it, there.
    pub fn appended(&self, position: Position) {
        let mut told = self.told.lock();
        told.position = Some(position);
        told.reach(Step::Appended, Stopwatch::start());
    }

    /// Its block is stored; how that was decided.
    pub fn stored(&self, place: Place, round: u32, seen: &Seen) {
        let Seen { proposed, prevoted, precommitted, decided } = *seen;
        let mut told = self.told.lock();
        told.place = Some(place);
        told.round = Some(round);
        told.prevoted = prevoted;
        told.precommitted = precommitted;
        for (step, at) in [(Step::Proposed, proposed), (Step::Decided, decided)] {
            if let Some(at) = at {
                told.reach(step, at);
            }
        }
        told.reach(Step::Stored, Stopwatch::start());
    }

    /// It is part of the ledger. The day goes on until searches find it.
    pub fn committed(self: &Arc<Self>, place: Place) {
        {
            let mut told = self.told.lock();
            (told.place, told.outcome, told.code) = (Some(place), Some("committed"), None);
        }
        self.shared.await_searchable(place.height, self);
    }

    /// It was refused by a block, and why.
    pub fn refused(&self, place: Place, code: &'static str) {
        let mut told = self.told.lock();
        (told.place, told.outcome, told.code) = (Some(place), Some("refused"), Some(code));
    }

    /// It was given up: it may still come in.
    pub fn given_up(&self) {
        self.told.lock().outcome = Some("unknown");
    }

    /// The request was answered so. What a block says counts more.
    pub fn failed(&self, code: &'static str) {
        let mut told = self.told.lock();
        if told.outcome.is_none() {
            // What is in the waiting room may still become anything.
            let waits = told.steps[Step::Admitted as usize].is_some();
            told.outcome = Some(if waits { "unknown" } else { "turned_away" });
            told.code = Some(code);
        }
    }

    /// The answer is over.
    pub fn answered(&self, status: u16) {
        self.told.lock().answered = Some((Stopwatch::start(), status));
    }
}

impl Told {
    pub(super) fn at(&self, step: Step) -> Option<&Stopwatch> {
        self.steps[step as usize].as_ref()
    }

    fn reach(&mut self, step: Step, at: Stopwatch) {
        self.steps[step as usize].get_or_insert(at);
    }

    /// How many spans it comes to: one for the whole, one for the request, and one for each step
    /// until it is stored.
    pub(super) fn spans(&self) -> usize {
        let steps = self.steps[..Step::Searchable as usize].iter().flatten().count();
        1 + usize::from(self.answered.is_some()) + steps
    }
}

impl Drop for Day {
    fn drop(&mut self) {
        if let Some(origin) = self.origin.take() {
            let told = std::mem::take(self.told.get_mut());
            self.shared.take(Over { origin, told });
        }
    }
}
