//! Can this spec be run, with what is there? Pure. What passes is [`Checked`], and only `check` makes one:
//! `plan` and the manifests have nothing left to ask.

use cairn_ledger::genesis::Genesis;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use crate::{
    crd::{BlockchainCluster, BlockchainClusterSpec},
    names::ClusterName,
    observe::Observed,
};

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
    /// The spec as written, defaults filled in.
    pub spec: BlockchainClusterSpec,
    /// The genesis, once it is published or agreed on and every key in it is right.
    pub genesis: Option<Genesis>,
    /// The image of validators that have none of their own, whole: with tag or digest.
    pub image: String,
    /// Whether a person approved this generation's update.
    pub approved: bool,
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
    let _ = (cluster, observed);
    Err(vec![])
}
