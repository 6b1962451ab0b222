//! Alerts about the operator, and about clusters as it sees them. Two replicas count the same clusters, and
//! one of them leads: so the larger figure counts.

use super::{Alert, Case, Fired, Severity};

/// For an alert about the operator of a namespace.
const fn here(value: &'static str) -> Fired {
    Fired { labels: &[("namespace", "cairn-system")], value }
}

pub(super) const ALERTS: &[Alert] = &[
    OPERATOR_DOWN,
    OPERATOR_NO_LEADER,
    OPERATOR_RECONCILE_ERRORS,
    OPERATOR_RECONCILE_STUCK,
    OPERATOR_CRD_MISSING,
    OPERATOR_CRD_OUTDATED,
    OPERATOR_UNDECODABLE,
    OPERATOR_WATCH_FAILURES,
    CLUSTER_DEGRADED,
];

const OPERATOR_DOWN: Alert = Alert {
    name: "CairnOperatorDown",
    severity: Severity::Warning,
    lasting: "10m",
    expression: "absent(cairn_operator_build_info)",
    of_one: None,
    summary: "The Cairn operator does not answer",
    description: "Prometheus reads the metrics of no operator: none runs, or none can be reached. Validators go on as they are; nothing is changed, repaired or told until it is back.",
    cases: &[
        Case {
            why: "both replicas are gone",
            step: "1m",
            series: &[("cairn_operator_build_info{a}", "1+0x4 stale")],
            at: "20m",
            fires: &[Fired { labels: &[], value: "1" }],
        },
        Case {
            why: "one of two is left",
            step: "1m",
            series: &[
                ("cairn_operator_build_info{a}", "1+0x4 stale"),
                ("cairn_operator_build_info{b}", "1+0x30"),
            ],
            at: "20m",
            fires: &[],
        },
    ],
};

const OPERATOR_NO_LEADER: Alert = Alert {
    name: "CairnOperatorNoLeader",
    severity: Severity::Warning,
    lasting: "5m",
    expression: "
        max by (namespace) (cairn_operator_leader) == 0
        unless on (namespace) cairn_operator_crd_missing == 1
    ",
    of_one: None,
    summary: "No replica of the Cairn operator in {{ $labels.namespace }} leads",
    description: "They run, and none holds the Lease: nothing is changed, repaired or told. Validators go on as they are.",
    cases: &[
        Case {
            why: "both stand by",
            step: "1m",
            series: &[
                ("cairn_operator_leader{a}", "1+0x4 0+0x20"),
                ("cairn_operator_leader{b}", "0+0x25"),
            ],
            at: "15m",
            fires: &[here("0")],
        },
        Case {
            why: "without the CRD nobody need lead, and another alert says so",
            step: "1m",
            series: &[
                ("cairn_operator_leader{a}", "0+0x20"),
                ("cairn_operator_crd_missing{a}", "1+0x20"),
            ],
            at: "15m",
            fires: &[],
        },
        Case {
            why: "one leads",
            step: "1m",
            series: &[
                ("cairn_operator_leader{a}", "1+0x20"),
                ("cairn_operator_leader{b}", "0+0x20"),
            ],
            at: "15m",
            fires: &[],
        },
    ],
};

