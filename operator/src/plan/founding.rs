//! Before there is a chain: publishing the genesis, and letting the validators read it at once.

use super::{
    Step,
    need::{Next, needs},
    world::World,
    writes::apply,
};
use crate::{manifest::Kind, names::ANNOTATION_GENESIS, objects};

/// The genesis, once: when it can be made, and is not there. What it says never changes; whether it
/// outlives the cluster may.
pub(super) fn publish(world: &World<'_>) -> Option<Step> {
    let genesis = world.checked.genesis.as_ref()?;
    let manifest = objects::genesis(world.checked, genesis);
    match world.live(Kind::ConfigMap, &manifest.name) {
        None => Some(Step::Publish(manifest)),
        Some(live) if live["data"] == manifest.value["data"] => apply(world, &manifest),
        Some(_) => None,
    }
}

/// Validators that still wait for a genesis that is out: their kubelets would look within a minute or two.
pub(super) fn nudges(world: &World<'_>) -> Vec<Step> {
    let Some(genesis) = &world.checked.genesis else { return vec![] };
    let chain_id = genesis.chain().to_string();
    let waits = |validator: &&crate::crd::ValidatorSpec| {
        let health = world.health(&validator.name);
        let annotations = health.pod.and_then(|pod| pod.metadata.annotations.as_ref());
        let told = annotations.and_then(|annotations| annotations.get(ANNOTATION_GENESIS));
        health.report().is_some_and(|report| report.phase == "founding")
            && !health.is_leaving()
            && told != Some(&chain_id)
    };
    let nudge = |validator: &crate::crd::ValidatorSpec| Step::Nudge {
        pod: world.checked.name.pod(&validator.name),
        chain_id: chain_id.clone(),
    };
    world.changeable().filter(waits).map(nudge).collect()
}

/// Pods of an older template: all at once, since none of them votes.
pub(super) fn restarts(world: &World<'_>) -> Vec<Step> {
    let outdated = needs(world).into_iter().filter(|need| matches!(need.next, Next::Restart));
    outdated.filter_map(|need| restart(world, &need.validator)).collect()
}

/// Replaces a validator's pod, if it has one that is there to stay.
pub(super) fn restart(world: &World<'_>, validator: &str) -> Option<Step> {
    let health = world.health(validator);
    let uid = health.pod_uid().filter(|_| !health.is_leaving())?.to_owned();
    let pod = world.checked.name.pod(validator);
    Some(Step::RestartPod { validator: validator.to_owned(), pod, uid })
}
