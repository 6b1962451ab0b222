//! Federations that are as they should be, from their founding to an update. Whatever is added to the
//! rules: nothing fires here.

/// A federation, as Prometheus sees it for a while.
pub(super) struct Scene {
    /// What goes on.
    pub(super) why: &'static str,
    /// Series and values of all validators, one a minute.
    pub(super) series: Vec<(String, String)>,
}

/// Minutes that each of them lasts: longer than any alert waits.
pub(super) const MINUTES: usize = 80;

const VALIDATORS: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// How a metric goes on, and those that do so.
type Course = (&'static str, &'static [&'static str]);

/// What a validator shows from its start on, whatever it does.
const ALWAYS: &[Course] = &[
    ("1", &["up", "cairn_build_info{version=\"0.1.0\"}"]),
    ("1000", &["process_start_time_seconds"]),
    ("60", &["process_open_fds"]),
    ("1048576", &["process_max_fds"]),
    (
        "0",
        &[
            "cairn_pending_transactions",
            "cairn_pending_bytes",
            "cairn_tls_certificate_expiry_seconds",
            "cairn_store_damaged_rows_total",
        ],
    ),
];

/// Once it has its genesis.
const FOUNDED: &[Course] = &[
    (
        "1",
        &[
            "cairn_voting",
            "cairn_ready",
            "cairn_quorum",
            "cairn_quorum_margin",
            "cairn_order_has_leader",
            "cairn_store_reachable",
        ],
    ),
    ("3", &["cairn_peers_connected"]),
    ("4", &["cairn_validators", "cairn_voting_power", "cairn_voting_power_reachable"]),
    ("50000", &["cairn_pending_transactions_max"]),
    ("67108864", &["cairn_pending_bytes_max"]),
    ("20000000000", &["cairn_data_size_bytes"]),
];

/// While nobody writes.
const IDLE: &[Course] = &[
    ("500", &["cairn_height", "cairn_best_peer_height", "cairn_search_height"]),
    ("15000000000", &["cairn_data_free_bytes"]),
    (
        "900",
        &[
            "cairn_rounds_count",
            "cairn_rounds_sum",
            "cairn_decision_seconds_count",
            "cairn_commit_latency_seconds_count",
        ],
    ),
    (
        "850",
        &[
            "cairn_decision_seconds_bucket{le=\"0.5\"}",
            "cairn_commit_latency_seconds_bucket{le=\"1.0\"}",
        ],
    ),
    (
        "900",
        &[
            "cairn_decision_seconds_bucket{le=\"+Inf\"}",
            "cairn_commit_latency_seconds_bucket{le=\"+Inf\"}",
        ],
    ),
    (
        "5000",
        &[
            "cairn_fsync_seconds_count{class=\"journal\"}",
            "cairn_fsync_seconds_bucket{class=\"journal\",le=\"0.01\"}",
            "cairn_fsync_seconds_bucket{class=\"journal\",le=\"+Inf\"}",
        ],
    ),
    ("70", &["cairn_http_requests_total{route=\"v2/transactions\",status=\"202\"}"]),
    ("2", &["cairn_http_requests_total{route=\"v2/transactions\",status=\"503\"}"]),
];

/// While many do: a proposal in ten is not there at once, an answer in ten thousand is a 5xx.
const BUSY: &[Course] = &[
    ("500+120", &["cairn_height", "cairn_best_peer_height"]),
    ("400+120", &["cairn_search_height"]),
    ("15000000000+0", &["cairn_data_free_bytes"]),
    (
        "0+120",
        &[
            "cairn_rounds_count",
            "cairn_decision_seconds_count",
            "cairn_decision_seconds_bucket{le=\"+Inf\"}",
        ],
    ),
    ("0+132", &["cairn_rounds_sum"]),
    ("0+119", &["cairn_decision_seconds_bucket{le=\"0.5\"}"]),
    (
        "0+40000",
        &["cairn_commit_latency_seconds_count", "cairn_commit_latency_seconds_bucket{le=\"+Inf\"}"],
    ),
    ("0+39500", &["cairn_commit_latency_seconds_bucket{le=\"1.0\"}"]),
    (
        "0+600",
        &[
            "cairn_fsync_seconds_count{class=\"journal\"}",
            "cairn_fsync_seconds_bucket{class=\"journal\",le=\"+Inf\"}",
        ],
    ),
    ("0+598", &["cairn_fsync_seconds_bucket{class=\"journal\",le=\"0.01\"}"]),
    ("0+10000", &["cairn_http_requests_total{route=\"v2/transactions\",status=\"202\"}"]),
    ("0+1", &["cairn_http_requests_total{route=\"v2/transactions\",status=\"503\"}"]),
    ("12000", &["cairn_pending_transactions"]),
];

/// Before that: everything that is not known is 0, except that there is no quorum.
const FOUNDING: &[Course] = &[(
    "0",
    &[
        "cairn_voting",
        "cairn_ready",
        "cairn_quorum",
        "cairn_order_has_leader",
        "cairn_store_reachable",
        "cairn_peers_connected",
        "cairn_validators",
        "cairn_voting_power",
        "cairn_voting_power_reachable",
        "cairn_quorum_margin",
        "cairn_pending_transactions_max",
        "cairn_pending_bytes_max",
        "cairn_data_size_bytes",
        "cairn_data_free_bytes",
        "cairn_height",
        "cairn_best_peer_height",
        "cairn_search_height",
    ],
)];

/// All of them.
pub(super) fn scenes() -> Vec<Scene> {
    let scene = |why, series| Scene { why, series };
    vec![
        scene("a federation under load", federation(&[ALWAYS, FOUNDED, BUSY], &lasting)),
        scene("a federation that nobody writes to", federation(&[ALWAYS, FOUNDED, IDLE], &lasting)),
        scene("a federation that waits for its genesis", federation(&[ALWAYS, FOUNDING], &lasting)),
        scene(
            "a federation that was just started",
            federation(&[ALWAYS, FOUNDED, BUSY], &|_, course| {
                format!("_x{} {course}x20", MINUTES - 20)
            }),
        ),
        scene(
            "a federation that was suspended: its pods, and so its targets, are gone",
            federation(&[ALWAYS, FOUNDED, IDLE], &|_, course| format!("{course}x20 stale")),
        ),
        scene(
            "an update, one validator after the other",
            federation(&[ALWAYS, FOUNDED, BUSY], &updated),
        ),
        scene("an operator of two replicas", operator()),
        scene(
            "a federation beside programs that are not well",
            [federation(&[ALWAYS, FOUNDED, IDLE], &lasting), others()].concat(),
        ),
    ]
}

fn lasting(_: usize, course: &str) -> String {
    format!("{course}x{MINUTES}")
}

/// Its pod is away for two minutes, ten minutes after the one before it. What begins at 0 begins anew.
fn updated(validator: usize, course: &str) -> String {
    let away = 30 + 10 * validator;
    let (first, more) = course.split_once('+').unwrap_or((course, "0"));
    let number = |text: &str| text.parse::<usize>().unwrap_or_default();
    let then = if first == "0" { 0 } else { number(first) + number(more) * (away + 3) };
    format!("{course}x{away} stale _ {then}+{more}x{}", MINUTES - away)
}

/// The series of four validators, each going on as `values` says of its number and its course.
fn federation(
    courses: &[&[Course]],
    values: &dyn Fn(usize, &str) -> String,
) -> Vec<(String, String)> {
    let mut series = vec![];
    for (number, validator) in VALIDATORS.into_iter().enumerate() {
        // What is said later of a metric counts.
        let mut said = std::collections::BTreeMap::new();
        for (course, names) in courses.iter().copied().flatten() {
            let steady = !course.contains(['+', '-']);
            let course = if steady { format!("{course}+0") } else { (*course).to_owned() };
            said.extend(names.iter().map(|name| (*name, course.clone())));
        }
        for (name, course) in said {
            let name = match name.split_once('{') {
                Some((name, labels)) => format!("{name}{{{validator}, {labels}"),
                None => format!("{name}{{{validator}}}"),
            };
            series.push((name, values(number, &course)));
        }
    }
    series.push(("cairn_operator_build_info{a, version=\"0.1.0\"}".to_owned(), lasting(0, "1+0")));
    series
}

/// What the same Prometheus reads of others: down, restarting, out of files.
fn others() -> Vec<(String, String)> {
    let series = [
        ("up{job=\"machines\",instance=\"n1\"}", "0+0x80"),
        ("up{job=\"machines\",instance=\"n2\"}", "1+0x80"),
        ("process_start_time_seconds{job=\"machines\",instance=\"n2\"}", "1000+60x80"),
        ("process_open_fds{job=\"machines\",instance=\"n2\"}", "1024+0x80"),
        ("process_max_fds{job=\"machines\",instance=\"n2\"}", "1024+0x80"),
    ];
    series.map(|(name, values)| (name.to_owned(), values.to_owned())).into()
}

/// The Lease goes from one to the other after an hour; the API server was away for a moment.
fn operator() -> Vec<(String, String)> {
    #[rustfmt::skip]
    let series = [
        ("cairn_operator_build_info{a, version=\"0.1.0\"}", "1+0x80"),
        ("cairn_operator_build_info{b, version=\"0.1.0\"}", "1+0x80"),
        ("cairn_operator_leader{a}", "1+0x40 0+0x39"),
        ("cairn_operator_leader{b}", "0+0x41 1+0x38"),
        ("cairn_operator_errors_total{a, kind=\"lost\"}", "_x40 1+0x40"),
        ("cairn_operator_errors_total{a, kind=\"trouble\"}", "_x20 2+0x10 4+0x49"),
        ("cairn_operator_watch_failures_total{a, kind=\"pods\"}", "_x20 3+0x60"),
        ("cairn_operator_pass_age_seconds{a}", "0+0x40 2+0x3 0+0x36"),
        ("cairn_operator_crd_missing{a}", "0+0x80"),
        ("cairn_operator_crd_outdated{a}", "0+0x80"),
        ("cairn_operator_clusters_undecodable{a}", "0+0x80"),
        ("cairn_operator_clusters{a, reason=\"Ready\"}", "3+0x80"),
        ("cairn_operator_clusters{a, reason=\"Suspended\"}", "1+0x80"),
        ("cairn_operator_clusters{a, reason=\"Crashed\"}", "_x40 1+0x3 stale"),
    ];
    series.map(|(name, values)| (name.to_owned(), values.to_owned())).into()
}
