//! Every metric of a validator, what it is and may be, in one list.
//!
//! Names begin with `cairn_` and end with their unit. [`Metrics`] is passed by `Arc` to who counts; `GET /metrics`
//! on the admin port serves it. Dashboards, alerts and docs/metrics.md are held against [`Metrics::described`].

use cairn_metrics::{Counter, Label, Values};
pub use cairn_metrics::{Described, Format, Histogram};

/// From half a millisecond, below which nothing is durable, to the longest anyone waits.
const LATENCY_SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    120.0,
];

/// As [`LATENCY_SECONDS`], coarser, for what is told apart by many labels.
const CALL_SECONDS: &[f64] = &[0.001, 0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0];

/// From a check of one signature to one of a full block's.
const CHECK_SECONDS: &[f64] = &[0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];

/// From one transaction to a full block.
const TRANSACTIONS: &[f64] = &[1.0, 4.0, 16.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0];

/// One round is as it should be; each one more is a proposer that was not there or not believed.
const ROUNDS: &[f64] = &[1.0, 2.0, 3.0, 4.0, 6.0, 10.0];

/// Most routes of all ports, "other" included.
const ROUTES: usize = 30;

const VALIDATOR: Label = ("validator", Values::UpTo(31, "name of a validator"));
const CODE: Label = ("code", Values::UpTo(40, "code of a refusal, see docs/api.md"));
const ROUTE: Label =
    ("route", Values::UpTo(ROUTES, "route without its parameters, as `v2/transactions`"));
const STATUS: Label = ("status", Values::UpTo(16, "HTTP status"));
const AT: Label = ("at", Values::Of(&["door", "log"]));
const STREAM: Label = ("kind", Values::Of(&["v1", "sse", "websocket"]));

