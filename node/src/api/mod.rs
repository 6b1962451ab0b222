//! HTTP in and out.
//!
//! Read in this order: [`server`] sockets and what they may cost; [`access`] who may come in and
//! how often; `body` what a request may bring; `admission` the door, where bytes become admitted transactions; `errand` how
//! those who bring them are found again; `v1` BigchainDB 2.x as its drivers know it; `v2` Cairn's own; `websocket` how streams talk; `admin` for those who run it; `error` the one map
//! from what went wrong to what a client reads.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{FromRequestParts, Path, Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::MethodRouter,
};
use cairn_ledger::ids::Height;
use tokio::{sync::watch, time::timeout};

use crate::{
    intake::Intake,
    metrics::Metrics,
    query::{At, Query, StoreError},
    search::Search,
    streams::{StreamLimits, Streams},
    traces::Traces,
};

pub mod access;
mod admin;
mod admission;
mod body;
mod errand;
mod error;
mod files;
pub mod server;
pub mod status;
mod v1;
mod v2;
mod websocket;
mod witness;

#[cfg(test)]
mod tests;

pub use admin::{Admin, Identity};
pub use server::{ServerLimits, Serving, serve};
pub use status::{NodeStatus, Phase};

use access::{
    Access,
    log::{Visit, within},
    origins::preflight,
};
use admission::Admission;
use body::BodyBudget;
use error::Failure;

/// The height that an answer is true at.
const HEIGHT: HeaderName = HeaderName::from_static("cairn-height");

/// What the API tells and does not find out by itself.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// Where v1 clients are told to find the stream of transactions; without it, each is told
    /// by the host that it asked for.
    pub advertised_streams_url: Option<String>,
    /// The second port for streams.
    pub streams_port: u16,
    /// Whether both ports speak TLS.
    pub tls: bool,
    /// How long an answer waits for a height that is not stored yet.
    pub height_patience: Duration,
    /// How long a transaction whose input is unknown waits until this validator is level with others.
    pub input_patience: Duration,
    /// How long `mode=commit` and `wait=committed` wait for the decision.
    pub commit_timeout: Duration,
    /// Who may come in.
    pub access: Arc<Access>,
    /// What event streams may cost.
    pub streams: StreamLimits,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            advertised_streams_url: None,
            streams_port: 9985,
            tls: false,
            height_patience: Duration::from_secs(2),
            input_patience: Duration::from_secs(1),
            commit_timeout: Duration::from_secs(30),
            access: Access::for_everyone(),
            streams: StreamLimits::default(),
        }
    }
}

/// How far the chain is, asked of the other validators.
#[async_trait::async_trait]
pub trait Frontier: std::fmt::Debug + Send + Sync {
    /// A height that no block lies above of which anybody had been told when this was called;
    /// nothing when no quorum answers soon.
    async fn find(&self) -> Option<Height>;
}

/// What the API speaks for.
#[derive(Debug)]
pub struct ApiParts {
    /// Reads.
    pub query: Arc<Query>,
    /// Reads by content.
    pub search: Arc<Search>,
    /// The way in.
    pub intake: Arc<Intake>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Whose day is followed.
    pub traces: Arc<Traces>,
    /// What the validator says of itself.
    pub status: watch::Receiver<NodeStatus>,
    /// The other validators.
    pub frontier: Arc<dyn Frontier>,
    /// The ledger was so high here once. While it is lower nothing is told of it: who asks
    /// twice never reads an older answer the second time.
    pub stood: Height,
    /// What people chose.
    pub settings: ApiSettings,
}

/// What the routes share.
#[derive(Debug)]
pub struct Api {
    query: Arc<Query>,
    search: Arc<Search>,
    intake: Arc<Intake>,
    metrics: Arc<Metrics>,
    traces: Arc<Traces>,
    status: watch::Receiver<NodeStatus>,
    stood: Height,
    settings: ApiSettings,
    admission: Admission,
    bodies: BodyBudget,
    streams: Arc<Streams>,
}

