//! What users were promised, and how fast the room for failure is used up: of a thousand requests that bring
//! transactions one may fail, and of a hundred commits five may take longer than a second, over 30 days.
//!
//! Two windows an alert, as the Site Reliability Workbook has them (chapter 5): the long one says that it
//! matters, the short one that it still goes on. At 14.4 times the allowed rate, a fiftieth of what is allowed
//! in 30 days is gone within an hour; at 6 times, a twentieth within six; at 3 times, a tenth within a day; at
//! once the allowed rate, a tenth within three days.

use super::{Alert, Case, Fired, Recorded, Recording, Severity};

const WINDOWS: [&str; 7] = ["5m", "30m", "1h", "2h", "6h", "1d", "3d"];

/// Shares of what went wrong, over each of the windows that the alerts ask for.
pub(super) fn recordings() -> Vec<Recording> {
    // Where nothing has failed yet there is no series of failures: that is 0, as long as there are requests.
    let errors = |window: &str| {
        let all = format!(
            "sum by (CLUSTER) (rate(cairn_http_requests_total{{OF, route=~\"v1/transactions|v2/transactions\"}}[{window}]))"
        );
        let failed = all.replace("transactions\"}", "transactions\", status=~\"5..\"}");
        format!("(\n  {failed}\n  or 0 * {all}\n)\n/ {all}")
    };
    // A bound is written `1` or `1.0`, by the format in which Prometheus reads it.
    let slow = |window: &str| {
        let all =
            format!("sum by (CLUSTER) (rate(cairn_commit_latency_seconds_count{{OF}}[{window}]))");
        let soon = format!(
            "sum by (CLUSTER) (rate(cairn_commit_latency_seconds_bucket{{OF, le=~\"1|1\\\\.0\"}}[{window}]))"
        );
        format!("1 - {soon}\n/ {all}")
    };
    let mut recordings = vec![];
    for window in WINDOWS {
        recordings.push(Recording {
            name: format!("cairn:write_errors:ratio_rate{window}"),
            expression: errors(window),
            cases: if window == "5m" { ERRORS } else { &[] },
        });
    }
    for window in WINDOWS {
        recordings.push(Recording {
            name: format!("cairn:slow_commits:ratio_rate{window}"),
            expression: slow(window),
            cases: if window == "5m" { SLOW } else { &[] },
        });
    }
    recordings
}

const ERRORS: &[Recorded] = &[
    Recorded {
        step: "1m",
        series: &[
            (
                "cairn_http_requests_total{alice, route=\"v2/transactions\", status=\"202\"}",
                "0+90x20",
            ),
            (
                "cairn_http_requests_total{alice, route=\"v2/transactions\", status=\"503\"}",
                "0+5x20",
            ),
            ("cairn_http_requests_total{bob, route=\"v1/transactions\", status=\"202\"}", "0+5x20"),
            ("cairn_http_requests_total{bob, route=\"v2/assets\", status=\"500\"}", "0+50x20"),
        ],
        at: "15m",
        labels: &[],
        value: 0.05,
    },
    Recorded {
        step: "1m",
        series: &[(
            "cairn_http_requests_total{alice, route=\"v2/transactions\", status=\"202\"}",
            "0+90x20",
        )],
        at: "15m",
        labels: &[],
        value: 0.0,
    },
];

const SLOW: &[Recorded] = &[
    Recorded {
        step: "1m",
        series: &[
            ("cairn_commit_latency_seconds_bucket{alice, le=\"1.0\"}", "0+75x20"),
            ("cairn_commit_latency_seconds_count{alice}", "0+100x20"),
        ],
        at: "15m",
        labels: &[],
        value: 0.25,
    },
    Recorded {
        step: "1m",
        series: &[
            ("cairn_commit_latency_seconds_bucket{alice, le=\"1\"}", "0+100x20"),
            ("cairn_commit_latency_seconds_count{alice}", "0+100x20"),
        ],
        at: "15m",
        labels: &[],
        value: 0.0,
    },
];

/// For an alert about a cluster.
const fn cluster(value: &'static str) -> Fired {
    Fired { labels: &[], value }
}

pub(super) const ALERTS: &[Alert] = &[
    WRITE_ERRORS_BURN_FAST,
    WRITE_ERRORS_BURN_SLOW,
    COMMIT_LATENCY_BURN_FAST,
    COMMIT_LATENCY_BURN_SLOW,
];

