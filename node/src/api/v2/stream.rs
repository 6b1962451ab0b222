//! `GET /api/v2/stream`: what was decided, as Server-Sent Events or over a WebSocket, from any
//! height or event on.

use std::{io, sync::Arc};

use axum::{
    body::Body,
    extract::{
        Query, State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, HeaderValue, Uri, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use cairn_ledger::ids::Height;
use futures_util::stream;

use super::{
    super::{
        Api, Shared,
        error::Failure,
        server::Lasting,
        websocket::{self, Dialect},
    },
    openapi::{Problem, Unwell},
    question, say,
};
use crate::streams::{
    Dropped, EventId, Filter, Follower, Kind, News, Next, Operation,
    events::{self, TransactionEvent},
};

/// Most values of filters in one request: each transaction is held against them.
const VALUES_MAX: usize = 64;

/// What a query may name, next to `min_height`.
const PARAMETERS: &[&str] = &["from", "asset_id", "operation", "public_key", "events", "refused"];

/// What a client that lost its connection waits before it comes back, in milliseconds.
const RETRY_MS: u32 = 1000;

/// What was decided, as it comes.
///
/// Server-Sent Events, or a WebSocket when the request asks for one. A `transaction` event for
/// each transaction of a block, then a `block` event; all in chain order, from any height on,
/// each at least once. Every event has an id (`height:index` of a transaction, `height` of a
/// block), the same on every validator: whoever lost its connection goes on behind the last one
/// it saw with `Last-Event-ID`, here or elsewhere. When nothing wanted happens for 15 s, or for 256
/// blocks, an id without an event says how far the stream got (over a WebSocket: an event
/// `progress`), so that a filtered stream need not look at old blocks again.
/// A reader that takes nothing of what was sent for 10 s is dropped.
#[utoipa::path(
    get,
    path = "/api/v2/stream",
    operation_id = "follow",
    tag = "stream",
    params(
        ("from" = Option<String>, Query, description = "Where to begin: a height (all of that \
            block and what comes after; 0 or 1 is the beginning) or a transaction's event id (what \
            comes behind it). A height that is not there yet is waited for. From now on, if not given."),
        ("asset_id" = Option<Vec<String>>, Query, description = "Only transactions of these assets. \
            Repeat it for several."),
        ("operation" = Option<Vec<String>>, Query, description = "Only transactions that do one of \
            these, as in CREATE. Repeat it for several."),
        ("public_key" = Option<Vec<String>>, Query, description = "Only transactions with one of these \
            among the owners of their inputs or outputs. Repeat it for several."),
        ("events" = Option<Vec<String>>, Query, description = "Only events of this kind: transaction or block."),
        ("refused" = Option<bool>, Query, description = "Also tell of transactions that were refused, and why."),
        ("Last-Event-ID" = Option<String>, Header, description = "Go on behind this event; wins over from."),
    ),
    responses(
        (status = 200, description = "Events until one side ends the connection", body = TransactionEvent<'_>,
            content_type = "text/event-stream"),
        (status = 101, description = "The same over a WebSocket, each event one text message"),
        (status = 426, description = "UPGRADE_REQUIRED: the WebSocket handshake was not right",
            body = Problem, content_type = "application/problem+json"),
        Unwell,
    ),
)]
pub(super) async fn get(
    State(api): Shared,
    uri: Uri,
    headers: HeaderMap,
    lasting: Lasting,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    say(follow(&api, &uri, &headers, lasting, upgrade).await)
}

