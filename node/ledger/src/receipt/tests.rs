//! What a receipt file holds. That it proves something, and no changed one does, is for the
//! verifier's tests (`node/verifier/tests`).

use serde_json::{Value, json};

use super::*;
use crate::{
    block::tests::decided,
    execution::tests::{create, key},
    genesis::tests::founders,
    refusal::Recorded,
};

/// A block of three: committed, refused though it is a transaction, and bytes that are not even text.
fn three() -> (Genesis, Block) {
    let (genesis, keys) = founders(4);
    let body = vec![
        create(&key(50), &[1], 0),
        create(&key(50), &[2], 1),
        Arc::from(&b"\xffno transaction"[..]),
    ];
    let refused = |text: &str| Outcome::Refused(Recorded { number: 3, text: text.to_owned() });
    let outcomes =
        vec![Outcome::Committed, refused("DoubleSpend: \"so\""), refused("ValidationError: no")];
    let block = decided(&genesis, &keys, body, outcomes);
    (genesis, block)
}

fn file(genesis: &Genesis, block: &Block, index: u32) -> Value {
    let text = Receipt::of(block, index, genesis).unwrap().to_json();
    assert!(text.ends_with("}\n"));
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_file_says_what_the_block_says() {
    let (genesis, block) = three();
    let refused = |text: &str| json!({"refused": {"number": 3, "text": text}});
    #[rustfmt::skip]
    let table = [
        (0, "text", json!("committed")),
        (1, "text", refused("DoubleSpend: \"so\"")),
        (2, "hex",  refused("ValidationError: no")),
    ];
    for (index, encoding, outcome) in table {
        let file = file(&genesis, &block, index);
        let body = &block.body[index as usize];
        let transaction = match encoding {
            "text" => String::from_utf8(body.to_vec()).unwrap(),
            _ => hex::encode(body),
        };
        let names: Vec<&str> = file["certificate"]["signatures"]
            .as_array()
            .unwrap()
            .iter()
            .map(|signature| signature["validator"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["v0", "v1", "v2"]);
        let expected = json!({
            "format": 1,
            "chain_id": genesis.chain(),
            "transaction": transaction,
            "encoding": encoding,
            "index": index,
            "outcome": outcome,
            "path": merkle::path(&block.leaves(), index as usize),
            "header": hex::encode(block.header.encode()),
            "certificate": file["certificate"],
        });
        assert_eq!(file, expected);
    }
}

#[test]
fn there_is_no_receipt_for_what_is_not_in_the_block() {
    let (genesis, block) = three();
    assert_eq!(Receipt::of(&block, 3, &genesis), None);
    assert_eq!(Receipt::of(&block, u32::MAX, &genesis), None);
    let other = founders(5).0;
    assert_eq!(Receipt::of(&block, 0, &other), None);
}
