//! Which cluster is looked at next. A cluster is in it once, however often it is woken; no cluster is looked
//! at twice at the same time; what failed waits longer each time.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::{clock, names::ClusterName};

/// What a pass came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Nothing had to be written: look again then.
    Settled(Duration),
    /// Nothing had to be looked at, as it looks the way it did: look again then.
    Unchanged(Duration),
    /// Something was written: there may be more.
    Written,
    /// It is gone, or of no interest until it changes.
    Over,
    /// It failed: wait for so long, twice as long each time, at most so long.
    Failed {
        /// The first wait.
        first: Duration,
        /// The longest.
        most: Duration,
        /// Something was done before it failed: then it waits as if it were the first time.
        progress: bool,
    },
}

/// After a pass that wrote something, the next one.
const SOON: Duration = Duration::from_millis(50);
/// After many such passes without one that wrote nothing: a spec that is never reached must not keep the API
/// server busy.
const SOON_MOST: Duration = Duration::from_secs(15);
/// So many passes in a row may write before the waits grow.
const WRITES_FREE: u32 = 20;

#[derive(Debug, Default)]
struct Entry {
    due: Option<Instant>,
    /// Since when it is looked at.
    running: Option<Instant>,
    /// Woken while it ran.
    again: bool,
    failures: u32,
    writes: u32,
    /// Not before, even when it is woken: its own writes wake it.
    earliest: Option<Instant>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<ClusterName, Entry>,
    due: BTreeSet<(Instant, ClusterName)>,
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    bell: Notify,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something changed: this cluster is looked at now, or again, if it is being looked at.
    pub(crate) fn wake(&self, name: ClusterName) {
        let mut inner = self.lock();
        let entry = inner.entries.entry(name.clone()).or_default();
        if entry.running.is_some() {
            entry.again = true;
        } else {
            inner.plan(name, Duration::ZERO);
        }
        drop(inner);
        self.bell.notify_one();
    }

    /// All of these are looked at now.
    pub(crate) fn wake_all(&self, names: impl IntoIterator<Item = ClusterName>) {
        names.into_iter().for_each(|name| self.wake(name));
    }

    /// Waits until a cluster is due, and takes it: [`Queue::finish`] gives it back.
    pub(crate) async fn next(&self) -> ClusterName {
        loop {
            let wait = match self.lock().take() {
                Ok(name) => {
                    // Others may be due as well, and one bell wakes one worker.
                    self.bell.notify_one();
                    return name;
                }
                Err(wait) => wait,
            };
            tokio::select! {
                () = self.bell.notified() => {}
                () = sleep_until(wait) => {}
            }
        }
    }

    /// A pass is over.
    pub(crate) fn finish(&self, name: ClusterName, pass: Pass) {
        let mut inner = self.lock();
        let Some(entry) = inner.entries.get_mut(&name) else { return };
        entry.running = None;
        let again = std::mem::take(&mut entry.again);
        entry.failures = match pass {
            Pass::Failed { progress: true, .. } => 1,
            Pass::Failed { .. } => entry.failures.saturating_add(1),
            _ => 0,
        };
        entry.writes = if pass == Pass::Written { entry.writes.saturating_add(1) } else { 0 };
        let wait = match pass {
            Pass::Settled(wait) | Pass::Unchanged(wait) => Some(clock::jittered(wait)),
            Pass::Written => {
                Some(doubled(SOON, entry.writes.saturating_sub(WRITES_FREE), SOON_MOST))
            }
            Pass::Over => None,
            Pass::Failed { first, most, .. } => {
                Some(clock::jittered(doubled(first, entry.failures - 1, most)))
            }
        };
        let slowed = entry.writes > WRITES_FREE;
        entry.earliest = wait.filter(|_| slowed).map(|wait| Instant::now() + wait);
        match (wait, again) {
            (Some(_), true) if !matches!(pass, Pass::Failed { .. } | Pass::Written) => {
                inner.plan(name, Duration::ZERO);
            }
            (None, true) => inner.plan(name, Duration::ZERO),
            (Some(wait), _) => inner.plan(name, wait),
            (None, false) => {
                inner.entries.remove(&name);
            }
        }
        drop(inner);
        self.bell.notify_one();
    }

