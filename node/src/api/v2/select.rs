//! Assets and outputs by what they say: filters, sorting, pages.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{StatusCode, Uri},
    response::Response,
};
use cairn_ledger::ids::{Height, TransactionId};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    super::{Api, Shared, at, error::Failure, json_text},
    assets::Asset,
    cursor::{Belonging, Cursor},
    openapi::Unwell,
    page::{PAGE_BYTES_MAX, Page},
    question::{Question, searchable},
    say, schema,
    stored::{Moment, Raw, Reference, Stored},
};
use crate::{
    query::{Query, StoreError},
    search::{self, Filter, Mark, Path, Row, Rows, SearchError, Selection, SortBy},
};

/// An output.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Output {
    #[serde(flatten)]
    output: Reference,
    /// The asset that it holds shares of.
    #[schema(value_type = schema::Id)]
    asset_id: TransactionId,
    /// How many shares.
    #[schema(value_type = schema::Amount)]
    amount: String,
    /// Whose it is.
    #[schema(value_type = Vec<schema::PublicKey>)]
    public_keys: Vec<String>,
    /// What must be fulfilled to spend it, as the transaction says it.
    #[schema(value_type = Object)]
    condition: Box<RawValue>,
    /// The metadata of the transaction that made it.
    #[schema(value_type = schema::FreeForm)]
    metadata: Raw,
    /// Where and when it was made.
    created: Moment,
    /// The transaction that spent it, if one had by `as_of`.
    #[schema(value_type = Option<schema::Id>)]
    spent_by: Option<TransactionId>,
}

/// Find assets
///
/// Assets by their fields and by the metadata they were made with:
/// `filter=asset.kind = "car" and metadata.km < 1000`. All pages are true at the height of the
/// first, whatever is decided meanwhile.
#[utoipa::path(
    get,
    path = "/api/v2/assets",
    operation_id = "find_assets",
    tag = "assets",
    params(
        ("filter" = Option<String>, Query, description = "A condition. Paths begin with `asset` or `metadata`; `= != < <= > >=`, `^=` for how a string begins, `exists`; `and or not ( )`; JSON strings and numbers, true, false, null. Arrays are looked through", max_length = 4096, example = "asset.kind = \"car\" and metadata.km < 1000"),
        ("sort" = Option<String>, Query, description = "`height` (usual), or a path as in `asset.price`; `-` before it turns it round", example = "-height"),
        ("limit" = Option<u32>, Query, description = "Most rows of a page; a page of large rows may have fewer", minimum = 1, maximum = 1000),
        ("cursor" = Option<schema::Cursor>, Query, description = "`next_cursor` of the page before, with the same question"),
        ("as_of" = Option<u64>, Query, description = "Answer as things stood at this height"),
        ("explain" = Option<bool>, Query, description = "Tell how the page was found"),
    ),
    responses((status = 200, description = "A page", body = Page<Asset>), Unwell),
)]
pub(super) async fn assets(State(api): Shared, uri: Uri) -> Response {
    const KNOWN: &[&str] = &["filter", "sort", "limit", "cursor", "as_of", "explain"];
    say(page(&api, &uri, Rows::Assets, KNOWN, asset_at).await)
}

fn asset_at(query: &Query, row: &Row) -> Result<(Asset, usize), StoreError> {
    Asset::at(query, row.place, row.body.as_ref())
}

/// Find outputs
///
/// Outputs by their owner, by their asset, by whether they are spent, and by fields: `asset.…` is
/// the data of the asset that they hold shares of, `metadata.…` that of the transaction that
/// made the output. All pages are true at the height of the first.
#[utoipa::path(
    get,
    path = "/api/v2/outputs",
    operation_id = "find_outputs",
    tag = "outputs",
    params(
        ("public_key" = Option<schema::PublicKey>, Query, description = "Only those that list this key among their owners"),
        ("asset_id" = Option<schema::Id>, Query, description = "Only those of this asset"),
        ("spent" = Option<bool>, Query, description = "Only those that are spent, or only those that are not"),
        ("filter" = Option<String>, Query, description = "A condition, as for assets", example = "asset.kind = \"car\""),
        ("sort" = Option<String>, Query, description = "`height` (usual), or a path as in `asset.price`; `-` before it turns it round", example = "-height"),
        ("limit" = Option<u32>, Query, description = "Most rows of a page; a page of large rows may have fewer", minimum = 1, maximum = 1000),
        ("cursor" = Option<schema::Cursor>, Query, description = "`next_cursor` of the page before, with the same question"),
        ("as_of" = Option<u64>, Query, description = "Answer as things stood at this height"),
        ("explain" = Option<bool>, Query, description = "Tell how the page was found"),
    ),
    responses((status = 200, description = "A page", body = Page<Output>), Unwell),
)]
pub(super) async fn outputs(State(api): Shared, uri: Uri) -> Response {
    const KNOWN: &[&str] = &[
        "public_key",
        "asset_id",
        "spent",
        "filter",
        "sort",
        "limit",
        "cursor",
        "as_of",
        "explain",
    ];
    say(page(&api, &uri, Rows::Outputs, KNOWN, output_at).await)
}