/// What each route is given.
type Shared = State<Arc<Api>>;

/// The part of a path that names something. One that is no text names nothing: it reads as
/// empty, so that each version of the API says so in its own shape.
struct Segment(String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let read = Path::<String>::from_request_parts(parts, state).await;
        Ok(Self(read.map(|Path(text)| text).unwrap_or_default()))
    }
}

impl Api {
    /// Puts it together. Must be called within a tokio runtime.
    pub fn open(parts: ApiParts) -> Arc<Self> {
        let ApiParts { query, search, intake, metrics, traces, status, frontier, stood, settings } =
            parts;
        let admission = Admission::open(
            Arc::clone(&query),
            Arc::clone(&metrics),
            frontier,
            settings.input_patience,
        );
        let bodies = BodyBudget::of(settings.access.settings().body_bytes);
        let streams = Streams::new(Arc::clone(&query), Arc::clone(&metrics), settings.streams);
        Arc::new(Self {
            query,
            search,
            intake,
            metrics,
            traces,
            status,
            stood,
            settings,
            admission,
            bodies,
            streams,
        })
    }

    /// What clients talk to.
    pub fn router(self: &Arc<Self>) -> Router {
        self.finish(v2::routes(v1::routes(Router::new())))
    }

    /// What clients of BigchainDB find on its second port: the stream, and nothing else.
    pub fn events_router(self: &Arc<Self>) -> Router {
        self.finish(v1::streams::routes(Router::new()))
    }

    /// What surrounds the routes, whichever they are.
    fn finish(self: &Arc<Self>, router: Router<Arc<Self>>) -> Router {
        router
            .fallback(not_found)
            .method_not_allowed_fallback(method_not_allowed)
            .layer(middleware::from_fn_with_state(Arc::clone(self), observe))
            .with_state(Arc::clone(self))
    }

    /// Asks the store where blocking is allowed.
    async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Query) -> Result<At<T>, StoreError> + Send + 'static,
    ) -> Result<At<T>, Failure> {
        let query = Arc::clone(&self.query);
        let answer = tokio::task::spawn_blocking(move || read(&query)).await;
        Ok(answer.map_err(|_| Failure::Trouble("a read was given up".to_owned()))??)
    }
}

/// The OpenAPI document of API v2, as it is kept with the sources.
pub fn openapi() -> String {
    v2::openapi::text()
}

/// Serves a path with and without a slash at its end, as upstream does.
fn both(router: Router<Arc<Api>>, path: &str, routes: MethodRouter<Arc<Api>>) -> Router<Arc<Api>> {
    router.route(&format!("{path}/"), routes.clone()).route(path, routes)
}

/// Says which height an answer is true at.
fn at(height: Height, answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    response.headers_mut().insert(HEIGHT, HeaderValue::from(height.0));
    response
}

/// An answer whose body is JSON text already.
fn json_text(status: StatusCode, text: impl Into<axum::body::Body>) -> Response {
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (status, kind, text.into()).into_response()
}

async fn not_found(request: Request) -> Response {
    speak(request.uri().path(), &Failure::NotFound)
}

async fn method_not_allowed(request: Request) -> Response {
    speak(request.uri().path(), &Failure::MethodNotAllowed)
}

/// In the dialect of the path that was asked.
fn speak(path: &str, failure: &Failure) -> Response {
    if path.starts_with("/api/v2") { failure.v2() } else { failure.v1() }
}

/// Around every request: who may not come in turned away, preflights answered, answers counted,
/// headers that all answers have.
async fn observe(State(api): Shared, request: Request, next: Next) -> Response {
    let settings = api.settings.access.settings();
    let mut visit = Visit::begin(&request, route_of(request.uri().path()), settings.log);
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = within(visit.current(), answer(&api, &mut visit, request, next)).await;
    let headers = response.headers_mut();
    settings.origins.say(origin.as_ref(), headers);
    headers.entry(HEIGHT).or_insert_with(|| HeaderValue::from(api.query.height().0));
    visit.end(response, &api.metrics)
}

