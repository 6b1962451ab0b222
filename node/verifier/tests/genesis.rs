//! The verifier reads a genesis as a validator does: the same files, the same chain.

#![expect(clippy::unwrap_used, reason = "all of this is a test: what must not happen ends it")]

mod common;

use common::Chain;
use serde_json::{Value, json};

/// Whether each takes it; and if both do, that they mean the same chain.
fn taken(text: &str) -> (bool, bool) {
    let validators = cairn_ledger::genesis::Genesis::from_json(text);
    let verifiers = cairn_verifier::Genesis::read(text.as_bytes());
    if let (Ok(theirs), Ok(ours)) = (&validators, &verifiers) {
        assert_eq!(theirs.chain().0, ours.chain_id());
        assert_eq!(theirs.name(), ours.name());
    }
    (validators.is_ok(), verifiers.is_ok())
}

type Bend = fn(&mut Value);

#[test]
fn what_founds_a_chain_here_founds_it_there() {
    #[rustfmt::skip]
    let table: &[(&str, bool, Bend)] = &[
        ("as it is",             true,  |_| {}),
        ("without the hash",     true,  |g| without_hash(g)),
        ("another order",        true,  |g| g["validators"].as_array_mut().unwrap().reverse()),
        ("the longest name",     true,  |g| { without_hash(g); g["name"] = "n".repeat(63).into(); }),
        ("any letters",          true,  |g| { without_hash(g); g["name"] = "Fahrräder 🚲".into(); }),
        ("a short label",        true,  |g| { without_hash(g); g["validators"][0]["name"] = "0".into(); }),
        ("much power",           true,  |g| { without_hash(g); g["validators"][0]["power"] = (u64::MAX / 4 - 4).into(); }),
        ("one validator",        true,  |g| { without_hash(g); g["validators"].as_array_mut().unwrap().truncate(1); }),
        ("no validator",         false, |g| { without_hash(g); g["validators"] = json!([]); }),
        ("another format",       false, |g| g["format"] = 2.into()),
        ("another hash",         false, |g| g["chain_id"] = "00".repeat(32).into()),
        ("a changed name",       false, |g| g["name"] = "bicycle".into()),
        ("no name",              false, |g| { without_hash(g); g["name"] = "".into(); }),
        ("a long name",          false, |g| { without_hash(g); g["name"] = "n".repeat(64).into(); }),
        ("a control character",  false, |g| { without_hash(g); g["name"] = "a\u{7f}".into(); }),
        ("a short salt",         false, |g| { without_hash(g); g["salt"] = "00".repeat(15).into(); }),
        ("an unknown field",     false, |g| { without_hash(g); g["note"] = "".into(); }),
        ("a capital",            false, |g| { without_hash(g); g["validators"][0]["name"] = "A".into(); }),
        ("a dash at the end",    false, |g| { without_hash(g); g["validators"][0]["name"] = "a-".into(); }),
        ("a dash at the front",  false, |g| { without_hash(g); g["validators"][0]["name"] = "-a".into(); }),
        ("a long label",         false, |g| { without_hash(g); g["validators"][0]["name"] = "a".repeat(64).into(); }),
        ("two of one name",      false, |g| { without_hash(g); g["validators"][0]["name"] = g["validators"][1]["name"].clone(); }),
        ("one key twice",        false, |g| { without_hash(g); g["validators"][0]["member_key"] = g["validators"][0]["consensus_key"].clone(); }),
        ("another's key",        false, |g| { without_hash(g); g["validators"][0]["consensus_key"] = g["validators"][1]["member_key"].clone(); }),
        ("a weak key",           false, |g| { without_hash(g); g["validators"][0]["consensus_key"] = "1".repeat(32).into(); }),
        ("a key off the curve",  false, |g| { without_hash(g); g["validators"][0]["member_key"] = bs58::encode([2; 32]).into_string().into(); }),
        ("a key beyond p",       false, |g| { without_hash(g); g["validators"][0]["member_key"] = beyond_p().into(); }),
        ("31 bytes",             false, |g| { without_hash(g); g["validators"][0]["member_key"] = bs58::encode([9; 31]).into_string().into(); }),
        ("no power",             false, |g| { without_hash(g); g["validators"][0]["power"] = 0.into(); }),
        ("too much power",       false, |g| { without_hash(g); g["validators"][0]["power"] = (u64::MAX / 4).into(); }),
        ("power that overflows", false, |g| { without_hash(g); for at in 0..2 { g["validators"][at]["power"] = u64::MAX.into(); } }),
        ("half a power",         false, |g| { without_hash(g); g["validators"][0]["power"] = 0.5.into(); }),
        ("a validator's note",   false, |g| { without_hash(g); g["validators"][0]["url"] = "".into(); }),
    ];
    let genesis: Value =
        serde_json::from_str(&Chain::new("bicycles", &[1, 1, 1, 1]).genesis.to_json()).unwrap();
    for (why, fine, bend) in table {
        let mut bent = genesis.clone();
        bend(&mut bent);
        assert_eq!(taken(&bent.to_string()), (*fine, *fine), "{why}");
    }
    assert_eq!(taken("{}"), (false, false));
}

/// So that a changed hash does not hide another reason.
fn without_hash(genesis: &mut Value) {
    genesis.as_object_mut().unwrap().remove("chain_id");
}

/// A second spelling of a point: y = p + 3, which is 3.
fn beyond_p() -> String {
    let mut key = [0xff; 32];
    (key[0], key[31]) = (0xf0, 0x7f);
    bs58::encode(key).into_string()
}

#[test]
fn as_many_validators_as_there_may_be() {
    let most = Chain::new("many", &[1; 128]).genesis.to_json();
    assert_eq!(taken(&most), (true, true));
    let mut more: Value = serde_json::from_str(&most).unwrap();
    without_hash(&mut more);
    let mut last = more["validators"][127].clone();
    let other: Value = serde_json::from_str(&Chain::new("few", &[1]).genesis.to_json()).unwrap();
    last["name"] = "one-more".into();
    // Keys of nobody else; the reason is their number.
    last["consensus_key"] = bs58::encode(common::client(250).public().0).into_string().into();
    last["member_key"] = bs58::encode(common::client(251).public().0).into_string().into();
    more["validators"].as_array_mut().unwrap().push(last);
    assert_eq!(taken(&more.to_string()), (false, false));
    assert_eq!(taken(&other.to_string()), (true, true));
}

/// Where the verifier is stricter: one value has one spelling.
#[test]
fn digits_are_of_lower_case() {
    let text = Chain::new("bicycles", &[1]).genesis.to_json();
    let genesis: Value = serde_json::from_str(&text).unwrap();
    let id = genesis["chain_id"].as_str().unwrap();
    assert_eq!(taken(&text.replace(id, &id.to_uppercase())), (true, false));
}
