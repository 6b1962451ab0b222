//! `cairn tx`: transactions as such: send what was signed elsewhere, see what became of it.

mod items;
mod send;

use cairn_ledger::ids::TransactionId;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use super::{
    Context, Output, asset,
    client::{Client, query, text},
    print::{Printed, Row, Rows, cell, table},
    profile::Connection,
};
use crate::exit::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show what became of a transaction, and what it says
    #[command(after_help = "Examples:\n  \
        cairn tx show ID\n  \
        cairn tx show ID --raw > transaction.json      byte for byte as it was sent")]
    Show(Show),
    /// Send signed transactions, many at once; sending the same again does no harm
    #[command(
        after_help = "One result a line, in the order sent; exit code 1 when one was not taken.\n\n\
        Examples:\n  \
        cairn tx send signed.json                        one, a JSON array, or one a line\n  \
        generate | cairn tx send - --wait accepted       as many as there are, in batches of 1000\n  \
        cairn tx send many.ndjson --output json | jq -r 'select(.status == \"refused\") | .id'"
    )]
    Send(send::Arguments),
    /// Fetch the receipt of a transaction: proof, for anyone, that the federation decided it
    #[command(after_help = "Example:\n  \
        cairn tx receipt ID > receipt.json\n  \
        cairn verify receipt receipt.json --genesis genesis.json")]
    Receipt {
        /// The transaction's id
        id: TransactionId,
        #[command(flatten)]
        connection: Connection,
    },
    /// List the transactions of an asset, oldest first
    #[command(after_help = "Examples:\n  \
        cairn tx list --asset ID\n  \
        cairn tx list --asset ID --operation transfer --last")]
    List(List),
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The transaction's id
    id: TransactionId,
    /// Print the transaction alone, byte for byte as it was sent
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// The asset's id
    #[arg(long, value_name = "ID")]
    asset: TransactionId,
    /// Only these
    #[arg(long, value_enum)]
    operation: Option<Operation>,
    /// Only the newest
    #[arg(long)]
    last: bool,
    #[command(flatten)]
    connection: Connection,
}

/// What a transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Operation {
    Create,
    Transfer,
}

impl Operation {
    /// The word of the API.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Transfer => "TRANSFER",
        }
    }
}

pub(super) fn run(command: &Command, context: &Context) -> Result<Printed, Failure> {
    match command {
        Command::Show(arguments) => show(arguments, context),
        Command::Send(arguments) => send::run(arguments, context),
        Command::Receipt { id, connection } => {
            asset::receipt(&Client::new(connection, context)?, id)
        }
        Command::List(arguments) => list(arguments, context),
    }
}

fn show(arguments: &Show, context: &Context) -> Result<Printed, Failure> {
    let Show { id, raw, connection } = arguments;
    let client = Client::new(connection, context)?;
    if *raw {
        let transaction = client.transaction(id)?;
        let text = String::from_utf8_lossy(transaction.bytes());
        return Ok(Printed { table: format!("{text}\n"), json: None });
    }
    let answer = client.find(&format!("/api/v2/transactions/{id}"))?;
    let answer = answer.ok_or_else(|| {
        let url = client.url();
        Failure::general(format!(
            "{url} knows no transaction {id}: it was never sent, or has expired"
        ))
    })?;
    let mut report = answer.json()?;
    if report["status"] == "committed" && report["transaction"].is_null() {
        report["transaction"] = client.get(&format!("/api/v1/transactions/{id}"))?.json()?;
    }
    if context.output == Output::Json {
        return Ok(Printed { table: String::new(), json: Some(report) });
    }
    Ok(Printed { table: described(&report), json: None })
}

fn described(report: &Value) -> String {
    let mut fields =
        vec![("transaction", text(&report["id"])), ("status", cell(&report["status"]))];
    if !report["height"].is_null() {
        let place = format!("block {}, index {}", report["height"], report["index"]);
        fields.push(("decided in", place));
    }
    if let Some(why) = report["reason"]["message"].as_str() {
        fields.push(("reason", format!("{}: {why}", text(&report["reason"]["code"]))));
    }
    let transaction = &report["transaction"];
    if !transaction.is_null() {
        fields.push(("operation", cell(&transaction["operation"])));
        fields.push(("asset", asset::asset_of(transaction).unwrap_or("-").to_owned()));
        if !transaction["asset"]["data"].is_null() {
            fields.push(("data", transaction["asset"]["data"].to_string()));
        }
        fields.push(("metadata", transaction["metadata"].to_string()));
    }
    for input in transaction["inputs"].as_array().into_iter().flatten() {
        let fulfills = &input["fulfills"];
        let from = asset::owners(&input["owners_before"]);
        let spends = match fulfills["transaction_id"].as_str() {
            Some(id) => format!("{from}, spends {id}:{}", fulfills["output_index"]),
            None => from,
        };
        fields.push(("from", spends));
    }
    for output in transaction["outputs"].as_array().into_iter().flatten() {
        let amount = text(&output["amount"]);
        fields.push(("to", format!("{}, amount {amount}", asset::owners(&output["public_keys"]))));
    }
    let rows: Vec<Vec<String>> =
        fields.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    table(&rows)
}

fn list(arguments: &List, context: &Context) -> Result<Printed, Failure> {
    let List { asset, operation, last, connection } = arguments;
    let client = Client::new(connection, context)?;
    let mut pairs = vec![("asset_id", asset.to_string())];
    pairs.extend(operation.map(|operation| ("operation", operation.word().to_owned())));
    pairs.extend(last.then(|| ("last_tx", "true".to_owned())));
    let all = client.get(&format!("/api/v1/transactions{}", query(pairs)))?.json()?;
    let head = ["operation", "transaction", "outputs", "metadata"];
    let rows = all.as_array().into_iter().flatten().map(|transaction| {
        let outputs = transaction["outputs"].as_array().map_or(0, Vec::len);
        let cells = vec![
            cell(&transaction["operation"]),
            text(&transaction["id"]),
            outputs.to_string(),
            cell(&transaction["metadata"]),
        ];
        Row::line(cells, transaction)
    });
    let _ = Rows::new(context.output, &head).print(rows.collect())?;
    Ok(Printed::nothing())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_is_described_as_far_as_it_goes() {
        let refused = json!({
            "id": "a", "status": "refused", "height": 3, "index": 0,
            "reason": { "code": "DOUBLE_SPEND", "message": "spent" },
        });
        let text = described(&refused);
        assert!(
            text.contains("block 3, index 0") && text.contains("DOUBLE_SPEND: spent"),
            "{text}"
        );
        let committed = json!({
            "id": "b", "status": "committed", "height": 4, "index": 1,
            "transaction": {
                "id": "b", "operation": "TRANSFER", "asset": { "id": "a" }, "metadata": { "km": 1 },
                "inputs": [{ "owners_before": ["X"],
                    "fulfills": { "transaction_id": "a", "output_index": 2 } }],
                "outputs": [{ "amount": "5", "public_keys": ["Y", "Z"] }],
            },
        });
        let text = described(&committed);
        for said in ["X, spends a:2", "Y and Z, amount 5", "{\"km\":1}", "asset        a"] {
            assert!(text.contains(said), "{said}: {text}");
        }
    }
}
