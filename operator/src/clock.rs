//! The one place that asks the machine for time and dice.
#![expect(clippy::disallowed_methods, reason = "this is where the clock and the dice live")]

use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

use jiff::Timestamp;

/// The time of day, by this machine's clock. It is compared with deadlines that are minutes away, never
/// with another machine's clock.
#[must_use]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// A running stopwatch: it goes on while the process is stopped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Since the start.
    #[must_use]
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Dice, good enough to tell two processes apart and to spread load. Not for secrets.
#[must_use]
pub(crate) fn dice() -> u64 {
    RandomState::new().hash_one(0)
}

/// A duration between four and six fifths of this one: what failed together is not tried again together.
#[must_use]
pub(crate) fn jittered(duration: Duration) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "dice need no precision")]
    let share = dice() as f64 / u64::MAX as f64;
    duration.mul_f64(0.4_f64.mul_add(share, 0.8))
}
