//! Where the log and the blocks are: with the validators, or in a TiKV cluster.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// What orders the transactions.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OrderSpec {
    /// Raft, among the validators; or TiKV. Raft by default. Cannot be changed.
    #[serde(rename = "type", default)]
    #[x_kube(validation = rules::immutable("order.type", "a chain stays in the log that it began in"))]
    pub kind: OrderKind,
}

/// Where the log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OrderKind {
    /// Replicated by the validators themselves.
    #[default]
    Raft,
    /// In a TiKV cluster.
    TiKV,
}

/// Where blocks and state are.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoreSpec {
    /// Embedded, on each validator's volume; or TiKV. Embedded by default. Cannot be changed.
    #[serde(rename = "type", default)]
    #[x_kube(validation = rules::immutable("store.type", "a chain stays in the store that it began in"))]
    pub kind: StoreKind,
}

/// Where the state is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StoreKind {
    /// On each validator's volume.
    #[default]
    Embedded,
    /// In a TiKV cluster.
    TiKV,
}

/// An existing TiKV cluster. Either tls or plaintext must be said.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::tls_or_plaintext())]
pub struct TikvSpec {
    /// PD's endpoints, as host:port, such as pd-0.pd:2379: 1 to 16. One is enough to find the others.
    #[schemars(length(min = 1, max = 16), inner(length(max = 261)))]
    #[x_kube(merge_strategy = ListMerge::Set, validation = rules::hosts_and_ports())]
    pub pd_endpoints: Vec<String>,
    /// Every key begins with it: 1 to 63 of a-z, 0-9 and -. No two ledgers share one. Cannot be changed.
    #[schemars(length(max = 63))]
    #[x_kube(validation = rules::key_prefix())]
    #[x_kube(validation = rules::immutable("keyPrefix", "what the ledger wrote is below it"))]
    pub key_prefix: String,
    /// TLS towards PD and TiKV.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TikvTlsSpec>,
    /// True talks to TiKV without TLS: anyone on the network between can read and change the data. False by default.
    #[serde(default)]
    pub plaintext: bool,
}

/// TLS towards TiKV.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TikvTlsSpec {
    /// A Secret of type kubernetes.io/tls with ca.crt, tls.crt and tls.key.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = rules::object_name())]
    pub secret_name: String,
}