const OPERATOR_RECONCILE_ERRORS: Alert = Alert {
    name: "CairnOperatorReconcileErrors",
    severity: Severity::Warning,
    lasting: "15m",
    // Whoever lost the Lease fails rightly. What is refused is tried every five minutes.
    expression: "sum by (namespace, kind) (increase(cairn_operator_errors_total{kind!=\"lost\"}[15m])) > 1",
    of_one: None,
    summary: "Passes of the Cairn operator in {{ $labels.namespace }} fail ({{ $labels.kind }})",
    description: "{{ $value | humanize }} within 15 minutes: trouble is the API server's, refused and conflict need a person, a bug is ours. The clusters concerned are not looked after.",
    cases: &[
        Case {
            why: "a quota refuses a pod, again and again",
            step: "1m",
            series: &[(
                "cairn_operator_errors_total{a, kind=\"refused\"}",
                "0 0 0 0 0 1 1 1 1 1 2 2 2 2 2 3 3 3 3 3 4 4 4 4 4 5 5 5 5 5 6 6 6 6 6 7 7 7 7 7 8 8 8 8 8 9",
            )],
            at: "44m",
            fires: &[Fired {
                labels: &[("namespace", "cairn-system"), ("kind", "refused")],
                value: "3",
            }],
        },
        Case {
            why: "the API server was away for a minute",
            step: "1m",
            series: &[("cairn_operator_errors_total{a, kind=\"trouble\"}", "0+0x10 5 9+0x60")],
            at: "30m",
            fires: &[],
        },
        Case {
            why: "the Lease was lost",
            step: "1m",
            series: &[("cairn_operator_errors_total{a, kind=\"lost\"}", "0+3x60")],
            at: "40m",
            fires: &[],
        },
    ],
};

const OPERATOR_RECONCILE_STUCK: Alert = Alert {
    name: "CairnOperatorReconcileStuck",
    severity: Severity::Warning,
    lasting: "5m",
    expression: "max by (namespace) (cairn_operator_pass_age_seconds) > 300",
    of_one: None,
    summary: "A pass of the Cairn operator in {{ $labels.namespace }} does not end",
    description: "It began {{ $value | humanizeDuration }} ago; passes take milliseconds, and seconds where the API server is slow. The cluster that it is about is not looked after.",
    cases: &[
        Case {
            why: "one hangs",
            step: "1m",
            series: &[("cairn_operator_pass_age_seconds{a}", "0 0+60x30")],
            at: "16m",
            fires: &[here("15m 0s")],
        },
        Case {
            why: "many passes, each soon over",
            step: "1m",
            series: &[(
                "cairn_operator_pass_age_seconds{a}",
                "0 1 20 0 3 1 0 25 9 1 0 0 1 0 0 2 7",
            )],
            at: "16m",
            fires: &[],
        },
    ],
};

const OPERATOR_CRD_MISSING: Alert = Alert {
    name: "CairnOperatorCrdMissing",
    severity: Severity::Warning,
    lasting: "5m",
    expression: "max by (namespace) (cairn_operator_crd_missing) == 1",
    of_one: None,
    summary: "The CRD BlockchainCluster is not installed, and an operator in {{ $labels.namespace }} waits for it",
    description: "The operator has nothing to look after. Where clusters ran, their objects went with the CRD, and so do their pods: the volumes stay.",
    cases: &[
        Case {
            why: "the chart of the CRDs was forgotten, or removed",
            step: "1m",
            series: &[("cairn_operator_crd_missing{a}", "1+0x20")],
            at: "10m",
            fires: &[here("1")],
        },
        Case {
            why: "it is there",
            step: "1m",
            series: &[("cairn_operator_crd_missing{a}", "1 1 0+0x20")],
            at: "10m",
            fires: &[],
        },
    ],
};

const OPERATOR_CRD_OUTDATED: Alert = Alert {
    name: "CairnOperatorCrdOutdated",
    severity: Severity::Warning,
    lasting: "15m",
    expression: "max by (namespace) (cairn_operator_crd_outdated) == 1",
    of_one: None,
    summary: "The CRD BlockchainCluster is not of the version of the operator in {{ $labels.namespace }}",
    description: "Fields that the operator knows and the CRD does not are dropped without a word when somebody writes them.",
    cases: &[
        Case {
            why: "the operator was upgraded, the CRD was not",
            step: "1m",
            series: &[("cairn_operator_crd_outdated{a}", "0+0x4 1+0x30")],
            at: "25m",
            fires: &[here("1")],
        },
        Case {
            why: "an upgrade, CRDs first",
            step: "1m",
            series: &[("cairn_operator_crd_outdated{a}", "0+0x4 1+0x4 0+0x30")],
            at: "25m",
            fires: &[],
        },
    ],
};

