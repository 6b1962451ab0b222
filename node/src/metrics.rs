//! Every metric of a validator, its name and meaning, in one list.
//!
//! Names begin with `cairn_` and end with their unit. [`Metrics`] is passed by `Arc` to who
//! counts; `GET /metrics` on the admin port renders it. Dashboards and alerts are tested
//! against [`Metrics::names`].

use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};

/// From half a millisecond, below which nothing is durable, to the longest anyone waits.
const LATENCY_SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    120.0,
];

/// From one transaction to a full block.
const BLOCK_TRANSACTIONS: &[f64] =
    &[1.0, 4.0, 16.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0];

/// The list.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Height of the last block that is stored here.
    pub height: IntGauge,
    /// Round of the height that is being decided.
    pub round: IntGauge,
    /// Whether this validator may sign: 1 or 0.
    pub voting: IntGauge,
    /// Whether the store answers: 1 or 0. One on this machine always does.
    pub store_reachable: IntGauge,
    /// Blocks whose rows were compared with them, where others could change rows.
    pub store_scrubbed: IntCounter,
    /// Rows and blocks that were gone or wrong then.
    pub store_damaged: IntCounter,
    /// Calls of TiKV, by `kind` and `outcome` (`yes`, `refused`, `unreachable`, `bug`).
    pub tikv_calls: HistogramVec,
    /// Decided blocks whose certificate lacks this validator's signature, by `validator`.
    pub votes_missing: IntCounterVec,
    /// From a transaction's arrival here to the block that holds it being stored here.
    pub commit_latency: Histogram,
    /// Between one block being stored and the next.
    pub block_interval: Histogram,
    /// Transactions of a block.
    pub block_transactions: Histogram,
    /// Transactions that are part of the ledger by blocks stored since the start.
    pub committed: IntCounter,
    /// Transactions turned away, at the door or in a block, by `code`.
    pub refused: IntCounterVec,
    /// Transactions that wait here for a decision.
    pub pending_transactions: IntGauge,
    /// Their bytes.
    pub pending_bytes: IntGauge,
    /// Transactions that were put into the log again, because a block passed them by.
    pub appended_again: IntCounter,
    /// Appends to the log, by `outcome` (`done`, `unavailable`, `unknown`, `too_large`).
    pub appends: IntCounterVec,
    /// One fdatasync, by file `class` (`journal`, `blocks`, `raft`).
    pub fsync: HistogramVec,
    /// Validators that this one has a connection with.
    pub peers_connected: IntGauge,
    /// Frames of peers that were not taken, by `reason`.
    pub frames_dropped: IntCounterVec,
    /// Proposals examined, by `outcome` (`valid`, `invalid`, `missing`: its body is not here yet).
    pub proposals: IntCounterVec,
    /// Blocks that came from peers rather than from voting.
    pub sync_blocks: IntCounter,
    /// Up to which height searches are complete.
    pub search_height: IntGauge,
    /// HTTP answers, by `route` and `status`.
    pub http_requests: IntCounterVec,
    /// HTTP connections that are open.
    pub http_connections: IntGauge,
    /// From a request's head to the head of its answer, by `route`.
    pub http_request: HistogramVec,
    /// Idle connections that were closed, because new ones came and all places were taken.
    pub http_connections_evicted: IntCounter,
    /// Unix time at which the API's certificate ends; 0 without TLS.
    pub tls_certificate_expiry: IntGauge,
    /// Event streams that are open, by `kind` (`v1`, `sse`, `websocket`).
    pub streams: IntGaugeVec,
    /// Events that readers of streams were told, by `kind`.
    pub stream_events: IntCounterVec,
    /// Readers of streams that were sent away, by `reason` (`slow`, `behind`, `silent`, `trouble`).
    pub stream_readers_dropped: IntCounterVec,
    /// Memory of this process that is resident.
    pub resident_bytes: IntGauge,
    /// Always 1; `version` says what runs.
    pub build_info: IntGaugeVec,
    /// Unix time at which the process started.
    pub start_time: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Registers what it makes, so that nothing is in the list and not on the page.
struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn put<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let metric = made.expect("names and labels are constants that a test has seen");
        self.0.register(Box::new(metric.clone())).expect("each name is listed once");
        metric
    }
    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.put(IntGauge::new(name, help))
    }
    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.put(IntCounter::new(name, help))
    }
    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.put(IntCounterVec::new(Opts::new(name, help), labels))
    }
    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.put(IntGaugeVec::new(Opts::new(name, help), labels))
    }
    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.put(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
    }
}

