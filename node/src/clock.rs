//! The one place that asks the machine for time and dice.
#![expect(clippy::disallowed_methods, reason = "this is where the clock and the dice live")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Unix time in milliseconds, by this machine's clock.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Unix time in nanoseconds, by this machine's clock.
pub fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A running stopwatch.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }
    /// Since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
    /// From its start to that of another; nothing when that one was the earlier.
    pub fn until(&self, later: &Self) -> Duration {
        later.0.saturating_duration_since(self.0)
    }
    /// Since the start, in seconds.
    pub fn seconds(&self) -> f64 {
        self.elapsed().as_secs_f64()
    }
}

/// Random bytes from the operating system.
///
/// # Panics
/// When the operating system has none to give: keys made without them would be worse.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}
