//! The admin port: for probes, Prometheus, and people who run a validator. It is there before
//! there is a chain, and so it knows less than the API does.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use cairn_ledger::{
    genesis::Genesis,
    ids::{ChainId, PublicKey},
};
use tokio::sync::watch;

use super::{NodeStatus, json_text};
use crate::{
    intake::Intake,
    metrics::{Format, Metrics, value_of},
};

/// Who a validator is: what a genesis says of it, but for the power.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its name.
    pub validator: String,
    /// The public half of the key that signs votes.
    pub consensus_key: PublicKey,
    /// The public half of the key that its peers know it by.
    pub member_key: PublicKey,
}

/// What the admin port speaks for.
#[derive(Debug)]
pub struct Admin {
    /// Who it is.
    pub identity: Identity,
    /// Of which chain; none while it is being founded.
    pub genesis: Option<Arc<Genesis>>,
    /// What the validator says of itself.
    pub status: watch::Receiver<NodeStatus>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Where transactions wait, once they may come in.
    pub intake: Option<Arc<Intake>>,
}

type Shared = State<Arc<Admin>>;

impl Admin {
    /// What operators talk to, on a port of its own.
    pub fn router(self) -> Router {
        Router::new()
            .route("/livez", get(live))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .route("/status", get(status))
            .route("/identity", get(identity))
            .route("/genesis", get(genesis))
            .with_state(Arc::new(self))
    }
}

/// Whoever reads this was answered, which is all that is asked.
async fn live() -> &'static str {
    "ok\n"
}

async fn ready(State(admin): Shared) -> Response {
    let status = admin.status.borrow();
    if status.ready {
        return "ok\n".into_response();
    }
    let why = status.not_ready_because.as_deref().unwrap_or("still starting");
    (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response()
}

async fn metrics(State(admin): Shared, headers: HeaderMap) -> Response {
    let Admin { metrics, intake, .. } = &*admin;
    if let Some(intake) = intake {
        metrics.pending_transactions.set(value_of(intake.waiting()));
        metrics.pending_bytes.set(value_of(intake.waiting_bytes()));
    }
    let tokio = tokio::runtime::Handle::current().metrics();
    metrics.tokio_workers.set(value_of(tokio.num_workers()));
    metrics.tokio_tasks.set(value_of(tokio.num_alive_tasks()));
    metrics.tokio_queue_depth.set(value_of(tokio.global_queue_depth()));
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::asked_for(accept.unwrap_or_default());
    ([(header::CONTENT_TYPE, format.content_type())], metrics.page(format)).into_response()
}

async fn status(State(admin): Shared) -> Response {
    Json(&*admin.status.borrow()).into_response()
}

/// The answer of `/identity`.
#[derive(serde::Serialize)]
struct Shown<'a> {
    validator: &'a str,
    consensus_key: PublicKey,
    member_key: PublicKey,
    chain_id: Option<ChainId>,
    version: &'static str,
}

async fn identity(State(admin): Shared) -> Response {
    let Identity { validator, consensus_key, member_key } = &admin.identity;
    Json(Shown {
        validator,
        consensus_key: *consensus_key,
        member_key: *member_key,
        chain_id: admin.genesis.as_ref().map(|genesis| genesis.chain()),
        version: env!("CARGO_PKG_VERSION"),
    })
    .into_response()
}

async fn genesis(State(admin): Shared) -> Response {
    match &admin.genesis {
        Some(genesis) => json_text(StatusCode::OK, genesis.to_json()),
        None => (StatusCode::NOT_FOUND, "this validator waits for its genesis\n").into_response(),
    }
}
