//! Event streams: what was decided, told as it comes, from any place of the chain on.
//!
//! A stream is a place in the chain and a filter: a [`Follower`]. It reads stored blocks when
//! its reader asks for more, never from a queue that somebody else fills: nothing can be
//! lost, a slow reader holds up only itself, and no reader a decision. What many want, the
//! newest blocks, is read once and shared.
//!
//! `place` names events, `events` writes them, `filter` chooses; who carries them to a reader
//! is the API's business.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use cairn_ledger::ids::Height;
use parking_lot::Mutex;
use tokio::{
    sync::{OnceCell, OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep_until},
};

use crate::{
    clock::Stopwatch,
    metrics::Metrics,
    query::{Query, StoreError},
};

pub mod events;
pub mod filter;
pub mod place;

#[cfg(test)]
mod tests;

pub use events::Portion;
pub use filter::{Filter, Operation};
pub use place::{EventId, Next};

use events::BlockEvents;

/// Most bytes of one portion, beyond its first event: what lies ready for one reader.
const PORTION_BYTES: usize = 32 * 1024;

/// Blocks whose events are kept: those at the tip, which all read, and some that were read
/// last. A full one has some 2 MB.
const BLOCKS_KEPT: usize = 8;

/// A reader that wants nothing of so many blocks is told how far it got.
const PROGRESS_BLOCKS: usize = 256;

/// What streams may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// Most streams at a time, of all kinds.
    pub streams: usize,
    /// How long a reader may take to read what was sent.
    pub patience: Duration,
    /// How long a reader hears nothing before it is told that the stream is still there.
    pub quiet: Duration,
    /// How long a WebSocket may say nothing before it is pinged, and again before it is given up.
    pub silence: Duration,
    /// How many blocks a reader of the BigchainDB stream may be behind.
    pub behind: u64,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            streams: 2048,
            patience: Duration::from_secs(10),
            quiet: Duration::from_secs(15),
            silence: Duration::from_secs(30),
            behind: 64,
        }
    }
}

/// How a stream is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// BigchainDB's WebSocket.
    V1,
    /// Server-Sent Events.
    Sse,
    /// API v2's WebSocket.
    WebSocket,
}

impl Kind {
    fn label(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::Sse => "sse",
            Self::WebSocket => "websocket",
        }
    }
}

/// Why a reader was sent away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// It did not read what was sent.
    Slow,
    /// It fell too many blocks behind.
    Behind,
    /// It did not answer a ping.
    Silent,
    /// A block could not be read.
    Trouble,
}

impl Dropped {
    fn label(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Behind => "behind",
            Self::Silent => "silent",
            Self::Trouble => "trouble",
        }
    }
}

/// A block's events, or whoever is making them.
type Shared = Arc<OnceCell<Arc<BlockEvents>>>;

/// All streams.
#[derive(Debug)]
pub struct Streams {
    query: Arc<Query>,
    metrics: Arc<Metrics>,
    limits: StreamLimits,
    places: Arc<Semaphore>,
    /// One permit for each block that may be read at a time: whoever reads the whole chain
    /// must leave cores to those who decide.
    readers: Semaphore,
    /// Used last, first.
    recent: Mutex<VecDeque<(Height, Shared)>>,
}

impl Streams {
    /// Reads from `query`.
    pub fn new(query: Arc<Query>, metrics: Arc<Metrics>, limits: StreamLimits) -> Arc<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Arc::new(Self {
            query,
            metrics,
            limits,
            places: Arc::new(Semaphore::new(limits.streams)),
            readers: Semaphore::new((cores / 2).max(1)),
            recent: Mutex::default(),
        })
    }

    /// What they may cost.
    pub fn limits(&self) -> &StreamLimits {
        &self.limits
    }

    /// Follows the chain from `next` on, or from now. Nothing when there are too many already.
    pub fn follow(
        self: &Arc<Self>,
        kind: Kind,
        next: Option<Next>,
        filter: Filter,
    ) -> Option<Follower> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let heights = self.query.heights();
        let next = next.unwrap_or_else(|| Next::behind(EventId::block(self.query.height())));
        self.metrics.streams.with_label_values(&[kind.label()]).inc();
        let quiet_until = Instant::now() + self.limits.quiet;
        let streams = Arc::clone(self);
        Some(Follower {
            streams,
            kind,
            filter,
            heights,
            next,
            quiet_until,
            handed: None,
            _place: place,
        })
    }

    /// The events of a stored block.
    async fn events_at(&self, height: Height) -> Result<Arc<BlockEvents>, StoreError> {
        let shared = self.shared(height);
        let made = shared.get_or_try_init(|| async {
            let _permit = self.readers.acquire().await.expect("nobody closes the semaphore");
            let query = Arc::clone(&self.query);
            let read = move || Ok(query.decided(height)?.map(|block| BlockEvents::of(&block)));
            let read = tokio::task::spawn_blocking(read).await;
            let read: Result<Option<BlockEvents>, StoreError> =
                read.unwrap_or_else(|_| Err(gone(height, "reading it was given up")));
            Ok(Arc::new(read?.ok_or_else(|| gone(height, "it is not there"))?))
        });
        made.await.map(Arc::clone)
    }

    fn shared(&self, height: Height) -> Shared {
        let mut recent = self.recent.lock();
        let at = recent.iter().position(|(kept, _)| *kept == height);
        let kept = at.and_then(|at| recent.remove(at));
        let (_, shared) = kept.unwrap_or_default();
        recent.truncate(BLOCKS_KEPT - 1);
        recent.push_front((height, Arc::clone(&shared)));
        shared
    }
}

