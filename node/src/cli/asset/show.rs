//! `cairn asset show`: what an asset is, and who holds it now.

use std::collections::HashSet;

use cairn_ledger::ids::TransactionId;
use serde_json::{Value, json};

use crate::{
    cli::{
        client::{Client, text},
        print::{Printed, table},
    },
    exit::Failure,
};

pub(super) fn run(client: &Client, id: &TransactionId) -> Result<Printed, Failure> {
    let answer = client.get(&format!("/api/v1/transactions?asset_id={id}"))?;
    let all = answer.json()?;
    let all = all.as_array().map_or(&[][..], Vec::as_slice);
    let Some(created) = all.first().filter(|first| first["id"] == id.to_string()) else {
        return Err(Failure::general(format!("there is no asset {id}")));
    };
    let report = client.get(&format!("/api/v2/transactions/{id}"))?.json()?;
    let holders: Vec<Value> = holders(all);
    let data = &created["asset"]["data"];
    let mut head = vec![
        ("asset", id.to_string()),
        ("data", data.to_string()),
        ("metadata", created["metadata"].to_string()),
        ("created", format!("in block {}", report["height"])),
        ("issued by", owners(&created["inputs"][0]["owners_before"])),
        ("transactions", all.len().to_string()),
    ];
    if let Some(last) = all.last().filter(|last| last["id"] != created["id"]) {
        head.push(("newest", text(&last["id"])));
        head.push(("its metadata", last["metadata"].to_string()));
    }
    let head: Vec<Vec<String>> =
        head.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    let mut rows = vec![["held by", "amount", "output"].map(str::to_owned).to_vec()];
    rows.extend(holders.iter().map(|held| {
        let output = format!("{}:{}", text(&held["transaction_id"]), held["output_index"]);
        vec![owners(&held["public_keys"]), text(&held["amount"]), output]
    }));
    let json = json!({
        "asset_id": id, "data": data, "metadata": created["metadata"],
        "height": report["height"], "holders": holders, "transactions": all,
    });
    Ok(Printed { table: format!("{}\n{}", table(&head), table(&rows)), json: Some(json) })
}

/// The outputs that no input of these transactions spends.
fn holders(all: &[Value]) -> Vec<Value> {
    let inputs = all.iter().flat_map(|one| one["inputs"].as_array().into_iter().flatten());
    let spent: HashSet<(&str, u64)> = inputs
        .filter_map(|input| {
            let fulfills = &input["fulfills"];
            Some((fulfills["transaction_id"].as_str()?, fulfills["output_index"].as_u64()?))
        })
        .collect();
    let mut holders = Vec::new();
    for transaction in all {
        let id = transaction["id"].as_str().unwrap_or_default();
        for (at, output) in (0..).zip(transaction["outputs"].as_array().into_iter().flatten()) {
            if !spent.contains(&(id, at)) {
                holders.push(json!({
                    "transaction_id": id, "output_index": at, "amount": output["amount"],
                    "public_keys": output["public_keys"],
                }));
            }
        }
    }
    holders
}

/// Keys in one cell.
pub(in crate::cli) fn owners(keys: &Value) -> String {
    let keys: Vec<String> = keys.as_array().into_iter().flatten().map(text).collect();
    if keys.is_empty() { "-".to_owned() } else { keys.join(" and ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_an_unspent_output_is_a_holder() {
        let all = json!([
            { "id": "a", "inputs": [{ "fulfills": null }],
              "outputs": [{ "amount": "3", "public_keys": ["X"] }, { "amount": "4", "public_keys": ["Y"] }] },
            { "id": "b", "inputs": [{ "fulfills": { "transaction_id": "a", "output_index": 0 } }],
              "outputs": [{ "amount": "3", "public_keys": ["Y", "Z"] }] },
        ]);
        let held = holders(all.as_array().unwrap());
        let held: Vec<(&str, u64)> = held
            .iter()
            .map(|held| (held["amount"].as_str().unwrap(), held["output_index"].as_u64().unwrap()))
            .collect();
        assert_eq!(held, [("4", 1), ("3", 0)]);
        assert_eq!(owners(&json!(["Y", "Z"])), "Y and Z");
    }
}
