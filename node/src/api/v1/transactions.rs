//! Transactions in and out.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{StatusCode, Uri},
    response::Response,
};

use super::{
    super::{Api, Segment, Shared, access::charge, at, errand::Errand, error::Failure, json_text},
    parameters::{Mode, Parameters, exact_id},
    say,
};
use crate::{intake::Fate, traces::Step};

/// Larger than any transaction, so that one that is somewhat too large hears its own reason.
const BODY_BYTES_MAX: usize = 1024 * 1024;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// `POST /api/v1/transactions`: 202 and the transaction as it came.
pub(super) async fn post(State(api): Shared, request: Request) -> Response {
    let errand = Errand::begin(&api, request.headers());
    say(errand.end(take(&api, request, &errand).await))
}

async fn take(api: &Arc<Api>, request: Request, errand: &Errand) -> Result<Response, Failure> {
    let mode = Parameters::of(request.uri()).mode()?;
    let (head, body) = request.into_parts();
    charge(&head.extensions, 1)?;
    let mut received = api.bodies.read(&head, body, BODY_BYTES_MAX).await?;
    // Some clients' libraries begin all text so, and upstream's reads over it.
    if received.bytes.starts_with(BYTE_ORDER_MARK) {
        received.bytes.drain(..BYTE_ORDER_MARK.len());
    }
    let bytes: Arc<[u8]> = Arc::from(received.bytes.as_slice());
    errand.reach(Step::Received);
    let answer = api.admission.one(bytes).await?;
    errand.reach(Step::Checked);
    let admitted = answer.map_err(Failure::from)?;
    let id = admitted.id();
    errand.brings(id, 1);
    let fate = api.intake.submit(admitted, errand.day()).map_err(Failure::Busy)?;
    errand.is_taken_in(id, 1);
    let height = match mode {
        // The reply of the door is all there is before a decision.
        Mode::Async | Mode::Sync => {
            if errand.is_awaited() {
                errand.tell_when_decided(vec![fate]);
            }
            api.query.height()
        }
        Mode::Commit => {
            let patience = api.settings.commit_timeout;
            let fate = tokio::time::timeout(patience, fate).await;
            let fate = fate.ok().and_then(Result::ok).unwrap_or(Fate::Unknown);
            errand.are_decided([&fate]);
            match fate {
                Fate::Committed(place) => place.height,
                Fate::Refused(_, why) => return Err(Failure::Decided(id, why)),
                Fate::Unknown => return Err(Failure::Undecided(id, patience.as_secs())),
            }
        }
    };
    Ok(at(height, json_text(StatusCode::ACCEPTED, received.bytes)))
}

/// `GET /api/v1/transactions/{id}`.
pub(super) async fn one(State(api): Shared, Segment(id): Segment) -> Response {
    say(find(&api, &id).await)
}

async fn find(api: &Arc<Api>, id: &str) -> Result<Response, Failure> {
    // What is no hash names no transaction.
    let id = exact_id(id).ok_or(Failure::NotFound)?;
    let answer = api.read(move |query| query.transaction(&id)).await?;
    let bytes = answer.found.ok_or(Failure::NotFound)?;
    Ok(at(answer.height, json_text(StatusCode::OK, bytes.to_vec())))
}

/// `GET /api/v1/transactions?asset_id&operation&last_tx`.
pub(super) async fn list(State(api): Shared, uri: Uri) -> Response {
    say(of_asset(&api, &uri).await)
}

async fn of_asset(api: &Arc<Api>, uri: &Uri) -> Result<Response, Failure> {
    let parameters = Parameters::of(uri);
    let operation = parameters.operation()?;
    let asset = Parameters::required("asset_id", parameters.hash("asset_id")?)?;
    let last = parameters.boolean("last_tx")?.unwrap_or(false);
    let answer = api.read(move |query| query.transactions_of(&asset, operation, last)).await?;
    Ok(at(answer.height, json_text(StatusCode::OK, array(&answer.found))))
}

/// The transactions as they came, in one JSON array: what was read as JSON once is not written anew.
pub(super) fn array(transactions: &[Arc<[u8]>]) -> Vec<u8> {
    let mut text = vec![b'['];
    for (at, transaction) in transactions.iter().enumerate() {
        if at > 0 {
            text.push(b',');
        }
        text.extend_from_slice(transaction);
    }
    text.push(b']');
    text
}
