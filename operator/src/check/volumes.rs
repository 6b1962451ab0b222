//! Volumes hold keys and signing state: one that is gone, going, or of another chain is never made again
//! behind anybody's back. One exception: a validator that keeps its member key elsewhere gets an empty one,
//! on which it follows the chain and signs nothing.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::Value;

use super::{Refusal, genesis::Found};
use crate::{
    crd::{BlockchainClusterSpec, ValidatorSpec, VolumeSpec},
    manifest::Kind,
    names::{ClusterName, LABEL_CHAIN},
    observe::Observed,
    quantity::bytes,
};

/// What no volume can become: smaller, or of another class.
pub(super) fn refusals(
    name: &ClusterName,
    spec: &BlockchainClusterSpec,
    observed: &Observed,
) -> Vec<Refusal> {
    let refusal = |validator: &ValidatorSpec| {
        let volume = validator.storage.as_ref().unwrap_or(&spec.storage.data);
        let live = claim(name, &validator.name, observed);
        let message = match bytes(&volume.size.0) {
            Some(1..) => live.and_then(|live| unchangeable(volume, live))?,
            _ => format!("size {} is no quantity above 0, as 20Gi is", volume.size.0),
        };
        let field = match validator.storage {
            Some(_) => format!("spec.validators[{}].storage", validator.name),
            None => "spec.storage.data".into(),
        };
        Some(Refusal { reason: "SpecInvalid", condition: "SpecValid", field, message })
    };
    let mut refusals: Vec<_> = spec.validators.iter().filter_map(refusal).collect();
    // One field that is wrong for every volume is said once.
    refusals.dedup_by(|a, b| a.field == b.field);
    refusals
}

fn unchangeable(volume: &VolumeSpec, live: &Value) -> Option<String> {
    let claim = live.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let size = live.pointer("/spec/resources/requests/storage").and_then(Value::as_str)?;
    if bytes(&volume.size.0) < bytes(size) {
        let Quantity(wanted) = &volume.size;
        return Some(format!("size is {wanted}, {claim} has {size}: a volume never shrinks"));
    }
    let class = live.pointer("/spec/storageClassName").and_then(Value::as_str);
    if let (Some(wanted), Some(class)) = (volume.storage_class_name.as_deref(), class)
        && wanted != class
    {
        return Some(format!(
            "storageClassName is {wanted}, {claim} is of {class}: it cannot be changed"
        ));
    }
    None
}

/// Validators whose volume is not what it has to be.
pub(super) fn barred(
    name: &ClusterName,
    spec: &BlockchainClusterSpec,
    found: &Found,
    observed: &Observed,
) -> BTreeMap<String, Refusal> {
    let chain = found.genesis.as_ref().map(|genesis| genesis.chain().to_string());
    let mut barred = BTreeMap::new();
    for founder in &spec.validators {
        let validator = &founder.name;
        let claim_name = name.claim(validator);
        let live = claim(name, validator, observed);
        let (reason, message) = match live {
            None if found.founded && !follows_without(spec, founder) => (
                "VolumeLost",
                format!(
                    "the volume {claim_name} is gone, and with it the keys of {validator}: make a claim of that name on the volume itself (spec.volumeName), never on an older copy; without it, {validator} stays away, because the federation does not know its keys"
                ),
            ),
            Some(live) if live.pointer("/metadata/deletionTimestamp").is_some() => (
                "VolumeTerminating",
                format!(
                    "the volume {claim_name} is being deleted and goes with the pod of {validator}: keep the pod running, copy the volume, and make it again from the copy"
                ),
            ),
            Some(live) => match (label(live), &chain) {
                (Some(label), Some(chain)) if !chain.starts_with(label) => (
                    "VolumeForeignChain",
                    format!(
                        "the volume {claim_name} belongs to the chain {label}…, this is {chain}: name this cluster or the validator otherwise, or remove the volume if nobody needs it"
                    ),
                ),
                _ => continue,
            },
            None => continue,
        };
        let field = format!("spec.validators[{validator}]");
        let refusal = Refusal { reason, condition: "StorageHealthy", field, message };
        barred.insert(validator.clone(), refusal);
    }
    barred
}

/// Whether an empty volume is of use to a validator: the federation knows it by its member key, and it is
/// meant to run. A person who stops it may put the lost one back in peace.
fn follows_without(spec: &BlockchainClusterSpec, validator: &ValidatorSpec) -> bool {
    validator.member_key_secret.is_some()
        && !spec.suspend
        && !spec.fenced_validators.contains(&validator.name)
}

/// The chain that a volume belongs to, as far as its label says.
pub(super) fn label(live: &Value) -> Option<&str> {
    live.get("metadata")?.get("labels")?.get(LABEL_CHAIN)?.as_str()
}

/// The claim of a validator's volume, as it is.
pub(super) fn claim<'a>(
    name: &ClusterName,
    validator: &str,
    observed: &'a Observed,
) -> Option<&'a Value> {
    observed.objects.get(&(Kind::PersistentVolumeClaim, name.claim(validator)))
}