impl Metrics {
    /// All at zero, registered.
    #[expect(clippy::too_many_lines, reason = "one list, in one place, is the point")]
    pub fn new() -> Self {
        let registry = Registry::new();
        let make = Maker(&registry);
        let metrics = Self {
            height: make.gauge("cairn_height", "Height of the last stored block"),
            round: make.gauge("cairn_round", "Round of the height being decided"),
            voting: make.gauge("cairn_voting", "1 when this validator may sign, else 0"),
            store_reachable: make
                .gauge("cairn_store_reachable", "1 while the store answers, else 0"),
            store_scrubbed: make.counter(
                "cairn_store_scrubbed_blocks_total",
                "Blocks in TiKV that were compared with all their rows",
            ),
            store_damaged: make.counter(
                "cairn_store_damaged_rows_total",
                "Rows and blocks in TiKV that were gone or wrong when they were compared",
            ),
            tikv_calls: make.put(HistogramVec::new(
                HistogramOpts::new(
                    "cairn_tikv_call_seconds",
                    "Calls of TiKV, their retries included",
                )
                .buckets(LATENCY_SECONDS.to_vec()),
                &["kind", "outcome"],
            )),
            votes_missing: make.counters(
                "cairn_votes_missing_total",
                "Decided blocks whose certificate lacks the validator's signature",
                &["validator"],
            ),
            commit_latency: make.histogram(
                "cairn_commit_latency_seconds",
                "From a transaction's arrival to its block being stored here",
                LATENCY_SECONDS,
            ),
            block_interval: make.histogram(
                "cairn_block_interval_seconds",
                "Between one stored block and the next",
                LATENCY_SECONDS,
            ),
            block_transactions: make.histogram(
                "cairn_block_transactions",
                "Transactions of a block",
                BLOCK_TRANSACTIONS,
            ),
            committed: make.counter(
                "cairn_committed_transactions_total",
                "Transactions committed by blocks stored since the start",
            ),
            refused: make.counters(
                "cairn_refused_transactions_total",
                "Transactions turned away, at the door or in a block",
                &["code"],
            ),
            pending_transactions: make
                .gauge("cairn_pending_transactions", "Transactions that wait for a decision"),
            pending_bytes: make
                .gauge("cairn_pending_bytes", "Bytes of transactions that wait for a decision"),
            appended_again: make.counter(
                "cairn_appended_again_transactions_total",
                "Transactions put into the log again, because a block passed them by",
            ),
            appends: make.counters("cairn_appends_total", "Appends to the log", &["outcome"]),
            fsync: make.put(HistogramVec::new(
                HistogramOpts::new("cairn_fsync_seconds", "One fdatasync, by class of file")
                    .buckets(LATENCY_SECONDS.to_vec()),
                &["class"],
            )),
            peers_connected: make
                .gauge("cairn_peers_connected", "Validators that this one is connected with"),
            frames_dropped: make.counters(
                "cairn_frames_dropped_total",
                "Frames of peers that were not taken",
                &["reason"],
            ),
            proposals: make.counters("cairn_proposals_total", "Proposals examined", &["outcome"]),
            sync_blocks: make.counter(
                "cairn_sync_blocks_total",
                "Blocks that came from peers rather than from voting",
            ),
            search_height: make
                .gauge("cairn_search_height", "Height up to which searches are complete"),
            http_requests: make.counters(
                "cairn_http_requests_total",
                "HTTP answers",
                &["route", "status"],
            ),
            http_connections: make.gauge("cairn_http_connections", "Open HTTP connections"),
            http_request: make.put(HistogramVec::new(
                HistogramOpts::new(
                    "cairn_http_request_seconds",
                    "From a request's head to the head of its answer",
                )
                .buckets(LATENCY_SECONDS.to_vec()),
                &["route"],
            )),
            http_connections_evicted: make.counter(
                "cairn_http_connections_evicted_total",
                "Idle connections closed to make room for new ones",
            ),
            tls_certificate_expiry: make.gauge(
                "cairn_tls_certificate_expiry_seconds",
                "Unix time at which the certificate of the API ends; 0 without TLS",
            ),
            streams: make.gauges("cairn_streams", "Open event streams", &["kind"]),
            stream_events: make.counters(
                "cairn_stream_events_total",
                "Events that readers of streams were told",
                &["kind"],
            ),
            stream_readers_dropped: make.counters(
                "cairn_stream_readers_dropped_total",
                "Readers of streams that were sent away",
                &["reason"],
            ),
            resident_bytes: make
                .gauge("cairn_process_resident_bytes", "Resident memory of this process"),
            build_info: make.put(IntGaugeVec::new(
                Opts::new("cairn_build_info", "Always 1; the version that runs"),
                &["version"],
            )),
            start_time: make.put(Gauge::new(
                "cairn_process_start_time_seconds",
                "Unix time at which the process started",
            )),
            registry,
        };
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        #[expect(clippy::cast_precision_loss, reason = "milliseconds fit an f64 for long")]
        metrics.start_time.set(crate::clock::unix_ms() as f64 / 1000.0);
        metrics
    }

