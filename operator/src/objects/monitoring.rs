//! What the Prometheus operator gets: whom to read, and what to wake people for. The rules themselves are
//! `cairn_dashboards::rules`, here narrowed down to one cluster.

use cairn_dashboards::rules::{self, Of};
use serde_json::{Value, json};

use super::owned;
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
        // The labels by which rules and dashboards tell clusters and validators apart.
        "podTargetLabels": [LABEL_CLUSTER, LABEL_VALIDATOR],
        "podMetricsEndpoints": [{ "port": "admin", "path": "/metrics" }],
    })
}

fn rules(checked: &Checked) -> Value {
    let cluster = &checked.name;
    let of = Of::One(&cluster.namespace, &cluster.name);
    let mut rules = rules::value(&rules::validators(), &format!("cairn.{}", cluster.name), of);
    // Nobody is missed who is not meant to answer: before there is a chain, or while all are stopped.
    if checked.spec.suspend || !checked.founded {
        let groups = rules["groups"].as_array_mut().into_iter().flatten();
        for rules in groups.filter_map(|group| group["rules"].as_array_mut()) {
            rules.retain(|rule| rule["alert"] != "CairnNoValidators");
        }
    }
    rules
}
