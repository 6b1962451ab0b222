//! `POST /api/v2/transactions`: one transaction, or many together.
//!
//! Many together are checked in one go, enter the waiting room in one go, and are answered
//! one by one: a bad item costs the others nothing.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Uri, header},
    response::Response,
};
use cairn_ledger::{
    ids::{Height, TransactionId},
    refusal::Refusal,
    transaction::Admitted,
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};
use utoipa::ToSchema;

use super::{
    super::{Api, Shared, access::charge, admission::Turned, at, errand::Errand, error::Failure},
    numbers,
    openapi::Problem,
    question::Question,
    say, schema,
    slices::{self, Form, NotAList},
    transactions::{Report, alone, standing},
};
use crate::{intake::Fate, query::Standing, traces::Step};

/// Most transactions of one request.
const ITEMS_MAX: usize = 1000;

/// Largest body. A full list of transactions with small payloads fits; large ones go in several.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One transaction, or a list of them.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "described, never made")]
pub(super) enum Sent {
    /// A transaction.
    One(schema::Transaction),
    /// Up to 1,000 of them. One that is no transaction is told so in its report.
    Many(Vec<schema::Anything>),
}

/// One report, or one for each transaction of a list.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "described, never made")]
pub(super) enum Reports {
    /// On the one that was sent.
    One(Report),
    /// On each, in order.
    Many(Vec<Report>),
}

/// Largest body of one transaction: more than any may have, so that one that is somewhat too
/// large hears its own reason.
const SINGLE_BYTES_MAX: usize = 1024 * 1024;

/// What the answer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Accepted,
    Committed,
}

/// Send transactions
///
/// One transaction, or up to 1,000 as an array or one a line (`application/x-ndjson`): then each
/// has its own result, in order, and a bad one costs the others nothing. Sending the same again
/// is safe: it is told what became of it.
///
/// Alone, a transaction that cannot be taken in is a problem; among others it is a report with
/// a `reason`.
#[utoipa::path(
    post,
    path = "/api/v2/transactions",
    operation_id = "send_transactions",
    tag = "transactions",
    params(("wait" = Option<String>, Query, description = "`accepted` (usual): answer once it waits for a decision; `committed`: answer once it is decided", pattern = "^(accepted|committed)$")),
    request_body(
        description = "Signed transactions of the BigchainDB 2.0 specification, at most 4 MiB together, 64 KiB each",
        content((Sent = "application/json"), (String = "application/x-ndjson")),
    ),
    responses(
        (status = 200, description = "Decided; or the reports on many, in the order they came", body = Reports),
        (status = 202, description = "It waits for a decision", body = Report),
        (status = 400, description = "Not a transaction that could be taken in", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body came too slowly", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "What it spends is spent, or is being spent", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`Content-Type` must be application/json or application/x-ndjson", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many at once: come back after `Retry-After`", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "This validator has trouble with its disk", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many wait, or there is no decision yet: `outcome` is `unknown` then, and the id tells later", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is full", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn post(State(api): Shared, request: Request) -> Response {
    let errand = Errand::begin(&api, request.headers());
    say(errand.end(take(&api, request, &errand).await))
}

async fn take(api: &Arc<Api>, request: Request, errand: &Errand) -> Result<Response, Failure> {
    let wait = wait_of(request.uri())?;
    let lines = is_lines(request.headers())?;
    let (head, body) = request.into_parts();
    let received = api.bodies.read(&head, body, BODY_BYTES_MAX).await?;
    errand.reach(Step::Received);
    if received.bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Failure::BodyEmpty);
    }
    let items = match slices::form(&received.bytes, lines) {
        Form::Object => {
            charge(&head.extensions, 1)?;
            if received.bytes.len() > SINGLE_BYTES_MAX {
                return Err(Failure::BodyTooLarge(SINGLE_BYTES_MAX));
            }
            let bytes = Arc::from(received.bytes.as_slice());
            return take_one(api, bytes, wait, errand).await;
        }
        Form::Array => slices::array(&received.bytes, ITEMS_MAX)
            .map_err(|NotAList { what, at }| Failure::BatchSyntax { what, at })?,
        Form::Lines => slices::lines(&received.bytes, ITEMS_MAX),
    };
    if items.len() > ITEMS_MAX {
        return Err(Failure::BatchLimit(ITEMS_MAX));
    }
    charge(&head.extensions, items.len())?;
    let items = items.into_iter().map(|item| Arc::from(&received.bytes[item])).collect();
    let reports = take_many(api, items, wait, errand).await?;
    let height = reports.iter().map(|report| report.as_of).max();
    Ok(at(height.unwrap_or_else(|| api.query.height()), Json(reports)))
}

