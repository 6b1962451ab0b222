//! What can be written at any time without anybody noticing, and what is no longer wanted.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Step,
    world::{World, is_going},
};
use crate::{
    check::controller_of,
    manifest::{Kind, Manifest},
    names::LABEL_VALIDATOR,
};

/// Services, configuration, budgets, policies, ways in: those that are missing or differ.
pub(super) fn surroundings(world: &World<'_>) -> Vec<Step> {
    world.surroundings.iter().filter_map(|manifest| apply(world, manifest)).collect()
}

/// The step that makes an object what it should be, if it is not.
pub(super) fn apply(world: &World<'_>, manifest: &Manifest) -> Option<Step> {
    match world.live(manifest.kind, &manifest.name) {
        Some(live) if is_going(live) || !manifest.differs(live) => None,
        _ => Some(Step::Apply(manifest.clone())),
    }
}

/// The place of a step among the others: what a pod needs comes before the pod.
pub(super) fn place(step: &Step) -> usize {
    match step {
        Step::Apply(manifest) => manifest.kind.rank(),
        _ => Kind::ALL.len(),
    }
}

/// Objects of this cluster that nothing asks for any more. Never a volume, never the genesis, and nothing
/// of a validator that the federation counts on.
pub(super) fn sweep(world: &World<'_>) -> Vec<Step> {
    let name = &world.checked.name;
    let surroundings = world.surroundings.iter();
    let mut keep: BTreeSet<(Kind, String)> =
        surroundings.map(|manifest| (manifest.kind, manifest.name.clone())).collect();
    keep.insert((Kind::ConfigMap, name.genesis()));
    for validator in &world.checked.spec.validators {
        keep.insert((Kind::StatefulSet, name.validator(&validator.name)));
        keep.insert((Kind::ConfigMap, name.validator(&validator.name)));
    }
    let unwanted = world.observed.objects.iter().filter(|(key, live)| {
        key.0 != Kind::PersistentVolumeClaim
            && !keep.contains(key)
            && !is_going(live)
            && controller_of(live) == Some(world.checked.uid.as_str())
            && !is_of_a_founder(world, live)
    });
    let sweep = |((kind, name), live): (&(Kind, String), &Value)| {
        let uid = live.pointer("/metadata/uid").and_then(Value::as_str)?.to_owned();
        Some(Step::Sweep { kind: *kind, name: name.clone(), uid })
    };
    unwanted.filter_map(sweep).collect()
}

/// Whether an object belongs to a validator that is in the genesis.
fn is_of_a_founder(world: &World<'_>, live: &Value) -> bool {
    let labels = live.get("metadata").and_then(|metadata| metadata.get("labels"));
    let validator = labels.and_then(|labels| labels.get(LABEL_VALIDATOR)).and_then(Value::as_str);
    let genesis = world.checked.genesis.as_ref();
    genesis.is_some_and(|genesis| {
        genesis.validators().iter().any(|v| Some(v.name.as_str()) == validator)
    })
}
