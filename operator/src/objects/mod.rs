//! The manifests of a checked cluster. Pure, and the same for the same spec: nothing here depends on the
//! operator's version, the time, or what is there already. A field that is not set is not written, so that
//! its owner is whoever sets it.
//!
//! Three groups, by when they may change: [`surroundings`] at any time, [`config`] and [`stateful_set`]
//! when it is that validator's turn, [`claim`] to grow and [`genesis`] never.

mod assumed;
mod config;
mod disruption;
mod entrance;
mod monitoring;
mod network;
mod overrides;
mod pod;
mod services;
mod validator;

use serde_json::{Value, json};

pub use validator::{claim, config, genesis, stateful_set, template_hash};

use crate::{
    check::Checked,
    crd::{Retention, ValidatorSpec},
    manifest::{Kind, Manifest},
    names::ANNOTATION_APPLIED,
};

/// Everything but validators' configurations, StatefulSets and volumes and the genesis: what can change at
/// any time without a validator noticing. Sorted as it is to be applied, then by name.
#[must_use]
pub fn surroundings(checked: &Checked) -> Vec<Manifest> {
    let mut manifests = services::all(checked);
    manifests.extend(network::all(checked));
    manifests.extend(disruption::budget(checked));
    manifests.extend(entrance::all(checked));
    manifests.extend(monitoring::all(checked));
    manifests.sort_by(|a, b| (a.kind.rank(), &a.name).cmp(&(b.kind.rank(), &b.name)));
    manifests
}

/// The validators of the spec that get objects, by name: all of them until there is a genesis, then those
/// that are in it. One that joins later waits for its election.
#[must_use]
pub fn belonging(checked: &Checked) -> Vec<&ValidatorSpec> {
    let mut validators: Vec<_> = checked
        .spec
        .validators
        .iter()
        .filter(|v| {
            checked.genesis.as_ref().is_none_or(|g| g.validators().iter().any(|w| w.name == v.name))
        })
        .collect();
    validators.sort_by(|a, b| a.name.cmp(&b.name));
    validators
}

/// A validator of the federation, as far as manifests care.
struct Party<'a> {
    name: &'a str,
    power: u64,
    /// Where its mesh listens, when another organisation runs it.
    endpoint: Option<&'a str>,
}

/// Everybody who votes, by name. Once there is a genesis it is the list, not the spec: whoever is taken out
/// of the spec stays everybody's peer, and nobody restarts, until an election lets it go.
fn parties(checked: &Checked) -> Vec<Party<'_>> {
    let members = || checked.spec.federation.iter().flat_map(|f| &f.members);
    let endpoint = |name: &str| members().find(|m| m.name == name).map(|m| m.endpoint.as_str());
    let mut parties: Vec<_> = match &checked.genesis {
        Some(genesis) => genesis
            .validators()
            .iter()
            .map(|v| Party { name: &v.name, power: v.power, endpoint: endpoint(&v.name) })
            .collect(),
        None => {
            let own = checked.spec.validators.iter().map(|v| Party {
                name: &v.name,
                power: v.power.into(),
                endpoint: None,
            });
            let others = members().map(|m| Party {
                name: &m.name,
                power: m.power.into(),
                endpoint: Some(&m.endpoint),
            });
            own.chain(others).collect()
        }
    };
    parties.sort_by(|a, b| a.name.cmp(b.name));
    parties
}

/// Those of [`parties`] whose pods are here, as far as anybody knows.
fn local_parties(checked: &Checked) -> Vec<Party<'_>> {
    parties(checked).into_iter().filter(|party| party.endpoint.is_none()).collect()
}

/// Whether a validator's pod is meant to be stopped.
fn is_stopped(checked: &Checked, validator: &str) -> bool {
    checked.spec.suspend || checked.spec.fenced_validators.iter().any(|name| name == validator)
}

/// An object that goes with the cluster.
fn owned(
    checked: &Checked,
    kind: Kind,
    name: String,
    validator: Option<&str>,
    rest: Value,
) -> Manifest {
    let mut rest = rest;
    rest["metadata"]["ownerReferences"] = json!([checked.owner]);
    object(checked, kind, name, validator, rest)
}

/// An object that outlives the cluster, unless its retention says otherwise.
fn kept(
    checked: &Checked,
    kind: Kind,
    name: String,
    validator: Option<&str>,
    rest: Value,
) -> Manifest {
    match checked.spec.storage.retention.when_deleted {
        Retention::Retain => object(checked, kind, name, validator, rest),
        Retention::Delete => owned(checked, kind, name, validator, rest),
    }
}

/// `rest` is everything but what all objects have; of its metadata, labels, annotations and owners are kept.
fn object(
    checked: &Checked,
    kind: Kind,
    name: String,
    validator: Option<&str>,
    rest: Value,
) -> Manifest {
    let (version, kind_name, _) = kind.names();
    let mut value = rest;
    value["apiVersion"] = version.into();
    value["kind"] = kind_name.into();
    value["metadata"]["name"] = name.as_str().into();
    value["metadata"]["namespace"] = checked.name.namespace.as_str().into();
    for (key, label) in checked.name.labels(validator) {
        value["metadata"]["labels"][key] = label.into();
    }
    // Whoever wrote ours into the spec would have it written for ever.
    if let Some(annotations) = value["metadata"]["annotations"].as_object_mut() {
        annotations.remove(ANNOTATION_APPLIED);
    }
    pruned(&mut value);
    Manifest { kind, name, value }
}

/// Takes out what is null: a field that is not set is not written.
fn pruned(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(pruned);
        }
        Value::Array(items) => items.iter_mut().for_each(pruned),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The value, unless it is empty: then nothing is written.
fn unless_empty(value: impl serde::Serialize) -> Value {
    let value = json!(value);
    let empty = value.as_array().is_some_and(Vec::is_empty)
        || value.as_object().is_some_and(serde_json::Map::is_empty);
    if empty { Value::Null } else { value }
}