fn wait_of(uri: &Uri) -> Result<Wait, Failure> {
    let question = Question::of(uri, &["wait"])?;
    let words = [("accepted", Wait::Accepted), ("committed", Wait::Committed)];
    Ok(question.word("wait", &words)?.unwrap_or(Wait::Accepted))
}

/// Whether the body holds one item a line.
fn is_lines(headers: &HeaderMap) -> Result<bool, Failure> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    match kind.map(str::to_ascii_lowercase).as_deref() {
        Some("application/json") => Ok(false),
        Some("application/x-ndjson" | "application/ndjson") => Ok(true),
        _ => Err(Failure::MediaType),
    }
}

async fn take_one(
    api: &Arc<Api>,
    bytes: Arc<[u8]>,
    wait: Wait,
    errand: &Errand,
) -> Result<Response, Failure> {
    numbers::check(&bytes)?;
    let answer = api.admission.one(bytes).await?;
    errand.reach(Step::Checked);
    let admitted = match answer {
        Ok(admitted) => admitted,
        // The same again is not wrong: it has its answer already.
        Err(Turned { id: Some(id), refusal: Refusal::Duplicate(_), .. }) => {
            errand.is_known();
            return Ok(alone(StatusCode::OK, already(api, id).await?));
        }
        Err(turned) => return Err(turned.into()),
    };
    let id = admitted.id();
    may_spend(api, &admitted)?;
    errand.brings(id, 1);
    let fate = api.intake.submit(admitted, errand.day()).map_err(Failure::Busy)?;
    errand.is_taken_in(id, 1);
    let height = api.query.height();
    if wait == Wait::Accepted {
        if errand.is_awaited() {
            errand.tell_when_decided(vec![fate]);
        }
        return Ok(alone(StatusCode::ACCEPTED, Report::new(Some(id), "pending", height)));
    }
    let patience = api.settings.commit_timeout;
    let fate = settle(fate, Instant::now() + patience).await;
    errand.are_decided([&fate]);
    match fate {
        Fate::Committed(place) => Ok(alone(StatusCode::OK, Report::committed(id, place, height))),
        Fate::Refused(_, why) => Err(Failure::Decided(id, why)),
        Fate::Unknown => Err(Failure::Undecided(id, patience.as_secs())),
    }
}

/// What became of one of many at the door.
enum Item {
    Turned(Turned),
    Failed(Option<TransactionId>, Failure),
    Admitted(Arc<Admitted>),
}

impl Item {
    fn admitted(&self) -> Option<Arc<Admitted>> {
        if let Self::Admitted(admitted) = self { Some(Arc::clone(admitted)) } else { None }
    }
}

