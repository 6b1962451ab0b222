//! The one place of the benchmark that reads the clock: here real time is what is measured.

use std::time::Instant;

/// This moment.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
