//! `cairn asset show`: what an asset is, and who holds it now.

use cairn_ledger::ids::TransactionId;
use serde_json::Value;

use crate::{
    cli::{
        Context, Output,
        client::{Client, text},
        print::{Printed, cell, table},
    },
    exit::Failure,
};

pub(super) fn run(
    client: &Client,
    id: &TransactionId,
    context: &Context,
) -> Result<Printed, Failure> {
    let answer = client.find(&format!("/api/v2/assets/{id}"))?;
    let answer = answer.ok_or_else(|| Failure::general(format!("there is no asset {id}")))?;
    if context.output == Output::Json {
        // As the validator wrote it: free-form numbers keep their digits.
        let text = String::from_utf8_lossy(&answer.body);
        return Ok(Printed { table: format!("{}\n", text.trim_end()), json: None });
    }
    Ok(Printed { table: described(&answer.json()?), json: None })
}

fn described(asset: &Value) -> String {
    let last = &asset["last_transaction"];
    let mut head = vec![
        ("asset", text(&asset["id"])),
        ("data", asset["data"].to_string()),
        ("metadata", asset["metadata"].to_string()),
        ("amount", cell(&asset["amount"])),
        ("created", format!("in block {}", asset["created"]["height"])),
        ("issued by", owners(&asset["issuers"])),
    ];
    if last["id"] != asset["id"] {
        let newest = format!("{} in block {}", text(&last["id"]), last["height"]);
        head.extend([("newest", newest), ("its metadata", last["metadata"].to_string())]);
    }
    let head: Vec<Vec<String>> =
        head.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    let mut rows = vec![["held by", "amount", "output"].map(str::to_owned).to_vec()];
    let holders = asset["holders"].as_array().into_iter().flatten();
    rows.extend(holders.map(|held| {
        let output = format!("{}:{}", text(&held["transaction_id"]), held["output_index"]);
        vec![owners(&held["public_keys"]), cell(&held["amount"]), output]
    }));
    let mut said = format!("{}\n{}", table(&head), table(&rows));
    if asset["holders_complete"] == false {
        let all = format!("cairn query outputs --asset {} --unspent --all", text(&asset["id"]));
        said.push_str(&format!("and others: {all}\n"));
    }
    said
}

/// Keys in one cell.
pub(in crate::cli) fn owners(keys: &Value) -> String {
    let keys: Vec<String> = keys.as_array().into_iter().flatten().map(text).collect();
    if keys.is_empty() { "-".to_owned() } else { keys.join(" and ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_asset_is_what_it_is_and_who_holds_it() {
        let mut asset = json!({
            "id": "a", "data": { "k": 1 }, "metadata": null, "amount": "7", "issuers": ["X"],
            "created": { "height": 3 }, "holders_complete": true,
            "last_transaction": { "id": "b", "metadata": { "m": 2 }, "height": 5 },
            "holders": [{ "transaction_id": "b", "output_index": 1, "amount": "7",
                "public_keys": ["Y", "Z"] }],
        });
        let told = described(&asset);
        for said in ["in block 3", "b in block 5", "{\"m\":2}", "Y and Z  7       b:1"] {
            assert!(told.contains(said), "{said}: {told}");
        }
        assert!(!told.contains("and others"));
        asset["holders_complete"] = json!(false);
        asset["last_transaction"]["id"] = json!("a");
        let told = described(&asset);
        assert!(told.contains("--asset a --unspent") && !told.contains("newest"), "{told}");
    }
}
