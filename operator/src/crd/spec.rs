//! `BlockchainCluster.spec`. Every field says its unit and its default, because `kubectl explain` shows
//! nothing else; every text and list is bounded, because CEL's cost estimator asks for it. A field that
//! nothing acts on is not here.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{ResourceRequirements, Toleration, TopologySpreadConstraint},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    status = "super::status::BlockchainClusterStatus",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct BlockchainClusterSpec {
    /// The validators that this object runs, each by its name.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub validators: Vec<ValidatorSpec>,

    /// The validators of this ledger that other organisations run. None by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub federation: Option<FederationSpec>,

    /// How the chain comes to be. By default the operator collects the public keys that the validators
    /// made and publishes the genesis document.
    #[serde(default)]
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
    pub resources: Option<ResourceRequirements>,

    /// Labels that a validator's node must have. None by default.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,

    /// Taints that the validators tolerate. None by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,

    /// PriorityClass of the validators. None by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,

    /// A PodTemplateSpec that is merged over the operator's, last: for what has no field of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub pod_overrides: Option<serde_json::Value>,

    /// Further fields of the validators' `cairn.toml`, as docs/configuration.md has them:
    /// `{"intake": {"transactions": 20000}}`. What the operator writes itself cannot be set here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub config: Option<serde_json::Value>,

    /// Who may reach the validators over the network.
    #[serde(default)]
    pub network_policy: NetworkPolicySpec,

    /// What the Prometheus operator gets, where it is installed.
    #[serde(default)]
    pub monitoring: MonitoringSpec,

    /// Names of validators whose pods are stopped, their volumes kept. None by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub fenced_validators: Vec<String>,

    /// Stops every pod and keeps every volume. `paused` wins. False by default.
    #[serde(default)]
    pub suspend: bool,

    /// The operator looks and reports, and changes nothing. False by default.
    #[serde(default)]
    pub paused: bool,
}

/// A validator that this object runs.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ValidatorSpec {
    /// Its name in the federation: a DNS label of at most 20 characters.
    pub name: String,
    /// Its voting power in the genesis, at least 1. 1 by default.
    #[serde(default = "one")]
    pub power: u32,
    /// A Secret with the member's private key. By default the validator makes its own, on its volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_key_secret: Option<SecretKeyRef>,
    /// An image of its own, when its member wants to pin one. `spec.image` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageSpec>,
    /// CPU and memory. `spec.resources` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Its volume. `spec.storage.data` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<VolumeSpec>,
    /// Labels that its node must have. `spec.nodeSelector` by default.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that it tolerates. `spec.tolerations` by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
}

fn one() -> u32 {
    1
}

/// One key of a Secret in the same namespace.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SecretKeyRef {
    /// The Secret.
    pub name: String,
    /// Its key.
    pub key: String,
}

/// The part of the federation that runs elsewhere.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FederationSpec {
    /// Who administers this Kubernetes cluster, for `status.trust`. `self` by default.
    #[serde(default = "this_domain")]
    pub admin_domain: String,
    /// The other organisations' validators, each by its name.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub members: Vec<MemberSpec>,
}

fn this_domain() -> String {
    "self".into()
}

/// A validator that another organisation runs.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberSpec {
    /// Its name in the federation.
    pub name: String,
    /// Its public consensus key, base58.
    pub consensus_key: String,
    /// Its member's public key, base58.
    pub member_key: String,
    /// Its voting power. 1 by default.
    #[serde(default = "one")]
    pub power: u32,
    /// Where its mesh listens, as host:port.
    pub endpoint: String,
    /// Who administers the machines that it runs on.
    pub admin_domain: String,
}

/// How the chain comes to be. Cannot be changed once it has.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BootstrapSpec {
    /// A ConfigMap with the genesis document that the federation agreed on. Until it exists, the validators
    /// show their public keys in `status.members`. Without it, the operator makes the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genesis_ref: Option<ConfigMapKeyRef>,
}

/// One key of a ConfigMap in the same namespace.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfigMapKeyRef {
    /// The ConfigMap.
    pub name: String,
    /// Its key. `genesis.json` by default.
    #[serde(default = "genesis_key")]
    pub key: String,
}

fn genesis_key() -> String {
    "genesis.json".into()
}

/// The chain.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChainSpec {
    /// Its name in the genesis document. This object's name by default. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The chain id that the genesis document must have: 64 hexadecimal digits. Any by default. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_id: Option<String>,
}

/// An image. By default the one that the operator was installed with; a cluster that runs keeps the image
/// that it was made with until this field says otherwise.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageSpec {
    /// Registry and name, as `registry.example/cairn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Tag. Ignored by the container runtime when there is a digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Digest, as `sha256:…`: what you tested is what runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// When the image is pulled. IfNotPresent by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_policy: Option<PullPolicy>,
    /// Names of Secrets with the registry's credentials. None by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
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

/// What orders the transactions.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OrderSpec {
    /// Raft, among the validators; or TiKV. Raft by default. Cannot be changed.
    #[serde(rename = "type", default)]
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

/// An existing TiKV cluster. One of `tls` and `plaintext` must be said.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TikvSpec {
    /// PD's endpoints, as `pd-0.pd:2379`; one is enough to find the others.
    pub pd_endpoints: Vec<String>,
    /// Every key begins with it: a-z, 0-9 and `-`. No two ledgers share one. Cannot be changed.
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
    /// A Secret of type kubernetes.io/tls with `ca.crt`, `tls.crt` and `tls.key`.
    pub secret_name: String,
}