const WRITE_ERRORS_BURN_FAST: Alert = Alert {
    name: "CairnWriteErrorsBurnFast",
    severity: Severity::Critical,
    lasting: "2m",
    // One failure of the three requests of a quiet night wakes nobody.
    expression: "
        (
          cairn:write_errors:ratio_rate1h{OF} > 14.4 * 0.001 and cairn:write_errors:ratio_rate5m{OF} > 14.4 * 0.001
          or
          cairn:write_errors:ratio_rate6h{OF} > 6 * 0.001 and cairn:write_errors:ratio_rate30m{OF} > 6 * 0.001
        )
        and on (CLUSTER) sum by (CLUSTER) (
          increase(cairn_http_requests_total{OF, route=~\"v1/transactions|v2/transactions\", status=~\"5..\"}[1h])
        ) > 10
    ",
    of_one: None,
    summary: "{{ $value | humanizePercentage }} of the writes to {{ $labels.namespace }}/{{ $labels.cairndb_io_cluster }} fail",
    description: "Requests that bring transactions are answered with a 5xx, so often that what is allowed for 30 days (one in a thousand) is gone within days. Clients that try again may get through.",
    cases: &[
        Case {
            why: "one in ten for an hour",
            step: "1m",
            series: &[
                ("cairn_http_requests_total{alice, route=\"v2/transactions\", status=\"202\"}", "0+90x90"),
                ("cairn_http_requests_total{alice, route=\"v2/transactions\", status=\"503\"}", "0+10x90"),
            ],
            at: "75m",
            fires: &[cluster("10%")],
        },
        Case {
            why: "it is over: the short window says so",
            step: "1m",
            series: &[
                ("cairn_http_requests_total{alice, route=\"v2/transactions\", status=\"202\"}", "0+90x90"),
                ("cairn_http_requests_total{alice, route=\"v2/transactions\", status=\"503\"}", "0+10x30 300+0x60"),
            ],
            at: "75m",
            fires: &[],
        },
        Case {
            why: "half of four requests",
            step: "1m",
            series: &[
                ("cairn_http_requests_total{alice, route=\"v2/transactions\", status=\"202\"}", "0+0x50 1+0x4 2+0x30"),
                ("cairn_http_requests_total{alice, route=\"v2/transactions\", status=\"503\"}", "0+0x50 1+0x4 2+0x30"),
            ],
            at: "58m",
            fires: &[],
        },
        Case {
            why: "five of hundreds, and a rate that would burn",
            step: "1m",
            series: &[
                ("cairn_http_requests_total{alice, route=\"v2/transactions\", status=\"202\"}", "0+3x90"),
                ("cairn_http_requests_total{alice, route=\"v2/transactions\", status=\"503\"}", "0+0x60 1+1x4 5+0x20"),
            ],
            at: "67m",
            fires: &[],
        },
        Case {
            why: "what clients did wrong is no failure of ours",
            step: "1m",
            series: &[
                ("cairn_http_requests_total{alice, route=\"v2/transactions\", status=\"202\"}", "0+10x90"),
                ("cairn_http_requests_total{alice, route=\"v2/transactions\", status=\"400\"}", "0+90x90"),
                ("cairn_http_requests_total{alice, route=\"v2/transactions\", status=\"429\"}", "0+90x90"),
            ],
            at: "75m",
            fires: &[],
        },
    ],
};

const WRITE_ERRORS_BURN_SLOW: Alert = Alert {
    name: "CairnWriteErrorsBurnSlow",
    severity: Severity::Warning,
    lasting: "15m",
    expression: "
        (
          cairn:write_errors:ratio_rate1d{OF} > 3 * 0.001 and cairn:write_errors:ratio_rate2h{OF} > 3 * 0.001
          or
          cairn:write_errors:ratio_rate3d{OF} > 0.001 and cairn:write_errors:ratio_rate6h{OF} > 0.001
        )
        and on (CLUSTER) sum by (CLUSTER) (
          increase(cairn_http_requests_total{OF, route=~\"v1/transactions|v2/transactions\", status=~\"5..\"}[1d])
        ) > 10
    ",
    of_one: None,
    summary: "{{ $value | humanizePercentage }} of the writes to {{ $labels.namespace }}/{{ $labels.cairndb_io_cluster }} have failed for hours",
    description: "Requests that bring transactions are answered with a 5xx more often than the one in a thousand that is allowed. Few notice, and it does not end by itself.",
    cases: &[
        Case {
            why: "four of a thousand, all day",
            step: "10m",
            series: &[
                ("cairn_http_requests_total{alice, route=\"v2/transactions\", status=\"202\"}", "0+4980x160"),
                ("cairn_http_requests_total{alice, route=\"v2/transactions\", status=\"503\"}", "0+20x160"),
            ],
            at: "26h",
            fires: &[cluster("0.4%")],
        },
        Case {
            why: "four of a few",
            step: "10m",
            series: &[
                (
                    "cairn_http_requests_total{alice, route=\"v2/transactions\", status=\"202\"}",
                    "0+1x160",
                ),
                (
                    "cairn_http_requests_total{alice, route=\"v2/transactions\", status=\"503\"}",
                    "0+0x140 1+1x3 4+0x20",
                ),
            ],
            at: "26h",
            fires: &[],
        },
        Case {
            why: "four of ten thousand",
            step: "10m",
            series: &[
                ("cairn_http_requests_total{alice, route=\"v2/transactions\", status=\"202\"}", "0+4998x160"),
                ("cairn_http_requests_total{alice, route=\"v2/transactions\", status=\"503\"}", "0+2x160"),
            ],
            at: "26h",
            fires: &[],
        },
    ],
};

const COMMIT_LATENCY_BURN_FAST: Alert = Alert {
    name: "CairnCommitLatencyBurnFast",
    severity: Severity::Critical,
    lasting: "2m",
    expression: "
        (
          cairn:slow_commits:ratio_rate1h{OF} > 14.4 * 0.05 and cairn:slow_commits:ratio_rate5m{OF} > 14.4 * 0.05
          or
          cairn:slow_commits:ratio_rate6h{OF} > 6 * 0.05 and cairn:slow_commits:ratio_rate30m{OF} > 6 * 0.05
        )
        and on (CLUSTER) sum by (CLUSTER) (increase(cairn_commit_latency_seconds_count{OF}[1h])) > 100
    ",
    of_one: None,
    summary: "{{ $value | humanizePercentage }} of the commits of {{ $labels.namespace }}/{{ $labels.cairndb_io_cluster }} take longer than a second",
    description: "Everybody who writes waits. What is allowed for 30 days (five of a hundred) is gone within days.",
    cases: &[
        Case {
            why: "nine of ten",
            step: "1m",
            series: &[
                ("cairn_commit_latency_seconds_bucket{alice, le=\"1.0\"}", "0+1x90"),
                ("cairn_commit_latency_seconds_count{alice}", "0+10x90"),
            ],
            at: "75m",
            fires: &[cluster("90%")],
        },
        Case {
            why: "a proposer that is down delays one block in four",
            step: "1m",
            series: &[
                ("cairn_commit_latency_seconds_bucket{alice, le=\"1.0\"}", "0+75x90"),
                ("cairn_commit_latency_seconds_count{alice}", "0+100x90"),
            ],
            at: "75m",
            fires: &[],
        },
        Case {
            why: "a quiet night",
            step: "1m",
            series: &[
                ("cairn_commit_latency_seconds_bucket{alice, le=\"1.0\"}", "0+0x90"),
                ("cairn_commit_latency_seconds_count{alice}", "0+1x90"),
            ],
            at: "75m",
            fires: &[],
        },
    ],
};

const COMMIT_LATENCY_BURN_SLOW: Alert = Alert {
    name: "CairnCommitLatencyBurnSlow",
    severity: Severity::Warning,
    lasting: "15m",
    expression: "
        (
          cairn:slow_commits:ratio_rate1d{OF} > 3 * 0.05 and cairn:slow_commits:ratio_rate2h{OF} > 3 * 0.05
          or
          cairn:slow_commits:ratio_rate3d{OF} > 0.05 and cairn:slow_commits:ratio_rate6h{OF} > 0.05
        )
        and on (CLUSTER) sum by (CLUSTER) (increase(cairn_commit_latency_seconds_count{OF}[1d])) > 100
    ",
    of_one: None,
    summary: "{{ $value | humanizePercentage }} of the commits of {{ $labels.namespace }}/{{ $labels.cairndb_io_cluster }} have taken longer than a second for hours",
    description: "That is more than the five of a hundred that are allowed, and it does not end by itself.",
    cases: &[
        Case {
            why: "a quarter, all day",
            step: "10m",
            series: &[
                ("cairn_commit_latency_seconds_bucket{alice, le=\"1.0\"}", "0+75x160"),
                ("cairn_commit_latency_seconds_count{alice}", "0+100x160"),
            ],
            at: "26h",
            fires: &[cluster("25%")],
        },
        Case {
            why: "a few, after a quiet day",
            step: "10m",
            series: &[
                ("cairn_commit_latency_seconds_bucket{alice, le=\"1.0\"}", "0+0x160"),
                ("cairn_commit_latency_seconds_count{alice}", "0+0x100 1+1x60"),
            ],
            at: "26h",
            fires: &[],
        },
        Case {
            why: "three of a hundred",
            step: "10m",
            series: &[
                ("cairn_commit_latency_seconds_bucket{alice, le=\"1.0\"}", "0+97x160"),
                ("cairn_commit_latency_seconds_count{alice}", "0+100x160"),
            ],
            at: "26h",
            fires: &[],
        },
    ],
};
