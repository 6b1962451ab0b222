//! Volumes and StatefulSets: what of them may be written without waiting for anybody's turn.

use serde_json::{Value, json};

use super::{
    Step,
    need::holds_this_template,
    world::{World, is_going},
    writes::apply,
};
use crate::{crd::UpdateStrategy, manifest::Manifest, objects};

/// Volumes that are missing, lost a label, or have to grow.
pub(super) fn claims(world: &World<'_>) -> Vec<Step> {
    let claims = world.changeable().map(|validator| objects::claim(world.checked, validator));
    claims.filter_map(|claim| apply(world, &claim)).collect()
}

/// Configurations and StatefulSets: those that are missing, drifted, or have to start or stop. A changed
/// template waits for its validator's turn, and the configuration with it, unless nobody votes yet or a
/// person deletes the pods.
pub(super) fn stateful_sets(world: &World<'_>) -> Vec<Step> {
    let anytime =
        !world.checked.founded || world.checked.spec.update.strategy == UpdateStrategy::OnDelete;
    let mut steps = Vec::new();
    for validator in world.changeable() {
        let (desired, live) = world.stateful_set(validator);
        match live {
            Some(live) if is_going(live) => {}
            Some(live) if !anytime && !holds_this_template(desired, live) => {
                steps.extend(starts_or_stops(desired, live).map(Step::Apply));
            }
            _ => {
                steps.extend(apply(world, &objects::config(world.checked, validator)));
                steps.extend(apply(world, desired));
            }
        }
    }
    steps
}

/// The StatefulSet with the template that it has, when only its replicas cannot wait.
fn starts_or_stops(desired: &Manifest, live: &Value) -> Option<Manifest> {
    let replicas = desired.value.pointer("/spec/replicas")?;
    if live.pointer("/spec/replicas") == Some(replicas) {
        return None;
    }
    let mut manifest = desired.clone();
    *manifest.value.pointer_mut("/spec/template")? = without_nulls(live.pointer("/spec/template")?);
    Some(manifest)
}

/// The API server prints fields that nobody set as null, and does not take them back.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.clone(), without_nulls(value)))
            .collect(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => json!(other),
    }
}
