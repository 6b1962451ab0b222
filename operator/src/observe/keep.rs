//! What is kept of an object: what is compared, and nothing else, as the shortest text. Five hundred ledgers
//! are twenty thousand objects, and most of each is bookkeeping. Because only what matters is kept, a change
//! of what is kept is also what wakes a cluster.

use serde_json::{Map, Value};

use super::cache::Watched;
use crate::manifest::Kind;

/// Fields of `metadata` that somebody looks at.
const METADATA: &[&str] = &[
    "annotations",
    "creationTimestamp",
    "deletionTimestamp",
    "generation",
    "labels",
    "name",
    "namespace",
    "ownerReferences",
    "uid",
];

/// Fields of a pod's `spec` that somebody looks at: where it is, and its ports.
const POD_SPEC: &[&str] = &["containers", "nodeName"];
const POD_CONTAINER: &[&str] = &["image", "name", "ports"];
const POD_STATUS: &[&str] = &[
    "conditions",
    "containerStatuses",
    "initContainerStatuses",
    "message",
    "phase",
    "podIP",
    "podIPs",
    "reason",
];
const CONDITION: &[&str] = &["lastTransitionTime", "message", "reason", "status", "type"];
const STATEFUL_SET_STATUS: &[&str] =
    &["currentRevision", "observedGeneration", "readyReplicas", "replicas", "updateRevision"];
const CLAIM_STATUS: &[&str] = &["allocatedResourceStatuses", "capacity", "conditions", "phase"];

/// Takes away what nobody looks at.
pub(super) fn trim(watched: Watched, object: &mut Value) {
    let Some(object) = object.as_object_mut() else { return };
    retain(object, "metadata", METADATA);
    let status: &[&str] = match watched {
        Watched::Pod => {
            trim_pod_spec(object);
            POD_STATUS
        }
        Watched::Owned(Kind::StatefulSet) => STATEFUL_SET_STATUS,
        Watched::Owned(Kind::PersistentVolumeClaim) => CLAIM_STATUS,
        Watched::Owned(Kind::Certificate) => &["conditions", "notAfter"],
        Watched::Owned(_) | Watched::Cluster => &[],
    };
    retain(object, "status", status);
    let conditions = object.get_mut("status").and_then(|status| status.get_mut("conditions"));
    for condition in conditions.and_then(Value::as_array_mut).into_iter().flatten() {
        keep_fields(condition, CONDITION);
    }
}

fn trim_pod_spec(object: &mut Map<String, Value>) {
    retain(object, "spec", POD_SPEC);
    let containers = object.get_mut("spec").and_then(|spec| spec.get_mut("containers"));
    for container in containers.and_then(Value::as_array_mut).into_iter().flatten() {
        keep_fields(container, POD_CONTAINER);
    }
}

fn retain(object: &mut Map<String, Value>, field: &str, fields: &[&str]) {
    if fields.is_empty() {
        object.remove(field);
    } else if let Some(value) = object.get_mut(field) {
        keep_fields(value, fields);
    }
}

fn keep_fields(value: &mut Value, fields: &[&str]) {
    if let Some(object) = value.as_object_mut() {
        object.retain(|key, _| fields.contains(&key.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_nobody_compares_is_not_kept() {
        let mut pod = json!({
            "metadata": {"name": "a", "uid": "1", "resourceVersion": "7", "managedFields": [1]},
            "spec": {"nodeName": "n", "volumes": [1], "containers": [{"name": "cairn", "env": [1], "ports": [2]}]},
            "status": {"phase": "Running", "qosClass": "Burstable",
                "conditions": [{"type": "Ready", "status": "True", "lastProbeTime": "now"}]},
        });
        trim(Watched::Pod, &mut pod);
        let expected = json!({
            "metadata": {"name": "a", "uid": "1"},
            "spec": {"nodeName": "n", "containers": [{"name": "cairn", "ports": [2]}]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        });
        assert_eq!(pod, expected);
    }
}
