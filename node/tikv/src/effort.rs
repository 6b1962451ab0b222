//! One call's efforts: its turn, its time, its attempts, and the pauses between them.

use std::{
    any::Any,
    future::Future,
    hash::{BuildHasher, Hasher, RandomState},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use tikv_client::{Timestamp, TransactionClient};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinError, JoinSet},
    time::Instant,
};

use crate::{
    Trouble,
    client::Shared,
    orphans,
    settings::KIB_UNDER_WAY_MAX,
    trouble::{Failure, Next},
};

/// What was called, as metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Get,
    GetMany,
    Scan,
    Insert,
    PutEach,
    Write,
    Update,
    Now,
    CollectGarbage,
    Probe,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::GetMany => "get_many",
            Self::Scan => "scan",
            Self::Insert => "insert",
            Self::PutEach => "put_each",
            Self::Write => "write",
            Self::Update => "update",
            Self::Now => "now",
            Self::CollectGarbage => "collect_garbage",
            Self::Probe => "probe",
        }
    }
}

/// A call that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Called {
    /// Which: get, get_many, scan, insert, put_each, write, update, now or collect_garbage.
    pub kind: &'static str,
    /// How it went: yes, refused, unreachable or bug.
    pub outcome: &'static str,
    /// How long it took, its wait for a turn included.
    pub seconds: f64,
}

/// Who is told of every call that is over, for metrics.
pub type Observer = Arc<dyn Fn(&Called) + Send + Sync>;

/// How long to wait before the next attempt.
pub(crate) struct Pace {
    soon: Duration,
    later: Duration,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { soon: Duration::from_millis(5), later: Duration::from_millis(50) }
    }

    fn next(&mut self, next: Next) -> Duration {
        let (nap, most) = match next {
            Next::Later | Next::Reconnect => (&mut self.later, Duration::from_secs(1)),
            Next::Soon | Next::TwoPhases | Next::Smaller | Next::Bug | Next::Never => {
                (&mut self.soon, Duration::from_millis(250))
            }
        };
        let whole = *nap;
        *nap = (whole * 2).min(most);
        // Between half of it and all of it, so that those who failed together do not come back together.
        whole / 2 + (whole / 2).mul_f64(dice())
    }
}

/// From 0 to 1. The standard library's own seeds are random enough to part two callers.
fn dice() -> f64 {
    let drawn = RandomState::new().build_hasher().finish() >> 40;
    f64::from(u32::try_from(drawn).unwrap_or_default()) / f64::from(1 << 24)
}

/// One call under way. Clones work on the same call, in its time.
#[derive(Clone)]
pub(crate) struct Effort {
    shared: Arc<Shared>,
    kind: Kind,
    begun: Instant,
    deadline: Instant,
    attempt_within: Duration,
    /// The keys that it is about lie in there.
    among: Option<Range<Vec<u8>>>,
    _turn: Arc<Vec<OwnedSemaphorePermit>>,
}

impl Effort {
    /// Waits for a turn, as part of the call's time.
    pub(crate) async fn begin(
        shared: &Arc<Shared>,
        kind: Kind,
        bytes: usize,
        among: Option<Range<Vec<u8>>>,
    ) -> Result<Self, Trouble> {
        let mut effort = Self::without_turn(shared, kind);
        effort.among = among;
        if kind == Kind::CollectGarbage {
            effort.limit(crate::garbage::WITHIN);
        }
        let turn = async {
            let mut turn = vec![permits(&shared.calls, 1).await];
            if bytes > 0 {
                turn.push(permits(&shared.kib, bytes.div_ceil(1024).min(KIB_UNDER_WAY_MAX)).await);
            }
            turn
        };
        let turn = tokio::select! {
            biased;
            () = shared.closed() => None,
            turn = shared.threads.until(effort.deadline, turn) => turn,
        };
        match turn {
            Some(turn) => {
                effort._turn = Arc::new(turn);
                Ok(effort)
            }
            None => effort.done(Err(Trouble::Unreachable(if shared.is_closed() {
                "closing".to_owned()
            } else {
                "too many calls are waiting for it".to_owned()
            }))),
        }
    }

    /// For what must not wait behind the calls whose trouble it looks into.
    pub(crate) fn without_turn(shared: &Arc<Shared>, kind: Kind) -> Self {
        let begun = Instant::now();
        Self {
            shared: Arc::clone(shared),
            kind,
            begun,
            deadline: begun + shared.settings.within,
            attempt_within: shared.settings.attempt_within.min(shared.settings.within),
            among: None,
            _turn: Arc::default(),
        }
    }

    /// Another time limit, in which there is one attempt.
    pub(crate) fn limit(&mut self, within: Duration) {
        self.deadline = self.begun + within;
        self.attempt_within = within;
    }

    /// Tells how the call went.
    pub(crate) fn done<T>(&self, outcome: Result<T, Trouble>) -> Result<T, Trouble> {
        if let Some(observer) = &self.shared.observer {
            observer(&Called {
                kind: self.kind.word(),
                outcome: outcome.as_ref().err().map_or("yes", Trouble::word),
                seconds: self.begun.elapsed().as_secs_f64(),
            });
        }
        outcome
    }

    /// PD's time, as an attempt that says nothing about the stores.
    pub(crate) async fn timestamp(&self) -> Result<Timestamp, Trouble> {
        let mut pace = Pace::new();
        loop {
            let asked = |client: TransactionClient| async move {
                client.current_timestamp().await.map_err(Failure::from)
            };
            match self.try_once(asked, false).await {
                Ok(timestamp) => return Ok(timestamp),
                Err(failure) => self.pause(&mut pace, failure).await?,
            }
        }
    }

