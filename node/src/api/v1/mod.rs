//! `/api/v1`: BigchainDB 2.2.2 as its drivers know it, texts included.
//!
//! `parameters` reads queries as upstream does, `transactions` takes and gives transactions,
//! `streams` tells of new ones, `reads` is the rest. What upstream says where is in its sources: `bigchaindb/web/views`.

use std::sync::Arc;

use axum::{Json, Router, extract::State, response::Response, routing::get};
use serde_json::{Value, json};

use super::{Api, Shared, both, error::Failure};

mod parameters;
mod reads;
pub(super) mod streams;
mod transactions;

/// The version of BigchainDB whose API this is.
const UPSTREAM_VERSION: &str = "2.2.2";

/// Adds the routes.
pub(super) fn routes(router: Router<Arc<Api>>) -> Router<Arc<Api>> {
    let router = router.route("/", get(root));
    let router = both(router, "/api/v1", get(index));
    let many = get(transactions::list).post(transactions::post);
    let router = both(router, "/api/v1/transactions", many);
    let router = both(router, "/api/v1/transactions/{id}", get(transactions::one));
    let router = both(router, "/api/v1/outputs", get(reads::outputs));
    let router = both(router, "/api/v1/blocks", get(reads::blocks));
    let router = both(router, "/api/v1/blocks/{height}", get(reads::block));
    let router = both(router, "/api/v1/validators", get(reads::validators));
    streams::routes(router)
}

/// An answer, or why there is none, said as upstream says it.
fn say(answer: Result<Response, Failure>) -> Response {
    answer.unwrap_or_else(|failure| failure.v1())
}

async fn root(State(api): Shared) -> Json<Value> {
    Json(json!({
        "api": {"v1": links("/api/v1/", &api.settings.streams_url)},
        "docs": format!("https://docs.bigchaindb.com/projects/server/en/v{UPSTREAM_VERSION}/"),
        "software": "BigchainDB",
        "version": UPSTREAM_VERSION,
    }))
}

async fn index(State(api): Shared) -> Json<Value> {
    Json(links("/", &api.settings.streams_url))
}

fn links(prefix: &str, streams: &str) -> Value {
    let docs = "https://docs.bigchaindb.com/projects/server/en/v";
    json!({
        "assets": format!("{prefix}assets/"),
        "blocks": format!("{prefix}blocks/"),
        "docs": format!("{docs}{UPSTREAM_VERSION}/http-client-server-api.html"),
        "metadata": format!("{prefix}metadata/"),
        "outputs": format!("{prefix}outputs/"),
        "streams": streams,
        "transactions": format!("{prefix}transactions/"),
        "validators": format!("{prefix}validators"),
    })
}