const OPERATOR_UNDECODABLE: Alert = Alert {
    name: "CairnOperatorUndecodable",
    severity: Severity::Warning,
    lasting: "5m",
    expression: "max by (namespace) (cairn_operator_clusters_undecodable) > 0",
    of_one: None,
    summary: "{{ $value }} BlockchainClusters cannot be read by the operator in {{ $labels.namespace }}",
    description: "They say something that this version of the operator does not know: they are left as they are, and nothing is said in their status.",
    cases: &[
        Case {
            why: "one was written for a later version",
            step: "1m",
            series: &[
                ("cairn_operator_clusters_undecodable{a}", "0+0x4 1+0x20"),
                ("cairn_operator_clusters_undecodable{b}", "0+0x4 1+0x20"),
            ],
            at: "15m",
            fires: &[here("1")],
        },
        Case {
            why: "all can be read",
            step: "1m",
            series: &[("cairn_operator_clusters_undecodable{a}", "0+0x20")],
            at: "15m",
            fires: &[],
        },
    ],
};

const OPERATOR_WATCH_FAILURES: Alert = Alert {
    name: "CairnOperatorWatchFailures",
    severity: Severity::Warning,
    lasting: "15m",
    expression: "sum by (namespace, kind) (increase(cairn_operator_watch_failures_total[15m])) > 15",
    of_one: None,
    summary: "The Cairn operator in {{ $labels.namespace }} cannot watch {{ $labels.kind }}",
    description: "{{ $value | humanize }} attempts failed within 15 minutes: the API server is away, or does not allow it. The operator notices changes late or not at all.",
    cases: &[
        Case {
            why: "a rule of RBAC is missing",
            step: "1m",
            series: &[("cairn_operator_watch_failures_total{a, kind=\"pods\"}", "0+6x60")],
            at: "40m",
            fires: &[Fired {
                labels: &[("namespace", "cairn-system"), ("kind", "pods")],
                value: "90",
            }],
        },
        Case {
            why: "the API server was restarted, twice",
            step: "1m",
            series: &[(
                "cairn_operator_watch_failures_total{a, kind=\"pods\"}",
                "0+0x10 3+0x10 6+0x60",
            )],
            at: "40m",
            fires: &[],
        },
    ],
};

const CLUSTER_DEGRADED: Alert = Alert {
    name: "CairnClusterDegraded",
    severity: Severity::Warning,
    lasting: "15m",
    // What is as somebody wants it, or waits for somebody who knows, is no trouble.
    expression: "
        max by (namespace, reason) (cairn_operator_clusters{
          reason!~\"Ready|Founding|Starting|Updating|Suspended|Suspending|Paused|AwaitingApproval|AwaitingDeletion|ElectionMissing\"
        }) > 0
    ",
    of_one: None,
    summary: "{{ $value }} BlockchainClusters are not ready: {{ $labels.reason }}",
    description: "The operator in {{ $labels.namespace }} says so of their condition Ready. kubectl get bcc --all-namespaces shows which they are, kubectl describe bcc has the sentence.",
    cases: &[
        Case {
            why: "an image cannot be pulled",
            step: "1m",
            series: &[
                ("cairn_operator_clusters{a, reason=\"Ready\"}", "3+0x4 2+0x30"),
                ("cairn_operator_clusters{a, reason=\"ImagePullFailed\"}", "_x4 1+0x30"),
                ("cairn_operator_clusters{b, reason=\"ImagePullFailed\"}", "_x4 1+0x30"),
            ],
            at: "30m",
            fires: &[Fired { labels: &[("namespace", "cairn-system"), ("reason", "ImagePullFailed")], value: "1" }],
        },
        Case {
            why: "ready, suspended, waiting for a person",
            step: "1m",
            series: &[
                ("cairn_operator_clusters{a, reason=\"Ready\"}", "3+0x40"),
                ("cairn_operator_clusters{a, reason=\"Suspended\"}", "1+0x40"),
                ("cairn_operator_clusters{a, reason=\"AwaitingApproval\"}", "1+0x40"),
                ("cairn_operator_clusters{a, reason=\"Founding\"}", "1+0x40"),
            ],
            at: "30m",
            fires: &[],
        },
    ],
};
