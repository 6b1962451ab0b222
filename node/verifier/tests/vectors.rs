//! `docs/receipt-vectors`: receipts for whoever writes a verifier of their own, and what must
//! be said of each. Made from fixed seeds; `UPDATE_GOLDENFILES=1` writes them anew.

#![expect(clippy::unwrap_used, reason = "all of this is a test: what must not happen ends it")]

mod common;

use std::{fs, path::PathBuf};

use cairn_ledger::{
    block::{Block, leaf},
    vote::{VoteKind, vote_sign_bytes},
};
use cairn_verifier::verdict;
use common::{Chain, four, weighted};
use serde_json::{Value, json};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/receipt-vectors")
}

/// The files, by name.
fn made() -> Vec<(&'static str, String)> {
    let ((chain, block), (heavy, heavy_block)) = (four(), weighted());
    let proven = json!([
        proof("committed.json", "genesis.json", &chain, &block, 0),
        proof("refused.json", "genesis.json", &chain, &block, 1),
        proof("malformed.json", "genesis.json", &chain, &block, 2),
        proof("weighted.json", "genesis-weighted.json", &heavy, &heavy_block, 0),
    ]);
    vec![
        ("genesis.json", chain.genesis.to_json()),
        ("genesis-weighted.json", heavy.genesis.to_json()),
        ("committed.json", chain.receipt(&block, 0)),
        ("refused.json", chain.receipt(&block, 1)),
        ("malformed.json", chain.receipt(&block, 2)),
        ("weighted.json", heavy.receipt(&heavy_block, 0)),
        ("proven.json", format!("{proven:#}\n")),
        ("broken.json", format!("{:#}\n", Value::from(broken()))),
    ]
}

/// What must be said of a receipt, and the bytes on the way there.
fn proof(file: &str, genesis_file: &str, chain: &Chain, block: &Block, index: u32) -> Value {
    let at = index as usize;
    let (receipt, genesis) = (chain.receipt(block, index), chain.genesis.to_json());
    let verdict: Value =
        serde_json::from_str(&verdict(receipt.as_bytes(), genesis.as_bytes())).unwrap();
    assert_eq!(verdict["valid"], true, "{file}");
    let (id, height) = (block.header.id(), block.header.height);
    let round = block.certificate.round;
    let message =
        vote_sign_bytes(&chain.genesis.chain(), VoteKind::Precommit, height, round, Some(id));
    json!({
        "receipt": file,
        "genesis": genesis_file,
        "verdict": verdict,
        "on_the_way": {
            "genesis_record": hex::encode(chain.genesis.encode()),
            "leaf": leaf(index, &block.body[at], &block.outcomes[at]),
            "root": block.header.outcomes_root,
            "vote": hex::encode(message),
        },
    })
}

