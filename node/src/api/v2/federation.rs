//! Who decides, how this validator stands, and what else there is to ask.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::Uri,
    response::{IntoResponse, Response},
};
use cairn_ledger::ids::{Height, PublicKey};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    super::{Api, NodeStatus, Shared, at, error::Failure},
    openapi::Unwell,
    question::{Question, stored},
    say, schema,
};

/// Who may vote on a block.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Validators {
    /// The block's height.
    #[schema(value_type = u64)]
    height: Height,
    /// What all have together.
    total_power: u64,
    /// How much of it must sign: more than two thirds.
    quorum: u64,
    /// In the order in which certificates count them.
    validators: Vec<ValidatorFields>,
}

/// A validator.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ValidatorFields {
    /// Its name, unique in the chain.
    name: String,
    /// Signs proposals and votes.
    #[schema(value_type = schema::PublicKey)]
    consensus_key: PublicKey,
    /// Names the member towards its peers.
    #[schema(value_type = schema::PublicKey)]
    member_key: PublicKey,
    /// Its voting power.
    power: u64,
}

/// Validators
///
/// Who may vote on the block of a height: the next one, unless `height` names another.
#[utoipa::path(
    get,
    path = "/api/v2/validators",
    operation_id = "list_validators",
    tag = "federation",
    params(("height" = Option<u64>, Query, description = "The block's height; at most the next one's")),
    responses((status = 200, description = "The validators", body = Validators), Unwell),
)]
pub(super) async fn validators(State(api): Shared, uri: Uri) -> Response {
    say(who_votes(&api, &uri).await)
}

async fn who_votes(api: &Arc<Api>, uri: &Uri) -> Result<Response, Failure> {
    let question = Question::ask(api, uri, &["height"]).await?;
    let height = match question.height("height")? {
        Some(height) => {
            // Who votes on a block is known once the one before is stored.
            stored(api, Height(height.0.saturating_sub(1))).await?;
            height
        }
        None => api.query.height().next(),
    };
    let validators = api.query.validators_at(height);
    let total_power: u64 = validators.iter().map(|validator| validator.power).sum();
    let fields = validators.iter().map(|validator| ValidatorFields {
        name: validator.name.clone(),
        consensus_key: validator.consensus_key,
        member_key: validator.member_key,
        power: validator.power,
    });
    let quorum = u64::try_from(u128::from(total_power) * 2 / 3 + 1).unwrap_or(total_power);
    let answer = Validators { height, total_power, quorum, validators: fields.collect() };
    Ok(at(api.query.height(), Json(answer)))
}

/// How a validator stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Status {
    /// The chain: hash of its genesis record.
    #[schema(value_type = schema::Hash)]
    chain_id: String,
    /// The chain's name.
    chain: String,
    /// The name of the validator that answers.
    validator: String,
    /// Height of the last block that is stored here; 0 before the first.
    #[schema(value_type = u64)]
    height: Height,
    /// Its id; before the first block the chain's.
    #[schema(value_type = schema::Hash)]
    block_id: String,
    /// Its time, Unix milliseconds; 0 before the first.
    time_ms: u64,
    /// Names of the validators that it is connected with.
    peers: Vec<String>,
    /// How many blocks the best peer has more.
    lag: u64,
    /// Whether it serves and is not far behind its peers.
    ready: bool,
    /// Why not.
    not_ready_because: Option<String>,
    /// Whether it may sign.
    voting: bool,
    /// Why not.
    not_voting_because: Option<String>,
    /// Whether the federation can decide, as seen from here: enough voting power is within reach,
    /// and so is whoever leads the log.
    quorum: bool,
    /// Why not.
    no_quorum_because: Option<String>,
    /// Whether this validator leads the log.
    leads: bool,
    /// The round of the height that is being decided.
    round: u32,
    /// One line about the ordered log.
    order: String,
    /// Up to which height searching is complete.
    #[schema(value_type = u64)]
    search_height: Height,
    /// Transactions that wait here for a decision.
    pending: usize,
    /// What runs here.
    versions: Versions,
}

/// What runs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Versions {
    /// The validator's version.
    cairn: String,
    /// The versions of the API that it serves.
    api: Vec<&'static str>,
    /// The version of BigchainDB whose API v1 is.
    bigchaindb: &'static str,
}

/// Status
///
/// How far this validator is, whom it is connected with, whether it votes, and what runs.
#[utoipa::path(
    get,
    path = "/api/v2/status",
    operation_id = "get_status",
    tag = "federation",
    responses((status = 200, description = "The status", body = Status), Unwell),
)]
pub(super) async fn status(State(api): Shared, uri: Uri) -> Response {
    say(standing(&api, &uri).await)
}

async fn standing(api: &Arc<Api>, uri: &Uri) -> Result<Response, Failure> {
    Question::ask(api, uri, &[]).await?;
    let told = api.status.borrow().clone();
    let NodeStatus { validator, round, voting, not_voting_because, ready, .. } = told;
    let NodeStatus { not_ready_because, peers, order, version, best_peer, .. } = told;
    let NodeStatus { quorum, no_quorum_because, leads, .. } = told;
    // What the status was told may be a moment old: the height of an answer never is.
    let tip = api.query.tip();
    let genesis = api.query.genesis();
    let answer = Status {
        chain_id: genesis.chain().to_string(),
        chain: genesis.name().to_owned(),
        validator,
        height: tip.height,
        block_id: tip.block.to_string(),
        time_ms: tip.time_ms,
        peers,
        lag: best_peer.saturating_sub(tip.height.0),
        ready,
        not_ready_because,
        voting,
        not_voting_because,
        quorum,
        no_quorum_because,
        leads,
        round,
        order,
        search_height: api.search.height(),
        pending: api.intake.waiting(),
        versions: Versions {
            cairn: version,
            api: vec!["1", "2"],
            bigchaindb: super::super::v1::UPSTREAM_VERSION,
        },
    };
    Ok(at(tip.height, Json(answer)))
}

/// What there is to ask.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Links {
    assets: &'static str,
    blocks: &'static str,
    /// A page to try all of this at.
    docs: &'static str,
    headers: &'static str,
    openapi: &'static str,
    outputs: &'static str,
    status: &'static str,
    transactions: &'static str,
    validators: &'static str,
}

/// What there is
///
/// The paths of this API. `{…}` stands for what you know.
#[utoipa::path(
    get,
    path = "/api/v2",
    operation_id = "get_index",
    tag = "federation",
    responses((status = 200, description = "Paths", body = Links), Unwell),
)]
pub(super) async fn index(State(api): Shared, uri: Uri) -> Response {
    if let Err(failure) = Question::ask(&api, &uri, &[]).await {
        return failure.v2();
    }
    Json(Links {
        assets: "/api/v2/assets",
        blocks: "/api/v2/blocks",
        docs: "/api/v2/docs/",
        headers: "/api/v2/headers/{height}",
        openapi: "/api/v2/openapi.json",
        outputs: "/api/v2/outputs",
        status: "/api/v2/status",
        transactions: "/api/v2/transactions",
        validators: "/api/v2/validators",
    })
    .into_response()
}
