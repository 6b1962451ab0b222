//! Slices of the log: the last slots from memory, older ones from TiKV, each checked.

use std::sync::Arc;

use cairn_ledger::ids::Position;

use super::{
    Inner,
    slot::{self, Slot},
    tend,
};
use crate::order::{Batch, Ordered, ReadError};

/// Most slots that are fetched at a time.
const FETCH: u32 = 8;

impl Inner {
    pub(super) async fn read(
        &self,
        after: Position,
        most_bytes: usize,
    ) -> Result<Vec<Ordered>, ReadError> {
        let released = self.view.released();
        if after.0 < released {
            return Err(ReadError::Released(Position(released)));
        }
        let end = self.view.end().borrow().0;
        if after.0 >= end {
            // Nothing more will come before somebody has mended it.
            return self.view.alarm().map_or_else(|| Ok(Vec::new()), |it| Err(unreadable(it)));
        }
        let (mut next, mut bytes, mut taken) = (after.0 + 1, 0_usize, Vec::new());
        while next <= end {
            let slot = match self.slot_of(next, end).await {
                Ok(slot) => slot,
                Err(_) if !taken.is_empty() => break,
                Err(error) => return Err(error),
            };
            for (position, batch) in (slot.first..).zip(&slot.batches) {
                if position < next {
                    continue;
                }
                bytes = bytes.saturating_add(batch.len());
                if bytes > most_bytes && !taken.is_empty() {
                    return Ok(taken);
                }
                // What is no batch is an empty one, for everybody alike.
                let batch = Batch::decode(batch).unwrap_or_default();
                taken.push(Ordered { position: Position(position), batch });
            }
            next = slot.last() + 1;
        }
        Ok(taken)
    }

    /// The slot that holds a position before the end.
    async fn slot_of(&self, position: u64, end: u64) -> Result<Arc<Slot>, ReadError> {
        if let Some(slot) = self.view.find(position) {
            return Ok(slot);
        }
        let (from, to) = (slot::key(position), slot::key(end + 1));
        let scanned = self.heard(self.keys.scan(from.clone(), to, FETCH).await);
        let mut pairs = scanned.map_err(unreadable)?;
        // As a rule whoever reads goes on where a slot begins; otherwise it begins before.
        if pairs.first().is_none_or(|(key, _)| *key != from) {
            let last = self.heard(self.keys.last(slot::key(0), from).await);
            pairs = last.map_err(unreadable)?.into_iter().collect();
        }
        let mut slots: Vec<Arc<Slot>> = Vec::new();
        let mut expected = None;
        for (key, value) in pairs {
            let first = slot::position(&key).filter(|it| expected.is_none_or(|next| next == *it));
            let Some(first) = first else { break };
            match Slot::decode(self.chain(), first, value) {
                Ok(slot) => {
                    expected = Some(slot.last() + 1);
                    slots.push(Arc::new(slot));
                }
                Err(_) if !slots.is_empty() => break,
                Err(error) => return Err(self.missing(position, &damaged(first, &error)).await),
            }
        }
        let found = slots.first().filter(|it| it.first <= position && position <= it.last());
        let Some(found) = found.cloned() else {
            return Err(self.missing(position, &gone(position)).await);
        };
        self.view.put_aside(slots);
        Ok(found)
    }

    /// Why a position cannot be read: it was forgotten, or somebody meddled.
    async fn missing(&self, position: u64, why: &str) -> ReadError {
        match self.heard(tend::floor(&*self.keys).await) {
            Ok(floor) if floor >= position => ReadError::Released(Position(floor)),
            Ok(_) => {
                tracing::error!(alarm = why, "the log in TiKV is not what was written");
                unreadable(why)
            }
            Err(trouble) => unreadable(trouble),
        }
    }
}

/// Names a key that cannot be what was written.
pub(super) fn damaged(first: u64, why: &dyn std::fmt::Display) -> String {
    format!("TiKV key log/s {first} was changed: {why}")
}

/// Names what should be there.
pub(super) fn gone(position: u64) -> String {
    format!("the TiKV key of the slot log/s {position} is gone")
}

fn unreadable(why: impl std::fmt::Display) -> ReadError {
    ReadError::Unavailable(why.to_string())
}