/// Receipts that prove nothing: a name, the field that says why, the file's text.
fn broken() -> Vec<Value> {
    let ((chain, block), (heavy, heavy_block)) = (four(), weighted());
    let (first, second) = (chain.receipt(&block, 0), chain.receipt(&block, 1));
    let header = hex::encode(block.header.encode());
    let elsewhere = {
        let mut header = block.header.clone();
        header.height = header.height.next();
        hex::encode(header.encode())
    };
    let few = {
        let mut block = heavy_block.clone();
        block.certificate = heavy.certify(&block.header, &[0, 1, 2, 3, 4, 5]);
        heavy.receipt(&block, 0)
    };
    let moved = |fields: fn(&mut Value)| {
        let mut value: Value = serde_json::from_str(&first).unwrap();
        fields(&mut value);
        format!("{value:#}\n")
    };
    let of = |name, genesis, field, receipt: String| json!({"name": name, "genesis": genesis, "field": field, "receipt": receipt});
    let bent = |name, field, text: &str, from: &str, to: &str| {
        assert!(text.contains(from), "{name}");
        of(name, "genesis.json", field, text.replacen(from, to, 1))
    };
    let signature = |field| format!("receipt.certificate.signatures[{field}");
    let serial = "A-17";
    vec![
        of("no JSON", "genesis.json", "receipt", first[..first.len() - 3].to_owned()),
        bent("a field twice", "receipt", &first, "\"index\": 0,", "\"index\": 0, \"index\": 0,"),
        bent("an unknown field", "receipt", &first, "\"index\"", "\"note\": \"\", \"index\""),
        bent("a missing field", "receipt.index", &first, "  \"index\": 0,\n", ""),
        bent("a later format", "receipt.format", &first, "\"format\": 1", "\"format\": 2"),
        bent(
            "a number that is written as a fraction",
            "receipt.index",
            &first,
            "\"index\": 0",
            "\"index\": 0.0",
        ),
        bent("another transaction", "receipt.path", &first, serial, "A-18"),
        bent(
            "a space more in the transaction",
            "receipt.path",
            &first,
            "{\\\"asset",
            "{ \\\"asset",
        ),
        bent("another place", "receipt.path", &first, "\"index\": 0", "\"index\": 1"),
        bent("another outcome", "receipt.path", &second, "DoubleSpend", "Doublespend"),
        bent("another reason number", "receipt.path", &second, "\"number\": 32", "\"number\": 31"),
        of("refused becomes committed", "genesis.json", "receipt.path", {
            let mut value: Value = serde_json::from_str(&second).unwrap();
            value["outcome"] = "committed".into();
            format!("{value:#}\n")
        }),
        of(
            "a path that is too short",
            "genesis.json",
            "receipt.path",
            moved(|value| {
                value["path"].as_array_mut().unwrap().pop();
            }),
        ),
        of(
            "a path that is too long",
            "genesis.json",
            "receipt.path",
            moved(|value| {
                value["path"].as_array_mut().unwrap().push("00".repeat(32).into());
            }),
        ),
        of(
            "a path in another order",
            "genesis.json",
            "receipt.path",
            moved(|value| {
                value["path"].as_array_mut().unwrap().swap(0, 1);
            }),
        ),
        bent(
            "another height in the header",
            &signature("0].signature"),
            &first,
            &header,
            &elsewhere,
        ),
        bent("capital digits", "receipt.header", &first, &header, &header.to_uppercase()),
        bent("a header that ends early", "receipt.header", &first, &header, &header[..366]),
        bent("another round", &signature("0].signature"), &first, "\"round\": 1", "\"round\": 0"),
        bent("a stranger signs", &signature("0].validator"), &first, "member-0", "member-7"),
        bent("another's signature", &signature("0].signature"), &first, "member-0", "member-1"),
        of(
            "signers in another order",
            "genesis.json",
            &signature("1].validator"),
            moved(|value| {
                value["certificate"]["signatures"].as_array_mut().unwrap().swap(0, 1);
            }),
        ),
        of(
            "one signer twice",
            "genesis.json",
            &signature("1].validator"),
            moved(|value| {
                value["certificate"]["signatures"][1] =
                    value["certificate"]["signatures"][0].clone();
            }),
        ),
        of(
            "one signature short",
            "genesis.json",
            "receipt.certificate.signatures",
            moved(|value| {
                value["certificate"]["signatures"].as_array_mut().unwrap().pop();
            }),
        ),
        of(
            "six of seven, and 55 of 95 of the power",
            "genesis-weighted.json",
            "receipt.certificate.signatures",
            few,
        ),
        of(
            "a receipt of another chain",
            "genesis-weighted.json",
            "receipt.chain_id",
            first.clone(),
        ),
        of("digits for what is text", "genesis.json", "receipt.encoding", {
            let mut value: Value = serde_json::from_str(&first).unwrap();
            value["transaction"] = hex::encode(value["transaction"].as_str().unwrap()).into();
            value["encoding"] = "hex".into();
            format!("{value:#}\n")
        }),
    ]
}

#[test]
fn the_vectors_are_what_this_version_makes() {
    for (name, text) in made() {
        let path = directory().join(name);
        if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
            fs::create_dir_all(directory()).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let there = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            there == text,
            "docs/receipt-vectors/{name} is stale: UPDATE_GOLDENFILES=1 writes it"
        );
    }
}

#[test]
fn every_broken_one_fails_for_the_reason_given() {
    let ((chain, _), (heavy, _)) = (four(), weighted());
    let cases = broken();
    assert!(cases.len() > 20);
    for case in cases {
        let receipt = case["receipt"].as_str().unwrap();
        let chain = if case["genesis"] == "genesis.json" { &chain } else { &heavy };
        let genesis = chain.genesis.to_json();
        let told: Value =
            serde_json::from_str(&verdict(receipt.as_bytes(), genesis.as_bytes())).unwrap();
        assert_eq!((&told["valid"], &told["field"]), (&json!(false), &case["field"]), "{case:#}");
    }
}
