//! Every metric of the operator, its name and meaning, in one list. Names begin with `cairn_operator_` and
//! end with their unit. What a label may be is written beside it: none holds a name that users make up.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder, core::Collector,
};

/// From what an unchanged cluster takes to the longest that a slow API server is waited for.
const PASS_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The list.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// One pass over one cluster, by `outcome`: `unchanged`, `settled`, `written`, `failed`.
    pub passes: HistogramVec,
    /// Passes that run now.
    pub active: IntGauge,
    /// Passes that failed, by `kind`: `trouble`, `refused`, `conflict`, `bug`, `lost`.
    pub errors: IntCounterVec,
    /// Requests to the API server, by `verb`, `kind` (the plural) and `code`, which is `none` without an answer.
    pub requests: IntCounterVec,
    /// Those of them that change something, by `verb` and `kind`. An idle operator's only writes are its Lease's.
    pub writes: IntCounterVec,
    /// Whether this process leads: 1 or 0.
    pub leader: IntGauge,
    /// Clusters, by the `reason` of their condition Ready.
    pub clusters: IntGaugeVec,
    /// BlockchainClusters that cannot be read: the CRD let something through that this version does not know.
    pub undecodable: IntGauge,
    /// Whether the CRD that is needed is not installed: 1 or 0.
    pub crd_missing: IntGauge,
    /// Whether the CRD is not of this version: 1 or 0.
    pub crd_outdated: IntGauge,
    /// Watches that failed and were begun again, by `kind`.
    pub watch_failures: IntCounterVec,
    /// Asking one validator how it is.
    pub probes: Histogram,
}

impl Metrics {
    /// All of them, at nothing.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let metrics = Self {
            passes: histograms("passes_seconds", "One pass over one cluster", &["outcome"]),
            active: gauge("passes_active", "Passes that run now"),
            errors: counters("errors_total", "Passes that failed", &["kind"]),
            requests: counters(
                "requests_total",
                "Requests to the API server",
                &["verb", "kind", "code"],
            ),
            writes: counters("writes_total", "Requests that change something", &["verb", "kind"]),
            leader: gauge("leader", "Whether this process leads"),
            clusters: gauges("clusters", "Clusters by the reason of Ready", &["reason"]),
            undecodable: gauge("clusters_undecodable", "BlockchainClusters that cannot be read"),
            crd_missing: gauge("crd_missing", "Whether the CRD is not installed"),
            crd_outdated: gauge("crd_outdated", "Whether the CRD is not of this version"),
            watch_failures: counters("watch_failures_total", "Watches that failed", &["kind"]),
            probes: histogram("probe_seconds", "Asking one validator how it is"),
            registry,
        };
        let collectors: [Box<dyn Collector>; 12] = [
            Box::new(metrics.passes.clone()),
            Box::new(metrics.active.clone()),
            Box::new(metrics.errors.clone()),
            Box::new(metrics.requests.clone()),
            Box::new(metrics.writes.clone()),
            Box::new(metrics.leader.clone()),
            Box::new(metrics.clusters.clone()),
            Box::new(metrics.undecodable.clone()),
            Box::new(metrics.crd_missing.clone()),
            Box::new(metrics.crd_outdated.clone()),
            Box::new(metrics.watch_failures.clone()),
            Box::new(metrics.probes.clone()),
        ];
        for collector in collectors {
            metrics.registry.register(collector).expect("each name is in the list once");
        }
        metrics
    }

    /// All of them, as Prometheus reads them.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        TextEncoder::new()
            .encode_utf8(&self.registry.gather(), &mut text)
            .expect("a metric that was registered can be written");
        text
    }

    /// How many requests changed something, Leases and Events aside.
    #[must_use]
    pub fn writes(&self) -> u64 {
        let families = self.writes.collect();
        let metrics = families.iter().flat_map(prometheus::proto::MetricFamily::get_metric);
        let counted = metrics.filter(|metric| {
            !metric.get_label().iter().any(|l| matches!(l.value(), "leases" | "events"))
        });
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it counts")]
        let sum = counted.map(|metric| metric.get_counter().get_value() as u64).sum();
        sum
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn name(name: &str) -> String {
    format!("cairn_operator_{name}")
}

fn gauge(of: &str, help: &str) -> IntGauge {
    IntGauge::new(name(of), help).expect("the name is sound")
}

fn gauges(of: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    IntGaugeVec::new(Opts::new(name(of), help), labels).expect("the name is sound")
}

fn counters(of: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    IntCounterVec::new(Opts::new(name(of), help), labels).expect("the name is sound")
}

fn histogram(of: &str, help: &str) -> Histogram {
    let options = HistogramOpts::new(name(of), help).buckets(PASS_SECONDS.to_vec());
    Histogram::with_opts(options).expect("the name is sound")
}

fn histograms(of: &str, help: &str, labels: &[&str]) -> HistogramVec {
    let options = HistogramOpts::new(name(of), help).buckets(PASS_SECONDS.to_vec());
    HistogramVec::new(options, labels).expect("the name is sound")
}
