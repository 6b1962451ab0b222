//! What the operator writes: a manifest of one of the kinds that it owns, and whether what is there
//! already says the same ([`compare`]).

mod compare;

pub(crate) use compare::name_of_elements;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::names::ANNOTATION_APPLIED;

/// The kinds that the operator writes. A new one needs a verb in the chart's RBAC, which a test compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Configuration of validators; the genesis document.
    ConfigMap,
    /// Peers of one validator; the client API.
    Service,
    /// One for each validator, without a token.
    ServiceAccount,
    /// A validator's volume.
    PersistentVolumeClaim,
    /// A validator.
    StatefulSet,
    /// How many validators may be evicted.
    PodDisruptionBudget,
    /// Who may reach whom.
    NetworkPolicy,
    /// Way in from outside.
    Ingress,
    /// Way in from outside, by the Gateway API.
    HttpRoute,
    /// cert-manager's Certificate.
    Certificate,
    /// Of the Prometheus operator.
    PodMonitor,
    /// Of the Prometheus operator.
    PrometheusRule,
}

impl Kind {
    /// All of them, in the order in which they are applied: what a pod needs comes before the pod.
    pub const ALL: [Self; 12] = [
        Self::ServiceAccount,
        Self::ConfigMap,
        Self::Service,
        Self::PersistentVolumeClaim,
        Self::NetworkPolicy,
        Self::PodDisruptionBudget,
        Self::Certificate,
        Self::StatefulSet,
        Self::Ingress,
        Self::HttpRoute,
        Self::PodMonitor,
        Self::PrometheusRule,
    ];

    /// Group and version, kind, plural: as the API server names it.
    #[must_use]
    pub const fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::ConfigMap => ("v1", "ConfigMap", "configmaps"),
            Self::Service => ("v1", "Service", "services"),
            Self::ServiceAccount => ("v1", "ServiceAccount", "serviceaccounts"),
            Self::PersistentVolumeClaim => {
                ("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
            }
            Self::StatefulSet => ("apps/v1", "StatefulSet", "statefulsets"),
            Self::PodDisruptionBudget => {
                ("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
            }
            Self::NetworkPolicy => ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
            Self::Ingress => ("networking.k8s.io/v1", "Ingress", "ingresses"),
            Self::HttpRoute => ("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes"),
            Self::Certificate => ("cert-manager.io/v1", "Certificate", "certificates"),
            Self::PodMonitor => ("monitoring.coreos.com/v1", "PodMonitor", "podmonitors"),
            Self::PrometheusRule => {
                ("monitoring.coreos.com/v1", "PrometheusRule", "prometheusrules")
            }
        }
    }

    /// Its place in [`Kind::ALL`].
    #[must_use]
    pub fn rank(self) -> usize {
        Self::ALL.iter().take_while(|kind| **kind != self).count()
    }

    /// Whether its CRD comes with something else, so that it may be missing.
    #[must_use]
    pub const fn is_optional(self) -> bool {
        matches!(
            self,
            Self::HttpRoute | Self::Certificate | Self::PodMonitor | Self::PrometheusRule
        )
    }
}

/// An object as it should be: apiVersion, kind, metadata with namespace, labels and owner, and the rest.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// All of it, without the annotation that remembers it.
    pub value: Value,
}

impl Manifest {
    /// The manifest's hash: equal for what says the same, whatever the order of its keys.
    #[must_use]
    pub fn hash(&self) -> String {
        hash(&self.value)
    }

    /// What is sent: the manifest, with the annotation that remembers it.
    #[must_use]
    pub fn annotated(&self) -> Value {
        let mut value = self.value.clone();
        // `IndexMut` makes the objects on the way where there are none; a manifest is an object.
        value["metadata"]["annotations"][ANNOTATION_APPLIED] = self.hash().into();
        value
    }

    /// Whether what is there says something else: another manifest was applied last, or somebody changed
    /// what this one says. What others added beside it is theirs.
    #[must_use]
    pub fn differs(&self, live: &Value) -> bool {
        live["metadata"]["annotations"][ANNOTATION_APPLIED] != self.hash().as_str()
            || !compare::is_within(&self.value, live)
    }
}

/// The first 16 hexadecimal digits of the SHA-256 of a value with its keys sorted.
pub(crate) fn hash(value: &Value) -> String {
    let mut text = Vec::new();
    write_sorted(value, &mut text);
    short_hash(&text)
}

/// The first 16 hexadecimal digits of the SHA-256: enough to tell what was applied last from what is
/// meant now, and short enough for people to compare.
pub(crate) fn short_hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes)[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// serde_json sorts keys only as long as nobody in the build switches its order on: here it matters. Its
/// bytes matter too: other ones would be other hashes, and every validator would restart for them.
fn write_sorted(value: &Value, text: &mut Vec<u8>) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(key, _)| *key);
            text.push(b'{');
            for (key, value) in fields {
                write(key, text);
                text.push(b':');
                write_sorted(value, text);
                text.push(b',');
            }
            text.push(b'}');
        }
        Value::Array(items) => {
            text.push(b'[');
            for item in items {
                write_sorted(item, text);
                text.push(b',');
            }
            text.push(b']');
        }
        other => write(other, text),
    }
}

fn write<T: serde::Serialize + ?Sized>(value: &T, text: &mut Vec<u8>) {
    serde_json::to_writer(text, value).expect("texts and numbers can be written");
}