async fn answer(api: &Arc<Api>, visit: &mut Visit, mut request: Request, next: Next) -> Response {
    if request.method() == Method::OPTIONS {
        return preflight(&request);
    }
    let dialect =
        if request.uri().path().starts_with("/api/v2") { Failure::v2 } else { Failure::v1 };
    let access = &api.settings.access;
    let answered = async {
        let _place = access.admit(&mut request, visit).await?;
        let stands = api.query.height();
        if stands < api.stood && tells_of_the_ledger(request.uri().path()) {
            return Err(Failure::rolled_back(stands, api.stood));
        }
        let patience = access.settings().request_timeout;
        let answer = timeout(patience, next.run(request)).await;
        answer.map_err(|_| Failure::TookTooLong(patience.as_secs()))
    };
    answered.await.unwrap_or_else(|failure: Failure| dialect(&failure))
}

/// Whether what is there depends on how far the ledger is.
fn tells_of_the_ledger(path: &str) -> bool {
    let route = route_of(path);
    let same_for_ever = [
        "root",
        "other",
        "v1",
        "v1/validators",
        "v2",
        "v2/docs",
        "v2/openapi.json",
        "v2/receipts/verify",
        "v2/status",
        "v2/validators",
    ];
    !same_for_ever.contains(&route)
}

/// The label under which an answer is counted: one of few, whatever clients ask for.
fn route_of(path: &str) -> &'static str {
    let path = path.trim_end_matches('/');
    let Some(rest) = path.strip_prefix("/api/") else {
        return if path.is_empty() { "root" } else { "other" };
    };
    let mut segments = rest.split('/');
    match (segments.next(), segments.next(), segments.next(), segments.next()) {
        (Some("v1"), None, ..) => "v1",
        (Some("v1"), Some("transactions"), None, _) => "v1/transactions",
        (Some("v1"), Some("transactions"), Some(_), None) => "v1/transactions/id",
        (Some("v1"), Some("outputs"), None, _) => "v1/outputs",
        (Some("v1"), Some("assets"), None, _) => "v1/assets",
        (Some("v1"), Some("metadata"), None, _) => "v1/metadata",
        (Some("v1"), Some("blocks"), None, _) => "v1/blocks",
        (Some("v1"), Some("blocks"), Some(_), None) => "v1/blocks/height",
        (Some("v1"), Some("validators"), None, _) => "v1/validators",
        (Some("v1"), Some("streams"), Some("valid_transactions"), None) => "v1/streams",
        (Some("v2"), Some("stream"), None, _) => "v2/stream",
        (Some("v2"), Some("transactions"), None, _) => "v2/transactions",
        (Some("v2"), Some("transactions"), Some(_), None) => "v2/transactions/id",
        (Some("v2"), Some("transactions"), Some(_), Some("receipt")) => {
            "v2/transactions/id/receipt"
        }
        (Some("v2"), None, ..) => "v2",
        (Some("v2"), Some("assets"), None, _) => "v2/assets",
        (Some("v2"), Some("assets"), Some(_), None) => "v2/assets/id",
        (Some("v2"), Some("assets"), Some(_), Some("history")) => "v2/assets/id/history",
        (Some("v2"), Some("outputs"), None, _) => "v2/outputs",
        (Some("v2"), Some("blocks"), None, _) => "v2/blocks",
        (Some("v2"), Some("blocks"), Some(_), None) => "v2/blocks/height",
        (Some("v2"), Some("headers"), Some(_), None) => "v2/headers/height",
        (Some("v2"), Some("validators"), None, _) => "v2/validators",
        (Some("v2"), Some("status"), None, _) => "v2/status",
        (Some("v2"), Some("openapi.json"), None, _) => "v2/openapi.json",
        (Some("v2"), Some("docs"), ..) => "v2/docs",
        (Some("v2"), Some("receipts"), Some("verify"), None) => "v2/receipts/verify",
        _ => "other",
    }
}