cairn_metrics::metrics! {
    /// The list.
    Metrics, "cairn_build_info"

    // Of the chain.
    /// Height of the last stored block.
    height: Gauge = gauge("cairn_height", "blocks");
    /// The best height that a peer has shown.
    best_peer_height: Gauge = gauge("cairn_best_peer_height", "blocks");
    /// Round of the height being decided; 0 while nothing is.
    round: Gauge = gauge("cairn_round", "rounds");
    /// 1 when this validator may sign, else 0.
    voting: Gauge = gauge("cairn_voting", "boolean");
    /// 1 when this validator serves: it is open, and not far behind its peers.
    ready: Gauge = gauge("cairn_ready", "boolean");
    /// 1 when this validator sees a quorum, and whoever leads the log.
    quorum: Gauge = gauge("cairn_quorum", "boolean");
    /// Validators that may be lost, the strongest first, before there is no quorum; -1 without one.
    quorum_margin: Gauge = gauge("cairn_quorum_margin", "validators");
    /// Validators of the federation.
    validators: Gauge = gauge("cairn_validators", "validators");
    /// Voting power of the federation.
    voting_power: Gauge = gauge("cairn_voting_power", "votes");
    /// Voting power within reach of this validator, its own included when it votes.
    voting_power_reachable: Gauge = gauge("cairn_voting_power_reachable", "votes");
    /// Transactions committed by blocks stored since the start.
    committed: Counter = counter("cairn_committed_transactions_total", "transactions");
    /// Transactions turned away, at the door or in a block.
    refused: Counters = counters("cairn_refused_transactions_total", "transactions", &[CODE]);
    /// Transactions of a block.
    block_transactions: Histogram = histogram(
        "cairn_block_transactions", "transactions",
        TRANSACTIONS
    );
    /// Between one stored block and the next.
    block_interval: Histogram = histogram(
        "cairn_block_interval_seconds", "seconds",
        LATENCY_SECONDS
    );
    /// From a transaction's arrival here to its block being stored here.
    commit_latency: Exemplified = exemplified(
        "cairn_commit_latency_seconds", "seconds",
        LATENCY_SECONDS, "transaction_id"
    );
    /// From the first sight of a proposal to its decision.
    decision: Histogram = histogram("cairn_decision_seconds", "seconds", LATENCY_SECONDS);
    /// Rounds that a height took.
    rounds: Histogram = histogram("cairn_rounds", "rounds", ROUNDS);
    /// Blocks decided here by votes.
    certificates: Counter = counter("cairn_certificates_total", "blocks");
    /// Blocks that came from peers rather than from voting.
    sync_blocks: Counter = counter("cairn_sync_blocks_total", "blocks");
    /// Decided blocks whose certificate lacks the validator's signature.
    votes_missing: Counters = counters("cairn_votes_missing_total", "blocks", &[VALIDATOR]);
    /// Proposals examined; of a missing one the body was not here yet.
    proposals: Counters = counters(
        "cairn_proposals_total", "proposals",
        &[("outcome", Values::Of(&["valid", "invalid", "missing"]))]
    );
    /// Proofs found that a validator signed two things.
    evidence: Counters = counters(
        "cairn_evidence_total", "pieces",
        &[("kind", Values::Of(&["votes", "proposals"]))]
    );
    /// Signatures that this validator's journal refused, because it had signed something else; it
    /// ends with that.
    double_sign_refusals: Counter = counter("cairn_double_sign_refusals_total", "signatures");

    // Of the log.
    /// 1 when this validator leads the log, else 0.
    order_leader: Gauge = gauge("cairn_order_leader", "boolean");
    /// 1 when somebody within reach leads the log, else 0.
    order_has_leader: Gauge = gauge("cairn_order_has_leader", "boolean");
    /// Changes of the log's leader seen here.
    order_leader_changes: Counter = counter("cairn_order_leader_changes_total", "changes");
    /// Raft's term, or the epoch of TiKV's writer.
    order_term: Gauge = gauge("cairn_order_term", "terms");
    /// Entries of the log after those of the last stored block.
    order_backlog: Gauge = gauge("cairn_order_backlog", "entries");
    /// Appends to the log by this validator.
    appends: Counters = counters(
        "cairn_appends_total", "batches",
        &[("outcome", Values::Of(&["done", "unavailable", "unknown", "too_large"]))]
    );
    /// One append to the log, until the log has it.
    append: Histogram = histogram("cairn_append_seconds", "seconds", LATENCY_SECONDS);
    /// Bytes of transactions that this validator appended.
    appended_bytes: Counter = counter("cairn_appended_bytes_total", "bytes");
    /// Transactions put into the log again, because a block passed them by.
    appended_again: Counter = counter("cairn_appended_again_transactions_total", "transactions");

    // Of the store.
    /// One fdatasync, by class of file.
    fsync: Histograms = histograms(
        "cairn_fsync_seconds", "seconds",
        &[("class", Values::Of(&["journal", "blocks", "raft"]))], LATENCY_SECONDS
    );
    /// Writing one snapshot of the state.
    snapshot: Histogram = histogram("cairn_snapshot_seconds", "seconds", LATENCY_SECONDS);
    /// Size of the data directory.
    data_bytes: Gauge = gauge("cairn_data_bytes", "bytes");
    /// Free for the data directory on its file system.
    data_free_bytes: Gauge = gauge("cairn_data_free_bytes", "bytes");
    /// Size of the file system that the data directory is on.
    data_size_bytes: Gauge = gauge("cairn_data_size_bytes", "bytes");
    /// Height up to which searches are complete.
    search_height: Gauge = gauge("cairn_search_height", "blocks");
    /// 1 while the store answers, else 0; one on this machine always does.
    store_reachable: Gauge = gauge("cairn_store_reachable", "boolean");
    /// Blocks in TiKV that were compared with all their rows.
    store_scrubbed: Counter = counter("cairn_store_scrubbed_blocks_total", "blocks");
    /// Rows and blocks in TiKV that were gone or wrong when they were compared.
    store_damaged: Counter = counter("cairn_store_damaged_rows_total", "rows");
    /// Calls of TiKV, their retries included.
    tikv_calls: Histograms = histograms(
        "cairn_tikv_call_seconds", "seconds",
        &[("kind", Values::UpTo(10, "what was called")), ("outcome", Values::Of(&["yes", "refused", "unreachable", "bug"]))], CALL_SECONDS
    );

    // Of the waiting room.
    /// Transactions that wait for a decision.
    pending_transactions: Gauge = gauge("cairn_pending_transactions", "transactions");
    /// The most transactions that may wait.
    pending_transactions_max: Gauge = gauge("cairn_pending_transactions_max", "transactions");
    /// Bytes of transactions that wait for a decision.
    pending_bytes: Gauge = gauge("cairn_pending_bytes", "bytes");
    /// The most bytes that may wait.
    pending_bytes_max: Gauge = gauge("cairn_pending_bytes_max", "bytes");
    /// Reading transactions that came together, and checking their ids, shapes and signatures.
    verification: Histograms = histograms("cairn_verification_seconds", "seconds", &[AT], CHECK_SECONDS);
    /// How many came together.
    verification_transactions: Histograms = histograms(
        "cairn_verification_transactions", "transactions",
        &[AT], TRANSACTIONS
    );

    // Of the API.
    /// HTTP answers.
    http_requests: Counters = counters("cairn_http_requests_total", "requests", &[ROUTE, STATUS]);
    /// From a request's head to the head of its answer.
    http_request: Histograms = histograms(
        "cairn_http_request_seconds", "seconds",
        &[ROUTE], LATENCY_SECONDS
    );
    /// Open HTTP connections.
    http_connections: Gauge = gauge("cairn_http_connections", "connections");
    /// Idle connections closed to make room for new ones.
    http_connections_evicted: Counter = counter("cairn_http_connections_evicted_total", "connections");
    /// Unix time at which the certificate of the API ends; 0 without TLS.
    tls_certificate_expiry: Gauge = gauge("cairn_tls_certificate_expiry_seconds", "seconds");
    /// Open event streams.
    streams: Gauges = gauges("cairn_streams", "streams", &[STREAM]);
    /// Events that readers of streams were told.
    stream_events: Counters = counters("cairn_stream_events_total", "events", &[STREAM]);
    /// Readers of streams that were sent away.
    stream_readers_dropped: Counters = counters(
        "cairn_stream_readers_dropped_total", "readers",
        &[("reason", Values::Of(&["slow", "behind", "silent", "trouble"]))]
    );
    /// Spans of traces that no collector took.
    spans_dropped: Counters = counters(
        "cairn_spans_dropped_total", "spans",
        &[("reason", Values::Of(&["busy", "queue_full", "unreachable", "refused"]))]
    );

    // Of the mesh.
    /// Validators that this one is connected with.
    peers_connected: Gauge = gauge("cairn_peers_connected", "validators");
    /// Connections with validators that came to be.
    mesh_connects: Counter = counter("cairn_mesh_connects_total", "connections");
    /// Bytes sent to validators.
    mesh_sent_bytes: Counter = counter("cairn_mesh_sent_bytes_total", "bytes");
    /// Bytes received from validators.
    mesh_received_bytes: Counter = counter("cairn_mesh_received_bytes_total", "bytes");
    /// Bytes that wait to be sent to validators.
    mesh_queue_bytes: Gauge = gauge("cairn_mesh_queue_bytes", "bytes");
    /// Frames that were not sent to validators, or not taken from them.
    frames_dropped: Counters = counters(
        "cairn_frames_dropped_total", "frames",
        &[("reason", Values::Of(&["queue_full", "malformed", "overloaded", "unauthenticated"]))]
    );

    // Of the process.
    /// Threads that run tasks.
    tokio_workers: Gauge = gauge("cairn_tokio_workers", "threads");
    /// Tasks that have not ended.
    tokio_tasks: Gauge = gauge("cairn_tokio_tasks", "tasks");
    /// Tasks that wait for a thread, of those that no thread has taken yet.
    tokio_queue_depth: Gauge = gauge("cairn_tokio_queue_depth", "tasks");
}

