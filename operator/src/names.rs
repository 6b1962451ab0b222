//! Names that Kubernetes objects get, labels, ports: each spelled once.

use std::{collections::BTreeMap, fmt};

/// Group of the custom resource, and prefix of our labels and annotations.
pub const GROUP: &str = "cairndb.io";
/// The field manager of every object that the operator writes.
pub const FIELD_MANAGER: &str = "cairn-operator";
/// Label: the cluster that an object belongs to.
pub const LABEL_CLUSTER: &str = "cairndb.io/cluster";
/// Label: the validator that an object belongs to.
pub const LABEL_VALIDATOR: &str = "cairndb.io/validator";
/// Label of volumes and of the genesis: the first 63 characters of the chain id.
pub const LABEL_CHAIN: &str = "cairndb.io/chain";
/// Annotation: the hash of the manifest that was applied last.
pub const ANNOTATION_APPLIED: &str = "cairndb.io/applied";
/// Annotation of pod templates: what of the configuration needs a restart, as a hash.
pub const ANNOTATION_CONFIG: &str = "cairndb.io/config";
/// Annotation of pod templates, and so of the pods made from them: the template's hash.
pub const ANNOTATION_TEMPLATE: &str = "cairndb.io/template";
/// Annotation of a PodDisruptionBudget that lets nobody go: why.
pub const ANNOTATION_BECAUSE: &str = "cairndb.io/because";
/// Annotation of a running pod: the chain whose genesis it should read now.
pub const ANNOTATION_GENESIS: &str = "cairndb.io/genesis";
/// Annotation of the cluster: the generation whose update a person approved, or resumes.
pub const ANNOTATION_APPROVE: &str = "cairndb.io/approve-update";

/// The client API.
pub const PORT_API: u16 = 9984;
/// The second port for streams.
pub const PORT_EVENTS: u16 = 9985;
/// Health, metrics, status.
pub const PORT_ADMIN: u16 = 9986;
/// The other validators.
pub const PORT_MESH: u16 = 9987;

/// Key of the genesis document in its ConfigMap.
pub const GENESIS_KEY: &str = "genesis.json";
/// Key of a validator's configuration in its ConfigMap.
pub const CONFIG_KEY: &str = "cairn.toml";
/// The container of a validator's pod that is the validator.
pub const CONTAINER: &str = "cairn";

/// A cluster's place: what every name is made of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl ClusterName {
    /// The StatefulSet, peer Service, ConfigMap and ServiceAccount of a validator.
    #[must_use]
    pub fn validator(&self, validator: &str) -> String {
        format!("{}-{validator}", self.name)
    }

    /// The one pod of a validator.
    #[must_use]
    pub fn pod(&self, validator: &str) -> String {
        format!("{}-0", self.validator(validator))
    }

    /// The claim of a validator's volume.
    #[must_use]
    pub fn claim(&self, validator: &str) -> String {
        format!("data-{}", self.validator(validator))
    }

    /// The client Service, Ingress, HTTPRoute.
    #[must_use]
    pub fn api(&self) -> String {
        format!("{}-api", self.name)
    }

    /// The Secret with the API's certificate, where cert-manager makes it.
    #[must_use]
    pub fn api_certificate(&self) -> String {
        format!("{}-api-tls", self.name)
    }

    /// The ConfigMap with the genesis document.
    #[must_use]
    pub fn genesis(&self) -> String {
        format!("{}-genesis", self.name)
    }

    /// Where a validator's mesh listens, for its peers.
    #[must_use]
    pub fn mesh(&self, validator: &str) -> String {
        format!("{}.{}.svc:{PORT_MESH}", self.validator(validator), self.namespace)
    }

    /// Labels that select everything of this cluster. Immutable: they are in selectors.
    #[must_use]
    pub fn selector(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("app.kubernetes.io/name".into(), "cairn".into()),
            (LABEL_CLUSTER.into(), self.name.clone()),
        ])
    }

    /// Labels that select one validator's pod.
    #[must_use]
    pub fn validator_selector(&self, validator: &str) -> BTreeMap<String, String> {
        let mut labels = self.selector();
        labels.insert(LABEL_VALIDATOR.into(), validator.into());
        labels
    }

    /// All labels of an object; of one validator when there is a name.
    #[must_use]
    pub fn labels(&self, validator: Option<&str>) -> BTreeMap<String, String> {
        let mut labels = validator.map_or_else(|| self.selector(), |v| self.validator_selector(v));
        labels.extend([
            ("app.kubernetes.io/instance".into(), self.name.clone()),
            (
                "app.kubernetes.io/component".into(),
                if validator.is_some() { "validator" } else { "cluster" }.into(),
            ),
            ("app.kubernetes.io/managed-by".into(), FIELD_MANAGER.into()),
            ("app.kubernetes.io/part-of".into(), "cairn".into()),
        ]);
        labels
    }
}
