//! `cairn query`: assets and outputs by what they say, row by row, however many there are.

use cairn_ledger::ids::{PublicKey, TransactionId};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use super::{
    Context,
    asset::owners,
    client::{Client, query, text},
    pages::Pages,
    print::{Printed, Row, Rows, cell, harmless},
    profile::Connection,
};
use crate::exit::Failure;

const FILTERS: &str = "\
Filters compare fields of the asset's data (asset.…) and of the metadata (metadata.…):
  =  !=  <  <=  >  >=  ^= (begins with)  exists PATH    joined by and, or, not, ( )
Texts stand in double quotes, so the whole filter stands in single ones.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Find assets by their fields
    #[command(after_help = format!("{FILTERS}\n\nExamples:\n  \
        cairn query assets --filter 'asset.kind = \"car\" and metadata.km < 1000' --sort -asset.price\n  \
        cairn query assets --all --output json > assets.ndjson\n  \
        cairn query assets --as-of 1042          as things stood at that height"))]
    Assets(Assets),
    /// Find outputs: who holds what, and what was spent
    #[command(after_help = format!("{FILTERS}\n\nExamples:\n  \
        cairn query outputs --public-key PUBLICKEY --unspent\n  \
        cairn query outputs --asset ID --all --output json | jq -r .amount"))]
    Outputs(Outputs),
    /// Find assets or metadata by words, the best first
    #[command(
        after_help = "Words count in any form, upper or lower case, with or without accents; \
        \"quoted phrases\" must be there, -words must not.\n\nExamples:\n  \
        cairn query text assets 'red bicycle'\n  \
        cairn query text metadata '\"spare part\" -used' --limit 5"
    )]
    Text(Words),
}

/// Which rows, and how many of them.
#[derive(Debug, Args)]
pub(super) struct Selection {
    /// Only those for which this holds
    #[arg(long, value_name = "EXPR")]
    filter: Option<String>,
    /// By this field, or by height; a - before it turns the order round
    #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
    sort: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// All there are
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// As things stood at that height
    #[arg(long, value_name = "HEIGHT")]
    as_of: Option<u64>,
    /// Go on where another query ended, with all else the same
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// Say on stderr which index served it
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct Assets {
    #[command(flatten)]
    selection: Selection,
}

#[derive(Debug, Args)]
pub(super) struct Outputs {
    /// Only those that list this key among their owners
    #[arg(long, value_name = "PUBLICKEY")]
    public_key: Option<PublicKey>,
    /// Only those of this asset
    #[arg(long, value_name = "ID")]
    asset: Option<TransactionId>,
    /// Only spent ones
    #[arg(long, conflicts_with = "unspent")]
    spent: bool,
    /// Only those that are not spent
    #[arg(long)]
    unspent: bool,
    #[command(flatten)]
    selection: Selection,
}

#[derive(Debug, Args)]
pub(super) struct Words {
    /// Where to look
    #[arg(value_enum)]
    collection: Collection,
    /// What to look for
    words: String,
    /// At most so many
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    #[command(flatten)]
    connection: Connection,
}

/// What has words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Collection {
    /// What assets are.
    Assets,
    /// What transactions are about.
    Metadata,
}

pub(super) fn run(command: &Command, context: &Context) -> Result<Printed, Failure> {
    match command {
        Command::Assets(Assets { selection }) => {
            let rows = Rows::new(context.output, &["height", "asset", "amount", "data"]);
            select("/api/v2/assets", Vec::new(), selection, context, (rows, asset))
        }
        Command::Outputs(outputs) => {
            let Outputs { public_key, asset, spent, unspent, selection } = outputs;
            let mut pairs = Vec::new();
            pairs.extend(public_key.map(|key| ("public_key", key.to_string())));
            pairs.extend(asset.map(|id| ("asset_id", id.to_string())));
            if *spent || *unspent {
                pairs.push(("spent", spent.to_string()));
            }
            let head = ["height", "output", "asset", "amount", "owners", "spent by"];
            let rows = Rows::new(context.output, &head);
            select("/api/v2/outputs", pairs, selection, context, (rows, output))
        }
        Command::Text(words) => find(words, context),
    }
}

/// Most rows of one page, as the API has it.
const PAGE_MAX: u64 = 1000;

