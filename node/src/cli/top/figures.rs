//! What of a validator's metrics is shown. Whatever a validator of another version does not have
//! is not known, which is no error.

use std::collections::BTreeMap;

use cairn_ledger::limits::{NAME_BYTES_MAX, VALIDATORS_MAX};

use super::{
    exposition::{self, Fault, Page},
    histogram::Histogram,
};

/// One look at a validator's metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Figures {
    pub(super) height: Option<f64>,
    /// Transactions of blocks that are part of the ledger.
    pub(super) committed: Option<f64>,
    /// Transactions turned away, at the door or in a block.
    pub(super) refused: Option<f64>,
    /// HTTP answers.
    pub(super) requests: Option<f64>,
    /// Blocks without a signature of the validator, by its name.
    pub(super) votes_missing: BTreeMap<String, f64>,
    pub(super) resident_bytes: Option<f64>,
    pub(super) data_free_bytes: Option<f64>,
    pub(super) data_size_bytes: Option<f64>,
    /// Validators that may be lost before there is no quorum; -1 without one.
    pub(super) quorum_margin: Option<f64>,
    /// How many validators the chain has.
    pub(super) validators: Option<f64>,
    /// Unix time at which the process started.
    pub(super) started: Option<f64>,
    pub(super) block_transactions: Option<Histogram>,
    pub(super) block_interval: Option<Histogram>,
    pub(super) commit: Option<Histogram>,
    pub(super) fsync: Option<Histogram>,
    pub(super) append: Option<Histogram>,
}

const HEIGHT: &str = "cairn_height";
const COMMITTED: &str = "cairn_committed_transactions_total";
const REFUSED: &str = "cairn_refused_transactions_total";
const REQUESTS: &str = "cairn_http_requests_total";
const VOTES_MISSING: &str = "cairn_votes_missing_total";
const DATA_FREE: &str = "cairn_data_free_bytes";
const DATA_SIZE: &str = "cairn_data_size_bytes";
const QUORUM_MARGIN: &str = "cairn_quorum_margin";
const VALIDATORS: &str = "cairn_validators";
const BLOCK_TRANSACTIONS: &str = "cairn_block_transactions";
const BLOCK_INTERVAL: &str = "cairn_block_interval_seconds";
const COMMIT: &str = "cairn_commit_latency_seconds";
const FSYNC: &str = "cairn_fsync_seconds";
const APPEND: &str = "cairn_append_seconds";
const RESIDENT: &str = "process_resident_memory_bytes";
const STARTED: &str = "process_start_time_seconds";

const WANTED: [&str; 16] = [
    HEIGHT,
    COMMITTED,
    REFUSED,
    REQUESTS,
    VOTES_MISSING,
    DATA_FREE,
    DATA_SIZE,
    QUORUM_MARGIN,
    VALIDATORS,
    BLOCK_TRANSACTIONS,
    BLOCK_INTERVAL,
    COMMIT,
    FSYNC,
    APPEND,
    RESIDENT,
    STARTED,
];

impl Figures {
    /// Reads a page.
    pub(super) fn read(text: &str) -> Result<Self, Fault> {
        Ok(Self::of(&exposition::read(text, &WANTED)?))
    }

    fn of(page: &Page) -> Self {
        let positive = |name: &str| page.value(name).filter(|value| *value >= 0.0);
        let height = positive(HEIGHT);
        // What was never counted is not on the page of a validator; of what is no validator's,
        // nothing is known.
        let counted = |name: &str| page.sum(name).or(height.map(|_| 0.0));
        Self {
            height,
            committed: positive(COMMITTED),
            refused: counted(REFUSED),
            requests: counted(REQUESTS),
            votes_missing: votes_missing(page),
            resident_bytes: positive(RESIDENT),
            data_free_bytes: positive(DATA_FREE),
            data_size_bytes: positive(DATA_SIZE),
            quorum_margin: page.value(QUORUM_MARGIN),
            validators: positive(VALIDATORS),
            started: positive(STARTED),
            block_transactions: Histogram::of(page, BLOCK_TRANSACTIONS),
            block_interval: Histogram::of(page, BLOCK_INTERVAL),
            commit: Histogram::of(page, COMMIT),
            fsync: Histogram::of(page, FSYNC),
            append: Histogram::of(page, APPEND),
        }
    }

