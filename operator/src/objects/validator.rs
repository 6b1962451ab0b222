//! What a validator is made of: its configuration, its StatefulSet, its volume; and the genesis that all
//! of them read.

use cairn_ledger::genesis::Genesis;
use serde_json::json;

use super::{config as configuration, is_stopped, kept, owned, pod};
use crate::{
    check::Checked,
    crd::{ValidatorSpec, VolumeSpec},
    manifest::{Kind, Manifest, hash},
    names::{ANNOTATION_TEMPLATE, CONFIG_KEY, GENESIS_KEY, LABEL_CHAIN},
};

/// Former pods' templates that the API server remembers.
const REVISIONS: u32 = 3;

/// A validator's `cairn.toml`. Applied when it is its validator's turn, just before the StatefulSet: a
/// validator that is rescheduled meanwhile must come back with the configuration that it had.
#[must_use]
pub fn config(checked: &Checked, validator: &ValidatorSpec) -> Manifest {
    let text = configuration::cairn_toml(checked, validator);
    let name = checked.name.validator(&validator.name);
    let rest = json!({ "data": { CONFIG_KEY: text } });
    owned(checked, Kind::ConfigMap, name, Some(&validator.name), rest)
}

/// A validator. How many replicas there are is not part of its template: stopping and starting one
/// changes nothing about what it runs.
#[must_use]
pub fn stateful_set(checked: &Checked, validator: &ValidatorSpec) -> Manifest {
    let name = checked.name.validator(&validator.name);
    let mut template = pod::template(checked, validator);
    template["metadata"]["annotations"][ANNOTATION_TEMPLATE] = hash(&template).into();
    let mut rest = json!({
        "spec": {
            "replicas": u8::from(!is_stopped(checked, &validator.name)),
            "selector": { "matchLabels": checked.name.validator_selector(&validator.name) },
            "serviceName": name,
            "podManagementPolicy": "Parallel",
            // The operator deletes a pod when it is its turn; the StatefulSet's controller never does.
            "updateStrategy": { "type": "OnDelete" },
            "revisionHistoryLimit": REVISIONS,
        }
    });
    // By hand: `json!` would copy it.
    rest["spec"]["template"] = template;
    owned(checked, Kind::StatefulSet, name, Some(&validator.name), rest)
}

/// The hash of a StatefulSet's pod template, which its pods carry as an annotation. Nothing else of the
/// StatefulSet is in it.
#[must_use]
pub fn template_hash(stateful_set: &Manifest) -> &str {
    let annotations = &stateful_set.value["spec"]["template"]["metadata"]["annotations"];
    annotations[ANNOTATION_TEMPLATE].as_str().unwrap_or_default()
}

/// A validator's volume: a claim of its own, so that growing it leaves the StatefulSet alone. It is
/// labelled with the chain as soon as there is one.
#[must_use]
pub fn claim(checked: &Checked, validator: &ValidatorSpec) -> Manifest {
    let VolumeSpec { size, storage_class_name, access_mode } =
        validator.storage.as_ref().unwrap_or(&checked.spec.storage.data);
    let rest = json!({
        "metadata": { "labels": { LABEL_CHAIN: checked.genesis.as_ref().map(chain_label) } },
        "spec": {
            "accessModes": [access_mode],
            "resources": { "requests": { "storage": size } },
            "storageClassName": storage_class_name,
        }
    });
    let name = checked.name.claim(&validator.name);
    kept(checked, Kind::PersistentVolumeClaim, name, Some(&validator.name), rest)
}

/// The genesis document as a file. Created once; from then on nothing but its labels could change.
#[must_use]
pub fn genesis(checked: &Checked, genesis: &Genesis) -> Manifest {
    let rest = json!({
        "metadata": { "labels": { LABEL_CHAIN: chain_label(genesis) } },
        "immutable": true,
        "data": { GENESIS_KEY: genesis.to_json() },
    });
    kept(checked, Kind::ConfigMap, checked.name.genesis(), None, rest)
}

/// A label's value has at most 63 characters, a chain id one more.
fn chain_label(genesis: &Genesis) -> String {
    let mut chain = genesis.chain().to_string();
    chain.truncate(63);
    chain
}