fn select(
    path: &str,
    mut pairs: Vec<(&'static str, String)>,
    selection: &Selection,
    context: &Context,
    (mut rows, show): (Rows, fn(&Value) -> Vec<Vec<String>>),
) -> Result<Printed, Failure> {
    let client = Client::new(&selection.connection, context)?;
    let Selection { filter, sort, limit, all, as_of, cursor, explain, connection: _ } = selection;
    let mut left = if *all { u64::MAX } else { *limit };
    pairs.extend(filter.clone().map(|filter| ("filter", filter)));
    pairs.extend(sort.clone().map(|sort| ("sort", sort)));
    pairs.extend(as_of.map(|height| ("as_of", height.to_string())));
    pairs.extend(cursor.clone().map(|cursor| ("cursor", cursor)));
    pairs.extend(explain.then(|| ("explain", "true".to_owned())));
    let mut pages = Pages::new(&client, path, pairs);
    loop {
        pages.set("limit", left.min(PAGE_MAX).to_string());
        let Some(page) = pages.next()? else { break };
        if let Some(explain) = &page.explain {
            eprintln!("{}", explained(explain));
        }
        left = left.saturating_sub(page.items.len() as u64);
        if !rows.print(page.rows(show))? {
            break;
        }
        if left == 0 {
            if let Some(cursor) = page.next {
                eprintln!(
                    "there are more: --all shows all, --cursor {} goes on",
                    harmless(&cursor)
                );
            }
            break;
        }
    }
    Ok(Printed::nothing())
}

fn asset(item: &Value) -> Vec<Vec<String>> {
    let height = &item["created"]["height"];
    vec![vec![cell(height), text(&item["id"]), cell(&item["amount"]), free(&item["data"])]]
}

fn output(item: &Value) -> Vec<Vec<String>> {
    let cells = vec![
        cell(&item["created"]["height"]),
        format!("{}:{}", text(&item["transaction_id"]), item["output_index"]),
        text(&item["asset_id"]),
        cell(&item["amount"]),
        owners(&item["public_keys"]),
        cell(&item["spent_by"]),
    ];
    vec![cells]
}

/// Free-form data: a text is told from a number by its quotes.
fn free(value: &Value) -> String {
    super::print::clip(&value.to_string())
}

/// How a page was found, in one line.
fn explained(explain: &Value) -> String {
    let steps = explain["steps"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let steps: Vec<&str> = steps.collect();
    let said = format!(
        "explain: index {}, {} rows examined: {}",
        cell(&explain["index"]),
        cell(&explain["examined"]),
        steps.join("; ")
    );
    harmless(&said)
}

fn find(words: &Words, context: &Context) -> Result<Printed, Failure> {
    let client = Client::new(&words.connection, context)?;
    let (path, field) = match words.collection {
        Collection::Assets => ("/api/v1/assets", "data"),
        Collection::Metadata => ("/api/v1/metadata", "metadata"),
    };
    let mut pairs = vec![("search", words.words.clone())];
    pairs.extend(words.limit.map(|limit| ("limit", limit.to_string())));
    let found = client.get(&format!("{path}{}", query(pairs)))?.json()?;
    let row = |item: &Value| Row::line(vec![text(&item["id"]), free(&item[field])], item);
    let rows = found.as_array().into_iter().flatten().map(row).collect();
    let _ = Rows::new(context.output, &["transaction", field]).print(rows)?;
    Ok(Printed::nothing())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_show_what_matters_of_an_item() {
        let shown = output(&json!({
            "transaction_id": "t", "output_index": 1, "asset_id": "a", "amount": "5",
            "public_keys": ["X", "Y"], "spent_by": null, "created": { "height": 7 },
        }));
        assert_eq!(shown, [["7", "t:1", "a", "5", "X and Y", "-"]]);
        let shown = asset(&json!({
            "id": "a", "data": { "k": "v" }, "amount": "5", "created": { "height": 7 },
        }));
        assert_eq!(shown, [["7", "a", "5", "{\"k\":\"v\"}"]]);
        let explain = json!({ "index": "fields", "steps": ["one", "two"], "examined": 3 });
        assert_eq!(explained(&explain), "explain: index fields, 3 rows examined: one; two");
    }
}