    /// Attempts until one succeeds, or none can, or the time is over.
    pub(crate) async fn until_done<T, F>(
        &self,
        call: impl Fn(TransactionClient) -> F,
    ) -> Result<T, Trouble>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let mut pace = Pace::new();
        loop {
            match self.attempt(&call).await {
                Ok(result) => return Ok(result),
                Err(failure) => self.pause(&mut pace, failure).await?,
            }
        }
    }

    /// One attempt that asks stores, in its time.
    pub(crate) async fn attempt<T, F>(
        &self,
        call: impl FnOnce(TransactionClient) -> F,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        self.try_once(call, true).await
    }

    async fn try_once<T, F>(
        &self,
        call: impl FnOnce(TransactionClient) -> F,
        asks_stores: bool,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let shared = &*self.shared;
        let begun = Instant::now();
        let within = self.attempt_within.min(self.deadline.duration_since(begun));
        let mut used = None;
        let work = async {
            let connection = shared.connections.get(&shared.threads).await?;
            let task = connection.spawn(call);
            used = Some(connection);
            task.result().await.unwrap_or_else(|error| Err(panicked(error)))
        };
        let answer = tokio::select! {
            biased;
            () = shared.closed() => return Err(Failure::new(Next::Later, "closing")),
            answer = shared.threads.until(begun + within, work) => answer,
        };
        let result = answer.unwrap_or_else(|| {
            // What was given little time says little about the connection.
            let next = if within == self.attempt_within { Next::Reconnect } else { Next::Later };
            Err(Failure::new(next, format!("no answer within {within:?}")))
        });
        match &result {
            Ok(_) => {
                used.iter().for_each(|connection| connection.has_worked());
                if asks_stores {
                    shared.reach.worked();
                }
            }
            Err(failure) => {
                if let (Next::Reconnect, Some(connection)) = (failure.next, used) {
                    shared.connections.replace(connection.number, &failure.words);
                }
                let key = self.among.as_ref().map(|among| &among.start[..]);
                if failure.is_weather() && shared.reach.failed(begun, key, &failure.words) {
                    Shared::look_for_return(&self.shared);
                }
            }
        }
        result
    }

    /// Waits before another attempt, or says why there will be none.
    pub(crate) async fn pause(&self, pace: &mut Pace, failure: Failure) -> Result<(), Trouble> {
        let wake = Instant::now() + pace.next(failure.next);
        if failure.is_final() || wake >= self.deadline {
            return Err(failure.trouble());
        }
        if let (Some(writer), Some(among)) = (failure.orphan, self.among.clone()) {
            // Where it fails, the next attempt meets the same locks and comes back here.
            let let_go = |client| orphans::let_go(client, among, writer);
            if let Err(failure) = self.attempt(let_go).await {
                tracing::debug!(why = failure.words, "a dead writer's locks are still there");
            }
        }
        tokio::select! {
            biased;
            () = self.shared.closed() => Err(failure.trouble()),
            () = self.shared.threads.sleep_until(wake) => Ok(()),
        }
    }

    /// Does the same to several things, so many at a time. The first trouble ends it.
    pub(crate) async fn several<I, T, F>(
        &self,
        at_a_time: usize,
        things: impl IntoIterator<Item = I>,
        work: impl Fn(Self, I) -> F,
    ) -> Result<Vec<T>, Trouble>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Trouble>> + Send + 'static,
    {
        let mut things = things.into_iter();
        // Dropped, it ends what is under way.
        let mut under_way = JoinSet::new();
        let mut results = vec![];
        loop {
            while under_way.len() < at_a_time
                && let Some(thing) = things.next()
            {
                under_way.spawn_on(work(self.clone(), thing), self.shared.threads.handle());
            }
            match under_way.join_next().await {
                None => return Ok(results),
                Some(Ok(result)) => results.push(result?),
                Some(Err(error)) => return Err(panicked(error).trouble()),
            }
        }
    }
}

async fn permits(of: &Arc<Semaphore>, count: usize) -> OwnedSemaphorePermit {
    let count = u32::try_from(count).expect("at most what there is, which is far below");
    Arc::clone(of).acquire_many_owned(count).await.expect("nobody closes it")
}

/// `tikv-client` asserts in places that a server's answer can reach; those that are known are about
/// one-phase commits.
fn panicked(error: JoinError) -> Failure {
    let words = match error.try_into_panic() {
        Ok(panic) => format!("tikv-client panicked: {}", panic_words(&*panic)),
        Err(error) => error.to_string(),
    };
    tracing::warn!(why = words, "an attempt ended");
    Failure::new(Next::TwoPhases, words)
}

fn panic_words(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without words")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit_and_differ() {
        let mut pace = Pace::new();
        let naps: Vec<_> = (0..12).map(|_| pace.next(Next::Reconnect)).collect();
        assert!((25..=50).contains(&naps[0].as_millis()), "{naps:?}");
        assert!((500..=1000).contains(&naps[11].as_millis()), "{naps:?}");
        let again: Vec<_> = (0..12).map(|_| Pace::new().next(Next::Soon)).collect();
        assert!(again.iter().all(|nap| nap.as_micros() <= 5000));
        assert!(again.windows(2).any(|pair| pair[0] != pair[1]), "{again:?}");
    }
}
