//! Alerts about one validator among others: whether it is there, votes, keeps up, and has room for more.

use super::{Alert, Case, Fired, Recorded, Recording, Severity};

/// For an alert about Alice.
const fn alice(value: &'static str) -> Fired {
    Fired { labels: &[("cairndb_io_validator", "alice")], value }
}

/// Kept, because a lag is looked at over time.
pub(super) fn recordings() -> Vec<Recording> {
    vec![Recording {
        name: "cairn:validator_behind:blocks".to_owned(),
        // What it knows itself counts as well: of a federation over several places, Prometheus sees a part.
        expression: "
            clamp_min(
              max by (VALIDATOR) (cairn_best_peer_height{OF}) - max by (VALIDATOR) (cairn_height{OF})
              > max by (CLUSTER) (cairn_height{OF}) - on (CLUSTER) group_right () max by (VALIDATOR) (cairn_height{OF})
              or max by (CLUSTER) (cairn_height{OF}) - on (CLUSTER) group_right () max by (VALIDATOR) (cairn_height{OF}),
              0
            )
        "
        .to_owned(),
        cases: &[
            Recorded {
                step: "1m",
                series: &[
                    ("cairn_height{alice}", "10"),
                    ("cairn_best_peer_height{alice}", "12"),
                    ("cairn_height{bob}", "40"),
                    ("cairn_best_peer_height{bob}", "30"),
                ],
                at: "0m",
                labels: &[("cairndb_io_validator", "alice")],
                value: 30.0,
            },
            Recorded {
                step: "1m",
                series: &[
                    ("cairn_height{alice}", "10"),
                    ("cairn_best_peer_height{alice}", "50"),
                    ("cairn_height{bob}", "10"),
                    ("cairn_best_peer_height{bob}", "3"),
                ],
                at: "0m",
                labels: &[("cairndb_io_validator", "alice")],
                value: 40.0,
            },
        ],
    }]
}

pub(super) const ALERTS: &[Alert] = &[
    VALIDATOR_DOWN,
    VALIDATOR_RESTARTING,
    PEERS_MISSING,
    VALIDATOR_NOT_VOTING,
    VALIDATOR_LAGGING,
    SEARCH_BEHIND,
    PENDING_FULL,
];

