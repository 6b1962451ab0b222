//! A request that brings transactions: what of it is found again later, by its name.
//!
//! Three who look for it: the access log's line, which says how many transactions a request had and what block decided them; two
//! lines at level debug, one when they are taken in and one when the last is decided, whoever
//! waits for that; and the trace of the first, if its day is followed. Nothing of this is done for each transaction.

use std::sync::Arc;

use axum::http::HeaderMap;
use cairn_ledger::ids::{Height, TransactionId};
use tokio::sync::oneshot;

use super::{
    Api,
    access::log::{Current, current},
    error::Failure,
};
use crate::{
    clock::Stopwatch,
    intake::Fate,
    traces::{Day, Step},
};

/// The target of the two lines, so that they can be had without all the others.
const TARGET: &str = "cairn::requests";

/// A request that brings transactions.
pub(super) struct Errand {
    request: Arc<Current>,
    day: Option<Arc<Day>>,
}

/// What became of a request's transactions.
#[derive(Default)]
struct Sum {
    committed: usize,
    refused: usize,
    unknown: usize,
    height: Option<Height>,
}

impl Errand {
    /// Of the request that is being answered.
    pub(super) fn begin(api: &Api, headers: &HeaderMap) -> Self {
        let request = current();
        let day = api.traces.begin(headers, request.since(), request.route(), &request.id());
        if let Some(day) = &day {
            request.is_followed(day);
        }
        Self { request, day }
    }

    /// The day that is followed, if one is: that of the request's first transaction.
    pub(super) fn day(&self) -> Option<Arc<Day>> {
        self.day.clone()
    }

    /// The request, or its transactions, have come so far.
    pub(super) fn reach(&self, step: Step) {
        if let Some(day) = &self.day {
            day.reach(step);
        }
    }

    /// The answer to it, if it is a failure.
    pub(super) fn end<T>(&self, answer: Result<T, Failure>) -> Result<T, Failure> {
        answer.inspect_err(|failure| {
            if let Some(day) = &self.day {
                day.failed(failure.code());
            }
        })
    }

    /// So many are about to be taken in.
    pub(super) fn brings(&self, first: TransactionId, transactions: usize) {
        self.request.brings(transactions);
        if let Some(day) = &self.day {
            day.is_of(first, transactions);
        }
    }

    /// None of them could be taken in.
    pub(super) fn brings_nothing(&self) {
        if let Some(day) = &self.day {
            day.turned_away();
        }
    }

    /// What it brings is part of the ledger already.
    pub(super) fn is_known(&self) {
        if let Some(day) = &self.day {
            day.joins();
        }
    }

    /// They were; says so, if anybody listens.
    pub(super) fn is_taken_in(&self, first: TransactionId, transactions: usize) {
        let request_id = &*self.request.id();
        tracing::debug!(target: TARGET, request_id, transactions, %first, "taken in");
    }

    /// Whether somebody listens who wants to know of the decision, though the client does not wait.
    pub(super) fn is_awaited(&self) -> bool {
        tracing::enabled!(target: TARGET, tracing::Level::DEBUG)
    }

    /// Says when the last is decided. Only for who listens: it waits as long as they do.
    pub(super) fn tell_when_decided(&self, fates: Vec<oneshot::Receiver<Fate>>) {
        let (request_id, since) = (self.request.id(), self.request.since());
        tokio::spawn(async move {
            let mut sum = Sum::default();
            for fate in fates {
                sum.add(&fate.await.unwrap_or(Fate::Unknown));
            }
            sum.tell(&request_id, since);
        });
    }

    /// The same, for who has waited: the access log's line says the height too.
    pub(super) fn are_decided<'a>(&self, fates: impl IntoIterator<Item = &'a Fate>) {
        let mut sum = Sum::default();
        fates.into_iter().for_each(|fate| sum.add(fate));
        if let Some(height) = sum.height {
            self.request.decided(height);
        }
        sum.tell(&self.request.id(), self.request.since());
    }
}

impl Sum {
    fn add(&mut self, fate: &Fate) {
        let (count, place) = match fate {
            Fate::Committed(place) => (&mut self.committed, Some(place)),
            Fate::Refused(place, _) => (&mut self.refused, Some(place)),
            Fate::Unknown => (&mut self.unknown, None),
        };
        *count += 1;
        self.height = self.height.max(place.map(|place| place.height));
    }

    fn tell(&self, request_id: &str, since: Stopwatch) {
        let Self { committed, refused, unknown, height } = self;
        tracing::debug!(
            target: TARGET,
            request_id,
            committed,
            refused,
            unknown,
            height = height.map(|height| height.0),
            ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
            "decided"
        );
    }
}
