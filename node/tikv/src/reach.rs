//! Whether TiKV can be reached, as the calls see it: what readiness and metrics ask.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

/// Failures for less than this are an election or a restart, and nobody need know.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether TiKV can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reachable {
    /// Why not; nothing while it can.
    pub why: Option<String>,
    /// Since when it is so.
    pub since: Instant,
}

impl Reachable {
    /// Whether it can.
    pub fn is_yes(&self) -> bool {
        self.why.is_none()
    }
}

pub(crate) struct Reach {
    state: watch::Sender<Reachable>,
    failing: Mutex<Failing>,
}

struct Failing {
    /// When the first attempt began that failed, with no success after it.
    since: Option<Instant>,
    worked: Instant,
    /// A key that could not be had: asking for it again tells when it can.
    key: Vec<u8>,
}

impl Reach {
    /// It can be reached until the contrary is known.
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let state = watch::Sender::new(Reachable { why: None, since: now });
        let failing = Failing { since: None, worked: now, key: vec![0] };
        Self { state, failing: Mutex::new(failing) }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Reachable> {
        self.state.subscribe()
    }

    pub(crate) fn is_yes(&self) -> bool {
        self.state.borrow().is_yes()
    }

    pub(crate) fn key(&self) -> Vec<u8> {
        self.failing.lock().key.clone()
    }

    /// A store has answered.
    pub(crate) fn worked(&self) {
        let now = Instant::now();
        let mut failing = self.failing.lock();
        failing.since = None;
        failing.worked = now;
        self.state.send_if_modified(|state| {
            let changed = !state.is_yes();
            if changed {
                *state = Reachable { why: None, since: now };
            }
            changed
        });
    }

    /// An attempt that began then has failed. Says whether TiKV is unreachable from now on.
    pub(crate) fn failed(&self, begun: Instant, key: Option<&[u8]>, why: &str) -> bool {
        let mut failing = self.failing.lock();
        let worked = failing.worked;
        let since = *failing.since.get_or_insert(begun.max(worked));
        if let Some(key) = key.filter(|key| !key.is_empty()) {
            failing.key = key.to_vec();
        }
        if since.elapsed() < PATIENCE {
            return false;
        }
        self.state.send_if_modified(|state| {
            let changed = state.is_yes();
            if changed {
                *state = Reachable { why: Some(why.to_owned()), since };
            }
            changed
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_that_last_make_it_unreachable() {
        let reach = Reach::new();
        let now = Instant::now();
        assert!(!reach.failed(now, None, "a moment"));
        assert!(reach.is_yes());
        // As if it had worked long ago, and an attempt had hung since.
        reach.failing.lock().since = None;
        reach.failing.lock().worked = now - Duration::from_secs(60);
        let mut watch = reach.watch();
        assert!(reach.failed(now - Duration::from_secs(3), Some(b"k"), "no answer"));
        assert!(!reach.failed(now, None, "still"), "it is unreachable already");
        assert_eq!(watch.borrow_and_update().why.as_deref(), Some("no answer"));
        assert!(!reach.failed(now, Some(b""), "still"), "no key that can be asked for");
        assert_eq!(reach.key(), b"k");
        reach.worked();
        assert!(watch.borrow_and_update().is_yes());
        assert!(!reach.failed(now - Duration::from_secs(60), None, "begun before the success"));
        assert!(reach.is_yes());
    }
}
