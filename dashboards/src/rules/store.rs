//! Alerts about TiKV, where log or state are in it. Without it they stay silent.

use super::{Alert, Case, Fired, Severity};

/// For an alert about Alice.
const fn alice(value: &'static str) -> Fired {
    Fired { labels: &[("cairndb_io_validator", "alice")], value }
}

pub(super) const ALERTS: &[Alert] = &[STORE_UNREACHABLE, STORE_DAMAGED, TIKV_ERRORS];

const STORE_UNREACHABLE: Alert = Alert {
    name: "CairnStoreUnreachable",
    severity: Severity::Critical,
    lasting: "5m",
    expression: "
        max by (VALIDATOR) (cairn_store_reachable{OF}) == 0
        and on (VALIDATOR) max by (VALIDATOR) (cairn_validators{OF}) > 0
    ",
    of_one: None,
    summary: "TiKV does not answer {{ $labels.cairndb_io_validator }} of {{ $labels.namespace }}/{{ $labels.cairndb_io_cluster }}",
    description: "It can neither read nor write its state: reads answer STORE_UNAVAILABLE, its vote is missing. Validators that share this TiKV are away together, and then nobody can write. It goes on by itself when TiKV answers.",
    cases: &[
        Case {
            why: "PD is away",
            step: "1m",
            series: &[
                ("cairn_store_reachable{alice}", "1+0x4 0+0x20"),
                ("cairn_validators{alice}", "4+0x25"),
            ],
            at: "15m",
            fires: &[alice("0")],
        },
        Case {
            why: "an election among the stores",
            step: "1m",
            series: &[
                ("cairn_store_reachable{alice}", "1+0x4 0 1+0x20"),
                ("cairn_validators{alice}", "4+0x25"),
            ],
            at: "15m",
            fires: &[],
        },
        Case {
            why: "being founded, when there is no store yet",
            step: "1m",
            series: &[
                ("cairn_store_reachable{alice}", "0+0x20"),
                ("cairn_validators{alice}", "0+0x20"),
            ],
            at: "15m",
            fires: &[],
        },
    ],
};

const STORE_DAMAGED: Alert = Alert {
    name: "CairnStoreDamaged",
    severity: Severity::Critical,
    lasting: "0m",
    expression: "sum by (VALIDATOR) (increase(cairn_store_damaged_rows_total{OF}[1h])) > 0",
    of_one: None,
    summary: "{{ $labels.cairndb_io_validator }} of {{ $labels.namespace }}/{{ $labels.cairndb_io_cluster }} found rows in TiKV that were gone or wrong",
    description: "{{ $value | humanize }} rows within an hour. They were never served, and are written again from the certified blocks; but something else writes to the ledger's keys, or TiKV lost data.",
    cases: &[
        Case {
            why: "the scrub found two",
            step: "1m",
            series: &[("cairn_store_damaged_rows_total{alice}", "0+0x60 2+0x60")],
            at: "70m",
            fires: &[alice("2")],
        },
        Case {
            why: "two were found last week",
            step: "1m",
            series: &[("cairn_store_damaged_rows_total{alice}", "2+0x120")],
            at: "70m",
            fires: &[],
        },
    ],
};

const TIKV_ERRORS: Alert = Alert {
    name: "CairnTikvErrors",
    severity: Severity::Warning,
    lasting: "10m",
    expression: "
        sum by (VALIDATOR) (rate(cairn_tikv_call_seconds_count{OF, outcome=~\"unreachable|bug\"}[10m]))
          / sum by (VALIDATOR) (rate(cairn_tikv_call_seconds_count{OF}[10m])) > 0.05
        unless on (VALIDATOR) max by (VALIDATOR) (cairn_store_reachable{OF}) == 0
    ",
    of_one: None,
    summary: "{{ $value | humanizePercentage }} of the calls of TiKV by {{ $labels.cairndb_io_validator }} of {{ $labels.namespace }}/{{ $labels.cairndb_io_cluster }} fail",
    description: "They are tried again, which makes commits and reads slow. TiKV, or the network on the way to it, is not well.",
    cases: &[
        Case {
            why: "one in ten",
            step: "1m",
            series: &[
                ("cairn_tikv_call_seconds_count{alice, kind=\"get\", outcome=\"yes\"}", "0+90x40"),
                ("cairn_tikv_call_seconds_count{alice, kind=\"get\", outcome=\"unreachable\"}", "0+10x40"),
                ("cairn_store_reachable{alice}", "1+0x40"),
            ],
            at: "30m",
            fires: &[alice("10%")],
        },
        Case {
            why: "one in a hundred, and others that TiKV refused for good reason",
            step: "1m",
            series: &[
                ("cairn_tikv_call_seconds_count{alice, kind=\"get\", outcome=\"yes\"}", "0+80x40"),
                ("cairn_tikv_call_seconds_count{alice, kind=\"insert\", outcome=\"refused\"}", "0+19x40"),
                ("cairn_tikv_call_seconds_count{alice, kind=\"get\", outcome=\"unreachable\"}", "0+1x40"),
                ("cairn_store_reachable{alice}", "1+0x40"),
            ],
            at: "30m",
            fires: &[],
        },
        Case {
            why: "it is away, which another alert says",
            step: "1m",
            series: &[
                ("cairn_tikv_call_seconds_count{alice, kind=\"get\", outcome=\"unreachable\"}", "0+10x40"),
                ("cairn_store_reachable{alice}", "0+0x40"),
            ],
            at: "30m",
            fires: &[],
        },
    ],
};
