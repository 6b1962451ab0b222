//! The operator's own port: `/livez`, `/readyz`, `/metrics`. Being alive never depends on the API server:
//! a restart would not bring it back.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;

use crate::metrics::{Format, Metrics};

/// What the process is waiting for, if anything: what `/readyz` says.
#[derive(Debug)]
pub struct Readiness(Mutex<Option<String>>);

impl Default for Readiness {
    fn default() -> Self {
        Self(Mutex::new(Some("starting".into())))
    }
}

impl Readiness {
    /// Waits for something: one sentence.
    pub fn waits(&self, sentence: impl Into<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sentence.into());
    }

    /// Works, or stands by to.
    pub fn works(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What it waits for.
    #[must_use]
    pub fn waiting_for(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Clone)]
struct Shared {
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
}

/// Answers until it is dropped.
///
/// # Errors
/// The port is gone.
pub async fn serve(
    listener: TcpListener,
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(page))
        .with_state(Shared { readiness, metrics });
    axum::serve(listener, router).await
}

async fn ready(State(shared): State<Shared>) -> impl IntoResponse {
    match shared.readiness.waiting_for() {
        None => (StatusCode::OK, "ok\n".into()),
        Some(sentence) => (StatusCode::SERVICE_UNAVAILABLE, format!("{sentence}\n")),
    }
}

async fn page(State(shared): State<Shared>, headers: HeaderMap) -> impl IntoResponse {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::asked_for(accept.unwrap_or_default());
    ([(header::CONTENT_TYPE, format.content_type())], shared.metrics.page(format))
}
