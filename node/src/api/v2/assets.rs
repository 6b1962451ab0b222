//! One asset: what it is, who holds it, and all it went through.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::State,
    http::{StatusCode, Uri},
    response::Response,
};
use cairn_ledger::{
    block::Place,
    ids::{Height, TransactionId},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    super::{Api, Segment, Shared, at, error::Failure, json_text},
    cursor::{Belonging, Cursor},
    openapi::{NotFound, Unwell},
    page::{PAGE_BYTES_MAX, Page},
    question::{Question, stored},
    say, schema,
    stored::{Moment, Raw, Reference, Stored},
};
use crate::query::{At, Query, StoreError, Stretch};

/// Most transactions that are looked through, newest first, for who holds an asset.
const HOLDERS_LOOK: usize = 100;

/// An asset.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Asset {
    /// The asset's id, which is that of the transaction that made it.
    #[schema(value_type = schema::Id)]
    id: TransactionId,
    /// What it is, as whoever made it said. Never changes.
    #[schema(value_type = schema::FreeForm)]
    data: Raw,
    /// The metadata of the transaction that made it.
    #[schema(value_type = schema::FreeForm)]
    metadata: Raw,
    /// Who signed the transaction that made it.
    #[schema(value_type = Vec<schema::PublicKey>)]
    issuers: Vec<String>,
    /// How many shares there are. Never changes.
    #[schema(value_type = schema::Amount)]
    amount: String,
    /// Where and when it was made.
    created: Moment,
}

impl Asset {
    /// The asset that the transaction there made.
    pub(super) fn at(
        query: &Query,
        place: Place,
        body: Option<&Arc<[u8]>>,
    ) -> Result<(Self, usize), StoreError> {
        let (stored, bytes) = Stored::at(query, place, body)?;
        let created = Moment::of(query, place)?;
        let (id, issuers, amount) = (stored.id, stored.signers(), stored.amount().to_string());
        let mut stored = stored;
        let metadata = stored.metadata.take();
        let asset = Self { id, data: stored.data(), metadata, issuers, amount, created };
        Ok((asset, bytes.len()))
    }
}

/// An asset as it stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AssetNow {
    #[serde(flatten)]
    asset: Asset,
    /// The newest transaction of it, where its latest metadata is.
    last_transaction: LastTransaction,
    /// Outputs that are not spent, the newest first: who holds how many shares.
    holders: Vec<Holder>,
    /// Whether `holders` are all. They may not be where an asset has very many shares;
    /// `/api/v2/outputs?spent=false&asset_id=…` has the rest.
    holders_complete: bool,
    /// The height that this is true at.
    #[schema(value_type = u64)]
    as_of: Height,
}

/// The newest transaction of an asset.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LastTransaction {
    #[schema(value_type = schema::Id)]
    id: TransactionId,
    /// What it does: `CREATE` or `TRANSFER`.
    operation: String,
    #[schema(value_type = schema::FreeForm)]
    metadata: Raw,
    #[serde(flatten)]
    decided: Moment,
}

/// An output that is not spent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Holder {
    #[serde(flatten)]
    output: Reference,
    #[schema(value_type = Vec<schema::PublicKey>)]
    public_keys: Vec<String>,
    #[schema(value_type = schema::Amount)]
    amount: String,
}

/// An asset
///
/// What it is, who made it, how many shares it has, and who holds them now (or held them at
/// the height `as_of`).
#[utoipa::path(
    get,
    path = "/api/v2/assets/{id}",
    operation_id = "get_asset",
    tag = "assets",
    params(
        ("id" = schema::Id, Path, description = "The asset's id: that of the transaction that made it"),
        ("as_of" = Option<u64>, Query, description = "Answer as things stood at this height"),
    ),
    responses((status = 200, description = "The asset", body = AssetNow), NotFound, Unwell),
)]
pub(super) async fn one(State(api): Shared, Segment(id): Segment, uri: Uri) -> Response {
    say(asset(&api, &id, &uri).await)
}

async fn asset(api: &Arc<Api>, id: &str, uri: &Uri) -> Result<Response, Failure> {
    let question = Question::ask(api, uri, &["as_of"]).await?;
    let as_of = as_of(api, question.height("as_of")?).await?;
    let id: TransactionId = id.parse().map_err(|_| Failure::NotFound)?;
    let answer = api.read(move |query| {
        let found = now(query, &id, as_of)?;
        Ok(At { height: as_of, found })
    });
    let asset = answer.await?.found.ok_or(Failure::NotFound)?;
    Ok(at(as_of, axum::Json(asset)))
}