async fn follow(
    api: &Arc<Api>,
    uri: &Uri,
    headers: &HeaderMap,
    lasting: Lasting,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Failure> {
    let Wanted { mut next, filter, min_height } = wanted(uri)?;
    if let Some(height) = min_height {
        question::stored(api, height).await?;
    }
    // Who comes back tells by the header where it was; the address still says where it began.
    if let Some(last) = headers.get("last-event-id") {
        next = Some(behind(last)?);
    }
    let full = || Failure::TooManyStreams(api.streams.limits().streams);
    let wants_upgrade = headers
        .get(header::UPGRADE)
        .is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if wants_upgrade {
        let upgrade = upgrade.map_err(|_| Failure::NoUpgrade)?;
        let follower = api.streams.follow(Kind::WebSocket, next, filter).ok_or_else(full)?;
        return Ok(websocket::tell(upgrade, follower, Dialect::V2, lasting));
    }
    let follower = api.streams.follow(Kind::Sse, next, filter).ok_or_else(full)?;
    Ok(server_sent(follower, lasting))
}

fn behind(last: &HeaderValue) -> Result<Next, Failure> {
    let id: Option<EventId> = last.to_str().ok().and_then(|text| text.parse().ok());
    let wanted = "an event id would be fine, as in 1042 or 1042:7".to_owned();
    id.map(Next::behind).ok_or(Failure::Value { name: "Last-Event-ID", wanted })
}

/// What a query asks for.
struct Wanted {
    next: Option<Next>,
    filter: Filter,
    min_height: Option<Height>,
}

/// Reads the query.
fn wanted(uri: &Uri) -> Result<Wanted, Failure> {
    let pairs: Result<Query<Vec<(String, String)>>, _> = Query::try_from_uri(uri);
    let Query(pairs) = pairs.map_err(|_| invalid("query", "it cannot be decoded"))?;
    if pairs.len() > VALUES_MAX {
        let wanted = format!("at most {VALUES_MAX} values are taken");
        return Err(Failure::Value { name: "query", wanted });
    }
    let mut filter = Filter::default();
    let (mut next, mut kinds, mut min_height) = (None, Vec::new(), None);
    for (at, (name, text)) in pairs.iter().enumerate() {
        let once = ["from", "refused", "min_height"].contains(&name.as_str());
        if once && pairs[..at].iter().any(|(before, _)| before == name) {
            return Err(invalid("query", &format!("{name} is there twice, once would be fine")));
        }
        match name.as_str() {
            "from" => next = Some(from(text)?),
            "asset_id" => {
                let hash = text.parse().ok();
                filter.assets.push(
                    hash.ok_or_else(|| invalid("asset_id", "64 hexadecimal digits would be fine"))?,
                );
            }
            "operation" => {
                let known = Operation::named(text);
                filter.operations.push(known.ok_or_else(|| {
                    invalid("operation", "CREATE, TRANSFER, VALIDATOR_ELECTION, CHAIN_MIGRATION_ELECTION or VOTE would be fine")
                })?);
            }
            "public_key" => {
                let key = text.parse().ok();
                filter.owners.push(key.ok_or_else(|| {
                    invalid("public_key", "an ed25519 key in base58 would be fine")
                })?);
            }
            "events" => kinds.push(kind(text)?),
            "refused" => {
                let said = text.parse().ok();
                filter.refused =
                    said.ok_or_else(|| invalid("refused", "true or false would be fine"))?;
            }
            "min_height" => {
                let height = question::height(text);
                min_height = Some(height.ok_or_else(|| {
                    invalid("min_height", "a height (a whole number) would be fine")
                })?);
            }
            _ => return Err(question::unknown(name.clone(), PARAMETERS)),
        }
    }
    if !kinds.is_empty() {
        filter.transactions = kinds.contains(&EventKind::Transaction);
        filter.blocks = kinds.contains(&EventKind::Block);
    }
    Ok(Wanted { next, filter, min_height })
}

/// A height is where to begin; a transaction's id is what was seen already.
fn from(text: &str) -> Result<Next, Failure> {
    let id: EventId = text.parse().map_err(|_| {
        invalid("from", "a height or an event id would be fine, as in 1042 or 1042:7")
    })?;
    Ok(match id.index {
        Some(_) => Next::behind(id),
        None => Next::of(id.height),
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum EventKind {
    Transaction,
    Block,
}

fn kind(text: &str) -> Result<EventKind, Failure> {
    match text {
        "transaction" => Ok(EventKind::Transaction),
        "block" => Ok(EventKind::Block),
        _ => Err(invalid("events", "transaction or block would be fine")),
    }
}

fn invalid(name: &'static str, wanted: &str) -> Failure {
    Failure::Value { name, wanted: wanted.to_owned() }
}

/// The answer whose body is the stream: made piece by piece, when the client takes one.
fn server_sent(follower: Follower, lasting: Lasting) -> Response {
    let telling = Telling { follower, lasting, begun: false };
    let body = Body::from_stream(stream::unfold(Some(telling), tell));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // Proxies that gather answers before they hand them on leave this one alone.
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, body).into_response()
}

struct Telling {
    follower: Follower,
    lasting: Lasting,
    begun: bool,
}

type Piece = Result<Bytes, io::Error>;

/// The next piece; ends when the validator stops, breaks off when there is trouble.
async fn tell(telling: Option<Telling>) -> Option<(Piece, Option<Telling>)> {
    let mut telling = telling?;
    if !telling.begun {
        // A client that is cut off before its first event comes back to where it was.
        telling.begun = true;
        let retry = format!("retry: {RETRY_MS}\n");
        let at = events::progress_lines(telling.follower.passed());
        return Some((Ok([retry.as_bytes(), &at].concat().into()), Some(telling)));
    }
    let Telling { follower, lasting, .. } = &mut telling;
    let news = tokio::select! {
        biased;
        () = lasting.over() => return None,
        news = follower.news() => news,
    };
    match news {
        Ok(News::Events(portion)) => Some((Ok(portion.lines()), Some(telling))),
        Ok(News::Quiet(at)) => Some((Ok(events::progress_lines(at)), Some(telling))),
        Err(trouble) => {
            tracing::warn!(error = %trouble, "a stream ended");
            telling.follower.end(Dropped::Trouble);
            Some((Err(io::Error::other("a block could not be read")), None))
        }
    }
}
