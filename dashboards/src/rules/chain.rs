//! Alerts about a federation as a whole: whether it decides, how much it can lose, and whether anybody lies.

use super::{Alert, Case, Fired, Severity};

/// For an alert about a cluster.
const fn cluster(value: &'static str) -> Fired {
    Fired { labels: &[], value }
}

pub(super) const ALERTS: &[Alert] = &[
    NO_VALIDATORS,
    NO_QUORUM,
    NO_LEADER,
    QUORUM_AT_RISK,
    CHAIN_STALLED,
    ROUNDS_HIGH,
    VOTE_LATENCY_HIGH,
    DOUBLE_SIGN,
];

const NO_VALIDATORS: Alert = Alert {
    name: "CairnNoValidators",
    severity: Severity::Critical,
    lasting: "5m",
    expression: "
        count by (CLUSTER) (up{OF, cairndb_io_validator!=\"\"} == 0)
        unless on (CLUSTER) (up{OF, cairndb_io_validator!=\"\"} == 1)
    ",
    // Of a cluster with a name, the targets may be missed as well.
    of_one: Some("absent(cairn_build_info{OF})"),
    summary: "No validator of {{ $labels.namespace }}/{{ $labels.cairndb_io_cluster }} answers",
    description: "Prometheus reads the metrics of no validator: none runs, or none can be reached. Nobody can write or read.",
    cases: &[
        Case {
            why: "all four are gone",
            step: "1m",
            series: &[
                ("up{alice}", "1+0x5 0+0x20"),
                ("up{bob}", "1+0x5 0+0x20"),
                ("cairn_build_info{alice}", "1+0x5 stale"),
                ("cairn_build_info{bob}", "1+0x5 stale"),
            ],
            at: "15m",
            fires: &[cluster("2")],
        },
        Case {
            why: "one of them answers",
            step: "1m",
            series: &[
                ("up{alice}", "1+0x5 0+0x20"),
                ("up{bob}", "1+0x25"),
                ("cairn_build_info{bob}", "1+0x25"),
            ],
            at: "15m",
            fires: &[],
        },
    ],
};

const NO_QUORUM: Alert = Alert {
    name: "CairnNoQuorum",
    severity: Severity::Critical,
    lasting: "2m",
    expression: "
        max by (CLUSTER) (cairn_voting_power{OF}) - max by (CLUSTER) (cairn_voting_power_reachable{OF})
        and on (CLUSTER) max by (CLUSTER) (cairn_quorum_margin{OF}) < 0
        and on (CLUSTER) max by (CLUSTER) (cairn_voting_power{OF}) > 0
    ",
    of_one: None,
    summary: "Validators of {{ $labels.namespace }}/{{ $labels.cairndb_io_cluster }} see no quorum",
    description: "No validator reaches others with more than two thirds of the voting power; the one that reaches most misses {{ $value }}. Nothing is decided until they are back: clients cannot write, reading goes on.",
    cases: &[
        Case {
            why: "two of four are gone",
            step: "1m",
            series: &[
                ("cairn_voting_power{alice}", "4+0x20"),
                ("cairn_voting_power{bob}", "4+0x20"),
                ("cairn_voting_power_reachable{alice}", "4+0x4 2+0x16"),
                ("cairn_voting_power_reachable{bob}", "4+0x4 2+0x16"),
                ("cairn_quorum_margin{alice}", "1+0x4 -1+0x16"),
                ("cairn_quorum_margin{bob}", "1+0x4 -1+0x16"),
            ],
            at: "10m",
            fires: &[cluster("2")],
        },
        Case {
            why: "one is cut off: the others see a quorum, and power counts rather than heads",
            step: "1m",
            series: &[
                ("cairn_voting_power{alice}", "9+0x20"),
                ("cairn_voting_power{bob}", "9+0x20"),
                ("cairn_voting_power_reachable{alice}", "1+0x20"),
                ("cairn_voting_power_reachable{bob}", "8+0x20"),
                ("cairn_quorum_margin{alice}", "-1+0x20"),
                ("cairn_quorum_margin{bob}", "0+0x20"),
            ],
            at: "10m",
            fires: &[],
        },
        Case {
            why: "being founded, for as long as that takes",
            step: "1m",
            series: &[
                ("cairn_voting_power{alice}", "0+0x20"),
                ("cairn_voting_power_reachable{alice}", "0+0x20"),
                ("cairn_quorum_margin{alice}", "-1+0x20"),
            ],
            at: "15m",
            fires: &[],
        },
    ],
};

const NO_LEADER: Alert = Alert {
    name: "CairnNoLeader",
    severity: Severity::Critical,
    lasting: "2m",
    expression: "
        max by (CLUSTER) (cairn_voting_power_reachable{OF})
        and on (CLUSTER) max by (CLUSTER) (cairn_order_has_leader{OF}) == 0
        and on (CLUSTER) max by (CLUSTER) (cairn_quorum_margin{OF}) >= 0
        and on (CLUSTER) max by (CLUSTER) (cairn_voting_power{OF}) > 0
    ",
    of_one: None,
    summary: "Nobody leads the log of {{ $labels.namespace }}/{{ $labels.cairndb_io_cluster }}",
    description: "Validators with {{ $value }} of the voting power reach each other, and none of them knows who leads the log: new transactions are not ordered, clients cannot write.",
    cases: &[
        Case {
            why: "a quorum, and no leader",
            step: "1m",
            series: &[
                ("cairn_voting_power{alice}", "4+0x20"),
                ("cairn_voting_power_reachable{alice}", "3+0x20"),
                ("cairn_quorum_margin{alice}", "0+0x20"),
                ("cairn_order_has_leader{alice}", "1+0x4 0+0x16"),
                ("cairn_order_has_leader{bob}", "1+0x4 0+0x16"),
            ],
            at: "10m",
            fires: &[cluster("3")],
        },
        Case {
            why: "one validator that lost its log sees none, the others do",
            step: "1m",
            series: &[
                ("cairn_voting_power{alice}", "4+0x20"),
                ("cairn_voting_power_reachable{alice}", "4+0x20"),
                ("cairn_quorum_margin{alice}", "1+0x20"),
                ("cairn_order_has_leader{alice}", "0+0x20"),
                ("cairn_order_has_leader{bob}", "1+0x20"),
            ],
            at: "10m",
            fires: &[],
        },
        Case {
            why: "without a quorum there is no leader either, and that is another alert",
            step: "1m",
            series: &[
                ("cairn_voting_power{alice}", "4+0x20"),
                ("cairn_voting_power_reachable{alice}", "2+0x20"),
                ("cairn_quorum_margin{alice}", "-1+0x20"),
                ("cairn_order_has_leader{alice}", "0+0x20"),
            ],
            at: "10m",
            fires: &[],
        },
    ],
};

const QUORUM_AT_RISK: Alert = Alert {
    name: "CairnQuorumAtRisk",
    severity: Severity::Warning,
    lasting: "10m",
    // One that is there and does not vote is counted by all but itself.
    expression: "
        (
          min by (CLUSTER) (cairn_voting_power{OF} - cairn_voting_power_reachable{OF}) > 0
          and on (CLUSTER) max by (CLUSTER) (cairn_quorum_margin{OF}) == 0
        )
        or max by (CLUSTER) (
          cairn_voting_power{OF} - cairn_voting_power_reachable{OF} > 0
          and on (VALIDATOR) cairn_voting{OF} == 0
          and on (VALIDATOR) cairn_quorum_margin{OF} == 0
        )
    ",
    of_one: None,
    summary: "One more loss stops {{ $labels.namespace }}/{{ $labels.cairndb_io_cluster }}",
    description: "Voting power of {{ $value }} is missing, and what is left is a quorum only as long as everybody stays: if one more validator is lost, nothing is decided.",
    cases: &[
        Case {
            why: "one of four is gone",
            step: "1m",
            series: &[
                ("cairn_voting_power{alice}", "4+0x20"),
                ("cairn_voting_power{bob}", "4+0x20"),
                ("cairn_voting_power_reachable{alice}", "3+0x20"),
                ("cairn_voting_power_reachable{bob}", "3+0x20"),
                ("cairn_quorum_margin{alice}", "0+0x20"),
                ("cairn_quorum_margin{bob}", "0+0x20"),
            ],
            at: "15m",
            fires: &[cluster("1")],
        },
        Case {
            why: "one of four is there and does not vote, which only it knows",
            step: "1m",
            series: &[
                ("cairn_voting_power{alice}", "4+0x20"),
                ("cairn_voting_power{bob}", "4+0x20"),
                ("cairn_voting_power_reachable{alice}", "3+0x20"),
                ("cairn_voting_power_reachable{bob}", "4+0x20"),
                ("cairn_quorum_margin{alice}", "0+0x20"),
                ("cairn_quorum_margin{bob}", "1+0x20"),
                ("cairn_voting{alice}", "0+0x20"),
                ("cairn_voting{bob}", "1+0x20"),
            ],
            at: "15m",
            fires: &[cluster("1")],
        },
        Case {
            why: "two miss each other only, and the rest reaches all",
            step: "1m",
            series: &[
                ("cairn_voting_power{alice}", "4+0x20"),
                ("cairn_voting_power{bob}", "4+0x20"),
                ("cairn_voting_power_reachable{alice}", "3+0x20"),
                ("cairn_voting_power_reachable{bob}", "4+0x20"),
                ("cairn_quorum_margin{alice}", "0+0x20"),
                ("cairn_quorum_margin{bob}", "1+0x20"),
                ("cairn_voting{alice}", "1+0x20"),
                ("cairn_voting{bob}", "1+0x20"),
            ],
            at: "15m",
            fires: &[],
        },
        Case {
            why: "one of seven does not vote",
            step: "1m",
            series: &[
                ("cairn_voting_power{alice}", "7+0x20"),
                ("cairn_voting_power{bob}", "7+0x20"),
                ("cairn_voting_power_reachable{alice}", "6+0x20"),
                ("cairn_voting_power_reachable{bob}", "7+0x20"),
                ("cairn_quorum_margin{alice}", "1+0x20"),
                ("cairn_quorum_margin{bob}", "2+0x20"),
                ("cairn_voting{alice}", "0+0x20"),
                ("cairn_voting{bob}", "1+0x20"),
            ],
            at: "15m",
            fires: &[],
        },
        Case {
            why: "three validators never have one to spare",
            step: "1m",
            series: &[
                ("cairn_voting_power{alice}", "3+0x20"),
                ("cairn_voting_power_reachable{alice}", "3+0x20"),
                ("cairn_quorum_margin{alice}", "0+0x20"),
            ],
            at: "15m",
            fires: &[],
        },
        Case {
            why: "one of seven is gone, and another one may go",
            step: "1m",
            series: &[
                ("cairn_voting_power{alice}", "7+0x20"),
                ("cairn_voting_power_reachable{alice}", "6+0x20"),
                ("cairn_quorum_margin{alice}", "1+0x20"),
            ],
            at: "15m",
            fires: &[],
        },
        Case {
            why: "an update restarts one after the other",
            step: "1m",
            series: &[
                ("cairn_voting_power{alice}", "4+0x30"),
                (
                    "cairn_voting_power_reachable{alice}",
                    "3 3 4 3 3 4 3 3 4 3 3 4 3 3 4 3 3 4 3 3 4",
                ),
                ("cairn_quorum_margin{alice}", "0 0 1 0 0 1 0 0 1 0 0 1 0 0 1 0 0 1 0 0 1"),
            ],
            at: "19m",
            fires: &[],
        },
    ],
};

const CHAIN_STALLED: Alert = Alert {
    name: "CairnChainStalled",
    severity: Severity::Critical,
    lasting: "3m",
    expression: "
        sum by (CLUSTER) (
          max by (VALIDATOR) (cairn_pending_transactions{OF}) > 0
          and on (VALIDATOR) max by (VALIDATOR) (cairn_quorum_margin{OF}) >= 0
          and on (VALIDATOR) max by (VALIDATOR) (cairn_store_reachable{OF}) == 1
        )
        and on (CLUSTER) max by (CLUSTER) (cairn_order_has_leader{OF}) == 1
        and on (CLUSTER) (
          max by (CLUSTER) (cairn_height{OF}) == max by (CLUSTER) (cairn_height{OF} offset 2m)
        )
    ",
    of_one: None,
    summary: "The chain of {{ $labels.namespace }}/{{ $labels.cairndb_io_cluster }} stands still",
    description: "{{ $value }} transactions wait, validators reach a quorum and know who leads the log, and still no block was decided for five minutes: clients cannot write.",
    cases: &[
        Case {
            why: "transactions wait, and nothing is decided",
            step: "1m",
            series: &[
                ("cairn_pending_transactions{alice}", "7+0x20"),
                ("cairn_quorum_margin{alice}", "1+0x20"),
                ("cairn_store_reachable{alice}", "1+0x20"),
                ("cairn_order_has_leader{alice}", "1+0x20"),
                ("cairn_height{alice}", "40+1x4 44+0x20"),
                ("cairn_height{bob}", "40+1x4 44+0x20"),
            ],
            at: "12m",
            fires: &[cluster("7")],
        },
        Case {
            why: "an idle chain stands still as well",
            step: "1m",
            series: &[
                ("cairn_pending_transactions{alice}", "0+0x20"),
                ("cairn_quorum_margin{alice}", "1+0x20"),
                ("cairn_store_reachable{alice}", "1+0x20"),
                ("cairn_order_has_leader{alice}", "1+0x20"),
                ("cairn_height{alice}", "44+0x20"),
            ],
            at: "12m",
            fires: &[],
        },
        Case {
            why: "the store is away, which another alert says",
            step: "1m",
            series: &[
                ("cairn_pending_transactions{alice}", "7+0x20"),
                ("cairn_quorum_margin{alice}", "1+0x20"),
                ("cairn_store_reachable{alice}", "0+0x20"),
                ("cairn_order_has_leader{alice}", "1+0x20"),
                ("cairn_height{alice}", "44+0x20"),
            ],
            at: "12m",
            fires: &[],
        },
        Case {
            why: "nobody leads the log, which another alert says",
            step: "1m",
            series: &[
                ("cairn_pending_transactions{alice}", "7+0x20"),
                ("cairn_quorum_margin{alice}", "1+0x20"),
                ("cairn_store_reachable{alice}", "1+0x20"),
                ("cairn_order_has_leader{alice}", "0+0x20"),
                ("cairn_height{alice}", "44+0x20"),
            ],
            at: "12m",
            fires: &[],
        },
        Case {
            why: "busy, and blocks are decided",
            step: "1m",
            series: &[
                ("cairn_pending_transactions{alice}", "700+0x20"),
                ("cairn_quorum_margin{alice}", "1+0x20"),
                ("cairn_store_reachable{alice}", "1+0x20"),
                ("cairn_order_has_leader{alice}", "1+0x20"),
                ("cairn_height{alice}", "44+60x20"),
            ],
            at: "12m",
            fires: &[],
        },
        Case {
            why: "what waits at a validator that is cut off says nothing of the others, who are idle",
            step: "1m",
            series: &[
                ("cairn_pending_transactions{alice}", "7+0x20"),
                ("cairn_quorum_margin{alice}", "-1+0x20"),
                ("cairn_store_reachable{alice}", "1+0x20"),
                ("cairn_pending_transactions{bob}", "0+0x20"),
                ("cairn_quorum_margin{bob}", "0+0x20"),
                ("cairn_store_reachable{bob}", "1+0x20"),
                ("cairn_order_has_leader{bob}", "1+0x20"),
                ("cairn_height{alice}", "44+0x20"),
                ("cairn_height{bob}", "44+0x20"),
            ],
            at: "12m",
            fires: &[],
        },
    ],
};

const ROUNDS_HIGH: Alert = Alert {
    name: "CairnRoundsHigh",
    severity: Severity::Warning,
    lasting: "15m",
    // A proposer that is down costs its turn a round: 1.33 at most while there is a quorum of equals.
    expression: "
        sum by (CLUSTER) (rate(cairn_rounds_sum{OF}[15m])) / sum by (CLUSTER) (rate(cairn_rounds_count{OF}[15m])) > 1.5
        and on (CLUSTER) max by (CLUSTER) (increase(cairn_rounds_count{OF}[15m])) > 20
    ",
    of_one: None,
    summary: "Blocks of {{ $labels.namespace }}/{{ $labels.cairndb_io_cluster }} take {{ $value | humanize }} rounds",
    description: "Validators mostly do not agree at once: proposals come too late, or are not believed. That is more than validators that are down explain. Commits are slow.",
    cases: &[
        Case {
            why: "every other block takes three rounds",
            step: "1m",
            series: &[
                ("cairn_rounds_sum{alice}", "0+20x60"),
                ("cairn_rounds_count{alice}", "0+10x60"),
            ],
            at: "40m",
            fires: &[cluster("2")],
        },
        Case {
            why: "one proposer of four is down",
            step: "1m",
            series: &[
                ("cairn_rounds_sum{alice}", "0+50x60"),
                ("cairn_rounds_count{alice}", "0+40x60"),
            ],
            at: "40m",
            fires: &[],
        },
        Case {
            why: "a few blocks of a quiet chain say nothing",
            step: "1m",
            series: &[
                ("cairn_rounds_sum{alice}", "0+2x60"),
                ("cairn_rounds_count{alice}", "0+1x60"),
            ],
            at: "40m",
            fires: &[],
        },
    ],
};

const VOTE_LATENCY_HIGH: Alert = Alert {
    name: "CairnVoteLatencyHigh",
    severity: Severity::Warning,
    lasting: "15m",
    expression: "
        histogram_quantile(0.9, sum by (CLUSTER, le) (rate(cairn_decision_seconds_bucket{OF}[15m]))) > 1
        and on (CLUSTER) max by (CLUSTER) (increase(cairn_decision_seconds_count{OF}[15m])) > 20
    ",
    of_one: None,
    summary: "Voting in {{ $labels.namespace }}/{{ $labels.cairndb_io_cluster }} takes {{ $value | humanizeDuration }}",
    description: "One block in ten takes longer than that from the first sight of its proposal to the decision: votes or bodies travel slowly, or disks and CPUs are slow. Commits are slow.",
    cases: &[
        Case {
            why: "most decisions take two seconds",
            step: "1m",
            series: &[
                ("cairn_decision_seconds_bucket{alice, le=\"0.5\"}", "0+2x60"),
                ("cairn_decision_seconds_bucket{alice, le=\"1.0\"}", "0+2x60"),
                ("cairn_decision_seconds_bucket{alice, le=\"2.5\"}", "0+10x60"),
                ("cairn_decision_seconds_bucket{alice, le=\"+Inf\"}", "0+10x60"),
                ("cairn_decision_seconds_count{alice}", "0+10x60"),
            ],
            at: "40m",
            fires: &[cluster("2.312s")],
        },
        Case {
            why: "a slow block now and then, on a quiet chain",
            step: "1m",
            series: &[
                ("cairn_decision_seconds_bucket{alice, le=\"1.0\"}", "0+0x60"),
                ("cairn_decision_seconds_bucket{alice, le=\"2.5\"}", "0+1x60"),
                ("cairn_decision_seconds_bucket{alice, le=\"+Inf\"}", "0+1x60"),
                ("cairn_decision_seconds_count{alice}", "0+1x60"),
            ],
            at: "40m",
            fires: &[],
        },
        Case {
            why: "over half a globe",
            step: "1m",
            series: &[
                ("cairn_decision_seconds_bucket{alice, le=\"0.5\"}", "0+2x60"),
                ("cairn_decision_seconds_bucket{alice, le=\"1.0\"}", "0+10x60"),
                ("cairn_decision_seconds_bucket{alice, le=\"+Inf\"}", "0+10x60"),
                ("cairn_decision_seconds_count{alice}", "0+10x60"),
            ],
            at: "40m",
            fires: &[],
        },
    ],
};

const DOUBLE_SIGN: Alert = Alert {
    name: "CairnDoubleSign",
    severity: Severity::Critical,
    lasting: "0m",
    // A counter with a label is not there before it counts: its first piece is no increase.
    expression: "
        sum by (CLUSTER) (increase(cairn_evidence_total{OF}[1h])) > 0
        or sum by (CLUSTER) (cairn_evidence_total{OF} unless cairn_evidence_total{OF} offset 1h) > 0
    ",
    of_one: None,
    summary: "A validator of {{ $labels.namespace }}/{{ $labels.cairndb_io_cluster }} signed two things",
    description: "Validators hold the proof that a key signed two different votes or proposals where one is allowed: a key that was copied, a volume that was put back, or a member that lies. While less than a third of the voting power does so, the ledger stays right.",
    cases: &[
        Case {
            why: "the first piece of evidence",
            step: "1m",
            series: &[("cairn_evidence_total{alice, kind=\"votes\"}", "_x10 1+0x10")],
            at: "11m",
            fires: &[cluster("1")],
        },
        Case {
            why: "one more, long after",
            step: "1m",
            series: &[("cairn_evidence_total{alice, kind=\"votes\"}", "1+0x120 2+0x30")],
            at: "125m",
            fires: &[cluster("1.0169491525423728")],
        },
        Case {
            why: "what was dealt with hours ago",
            step: "1m",
            series: &[("cairn_evidence_total{alice, kind=\"votes\"}", "_x10 1+0x240")],
            at: "200m",
            fires: &[],
        },
    ],
};
