//! Reads the log as it grows, until this node may write it.

use std::sync::Arc;

use cairn_tikv::Trouble;
use tokio::time::Instant;

use super::{
    Hint, Inner,
    lease::{self, Lease, Watched},
    read::{damaged, gone},
    slot::{self, NUMBER_MAX, Slot},
    tend,
};

/// Most slots that are read at a time: 4 MiB as a rule.
const PAGE: u32 = 16;
/// A lease that this node took, and when it began to: it is held since then at the latest.
pub(super) type Taken = (Lease, Instant);

/// Follows the log. The lease, once this node has taken it and has read the log to its end; none
/// when the node stops.
pub(super) async fn until_free(inner: &Arc<Inner>) -> Option<Taken> {
    let mut stopping = inner.stopping.subscribe();
    let mut follower = Follower {
        inner,
        watched: Watched::default(),
        looked: None,
        placed: false,
        lost: None,
        rolled_back: 0,
    };
    let mut grew = Instant::now();
    let pace = inner.tuning.pace;
    loop {
        let before = inner.view.next();
        let taken = tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => return None,
            taken = follower.round() => taken,
        };
        match taken {
            Ok(Some(taken)) => return Some(taken),
            // A round without calls is no sign of life.
            Ok(None) => {}
            Err(trouble) => drop(inner.heard::<()>(Err(trouble))),
        }
        if inner.view.next() > before {
            grew = Instant::now();
        }
        let pause = match () {
            () if inner.trouble.lock().is_some() || inner.view.alarm().is_some() => pace.idle,
            () if !follower.is_silent() => pace.idle,
            () if grew.elapsed() < pace.lively => pace.short,
            () => pace.long,
        };
        tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => return None,
            () = inner.hinted.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

struct Follower<'a> {
    inner: &'a Inner,
    watched: Watched,
    looked: Option<Instant>,
    /// Whether the view's next position is known to be where a slot begins.
    placed: bool,
    /// The end of what this node's blocks have, when TiKV has less.
    lost: Option<u64>,
    /// The epoch whose beginning showed that the log was rolled back.
    rolled_back: u64,
}

