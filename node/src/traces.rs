//! A transaction's whole day as one trace, for tools that show such.
//!
//! No spans around hot code: where a transaction is passed on, the room that does it writes down the moment, if the
//! day of that transaction is followed, which costs the others a look at an `Option`. When nobody holds
//! the [`Day`] any more it is over, and becomes spans on a thread of its own.
//!
//! Read in this order: `context` whose trace it is, by the caller's word (W3C Trace Context); `day` the moments of one
//! transaction; `spans` what they come to; `otlp` the bytes that collectors take; `collector` the thread that sends them.

use std::{
    collections::VecDeque,
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    time::Duration,
};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use cairn_ledger::ids::{ChainId, Height};
use parking_lot::Mutex;

use crate::{
    clock::{self, Stopwatch},
    metrics::Metrics,
};

mod collector;
mod context;
mod day;
mod otlp;
mod spans;

#[cfg(test)]
mod tests;

pub use collector::Authorities;
pub use day::{Day, Seen, Step};

use collector::Collector;
use context::Caller;
use day::{Origin, Told};

/// Most days that are followed at a time. A busy collector, or one that asks for everything, must
/// not take memory from the ledger's work.
const DAYS_MAX: usize = 1000;

/// Most days that are over and wait to be sent.
const QUEUE_MAX: usize = 1000;

/// How long a stored transaction's day waits until searches find the transaction.
const SEARCHABLE_WITHIN: Duration = Duration::from_secs(10);

/// Where traces go, and of whom.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceSettings {
    /// Of a collector, as `http://collector:4318`.
    pub endpoint: String,
    /// Which share of the requests without a word of the caller is followed: 0 to 1.
    pub sample: f64,
    /// Whether a caller's word counts: who asks for its transaction to be followed, or not.
    pub callers: bool,
    /// What the collector wants to be told with each request. Values are never printed.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Certificates, as PEM, that vouch for the collector's, instead of those whom browsers trust.
    pub ca_file: Option<PathBuf>,
}

/// Who follows whose day.
#[derive(Debug)]
pub struct Traces(Option<On>);

#[derive(Debug)]
struct On {
    shared: Arc<Shared>,
    callers: bool,
    chance: Chance,
    collector: Collector,
}

/// What days need when they end.
struct Shared {
    live: AtomicUsize,
    /// Nothing after the end.
    over: Mutex<Option<SyncSender<Over>>>,
    stored: Mutex<Stored>,
    metrics: Arc<Metrics>,
}

/// A day that is over.
struct Over {
    origin: Origin,
    told: Told,
}

/// Days whose transactions are stored, and not yet found by searches.
#[derive(Default)]
struct Stored {
    searchable: Height,
    days: VecDeque<(Height, Stopwatch, Arc<Day>)>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({} days)", self.live.load(Ordering::Relaxed))
    }
}

impl Traces {
    /// Follows nobody.
    pub fn off() -> Arc<Self> {
        Arc::new(Self(None))
    }

    /// Follows some, and sends what became of them, as that validator of that chain.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn open(
        settings: TraceSettings,
        authorities: Option<Authorities>,
        validator: &str,
        chain: &ChainId,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, std::io::Error> {
        let (sender, receiver) = sync_channel(QUEUE_MAX);
        let shared = Arc::new(Shared {
            live: AtomicUsize::new(0),
            over: Mutex::new(Some(sender)),
            stored: Mutex::default(),
            metrics,
        });
        let (callers, chance) = (settings.callers, Chance::of(settings.sample));
        let resource = spans::resource(validator, chain);
        let collector =
            Collector::start(settings, authorities, resource, receiver, Arc::clone(&shared))?;
        Ok(Arc::new(Self(Some(On { shared, callers, chance, collector }))))
    }

    /// Whether anybody is followed at all.
    pub fn are_on(&self) -> bool {
        self.0.is_some()
    }