fn output_at(query: &Query, row: &Row) -> Result<(Output, usize), StoreError> {
    let (stored, bytes) = Stored::at(query, row.place, row.body.as_ref())?;
    let created = Moment::of(query, row.place)?;
    let output_index = row.output.unwrap_or_default();
    let (asset_id, metadata) = (stored.asset(), stored.metadata);
    let output = stored.outputs.into_iter().nth(output_index as usize);
    let output = output.ok_or_else(|| {
        crate::query::unreadable(row.place, format!("it has no output {output_index}"))
    })?;
    let shown = Output {
        output: Reference { transaction_id: row.transaction, output_index },
        asset_id,
        amount: output.amount,
        public_keys: output.public_keys,
        condition: output.condition,
        metadata,
        created,
        spent_by: row.spent_by,
    };
    Ok((shown, bytes.len()))
}

/// Reads what a row of the index stands for; also how many bytes that were.
type Show<T> = fn(&Query, &Row) -> Result<(T, usize), StoreError>;

async fn page<T: Serialize + 'static>(
    api: &Arc<Api>,
    uri: &Uri,
    rows: Rows,
    known: &[&str],
    show: Show<T>,
) -> Result<Response, Failure> {
    let question = Question::of(uri, known)?;
    let wanted = question.height("as_of")?;
    let path = uri.path().trim_end_matches('/');
    let belonging = Belonging::to(api.query.genesis().chain(), path, &question);
    let cursor = Cursor::of(&question, &belonging, wanted)?;
    let mut selection = selection(&question, rows)?;
    let as_of = cursor.as_ref().map(|cursor| cursor.as_of).or(wanted);
    if let Some(least) = as_of.max(question.min_height()?) {
        searchable(api, least).await?;
    }
    selection.as_of = match as_of {
        Some(height) => height,
        None => newest(api).await,
    };
    selection.after = cursor.map(|cursor| Mark(cursor.mark));
    let explain = question.boolean("explain")?.unwrap_or(false);
    let as_of = selection.as_of;
    let shared = Arc::clone(api);
    let read = move || Reading { api: &shared, belonging, explain, show }.page(selection);
    let text = tokio::task::spawn_blocking(read).await;
    let text = text.map_err(|_| Failure::Trouble("a search was given up".to_owned()))??;
    Ok(at(as_of, json_text(StatusCode::OK, text)))
}

/// How many blocks behind the ledger the index is still waited for, and how long.
const NEARLY_BLOCKS: u64 = 64;
const NEARLY: Duration = Duration::from_secs(2);

/// At which height a question is answered that names none: that of the ledger, so that whoever
/// just wrote finds it. An index that is far behind under load is not waited for.
async fn newest(api: &Arc<Api>) -> Height {
    let tip = api.query.height();
    if tip.0.saturating_sub(api.search.height().0) <= NEARLY_BLOCKS {
        api.search.reaches(tip, NEARLY).await;
    }
    api.search.height()
}

/// What is asked for, from the first row on.
fn selection(question: &Question, rows: Rows) -> Result<Selection, Failure> {
    let filter = question
        .text("filter")
        .map(Filter::parse)
        .transpose()
        .map_err(|error| Failure::Filter { at: error.at, wanted: error.wanted })?;
    let (sort, descending) = sort(question.text("sort").unwrap_or("height"))?;
    Ok(Selection {
        rows,
        filter,
        owner: question.key("public_key")?,
        asset: question.transaction("asset_id")?,
        spent: question.boolean("spent")?,
        sort,
        descending,
        after: None,
        as_of: Height(0),
        most: question.limit()?,
    })
}

fn sort(text: &str) -> Result<(SortBy, bool), Failure> {
    let (text, descending) = text.strip_prefix('-').map_or((text, false), |path| (path, true));
    if text == "height" {
        return Ok((SortBy::Chain, descending));
    }
    let path = Path::parse(text).map_err(|search::FilterError { at, wanted }| {
        let wanted =
            format!("at character {}: {wanted}; or `height`", at + usize::from(descending));
        Failure::Value { name: "sort", wanted }
    })?;
    Ok((SortBy::Field(path), descending))
}

impl From<SearchError> for Failure {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Store(trouble) => trouble.into(),
            SearchError::Mark => Self::Cursor,
            SearchError::TooMuch(advice) => Self::TooMuch(advice),
        }
    }
}

/// Makes a page.
struct Reading<'a, T> {
    api: &'a Api,
    belonging: Belonging,
    explain: bool,
    show: Show<T>,
}

impl<T: Serialize> Reading<'_, T> {
    fn page(&self, mut selection: Selection) -> Result<String, Failure> {
        let mut page = self.api.search.select(&selection)?.found;
        let (mut items, mut bytes) = (Vec::with_capacity(page.rows.len()), 0);
        for row in &page.rows {
            if bytes > PAGE_BYTES_MAX {
                break;
            }
            let (item, read) = (self.show)(&self.api.query, row)?;
            bytes += read;
            items.push(item);
        }
        if items.len() < page.rows.len() {
            // Only the index knows where a shorter page ends.
            selection.most = items.len();
            page = self.api.search.select(&selection)?.found;
        }
        let as_of = selection.as_of;
        let next = page.next.map(|Mark(mark)| Cursor { as_of, mark }.text(&self.belonging));
        let explain = self.explain.then_some(page.explained);
        Ok(Page { as_of, items, next_cursor: next, explain }.text())
    }
}