fn gone(height: Height, what: &str) -> StoreError {
    StoreError::Corrupt {
        path: "the chain".to_owned(),
        at: height.0,
        what: format!("block {height} was stored; {what}"),
    }
}

async fn is_stored(heights: &mut watch::Receiver<Height>, height: Height) {
    let gone = heights.wait_for(|stored| *stored >= height).await.is_err();
    if gone {
        // The store goes only when the process ends.
        std::future::pending::<()>().await;
    }
}

/// What a reader is to be told.
#[derive(Clone, Debug)]
pub enum News {
    /// Events that it wants.
    Events(Portion),
    /// None for a while; this is the last one that it was spared.
    Quiet(EventId),
}

/// One stream.
#[derive(Debug)]
pub struct Follower {
    streams: Arc<Streams>,
    kind: Kind,
    filter: Filter,
    heights: watch::Receiver<Height>,
    next: Next,
    quiet_until: Instant,
    /// Runs while the reader has something to read.
    handed: Option<Stopwatch>,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    /// Waits for what is wanted. Whoever stops waiting loses nothing.
    ///
    /// # Errors
    /// When a block that is stored cannot be read.
    pub async fn news(&mut self) -> Result<News, StoreError> {
        self.handed = None;
        let mut passed = 0;
        while passed < PROGRESS_BLOCKS {
            let height = self.next.height;
            let quiet_until = self.quiet_until;
            tokio::select! {
                biased;
                () = is_stored(&mut self.heights, height) => {}
                () = sleep_until(quiet_until) => break,
            }
            let block = self.streams.events_at(height).await?;
            if let Some(portion) = self.portion(&block) {
                self.streams.count(self.kind, &portion);
                self.told();
                return Ok(News::Events(portion));
            }
            passed += 1;
        }
        self.told();
        Ok(News::Quiet(self.next.passed()))
    }

    fn told(&mut self) {
        self.quiet_until = Instant::now() + self.streams.limits.quiet;
        self.handed = Some(Stopwatch::start());
    }

    /// The next run of wanted events of a block; goes on to the next block when none is left.
    fn portion(&mut self, block: &Arc<BlockEvents>) -> Option<Portion> {
        let last = block.count() - 1;
        let wanted = |event: &usize| match block.told(*event) {
            Some(told) => self.filter.wants(told),
            None => self.filter.blocks,
        };
        // An id beyond the block's transactions has only the block behind it.
        let first = (self.next.event.min(last)..=last).find(|event| wanted(event));
        let portion = first.map(|first| {
            let mut bytes = 0;
            let more = (first + 1..=last).take_while(|event| {
                bytes += block.bytes(*event);
                bytes <= PORTION_BYTES && wanted(event)
            });
            let end = more.last().unwrap_or(first) + 1;
            Portion { block: Arc::clone(block), events: first..end }
        });
        self.next = match &portion {
            Some(Portion { events, .. }) if events.end <= last => {
                Next { height: block.height(), event: events.end }
            }
            Some(_) | None => Next::of(block.height().next()),
        };
        portion
    }

    /// The last event that was passed: to go on behind it is to go on here.
    pub fn passed(&self) -> EventId {
        self.next.passed()
    }

    /// How many stored blocks are still to be told.
    pub fn behind(&self) -> u64 {
        (self.heights.borrow().0 + 1).saturating_sub(self.next.height.0)
    }

    /// What its kind of stream may cost.
    pub fn limits(&self) -> StreamLimits {
        self.streams.limits
    }

    /// Ends it for a reason that is not the reader's will.
    pub fn end(mut self, why: Dropped) {
        self.handed = None;
        self.streams.drop_reader(why);
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.streams.metrics.streams.with_label_values(&[self.kind.label()]).dec();
        // The reader's connection was given up while it had something to read, for longer
        // than anybody who reads takes.
        let patience = self.streams.limits.patience;
        if self.handed.take().is_some_and(|handed| handed.elapsed() >= patience) {
            self.streams.drop_reader(Dropped::Slow);
        }
    }
}

impl Streams {
    fn count(&self, kind: Kind, portion: &Portion) {
        self.metrics.stream_events.with_label_values(&[kind.label()]).inc_by(portion.count());
    }

    fn drop_reader(&self, why: Dropped) {
        self.metrics.stream_readers_dropped.with_label_values(&[why.label()]).inc();
    }
}