const VALIDATOR_DOWN: Alert = Alert {
    name: "CairnValidatorDown",
    severity: Severity::Warning,
    lasting: "5m",
    expression: "
        max by (VALIDATOR) (up{OF, cairndb_io_validator!=\"\"}) == 0
        and on (CLUSTER) max by (CLUSTER) (up{OF, cairndb_io_validator!=\"\"}) == 1
    ",
    of_one: None,
    summary: "{{ $labels.cairndb_io_validator }} of {{ $labels.namespace }}/{{ $labels.cairndb_io_cluster }} does not answer",
    description: "Others of its federation do: it does not run, or Prometheus cannot reach it. The ledger goes on without it as long as there is a quorum.",
    cases: &[
        Case {
            why: "one of two is gone",
            step: "1m",
            series: &[("up{alice}", "1+0x4 0+0x20"), ("up{bob}", "1+0x25")],
            at: "15m",
            fires: &[alice("0")],
        },
        Case {
            why: "all are gone, which another alert says",
            step: "1m",
            series: &[("up{alice}", "0+0x20"), ("up{bob}", "0+0x20")],
            at: "15m",
            fires: &[],
        },
        Case {
            why: "restarted within a minute or two",
            step: "1m",
            series: &[("up{alice}", "1+0x4 0 0 1+0x20"), ("up{bob}", "1+0x25")],
            at: "12m",
            fires: &[],
        },
        Case {
            why: "a pod that was moved has another address",
            step: "1m",
            series: &[
                ("up{alice, pod=\"old\"}", "0+0x20"),
                ("up{alice, pod=\"new\"}", "1+0x20"),
                ("up{bob}", "1+0x25"),
            ],
            at: "15m",
            fires: &[],
        },
    ],
};

const VALIDATOR_RESTARTING: Alert = Alert {
    name: "CairnValidatorRestarting",
    severity: Severity::Warning,
    lasting: "0m",
    expression: "max by (VALIDATOR) (changes(process_start_time_seconds{OF, cairndb_io_validator!=\"\"}[1h])) > 3",
    of_one: None,
    summary: "{{ $labels.cairndb_io_validator }} of {{ $labels.namespace }}/{{ $labels.cairndb_io_cluster }} restarts again and again",
    description: "Its process ended and began anew {{ $value | humanize }} times within an hour. Its exit code says why.",
    cases: &[
        Case {
            why: "every few minutes",
            step: "5m",
            series: &[(
                "process_start_time_seconds{alice}",
                "100 100 200 300 300 400 500 500 600 600",
            )],
            at: "45m",
            fires: &[alice("5")],
        },
        Case {
            why: "an update, and a node that was drained",
            step: "5m",
            series: &[(
                "process_start_time_seconds{alice}",
                "100 100 100 300 300 300 500 500 500 500",
            )],
            at: "45m",
            fires: &[],
        },
    ],
};

const PEERS_MISSING: Alert = Alert {
    name: "CairnPeersMissing",
    severity: Severity::Warning,
    lasting: "10m",
    // Those who miss most: of four, the one that is cut off, and not the three that miss it. A validator
    // that is known to be down is missed by all, and another alert names it.
    expression: "
        (
          max by (VALIDATOR) (cairn_validators{OF} - 1 - cairn_peers_connected{OF}) > 0
          and on (VALIDATOR) max by (VALIDATOR) (cairn_validators{OF} - 1 - cairn_peers_connected{OF})
            == on (CLUSTER) group_left () max by (CLUSTER) (cairn_validators{OF} - 1 - cairn_peers_connected{OF})
        )
        unless on (CLUSTER) up{OF, cairndb_io_validator!=\"\"} == 0
    ",
    of_one: None,
    summary: "{{ $labels.cairndb_io_validator }} of {{ $labels.namespace }}/{{ $labels.cairndb_io_cluster }} is not connected with {{ $value }} others",
    description: "No validator here is known to be down: the network between them is cut, or a member elsewhere is away. Each validator that is missed counts as lost.",
    cases: &[
        Case {
            why: "one of three is cut off, and is the one that is named",
            step: "1m",
            series: &[
                ("up{alice}", "1+0x30"),
                ("up{bob}", "1+0x30"),
                ("up{carol}", "1+0x30"),
                ("cairn_validators{alice}", "3+0x30"),
                ("cairn_validators{bob}", "3+0x30"),
                ("cairn_validators{carol}", "3+0x30"),
                ("cairn_peers_connected{alice}", "2+0x4 0+0x25"),
                ("cairn_peers_connected{bob}", "2+0x4 1+0x25"),
                ("cairn_peers_connected{carol}", "2+0x4 1+0x25"),
            ],
            at: "20m",
            fires: &[alice("2")],
        },
        Case {
            why: "a member elsewhere is away",
            step: "1m",
            series: &[
                ("up{alice}", "1+0x30"),
                ("cairn_validators{alice}", "4+0x30"),
                ("cairn_peers_connected{alice}", "2+0x30"),
            ],
            at: "20m",
            fires: &[alice("1")],
        },
        Case {
            why: "one is down, and everybody misses it",
            step: "1m",
            series: &[
                ("up{alice}", "1+0x30"),
                ("up{bob}", "0+0x30"),
                ("cairn_validators{alice}", "2+0x30"),
                ("cairn_peers_connected{alice}", "0+0x30"),
            ],
            at: "20m",
            fires: &[],
        },
        Case {
            why: "being founded",
            step: "1m",
            series: &[
                ("up{alice}", "1+0x30"),
                ("cairn_validators{alice}", "0+0x30"),
                ("cairn_peers_connected{alice}", "0+0x30"),
            ],
            at: "20m",
            fires: &[],
        },
        Case {
            why: "a federation of one",
            step: "1m",
            series: &[
                ("up{alice}", "1+0x30"),
                ("cairn_validators{alice}", "1+0x30"),
                ("cairn_peers_connected{alice}", "0+0x30"),
            ],
            at: "20m",
            fires: &[],
        },
    ],
};

const VALIDATOR_NOT_VOTING: Alert = Alert {
    name: "CairnValidatorNotVoting",
    severity: Severity::Warning,
    lasting: "10m",
    expression: "
        max by (VALIDATOR) (cairn_voting{OF}) == 0
        and on (VALIDATOR) max by (VALIDATOR) (cairn_validators{OF}) > 0
    ",
    of_one: None,
    summary: "{{ $labels.cairndb_io_validator }} of {{ $labels.namespace }}/{{ $labels.cairndb_io_cluster }} does not vote",
    description: "It follows the chain and signs nothing: its voting power counts as lost. Its /status says why.",
    cases: &[
        Case {
            why: "a volume was lost, and with it the key",
            step: "1m",
            series: &[("cairn_voting{alice}", "0+0x30"), ("cairn_validators{alice}", "4+0x30")],
            at: "15m",
            fires: &[alice("0")],
        },
        Case {
            why: "it catches up after a restart",
            step: "1m",
            series: &[
                ("cairn_voting{alice}", "0+0x5 1+0x30"),
                ("cairn_validators{alice}", "4+0x30"),
            ],
            at: "15m",
            fires: &[],
        },
        Case {
            why: "being founded",
            step: "1m",
            series: &[("cairn_voting{alice}", "0+0x30"), ("cairn_validators{alice}", "0+0x30")],
            at: "15m",
            fires: &[],
        },
    ],
};

const VALIDATOR_LAGGING: Alert = Alert {
    name: "CairnValidatorLagging",
    severity: Severity::Warning,
    lasting: "10m",
    // One that comes nearer will be there. One that reaches no quorum is cut off, which is another alert.
    expression: "
        cairn:validator_behind:blocks{OF} > 100
        unless on (VALIDATOR) delta(cairn:validator_behind:blocks{OF}[10m]) < 0
        unless on (VALIDATOR) max by (VALIDATOR) (cairn_quorum_margin{OF}) < 0
    ",
    of_one: None,
    summary: "{{ $labels.cairndb_io_validator }} of {{ $labels.namespace }}/{{ $labels.cairndb_io_cluster }} is {{ $value }} blocks behind",
    description: "It reaches the others and does not come nearer: its disk, its CPU or its network is too slow. Reads there are old, and its vote comes too late to count.",
    cases: &[
        Case {
            why: "it falls behind",
            step: "1m",
            series: &[
                ("cairn_height{alice}", "1000+30x40"),
                ("cairn_best_peer_height{alice}", "1000+60x40"),
                ("cairn_height{bob}", "1000+60x40"),
                ("cairn_best_peer_height{bob}", "1000+60x40"),
                ("cairn_quorum_margin{alice}", "1+0x40"),
            ],
            at: "30m",
            fires: &[alice("900")],
        },
        Case {
            why: "it was away and catches up",
            step: "1m",
            series: &[
                ("cairn_height{alice}", "0+200x40"),
                ("cairn_best_peer_height{alice}", "100000+60x40"),
                ("cairn_height{bob}", "100000+60x40"),
                ("cairn_best_peer_height{bob}", "100000+60x40"),
                ("cairn_quorum_margin{alice}", "1+0x40"),
            ],
            at: "30m",
            fires: &[],
        },
        Case {
            why: "it is cut off",
            step: "1m",
            series: &[
                ("cairn_height{alice}", "1000+0x40"),
                ("cairn_best_peer_height{alice}", "1000+0x40"),
                ("cairn_height{bob}", "1000+60x40"),
                ("cairn_best_peer_height{bob}", "1000+60x40"),
                ("cairn_quorum_margin{alice}", "-1+0x40"),
            ],
            at: "30m",
            fires: &[],
        },
    ],
};

const SEARCH_BEHIND: Alert = Alert {
    name: "CairnSearchBehind",
    severity: Severity::Warning,
    lasting: "15m",
    expression: "
        max by (VALIDATOR) (cairn_height{OF} offset 15m) - on (VALIDATOR) max by (VALIDATOR) (cairn_search_height{OF}) > 0
    ",
    of_one: None,
    summary: "Searches at {{ $labels.cairndb_io_validator }} of {{ $labels.namespace }}/{{ $labels.cairndb_io_cluster }} are more than 15 minutes behind",
    description: "{{ $value }} blocks that are older than that are not in its search index yet: /api/v1/assets, /api/v1/metadata and filters do not find what is in them. Everything else is as it should be.",
    cases: &[
        Case {
            why: "the index stands still",
            step: "1m",
            series: &[("cairn_height{alice}", "100+10x60"), ("cairn_search_height{alice}", "100+0x60")],
            at: "40m",
            fires: &[alice("250")],
        },
        Case {
            why: "a minute behind under load",
            step: "1m",
            series: &[("cairn_height{alice}", "100+10x60"), ("cairn_search_height{alice}", "90+10x60")],
            at: "40m",
            fires: &[],
        },
        Case {
            why: "idle",
            step: "1m",
            series: &[("cairn_height{alice}", "100+0x60"), ("cairn_search_height{alice}", "100+0x60")],
            at: "40m",
            fires: &[],
        },
    ],
};

const PENDING_FULL: Alert = Alert {
    name: "CairnPendingFull",
    severity: Severity::Warning,
    lasting: "5m",
    expression: "
        max by (VALIDATOR) (cairn_pending_transactions{OF} / cairn_pending_transactions_max{OF}) > 0.8
        or max by (VALIDATOR) (cairn_pending_bytes{OF} / cairn_pending_bytes_max{OF}) > 0.8
    ",
    of_one: None,
    summary: "The waiting room of {{ $labels.cairndb_io_validator }} of {{ $labels.namespace }}/{{ $labels.cairndb_io_cluster }} is {{ $value | humanizePercentage }} full",
    description: "More transactions arrive there than are decided. When it is full, clients are told POOL_FULL (503) and have to come back.",
    cases: &[
        Case {
            why: "by number",
            step: "1m",
            series: &[
                ("cairn_pending_transactions{alice}", "45000+0x20"),
                ("cairn_pending_transactions_max{alice}", "50000+0x20"),
                ("cairn_pending_bytes{alice}", "1000000+0x20"),
                ("cairn_pending_bytes_max{alice}", "67108864+0x20"),
            ],
            at: "10m",
            fires: &[alice("90%")],
        },
        Case {
            why: "by size",
            step: "1m",
            series: &[
                ("cairn_pending_transactions{alice}", "1000+0x20"),
                ("cairn_pending_transactions_max{alice}", "50000+0x20"),
                ("cairn_pending_bytes{alice}", "60397977+0x20"),
                ("cairn_pending_bytes_max{alice}", "67108864+0x20"),
            ],
            at: "10m",
            fires: &[alice("90%")],
        },
        Case {
            why: "a burst",
            step: "1m",
            series: &[
                ("cairn_pending_transactions{alice}", "0 45000 47000 100+0x20"),
                ("cairn_pending_transactions_max{alice}", "50000+0x20"),
            ],
            at: "10m",
            fires: &[],
        },
        Case {
            why: "being founded, when there is no waiting room",
            step: "1m",
            series: &[
                ("cairn_pending_transactions{alice}", "0+0x20"),
                ("cairn_pending_transactions_max{alice}", "0+0x20"),
                ("cairn_pending_bytes{alice}", "0+0x20"),
                ("cairn_pending_bytes_max{alice}", "0+0x20"),
            ],
            at: "10m",
            fires: &[],
        },
    ],
};
