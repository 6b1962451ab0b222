//! What the Prometheus operator gets: whom to read, and what to wake people for. Alerts are over metrics
//! that validators have (`node/src/metrics.rs`; a test compares the names).

use serde_json::{Value, json};

use super::{local_parties, owned, parties};
use crate::{
    check::Checked,
    manifest::{Kind, Manifest},
    names::{LABEL_CLUSTER, LABEL_VALIDATOR},
};

pub(super) fn all(checked: &Checked) -> Vec<Manifest> {
    let monitoring = &checked.spec.monitoring;
    let mut manifests = vec![];
    if monitoring.pod_monitor {
        manifests.push(labelled(checked, Kind::PodMonitor, pod_monitor(checked)));
    }
    if monitoring.rules {
        manifests.push(labelled(checked, Kind::PrometheusRule, rules(checked)));
    }
    manifests
}

fn labelled(checked: &Checked, kind: Kind, spec: Value) -> Manifest {
    let rest = json!({ "metadata": { "labels": checked.spec.monitoring.labels }, "spec": spec });
    owned(checked, kind, checked.name.name.clone(), None, rest)
}

fn pod_monitor(checked: &Checked) -> Value {
    json!({
        "selector": { "matchLabels": checked.name.selector() },
        "podTargetLabels": [LABEL_CLUSTER, LABEL_VALIDATOR],
        "podMetricsEndpoints": [{ "port": "admin", "path": "/metrics" }],
    })
}

/// An alert: its name, how bad it is, for how long before it is said, its expression, and two sentences.
struct Alert {
    name: &'static str,
    severity: &'static str,
    lasting: &'static str,
    expression: String,
    summary: String,
    description: &'static str,
}

fn rules(checked: &Checked) -> Value {
    let rules: Vec<_> = alerts(checked)
        .into_iter()
        .map(|alert| {
            let Alert { name, severity, lasting, expression, summary, description } = alert;
            json!({
                "alert": name,
                "expr": expression,
                "for": lasting,
                "labels": { "severity": severity },
                "annotations": { "summary": summary, "description": description },
            })
        })
        .collect();
    json!({ "groups": [{ "name": format!("cairn.{}", checked.name.name), "rules": rules }] })
}

fn alerts(checked: &Checked) -> Vec<Alert> {
    let cluster = &checked.name;
    let pods: Vec<_> = local_parties(checked).iter().map(|v| cluster.pod(v.name)).collect();
    // By pod, because every way of collecting metrics keeps that label.
    let of = format!("{{namespace=\"{}\",pod=~\"{}\"}}", cluster.namespace, pods.join("|"));
    let others = parties(checked).len().saturating_sub(1);
    let mut alerts = about_the_chain(cluster, &of, fewest_for_a_quorum(checked));
    // Nobody is meant to answer while all are stopped.
    if checked.spec.suspend {
        alerts.retain(|alert| alert.name != "CairnNoValidators");
    }
    alerts.extend(about_validators(&of, others));
    alerts
}

fn about_the_chain(cluster: impl std::fmt::Display, of: &str, fewest: usize) -> Vec<Alert> {
    vec![
        Alert {
            name: "CairnNoValidators",
            severity: "critical",
            lasting: "5m",
            expression: format!("absent(cairn_height{of})"),
            summary: format!("No validator of {cluster} answers"),
            description: "Prometheus has no metrics of any validator: none runs, or none can be reached.",
        },
        Alert {
            name: "CairnNoQuorum",
            severity: "critical",
            lasting: "2m",
            expression: format!("max(cairn_peers_connected{of}) + 1 < {fewest}"),
            summary: format!("Validators of {cluster} do not see a quorum"),
            description: "No validator is connected with enough others to hold more than 2/3 of the voting power: nothing is decided until they are back.",
        },
        Alert {
            name: "CairnChainStalled",
            severity: "critical",
            lasting: "5m",
            expression: format!(
                "sum(cairn_pending_transactions{of}) > 0 and max(delta(cairn_height{of}[5m])) == 0"
            ),
            summary: format!("The chain of {cluster} stands still"),
            description: "Transactions wait, and no validator has stored a block for five minutes.",
        },
    ]
}

fn about_validators(of: &str, others: usize) -> Vec<Alert> {
    let alert = |name, severity, lasting, expression, summary: &str, description| Alert {
        name,
        severity,
        lasting,
        expression,
        summary: summary.to_owned(),
        description,
    };
    vec![
        alert(
            "CairnValidatorNotVoting",
            "warning",
            "10m",
            format!("cairn_voting{of} == 0"),
            "{{ $labels.pod }} does not vote",
            "It may not sign: it is catching up, or its signing state is locked. Its /status says why.",
        ),
        alert(
            "CairnValidatorLagging",
            "warning",
            "10m",
            format!("scalar(max(cairn_height{of})) - cairn_height{of} > 100"),
            "{{ $labels.pod }} is {{ $value }} blocks behind",
            "It stays behind the best validator of this cluster: its disk, its network, or its CPU is too slow.",
        ),
        alert(
            "CairnPeersMissing",
            "warning",
            "15m",
            format!("cairn_peers_connected{of} < {others}"),
            "{{ $labels.pod }} is connected with {{ $value }} validators only",
            "Some other validators are not there, or cannot be reached: one more loss may stop the chain.",
        ),
        alert(
            "CairnStoreUnreachable",
            "critical",
            "5m",
            format!("cairn_store_reachable{of} == 0"),
            "The store of {{ $labels.pod }} does not answer",
            "It can neither read nor write its state until TiKV answers again.",
        ),
        alert(
            "CairnStoreDamaged",
            "critical",
            "0m",
            format!("increase(cairn_store_damaged_rows_total{of}[1h]) > 0"),
            "{{ $labels.pod }} found rows that were gone or wrong",
            "Something else writes to the ledger's keys in TiKV, or TiKV lost data.",
        ),
        alert(
            "CairnDiskSlow",
            "warning",
            "10m",
            format!(
                "histogram_quantile(0.99, sum by (namespace, pod, le) (rate(cairn_fsync_seconds_bucket{of}[5m]))) > 0.5"
            ),
            "The disk of {{ $labels.pod }} is slow",
            "One in a hundred writes takes more than half a second to be durable: votes come too late.",
        ),
        alert(
            "CairnCertificateExpiring",
            "warning",
            "1h",
            format!(
                "cairn_tls_certificate_expiry_seconds{of} > 0 and cairn_tls_certificate_expiry_seconds{of} - time() < 14 * 86400"
            ),
            "The API's certificate of {{ $labels.pod }} ends within 14 days",
            "Whoever renews it did not: replace the Secret, validators read it again by themselves.",
        ),
    ]
}

/// The fewest validators that can hold more than two thirds of the power: with fewer connected there is
/// no quorum for certain, whoever they are. Exact when all have the same power.
fn fewest_for_a_quorum(checked: &Checked) -> usize {
    let mut powers: Vec<_> = parties(checked).iter().map(|party| party.power).collect();
    powers.sort_unstable_by(|a, b| b.cmp(a));
    let total: u64 = powers.iter().sum();
    let mut held = 0_u64;
    powers
        .iter()
        .take_while(|power| {
            let short = u128::from(held) * 3 <= u128::from(total) * 2;
            held = held.saturating_add(**power);
            short
        })
        .count()
}
