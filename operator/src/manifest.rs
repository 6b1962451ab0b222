//! What the operator writes: a manifest of one of the kinds that it owns, and whether what is there
//! already says the same.

use serde_json::Value;

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
