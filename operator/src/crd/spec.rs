//! `BlockchainCluster.spec`. Every field says its unit and its default, because `kubectl explain` shows
//! nothing else; every text and list is bounded, because CEL's cost estimator asks for it. A field that
//! nothing acts on is not here.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ApiSpec, AvailabilitySpec, MonitoringSpec, NetworkPolicySpec, OrderSpec, StorageSpec,
    StoreSpec, TikvSpec, UpdateSpec, VolumeSpec, rules, schemas,
};

/// A ledger that a federation runs together: the validators that this Kubernetes cluster runs of it.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "cairndb.io",
    version = "v1alpha1",
    kind = "BlockchainCluster",
    plural = "blockchainclusters",
    shortname = "bcc",
    category = "cairn",
    namespaced,
    doc = "A ledger that a federation runs together. This object is the validators that one Kubernetes cluster runs of it: spec says which, status says how they are.",
    status = "super::status::BlockchainClusterStatus",
    derive = "PartialEq",
    selectable = ".spec.order.type",
    selectable = ".spec.store.type",
    printcolumn(name = "Validators", type_ = "integer", json_path = ".status.validators", description = "Validators that this object runs"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyValidators", description = "Validators of them that serve"),
    printcolumn(name = "Quorum", type_ = "string", json_path = ".status.quorum", description = "Voting power that votes now, and that is needed"),
    printcolumn(name = "Order", type_ = "string", json_path = ".spec.order.type", description = "What orders the transactions"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.currentVersion", description = "What the validators say they run"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Whether it is ready, or why not"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Progress", type_ = "string", json_path = ".status.conditions[?(@.type==\"Progressing\")].reason", description = "What is being done", priority = "1"),
    printcolumn(name = "Image", type_ = "string", json_path = ".status.image", description = "What validators without an image of their own should run", priority = "1"),
    printcolumn(name = "Leader", type_ = "string", json_path = ".status.leader", description = "The validator that leads the log", priority = "1"),
    printcolumn(name = "Chain", type_ = "string", json_path = ".status.chainId", description = "The chain id", priority = "1"),
    validation = rules::cluster_name(),
    validation = rules::chain_id_stays()
)]
#[x_kube(validation = rules::tikv_is_there(), validation = rules::tikv_is_used())]
#[x_kube(validation = rules::members_are_not_validators(), validation = rules::federation_size())]
#[x_kube(validation = rules::fenced_exist(), validation = rules::volumes_only_grow())]
#[x_kube(validation = rules::volumes_keep_their_class(), validation = rules::volumes_keep_their_access_mode())]
#[serde(rename_all = "camelCase")]
pub struct BlockchainClusterSpec {
    /// The validators that this object runs, each by its name: 1 to 31. A federation of 4 or more tolerates one that
    /// lies; fewer tolerate none.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    #[schemars(length(min = 1, max = 31))]
    #[x_kube(validation = rules::member_secrets_differ())]
    pub validators: Vec<ValidatorSpec>,

    /// The validators of this ledger that other organisations run. None by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub federation: Option<FederationSpec>,

    /// How the chain comes to be. By default the operator collects the public keys that the validators
    /// made and publishes the genesis document. Cannot be changed.
    #[serde(default)]
    #[x_kube(validation = rules::immutable("bootstrap", "an object that begins otherwise is another object"))]
    pub bootstrap: BootstrapSpec,

    /// The chain. Its name is this object's by default.
    #[serde(default)]
    pub chain: ChainSpec,

    /// The validators' image.
    #[serde(default)]
    pub image: ImageSpec,

    /// What orders the transactions. Cannot be changed.
    #[serde(default)]
    pub order: OrderSpec,

    /// Where blocks and state are. Cannot be changed.
    #[serde(default)]
    pub store: StoreSpec,

    /// The TiKV cluster, when `order` or `store` is in one. It is yours; the operator runs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tikv: Option<TikvSpec>,

    /// The validators' volumes.
    #[serde(default)]
    pub storage: StorageSpec,

    /// The client API: its Service, its way in from outside, its certificate.
    #[serde(default)]
    pub api: ApiSpec,

    /// How a changed image, configuration or size reaches the validators: always one at a time.
    #[serde(default)]
    pub update: UpdateSpec,

    /// What keeps the federation voting while nodes of Kubernetes come and go.
    #[serde(default)]
    pub availability: AvailabilitySpec,

    /// CPU and memory of each validator. None requested by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schemas::resources")]
    pub resources: Option<ResourceRequirements>,

    /// Labels that a validator's node must have. None by default.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schemas::node_labels")]
    pub node_selector: BTreeMap<String, String>,

    /// Taints that the validators tolerate. None by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,

    /// PriorityClass of the validators. None by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = rules::object_name())]
    pub priority_class_name: Option<String>,

    /// A PodTemplateSpec that is merged over the operator's, last: for what has no field of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schemas::pod_overrides")]
    pub pod_overrides: Option<serde_json::Value>,

    /// Further fields of the validators' `cairn.toml`, as docs/configuration.md has them:
    /// `{"intake": {"transactions": 20000}}`. What the operator writes itself cannot be set here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schemas::config")]
    pub config: Option<serde_json::Value>,

    /// Who may reach the validators over the network.
    #[serde(default)]
    pub network_policy: NetworkPolicySpec,

    /// What the Prometheus operator gets, where it is installed.
    #[serde(default)]
    pub monitoring: MonitoringSpec,

    /// Names of validators whose pods are stopped at once, whatever becomes of the quorum; their volumes are
    /// kept. None by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[schemars(length(max = 31), inner(length(max = 20)))]
    pub fenced_validators: Vec<String>,

    /// True stops every pod and keeps every volume. paused wins. False by default.
    #[serde(default)]
    pub suspend: bool,

    /// True makes the operator look and report, and change nothing. False by default.
    #[serde(default)]
    pub paused: bool,
}

/// A validator that this object runs.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ValidatorSpec {
    /// Its name in the federation: a DNS label of at most 20 characters. Cannot be changed.
    #[schemars(length(max = 20))]
    #[x_kube(validation = rules::validator_name())]
    #[x_kube(validation = rules::validator_name_is_free())]
    pub name: String,
    /// Its voting power in the genesis, at least 1. 1 by default.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub power: u32,
    /// A Secret with the member's private key. By default the validator makes its own, on its volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_key_secret: Option<SecretKeyRef>,
    /// An image of its own, when its member wants to pin one. spec.image by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageSpec>,
    /// CPU and memory. spec.resources by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schemas::resources")]
    pub resources: Option<ResourceRequirements>,
    /// Its volume. spec.storage.data by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<VolumeSpec>,
    /// Labels that its node must have. spec.nodeSelector by default.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schemas::node_labels")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that it tolerates. spec.tolerations by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
}