/// The height to answer at: that one, once it is stored, or the tip.
async fn as_of(api: &Arc<Api>, wanted: Option<Height>) -> Result<Height, Failure> {
    let Some(wanted) = wanted else { return Ok(api.query.height()) };
    stored(api, wanted).await?;
    Ok(wanted)
}

/// Where an asset was made, if it was by then.
fn made(query: &Query, id: &TransactionId, as_of: Height) -> Result<Option<Place>, StoreError> {
    // Of what is no asset there are no transactions, though it may be one itself.
    let first = Stretch { to: as_of, newest_first: false, after: None, most: 1 };
    Ok(query.transactions_along(id, &first)?.first().copied())
}

fn now(query: &Query, id: &TransactionId, as_of: Height) -> Result<Option<AssetNow>, StoreError> {
    let Some(create) = made(query, id, as_of)? else { return Ok(None) };
    let (asset, _) = Asset::at(query, create, None)?;
    let newest = Stretch { to: as_of, newest_first: true, after: None, most: HOLDERS_LOOK };
    let places = query.transactions_along(id, &newest)?;
    // Shares are moved, never made or lost: once those that are held make up the whole, there
    // are no others further back.
    let mut missing: u128 = asset.amount.parse().unwrap_or_default();
    let (mut holders, mut last) = (Vec::new(), None);
    for place in places {
        let (stored, _) = Stored::at(query, place, None)?;
        let spenders = query.spenders(stored.references(), as_of)?;
        let outputs = stored.references().into_iter().zip(&stored.outputs).zip(spenders);
        for ((name, output), _) in outputs.filter(|(_, spender)| spender.is_none()) {
            missing = missing.saturating_sub(output.amount());
            holders.push(Holder {
                output: Reference { transaction_id: name.transaction, output_index: name.index },
                public_keys: output.public_keys.clone(),
                amount: output.amount.clone(),
            });
        }
        if last.is_none() {
            let Stored { id, operation, metadata, .. } = stored;
            let decided = Moment::of(query, place)?;
            last = Some(LastTransaction { id, operation, metadata, decided });
        }
        if missing == 0 {
            break;
        }
    }
    let holders_complete = missing == 0;
    Ok(last.map(|last_transaction| AssetNow {
        asset,
        last_transaction,
        holders,
        holders_complete,
        as_of,
    }))
}

/// What one transaction did to an asset.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Step {
    /// The transaction.
    #[schema(value_type = schema::Id)]
    id: TransactionId,
    /// `CREATE` or `TRANSFER`.
    operation: String,
    #[serde(flatten)]
    decided: Moment,
    #[schema(value_type = schema::FreeForm)]
    metadata: Raw,
    /// What it spent. The inputs of a CREATE name who made the asset, and spend nothing.
    inputs: Vec<StepInput>,
    /// What it made, in order.
    outputs: Vec<StepOutput>,
}

/// What a transaction spent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StepInput {
    #[schema(value_type = Vec<schema::PublicKey>)]
    owners_before: Vec<String>,
    fulfills: Option<Reference>,
    /// How much that output held.
    #[schema(value_type = Option<schema::Amount>)]
    amount: Option<String>,
}

/// What a transaction made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StepOutput {
    output_index: u32,
    #[schema(value_type = Vec<schema::PublicKey>)]
    public_keys: Vec<String>,
    #[schema(value_type = schema::Amount)]
    amount: String,
    /// The transaction that spent it, if one had by `as_of`.
    #[schema(value_type = Option<schema::Id>)]
    spent_by: Option<TransactionId>,
}

/// An asset's provenance
///
/// Every transaction of the asset in the order of the chain: owners, amounts, metadata, block.
/// All pages are true at the height of the first.
#[utoipa::path(
    get,
    path = "/api/v2/assets/{id}/history",
    operation_id = "get_asset_history",
    tag = "assets",
    params(
        ("id" = schema::Id, Path, description = "The asset's id"),
        ("order" = Option<String>, Query, description = "`asc` (usual): from its making on; `desc`: the newest first", pattern = "^(asc|desc)$"),
        ("limit" = Option<u32>, Query, description = "Most rows of a page; a page of large rows may have fewer", minimum = 1, maximum = 1000),
        ("cursor" = Option<schema::Cursor>, Query, description = "`next_cursor` of the page before"),
        ("as_of" = Option<u64>, Query, description = "Answer as things stood at this height"),
    ),
    responses((status = 200, description = "A page", body = Page<Step>), NotFound, Unwell),
)]
pub(super) async fn history(State(api): Shared, Segment(id): Segment, uri: Uri) -> Response {
    say(steps(&api, &id, &uri).await)
}