impl Metrics {
    /// Counts a check of transactions that came together, at the door or in the log.
    pub fn checked(&self, at: &str, transactions: usize, seconds: f64) {
        #[expect(clippy::cast_precision_loss, reason = "a batch is far below 2^52")]
        let transactions = transactions as f64;
        self.verification.with_label_values(&[at]).observe(seconds);
        self.verification_transactions.with_label_values(&[at]).observe(transactions);
    }
}

/// A gauge's value, of a count.
pub fn value_of(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// Brings a counter up to what was counted elsewhere.
pub fn bring_up(counter: &Counter, all: u64) {
    counter.inc_by(all.saturating_sub(counter.get()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sound_and_bounded() {
        let metrics = Metrics::new();
        cairn_metrics::assert_sound(metrics.described(), "cairn_");
        // With 31 validators, every route answered in every way, and TiKV failing in every way.
        let series: usize = metrics.described().iter().map(Described::series_max).sum();
        assert!(series < 2000, "{series} series");
    }

    #[test]
    fn what_is_counted_is_on_the_page() {
        let metrics = Metrics::new();
        metrics.height.set(7);
        metrics.refused.with_label_values(&["DOUBLE_SPEND"]).inc();
        metrics.fsync.with_label_values(&["journal"]).observe(0.002);
        for format in [Format::Text, Format::OpenMetrics] {
            let page = metrics.page(format);
            for line in [
                "cairn_height 7",
                "cairn_refused_transactions_total{code=\"DOUBLE_SPEND\"} 1",
                "cairn_fsync_seconds_bucket{class=\"journal\",le=\"0.0025\"} 1",
            ] {
                assert!(page.lines().any(|l| l == line), "{line} is not in\n{page}");
            }
        }
    }

    #[test]
    fn the_process_is_resident() {
        let page = Metrics::new().page(Format::Text);
        let line = page.lines().find(|line| line.starts_with("process_resident_memory_bytes "));
        let bytes = line.and_then(|line| line.split(' ').nth(1)?.parse::<u64>().ok());
        assert!(bytes.is_some_and(|bytes| bytes > 0), "{line:?}");
    }
}
