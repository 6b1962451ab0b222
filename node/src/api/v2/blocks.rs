//! Blocks, and the headers and certificates that prove them.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{StatusCode, Uri},
    response::Response,
};
use cairn_ledger::{
    block::{Block, Header},
    execution::Outcome,
    genesis::Genesis,
    ids::{BlockId, ChainId, Hash, Height, Position, PublicKey, TransactionId},
    json::{self, Strictness},
    transaction::claimed_id,
    vote::{VoteKind, vote_sign_bytes},
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    super::{Api, Segment, Shared, at, error::Failure, json_text},
    cursor::{Belonging, Cursor},
    openapi::{NotFound, Unwell},
    page::Page,
    question::{Question, number, stored},
    say, schema,
    transactions::Reason,
};
use crate::query::{At, Query, StoreError};

/// What a block's header says in short.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BlockInShort {
    #[schema(value_type = u64)]
    height: Height,
    /// The block's id: SHA-256 of its header.
    #[schema(value_type = schema::Hash)]
    id: BlockId,
    /// Unix milliseconds, by its proposer's clock.
    time_ms: u64,
    /// The name of the validator that first proposed it.
    proposer: String,
    /// How many transactions it decides, refused ones included.
    transactions: u32,
    /// How many of them are committed.
    committed: u32,
}

impl BlockInShort {
    fn of(header: &Header, query: &Query) -> Self {
        Self {
            height: header.height,
            id: header.id(),
            time_ms: header.time_ms,
            proposer: name_of(header.proposer, header.height, query),
            transactions: header.transactions,
            committed: header.committed,
        }
    }
}

fn name_of(validator: u16, height: Height, query: &Query) -> String {
    let validator = query.validators_at(height).get(usize::from(validator));
    validator.map_or_else(String::new, |validator| validator.name.clone())
}

/// Blocks
///
/// What their headers say in short, the newest first unless `order=asc`. All pages are true at
/// the height of the first.
#[utoipa::path(
    get,
    path = "/api/v2/blocks",
    operation_id = "list_blocks",
    tag = "blocks",
    params(
        ("order" = Option<String>, Query, description = "`desc` (usual): the newest first; `asc`: the oldest first", pattern = "^(asc|desc)$"),
        ("before" = Option<u64>, Query, description = "Only blocks below this height"),
        ("after" = Option<u64>, Query, description = "Only blocks above this height"),
        ("limit" = Option<u32>, Query, description = "Most blocks of a page", minimum = 1, maximum = 1000),
        ("cursor" = Option<schema::Cursor>, Query, description = "`next_cursor` of the page before, with the same question"),
    ),
    responses((status = 200, description = "A page", body = Page<BlockInShort>), Unwell),
)]
pub(super) async fn list(State(api): Shared, uri: Uri) -> Response {
    say(page(&api, &uri).await)
}

async fn page(api: &Arc<Api>, uri: &Uri) -> Result<Response, Failure> {
    let question =
        Question::ask(api, uri, &["order", "before", "after", "limit", "cursor"]).await?;
    let ascending = question.word("order", &[("asc", true), ("desc", false)])?.unwrap_or(false);
    let limit = question.limit()? as u64;
    let (before, after) = (question.height("before")?, question.height("after")?);
    let belonging = Belonging::to(api.query.genesis().chain(), "/blocks", &question);
    let cursor = Cursor::of(&question, &belonging, None)?;
    let as_of = match &cursor {
        None => api.query.height(),
        Some(cursor) => {
            stored(api, cursor.as_of).await?;
            cursor.as_of
        }
    };
    // The heights that are left, both ends included.
    let mut first = after.map_or(1, |after| after.0.saturating_add(1)).max(1);
    let mut last = before.map_or(as_of.0, |before| before.0.saturating_sub(1)).min(as_of.0);
    if let Some(Cursor { mark, .. }) = cursor {
        let shown = u64::from_be_bytes(mark.try_into().map_err(|_| Failure::Cursor)?);
        if ascending {
            first = first.max(shown.saturating_add(1));
        } else {
            last = last.min(shown.saturating_sub(1));
        }
    }
    let left = (last + 1).saturating_sub(first);
    let rows = left.min(limit);
    let heights =
        (0..rows).map(move |row| Height(if ascending { first + row } else { last - row }));
    let next_cursor = (left > rows).then(|| {
        let shown = heights.clone().next_back().expect("a limit is at least 1");
        Cursor { as_of, mark: shown.0.to_be_bytes().to_vec() }.text(&belonging)
    });
    let answer = api.read(move |query| {
        let headers = heights.filter_map(|height| query.header(height).transpose());
        let items = headers.map(|header| Ok(BlockInShort::of(&header?, query)));
        let items = items.collect::<Result<Vec<_>, StoreError>>()?;
        Ok(At { height: as_of, found: Page { as_of, items, next_cursor, explain: None }.text() })
    });
    Ok(at(as_of, json_text(StatusCode::OK, answer.await?.found)))
}

