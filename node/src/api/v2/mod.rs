//! `/api/v2`: Cairn's own API: what became of a transaction, its receipt, and many at once.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use cairn_ledger::{
    block::Place,
    ids::{Height, TransactionId},
    refusal::Recorded,
};
use serde::Serialize;

use super::{Api, Segment, Shared, at, both, error::Failure, json_text};
use crate::query::{At, Standing};

mod batch;
mod numbers;
mod slices;
mod stream;

/// Adds the routes.
pub(super) fn routes(router: Router<Arc<Api>>) -> Router<Arc<Api>> {
    let router = both(router, "/api/v2/transactions", post(batch::post));
    let router = both(router, "/api/v2/transactions/{id}", get(status));
    let router = both(router, "/api/v2/transactions/{id}/receipt", get(receipt));
    both(router, "/api/v2/stream", get(stream::get))
}

/// An answer, or the problem.
fn say(answer: Result<Response, Failure>) -> Response {
    answer.unwrap_or_else(|failure| failure.v2())
}

/// Why not.
#[derive(Debug, Serialize)]
struct Reason {
    code: &'static str,
    message: String,
}

/// Where a transaction stands.
#[derive(Debug, Serialize)]
struct Report {
    id: Option<TransactionId>,
    /// `pending`, `committed`, `refused` or `unknown`.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<Height>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    /// The height that this is true at.
    as_of: Height,
}

impl Report {
    fn new(id: Option<TransactionId>, status: &'static str, as_of: Height) -> Self {
        Self { id, status, height: None, index: None, reason: None, as_of }
    }

    fn at(mut self, place: Place) -> Self {
        self.height = Some(place.height);
        self.index = Some(place.index);
        // What a block says is true at its height, whatever this validator looked at before.
        self.as_of = self.as_of.max(place.height);
        self
    }

    fn because(mut self, code: &'static str, message: String) -> Self {
        self.reason = Some(Reason { code, message });
        self
    }

    fn committed(id: TransactionId, place: Place, as_of: Height) -> Self {
        Self::new(Some(id), "committed", as_of).at(place)
    }

    fn refused(id: TransactionId, place: Place, why: &Recorded, as_of: Height) -> Self {
        let report = Self::new(Some(id), "refused", as_of).at(place);
        report.because(why.code(), why.text.clone())
    }
}

/// `GET /api/v2/transactions/{id}`.
async fn status(State(api): Shared, Segment(id): Segment) -> Response {
    say(report_on(&api, &id).await)
}

async fn report_on(api: &Arc<Api>, id: &str) -> Result<Response, Failure> {
    let id: TransactionId = id.parse().map_err(|_| Failure::NotFound)?;
    let (pending, answer) = standing(api, id).await?;
    let as_of = answer.height;
    let report = match answer.found {
        Some(Standing::Committed(place)) => Report::committed(id, place, as_of),
        // It was refused once, and is on its way again.
        _ if pending => Report::new(Some(id), "pending", as_of),
        Some(Standing::Refused(place, why)) => Report::refused(id, place, &why, as_of),
        None => return Err(Failure::NotFound),
    };
    Ok(at(report.as_of, Json(report)))
}

/// Whether it waits here, and what is decided. Asked in this order: what leaves the waiting
/// room between the two questions is in the store by then.
async fn standing(
    api: &Arc<Api>,
    id: TransactionId,
) -> Result<(bool, At<Option<Standing>>), Failure> {
    let pending = api.intake.is_pending(&id);
    Ok((pending, api.read(move |query| query.standing(&id)).await?))
}

/// `GET /api/v2/transactions/{id}/receipt`.
async fn receipt(State(api): Shared, Segment(id): Segment) -> Response {
    say(receipt_for(&api, &id).await)
}

async fn receipt_for(api: &Arc<Api>, id: &str) -> Result<Response, Failure> {
    let id: TransactionId = id.parse().map_err(|_| Failure::NotFound)?;
    let pending = api.intake.is_pending(&id);
    let answer = api.read(move |query| query.receipt(&id)).await?;
    match answer.found {
        Some(text) => Ok(at(answer.height, json_text(StatusCode::OK, text))),
        None if pending => Err(Failure::StillPending(id)),
        None => Err(Failure::NotFound),
    }
}

/// One report with a status of its own.
fn alone(status: StatusCode, report: Report) -> Response {
    at(report.as_of, (status, Json(report)).into_response())
}
