//! A BlockchainCluster of a story: how it is made, and what it and its validators say.

use std::net::IpAddr;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use crate::stage::Stage;

/// The port of the API.
pub(crate) const PORT_API: u16 = 9984;
/// The port of health and metrics.
const PORT_ADMIN: u16 = 9986;

/// A federation by name, in the namespace of its story.
#[derive(Clone)]
pub(crate) struct Federation {
    /// The object's name.
    pub(crate) name: String,
    /// Its validators, in the order of the spec.
    pub(crate) validators: Vec<String>,
}

impl Federation {
    /// Four validators, with what the story changes in the spec.
    pub(crate) fn of_four(stage: &Stage, spec: Value) -> anyhow::Result<Self> {
        Self::of(stage, "ledger", &["alice", "bob", "carol", "dave"], spec)
    }

    /// These validators, with what the story changes in the spec.
    pub(crate) fn of(
        stage: &Stage,
        name: &str,
        validators: &[&str],
        spec: Value,
    ) -> anyhow::Result<Self> {
        let federation = Self::apply(stage, name, validators, spec)?;
        federation.is(stage, "Ready", "True")?;
        Ok(federation)
    }

    /// Four validators, and what comes of it is for the story to wait for.
    pub(crate) fn apply_four(stage: &Stage, spec: Value) -> anyhow::Result<Self> {
        Self::apply(stage, "ledger", &["alice", "bob", "carol", "dave"], spec)
    }

    fn apply(stage: &Stage, name: &str, validators: &[&str], spec: Value) -> anyhow::Result<Self> {
        let mut whole = json!({
            "validators": validators.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
            "storage": { "data": { "size": "1Gi" } },
        });
        merge(&mut whole, spec);
        let named = validators.iter().map(|name| (*name).to_owned()).collect();
        let federation = Self { name: name.into(), validators: named };
        let object = json!({
            "apiVersion": "cairndb.io/v1alpha1",
            "kind": "BlockchainCluster",
            "metadata": { "name": federation.name },
            "spec": whole,
        });
        stage.apply(&format!("a federation of {}", validators.join(", ")), &object)?;
        Ok(federation)
    }

    /// Waits until a condition has a status; its reason.
    pub(crate) fn is(&self, stage: &Stage, kind: &str, status: &str) -> anyhow::Result<String> {
        stage.until(&format!("{kind} is {status}"), || {
            let found = self.condition(stage, kind)?;
            ensure!(found["status"] == status, "{kind}: {found}");
            Ok(found["reason"].as_str().unwrap_or_default().to_owned())
        })
    }

    /// A condition, whole.
    pub(crate) fn condition(&self, stage: &Stage, kind: &str) -> anyhow::Result<Value> {
        let object = stage.object("bcc", &self.name)?;
        let generation = &object["metadata"]["generation"];
        ensure!(
            object["status"]["observedGeneration"] == *generation,
            "the spec was not looked at yet"
        );
        let conditions = object["status"]["conditions"].as_array().context("no conditions yet")?;
        let found = conditions.iter().find(|it| it["type"] == kind);
        found.cloned().with_context(|| format!("no condition {kind}"))
    }

    /// Changes the spec by a merge patch.
    pub(crate) fn patch(&self, stage: &Stage, spec: Value) -> anyhow::Result<()> {
        let patch = json!({ "spec": spec }).to_string();
        stage.kubectl(&["patch", "bcc", &self.name, "--type=merge", "--patch", &patch]).map(drop)
    }

    /// The pod of a validator.
    pub(crate) fn pod(&self, validator: &str) -> String {
        format!("{}-{validator}-0", self.name)
    }

    /// Waits until a validator has no pod.
    pub(crate) fn has_no_pod(&self, stage: &Stage, validator: &str) -> anyhow::Result<()> {
        let pod = self.pod(validator);
        stage.until(&format!("{validator} has no pod"), || {
            let found = stage.quietly(&["get", "pod", &pod, "--ignore-not-found", "-o", "name"])?;
            ensure!(found.trim().is_empty(), "{pod} is there");
            Ok(())
        })
    }

    /// Where a validator's API is: the pod's own address.
    pub(crate) fn address(&self, stage: &Stage, validator: &str) -> anyhow::Result<String> {
        self.url(stage, &self.pod_address(stage, validator)?.to_string())
    }

    /// Where a validator's metrics are, for those whom `networkPolicy.metricsFrom` names.
    pub(crate) fn metrics(&self, stage: &Stage, validator: &str) -> anyhow::Result<String> {
        Ok(format!("http://{}:{PORT_ADMIN}/metrics", self.pod_address(stage, validator)?))
    }

    fn pod_address(&self, stage: &Stage, validator: &str) -> anyhow::Result<IpAddr> {
        let pod = stage.object("pod", &self.pod(validator))?;
        let Some(address) = pod["status"]["podIP"].as_str() else { bail!("it has no address yet") };
        Ok(address.parse()?)
    }

    /// Where the API of all is: the Service's address.
    pub(crate) fn service(&self, stage: &Stage) -> anyhow::Result<String> {
        let service = stage.object("service", &format!("{}-api", self.name))?;
        let address = service["spec"]["clusterIP"].as_str().context("no address")?;
        self.url(stage, address)
    }

    /// By TLS, if the API has a certificate.
    fn url(&self, stage: &Stage, address: &str) -> anyhow::Result<String> {
        let tls = &stage.object("bcc", &self.name)?["spec"]["api"]["tls"];
        let scheme = if tls.is_null() { "http" } else { "https" };
        Ok(format!("{scheme}://{}:{PORT_API}", address.parse::<IpAddr>()?))
    }
}

/// A JSON merge patch, RFC 7396.
fn merge(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    into.remove(&key);
                } else {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (into, patch) => *into = patch,
    }
}
