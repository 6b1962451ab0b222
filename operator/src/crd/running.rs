//! How validators change, where they may be, who may reach and watch them.

use std::collections::BTreeMap;

use k8s_openapi::api::{core::v1::TopologySpreadConstraint, networking::v1::NetworkPolicyPeer};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{rules, schemas};

/// How a change reaches the validators.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateSpec {
    /// RollingUpdate goes on by itself. Supervised waits until the annotation cairndb.io/approve-update holds the
    /// object's generation. OnDelete changes a validator when you delete its pod. RollingUpdate by default.
    #[serde(default)]
    pub strategy: UpdateStrategy,
    /// A validator that is not ready so many seconds after its change halts the update: 30 to 86400. 600 by default.
    #[serde(default = "update_timeout")]
    #[schemars(range(min = 30, max = 86_400))]
    pub timeout_seconds: u32,
    /// A validator that is more blocks than this behind the best is not caught up: 1 to 100000. 3 by default.
    #[serde(default = "max_lag")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_lag_blocks: u32,
}

fn update_timeout() -> u32 {
    600
}

fn max_lag() -> u32 {
    3
}

impl Default for UpdateSpec {
    fn default() -> Self {
        Self {
            strategy: UpdateStrategy::default(),
            timeout_seconds: update_timeout(),
            max_lag_blocks: max_lag(),
        }
    }
}

/// Who starts the change of a validator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UpdateStrategy {
    /// The operator.
    #[default]
    RollingUpdate,
    /// The operator, once you approved this generation.
    Supervised,
    /// You, by deleting pods.
    OnDelete,
}

/// What keeps the federation voting.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AvailabilitySpec {
    /// Auto allows as many evictions at a time as leave more than 2/3 of the voting power. Disabled makes no budget.
    /// Auto by default.
    #[serde(default)]
    pub pod_disruption_budget: DisruptionBudget,
    /// Whether two validators may share what topologyKey names: Preferred (rather not), Required (never) or None (they may).
    /// Preferred by default.
    #[serde(default)]
    pub anti_affinity: AntiAffinity,
    /// A label of nodes, such as topology.kubernetes.io/zone. kubernetes.io/hostname by default.
    #[serde(default = "hostname")]
    #[schemars(length(min = 1, max = 317))]
    #[x_kube(validation = rules::label_key())]
    pub topology_key: String,
    /// Further constraints on where validators go. None by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
}

fn hostname() -> String {
    "kubernetes.io/hostname".into()
}

impl Default for AvailabilitySpec {
    fn default() -> Self {
        Self {
            pod_disruption_budget: DisruptionBudget::default(),
            anti_affinity: AntiAffinity::default(),
            topology_key: hostname(),
            topology_spread_constraints: vec![],
        }
    }
}

/// Whether there is a PodDisruptionBudget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DisruptionBudget {
    /// Computed from the voting power.
    #[default]
    Auto,
    /// None.
    Disabled,
}

/// How much validators keep apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AntiAffinity {
    /// When possible.
    #[default]
    Preferred,
    /// Always: a validator without a place of its own waits.
    Required,
    /// Not at all.
    None,
}

/// Who may reach the validators.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicySpec {
    /// Denies everything but peers, the API, metrics and the operator. True by default.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Who may use the API: NetworkPolicyPeers. Everyone by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub api_from: Vec<NetworkPolicyPeer>,
    /// Who may read metrics, on the admin port: NetworkPolicyPeers. Nobody but the operator by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub metrics_from: Vec<NetworkPolicyPeer>,
}

fn yes() -> bool {
    true
}

impl Default for NetworkPolicySpec {
    fn default() -> Self {
        Self { enabled: true, api_from: vec![], metrics_from: vec![] }
    }
}

/// What the Prometheus operator gets. Acted on only where its CRDs are installed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MonitoringSpec {
    /// A PodMonitor. False by default.
    #[serde(default)]
    pub pod_monitor: bool,
    /// A PrometheusRule. False by default.
    #[serde(default)]
    pub rules: bool,
    /// Labels of both, for the Prometheus that selects by them. None by default.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schemas::labels")]
    pub labels: BTreeMap<String, String>,
}
