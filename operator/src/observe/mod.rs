//! What is there: the objects that carry the cluster's label, its pods, and what each validator says about
//! itself on its admin port. A fact that could not be observed is an error here, never an old value.

pub(crate) mod cache;
mod keep;
pub(crate) mod look;
pub(crate) mod probe;
pub(crate) mod watch;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;
use serde_json::Value;

use crate::manifest::Kind;

/// Everything that `check`, `plan` and `report` may know. They ask nobody else.
#[derive(Clone, Debug)]
pub struct Observed {
    /// When it was looked at. Only deadlines are compared with it.
    pub now: Timestamp,
    /// The objects that the operator wrote for this cluster, by kind and name, as the API server has them.
    pub objects: BTreeMap<(Kind, String), Value>,
    /// Pods of validators, by the validator's name.
    pub pods: BTreeMap<String, Pod>,
    /// What validators said, by name; an error says why one could not be asked. No entry: no pod to ask.
    pub nodes: BTreeMap<String, Result<NodeReport, String>>,
    /// The ConfigMap that `bootstrap.genesisRef` names: its document, or nothing while it is not there.
    pub genesis_reference: Option<String>,
    /// Other objects that were made before this one and claim the same TiKV prefix, as namespace/name.
    pub prefix_rivals: Vec<String>,
    /// Optional kinds whose CRDs are installed.
    pub installed: BTreeSet<Kind>,
    /// The image of validators when nobody names one: what this operator was installed with.
    pub default_image: String,
}

/// What a validator says on its admin port: `/status` and `/identity` together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NodeReport {
    /// `founding` until it has a genesis, then `running`.
    pub phase: String,
    /// Its name.
    pub validator: String,
    /// The chain, in hexadecimal; empty while it is founding.
    pub chain_id: String,
    /// Its public consensus key, base58.
    pub consensus_key: String,
    /// Its member's public key, base58.
    pub member_key: String,
    /// Height of its last block.
    pub height: u64,
    /// The best height that a peer has shown it.
    pub best_peer: u64,
    /// Whether it serves.
    pub ready: bool,
    /// Why not.
    pub not_ready_because: Option<String>,
    /// Whether it may sign.
    pub voting: bool,
    /// Why not.
    pub not_voting_because: Option<String>,
    /// Whether it leads the log.
    pub leads: bool,
    /// Whether the federation can decide, as seen from it.
    pub quorum: bool,
    /// Why not.
    pub no_quorum_because: Option<String>,
    /// Unix time at which the API's certificate ends; 0 without TLS.
    pub certificate_expiry: i64,
    /// The version that runs.
    pub version: String,
}