    /// How many clusters are due and not taken, and for how long the oldest of those that are taken has been.
    pub(crate) fn load(&self) -> (usize, Duration) {
        let (inner, now) = (self.lock(), Instant::now());
        let due = inner.due.iter().take_while(|(due, _)| *due <= now).count();
        let oldest = inner.entries.values().filter_map(|entry| entry.running).min();
        (due, oldest.map_or(Duration::ZERO, |since| now.saturating_duration_since(since)))
    }

    /// Nobody works any more: what was taken is given back, and waits are forgotten.
    pub(crate) fn reset(&self) {
        *self.lock() = Inner::default();
    }
}

impl Inner {
    fn plan(&mut self, name: ClusterName, wait: Duration) {
        let entry = self.entries.entry(name.clone()).or_default();
        let due = Instant::now() + wait;
        let due = entry.earliest.map_or(due, |earliest| due.max(earliest));
        if let Some(before) = entry.due.replace(due) {
            // Woken: sooner, never later.
            let due = due.min(before);
            entry.due = Some(due);
            self.due.remove(&(before, name.clone()));
            self.due.insert((due, name));
        } else {
            self.due.insert((due, name));
        }
    }

    /// The one that is due, or when the next one is.
    fn take(&mut self) -> Result<ClusterName, Option<Instant>> {
        let Some((due, name)) = self.due.first().cloned() else { return Err(None) };
        if due > Instant::now() {
            return Err(Some(due));
        }
        self.due.pop_first();
        let entry = self.entries.entry(name.clone()).or_default();
        entry.due = None;
        entry.running = Some(Instant::now());
        Ok(name)
    }
}

async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    first.saturating_mul(1 << times.min(20)).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> ClusterName {
        ClusterName { namespace: "test".into(), name: name.into() }
    }

    async fn waited(queue: &Queue) -> (ClusterName, Duration) {
        let begun = Instant::now();
        (queue.next().await, begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_cluster_that_is_woken_while_it_is_looked_at_is_looked_at_once_more() {
        let queue = Queue::default();
        queue.wake(name("a"));
        queue.wake(name("a"));
        assert_eq!(queue.next().await, name("a"));
        queue.wake(name("a"));
        let next = tokio::time::timeout(Duration::from_secs(60), queue.next()).await;
        assert!(next.is_err(), "not at the same time");
        queue.finish(name("a"), Pass::Settled(Duration::from_secs(15)));
        let (_, wait) = waited(&queue).await;
        assert_eq!(wait, Duration::ZERO);
        queue.finish(name("a"), Pass::Settled(Duration::from_secs(15)));
        let (_, wait) = waited(&queue).await;
        assert!(wait >= Duration::from_secs(12), "{wait:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_waits_longer_each_time_and_begins_anew_after_success() {
        let queue = Queue::default();
        let failed = Pass::Failed {
            first: Duration::from_secs(1),
            most: Duration::from_secs(30),
            progress: false,
        };
        queue.wake(name("a"));
        queue.next().await;
        let mut waits = vec![];
        for _ in 0..8 {
            queue.wake(name("a"));
            queue.finish(name("a"), failed);
            waits.push(waited(&queue).await.1.as_secs_f64());
        }
        assert!(
            waits[0] >= 0.8 && waits[0] <= 1.3,
            "woken while it ran changes nothing: {waits:?}"
        );
        assert!(waits[3] >= 6.4 && waits[3] <= 9.7, "{waits:?}");
        assert!(waits[7] >= 24.0 && waits[7] <= 36.1, "{waits:?}");
        queue.finish(name("a"), Pass::Settled(Duration::from_secs(1)));
        queue.next().await;
        queue.finish(name("a"), failed);
        assert!(waited(&queue).await.1 <= Duration::from_millis(1300));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cluster_that_is_written_to_on_and_on_is_slowed_down() {
        let queue = Queue::default();
        queue.wake(name("a"));
        queue.next().await;
        let mut waits = vec![];
        for _ in 0..40 {
            queue.finish(name("a"), Pass::Written);
            queue.wake(name("a"));
            waits.push(waited(&queue).await.1);
        }
        assert!(waits[..20].iter().all(Duration::is_zero), "{waits:?}");
        assert_eq!(waits[39].as_secs(), SOON_MOST.as_secs());
    }
}
