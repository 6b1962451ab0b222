//! How many connections there may be, and who goes when there are too many.
//!
//! A connection that nobody uses must not keep out one that somebody wants to use: when all
//! places are taken, the connection that has been idle for longest is closed. Only when every
//! place is busy with a request does a new connection wait.

use std::{collections::BTreeMap, pin::pin, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::metrics::Metrics;

/// The places of all ports that share them.
#[derive(Debug)]
pub struct Places {
    most: usize,
    state: Mutex<State>,
    freed: Notify,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    /// Counts every time that a connection began to idle.
    turns: u64,
    /// Those that idle, the longest first.
    idle: BTreeMap<u64, Arc<Notify>>,
    /// Somebody waits, and nobody idled when it began to.
    wanted: bool,
}

impl Places {
    /// So many, all free.
    pub fn new(most: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { most, state: Mutex::default(), freed: Notify::new(), metrics })
    }

    /// A place; whoever idles longest leaves for it.
    pub(super) async fn take(self: &Arc<Self>) -> Arc<Place> {
        loop {
            // Listens before it looks, and to what happens from here on: a place that was freed
            // long ago must not make it look twice, since each look asks somebody to leave.
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            if let Some(place) = self.try_take() {
                return place;
            }
            freed.await;
        }
    }

    fn try_take(self: &Arc<Self>) -> Option<Arc<Place>> {
        let mut state = self.state.lock();
        if state.taken < self.most {
            state.taken += 1;
            drop(state);
            self.metrics.http_connections.inc();
            return Some(Place::new(Arc::clone(self)));
        }
        match state.idle.pop_first() {
            Some((_, leave)) => self.ask_to_leave(&leave),
            None => state.wanted = true,
        }
        None
    }

    fn ask_to_leave(&self, leave: &Notify) {
        self.metrics.http_connections_evicted.inc();
        leave.notify_one();
    }
}

/// One connection's place; free again when it is dropped. It goes with the socket, so that a
/// connection that became a WebSocket keeps it.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    use_of: Mutex<Use>,
    leave: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Use {
    requests: usize,
    /// Since when it idles, when it does.
    turn: Option<u64>,
}

impl Place {
    fn new(places: Arc<Places>) -> Arc<Self> {
        let place = Self { places, use_of: Mutex::default(), leave: Arc::default() };
        // Who has said nothing yet idles.
        place.idle(&mut place.use_of.lock());
        Arc::new(place)
    }

    /// Returns when the place is wanted for somebody else.
    pub(super) async fn asked_to_leave(&self) {
        self.leave.notified().await;
    }

    /// Whether a request is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.use_of.lock().requests > 0
    }

    /// It does not idle until what this returns is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        let mut used = self.use_of.lock();
        used.requests += 1;
        if let Some(turn) = used.turn.take() {
            self.places.state.lock().idle.remove(&turn);
        }
        drop(used);
        UnderWay(Arc::clone(self))
    }

    fn idle(&self, used: &mut Use) {
        let mut state = self.places.state.lock();
        if std::mem::take(&mut state.wanted) {
            self.places.ask_to_leave(&self.leave);
            return;
        }
        state.turns += 1;
        let turn = state.turns;
        state.idle.insert(turn, Arc::clone(&self.leave));
        used.turn = Some(turn);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.places.state.lock();
        state.taken -= 1;
        if let Some(turn) = self.use_of.get_mut().turn {
            state.idle.remove(&turn);
        }
        drop(state);
        self.places.metrics.http_connections.dec();
        self.places.freed.notify_waiters();
    }
}

/// A request under way, until the last byte of its answer is out.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Place>);

impl UnderWay {
    /// The connection is never idle again.
    pub(super) fn for_good(self) {
        self.0.use_of.lock().requests += 1;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut used = self.0.use_of.lock();
        used.requests -= 1;
        if used.requests == 0 {
            self.0.idle(&mut used);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_now::now_or_never;

    use super::*;

    /// Polls once.
    mod futures_now {
        use std::{
            pin::pin,
            task::{Context, Poll, Waker},
        };

        pub(super) fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
            match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(done) => Some(done),
                Poll::Pending => None,
            }
        }
    }

    fn asked(place: &Place) -> bool {
        now_or_never(place.asked_to_leave()).is_some()
    }

    #[test]
    fn the_longest_idle_leaves_for_a_newcomer_and_the_busy_stay() {
        let places = Places::new(3, Arc::new(Metrics::new()));
        let [first, second, third] = [(); 3].map(|()| now_or_never(places.take()).unwrap());
        let busy = first.begin();
        // The second was used since, so that the third idles longer.
        drop(second.begin());
        assert!(now_or_never(places.take()).is_none());
        assert!(!asked(&first) && !asked(&second) && asked(&third));
        drop(third);
        let fourth = now_or_never(places.take()).unwrap();
        let others = [second.begin(), fourth.begin()];
        assert!(now_or_never(places.take()).is_none(), "all are busy");
        drop(busy);
        assert!(asked(&first), "who becomes idle while somebody waits leaves at once");
        drop((others, first));
        assert!(now_or_never(places.take()).is_some());
        assert_eq!(places.metrics.http_connections_evicted.get(), 2);
    }

    #[test]
    fn one_newcomer_costs_one_place_whatever_was_freed_before() {
        let places = Places::new(2, Arc::new(Metrics::new()));
        drop([(); 2].map(|()| now_or_never(places.take()).unwrap()));
        let idle = [(); 2].map(|()| now_or_never(places.take()).unwrap());
        assert!(now_or_never(places.take()).is_none());
        assert_eq!(places.metrics.http_connections_evicted.get(), 1);
        assert!(asked(&idle[0]) && !asked(&idle[1]));
    }

    #[test]
    fn nothing_is_remembered_of_those_that_left() {
        let places = Places::new(2, Arc::new(Metrics::new()));
        for _ in 0..10 {
            let place = now_or_never(places.take()).unwrap();
            drop(place.begin());
            assert!(!place.is_busy());
        }
        let state = places.state.lock();
        assert_eq!((state.taken, state.idle.len(), state.wanted), (0, 0, false));
        assert_eq!(places.metrics.http_connections.get(), 0);
    }
}
