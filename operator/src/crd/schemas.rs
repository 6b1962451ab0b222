//! Schemas that no type of ours has: objects whose fields are not ours to list, and Kubernetes's types as
//! the API server itself checks them.

use kube::core::Rule;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::rules;

/// A property of a kind that is only there to be refused: CEL sees no field that has no schema.
fn refused(kind: &str) -> Value {
    match kind {
        "object" => json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true }),
        "string" => json!({ "type": "string", "maxLength": 1024 }),
        _ => json!({ "type": kind }),
    }
}

fn open(properties: Value) -> Value {
    json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": properties })
}

fn texts(most: usize, length: usize) -> Value {
    json!({
        "type": "object", "maxProperties": most,
        "additionalProperties": { "type": "string", "maxLength": length },
    })
}

fn with_rules(mut schema: Value, rules: Vec<Rule>) -> Schema {
    schema["x-kubernetes-validations"] = json!(rules);
    Schema::try_from(schema).expect("an object is a schema")
}

/// A PodTemplateSpec, of which only what is refused is looked at.
pub(super) fn pod_overrides(_: &mut SchemaGenerator) -> Schema {
    let spec: serde_json::Map<_, _> =
        rules::POD_FIELDS.iter().map(|(field, kind)| ((*field).into(), refused(kind))).collect();
    let metadata = json!({ "labels": texts(32, 63), "annotations": texts(64, 4096) });
    let all = open(json!({ "metadata": open(metadata), "spec": open(spec.into()) }));
    with_rules(all, [rules::pod_metadata_is_ours(), rules::pod_fields_are_ours()].concat())
}

/// Fields of `cairn.toml`, of which only what is refused is looked at.
pub(super) fn config(_: &mut SchemaGenerator) -> Schema {
    let mut top = serde_json::Map::new();
    let mut api = serde_json::Map::new();
    for (field, kind, _) in rules::CONFIG_FIELDS {
        match field.split_once('.') {
            None => top.insert(field.into(), refused(kind)),
            Some((_, field)) => api.insert(field.into(), refused(kind)),
        };
    }
    top.insert("api".into(), open(api.into()));
    let tikv = [("pd", "array"), ("prefix", "string"), ("tls", "object")];
    let tikv: serde_json::Map<_, _> = tikv
        .into_iter()
        .map(|(field, kind)| match kind {
            "array" => (field.into(), json!({ "type": kind, "items": refused("string") })),
            _ => (field.into(), refused(kind)),
        })
        .collect();
    top.insert("tikv".into(), open(tikv.into()));
    with_rules(open(top.into()), rules::config_fields_are_ours())
}

/// A quantity as text: what CEL can compare, because it has a bound.
pub(super) fn quantity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 24 })
}

/// CPU and memory, without the claims of devices: a validator has none. People write `cpu: 2` as often as
/// `cpu: "2"`; no bound can be given to what is either, so that CEL would be too dear for it, and a pattern
/// says what a quantity is. A request above its limit is the business of the chart's admission policies.
pub(super) fn resources(_: &mut SchemaGenerator) -> Schema {
    let quantities = |description: &str| {
        json!({
            "description": description, "type": "object", "maxProperties": 16,
            "additionalProperties": {
                "x-kubernetes-int-or-string": true,
                "pattern": r"^[+]?([0-9]+([.][0-9]*)?|[.][0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][-+]?[0-9]+)?$",
            },
        })
    };
    json_schema!({
        "type": "object",
        "properties": {
            "requests": quantities("What the scheduler sets aside, by resource, such as cpu: 500m and memory: 2Gi. None by default."),
            "limits": quantities("What it may use at most, by resource. None by default."),
        },
    })
}

/// Values of labels of ours that go onto other objects.
pub(super) fn labels(_: &mut SchemaGenerator) -> Schema {
    with_rules(texts(32, 63), vec![rules::no_managed_keys()])
}

/// Annotations that go onto other objects.
pub(super) fn annotations(_: &mut SchemaGenerator) -> Schema {
    with_rules(texts(64, 16_384), vec![rules::no_managed_keys()])
}

/// Labels of nodes.
pub(super) fn node_labels(_: &mut SchemaGenerator) -> Schema {
    Schema::try_from(texts(32, 63)).expect("an object is a schema")
}

/// Conditions as controller-gen writes their schema; the type of k8s-openapi has no patterns.
pub(super) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "maxItems": 32,
        "items": {
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "lastTransitionTime": {
                    "description": "When status changed last.",
                    "type": "string", "format": "date-time",
                },
                "message": {
                    "description": "One sentence for people. May be empty.",
                    "type": "string", "maxLength": 32768,
                },
                "observedGeneration": {
                    "description": "The generation of the spec that this is about.",
                    "type": "integer", "format": "int64", "minimum": 0,
                },
                "reason": {
                    "description": "Why, in one word of CamelCase.",
                    "type": "string", "minLength": 1, "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "status": {
                    "description": "True, False, or Unknown when nobody could find out.",
                    "type": "string", "enum": ["True", "False", "Unknown"],
                },
                "type": {
                    "description": "What this is about, in CamelCase.",
                    "type": "string", "maxLength": 316,
                    "pattern": "^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
                },
            },
        },
    })
}
