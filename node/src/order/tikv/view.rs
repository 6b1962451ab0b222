//! What this node knows of the log: where it ends, and its last slots.

use std::{collections::VecDeque, sync::Arc};

use cairn_ledger::ids::Position;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::slot::Slot;

/// Most bytes of the last slots that are kept.
const RECENT_BYTES_MAX: usize = 32 << 20;
/// Most slots whose sizes are remembered: more than are retained.
const SIZES_MAX: usize = 1 << 16;

#[derive(Debug, Default)]
struct State {
    /// Where the next slot begins.
    next: u64,
    /// That of the last slot.
    epoch: u64,
    recent: VecDeque<Arc<Slot>>,
    recent_bytes: usize,
    /// The last position and the size of each slot that was seen.
    sizes: VecDeque<(u64, usize)>,
    /// What was read again for somebody who is behind.
    aside: Vec<Arc<Slot>>,
    /// Up to here this node's blocks have it.
    released: u64,
    /// Why the log cannot be read on.
    alarm: Option<String>,
}

/// Shared by whoever follows, writes and reads.
#[derive(Debug)]
pub(super) struct View {
    state: Mutex<State>,
    end: watch::Sender<Position>,
}

impl View {
    /// Begins after a position that blocks have.
    pub(super) fn after(released: u64) -> Self {
        let state = State { next: released + 1, released, ..State::default() };
        let (end, _) = watch::channel(Position(released));
        Self { state: Mutex::new(state), end }
    }

    pub(super) fn end(&self) -> &watch::Sender<Position> {
        &self.end
    }

    pub(super) fn next(&self) -> u64 {
        self.state.lock().next
    }

    pub(super) fn epoch(&self) -> u64 {
        self.state.lock().epoch
    }

    pub(super) fn released(&self) -> u64 {
        self.state.lock().released
    }

    pub(super) fn alarm(&self) -> Option<String> {
        self.state.lock().alarm.clone()
    }

    /// The next slot was seen. False when it is not the next.
    pub(super) fn take(&self, slot: Slot) -> bool {
        let mut state = self.state.lock();
        if slot.first != state.next {
            return false;
        }
        state.next = slot.last() + 1;
        state.epoch = state.epoch.max(slot.epoch);
        state.alarm = None;
        let bytes = slot.bytes();
        state.sizes.push_back((slot.last(), bytes));
        if state.sizes.len() > SIZES_MAX {
            state.sizes.pop_front();
        }
        state.recent_bytes += bytes;
        state.recent.push_back(Arc::new(slot));
        while state.recent_bytes > RECENT_BYTES_MAX && state.recent.len() > 1 {
            let oldest = state.recent.pop_front().expect("there are two");
            state.recent_bytes -= oldest.bytes();
        }
        // Under the lock, so that the end never goes back.
        self.end.send_replace(Position(state.next - 1));
        true
    }

    /// Goes on where a slot begins, which is not where the last one ended; after a slot of an
    /// epoch, if that is known.
    pub(super) fn go_to(&self, next: u64, epoch: u64) {
        let mut state = self.state.lock();
        state.epoch = epoch;
        state.recent.clear();
        state.recent_bytes = 0;
        state.aside.clear();
        state.sizes.clear();
        state.alarm = None;
        state.next = next;
        self.end.send_replace(Position(next - 1));
    }

    /// The log cannot be read on. True when that is news.
    pub(super) fn raise(&self, alarm: String) -> bool {
        let mut state = self.state.lock();
        let news = state.alarm.as_ref() != Some(&alarm);
        state.alarm = Some(alarm);
        news
    }

    /// Nothing stands where the log goes on: it can be read on.
    pub(super) fn calm(&self) {
        if let Some(alarm) = self.state.lock().alarm.take() {
            tracing::info!(alarm, "what was in the way of the log is gone");
        }
    }

    /// Blocks have it up to here.
    pub(super) fn release(&self, up_to: u64) {
        let mut state = self.state.lock();
        state.released = state.released.max(up_to);
        while state.recent.front().is_some_and(|slot| slot.last() <= up_to) {
            let oldest = state.recent.pop_front().expect("it is at the front");
            state.recent_bytes -= oldest.bytes();
        }
        state.aside.retain(|slot| slot.last() > up_to);
    }

    /// The slot that holds a position, if it is still here.
    pub(super) fn find(&self, position: u64) -> Option<Arc<Slot>> {
        let state = self.state.lock();
        let at = state.recent.partition_point(|slot| slot.last() < position);
        let holds = |slot: &&Arc<Slot>| slot.first <= position && position <= slot.last();
        let aside = || state.aside.iter().find(holds);
        state.recent.get(at).filter(holds).or_else(aside).cloned()
    }

    /// Keeps what was read again, instead of what was before.
    pub(super) fn put_aside(&self, slots: Vec<Arc<Slot>>) {
        self.state.lock().aside = slots;
    }

    /// The end of the slots that are more than so many bytes and positions before the end.
    pub(super) fn exceeding(&self, bytes: usize, positions: u64) -> u64 {
        let state = self.state.lock();
        let mut sum = 0_usize;
        let by_bytes = state.sizes.iter().rev().find_map(|(last, size)| {
            sum = sum.saturating_add(*size);
            (sum > bytes).then_some(*last)
        });
        by_bytes.unwrap_or(0).max((state.next - 1).saturating_sub(positions))
    }
}
