//! The one map from what went wrong to what a client reads, in both dialects.
//!
//! v1 answers as BigchainDB 2.2.2 does: `{"message":"…","status":400}`, and
//! `{"message":{"mode":"…"}}` for parameters. v2 answers `application/problem+json` with a
//! stable `code`.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use cairn_ledger::{
    ids::{Height, OutputReference, TransactionId},
    refusal::{Recorded, Refusal},
};
use serde_json::{Value, json};

use super::{access::log::request_id, admission::Behind};
use crate::{intake::Busy, query::StoreError};

/// When it is worth asking again whether an issuer answers.
const RETRY_ISSUER_S: u64 = 10;

/// Why a request has no other answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Refused(Refusal),
    /// Like [`Refusal::SignatureInvalid`], by input.
    #[error("{} The signature of input {input} does not hold.", Refusal::SignatureInvalid)]
    Unsigned { input: usize },
    /// Like [`Refusal::ConditionMismatch`], when signatures are missing.
    #[error(
        "{} Input {input} has {have} of the {need} signatures that its output asks for.",
        Refusal::SignatureInvalid
    )]
    Unmet { input: usize, have: usize, need: usize },
    #[error("the transaction was decided and refused: {}", .1.text)]
    Decided(TransactionId, Recorded),
    #[error("no decision on transaction {0} within {1} s; it may still come: its id tells")]
    Undecided(TransactionId, u64),
    #[error("transaction {0} waits for a decision")]
    StillPending(TransactionId),
    #[error("{0}")]
    Busy(Busy),
    #[error("more requests arrive than can be checked; try again in 1 s")]
    Overloaded,
    #[error("this validator is stopping")]
    Stopping,
    #[error("{0}")]
    Trouble(String),
    #[error("{0}: no transaction is taken in until there is room; reading goes on")]
    StorageFull(String),
    #[error("the store does not answer now: {0}; trying again is right")]
    StoreUnavailable(String),
    #[error(
        "output {} of {} is being spent by transaction {by}, which waits for a decision",
        output.index,
        output.transaction
    )]
    InputPending { output: OutputReference, by: TransactionId },
    #[error("the number at {path} does not mean the same to every reader: use a string")]
    Number { path: String },
    #[error("the body is larger than {0} bytes, the most that are read")]
    BodyTooLarge(usize),
    #[error("the body did not arrive within {0} s")]
    BodyTimeout(u64),
    #[error("the body ended before it was whole")]
    BodyBroken,
    #[error("the body is empty: a transaction in JSON would be fine")]
    BodyEmpty,
    #[error("the body is no list of transactions: {what} at byte {at}")]
    BatchSyntax { what: &'static str, at: usize },
    #[error("more than {0} transactions in one request: send several")]
    BatchLimit(usize),
    #[error("the body must be application/json or application/x-ndjson, as Content-Type says")]
    MediaType,
    #[error("the body must be application/json, as Content-Type says")]
    MediaTypeJson,
    #[error("the body is not JSON: {0}")]
    ReceiptSyntax(String),
    #[error("{name}: {text}")]
    Parameter { name: &'static str, text: &'static str },
    #[error("{name}: {wanted}")]
    Value { name: &'static str, wanted: String },
    #[error("filter, at character {at}: {wanted}")]
    Filter { at: usize, wanted: String },
    #[error("the cursor is of another query, or none at all: begin again without it")]
    Cursor,
    #[error("height {wanted} is not stored here yet: this validator stands at {stands}")]
    HeightNotReached { wanted: Height, stands: Height },
    #[error("this validator may be behind the others: {0}; try again in 1 s, or ask another one")]
    NotCurrent(String),
    #[error("{0}")]
    Unauthorized(&'static str),
    #[error("{0}")]
    BadToken(&'static str),
    #[error("who issued the token cannot be asked for its keys; try again in {RETRY_ISSUER_S} s")]
    IssuerAway,
    #[error("no answer within {0} s; what was asked for may still happen")]
    TookTooLong(u64),
    #[error("{0}")]
    Forbidden(&'static str),
    #[error("too many requests; try again in {retry_after_s} s")]
    RateLimited { retry_after_s: u64 },
    #[error("{0}")]
    TooMuch(String),
    #[error("there is no parameter `{name}` here: known are {known}")]
    UnknownParameter { name: String, known: String },
    #[error("text_search cannot be empty")]
    SearchEmpty,
    #[error("this is a WebSocket: ask as RFC 6455 says, version 13, with `Upgrade: websocket`")]
    NoUpgrade,
    #[error("{0} streams are open, the most that there may be; try again in {STREAMS_RETRY_S} s")]
    TooManyStreams(usize),
    #[error("Unknown arguments: {0}")]
    UnknownArguments(String),
    #[error("Not found")]
    NotFound,
    #[error("Method not allowed")]
    MethodNotAllowed,
}

impl From<StoreError> for Failure {
    fn from(trouble: StoreError) -> Self {
        match trouble {
            StoreError::Full { .. } => Self::StorageFull(trouble.to_string()),
            StoreError::Unreachable(why) => Self::StoreUnavailable(why),
            other => Self::Trouble(other.to_string()),
        }
    }
}

impl Failure {
    /// What a transaction spends is not here, which is no reason yet to refuse it.
    pub(super) fn behind(why: Behind) -> Self {
        let why = match why {
            Behind::Alone => "no quorum of them answers".to_owned(),
            Behind::Below(height) => format!("they decide block {height}, which is not here yet"),
        };
        Self::NotCurrent(format!("what is spent is not known here, and {why}"))
    }

    /// Less of the ledger is here than was.
    pub(super) fn rolled_back(stands: Height, stood: Height) -> Self {
        Self::NotCurrent(format!(
            "it has {stands} blocks of the {stood} that it had once, and fetches the others"
        ))
    }

    /// Status, stable code and title of API v2.
    #[expect(clippy::too_many_lines, reason = "one map, in one place, is the point")]
    fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Refused(refusal) => (refusal_status(refusal.code()), refusal.code(), REFUSED),
            Self::Unsigned { .. } => {
                (StatusCode::BAD_REQUEST, Refusal::SignatureInvalid.code(), REFUSED)
            }
            Self::Unmet { .. } => (StatusCode::BAD_REQUEST, "CONDITION_UNMET", REFUSED),
            Self::Decided(_, why) => (refusal_status(why.code()), why.code(), REFUSED),
            Self::Undecided(..) => {
                (StatusCode::SERVICE_UNAVAILABLE, "NO_QUORUM", "the outcome is unknown")
            }
            Self::StillPending(_) => {
                (StatusCode::NOT_FOUND, "TX_NOT_DECIDED", "there is no receipt yet")
            }
            Self::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, "POOL_FULL", "too many wait"),
            Self::Overloaded => (StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", "too many at once"),
            Self::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "STOPPING", "ask another one"),
            Self::Trouble(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "TROUBLE", "this validator has trouble")
            }
            Self::StorageFull(_) => {
                (StatusCode::INSUFFICIENT_STORAGE, "STORAGE_FULL", "the disk is full")
            }
            Self::StoreUnavailable(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "STORE_UNAVAILABLE", "the store does not answer")
            }
            Self::InputPending { .. } => {
                (StatusCode::CONFLICT, "INPUT_PENDING", "an input is being spent")
            }
            Self::Number { .. } => {
                (StatusCode::BAD_REQUEST, "JSON_NUMBER", "a number is not exact")
            }
            Self::BodyTooLarge(_) => {
                (StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", "the body is too large")
            }
            Self::BodyTimeout(_) => {
                (StatusCode::REQUEST_TIMEOUT, "BODY_TIMEOUT", "the body came too slowly")
            }
            Self::BodyBroken => (StatusCode::BAD_REQUEST, "BODY_BROKEN", "the body is not whole"),
            Self::BodyEmpty => (StatusCode::BAD_REQUEST, "JSON_EMPTY", "the body is empty"),
            Self::BatchSyntax { .. } => (StatusCode::BAD_REQUEST, "JSON_SYNTAX", "not a list"),
            Self::BatchLimit(_) => (StatusCode::BAD_REQUEST, "BATCH_LIMIT", "too many in one"),
            Self::ReceiptSyntax(_) => (StatusCode::BAD_REQUEST, "JSON_SYNTAX", "not JSON"),
            Self::MediaType | Self::MediaTypeJson => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "MEDIA_TYPE", "that type is not read")
            }
            Self::Parameter { .. } | Self::Value { .. } | Self::SearchEmpty => {
                (StatusCode::BAD_REQUEST, "PARAM_INVALID", "a parameter is wrong")
            }
            Self::Filter { .. } => {
                (StatusCode::BAD_REQUEST, "FILTER_SYNTAX", "the filter makes no sense")
            }
            Self::Cursor => (StatusCode::BAD_REQUEST, "CURSOR_INVALID", "that cursor is no good"),
            Self::HeightNotReached { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "HEIGHT_NOT_REACHED", "not there yet")
            }
            Self::NotCurrent(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "NOT_CURRENT", "ask another one, or later")
            }
            Self::Unauthorized(_) => (StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "say who you are"),
            Self::BadToken(_) => (StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "that is not good"),
            Self::IssuerAway => {
                (StatusCode::SERVICE_UNAVAILABLE, "ISSUER_UNREACHABLE", "who are you?")
            }
            Self::TookTooLong(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "REQUEST_TIMEOUT", "it took too long")
            }
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "FORBIDDEN", "you may not do that"),
            Self::RateLimited { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", "too many at once")
            }
            Self::TooMuch(_) => (StatusCode::BAD_REQUEST, "QUERY_TOO_MUCH", "too much at once"),
            Self::NoUpgrade => {
                (StatusCode::UPGRADE_REQUIRED, "UPGRADE_REQUIRED", "ask for a WebSocket")
            }
            Self::TooManyStreams(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "STREAMS_FULL", "too many follow")
            }
            Self::UnknownArguments(_) | Self::UnknownParameter { .. } => {
                (StatusCode::BAD_REQUEST, "PARAM_UNKNOWN", "a parameter is unknown")
            }
            Self::NotFound => (StatusCode::NOT_FOUND, "NOT_FOUND", "there is no such thing"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "METHOD", "that method is not served here")
            }
        }
    }

    /// As BigchainDB 2.2.2 says it.
    pub(super) fn v1(&self) -> Response {
        let (status, message) = match self {
            // Arguments are checked by another library upstream, which has a body of its own.
            Self::Parameter { name, text } => {
                return self.json(StatusCode::BAD_REQUEST, &json!({"message": {*name: text}}));
            }
            Self::Value { name, wanted } => {
                return self.json(StatusCode::BAD_REQUEST, &json!({"message": {*name: wanted}}));
            }
            // So does the library that routes.
            Self::MethodNotAllowed => {
                let body = json!({"message": "The method is not allowed for the requested URL."});
                return self.json(StatusCode::METHOD_NOT_ALLOWED, &body);
            }
            Self::UnknownArguments(_) => {
                let body = json!({"message": self.to_string()});
                return self.json(StatusCode::BAD_REQUEST, &body);
            }
            Self::Refused(refusal) => (StatusCode::BAD_REQUEST, refusal_v1(refusal)),
            Self::Unsigned { .. } | Self::Unmet { .. } => {
                (StatusCode::BAD_REQUEST, refusal_v1(&Refusal::SignatureInvalid))
            }
            Self::Decided(..) => {
                let message = "Transaction validation failed".to_owned();
                (StatusCode::INTERNAL_SERVER_ERROR, message)
            }
            // Back-pressure is 429 to upstream's clients, whatever is full.
            Self::Busy(_) => (StatusCode::TOO_MANY_REQUESTS, self.to_string()),
            other => (other.kind().0, other.to_string()),
        };
        self.json(status, &json!({"message": message, "status": status.as_u16()}))
    }

    /// As `application/problem+json`.
    pub(super) fn v2(&self) -> Response {
        let (status, code, title) = self.kind();
        let mut problem = json!({
            "type": "about:blank",
            "title": title,
            "status": status.as_u16(),
            "code": code,
            "detail": self.detail(),
            "request_id": &*request_id(),
        });
        if let Self::Undecided(id, _) = self {
            problem["outcome"] = json!("unknown");
            problem["id"] = json!(id);
        }
        if let Self::HeightNotReached { wanted, stands } = self {
            problem["wanted_height"] = json!(wanted);
            problem["height"] = json!(stands);
        }
        let mut response = self.json(status, &problem);
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }

    /// The stable code of API v2.
    pub(super) fn code(&self) -> &'static str {
        self.kind().1
    }

    /// What API v2 says about it: v1's texts need their context, these stand alone.
    pub(super) fn detail(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.detail(),
            other => other.to_string(),
        }
    }

    fn json(&self, status: StatusCode, body: &Value) -> Response {
        let mut response = (status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        match self {
            Self::Busy(busy) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(busy.retry_after_s));
            }
            Self::RateLimited { retry_after_s } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(*retry_after_s));
            }
            Self::TooManyStreams(_) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(STREAMS_RETRY_S));
            }
            Self::NoUpgrade => {
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            Self::Unauthorized(_) => {
                headers.insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("Bearer realm=\"cairn\""),
                );
            }
            Self::BadToken(_) => {
                let text = "Bearer realm=\"cairn\", error=\"invalid_token\"";
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(text));
            }
            Self::Forbidden(_) => {
                let text = "Bearer realm=\"cairn\", error=\"insufficient_scope\"";
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(text));
            }
            Self::IssuerAway => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_ISSUER_S));
            }
            Self::Overloaded | Self::HeightNotReached { .. } | Self::NotCurrent(_) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            // What is left of the body is not read: the connection ends here.
            Self::BodyTooLarge(_) | Self::BodyTimeout(_) | Self::BodyBroken => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}

/// Streams last: who found no place need not ask again at once.
const STREAMS_RETRY_S: u64 = 10;

const REFUSED: &str = "the transaction is refused";

/// What upstream writes around the reason.
fn refusal_v1(refusal: &Refusal) -> String {
    match refusal.class() {
        _ if refusal.code().starts_with("JSON_") => refusal.to_string(),
        "SchemaValidationError" => format!("Invalid transaction schema: {refusal}"),
        class => format!("Invalid transaction ({class}): {refusal}"),
    }
}

/// The status of API v2 for a refusal's code.
fn refusal_status(code: &str) -> StatusCode {
    match code {
        "TX_TOO_LARGE" => StatusCode::PAYLOAD_TOO_LARGE,
        "DOUBLE_SPEND" | "TX_DUPLICATE" => StatusCode::CONFLICT,
        _ => StatusCode::BAD_REQUEST,
    }
}
