//! `/api/v1`: BigchainDB 2.2.2 as its drivers know it, texts included.
//!
//! `parameters` reads queries as upstream does, `links` is the root documents, `transactions`
//! takes and gives transactions, `reads` is outputs, blocks and validators, `streams` tells of new ones, `texts` the search
//! in assets and metadata, `pieces` cuts those out of transactions. What upstream says where is
//! in its sources: `bigchaindb/web/views`.
//!
//! Where this is not what upstream does, and why:
//! * bodies are compact JSON, and transactions go out byte for byte as they came in: `POST`
//!   echoes what it was given;
//! * a transaction that waits for a decision already is taken in again (202) and hears the same
//!   decision, where Tendermint says 500 or 400 `Tx already exists in cache`: who lost an answer may ask
//!   again;
//! * JSON that is broken, or no object, hears where (400), not upstream's general sentence or 500;
//! * an unknown route is 404 in the shape of every other 404, not a page in HTML;
//! * a full waiting room is 429, no decision in time 503: upstream has no words for either;
//! * lists end after [`crate::query::ROWS_MAX`] rows or [`crate::query::ROWS_BYTES_MAX`] bytes, and
//!   at most 100 bytes of a wrong parameter are repeated.

use std::sync::Arc;

use axum::{Router, response::Response, routing::get};

use super::{Api, both, error::Failure};

mod links;
mod parameters;
mod pieces;
mod reads;
pub(super) mod streams;
mod texts;
mod transactions;

/// The version of BigchainDB whose API this is.
pub(super) const UPSTREAM_VERSION: &str = "2.2.2";

/// Adds the routes.
pub(super) fn routes(router: Router<Arc<Api>>) -> Router<Arc<Api>> {
    let router = router.route("/", get(links::root));
    let router = both(router, "/api/v1", get(links::index));
    let many = get(transactions::list).post(transactions::post);
    let router = both(router, "/api/v1/transactions", many);
    let router = both(router, "/api/v1/transactions/{id}", get(transactions::one));
    let router = both(router, "/api/v1/outputs", get(reads::outputs));
    let router = both(router, "/api/v1/assets", get(texts::assets));
    let router = both(router, "/api/v1/metadata", get(texts::metadata));
    let router = both(router, "/api/v1/blocks", get(reads::blocks));
    let router = both(router, "/api/v1/blocks/{height}", get(reads::block));
    let router = both(router, "/api/v1/validators", get(reads::validators));
    streams::routes(router)
}

/// An answer, or why there is none, said as upstream says it.
fn say(answer: Result<Response, Failure>) -> Response {
    answer.unwrap_or_else(|failure| failure.v1())
}
