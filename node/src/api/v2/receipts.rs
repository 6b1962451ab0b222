//! `POST /api/v2/receipts/verify`: a receipt, checked against this validator's genesis.
//!
//! For those who cannot run the verifier themselves: whoever can should, because then they
//! need not trust this answer (`cairn verify receipt`, or the WebAssembly module).

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, header},
    response::Response,
};
use cairn_ledger::ids::{BlockId, ChainId, TransactionId};
use cairn_verifier::{FILE_BYTES_MAX, Genesis, Invalid, Outcome, Proven};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    super::{Api, Shared, at, error::Failure},
    openapi::{Problem, Unwell},
    question::Question,
    say,
};
use crate::query::At;

/// What the verifier says of a receipt.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Verdict {
    /// It is proof.
    Valid(Proof),
    /// It proves nothing.
    Invalid(Fault),
}

/// What a receipt proves.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Proof {
    /// `true`
    valid: bool,
    /// The chain's name.
    chain: String,
    /// The hash of the chain's genesis.
    #[schema(value_type = String, example = "8f4c…")]
    chain_id: ChainId,
    /// Null when the transaction was refused for being so malformed that it has no id.
    #[schema(value_type = Option<String>)]
    transaction_id: Option<TransactionId>,
    /// `committed` or `refused`.
    outcome: &'static str,
    /// Why it was refused; null when it was committed.
    refusal: Option<Refusal>,
    /// The height of its block.
    height: u64,
    /// Its place in the block, from 0.
    index: u32,
    /// The hash of the block's header.
    #[schema(value_type = String)]
    block_id: BlockId,
    /// The block's time, Unix milliseconds.
    time_ms: u64,
    /// The names of the validators that signed.
    signers: Vec<String>,
    /// The voting power that they hold.
    signed_power: u64,
    /// The voting power of all validators.
    total_power: u64,
}

/// Why a transaction was refused, as its block says it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RecordedRefusal)]
pub(super) struct Refusal {
    /// The reason's number, which never changes its meaning.
    number: u16,
    /// The reason in words.
    text: String,
}

/// Why a receipt proves nothing.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Fault {
    /// `false`
    valid: bool,
    /// The field that is wrong.
    #[schema(example = "receipt.certificate.signatures[1].signature")]
    field: String,
    /// What is wrong with it, and what would be fine.
    reason: String,
}

impl From<Proven> for Proof {
    fn from(proven: Proven) -> Self {
        let Proven { chain, chain_id, transaction_id, outcome, height, index, .. } = proven;
        let Proven { block_id, time_ms, signers, signed_power, total_power, .. } = proven;
        let (outcome, refusal) = match outcome {
            Outcome::Committed => ("committed", None),
            Outcome::Refused { number, text } => ("refused", Some(Refusal { number, text })),
        };
        Self {
            valid: true,
            chain,
            chain_id: ChainId(chain_id),
            transaction_id: transaction_id.map(TransactionId),
            outcome,
            refusal,
            height,
            index,
            block_id: BlockId(block_id),
            time_ms,
            signers,
            signed_power,
            total_power,
        }
    }
}

/// The route.
#[utoipa::path(
    post,
    path = "/api/v2/receipts/verify",
    operation_id = "verify_receipt",
    tag = "receipts",
    summary = "Check a receipt",
    description = "Checks a receipt against the genesis of this validator: the transaction, its \
        Merkle path, the header, and the signatures of more than two thirds of the voting power. \
        A receipt that proves nothing is answered too, with `valid: false`, the field that is \
        wrong, and why. The same check runs offline with `cairn verify receipt` and in \
        WebAssembly: whoever runs it there need not trust this validator. At most 1 MiB.",
    request_body(
        content = Object,
        content_type = "application/json",
        description = "A receipt, as `GET /api/v2/transactions/{id}/receipt` gives it"
    ),
    responses(
        (status = 200, description = "The verdict", body = Verdict),
        (status = 413, description = "The body is larger than 1 MiB (`BODY_TOO_LARGE`)", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not `application/json` (`MEDIA_TYPE`)", body = Problem, content_type = "application/problem+json"),
        Unwell
    )
)]
pub(super) async fn verify(State(api): Shared, request: Request) -> Response {
    say(judge(&api, request).await)
}

async fn judge(api: &Arc<Api>, request: Request) -> Result<Response, Failure> {
    Question::ask(api, request.uri(), &[]).await?;
    if !is_json(request.headers()) {
        return Err(Failure::MediaTypeJson);
    }
    let (head, body) = request.into_parts();
    let received = api.bodies.read(&head, body, FILE_BYTES_MAX).await?;
    if received.bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Failure::BodyEmpty);
    }
    if received.bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Failure::ReceiptSyntax("a receipt is a JSON object".to_owned()));
    }
    // The whole genesis is read each time: the very call that an auditor makes.
    let answer = api.read(move |query| {
        let genesis = Genesis::read(query.genesis().to_json().as_bytes());
        let found = genesis.map(|genesis| cairn_verifier::verify(&received.bytes, &genesis));
        Ok(At { height: query.height(), found })
    });
    let At { height, found } = answer.await?;
    let verdict = match found.map_err(|error| Failure::Trouble(error.to_string()))? {
        Ok(proven) => Verdict::Valid(proven.into()),
        Err(Invalid::Syntax { why, .. }) => return Err(Failure::ReceiptSyntax(why)),
        Err(Invalid::Field { field, wanted }) => {
            Verdict::Invalid(Fault { valid: false, field, reason: wanted })
        }
    };
    Ok(at(height, Json(verdict)))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
}
