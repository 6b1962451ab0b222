//! Every metric of the operator, what it is and may be, in one list. Names begin with `cairn_operator_` and
//! end with their unit. No label holds a name that users make up.

pub use cairn_metrics::{Described, Format};
use cairn_metrics::{Label, Values};

/// From what an unchanged cluster takes to the longest that a slow API server is waited for.
const PASS_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

const OUTCOME: Label = ("outcome", Values::Of(&["unchanged", "settled", "written", "failed"]));
const ERROR: Label = ("kind", Values::Of(&["trouble", "refused", "conflict", "bug", "lost"]));
const VERB: Label = ("verb", Values::UpTo(5, "HTTP method, in the words of Kubernetes"));
const KIND: Label = ("kind", Values::UpTo(24, "plural of what was asked for, as `configmaps`"));
const CODE: Label = ("code", Values::UpTo(8, "HTTP status, or `none` without an answer"));
const REASON: Label = ("reason", Values::UpTo(32, "reason of the condition Ready"));
const CONDITION: Label = ("type", Values::UpTo(16, "type of a condition, see docs/operator.md"));

cairn_metrics::metrics! {
    /// The list.
    Metrics, "cairn_operator_build_info"

    /// One pass over one cluster.
    passes: Histograms = histograms("cairn_operator_passes_seconds", "seconds", &[OUTCOME], PASS_SECONDS);
    /// Passes that run now.
    active: Gauge = gauge("cairn_operator_passes_active", "passes");
    /// Since the oldest of the passes that run now began; 0 when none runs.
    pass_age: Real = real("cairn_operator_pass_age_seconds", "seconds");
    /// Clusters whose turn it is, and that nobody has taken yet.
    queue_depth: Gauge = gauge("cairn_operator_queue_depth", "clusters");
    /// Passes that failed.
    errors: Counters = counters("cairn_operator_errors_total", "passes", &[ERROR]);
    /// Requests to the API server.
    requests: Counters = counters("cairn_operator_requests_total", "requests", &[VERB, KIND, CODE]);
    /// Requests that change something; an idle operator's only ones are its Lease's.
    writes: Counters = counters("cairn_operator_writes_total", "requests", &[VERB, KIND]);
    /// 1 when this process leads, else 0.
    leader: Gauge = gauge("cairn_operator_leader", "boolean");
    /// Clusters by the reason of Ready.
    clusters: Gauges = gauges("cairn_operator_clusters", "clusters", &[REASON]);
    /// Clusters in which a condition is true.
    conditions: Gauges = gauges("cairn_operator_conditions", "clusters", &[CONDITION]);
    /// BlockchainClusters that cannot be read: the CRD let something through that this version does not know.
    undecodable: Gauge = gauge("cairn_operator_clusters_undecodable", "clusters");
    /// 1 when the CRD that is needed is not installed, else 0.
    crd_missing: Gauge = gauge("cairn_operator_crd_missing", "boolean");
    /// 1 when the CRD is not of this version, else 0.
    crd_outdated: Gauge = gauge("cairn_operator_crd_outdated", "boolean");
    /// Watches that failed and were begun again.
    watch_failures: Counters = counters("cairn_operator_watch_failures_total", "watches", &[KIND]);
    /// Asking one validator how it is.
    probes: Histogram = histogram("cairn_operator_probe_seconds", "seconds", PASS_SECONDS);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sound() {
        cairn_metrics::assert_sound(Metrics::new().described(), "cairn_operator_");
    }
}
