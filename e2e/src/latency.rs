//! How long answers took: percentiles, by the nearest rank.

use std::time::Duration;

use serde::Serialize;

/// Times, sorted.
pub(crate) struct Latencies(Vec<Duration>);

/// The percentiles that are reported, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) most_ms: f64,
}

impl Latencies {
    /// Of these times, in any order.
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The smallest time that this share of all did not exceed, in milliseconds; nothing where there
    /// is no time at all.
    pub(crate) fn at(&self, share: f64) -> Option<f64> {
        let rank = (share * self.0.len() as f64).ceil() as usize;
        let time = self.0.get(rank.saturating_sub(1).min(self.0.len().checked_sub(1)?))?;
        Some(time.as_secs_f64() * 1e3)
    }

    /// All that are reported; zeros where there is no time at all.
    pub(crate) fn percentiles(&self) -> Percentiles {
        let at = |share| self.at(share).unwrap_or(0.0);
        let (p50_ms, p90_ms, p99_ms) = (at(0.5), at(0.9), at(0.99));
        Percentiles { p50_ms, p90_ms, p99_ms, p999_ms: at(0.999), most_ms: at(1.0) }
    }
}

/// The middle one, or the mean of the middle two.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len().is_multiple_of(2) { (sorted[middle - 1] + upper) / 2.0 } else { upper })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        #[rustfmt::skip]
        let table = [ // how many (1 ms, 2 ms, ...), share, which
            (0,    0.5,   None,         "nothing"),
            (1,    0.5,   Some(1.0),    "one"),
            (1,    0.999, Some(1.0),    "one"),
            (2,    0.5,   Some(1.0),    "half of two"),
            (100,  0.5,   Some(50.0),   ""),
            (100,  0.9,   Some(90.0),   ""),
            (100,  0.99,  Some(99.0),   "not the largest"),
            (100,  0.999, Some(100.0),  "the largest"),
            (1000, 0.999, Some(999.0),  ""),
            (1000, 1.0,   Some(1000.0), "all"),
            (1000, 0.0,   Some(1.0),    "none: the smallest"),
        ];
        for (count, share, expected, why) in table {
            // Backwards: order of arrival does not matter.
            let times = (1..=count).rev().map(Duration::from_millis).collect();
            assert_eq!(Latencies::of(times).at(share), expected, "{count} {share} {why}");
        }
    }

    #[test]
    fn medians() {
        #[rustfmt::skip]
        let table: [(&[f64], Option<f64>); 4] =
            [(&[], None), (&[3.0], Some(3.0)), (&[9.0, 1.0, 2.0], Some(2.0)), (&[4.0, 1.0, 2.0, 9.0], Some(3.0))];
        for (values, expected) in table {
            assert_eq!(median(values), expected, "{values:?}");
        }
    }
}
