//! What a plan is made from, and the few questions that every part of it asks.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    check::Checked,
    crd::{BlockchainCluster, OperationStatus, ValidatorSpec},
    health::Health,
    manifest::{Kind, Manifest},
    objects,
    observe::Observed,
};

/// The cluster, its checked spec, what was seen, and what of it would be written.
pub(super) struct World<'a> {
    pub(super) cluster: &'a BlockchainCluster,
    pub(super) checked: &'a Checked,
    pub(super) observed: &'a Observed,
    /// What surrounds the validators, of the kinds that this API server knows. Made once: several parts of
    /// the plan ask for it, and making manifests is most of what a plan costs.
    pub(super) surroundings: Vec<Manifest>,
    /// By validator, for the same reason.
    stateful_sets: BTreeMap<&'a str, Manifest>,
}

impl<'a> World<'a> {
    pub(super) fn new(
        cluster: &'a BlockchainCluster,
        checked: &'a Checked,
        observed: &'a Observed,
    ) -> Self {
        let is_known = |kind: Kind| !kind.is_optional() || observed.installed.contains(&kind);
        let mut surroundings = objects::surroundings(checked);
        surroundings.retain(|manifest| is_known(manifest.kind));
        let stateful_sets = (checked.spec.validators.iter())
            .map(|v| (v.name.as_str(), objects::stateful_set(checked, v)))
            .collect();
        Self { cluster, checked, observed, surroundings, stateful_sets }
    }

    /// The change that is under way, as the status remembers it.
    pub(super) fn operation(&self) -> Option<&'a OperationStatus> {
        self.cluster.status.as_ref()?.operation.as_ref()
    }

    /// An object as it is.
    pub(super) fn live(&self, kind: Kind, name: &str) -> Option<&'a Value> {
        self.observed.objects.get(&(kind, name.to_owned()))
    }

    /// How a validator is.
    pub(super) fn health(&self, validator: &str) -> Health<'a> {
        Health::of(self.observed, validator)
    }

    /// Whether a person stopped it.
    pub(super) fn is_fenced(&self, validator: &str) -> bool {
        self.checked.spec.fenced_validators.iter().any(|fenced| fenced == validator)
    }

    /// Validators whose volume and pod may be written.
    pub(super) fn changeable(&self) -> impl Iterator<Item = &'a ValidatorSpec> {
        let checked = self.checked;
        let validators = checked.spec.validators.iter();
        validators.filter(|validator| !checked.barred.contains_key(&validator.name))
    }

    /// A validator's StatefulSet, as it should be and as it is.
    pub(super) fn stateful_set(&self, validator: &ValidatorSpec) -> (&Manifest, Option<&'a Value>) {
        let desired = &self.stateful_sets[validator.name.as_str()];
        let live = self.live(Kind::StatefulSet, &desired.name);
        (desired, live)
    }
}

/// Whether an object is on its way out: what it should be is written once it is gone.
pub(super) fn is_going(live: &Value) -> bool {
    live.pointer("/metadata/deletionTimestamp").is_some()
}
