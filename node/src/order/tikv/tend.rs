//! Keeps the log short. Each validator's mark says up to where its blocks have the log; the
//! writer deletes what all have, and, when much is retained, what more than two thirds have:
//! whoever is behind fetches blocks from its peers. The floor says up to where that went.

use std::{collections::VecDeque, sync::Arc};

use cairn_tikv::{Trouble, Write};
use tokio::time::Instant;

use super::{Inner, keys::Keys, slot};
use crate::mesh::Peer;

/// Up to here slots may be gone. Only raised, before the first of them goes.
pub(super) const FLOOR: &[u8] = b"floor";
/// Most slots that are deleted in one step.
const DELETED: u32 = 256;

/// An idle writer looks at the others' marks once in so many rounds.
const SELDOM: u32 = 10;

/// Where a validator says how far it is.
fn mark(peer: Peer) -> Vec<u8> {
    let mut key = b"m".to_vec();
    key.extend(peer.to_be_bytes());
    key
}

/// A position; what is none counts as the beginning, which keeps more than needed.
fn number(value: Option<&Vec<u8>>) -> u64 {
    value.and_then(|it| it.as_slice().try_into().ok()).map_or(0, u64::from_be_bytes)
}

/// Up to where slots may be gone.
pub(super) async fn floor(keys: &dyn Keys) -> Result<u64, Trouble> {
    let found = keys.get(vec![FLOOR.to_vec()]).await?;
    Ok(number(found.get(FLOOR)).min(slot::NUMBER_MAX))
}

/// Raises the floor; where it is afterwards.
pub(super) async fn raise_floor(keys: &dyn Keys, to: u64) -> Result<u64, Trouble> {
    let found = keys.get(vec![FLOOR.to_vec()]).await?;
    let mut there = found.get(FLOOR).cloned();
    loop {
        let at = number(there.as_ref());
        if at >= to {
            return Ok(at);
        }
        let value = to.to_be_bytes().to_vec();
        match keys.replace(FLOOR.to_vec(), there, value).await? {
            Ok(()) => return Ok(to),
            Err(other) => there = other,
        }
    }
}

/// Marks and deletes, until the node stops.
pub(super) async fn run(inner: Arc<Inner>) {
    let mut stopping = inner.stopping.subscribe();
    let mut tending = Tending::default();
    loop {
        let pause = tokio::time::timeout(inner.tuning.tend, stopping.wait_for(|it| *it));
        if pause.await.is_ok() {
            return;
        }
        // A round without calls is no sign of life.
        if let Err(trouble) = tending.round(&inner).await {
            drop(inner.heard::<()>(Err(trouble)));
        }
    }
}

#[derive(Default)]
struct Tending {
    marked: u64,
    /// Where the log ended, and when that was seen.
    ends: VecDeque<(Instant, u64)>,
    /// Where it ended a while ago.
    aged: u64,
    /// Where to look for what can go. From the beginning at first: who led before may have left some.
    from: u64,
    rounds: u32,
}

impl Tending {
    async fn round(&mut self, inner: &Inner) -> Result<(), Trouble> {
        let released = inner.view.released();
        let news = released > self.marked;
        if news {
            let value = released.to_be_bytes().to_vec();
            inner.keys.write(vec![Write::Put(mark(inner.me()), value)]).await?;
            self.marked = released;
        }
        let leading = inner.known.lock().leading;
        if !leading {
            *self = Self { marked: self.marked, ..Self::default() };
            return Ok(());
        }
        let aged = self.aged(inner);
        self.rounds = self.rounds.wrapping_add(1);
        // When nothing moves here, the others' marks are of little interest.
        if aged > self.from && (news || self.rounds.is_multiple_of(SELDOM)) {
            let up_to = dispensable(inner).await?.min(aged);
            if up_to > self.from {
                self.delete(inner, up_to).await?;
            }
        }
        Ok(())
    }

    /// Where the log ended a while ago.
    fn aged(&mut self, inner: &Inner) -> u64 {
        let end = inner.view.end().borrow().0;
        if self.ends.back().is_none_or(|(_, last)| *last < end) {
            self.ends.push_back((Instant::now(), end));
        }
        while let Some((since, end)) = self.ends.front().copied() {
            if since.elapsed() < inner.tuning.age {
                break;
            }
            self.aged = end;
            self.ends.pop_front();
        }
        self.aged
    }

    /// Deletes whole slots up to a position. The slot that holds the position after it stays: it
    /// shows where the log goes on.
    async fn delete(&mut self, inner: &Inner, up_to: u64) -> Result<(), Trouble> {
        loop {
            let (from, to) = (slot::key(self.from), slot::key(up_to + 2));
            let names = inner.keys.names(from, to, DELETED).await?;
            let Some((last, gone)) = names.split_last() else { return Ok(()) };
            let Some(first) = slot::position(last).filter(|_| !gone.is_empty()) else {
                return Ok(());
            };
            raise_floor(&*inner.keys, first - 1).await?;
            inner.keys.write(gone.iter().cloned().map(Write::Delete).collect()).await?;
            self.from = first;
            if gone.len() + 1 < DELETED as usize {
                return Ok(());
            }
        }
    }
}

/// Up to where the log may go.
async fn dispensable(inner: &Inner) -> Result<u64, Trouble> {
    let marks: Vec<Vec<u8>> = (0..inner.forwarder.validators).map(mark).collect();
    let found = inner.keys.get(marks.clone()).await?;
    let mut marks: Vec<u64> = marks.iter().map(|key| number(found.get(key))).collect();
    marks.sort_unstable();
    let by_all = marks.first().copied().unwrap_or(0);
    // The lowest mark of the highest that are more than two thirds.
    let most = marks.len() * 2 / 3 + 1;
    let by_most = marks.get(marks.len().saturating_sub(most)).copied().unwrap_or(0);
    let tuning = &inner.tuning;
    let excess = inner.view.exceeding(tuning.retained_bytes, tuning.retained_positions);
    Ok(by_all.max(by_most.min(excess)))
}
