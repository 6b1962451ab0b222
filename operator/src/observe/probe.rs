//! Asking validators how they are, on their admin ports. Answers are bounded in time, in bytes and in
//! number: a validator is a program of somebody's, and its words end up in the status.

use std::{net::IpAddr, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, Uri, body::Bytes};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use super::NodeReport;
use crate::{clock::Stopwatch, metrics::Metrics, names::PORT_ADMIN};

/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// The longest text of an answer that is kept.
const TEXT_CHARS_MAX: usize = 512;
/// Validators that are asked at the same time, of all clusters together.
const AT_ONCE_MAX: usize = 64;
/// Connections to one validator that are kept for the next time.
const IDLE_MAX: usize = 1;
const IDLE: Duration = Duration::from_secs(90);

/// Asks.
pub(crate) struct Prober {
    client: Client<HttpConnector, Empty<Bytes>>,
    permits: Semaphore,
    wait: Duration,
    metrics: Arc<Metrics>,
}

impl Prober {
    /// Waits for each validator for so long.
    #[must_use]
    pub(crate) fn new(wait: Duration, metrics: Arc<Metrics>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(wait));
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_MAX)
            .build(connector);
        Self { client, permits: Semaphore::new(AT_ONCE_MAX), wait, metrics }
    }

    /// How the validator in this pod is, or why it could not be asked.
    pub(super) async fn ask(&self, pod: &Pod) -> Result<NodeReport, String> {
        let status = pod.status.as_ref();
        let Some(address) = status.and_then(|status| status.pod_ip.as_deref()) else {
            return Err("its pod has no address yet".into());
        };
        let address: IpAddr =
            address.parse().map_err(|_| format!("its pod's address {address:?} is none"))?;
        let authority = std::net::SocketAddr::new(address, admin_port(pod));
        let Ok(_permit) = self.permits.acquire().await else {
            return Err("the operator is ending".into());
        };
        let begun = Stopwatch::start();
        let both = async {
            tokio::try_join!(self.get(authority, "/status"), self.get(authority, "/identity"))
        };
        let answer = tokio::time::timeout(self.wait, both).await;
        self.metrics.probes.observe(begun.elapsed().as_secs_f64());
        match answer {
            Ok(Ok((status, identity))) => merge(status, identity),
            Ok(Err(message)) => Err(message),
            Err(_) => Err(format!("it does not answer within {} s", self.wait.as_secs_f32())),
        }
    }

    async fn get(
        &self,
        authority: std::net::SocketAddr,
        path: &str,
    ) -> Result<Map<String, Value>, String> {
        let uri =
            Uri::builder().scheme("http").authority(authority.to_string()).path_and_query(path);
        let uri = uri.build().map_err(|error| error.to_string())?;
        let request = Request::get(uri).body(Empty::new()).map_err(|error| error.to_string())?;
        let answer = self.client.request(request).await.map_err(|error| chain(&error))?;
        let status = answer.status();
        if status != StatusCode::OK {
            return Err(format!("{path} answers {status}"));
        }
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let bytes = body.map_err(|error| format!("{path}: {error}"))?.to_bytes();
        serde_json::from_slice(&bytes).map_err(|error| format!("{path} is not understood: {error}"))
    }
}

/// Both answers as one.
fn merge(status: Map<String, Value>, identity: Map<String, Value>) -> Result<NodeReport, String> {
    // What is null is not there; what both say, /status says in the form that is wanted.
    let fields = identity.into_iter().chain(status).filter(|(_, value)| !value.is_null());
    let fields = fields.map(|(key, value)| (key, shortened(value))).collect();
    serde_json::from_value(Value::Object(fields))
        .map_err(|error| format!("its status is not understood: {error}"))
}

fn shortened(value: Value) -> Value {
    match value {
        Value::String(text) if text.chars().count() > TEXT_CHARS_MAX => {
            Value::String(text.chars().take(TEXT_CHARS_MAX).collect())
        }
        other => other,
    }
}

/// The port that the validator's container calls `admin`.
fn admin_port(pod: &Pod) -> u16 {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let validator = containers.filter(|container| container.name == "cairn");
    let mut ports = validator.flat_map(|container| container.ports.iter().flatten());
    let admin = ports.find(|port| port.name.as_deref() == Some("admin"));
    admin.and_then(|port| u16::try_from(port.container_port).ok()).unwrap_or(PORT_ADMIN)
}

/// An error with what caused it, once each, and nothing that changes from one attempt to the next.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text.chars().take(TEXT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn what_a_validator_says_is_one_report_whatever_else_it_says() {
        let status = json!({"phase": "founding", "chain_id": "", "ready": false,
            "not_ready_because": "x".repeat(9000), "of_a_later_version": [1]});
        let identity = json!({"validator": "alice", "consensus_key": "c", "chain_id": null});
        let report = merge(object(status), object(identity)).unwrap();
        assert_eq!(report.validator, "alice");
        assert_eq!(report.consensus_key, "c");
        assert_eq!(report.phase, "founding");
        assert_eq!(report.not_ready_because.unwrap().len(), TEXT_CHARS_MAX);
    }

    #[test]
    fn nonsense_is_an_error_not_a_default() {
        let report = merge(object(json!({"height": "many"})), Map::new());
        assert!(report.unwrap_err().contains("not understood"));
    }
}