async fn steps(api: &Arc<Api>, id: &str, uri: &Uri) -> Result<Response, Failure> {
    let question = Question::ask(api, uri, &["order", "limit", "cursor", "as_of"]).await?;
    let newest_first = question.word("order", &[("asc", false), ("desc", true)])?.unwrap_or(false);
    let most = question.limit()?;
    let wanted = question.height("as_of")?;
    let id: TransactionId = id.parse().map_err(|_| Failure::NotFound)?;
    let path = format!("/assets/{id}/history");
    let belonging = Belonging::to(api.query.genesis().chain(), &path, &question);
    let cursor = Cursor::of(&question, &belonging, wanted)?;
    let to = as_of(api, cursor.as_ref().map(|cursor| cursor.as_of).or(wanted)).await?;
    let after = cursor.map(|cursor| place_of(&cursor.mark)).transpose()?;
    // One more tells whether there is another page.
    let stretch = Stretch { to, newest_first, after, most: most + 1 };
    let answer = api.read(move |query| {
        let found = page_of_steps(query, &id, &stretch, &belonging)?;
        Ok(At { height: to, found })
    });
    let text = answer.await?.found.ok_or(Failure::NotFound)?;
    Ok(at(to, json_text(StatusCode::OK, text)))
}

fn page_of_steps(
    query: &Query,
    id: &TransactionId,
    stretch: &Stretch,
    belonging: &Belonging,
) -> Result<Option<String>, StoreError> {
    let as_of = stretch.to;
    if made(query, id, as_of)?.is_none() {
        return Ok(None);
    }
    let places = query.transactions_along(id, stretch)?;
    let mut reading = Reading { query, as_of, amounts: HashMap::new(), bytes: 0 };
    let mut items = Vec::new();
    let mut next_cursor = None;
    for (row, place) in places.iter().enumerate() {
        if row + 1 == stretch.most || reading.bytes > PAGE_BYTES_MAX {
            let mark = mark_of(places[row - 1]);
            next_cursor = Some(Cursor { as_of, mark }.text(belonging));
            break;
        }
        items.push(reading.step(*place)?);
    }
    Ok(Some(Page { as_of, items, next_cursor, explain: None }.text()))
}

fn mark_of(place: Place) -> Vec<u8> {
    [&place.height.0.to_be_bytes()[..], &place.index.to_be_bytes()].concat()
}

fn place_of(mark: &[u8]) -> Result<Place, Failure> {
    let (height, index) = mark.split_first_chunk().ok_or(Failure::Cursor)?;
    let index = index.try_into().map_err(|_| Failure::Cursor)?;
    let (height, index) = (u64::from_be_bytes(*height), u32::from_be_bytes(index));
    Ok(Place { height: Height(height), index })
}

/// Reads steps, and remembers what outputs held that later ones spend.
struct Reading<'a> {
    query: &'a Query,
    as_of: Height,
    amounts: HashMap<TransactionId, Vec<String>>,
    /// Read so far.
    bytes: usize,
}

impl Reading<'_> {
    fn read(&mut self, place: Place) -> Result<Stored, StoreError> {
        let (stored, bytes) = Stored::at(self.query, place, None)?;
        self.bytes += bytes.len();
        let amounts = stored.outputs.iter().map(|output| output.amount.clone());
        self.amounts.insert(stored.id, amounts.collect());
        Ok(stored)
    }

    fn step(&mut self, place: Place) -> Result<Step, StoreError> {
        let stored = self.read(place)?;
        let decided = Moment::of(self.query, place)?;
        let spenders = self.query.spenders(stored.references(), self.as_of)?;
        let Stored { id, operation, metadata, inputs, outputs, .. } = stored;
        let mut shown = Vec::with_capacity(inputs.len());
        for input in inputs {
            let amount = match &input.fulfills {
                Some(output) => self.amount_of(output)?,
                None => None,
            };
            let (owners_before, fulfills) = (input.owners_before, input.fulfills);
            shown.push(StepInput { owners_before, fulfills, amount });
        }
        let outputs = (0..).zip(outputs).zip(spenders).map(|((output_index, output), spent_by)| {
            let (public_keys, amount) = (output.public_keys, output.amount);
            StepOutput { output_index, public_keys, amount, spent_by }
        });
        Ok(Step { id, operation, decided, metadata, inputs: shown, outputs: outputs.collect() })
    }

    fn amount_of(&mut self, output: &Reference) -> Result<Option<String>, StoreError> {
        if !self.amounts.contains_key(&output.transaction_id) {
            // What a committed transaction spends was committed before it.
            if let Some(place) = self.query.committed_at(&output.transaction_id, self.as_of)? {
                self.read(place)?;
            }
        }
        let amounts = self.amounts.get(&output.transaction_id);
        Ok(amounts.and_then(|amounts| amounts.get(output.output_index as usize)).cloned())
    }
}