async fn take_many(
    api: &Arc<Api>,
    items: Vec<Arc<[u8]>>,
    wait: Wait,
    errand: &Errand,
) -> Result<Vec<Report>, Failure> {
    let height = api.query.height();
    let exact: Vec<Result<(), Failure>> = items.iter().map(|item| numbers::check(item)).collect();
    let fit = items.into_iter().zip(&exact).filter(|(_, exact)| exact.is_ok());
    let mut checked = api.admission.many(fit.map(|(item, _)| item).collect()).await?.into_iter();
    let answers: Vec<Item> = exact
        .into_iter()
        .map(|exact| match exact {
            Err(failure) => Item::Failed(None, failure),
            Ok(()) => match checked.next().expect("an answer for each item that was asked for") {
                Err(turned) => Item::Turned(turned),
                Ok(admitted) => match may_spend(api, &admitted) {
                    Err(failure) => Item::Failed(Some(admitted.id()), failure),
                    Ok(()) => Item::Admitted(admitted),
                },
            },
        })
        .collect();
    errand.reach(Step::Checked);
    let admitted: Vec<Arc<Admitted>> = answers.iter().filter_map(Item::admitted).collect();
    let mut fates = take_in(api, admitted, wait, errand).await?.into_iter();
    let mut reports = Vec::with_capacity(answers.len());
    for answer in answers {
        reports.push(match answer {
            Item::Turned(Turned { id: Some(id), refusal: Refusal::Duplicate(_), .. }) => {
                already(api, id).await?
            }
            Item::Turned(turned) => {
                let report = Report::new(turned.id, "refused", height);
                let failure = Failure::from(turned);
                report.because(failure.code(), failure.detail())
            }
            Item::Failed(id, failure) => {
                let report = Report::new(id, "refused", height);
                report.because(failure.code(), failure.detail())
            }
            Item::Admitted(admitted) => match fates.next() {
                None => Report::new(Some(admitted.id()), "pending", height),
                Some(fate) => report(admitted.id(), fate, height, api),
            },
        });
    }
    Ok(reports)
}

/// Takes in what was admitted; what became of each, when that is waited for.
async fn take_in(
    api: &Arc<Api>,
    admitted: Vec<Arc<Admitted>>,
    wait: Wait,
    errand: &Errand,
) -> Result<Vec<Fate>, Failure> {
    let Some(first) = admitted.first().map(|admitted| admitted.id()) else {
        errand.brings_nothing();
        return Ok(Vec::new());
    };
    let count = admitted.len();
    errand.brings(first, count);
    if wait == Wait::Accepted && !errand.is_awaited() {
        api.intake.submit_all(admitted, errand.day()).map_err(Failure::Busy)?;
        return Ok(Vec::new());
    }
    let waiting = api.intake.submit_each(admitted, errand.day()).map_err(Failure::Busy)?;
    errand.is_taken_in(first, count);
    if wait == Wait::Accepted {
        errand.tell_when_decided(waiting);
        return Ok(Vec::new());
    }
    // One deadline for all: they were taken in together.
    let deadline = Instant::now() + api.settings.commit_timeout;
    let mut fates = Vec::with_capacity(count);
    for fate in waiting {
        fates.push(settle(fate, deadline).await);
    }
    errand.are_decided(&fates);
    Ok(fates)
}

async fn settle(fate: oneshot::Receiver<Fate>, deadline: Instant) -> Fate {
    match timeout_at(deadline, fate).await {
        Ok(Ok(fate)) => fate,
        Ok(Err(_)) | Err(_) => Fate::Unknown,
    }
}

fn report(id: TransactionId, fate: Fate, as_of: Height, api: &Api) -> Report {
    match fate {
        Fate::Committed(place) => Report::committed(id, place, as_of),
        Fate::Refused(place, why) => Report::refused(id, place, &why, as_of),
        Fate::Unknown => {
            let patience: Duration = api.settings.commit_timeout;
            let failure = Failure::Undecided(id, patience.as_secs());
            Report::new(Some(id), "unknown", as_of).because(failure.code(), failure.detail())
        }
    }
}

/// Whether nothing that waits here spends what this one spends. Two that come at the same
/// moment may both pass: the ledger decides between them, this only tells the later one sooner.
fn may_spend(api: &Api, transaction: &Admitted) -> Result<(), Failure> {
    match api.intake.spender(transaction) {
        Some((output, by)) => Err(Failure::InputPending { output, by }),
        None => Ok(()),
    }
}

/// The report on a transaction that was found committed at the door.
async fn already(api: &Arc<Api>, id: TransactionId) -> Result<Report, Failure> {
    let (_, answer) = standing(api, id).await?;
    match answer.found {
        Some(Standing::Committed(place)) => Ok(Report::committed(id, place, answer.height)),
        // The state has it and the index, which follows behind, not yet.
        Some(Standing::Refused(..)) | None => Ok(Report::new(Some(id), "committed", answer.height)),
    }
}
