//! Who may write: a record with an epoch that grows from holder to holder, changed only by
//! compare and set.
//!
//! The lease is for liveness: it keeps writers from fighting. It is free when nobody was seen to
//! renew it for a while, by the clock of whoever looks; no two clocks are compared. Safety is the
//! slots' business: two writers meet at the same key, and one of them finds it taken.

use std::time::Duration;

use cairn_ledger::encoding::{DecodeError, Reader, Writer};
use tokio::time::Instant;

use super::slot::NUMBER_MAX;
use crate::{clock, mesh::Peer};

/// Its key, in the log's own space.
pub(super) const KEY: &[u8] = b"lease";
/// What a program that knows another layout would misread.
const VERSION: u8 = 1;

/// Who holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    /// Grows with each holder.
    pub(super) epoch: u64,
    /// Nobody, when it was given back.
    pub(super) holder: Option<Peer>,
    /// Tells two lives of one holder apart.
    pub(super) life: [u8; 16],
    /// Grows while the holder lives.
    pub(super) renewals: u64,
    /// Where the holder's first slot is, once it is in; 0 before.
    pub(super) began: u64,
}

impl Lease {
    /// The next one after whatever was there, and after every epoch that was seen in the log.
    pub(super) fn after(there: Option<&Self>, epoch: u64, me: Peer) -> Self {
        let epoch = there.map_or(0, |lease| lease.epoch).max(epoch) + 1;
        Self { epoch, holder: Some(me), life: clock::random(), renewals: 0, began: 0 }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u8(VERSION).u64(self.epoch).u16(self.holder.map_or(0, |it| it.saturating_add(1)));
        writer.raw(&self.life).u64(self.renewals).u64(self.began);
        writer.finish()
    }

    pub(super) fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("lease", value);
        if reader.u8()? != VERSION {
            return Err(reader.malformed());
        }
        let lease = Self {
            epoch: reader.u64()?,
            holder: reader.u16()?.checked_sub(1),
            life: reader.array()?,
            renewals: reader.u64()?,
            began: reader.u64()?,
        };
        if [lease.epoch, lease.renewals, lease.began].iter().any(|number| *number > NUMBER_MAX) {
            return Err(reader.malformed());
        }
        reader.finish()?;
        Ok(lease)
    }
}

/// The lease as it was seen, and for how long it has not changed.
#[derive(Debug, Default)]
pub(super) struct Watched {
    value: Option<Vec<u8>>,
    since: Option<Instant>,
}

impl Watched {
    /// Takes note of what the key holds now.
    pub(super) fn see(&mut self, value: Option<Vec<u8>>, now: Instant) {
        if self.since.is_none() || self.value != value {
            (self.value, self.since) = (value, Some(now));
        }
    }

    /// What the key holds, as bytes to compare with.
    pub(super) fn value(&self) -> Option<Vec<u8>> {
        self.value.clone()
    }

    /// The record, if it is one: damage is as good as nothing, the epoch in the log goes on.
    pub(super) fn lease(&self) -> Option<Lease> {
        self.value.as_deref().and_then(|value| Lease::decode(value).ok())
    }

    /// Whether it may be taken. One's own is that of an earlier life.
    pub(super) fn is_free(&self, me: Peer, patience: Duration, now: Instant) -> bool {
        let Some(since) = self.since else { return false };
        let given_up = match self.lease() {
            Some(lease) => lease.holder.is_none_or(|holder| holder == me),
            None => self.value.is_none(),
        };
        given_up || now.duration_since(since) >= patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_nothing_else_does() {
        let lease = Lease { epoch: 7, holder: Some(3), life: [5; 16], renewals: 9, began: 70 };
        let value = lease.encode();
        assert_eq!(Lease::decode(&value), Ok(lease.clone()));
        let nobody = Lease { holder: None, ..lease };
        assert_eq!(Lease::decode(&nobody.encode()), Ok(nobody));
        for length in 0..value.len() {
            assert!(Lease::decode(&value[..length]).is_err(), "{length} bytes");
        }
        assert!(Lease::decode(&[&value[..], &[0]].concat()).is_err());
        let mut far = value;
        far[1] = 0xff;
        assert!(Lease::decode(&far).is_err(), "an epoch that nobody counted to");
    }

    #[test]
    fn free_is_what_is_not_there_given_back_mine_or_not_renewed() {
        let patience = Duration::from_secs(3);
        let held = |holder, renewals| {
            let lease = Lease { epoch: 1, holder, life: [0; 16], renewals, began: 0 };
            Some(lease.encode())
        };
        let mut now = Instant::now();
        let mut watched = Watched::default();
        assert!(!watched.is_free(0, patience, now), "nobody looked yet");
        for (value, free, why) in [
            (None, true, "not there"),
            (held(None, 0), true, "given back"),
            (held(Some(0), 0), true, "of an earlier life of mine"),
            (held(Some(1), 0), false, "another's"),
            (Some(b"junk".to_vec()), false, "damaged: somebody may hold it"),
        ] {
            watched.see(value, now);
            assert_eq!(watched.is_free(0, patience, now), free, "{why}");
        }
        for renewals in 1..4 {
            watched.see(held(Some(1), renewals), now);
            now += patience / 2;
            watched.see(held(Some(1), renewals), now);
            assert!(!watched.is_free(0, patience, now), "it is renewed");
        }
        now += patience / 2;
        assert!(watched.is_free(0, patience, now));
        assert_eq!(Lease::after(watched.lease().as_ref(), 0, 2).epoch, 2);
        assert_eq!(Lease::after(watched.lease().as_ref(), 8, 2).epoch, 9, "the log has seen more");
    }
}