/// A block with what it decided.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WholeBlock {
    /// Its header.
    header: HeaderFields,
    /// What it decided, in order.
    transactions: Vec<Decided>,
}

/// A transaction of a block, and what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Decided {
    /// The index in the block, from 0.
    index: u32,
    /// Its id; of a refused one what it claims, if that can be read.
    #[schema(value_type = Option<schema::Id>)]
    id: Option<TransactionId>,
    /// `committed` or `refused`.
    #[schema(pattern = "^(committed|refused)$")]
    status: &'static str,
    /// Why it is not committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<Reason>,
    /// The transaction as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>, nullable = false)]
    transaction: Option<Box<RawValue>>,
    /// The bytes of one that is no JSON, and so was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Hex>, nullable = false)]
    bytes: Option<String>,
}

impl Decided {
    fn of(index: u32, bytes: &[u8], outcome: &Outcome) -> Self {
        // What is no transaction may be anything, and nested deeper than a client would read.
        let is_json = match outcome {
            Outcome::Committed => true,
            Outcome::Refused(_) => json::parse(bytes, Strictness::Lenient).is_ok(),
        };
        let text = is_json.then(|| serde_json::from_slice(bytes).ok()).flatten();
        let (status, reason) = match outcome {
            Outcome::Committed => ("committed", None),
            Outcome::Refused(why) => ("refused", Some(Reason::of(why))),
        };
        let bytes_shown = text.is_none().then(|| hex::encode(bytes));
        let id = claimed_id(bytes);
        Self { index, id, status, reason, transaction: text, bytes: bytes_shown }
    }
}

/// A block
///
/// Its header and all that it decided: committed transactions, and refused ones with the reason
/// that every validator recorded.
#[utoipa::path(
    get,
    path = "/api/v2/blocks/{height}",
    operation_id = "get_block",
    tag = "blocks",
    params(("height" = u64, Path, description = "The block's height; the first is 1")),
    responses((status = 200, description = "The block", body = WholeBlock), NotFound, Unwell),
)]
pub(super) async fn one(State(api): Shared, Segment(height): Segment, uri: Uri) -> Response {
    say(block(&api, &height, &uri, |block, query| {
        let pairs = (0..).zip(block.body.iter().zip(&block.outcomes));
        let decided = pairs.map(|(index, (bytes, outcome))| Decided::of(index, bytes, outcome));
        let header = HeaderFields::of(&block.header, query);
        text(&WholeBlock { header, transactions: decided.collect() })
    })
    .await)
}

fn text(answer: &impl Serialize) -> String {
    serde_json::to_string(answer).expect("text keys and plain fields always serialise")
}

async fn block(
    api: &Arc<Api>,
    height: &str,
    uri: &Uri,
    show: fn(&Block, &Query) -> String,
) -> Result<Response, Failure> {
    Question::ask(api, uri, &[]).await?;
    let height = number(height).map(Height).ok_or(Failure::NotFound)?;
    let answer = api.read(move |query| {
        let block = query.whole_block(height)?;
        Ok(At { height: query.height(), found: block.map(|block| show(&block, query)) })
    });
    let answer = answer.await?;
    let text = answer.found.ok_or(Failure::NotFound)?;
    Ok(at(answer.height, json_text(StatusCode::OK, text)))
}

