//! The CRD itself, as it is installed: what the derives make of the types, put into the words that an API
//! server, `kubectl explain` and a reader of YAML expect.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::BlockchainCluster;

/// Annotation of the CRD: what [`schema_hash`] was when it was written.
pub const ANNOTATION_SCHEMA: &str = "cairndb.io/schema-hash";

/// Bounds of what has none of its own. CEL's estimate of costs, and the size of what the operator keeps in
/// memory, rest on everything having one.
const TEXT_MAX: u64 = 1024;
const ITEMS_MAX: u64 = 64;

/// The CRD of [`BlockchainCluster`]: what is to be applied. Everything in it is sorted.
#[must_use]
pub fn crd() -> Value {
    let mut crd = bare();
    crd["metadata"]["annotations"] = json!({ ANNOTATION_SCHEMA: hash(&crd["spec"]) });
    sorted(crd)
}

/// The hash of the schema that this program was made with, as in the annotation `cairndb.io/schema-hash` of
/// an installed CRD: another one there is another schema.
#[must_use]
pub fn schema_hash() -> String {
    hash(&bare()["spec"])
}

/// The CRD as YAML: the content of `crds/`.
#[must_use]
pub fn yaml() -> String {
    let text = serde_saphyr::to_string(&crd()).expect("texts, numbers and lists are YAML");
    format!(
        "# Written by `cairn-operator crds`, from operator/src/crd. Changes here are lost.\n{text}"
    )
}

fn hash(spec: &Value) -> String {
    let text = sorted(spec.clone()).to_string();
    Sha256::digest(text).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn bare() -> Value {
    let typed: CustomResourceDefinition = BlockchainCluster::crd();
    let mut crd = serde_json::to_value(typed).expect("a CRD is JSON");
    for version in crd["spec"]["versions"].as_array_mut().into_iter().flatten() {
        let root = &mut version["schema"]["openAPIV3Schema"];
        tidy(root);
        bound(&mut root["properties"]["spec"]);
    }
    crd
}

/// Every schema below this one, and itself.
fn each(schema: &mut Value, act: &mut impl FnMut(&mut Map<String, Value>)) {
    let Value::Object(fields) = schema else { return };
    act(fields);
    for (key, value) in fields.iter_mut() {
        match key.as_str() {
            "properties" => {
                for property in value.as_object_mut().into_iter().flat_map(Map::values_mut) {
                    each(property, act);
                }
            }
            "items" | "additionalProperties" => each(value, act),
            _ => {}
        }
    }
}

fn tidy(schema: &mut Value) {
    each(schema, &mut |fields| {
        // An explicit null is as good as nothing, and is not stored.
        fields.remove("nullable");
        // Formats of Rust's integers: the API server knows int32 and int64, and bounds say the rest.
        if fields.get("format").and_then(Value::as_str).is_some_and(|f| f.starts_with("uint")) {
            fields.remove("format");
        }
        for key in ["minimum", "maximum", "default"] {
            if let Some(number) = fields.get_mut(key) {
                whole(number);
            }
        }
        if let Some(Value::String(text)) = fields.get_mut("description") {
            *text = flowing(text);
        }
        let is_list = fields.get("type") == Some(&json!("array"));
        if is_list && !fields.contains_key("x-kubernetes-list-type") {
            fields.insert("x-kubernetes-list-type".into(), json!("atomic"));
        }
    });
}

/// Lines that were broken for the source's sake flow again; paragraphs and lists stay.
fn flowing(text: &str) -> String {
    let mut flowing = String::with_capacity(text.len());
    for line in text.lines().map(str::trim_end) {
        let begins = line.is_empty() || line.starts_with([' ', '\t', '-', '*']);
        let ends = flowing.is_empty() || flowing.ends_with('\n');
        match (begins, ends) {
            (true, _) => flowing.push('\n'),
            (false, true) => {}
            (false, false) => flowing.push(' '),
        }
        flowing.push_str(line);
        if line.is_empty() {
            flowing.push('\n');
        }
    }
    flowing
}

/// `31.0` as `31`.
fn whole(number: &mut Value) {
    if let Some(float) = number.as_f64().filter(|f| number.is_f64() && f.fract() == 0.0)
        && let Ok(whole) = format!("{float:.0}").parse::<i64>()
    {
        *number = json!(whole);
    }
}

fn bound(schema: &mut Value) {
    each(schema, &mut |fields| {
        let (key, most) = match fields.get("type").and_then(Value::as_str) {
            Some("string") if fields.contains_key("enum") => return,
            Some("string") => ("maxLength", TEXT_MAX),
            Some("array") => ("maxItems", ITEMS_MAX),
            Some("object") if fields.contains_key("additionalProperties") => {
                ("maxProperties", ITEMS_MAX)
            }
            _ => return,
        };
        fields.entry(key).or_insert(json!(most));
    });
}

/// The same for every build: whether maps of `serde_json` are sorted depends on who else is built.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.into_iter().map(|(k, v)| (k, sorted(v))).collect();
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        plain => plain,
    }
}