impl Follower<'_> {
    fn hint(&self) -> Hint {
        *self.inner.hint.lock()
    }

    fn is_silent(&self) -> bool {
        self.hint().at.is_none_or(|at| at.elapsed() >= self.inner.tuning.pace.silent)
    }

    /// Looks once at what is due. The lease, if it could be taken.
    async fn round(&mut self) -> Result<Option<Taken>, Trouble> {
        let view = &self.inner.view;
        if !self.placed || view.released() >= view.next() {
            self.placed = self.place(view.released()).await?;
            if !self.placed {
                return Ok(None);
            }
            self.catch_up().await?;
        }
        let hint = self.hint();
        let another = hint.epoch > self.inner.known.lock().epoch;
        if another
            || self.looked.is_none_or(|looked| looked.elapsed() >= self.inner.tuning.pace.look)
        {
            let looked = self.look().await;
            self.inner.heard(looked)?;
        }
        // A hint is good for one look beyond the end: it may be a lie.
        if hint.end >= view.next() || self.is_silent() {
            self.inner.heard(self.catch_up().await)?;
        }
        let tuning = &self.inner.tuning;
        let patience = tuning.lease + tuning.pace.stagger * u32::from(self.inner.me() % 8);
        if self.watched.is_free(self.inner.me(), patience, Instant::now()) {
            return self.grasp().await;
        }
        Ok(None)
    }

    /// Reads the lease, and the next slot with it.
    async fn look(&mut self) -> Result<(), Trouble> {
        let next = self.inner.view.next();
        let keys = vec![lease::KEY.to_vec(), slot::key(next)];
        let mut found = self.inner.keys.get(keys).await?;
        let now = Instant::now();
        self.watched.see(found.remove(lease::KEY), now);
        self.looked = Some(now);
        if let Some(lease) = self.watched.lease() {
            self.inner.know(lease.holder, lease.epoch, false);
            self.check_beginning(&lease).await?;
        }
        // Where there is one, more may have come.
        let came = found.remove(&slot::key(next)).is_some_and(|value| self.take(next, value));
        if came { self.catch_up().await } else { Ok(()) }
    }

    /// A writer begins behind all that was there. When it began before the end that was seen here,
    /// what was there is gone: what blocks have not is read anew.
    async fn check_beginning(&mut self, lease: &Lease) -> Result<(), Trouble> {
        let view = &self.inner.view;
        let seen = view.epoch().max(self.rolled_back);
        if (1..lease.epoch).contains(&seen) && (1..view.next()).contains(&lease.began) {
            let (end, began, epoch) = (view.next() - 1, lease.began, lease.epoch);
            tracing::error!(end, began, epoch, "the log in TiKV was rolled back below its end");
            self.rolled_back = lease.epoch;
            self.placed = self.place(view.released()).await?;
        }
        Ok(())
    }

    /// Takes the lease, if the log could be read to its end.
    async fn grasp(&mut self) -> Result<Option<Taken>, Trouble> {
        self.catch_up().await?;
        let Inner { keys, view, .. } = self.inner;
        if let Some(after) = self.lost.filter(|after| view.next() == after + 1) {
            // Nobody may put anything else where blocks have something.
            tend::raise_floor(&**keys, after).await?;
        } else if view.alarm().is_some() {
            return Ok(None);
        }
        let there = self.watched.value();
        let lease = Lease::after(self.watched.lease().as_ref(), view.epoch(), self.inner.me());
        if lease.epoch > NUMBER_MAX {
            return Ok(None);
        }
        let begun = Instant::now();
        match keys.replace(lease::KEY.to_vec(), there, lease.encode()).await? {
            Ok(()) => Ok(Some((lease, begun))),
            Err(other) => {
                self.watched.see(other, Instant::now());
                Ok(None)
            }
        }
    }

    /// Reads what comes after the last slot that was seen.
    async fn catch_up(&self) -> Result<(), Trouble> {
        loop {
            let next = self.inner.view.next();
            let to = slot::key(NUMBER_MAX);
            let pairs = self.inner.keys.scan(slot::key(next), to, PAGE).await?;
            let all = pairs.len() < PAGE as usize;
            if pairs.is_empty() && self.lost.is_none() {
                // What was in the way is gone: somebody mended it.
                self.inner.view.calm();
            }
            for (key, value) in pairs {
                let next = self.inner.view.next();
                if slot::position(&key).is_some_and(|first| first < next) {
                    // The writer's own message was faster.
                    continue;
                }
                if slot::position(&key) != Some(next) {
                    return self.mind_the_gap(next).await;
                }
                if !self.take(next, value) {
                    return Ok(());
                }
            }
            if all {
                return Ok(());
            }
        }
    }

    /// Takes the slot at the next position, if it is one.
    fn take(&self, next: u64, value: Vec<u8>) -> bool {
        match Slot::decode(self.inner.chain(), next, value) {
            Ok(slot) => self.inner.view.take(slot),
            Err(error) => {
                self.inner.alarm(damaged(next, &error));
                false
            }
        }
    }

    /// The next slot is not there, but later ones are.
    async fn mind_the_gap(&self, next: u64) -> Result<(), Trouble> {
        let keys = vec![slot::key(next), tend::FLOOR.to_vec()];
        if self.inner.keys.get(keys).await?.contains_key(&slot::key(next)) {
            return Ok(());
        }
        let floor = tend::floor(&*self.inner.keys).await?;
        if self.inner.view.next() != next {
            return Ok(());
        }
        if floor >= next {
            // It was forgotten while this node was away.
            self.inner.view.go_to(floor + 1, 0);
        } else {
            self.inner.alarm(gone(next));
        }
        Ok(())
    }

    /// Finds where to go on after a position that blocks have: the slot that holds the next
    /// position, or where it will be. False when nobody can say.
    async fn place(&mut self, after: u64) -> Result<bool, Trouble> {
        let Inner { keys, view, .. } = self.inner;
        self.lost = None;
        let floor = tend::floor(&**keys).await?;
        let last = keys.last(slot::key(floor + 1), slot::key(after + 2)).await?;
        let (mut end, mut epoch) = (floor, 0);
        if let Some((key, value)) = last {
            let first = slot::position(&key).unwrap_or(0);
            match Slot::decode(self.inner.chain(), first, value) {
                Ok(slot) if slot.last() > after => {
                    // Part of it may be in blocks: it is read as a whole.
                    view.go_to(slot.first, 0);
                    return Ok(true);
                }
                Ok(slot) => (end, epoch) = (slot.last(), slot.epoch),
                Err(error) => {
                    // How far it goes nobody can say. Blocks may, later.
                    self.inner.alarm(damaged(first, &error));
                    return Ok(false);
                }
            }
        }
        view.go_to(end.max(after) + 1, epoch);
        let later = async || keys.names(slot::key(after + 1), slot::key(NUMBER_MAX), 1).await;
        if end < after && later().await?.is_empty() {
            self.lost = Some(after);
            self.inner
                .alarm(format!("the log in TiKV ends at {end}, blocks have it up to {after}"));
        }
        Ok(true)
    }
}