/// The validators' volumes.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StorageSpec {
    /// Keys, signing state, blocks and log of a validator.
    #[serde(default)]
    pub data: VolumeSpec,
    /// What becomes of the volumes.
    #[serde(default)]
    pub retention: RetentionSpec,
}

/// A volume.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSpec {
    /// Its size, as `20Gi`. It can grow, never shrink. 20Gi by default.
    #[serde(default = "data_size")]
    pub size: Quantity,
    /// StorageClass. The cluster's default by default. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,
    /// Access mode. ReadWriteOncePod keeps a second pod out, where the class can do it. ReadWriteOnce by default. Cannot be changed.
    #[serde(default)]
    pub access_mode: AccessMode,
}

fn data_size() -> Quantity {
    Quantity("20Gi".into())
}

impl Default for VolumeSpec {
    fn default() -> Self {
        Self { size: data_size(), storage_class_name: None, access_mode: AccessMode::default() }
    }
}

/// Who may mount a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AccessMode {
    /// One node.
    #[default]
    ReadWriteOnce,
    /// One pod.
    ReadWriteOncePod,
}

/// What becomes of the volumes.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetentionSpec {
    /// When this object is deleted: Retain keeps volumes and genesis, so that an object of the same name goes on with them; Delete removes them for ever. Retain by default.
    #[serde(default)]
    pub when_deleted: Retention,
}

/// Keep or remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Retention {
    /// Keep.
    #[default]
    Retain,
    /// Remove.
    Delete,
}

/// The client API.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiSpec {
    /// The Service in front of all validators that are ready.
    #[serde(default)]
    pub service: ServiceSpec,
    /// An Ingress. None by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressSpec>,
    /// An HTTPRoute of the Gateway API, where it is installed. None by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewaySpec>,
    /// The API's certificate. Plain HTTP by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ApiTlsSpec>,
    /// A Secret whose key holds API keys, as `cairn key api` prints them. Everyone may read and write by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_secret: Option<SecretKeyRef>,
}

/// The Service of the client API.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSpec {
    /// ClusterIP, NodePort or LoadBalancer. ClusterIP by default.
    #[serde(rename = "type", default)]
    pub kind: ServiceKind,
    /// Annotations, for the cloud's load balancer. None by default.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Type of a Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceKind {
    /// Inside the cluster.
    #[default]
    ClusterIP,
    /// On each node.
    NodePort,
    /// By the cloud's load balancer.
    LoadBalancer,
}

/// An Ingress to the client API.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressSpec {
    /// Host name.
    pub host: String,
    /// IngressClass. The cluster's default by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_name: Option<String>,
    /// Annotations. None by default.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// A Secret with the certificate that the Ingress shows. None by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_secret_name: Option<String>,
}

/// An HTTPRoute to the client API.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySpec {
    /// The Gateway.
    pub name: String,
    /// Its namespace. This object's by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Host names. Those of the Gateway by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
}

/// The API's certificate: one of the two.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiTlsSpec {
    /// A Secret of type kubernetes.io/tls. It is read again when it changes, without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// An issuer of cert-manager, which makes the Secret and renews it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_ref: Option<IssuerRef>,
}

/// An issuer of cert-manager.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IssuerRef {
    /// Its name.
    pub name: String,
    /// Issuer or ClusterIssuer. Issuer by default.
    #[serde(default)]
    pub kind: IssuerKind,
}

/// Kind of an issuer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IssuerKind {
    /// Of the namespace.
    #[default]
    Issuer,
    /// Of the cluster.
    ClusterIssuer,
}

/// How a change reaches the validators.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateSpec {
    /// RollingUpdate goes on by itself; Supervised waits until the annotation `cairndb.io/approve-update` holds the object's generation; OnDelete changes a validator when you delete its pod. RollingUpdate by default.
    #[serde(default)]
    pub strategy: UpdateStrategy,
    /// A validator that is not ready so many seconds after its change halts the update. 600 by default.
    #[serde(default = "update_timeout")]
    pub timeout_seconds: u32,
    /// A validator that is so many blocks behind the best is not caught up. 3 by default.
    #[serde(default = "max_lag")]
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
    /// Auto allows as many evictions at a time as leave more than 2/3 of the voting power. Auto by default.
    #[serde(default)]
    pub pod_disruption_budget: DisruptionBudget,
    /// Whether two validators may share what `topologyKey` names. Preferred (not to) by default.
    #[serde(default)]
    pub anti_affinity: AntiAffinity,
    /// A label of nodes. `kubernetes.io/hostname` by default.
    #[serde(default = "hostname")]
    pub topology_key: String,
    /// Further constraints on where validators go. None by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
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
    #[schemars(schema_with = "network_peers")]
    pub api_from: Vec<k8s_openapi::api::networking::v1::NetworkPolicyPeer>,
    /// Who may read metrics, on the admin port: NetworkPolicyPeers. Nobody but the operator by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "network_peers")]
    pub metrics_from: Vec<k8s_openapi::api::networking::v1::NetworkPolicyPeer>,
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
    pub labels: BTreeMap<String, String>,
}

/// An object whose fields are not ours to list.
fn any_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// NetworkPolicyPeers: the API server knows their fields better than we do.
fn network_peers(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let item = any_object(generator);
    schemars::json_schema!({ "type": "array", "maxItems": 32, "items": item })
}