    /// The page that Prometheus reads, with the process's memory as of now.
    pub fn render(&self) -> String {
        if let Some(bytes) = resident_bytes() {
            self.resident_bytes.set(bytes);
        }
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .expect("gathered metrics have names and values")
    }

    /// Name and help of every metric, those not yet counted included: what dashboards may use.
    #[expect(clippy::too_many_lines, reason = "one list, in one place, is the point")]
    pub fn names(&self) -> Vec<(String, String)> {
        let Self {
            registry: _,
            height,
            round,
            voting,
            store_reachable,
            store_scrubbed,
            store_damaged,
            tikv_calls,
            votes_missing,
            commit_latency,
            block_interval,
            block_transactions,
            committed,
            refused,
            pending_transactions,
            pending_bytes,
            appended_again,
            appends,
            fsync,
            peers_connected,
            frames_dropped,
            proposals,
            sync_blocks,
            search_height,
            http_requests,
            http_connections,
            http_request,
            http_connections_evicted,
            tls_certificate_expiry,
            streams,
            stream_events,
            stream_readers_dropped,
            resident_bytes,
            build_info,
            start_time,
        } = self;
        let all: [&dyn Collector; 34] = [
            height,
            round,
            voting,
            store_reachable,
            store_scrubbed,
            store_damaged,
            tikv_calls,
            votes_missing,
            commit_latency,
            block_interval,
            block_transactions,
            committed,
            refused,
            pending_transactions,
            pending_bytes,
            appended_again,
            appends,
            fsync,
            peers_connected,
            frames_dropped,
            proposals,
            sync_blocks,
            search_height,
            http_requests,
            http_connections,
            http_request,
            http_connections_evicted,
            tls_certificate_expiry,
            streams,
            stream_events,
            stream_readers_dropped,
            resident_bytes,
            build_info,
            start_time,
        ];
        all.iter()
            .flat_map(|metric| metric.desc())
            .map(|desc| (desc.fq_name.clone(), desc.help.clone()))
            .collect()
    }
}

/// What the kernel says this process holds in memory; nothing where there is no `/proc`.
fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    // In KiB whatever the page size is, unlike `statm`.
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_a_name_with_our_prefix_and_a_help() {
        let names = Metrics::new().names();
        for (name, help) in &names {
            assert!(name.starts_with("cairn_"), "{name}");
            assert!(
                help.starts_with(|c: char| c.is_uppercase() || c.is_numeric()),
                "{name}: {help}"
            );
        }
        let unique: std::collections::BTreeSet<_> = names.iter().map(|(name, _)| name).collect();
        assert_eq!(unique.len(), names.len());
    }

    #[test]
    fn what_is_counted_is_on_the_page() {
        let metrics = Metrics::new();
        metrics.height.set(7);
        metrics.refused.with_label_values(&["DOUBLE_SPEND"]).inc();
        metrics.fsync.with_label_values(&["journal"]).observe(0.002);
        let page = metrics.render();
        for line in [
            "cairn_height 7",
            "cairn_refused_transactions_total{code=\"DOUBLE_SPEND\"} 1",
            "cairn_fsync_seconds_bucket{class=\"journal\",le=\"0.0025\"} 1",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn the_process_is_resident() {
        let metrics = Metrics::new();
        let _ = metrics.render();
        assert!(metrics.resident_bytes.get() > 0);
    }
}
