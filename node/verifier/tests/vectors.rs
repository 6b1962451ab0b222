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

/// Receipts that prove nothing: what was done to each, the genesis to hold against it, the
/// field that says why, the file's text.
fn broken() -> Vec<Value> {
    let (chain, block) = four();
    let mut broken = spoilt_texts(&chain.receipt(&block, 0), &chain.receipt(&block, 1), &block);
    broken.extend(spoilt_trees(&chain.receipt(&block, 0), &chain.receipt(&block, 1)));
    broken.extend(of_others());
    broken
}

fn case(name: &str, genesis: &str, field: &str, receipt: String) -> Value {
    json!({"name": name, "genesis": genesis, "field": field, "receipt": receipt})
}

const FIRST_SIGNER: &str = "receipt.certificate.signatures[0].validator";
const SECOND_SIGNER: &str = "receipt.certificate.signatures[1].validator";
const FIRST_SIGNATURE: &str = "receipt.certificate.signatures[0].signature";
const SIGNATURES: &str = "receipt.certificate.signatures";

/// One piece of text replaced by another.
fn spoilt_texts(first: &str, second: &str, block: &Block) -> Vec<Value> {
    let header = hex::encode(block.header.encode());
    let capital = header.to_uppercase();
    let mut higher = block.header.clone();
    higher.height = higher.height.next();
    let higher = hex::encode(higher.encode());
    #[rustfmt::skip]
    let table = [
        ("no JSON",                         "receipt",         first,  "\n}\n",              "\n"),
        ("a field twice",                   "receipt",         first,  "\"index\": 0,",      "\"index\": 0, \"index\": 0,"),
        ("an unknown field",                "receipt",         first,  "\"index\"",          "\"note\": \"\", \"index\""),
        ("a missing field",                 "receipt.index",   first,  "  \"index\": 0,\n",  ""),
        ("a later format",                  "receipt.format",  first,  "\"format\": 1",      "\"format\": 2"),
        ("a number written as a fraction",  "receipt.index",   first,  "\"index\": 0",       "\"index\": 0.0"),
        ("another transaction",             "receipt.path",    first,  "A-17",               "A-18"),
        ("a space more in the transaction", "receipt.path",    first,  "{\\\"asset",         "{ \\\"asset"),
        ("another place",                   "receipt.path",    first,  "\"index\": 0",       "\"index\": 1"),
        ("another outcome",                 "receipt.path",    second, "DoubleSpend",        "Doublespend"),
        ("another number of the reason",    "receipt.path",    second, "\"number\": 32",     "\"number\": 31"),
        ("another height in the header",    FIRST_SIGNATURE,   first,  &header,              &higher),
        ("digits that are capital letters", "receipt.header",  first,  &header,              &capital),
        ("a header that ends early",        "receipt.header",  first,  &header,              &header[..366]),
        ("another round",                   FIRST_SIGNATURE,   first,  "\"round\": 1",       "\"round\": 0"),
        ("a stranger signs",                FIRST_SIGNER,      first,  "member-0",           "member-7"),
        ("a signature of somebody else",    FIRST_SIGNATURE,   first,  "member-0",           "member-1"),
    ];
    let spoil = |(name, field, text, from, to): (&str, &str, &str, &str, &str)| {
        assert!(text.contains(from), "{name}");
        case(name, "genesis.json", field, text.replacen(from, to, 1))
    };
    table.into_iter().map(spoil).collect()
}

/// Parts taken out, doubled, moved.
fn spoilt_trees(first: &str, second: &str) -> Vec<Value> {
    type Spoil = fn(&mut Value);
    #[rustfmt::skip]
    let table: [(&str, &str, &str, Spoil); 8] = [
        ("refused becomes committed", "receipt.path", second, |receipt| receipt["outcome"] = "committed".into()),
        ("a path that is too short",  "receipt.path", first,  |receipt| { list(&mut receipt["path"]).pop(); }),
        ("a path that is too long",   "receipt.path", first,  |receipt| list(&mut receipt["path"]).push("00".repeat(32).into())),
        ("a path in another order",   "receipt.path", first,  |receipt| list(&mut receipt["path"]).swap(0, 1)),
        ("signers in another order",  SECOND_SIGNER,  first,  |receipt| signatures(receipt).swap(0, 1)),
        ("one signer twice",          SECOND_SIGNER,  first,  |receipt| signatures(receipt)[1] = signatures(receipt)[0].clone()),
        ("one signature short",       SIGNATURES,     first,  |receipt| { signatures(receipt).pop(); }),
        ("digits for what is text",   "receipt.encoding", first, |receipt| {
            receipt["transaction"] = hex::encode(receipt["transaction"].as_str().unwrap()).into();
            receipt["encoding"] = "hex".into();
        }),
    ];
    let spoil = |(name, field, text, spoil): (&str, &str, &str, Spoil)| {
        let mut receipt = serde_json::from_str(text).unwrap();
        spoil(&mut receipt);
        case(name, "genesis.json", field, format!("{receipt:#}\n"))
    };
    table.into_iter().map(spoil).collect()
}

fn list(value: &mut Value) -> &mut Vec<Value> {
    value.as_array_mut().unwrap()
}

fn signatures(receipt: &mut Value) -> &mut Vec<Value> {
    list(&mut receipt["certificate"]["signatures"])
}

/// Sound in themselves, and yet not proof.
fn of_others() -> Vec<Value> {
    let ((chain, block), (heavy, mut heavy_block)) = (four(), weighted());
    let other = chain.receipt(&block, 0);
    heavy_block.certificate = heavy.certify(&heavy_block.header, &[0, 1, 2, 3, 4, 5]);
    let few = heavy.receipt(&heavy_block, 0);
    vec![
        case("a receipt of another chain", "genesis-weighted.json", "receipt.chain_id", other),
        case("six of seven, but 55 of 95", "genesis-weighted.json", SIGNATURES, few),
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