    /// Follows a request's transaction if its caller asks for that, or if the lot falls on it. `came` is when the request came.
    pub fn begin(
        &self,
        headers: &HeaderMap,
        came: Stopwatch,
        route: &'static str,
        request_id: &Arc<str>,
    ) -> Option<Arc<Day>> {
        let On { shared, callers, chance, .. } = self.0.as_ref()?;
        let said = if *callers { Caller::of(headers) } else { Caller::SaysNothing };
        let (trace, parent) = match said {
            Caller::Asks { trace, parent } => (trace, Some(parent)),
            Caller::Declines => return None,
            Caller::SaysNothing if chance.falls() => (clock::random(), None),
            Caller::SaysNothing => return None,
        };
        if shared.live.fetch_add(1, Ordering::Relaxed) >= DAYS_MAX {
            shared.live.fetch_sub(1, Ordering::Relaxed);
            shared.dropped("busy", 1);
            return None;
        }
        let request_id = Arc::clone(request_id);
        let origin = Origin { trace, parent, came, route, request_id };
        Some(Day::begin(origin, Arc::clone(shared)))
    }

    /// Searches find everything up to that height.
    pub fn searchable(&self, height: Height) {
        if let Some(On { shared, .. }) = &self.0 {
            shared.searchable(height);
        }
    }

    /// Ends: what is over is sent, if that takes no longer than two seconds. Blocks.
    pub fn stop(&self) {
        let Some(On { shared, collector, .. }) = &self.0 else { return };
        let left = std::mem::take(&mut shared.stored.lock().days);
        // They become spans here and now, without the lock.
        drop(left);
        drop(shared.over.lock().take());
        collector.wait();
    }
}

impl Shared {
    /// A day is over.
    fn take(&self, over: Over) {
        self.live.fetch_sub(1, Ordering::Relaxed);
        let over = match &*self.over.lock() {
            Some(sender) => match sender.try_send(over) {
                Ok(()) => return,
                Err(TrySendError::Full(over) | TrySendError::Disconnected(over)) => over,
            },
            None => over,
        };
        self.dropped("queue_full", over.told.spans());
    }

    fn dropped(&self, reason: &str, spans: usize) {
        self.metrics.spans_dropped.with_label_values(&[reason]).inc_by(spans as u64);
    }

    /// Keeps a day until searches find its transaction.
    fn await_searchable(&self, height: Height, day: &Arc<Day>) {
        let mut stored = self.stored.lock();
        if stored.searchable >= height {
            day.reach(Step::Searchable);
        } else {
            stored.days.push_back((height, Stopwatch::start(), Arc::clone(day)));
        }
    }

    fn searchable(&self, height: Height) {
        let mut stored = self.stored.lock();
        stored.searchable = stored.searchable.max(height);
        // Blocks are stored in order.
        let count = stored.days.iter().take_while(|(stored, ..)| *stored <= height).count();
        let found: Vec<_> = stored.days.drain(..count).collect();
        drop(stored);
        for (_, _, day) in found {
            day.reach(Step::Searchable);
        }
    }

    /// An index that does not follow must not keep days for ever.
    fn give_up_on_searches(&self) {
        let mut stored = self.stored.lock();
        let late = |(_, since, _): &&(Height, Stopwatch, _)| since.elapsed() >= SEARCHABLE_WITHIN;
        let count = stored.days.iter().take_while(late).count();
        let late: Vec<_> = stored.days.drain(..count).collect();
        drop(stored);
        drop(late);
    }
}

/// A lot for each request, without asking the operating system for dice.
#[derive(Debug)]
struct Chance {
    share: f64,
    next: AtomicU64,
}

impl Chance {
    fn of(share: f64) -> Self {
        Self { share, next: AtomicU64::new(u64::from_be_bytes(clock::random())) }
    }

    fn falls(&self) -> bool {
        // The output of a counter, mixed (SplitMix64); 53 bits of it are a number below 1.
        let mut lot = self.next.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        lot = (lot ^ (lot >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        lot = (lot ^ (lot >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        lot ^= lot >> 31;
        #[expect(clippy::cast_precision_loss, reason = "53 bits are exact in an f64")]
        let lot = (lot >> 11) as f64 / (1u64 << 53) as f64;
        lot < self.share
    }
}
