//! The one door to the API server: every request is counted there, and none that changes something gets
//! through once the Lease may be somebody else's.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::{Method, Request, Response};
use kube::{Client, client::Body};
use tower::{BoxError, Service};

use crate::{leader::Fence, metrics::Metrics};

/// How long a write is waited for. Together with [`Fence`]'s margin it ends before the Lease does.
const WRITE_WAIT: Duration = Duration::from_secs(4);

/// A write that was not sent, because another process may lead by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this process does not lead any more: nothing was sent")]
pub struct NotLeading;

/// A write that was not answered in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no answer within {} s", WRITE_WAIT.as_secs())]
struct NotAnswered;

/// A client whose every request is counted, and whose writes stop with `fence`, when there is one.
#[must_use]
pub fn gated(client: Client, metrics: Arc<Metrics>, fence: Option<Fence>) -> Client {
    let namespace = client.default_namespace().to_owned();
    Client::new(Gate { client, metrics, fence }, namespace)
}

#[derive(Clone)]
struct Gate {
    client: Client,
    metrics: Arc<Metrics>,
    fence: Option<Fence>,
}

impl Service<Request<Body>> for Gate {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let gate = self.clone();
        Box::pin(async move { gate.pass(request).await })
    }
}

impl Gate {
    async fn pass(self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let (verb, kind) = (verb(request.method()), kind(request.uri().path()).to_owned());
        let answer = if verb == "get" {
            self.client.send(request).await.map_err(BoxError::from)
        } else {
            if self.fence.as_ref().is_some_and(|fence| !fence.holds()) {
                return Err(NotLeading.into());
            }
            self.metrics.writes.with_label_values(&[verb, &kind]).inc();
            match tokio::time::timeout(WRITE_WAIT, self.client.send(request)).await {
                Ok(answer) => answer.map_err(BoxError::from),
                Err(_) => Err(NotAnswered.into()),
            }
        };
        let code = answer.as_ref().map_or("none".into(), |a| a.status().as_u16().to_string());
        self.metrics.requests.with_label_values(&[verb, &kind, &code]).inc();
        answer
    }
}

/// As RBAC calls it; lists and watches are counted as `get`.
fn verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "get",
    }
}

/// The plural in a path: `/api/v1/namespaces/a/pods/b`, `/apis/apps/v1/statefulsets`. A subresource counts
/// as its object.
fn kind(path: &str) -> &str {
    let mut parts = path.trim_start_matches('/').split('/');
    let versions = if parts.next() == Some("api") { 1 } else { 2 };
    let mut parts = parts.skip(versions);
    match (parts.next(), parts.nth(1)) {
        (Some("namespaces"), Some(plural)) | (Some(plural), _) => plural,
        (None, _) => "discovery",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{Api, api::DeleteParams};

    use super::*;

    /// Counts what arrives, and knows nothing.
    #[derive(Clone, Default)]
    struct Counts(Arc<AtomicUsize>);

    impl Service<Request<Body>> for Counts {
        type Response = Response<Body>;
        type Error = BoxError;
        type Future = std::future::Ready<Result<Response<Body>, BoxError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            self.0.fetch_add(1, Ordering::SeqCst);
            let answer = Response::builder().status(404).body(Body::empty());
            std::future::ready(answer.map_err(BoxError::from))
        }
    }

    #[tokio::test]
    async fn without_the_lease_reads_pass_and_writes_do_not() {
        let arrived = Counts::default();
        let client = Client::new(arrived.clone(), "test");
        let metrics = Arc::new(Metrics::new());
        let client = gated(client, metrics.clone(), Some(Fence::default()));
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        assert!(maps.get("a").await.is_err());
        assert_eq!(arrived.0.load(Ordering::SeqCst), 1);
        let refused = maps.delete("a", &DeleteParams::default()).await.unwrap_err();
        assert!(refused.to_string().contains("does not lead"), "{refused}");
        assert_eq!(arrived.0.load(Ordering::SeqCst), 1, "it was not sent");
        let page = metrics.page(crate::metrics::Format::Text);
        assert!(!page.contains("cairn_operator_writes_total{"), "{page}");
    }

    #[test]
    fn a_request_is_counted_under_its_plural() {
        #[rustfmt::skip]
        let table = [
            ("/api/v1/namespaces/a/pods/b",                          "pods"),
            ("/apis/apps/v1/namespaces/a/statefulsets",              "statefulsets"),
            ("/apis/apps/v1/statefulsets",                           "statefulsets"),
            ("/apis/cairndb.io/v1alpha1/namespaces/a/blockchainclusters/b/status", "blockchainclusters"),
            ("/api/v1/namespaces/a",                                 "namespaces"),
            ("/apis/cairndb.io/v1alpha1",                            "discovery"),
            ("/",                                                    "discovery"),
        ];
        for (path, expected) in table {
            assert_eq!(kind(path), expected, "{path}");
        }
    }
}
