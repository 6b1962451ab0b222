//! `cairn asset history` and `cairn asset list`: an asset's whole story, and what a key holds.

use std::collections::BTreeMap;

use cairn_ledger::ids::{PublicKey, TransactionId};
use clap::Args;
use serde_json::{Value, json};

use super::{show::owners, signers};
use crate::{
    cli::{
        Context,
        client::{Client, text},
        pages::Pages,
        print::{Printed, Row, Rows, cell},
        profile::{Connection, Signer},
    },
    exit::Failure,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The asset's id
    id: TransactionId,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArguments {
    /// Whose assets [default: those of --key]
    #[arg(long, value_name = "PUBLICKEY")]
    owner: Option<PublicKey>,
    #[command(flatten)]
    signer: Signer,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> Result<Printed, Failure> {
    let client = Client::new(&arguments.connection, context)?;
    let path = format!("/api/v2/assets/{}/history", arguments.id);
    let head = ["height", "operation", "transaction", "amount", "to", "metadata"];
    let mut rows = Rows::new(context.output, &head);
    let mut pages = Pages::new(&client, &path, Vec::new());
    while let Some(page) = pages.next()? {
        if !rows.print(page.rows(story))? {
            break;
        }
    }
    Ok(Printed::nothing())
}

/// One line for each output of a transaction.
fn story(transaction: &Value) -> Vec<Vec<String>> {
    let outputs = transaction["outputs"].as_array().map_or(&[][..], Vec::as_slice);
    let front = [&transaction["height"], &transaction["operation"], &transaction["id"]].map(cell);
    let line = |output: &Value| {
        let mut cells = front.to_vec();
        cells.extend([cell(&output["amount"]), owners(&output["public_keys"])]);
        cells.push(cell(&transaction["metadata"]));
        cells
    };
    outputs.iter().map(line).collect()
}

/// What one key holds of one asset.
#[derive(Default)]
struct Holding {
    amount: u64,
    outputs: u64,
}

pub(super) fn list(arguments: &ListArguments, context: &Context) -> Result<Printed, Failure> {
    let client = Client::new(&arguments.connection, context)?;
    let owners = match arguments.owner {
        Some(owner) => vec![owner],
        None => signers(&arguments.signer, context)?.iter().map(|key| key.public()).collect(),
    };
    let mut rows = Rows::new(context.output, &["asset", "owner", "amount", "outputs"]);
    for owner in owners {
        let held = holdings(&client, &owner)?;
        let page = held.into_iter().map(|(asset, Holding { amount, outputs })| {
            let amount = amount.to_string();
            let cells = [asset.clone(), owner.to_string(), amount.clone(), outputs.to_string()];
            let json = json!({
                "asset_id": asset, "owner": owner, "amount": amount, "outputs": outputs,
            });
            Row::line(cells.to_vec(), &json)
        });
        if !rows.print(page.collect())? {
            break;
        }
    }
    Ok(Printed::nothing())
}

/// By asset, what the unspent outputs hold that list this key.
fn holdings(client: &Client, owner: &PublicKey) -> Result<BTreeMap<String, Holding>, Failure> {
    let pairs = vec![
        ("public_key", owner.to_string()),
        ("spent", "false".to_owned()),
        ("limit", "1000".to_owned()),
    ];
    let mut pages = Pages::new(client, "/api/v2/outputs", pairs);
    let mut held = BTreeMap::<String, Holding>::new();
    while let Some(page) = pages.next()? {
        for item in &page.items {
            let output: Value = serde_json::from_str(item.get()).map_err(Failure::general)?;
            let holding = held.entry(text(&output["asset_id"])).or_default();
            let amount = output["amount"].as_str().and_then(|amount| amount.parse().ok());
            holding.amount = holding.amount.saturating_add(amount.unwrap_or(0));
            holding.outputs += 1;
        }
    }
    Ok(held)
}
