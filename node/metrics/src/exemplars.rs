//! Which one it was: for each bucket of a histogram the last that was counted there and named. A graph's
//! slow point then leads to one transaction that was slow.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use prometheus::Histogram;

/// Longest name that is kept: a label's name and value may have 128 characters together (OpenMetrics 1.0,
/// *Exemplars*).
const NAME_CHARS_MAX: usize = 96;

/// One that was counted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Exemplar {
    pub(crate) name: String,
    pub(crate) value: f64,
    /// Unix time in seconds.
    pub(crate) at: f64,
}

/// A histogram with an exemplar for each bucket.
#[derive(Clone, Debug)]
pub struct Exemplified {
    histogram: Histogram,
    pub(crate) metric: &'static str,
    pub(crate) label: &'static str,
    bounds: Arc<[f64]>,
    /// One for each bound, and one for what is beyond.
    last: Arc<Mutex<Vec<Option<Exemplar>>>>,
}

impl Exemplified {
    pub(crate) fn new(
        histogram: Histogram,
        metric: &'static str,
        label: &'static str,
        bounds: &[f64],
    ) -> Self {
        let last = Arc::new(Mutex::new(vec![None; bounds.len() + 1]));
        Self { histogram, metric, label, bounds: bounds.into(), last }
    }

    /// Counts one.
    pub fn observe(&self, value: f64) {
        self.histogram.observe(value);
    }

    /// Says the name of one that was counted. For one of many, the most telling: it takes a lock.
    #[expect(clippy::disallowed_methods, reason = "a time for graphs, by which nothing is decided")]
    pub fn name(&self, value: f64, name: String) {
        if name.chars().count() > NAME_CHARS_MAX {
            return;
        }
        let at =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.last.lock()[bucket] = Some(Exemplar { name, value, at });
    }

    /// That of the bucket with this upper bound.
    pub(crate) fn of(&self, bound: f64) -> Option<Exemplar> {
        let bucket = self.bounds.partition_point(|known| *known < bound);
        self.last.lock().get(bucket).cloned().flatten()
    }
}