    /// Whether these are of a process that started after the one of those before.
    pub(super) fn anew(&self, before: &Self) -> bool {
        let fell = |now: Option<f64>, then: Option<f64>| now.zip(then).is_some_and(|(a, b)| a < b);
        let other =
            |now: Option<f64>, then: Option<f64>| now.zip(then).is_some_and(|(a, b)| a != b);
        other(self.started, before.started)
            || fell(self.committed, before.committed)
            || fell(self.requests, before.requests)
    }
}

/// By names that validators may have, and no more of them than there may be.
fn votes_missing(page: &Page) -> BTreeMap<String, f64> {
    let by = page.by(VOTES_MISSING, "validator").into_iter();
    by.filter(|(name, _)| name.len() <= NAME_BYTES_MAX).take(VALIDATORS_MAX).collect()
}

/// How much a counter rose; nothing where it is not known, or was counted anew.
pub(super) fn rise(now: Option<f64>, before: Option<f64>) -> Option<f64> {
    now.zip(before).map(|(now, before)| now - before).filter(|rise| *rise >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Format, Metrics};

    #[test]
    fn what_is_wanted_a_validator_has() {
        let metrics = Metrics::new();
        let names: Vec<&str> = metrics.described().iter().map(|described| described.name).collect();
        for name in WANTED {
            assert!(names.contains(&name), "{name} is called otherwise");
        }
    }

    #[test]
    fn a_validators_page_is_read() {
        let metrics = Metrics::new();
        metrics.height.set(7);
        metrics.committed.inc_by(5);
        metrics.refused.with_label_values(&["DOUBLE_SPEND"]).inc();
        metrics.votes_missing.with_label_values(&["bob"]).inc_by(2);
        metrics.commit_latency.observe(0.3);
        metrics.fsync.with_label_values(&["journal"]).observe(0.002);
        metrics.fsync.with_label_values(&["raft"]).observe(0.002);
        let figures = Figures::read(&metrics.page(Format::Text)).unwrap();
        assert_eq!((figures.height, figures.committed), (Some(7.0), Some(5.0)));
        assert_eq!((figures.refused, figures.requests), (Some(1.0), Some(0.0)), "none is 0");
        assert_eq!(figures.votes_missing, [("bob".to_owned(), 2.0)].into());
        assert_eq!(figures.commit.unwrap().count(), 1.0);
        assert_eq!(figures.fsync.unwrap().count(), 2.0, "all classes");
        assert_eq!(figures.block_transactions.unwrap().count(), 0.0);
        assert!(figures.resident_bytes > Some(0.0) && figures.started > Some(0.0));
    }

    #[test]
    fn what_a_page_does_not_have_is_not_known() {
        assert_eq!(Figures::read("x 1\n").unwrap(), Figures::default());
        let later =
            "cairn_quorum_margin -1\ncairn_data_free_bytes 10\nprocess_resident_memory_bytes -3\n";
        let figures = Figures::read(later).unwrap();
        assert_eq!((figures.quorum_margin, figures.data_free_bytes), (Some(-1.0), Some(10.0)));
        assert_eq!(figures.resident_bytes, None, "no memory is less than none");
    }

    #[test]
    fn of_names_there_are_no_more_than_validators() {
        let series = |name: &str| format!("cairn_votes_missing_total{{validator=\"{name}\"}} 1\n");
        let page: String = (0..1000).map(|number| series(&format!("v{number}"))).collect();
        let figures = Figures::read(&(page + &series(&"v".repeat(64)))).unwrap();
        assert_eq!(figures.votes_missing.len(), VALIDATORS_MAX);
        assert_eq!(Figures::read(&series(&"v".repeat(64))).unwrap(), Figures::default());
    }

    #[test]
    fn a_process_that_started_again_is_noticed() {
        let at = |started: Option<f64>, committed: f64| Figures {
            started,
            committed: Some(committed),
            ..Figures::default()
        };
        #[rustfmt::skip]
        let table = [
            (at(Some(1.0), 5.0), at(Some(1.0), 5.0), false, "nothing happened"),
            (at(Some(1.0), 5.0), at(Some(1.0), 9.0), false, "it went on"),
            (at(Some(1.0), 5.0), at(Some(2.0), 9.0), true,  "another process, which has done more"),
            (at(None, 5.0),      at(None, 4.0),      true,  "a counter fell"),
            (at(None, 5.0),      at(Some(2.0), 5.0), false, "nothing known before"),
        ];
        for (before, now, expected, why) in table {
            assert_eq!(now.anew(&before), expected, "{why}");
        }
        assert_eq!((rise(Some(3.0), Some(1.0)), rise(Some(1.0), Some(3.0))), (Some(2.0), None));
    }
}
