//! `BlockchainCluster.status`: what was seen, as conditions and as one line for each validator. Nothing
//! here changes by itself: heights and times that move are metrics, so that an idle cluster is never
//! written to.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schemas;

/// What the operator saw and did.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockchainClusterStatus {
    /// The generation of the spec that everything below is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The chain: the hash of its genesis document. Once it is here it never changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_id: Option<String>,
    /// How many validators this object runs.
    #[serde(default)]
    pub validators: u32,
    /// How many of them serve.
    #[serde(default)]
    pub ready_validators: u32,
    /// How many of them run what the spec says.
    #[serde(default)]
    pub updated_validators: u32,
    /// The image that validators without one of their own are meant to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What `spec.image` leaves out is taken from here: the image that the operator was installed with when
    /// the cluster was made. It never changes, so that a newer operator restarts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_image: Option<String>,
    /// The version that the validators say they run; several, with commas, while it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_version: Option<String>,
    /// Voting power: what is needed to decide, and what votes now, as votes/needed, such as 4/3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<String>,
    /// The validator that leads the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// Each validator of the federation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub members: Vec<MemberStatus>,
    /// Whom one has to trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<TrustStatus>,
    /// What is being changed now, one thing at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationStatus>,
    /// When certificates end, by their Secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub certificates: BTreeMap<String, Time>,
    /// What holds, and what does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schemas::conditions")]
    pub conditions: Vec<Condition>,
}

/// A validator of the federation, as seen last.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// Its name.
    pub name: String,
    /// What it is now.
    pub role: MemberRole,
    /// Whether it serves; absent when nobody could ask it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// Why it does not, or why nobody could ask it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Its public consensus key, base58.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consensus_key: Option<String>,
    /// Its member's public key, base58.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_key: Option<String>,
    /// Its voting power.
    #[serde(default)]
    pub power: u32,
    /// The version that it says it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How far behind the best it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<Lag>,
    /// Its volume's claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
}

/// What a validator is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MemberRole {
    /// It has made its keys, and waits for the genesis.
    #[default]
    Founding,
    /// It is in the genesis.
    Validator,
    /// Its pod is stopped, because the spec says so.
    Fenced,
    /// Another organisation runs it.
    External,
    /// It is in the spec, and not in the genesis: an election must admit it first.
    Pending,
    /// It is in the genesis, and no longer in the spec: an election must let it go first.
    Removing,
}

/// How far behind the best a validator is, in steps that do not change all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Lag {
    /// No more than update.maxLagBlocks.
    None,
    /// Up to a thousand blocks.
    Blocks,
    /// More.
    Far,
}

/// Whom one has to trust. Counts are of voting power.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustStatus {
    /// How many validators there are, everywhere.
    pub validators: u32,
    /// How many organisations administer them.
    pub admin_domains: u32,
    /// The largest one's voting power, of the total, such as 3/4.
    pub largest_domain: String,
    /// How much voting power may lie or be lost, and the rest still decides and is right.
    pub byzantine_tolerated: u32,
    /// Whether no single organisation can stop or fork the chain.
    pub byzantine_effective: bool,
}

/// What is being changed now.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationStatus {
    /// What kind of change.
    #[serde(rename = "type")]
    pub kind: OperationKind,
    /// The validator that is being changed.
    pub target: String,
    /// The hash of the pod template, or the size, that it is being changed to.
    pub to: String,
    /// Since when.
    pub started_at: Time,
    /// The uid of the pod that it replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// The generation whose approval it has used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<i64>,
}

/// Kinds of changes that are made to one validator at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OperationKind {
    /// A pod is replaced: image, configuration, resources.
    Update,
    /// A volume grows.
    VolumeGrowth,
}