fn one() -> u32 {
    1
}

/// One key of a Secret in the same namespace.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SecretKeyRef {
    /// The name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = rules::object_name())]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = rules::data_key())]
    pub key: String,
}

/// The part of the federation that runs elsewhere.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FederationSpec {
    /// Who administers this Kubernetes cluster, for status.trust. "self" by default.
    #[serde(default = "this_domain")]
    #[schemars(length(min = 1, max = 253))]
    pub admin_domain: String,
    /// The other organisations' validators, each by its name: at most 127. None by default.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    #[schemars(length(max = 127))]
    #[x_kube(validation = rules::consensus_keys_differ())]
    #[x_kube(validation = rules::member_keys_differ())]
    #[x_kube(validation = rules::roles_have_keys_of_their_own())]
    #[x_kube(validation = rules::endpoints_differ())]
    pub members: Vec<MemberSpec>,
}

fn this_domain() -> String {
    "self".into()
}

/// A validator that another organisation runs.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberSpec {
    /// Its name in the federation: a DNS label of at most 63 characters.
    #[schemars(length(max = 63))]
    #[x_kube(validation = rules::member_name())]
    pub name: String,
    /// Its public consensus key, base58.
    #[schemars(length(max = 44))]
    #[x_kube(validation = rules::public_key())]
    pub consensus_key: String,
    /// Its member's public key, base58.
    #[schemars(length(max = 44))]
    #[x_kube(validation = rules::public_key())]
    pub member_key: String,
    /// Its voting power in the genesis, at least 1. 1 by default.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub power: u32,
    /// Where its mesh listens, as host:port, such as bob.example:9987.
    #[schemars(length(max = 261))]
    #[x_kube(validation = rules::host_port())]
    pub endpoint: String,
    /// Who administers the machines that it runs on.
    #[schemars(length(min = 1, max = 253))]
    pub admin_domain: String,
}

/// How the chain comes to be. Cannot be changed once it has.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BootstrapSpec {
    /// A ConfigMap with the genesis document that the federation agreed on. Until it exists, the validators
    /// show their public keys in status.members. Without it, the operator makes the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genesis_ref: Option<ConfigMapKeyRef>,
}

/// One key of a ConfigMap in the same namespace.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfigMapKeyRef {
    /// The name of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = rules::object_name())]
    pub name: String,
    /// The key in it. genesis.json by default.
    #[serde(default = "genesis_key")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = rules::data_key())]
    pub key: String,
}

fn genesis_key() -> String {
    "genesis.json".into()
}

/// The chain.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::chain_name_stays())]
pub struct ChainSpec {
    /// Its name in the genesis document. This object's name by default. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub name: Option<String>,
    /// The chain id that the genesis document must have: 64 hexadecimal digits. Any by default. Cannot be changed
    /// once it is set or there is a genesis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = rules::chain_id())]
    pub chain_id: Option<String>,
}

/// An image. By default the one that the operator was installed with; a cluster that runs keeps the image
/// that it was made with until this field says otherwise.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageSpec {
    /// Registry and name, such as registry.example/cairn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    #[x_kube(validation = rules::repository())]
    pub repository: Option<String>,
    /// Tag. Ignored by the container runtime when there is a digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    #[x_kube(validation = rules::tag())]
    pub tag: Option<String>,
    /// Digest, as sha256: and 64 hexadecimal digits: what you tested is what runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    #[x_kube(validation = rules::digest())]
    pub digest: Option<String>,
    /// When the image is pulled. IfNotPresent by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_policy: Option<PullPolicy>,
    /// Names of Secrets with the registry's credentials. None by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 253)))]
    #[x_kube(merge_strategy = ListMerge::Set, validation = rules::object_names())]
    pub pull_secrets: Vec<String>,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PullPolicy {
    /// When the node does not have it.
    #[default]
    IfNotPresent,
    /// Before each start.
    Always,
    /// Never: the node must have it.
    Never,
}
