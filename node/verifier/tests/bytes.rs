//! Every byte of every part, changed: nothing but the very same receipt, under the very same
//! genesis, is proof.

#![expect(clippy::unwrap_used, reason = "all of this is a test: what must not happen ends it")]

mod common;

use cairn_verifier::{Genesis, Proven, verify};
use common::{four, weighted};
use proptest::prelude::*;
use serde_json::Value;

/// Every change of one byte that is tried: each bit of it, another digit, a quote, a space;
/// taken out, doubled, swapped with the next.
fn bent_at(text: &[u8], at: usize) -> Vec<Vec<u8>> {
    let byte = text[at];
    let replaced = (0..8).map(|bit| byte ^ (1 << bit)).chain(*b"07af\" ");
    let mut bent: Vec<Vec<u8>> = replaced
        .filter(|other| *other != byte)
        .map(|other| [&text[..at], &[other], &text[at + 1..]].concat())
        .collect();
    bent.push([&text[..at], &text[at + 1..]].concat());
    bent.push([&text[..=at], &text[at..]].concat());
    if text.get(at + 1).is_some_and(|next| *next != byte) {
        let mut swapped = text.to_vec();
        swapped.swap(at, at + 1);
        bent.push(swapped);
    }
    bent
}

/// What JSON says, white space and escapes aside. (Fields that are there twice would be lost
/// here; that the verifier refuses them has a test of its own.)
fn meaning(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap()
}

/// Bends every byte; `verify` may say yes only to what means the same.
fn no_other_is_proof(text: &str, verify: impl Fn(&[u8]) -> Option<Proven>) {
    let (text, proven) = (text.as_bytes(), verify(text.as_bytes()).unwrap());
    let original = meaning(text);
    let (mut tried, mut failed) = (0, 0);
    for at in 0..text.len() {
        for bent in bent_at(text, at) {
            tried += 1;
            match verify(&bent) {
                None => failed += 1,
                Some(same) => {
                    let bent_text = String::from_utf8_lossy(&bent);
                    assert_eq!(meaning(&bent), original, "byte {at} of:\n{bent_text}");
                    assert_eq!(same, proven, "byte {at} of:\n{bent_text}");
                }
            }
        }
    }
    // White space is what little may change.
    assert!(failed * 10 > tried * 8, "{failed} of {tried} changes fail");
}

#[test]
fn no_changed_byte_of_a_receipt_proves_anything() {
    let (chain, block) = four();
    let trusted = chain.trusted();
    for index in 0..3 {
        let receipt = chain.receipt(&block, index);
        no_other_is_proof(&receipt, |text| verify(text, &trusted).ok());
    }
    let (chain, block) = weighted();
    let trusted = chain.trusted();
    no_other_is_proof(&chain.receipt(&block, 0), |text| verify(text, &trusted).ok());
}

#[test]
fn no_changed_byte_of_a_genesis_is_the_genesis_of_that_receipt() {
    for (chain, block) in [four(), weighted()] {
        let receipt = chain.receipt(&block, 0);
        no_other_is_proof(&chain.genesis.to_json(), |text| {
            verify(receipt.as_bytes(), &Genesis::read(text).ok()?).ok()
        });
    }
}

/// Every way to take one value out of the tree, to have it twice, to swap two neighbours, to
/// change one letter, digit or number by one.
fn bent_values(value: &Value) -> Vec<Value> {
    let mut bent = Vec::new();
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let mut without = members.clone();
                without.remove(name);
                bent.push(without.into());
                let mut renamed = members.clone();
                renamed.insert(format!("{name}2"), member.clone());
                bent.push(renamed.into());
                for other in bent_values(member) {
                    let mut with = members.clone();
                    with.insert(name.clone(), other);
                    bent.push(with.into());
                }
            }
        }
        Value::Array(elements) => {
            for at in 0..elements.len() {
                bent.push([&elements[..at], &elements[at + 1..]].concat().into());
                bent.push([&elements[..=at], &elements[at..]].concat().into());
                let mut swapped = elements.clone();
                swapped.swap(at, (at + 1) % elements.len());
                bent.push(swapped.into());
                for other in bent_values(&elements[at]) {
                    let mut with = elements.clone();
                    with[at] = other;
                    bent.push(with.into());
                }
            }
        }
        Value::String(text) => {
            bent.push(format!("{text} ").into());
            bent.push(format!("0{text}").into());
            bent.push(text.to_uppercase().into());
            bent.push(text.chars().skip(1).collect::<String>().into());
            bent.push(text.chars().rev().collect::<String>().into());
        }
        Value::Number(number) => {
            let number = number.as_u64().unwrap();
            bent.extend([(number + 1).into(), number.wrapping_sub(1).into()]);
            bent.extend([(number as f64).into(), number.to_string().into()]);
        }
        Value::Bool(_) | Value::Null => {}
    }
    bent.extend([Value::Null, true.into(), 0.into(), "".into(), Value::Array(vec![])]);
    bent.retain(|other| other != value);
    bent
}

#[test]
fn no_part_of_a_receipt_can_be_left_out_doubled_or_moved() {
    let (chain, block) = four();
    let trusted = chain.trusted();
    for index in 0..5 {
        let receipt = meaning(chain.receipt(&block, index).as_bytes());
        assert!(verify(receipt.to_string().as_bytes(), &trusted).is_ok());
        for bent in bent_values(&receipt) {
            assert!(verify(bent.to_string().as_bytes(), &trusted).is_err(), "{bent:#}");
        }
    }
}

/// But the order in which it lists the founders, whose names put them in order, and the hash,
/// which follows from all else.
#[test]
fn no_part_of_a_genesis_can_be_left_out_doubled_or_changed() {
    let (chain, block) = four();
    let receipt = chain.receipt(&block, 0);
    let genesis = meaning(chain.genesis.to_json().as_bytes());
    let sorted = |genesis: &Value| {
        let mut genesis = genesis.clone();
        genesis["chain_id"] = "any".into();
        if let Some(validators) = genesis["validators"].as_array_mut() {
            validators.sort_by_key(|validator| validator["name"].to_string());
        }
        genesis
    };
    let mut refused = 0;
    for bent in bent_values(&genesis) {
        let read = Genesis::read(bent.to_string().as_bytes());
        match read.and_then(|trusted| verify(receipt.as_bytes(), &trusted)) {
            Ok(_) => assert_eq!(sorted(&bent), sorted(&genesis), "{bent:#}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 100, "{refused}");
}

proptest! {
    /// Whatever comes, there is an answer.
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let (chain, _) = weighted();
        prop_assert!(verify(&bytes, &chain.trusted()).is_err());
        prop_assert!(Genesis::read(&bytes).is_err());
    }

    /// Several bytes of a good receipt, changed at once.
    #[test]
    fn no_changes_together_prove_anything(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let (chain, block) = weighted();
        let receipt = chain.receipt(&block, 0).into_bytes();
        let mut bent = receipt.clone();
        for (at, byte) in changes {
            let at = at.index(bent.len());
            bent[at] = byte;
        }
        if verify(&bent, &chain.trusted()).is_ok() {
            prop_assert_eq!(meaning(&bent), meaning(&receipt));
        }
    }
}
