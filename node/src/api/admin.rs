//! The admin port: for probes, Prometheus, and people who run a validator.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use super::{Api, Shared};

/// Adds the routes.
pub(super) fn routes(router: Router<Arc<Api>>) -> Router<Arc<Api>> {
    router
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
}

/// Whoever reads this was answered, which is all that is asked.
async fn live() -> &'static str {
    "ok\n"
}

async fn ready(State(api): Shared) -> Response {
    let status = api.status.borrow();
    if status.ready {
        return "ok\n".into_response();
    }
    let why = status.not_ready_because.as_deref().unwrap_or("still starting");
    (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response()
}

async fn metrics(State(api): Shared) -> Response {
    let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
    api.metrics.pending_transactions.set(gauge(api.intake.waiting()));
    api.metrics.pending_bytes.set(gauge(api.intake.waiting_bytes()));
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, api.metrics.render()).into_response()
}

async fn status(State(api): Shared) -> Response {
    Json(&*api.status.borrow()).into_response()
}
