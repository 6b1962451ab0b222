//! One transaction: what became of it, and the proof.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
};
use cairn_ledger::{
    block::Place,
    ids::{Height, TransactionId},
    refusal::Recorded,
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    super::{Api, Segment, Shared, at, error::Failure, json_text},
    openapi::{NotFound, Unwell},
    question::Question,
    say, schema,
};
use crate::query::{At, Standing, unreadable};

/// Why a transaction is not committed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Reason {
    /// Stable: programs may rely on it.
    code: &'static str,
    /// What is wrong, and what would be fine.
    message: String,
}

impl Reason {
    /// As a block records it.
    pub(super) fn of(why: &Recorded) -> Self {
        Self { code: why.code(), message: why.text.clone() }
    }
}

/// Where a transaction stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "3b5ddc4a5a3e6bd2b3e3d2d5b5b5d3c1f6a3a7c3cbe8e1c4ad0d4c2f4f6f0a11",
    "status": "committed", "height": 12, "index": 3, "as_of": 12,
}))]
pub(super) struct Report {
    /// Its id, as far as it could be read.
    #[schema(value_type = Option<schema::Id>)]
    id: Option<TransactionId>,
    /// `pending`, `committed`, `refused` or `unknown`.
    #[schema(pattern = "^(pending|committed|refused|unknown)$")]
    status: &'static str,
    /// The block that decided it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, nullable = false)]
    height: Option<Height>,
    /// Its index in that block.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    index: Option<u32>,
    /// Why it is not committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<Reason>,
    /// The transaction as it came; where one is asked for and committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Transaction>, nullable = false)]
    transaction: Option<Box<RawValue>>,
    /// The height that this is true at.
    #[schema(value_type = u64)]
    pub(super) as_of: Height,
}

impl Report {
    pub(super) fn new(id: Option<TransactionId>, status: &'static str, as_of: Height) -> Self {
        let (height, index, reason, transaction) = (None, None, None, None);
        Self { id, status, height, index, reason, transaction, as_of }
    }

    fn at(mut self, place: Place) -> Self {
        self.height = Some(place.height);
        self.index = Some(place.index);
        // What a block says is true at its height, whatever this validator looked at before.
        self.as_of = self.as_of.max(place.height);
        self
    }

    pub(super) fn because(mut self, code: &'static str, message: String) -> Self {
        self.reason = Some(Reason { code, message });
        self
    }

    pub(super) fn committed(id: TransactionId, place: Place, as_of: Height) -> Self {
        Self::new(Some(id), "committed", as_of).at(place)
    }

    pub(super) fn refused(id: TransactionId, place: Place, why: &Recorded, as_of: Height) -> Self {
        let report = Self::new(Some(id), "refused", as_of).at(place);
        report.because(why.code(), why.text.clone())
    }
}

/// One report with a status of its own.
pub(super) fn alone(status: StatusCode, report: Report) -> Response {
    at(report.as_of, (status, Json(report)).into_response())
}

/// What became of a transaction
///
/// Whether it waits, is committed (then it is in the answer, byte for byte as it came), or was
/// refused, where and why.
#[utoipa::path(
    get,
    path = "/api/v2/transactions/{id}",
    operation_id = "get_transaction",
    tag = "transactions",
    params(("id" = schema::Id, Path, description = "The transaction's id")),
    responses((status = 200, description = "Where it stands", body = Report), NotFound, Unwell),
)]
pub(super) async fn one(State(api): Shared, Segment(id): Segment, uri: Uri) -> Response {
    say(report_on(&api, &id, &uri).await)
}

async fn report_on(api: &Arc<Api>, id: &str, uri: &Uri) -> Result<Response, Failure> {
    Question::ask(api, uri, &[]).await?;
    let id: TransactionId = id.parse().map_err(|_| Failure::NotFound)?;
    let (pending, answer) = standing(api, id).await?;
    let as_of = answer.height;
    let report = match answer.found {
        Some(Standing::Committed(place)) => {
            let mut report = Report::committed(id, place, as_of);
            report.transaction = Some(transaction(api, place).await?);
            report
        }
        // It was refused once, and is on its way again.
        _ if pending => Report::new(Some(id), "pending", as_of),
        Some(Standing::Refused(place, why)) => Report::refused(id, place, &why, as_of),
        None => return Err(Failure::NotFound),
    };
    Ok(at(report.as_of, Json(report)))
}

async fn transaction(api: &Arc<Api>, place: Place) -> Result<Box<RawValue>, Failure> {
    let read = api.read(move |query| {
        let bytes = query.body_of(place)?;
        let text = serde_json::from_slice(&bytes).map_err(|error| unreadable(place, error))?;
        Ok(At { height: place.height, found: text })
    });
    Ok(read.await?.found)
}

/// Whether it waits here, and what is decided. Asked in this order: what leaves the waiting
/// room between the two questions is in the store by then.
pub(super) async fn standing(
    api: &Arc<Api>,
    id: TransactionId,
) -> Result<(bool, At<Option<Standing>>), Failure> {
    let pending = api.intake.is_pending(&id);
    Ok((pending, api.read(move |query| query.standing(&id)).await?))
}

/// A transaction's receipt
///
/// The proof, for anyone, offline, that the federation decided this transaction: committed or
/// refused. Check it with `cairn verify receipt`.
#[utoipa::path(
    get,
    path = "/api/v2/transactions/{id}/receipt",
    operation_id = "get_receipt",
    tag = "transactions",
    params(("id" = schema::Id, Path, description = "The transaction's id")),
    responses(
        (status = 200, description = "The receipt", body = Object),
        NotFound,
        Unwell
    ),
)]
pub(super) async fn receipt(State(api): Shared, Segment(id): Segment, uri: Uri) -> Response {
    say(receipt_for(&api, &id, &uri).await)
}

async fn receipt_for(api: &Arc<Api>, id: &str, uri: &Uri) -> Result<Response, Failure> {
    Question::ask(api, uri, &[]).await?;
    let id: TransactionId = id.parse().map_err(|_| Failure::NotFound)?;
    let pending = api.intake.is_pending(&id);
    let answer = api.read(move |query| query.receipt(&id)).await?;
    match answer.found {
        Some(text) => Ok(at(answer.height, json_text(StatusCode::OK, text))),
        None if pending => Err(Failure::StillPending(id)),
        None => Err(Failure::NotFound),
    }
}
