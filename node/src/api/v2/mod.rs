//! `/api/v2`: Cairn's own API.
//!
//! `question` reads what is asked, `page` and `cursor` are what lists are told in, `stored` is
//! what a stored transaction says. The rest answers: `batch` takes transactions in,
//! `transactions` tells what became of one, `assets` of one asset, `select` finds assets and
//! outputs, `blocks` and `federation` tell what was decided and who decides. `openapi` is the
//! document that describes all of it, with `schema` and `codes` for what it has to spell out.

use std::sync::Arc;

use axum::{
    Router,
    response::Response,
    routing::{MethodRouter, get, post},
};

use super::{Api, both, error::Failure};

mod assets;
mod batch;
mod blocks;
mod codes;
mod cursor;
mod federation;
mod numbers;
pub(crate) mod openapi;
mod page;
mod question;
mod receipts;
mod schema;
mod select;
mod slices;
mod stored;
mod stream;
mod transactions;

/// Every route that the document describes, by the path that it has there.
pub(super) fn described() -> Vec<(&'static str, MethodRouter<Arc<Api>>)> {
    vec![
        ("/api/v2", get(federation::index)),
        ("/api/v2/transactions", post(batch::post)),
        ("/api/v2/transactions/{id}", get(transactions::one)),
        ("/api/v2/transactions/{id}/receipt", get(transactions::receipt)),
        ("/api/v2/receipts/verify", post(receipts::verify)),
        ("/api/v2/assets", get(select::assets)),
        ("/api/v2/assets/{id}", get(assets::one)),
        ("/api/v2/assets/{id}/history", get(assets::history)),
        ("/api/v2/outputs", get(select::outputs)),
        ("/api/v2/blocks", get(blocks::list)),
        ("/api/v2/blocks/{height}", get(blocks::one)),
        ("/api/v2/headers/{height}", get(blocks::header)),
        ("/api/v2/stream", get(stream::get)),
        ("/api/v2/validators", get(federation::validators)),
        ("/api/v2/status", get(federation::status)),
        ("/api/v2/openapi.json", get(openapi::openapi)),
    ]
}

/// Adds the routes.
pub(super) fn routes(router: Router<Arc<Api>>) -> Router<Arc<Api>> {
    let router =
        described().into_iter().fold(router, |router, (path, routes)| both(router, path, routes));
    router
        .route("/api/v2/docs", get(openapi::to_page))
        .route("/api/v2/docs/", get(openapi::page))
        .route("/api/v2/docs/{*file}", get(openapi::part))
}

/// An answer, or the problem.
fn say(answer: Result<Response, Failure>) -> Response {
    answer.unwrap_or_else(|failure| failure.v2())
}