/// All fields of a header.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HeaderFields {
    /// The block's id: SHA-256 of the header's bytes.
    #[schema(value_type = schema::Hash)]
    id: BlockId,
    /// The chain: hash of its genesis record.
    #[schema(value_type = schema::Hash)]
    chain_id: ChainId,
    #[schema(value_type = u64)]
    height: Height,
    /// The id of the block before; for the first the chain's id.
    #[schema(value_type = schema::Hash)]
    parent: BlockId,
    /// Unix milliseconds, by the proposer's clock.
    time_ms: u64,
    /// The name of the validator that first proposed it.
    proposer: String,
    /// Its place in the list of validators.
    proposer_index: u16,
    /// The block is the slice of the ordered log behind this position …
    #[schema(value_type = u64)]
    order_from: Position,
    /// … up to and including this one.
    #[schema(value_type = u64)]
    order_to: Position,
    /// How many transactions it decides, refused ones included.
    transactions: u32,
    /// How many of them are committed.
    committed: u32,
    /// Merkle root over all transactions and what became of each.
    #[schema(value_type = schema::Hash)]
    outcomes_root: Hash,
    /// Hash of the state after the block before.
    #[schema(value_type = schema::Hash)]
    state_root: Hash,
}

impl HeaderFields {
    fn of(header: &Header, query: &Query) -> Self {
        let Header { chain, height, parent, time_ms, proposer, order_from, order_to, .. } = *header;
        let Header { transactions, committed, outcomes_root, state_root, .. } = *header;
        Self {
            id: header.id(),
            chain_id: chain,
            height,
            parent,
            time_ms,
            proposer: name_of(proposer, height, query),
            proposer_index: proposer,
            order_from,
            order_to,
            transactions,
            committed,
            outcomes_root,
            state_root,
        }
    }
}

/// A header with the proof that the federation decided it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProvenHeader {
    header: HeaderFields,
    /// The header's bytes; their SHA-256 is the block's id.
    #[schema(value_type = schema::Hex)]
    header_bytes: String,
    /// The proof.
    certificate: CertificateFields,
}

/// Signatures of more than two thirds of the voting power.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CertificateFields {
    /// The round in which it was decided.
    round: u32,
    /// The bytes that each signature covers: a vote for this block in this round.
    #[schema(value_type = schema::Hex)]
    signed_bytes: String,
    /// Who signed, in the order of the list of validators.
    signatures: Vec<SignatureFields>,
}

/// One validator's signature.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SignatureFields {
    /// The validator's name.
    validator: String,
    /// Its place in the list of validators.
    index: u16,
    /// The key that it signed with.
    #[schema(value_type = schema::PublicKey)]
    consensus_key: PublicKey,
    /// Its voting power.
    power: u64,
    /// ed25519, 64 bytes.
    #[schema(value_type = schema::Hex)]
    signature: String,
}

/// A block's header with its certificate
///
/// All that is needed to check, without trusting this server, that more than two thirds of the
/// validators decided this block: hash `header_bytes`, compare with `id`; verify each signature
/// over `signed_bytes`, which name the block's id.
#[utoipa::path(
    get,
    path = "/api/v2/headers/{height}",
    operation_id = "get_header",
    tag = "blocks",
    params(("height" = u64, Path, description = "The block's height; the first is 1")),
    responses((status = 200, description = "The header", body = ProvenHeader), NotFound, Unwell),
)]
pub(super) async fn header(State(api): Shared, Segment(height): Segment, uri: Uri) -> Response {
    say(block(&api, &height, &uri, |block, query| text(&proven(block, query))).await)
}

fn proven(block: &Block, query: &Query) -> ProvenHeader {
    let Block { header, certificate, .. } = block;
    let genesis: &Genesis = query.genesis();
    let (round, id) = (certificate.round, Some(certificate.block));
    let signed =
        vote_sign_bytes(&genesis.chain(), VoteKind::Precommit, certificate.height, round, id);
    let validators = query.validators_at(header.height);
    let signatures = certificate.signatures.iter().filter_map(|(index, signature)| {
        let validator = validators.get(usize::from(*index))?;
        Some(SignatureFields {
            validator: validator.name.clone(),
            index: *index,
            consensus_key: validator.consensus_key,
            power: validator.power,
            signature: hex::encode(signature),
        })
    });
    let certificate = CertificateFields {
        round,
        signed_bytes: hex::encode(signed),
        signatures: signatures.collect(),
    };
    let header_bytes = hex::encode(header.encode());
    ProvenHeader { header: HeaderFields::of(header, query), header_bytes, certificate }
}
