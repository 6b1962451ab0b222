//! Asking validators how they are, on their admin ports. Answers are bounded in time, in bytes and in
//! number: a validator is a program of somebody's, and its words end up in the status.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1::{SendRequest, handshake},
    header::HOST,
};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Map, Value};
use tokio::{net::TcpStream, sync::Semaphore};

use super::NodeReport;
use crate::{clock::Stopwatch, metrics::Metrics, names::PORT_ADMIN};

/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// The longest text of an answer that is kept.
const TEXT_CHARS_MAX: usize = 512;
/// Validators that are asked at the same time, of all clusters together.
const AT_ONCE_MAX: usize = 64;

/// What a validator answers.
type Answer = Map<String, Value>;

/// Asks.
pub(crate) struct Prober {
    permits: Semaphore,
    wait: Duration,
    metrics: Arc<Metrics>,
}

impl Prober {
    /// Waits for each validator for so long.
    #[must_use]
    pub(crate) fn new(wait: Duration, metrics: Arc<Metrics>) -> Self {
        Self { permits: Semaphore::new(AT_ONCE_MAX), wait, metrics }
    }

    /// How the validator in this pod is, or why it could not be asked.
    pub(super) async fn ask(&self, pod: &Pod) -> Result<NodeReport, String> {
        let status = pod.status.as_ref();
        let Some(address) = status.and_then(|status| status.pod_ip.as_deref()) else {
            return Err("its pod has no address yet".into());
        };
        let address: IpAddr =
            address.parse().map_err(|_| format!("its pod's address {address:?} is none"))?;
        let address = SocketAddr::new(address, admin_port(pod));
        let Ok(_permit) = self.permits.acquire().await else {
            return Err("the operator is ending".into());
        };
        let begun = Stopwatch::start();
        let answer = tokio::time::timeout(self.wait, converse(address)).await;
        self.metrics.probes.observe(begun.elapsed().as_secs_f64());
        match answer {
            Ok(Ok((status, identity))) => merge(status, identity),
            Ok(Err(message)) => Err(message),
            Err(_) => Err(format!("it does not answer within {} s", self.wait.as_secs_f32())),
        }
    }
}

/// Both questions, one after the other on one connection, which then ends: until the next look, the
/// validator would have closed it.
async fn converse(address: SocketAddr) -> Result<(Answer, Answer), String> {
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(|error| format!("cannot connect: {error}"))?;
    let (mut sender, connection) =
        handshake(TokioIo::new(stream)).await.map_err(|error| chain(&error))?;
    let questions = async move {
        let status = get(&mut sender, address, "/status").await?;
        Ok((status, get(&mut sender, address, "/identity").await?))
    };
    // What ends the connection early is told to the question that is under way.
    let (answers, _) = tokio::join!(questions, connection);
    answers
}

async fn get(
    sender: &mut SendRequest<Empty<Bytes>>,
    address: SocketAddr,
    path: &str,
) -> Result<Answer, String> {
    let request = Request::get(path).header(HOST, address.to_string()).body(Empty::new());
    let request = request.map_err(|error| error.to_string())?;
    sender.ready().await.map_err(|error| chain(&error))?;
    let answer = sender.send_request(request).await.map_err(|error| chain(&error))?;
    let status = answer.status();
    if status != StatusCode::OK {
        return Err(format!("{path} answers {status}"));
    }
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
    let bytes = body.map_err(|error| format!("{path}: {error}"))?.to_bytes();
    serde_json::from_slice(&bytes).map_err(|error| format!("{path} is not understood: {error}"))
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
    use hyper::service::service_fn;
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

    #[tokio::test]
    async fn a_look_at_a_validator_is_one_connection_which_ends() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = async |request: Request<hyper::body::Incoming>| {
            let body = json!({ "asked": request.uri().path() }).to_string();
            Ok::<_, std::convert::Infallible>(hyper::Response::new(body))
        };
        // A second connection would find nobody, and one that stayed would never be over.
        let validator = async {
            let (stream, _) = listener.accept().await.unwrap();
            let server = hyper::server::conn::http1::Builder::new();
            server.serve_connection(TokioIo::new(stream), service_fn(answer)).await.unwrap();
        };
        let both = async { tokio::join!(converse(address), validator) };
        let (answers, ()) = tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
        let (status, identity) = answers.unwrap();
        assert_eq!(status, object(json!({"asked": "/status"})));
        assert_eq!(identity, object(json!({"asked": "/identity"})));
    }

    #[test]
    fn nonsense_is_an_error_not_a_default() {
        let report = merge(object(json!({"height": "many"})), Map::new());
        assert!(report.unwrap_err().contains("not understood"));
    }
}
