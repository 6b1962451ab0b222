//! What a validator still needs in order to run what the spec says.

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use super::world::{World, is_going};
use crate::{
    crd::{OperationKind, ValidatorSpec},
    manifest::{Kind, Manifest},
    names::ANNOTATION_TEMPLATE,
    objects,
};

/// Label of a StatefulSet's pod: the revision of the template that it was made from.
const LABEL_REVISION: &str = "controller-revision-hash";

/// A change that waits for its turn.
#[derive(Clone, Debug)]
pub(super) struct Need {
    pub(super) validator: String,
    pub(super) kind: OperationKind,
    /// The hash of the pod template, or the size, that it should have.
    pub(super) to: String,
    pub(super) next: Next,
}

/// The next thing to do about it.
#[derive(Clone, Debug)]
pub(super) enum Next {
    /// Write the configuration and the template.
    Apply { config: Box<Manifest>, stateful_set: Box<Manifest> },
    /// The StatefulSet's controller has not looked at the template yet.
    Await,
    /// The pod is older than its template, or its file system grows when it starts.
    Restart,
}

/// All of them, by name, of validators that may be changed.
pub(super) fn needs(world: &World<'_>) -> Vec<Need> {
    let changeable = world.changeable().filter(|validator| !world.is_fenced(&validator.name));
    let mut needs: Vec<_> = changeable.filter_map(|validator| need(world, validator)).collect();
    needs.sort_by(|a, b| a.validator.cmp(&b.validator));
    needs
}

fn need(world: &World<'_>, validator: &ValidatorSpec) -> Option<Need> {
    let (desired, live) = world.stateful_set(validator);
    let live = live.filter(|live| !is_going(live))?;
    let need = |kind, to, next| Some(Need { validator: validator.name.clone(), kind, to, next });
    let to = objects::template_hash(desired).to_owned();
    if !holds_this_template(desired, live) {
        let config = Box::new(objects::config(world.checked, validator));
        return need(
            OperationKind::Update,
            to,
            Next::Apply { config, stateful_set: Box::new(desired.clone()) },
        );
    }
    let health = world.health(&validator.name);
    let pod = health.pod.filter(|_| !health.is_leaving())?;
    match is_outdated(pod, live) {
        None => return need(OperationKind::Update, to, Next::Await),
        Some(true) => return need(OperationKind::Update, to, Next::Restart),
        Some(false) => {}
    }
    let claim = world.checked.name.claim(&validator.name);
    if !grows_at_restart(world.live(Kind::PersistentVolumeClaim, &claim)?, pod) {
        return None;
    }
    let claim = objects::claim(world.checked, validator);
    let size = claim.value.pointer("/spec/resources/requests/storage").and_then(Value::as_str)?;
    need(OperationKind::VolumeGrowth, size.to_owned(), Next::Restart)
}

/// Whether the StatefulSet was last written with this template. Its replicas may differ, and what others
/// changed of it since: both are put right at once.
pub(super) fn holds_this_template(desired: &Manifest, live: &Value) -> bool {
    let metadata = live.pointer("/spec/template/metadata");
    let annotations = metadata.and_then(|metadata| metadata.get("annotations"));
    let held = annotations.and_then(|annotations| annotations.get(ANNOTATION_TEMPLATE));
    held.and_then(Value::as_str) == Some(objects::template_hash(desired))
}

/// Whether a pod is of an older template than its StatefulSet has. Nothing while the StatefulSet's
/// controller has not looked.
pub(super) fn is_outdated(pod: &Pod, live: &Value) -> Option<bool> {
    let generation = live.pointer("/metadata/generation").and_then(Value::as_i64)?;
    let looked_at = live.pointer("/status/observedGeneration").and_then(Value::as_i64)?;
    let revision = live.pointer("/status/updateRevision").and_then(Value::as_str)?;
    if looked_at < generation {
        return None;
    }
    let labels = pod.metadata.labels.as_ref();
    Some(labels.and_then(|labels| labels.get(LABEL_REVISION)).is_none_or(|has| has != revision))
}

/// Whether the file system waits for a restart to grow, and this pod has not been that restart.
fn grows_at_restart(claim: &Value, pod: &Pod) -> bool {
    let conditions = claim.pointer("/status/conditions").and_then(Value::as_array);
    let since = conditions.into_iter().flatten().find_map(|condition| {
        (condition["type"] == "FileSystemResizePending" && condition["status"] == "True")
            .then(|| condition["lastTransitionTime"].as_str()?.parse::<jiff::Timestamp>().ok())?
    });
    let started = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    matches!((since, started), (Some(since), Some(started)) if started <= since)
}

/// How many validators run what the spec says.
pub(super) fn updated(world: &World<'_>) -> usize {
    let is_updated = |validator: &&ValidatorSpec| {
        let (_, live) = world.stateful_set(validator);
        let need = need(world, validator);
        live.is_some() && need.is_none_or(|need| need.kind != OperationKind::Update)
    };
    world.checked.spec.validators.iter().filter(is_updated).count()
}
