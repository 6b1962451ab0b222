//! Between an operator and the API server: counts what the operator writes, loses, delays and refuses
//! requests, and kills the operator at a write, before the server has seen it or before its answer arrives.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::StreamExt;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Frame},
};
use kube::{Client, client::Body};
use tower::{BoxError, Service};

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    /// It is answered with this status, and not sent.
    Answer(u16),
    /// Each piece of its answer arrives this much later: what a watch says is old.
    Slow(Duration),
    /// It is not sent, and the operator is dead from now on.
    DieBefore,
    /// It is sent, its answer gets lost, and the operator is dead from now on.
    DieAfter,
}

type Answer = UnsyncBoxBody<Bytes, kube::Error>;
type Rule = Box<dyn Fn(u64, &Method, &str) -> Verdict + Send + Sync>;

/// What happens to an operator's requests.
pub(crate) struct Faults {
    rule: Mutex<Rule>,
    writes: AtomicU64,
    log: Mutex<Vec<String>>,
    dead: AtomicBool,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            rule: Mutex::new(Box::new(|_, _, _| Verdict::Pass)),
            writes: AtomicU64::new(0),
            log: Mutex::default(),
            dead: AtomicBool::new(false),
        }
    }
}

impl Faults {
    /// `rule` is asked with the number of the write (from 1; 0 for a read), its method and its path with the query.
    pub(crate) fn new(
        rule: impl Fn(u64, &Method, &str) -> Verdict + Send + Sync + 'static,
    ) -> Arc<Self> {
        let faults = Self::default();
        faults.rules(rule);
        Arc::new(faults)
    }

    pub(crate) fn rules(
        &self,
        rule: impl Fn(u64, &Method, &str) -> Verdict + Send + Sync + 'static,
    ) {
        *self.rule.lock().unwrap() = Box::new(rule);
    }

    /// How much was written, Leases and Events aside.
    pub(crate) fn writes(&self) -> u64 {
        self.writes.load(Ordering::SeqCst)
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Nothing that it sends arrives any more.
    pub(crate) fn dies(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    /// The writes, one line each.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    fn judge(&self, method: &Method, path: &str) -> Verdict {
        let is_write =
            method != Method::GET && !path.contains("/leases") && !path.contains("/events");
        let number = if is_write {
            self.log.lock().unwrap().push(format!("{method} {path}"));
            self.writes.fetch_add(1, Ordering::SeqCst) + 1
        } else {
            0
        };
        (self.rule.lock().unwrap())(number, method, path)
    }
}

/// A client whose requests `faults` has in its hands.
pub(crate) fn faulty(client: Client, faults: Arc<Faults>) -> Client {
    let namespace = client.default_namespace().to_owned();
    Client::new(Faulty { client, faults }, namespace)
}

#[derive(Clone)]
struct Faulty {
    client: Client,
    faults: Arc<Faults>,
}

impl Service<Request<Body>> for Faulty {
    type Response = Response<Answer>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answer>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Self { client, faults } = self.clone();
        Box::pin(async move {
            if faults.is_dead() {
                return std::future::pending().await;
            }
            match faults.judge(request.method(), &request.uri().to_string()) {
                Verdict::Pass => Ok(client.send(request).await?.map(BodyExt::boxed_unsync)),
                Verdict::Answer(code) => Ok(answer(code)),
                Verdict::Slow(wait) => {
                    Ok(client.send(request).await?.map(|body| slowed(body, wait)))
                }
                Verdict::DieBefore => {
                    faults.dies();
                    std::future::pending().await
                }
                Verdict::DieAfter => {
                    let _ = client.send(request).await;
                    faults.dies();
                    std::future::pending().await
                }
            }
        })
    }
}

fn slowed(body: Body, wait: Duration) -> Answer {
    let frames = body.into_data_stream().then(move |piece| async move {
        tokio::time::sleep(wait).await;
        piece.map(Frame::data)
    });
    BodyExt::boxed_unsync(StreamBody::new(frames))
}

fn answer(code: u16) -> Response<Answer> {
    let status = serde_json::json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code,
        "reason": match code { 409 => "Conflict", 429 => "TooManyRequests", _ => "InternalError" },
        "message": "the test says so",
    });
    let body = Body::from(status.to_string().into_bytes());
    Response::builder().status(code).body(body.boxed_unsync()).unwrap()
}
