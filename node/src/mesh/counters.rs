//! What the mesh counts, and what it says aloud: once a minute for each cause and subject,
//! so that whoever keeps knocking cannot fill a disk with log lines.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use parking_lot::Mutex;

use crate::clock::Stopwatch;

/// The same complaint is said again after this long.
const QUIET: Duration = Duration::from_secs(60);

/// Most different complaints in that time.
const COMPLAINTS_MAX: usize = 64;

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections that got as far as a hello from a member of this chain.
    pub connects: u64,
    /// How many of them ended.
    pub disconnects: u64,
    /// Handshakes with a key that the genesis record does not name.
    pub unauthenticated: u64,
    /// Handshakes that failed otherwise: no TLS, too slow, broken off.
    pub handshakes_failed: u64,
    /// Hellos of another chain, another version, or another index than the key's.
    pub hellos_refused: u64,
    /// Connections closed because of bytes that are no frame.
    pub frames_malformed: u64,
    /// Messages that were not sent because the queue was full.
    pub dropped: u64,
    /// Requests of peers that were declined because too many were being answered.
    pub overloaded: u64,
    /// Frames sent.
    pub frames_sent: u64,
    /// Frames received.
    pub frames_received: u64,
    /// Bytes sent, before TLS.
    pub bytes_sent: u64,
    /// Bytes received, after TLS.
    pub bytes_received: u64,
}

/// The running counts.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) connects: AtomicU64,
    pub(super) disconnects: AtomicU64,
    unauthenticated: AtomicU64,
    pub(super) handshakes_failed: AtomicU64,
    pub(super) hellos_refused: AtomicU64,
    pub(super) frames_malformed: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) overloaded: AtomicU64,
    pub(super) frames_sent: AtomicU64,
    pub(super) frames_received: AtomicU64,
    pub(super) bytes_sent: AtomicU64,
    pub(super) bytes_received: AtomicU64,
    said: Mutex<(Stopwatch, BTreeSet<(&'static str, String)>)>,
}

impl Tally {
    pub(super) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            connects: zero(),
            disconnects: zero(),
            unauthenticated: zero(),
            handshakes_failed: zero(),
            hellos_refused: zero(),
            frames_malformed: zero(),
            dropped: zero(),
            overloaded: zero(),
            frames_sent: zero(),
            frames_received: zero(),
            bytes_sent: zero(),
            bytes_received: zero(),
            said: Mutex::new((Stopwatch::start(), BTreeSet::new())),
        }
    }

    pub(super) fn read(&self) -> Counters {
        Counters {
            connects: self.connects.load(Relaxed),
            disconnects: self.disconnects.load(Relaxed),
            unauthenticated: self.unauthenticated.load(Relaxed),
            handshakes_failed: self.handshakes_failed.load(Relaxed),
            hellos_refused: self.hellos_refused.load(Relaxed),
            frames_malformed: self.frames_malformed.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            overloaded: self.overloaded.load(Relaxed),
            frames_sent: self.frames_sent.load(Relaxed),
            frames_received: self.frames_received.load(Relaxed),
            bytes_sent: self.bytes_sent.load(Relaxed),
            bytes_received: self.bytes_received.load(Relaxed),
        }
    }

    /// Someone showed a key that is not expected here.
    pub(super) fn unauthenticated(&self, fingerprint: &str) {
        self.unauthenticated.fetch_add(1, Relaxed);
        self.complain("PEER_UNAUTHENTICATED", fingerprint, "its key is not the expected member's");
    }

    /// Says it, unless it was said a moment ago. `code` is stable, `subject` is whom it is about.
    pub(super) fn complain(&self, code: &'static str, subject: &str, detail: &str) {
        if self.is_news(code, subject) {
            tracing::warn!(code, subject, why = detail, "trouble on the mesh");
        } else {
            tracing::debug!(code, subject, why = detail, "trouble on the mesh");
        }
    }

    fn is_news(&self, code: &'static str, subject: &str) -> bool {
        let mut said = self.said.lock();
        if said.0.elapsed() >= QUIET {
            *said = (Stopwatch::start(), BTreeSet::new());
        }
        said.1.len() < COMPLAINTS_MAX && said.1.insert((code, subject.to_owned()))
    }
}

/// Adds one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_said_once_for_each_cause_and_subject_and_never_without_end() {
        let tally = Tally::new();
        assert!(tally.is_news("A", "alice"));
        assert!(!tally.is_news("A", "alice"), "twice");
        assert!(tally.is_news("A", "bob") && tally.is_news("B", "alice"));
        let said = (0..1000).filter(|n| tally.is_news("A", &n.to_string())).count();
        assert_eq!(said, COMPLAINTS_MAX - 3);
    }
}
