//! Can this spec be run, with what is there? Pure. What passes is [`Checked`], and only `check` makes one:
//! `plan` and the manifests have nothing left to ask.
//!
//! Two kinds of no. A [`Refusal`] of the whole cluster freezes it: nothing is created or changed, what runs
//! goes on. A refusal of one validator ([`Checked::barred`]) freezes that one; the others go on.

use std::collections::BTreeMap;

use cairn_ledger::genesis::Genesis;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};

use crate::{
    crd::{BlockchainCluster, BlockchainClusterSpec, OrderKind, StoreKind},
    manifest::Kind,
    names::{ANNOTATION_APPROVE, ClusterName},
    observe::Observed,
};

mod genesis;
pub mod image;
mod membership;
mod spec;
mod volumes;

pub use membership::Membership;

/// A spec that can be planned for.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Where it is and what it is called.
    pub name: ClusterName,
    /// The reference that owned objects carry.
    pub owner: OwnerReference,
    /// The object's uid.
    pub uid: String,
    /// The generation that was checked.
    pub generation: i64,
    /// The spec as it can be run: of validators and federation members those that are in the genesis, all
    /// of them before there is one. The others are in `membership`.
    pub spec: BlockchainClusterSpec,
    /// The genesis, once it is published, or agreed on with every key in it right.
    pub genesis: Option<Genesis>,
    /// Whether the genesis is out already: then validators may run, and change one at a time.
    pub founded: bool,
    /// Who or what the genesis waits for, while there is none.
    pub waiting_for: String,
    /// The image of validators that have none of their own, whole: with tag or digest.
    pub image: String,
    /// The image that the operator was installed with when the cluster was made.
    pub default_image: String,
    /// Whether a person approved this generation's update.
    pub approved: bool,
    /// How the spec's validators and the genesis' differ.
    pub membership: Membership,
    /// Validators whose volume and pod are left as they are, and why.
    pub barred: BTreeMap<String, Refusal>,
}

/// Why a spec is not planned for. Nothing is created or changed while one of these holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Refusal {
    /// The reason in CamelCase, as conditions have it.
    pub reason: &'static str,
    /// The condition that it makes false.
    pub condition: &'static str,
    /// The field that would have to change.
    pub field: String,
    /// One sentence: what is wrong and what would have been fine.
    pub message: String,
}

/// Pure: can it be run?
///
/// # Errors
/// Everything that stands in the way, not only the first.
pub fn check(cluster: &BlockchainCluster, observed: &Observed) -> Result<Checked, Vec<Refusal>> {
    let name = ClusterName {
        namespace: cluster.namespace().unwrap_or_default(),
        name: cluster.name_any(),
    };
    let uid = cluster.uid().unwrap_or_default();
    let mut refusals = spec::refusals(&cluster.spec);
    refusals.extend(rivals(cluster, observed));
    refusals.extend(strangers(&uid, observed));
    refusals.extend(volumes::refusals(&name, &cluster.spec, observed));
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let found = genesis::find(cluster, &name, observed)?;
    let (spec, membership) = match &found.genesis {
        Some(genesis) => membership::reconcile(&cluster.spec, genesis),
        None => (cluster.spec.clone(), Membership::default()),
    };
    let status = cluster.status.as_ref();
    let pinned = status.and_then(|status| status.default_image.as_deref());
    let default_image = pinned.unwrap_or(&observed.default_image).to_owned();
    let image = image::resolve(&spec.image, &default_image);
    let barred = volumes::barred(&name, &spec, &found, observed);
    let generation = cluster.metadata.generation.unwrap_or(0);
    let approval = cluster.annotations().get(ANNOTATION_APPROVE);
    Ok(Checked {
        owner: cluster.controller_owner_ref(&()).unwrap_or_default(),
        uid,
        generation,
        spec,
        founded: found.founded,
        genesis: found.genesis,
        waiting_for: found.waiting_for,
        image,
        default_image,
        approved: approval.is_some_and(|approval| *approval == generation.to_string()),
        membership,
        barred,
        name,
    })
}

/// Two ledgers under one prefix would overwrite each other: the older one keeps it.
fn rivals(cluster: &BlockchainCluster, observed: &Observed) -> Option<Refusal> {
    let spec = &cluster.spec;
    let uses_tikv = spec.order.kind == OrderKind::TiKV || spec.store.kind == StoreKind::TiKV;
    let prefix = spec.tikv.as_ref().filter(|_| uses_tikv).map(|tikv| &tikv.key_prefix)?;
    let rival = observed.prefix_rivals.first()?;
    Some(Refusal {
        reason: "PrefixConflict",
        condition: "SpecValid",
        field: "spec.tikv.keyPrefix".into(),
        message: format!(
            "{rival} is older and has the prefix {prefix} in this TiKV cluster: no two ledgers may share one"
        ),
    })
}

/// Objects of ours that another object of this name controls: what it leaves behind while it is deleted.
fn strangers(uid: &str, observed: &Observed) -> Option<Refusal> {
    let (kind, name) = observed
        .objects
        .iter()
        .find(|(_, live)| controller_of(live).is_some_and(|owner| owner != uid))?
        .0;
    let kind: &Kind = kind;
    Some(Refusal {
        reason: "NameConflict",
        condition: "Progressing",
        field: "metadata.name".into(),
        message: format!(
            "the {} {name} is controlled by another object: it is waited for until that is gone",
            kind.names().1
        ),
    })
}

/// The uid of whoever controls an object.
pub(crate) fn controller_of(live: &serde_json::Value) -> Option<&str> {
    let owners = live.pointer("/metadata/ownerReferences")?.as_array()?;
    owners.iter().find(|owner| owner["controller"] == true)?["uid"].as_str()
}
