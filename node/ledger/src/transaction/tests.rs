use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::{
    condition::Fulfillment,
    election::Electorate,
    genesis::tests::founders,
    rules::{OutputRow, OutputState, Reads, View, check, reads},
    signature::SigningKey,
    transaction::build::{Share, Spend, create, transfer},
};

fn vectors() -> Json {
    serde_json::from_str(include_str!("../../tests/vectors/bigchaindb-vectors.json")).unwrap()
}

fn published() -> Vec<Json> {
    let vectors = vectors();
    ["v2_0_official", "v2_0_derived"]
        .iter()
        .flat_map(|group| vectors[group]["txs"].as_array().unwrap().clone())
        .collect()
}

fn published_signers() -> Vec<SigningKey> {
    let keys = vectors()["keys"].as_array().unwrap().clone();
    keys.iter()
        .map(|pair| {
            let private: PublicKey = pair["private"].as_str().unwrap().parse().unwrap();
            let signer = SigningKey::from_seed(private.0);
            assert_eq!(signer.public().to_string(), pair["public"].as_str().unwrap());
            signer
        })
        .collect()
}

fn electorate() -> Electorate {
    Electorate::of(&founders(4).0)
}

pub(in crate::transaction) fn parse_json(value: &Json) -> Result<Parsed, Refusal> {
    parse(value.to_string().as_bytes().into(), Strictness::Strict)
}

/// With the id that belongs to it, so that what comes after that check is seen.
pub(in crate::transaction) fn sealed(mut value: Json) -> Json {
    value["id"] = Json::Null;
    let text = value.to_string();
    let tree = json::parse(text.as_bytes(), Strictness::Lenient).unwrap();
    value["id"] = canonical::Canonical::of(&tree).id().to_string().into();
    value
}

#[test]
fn published_transactions_are_admitted() {
    let parsed: Vec<Parsed> = published().iter().map(|value| parse_json(value).unwrap()).collect();
    assert_eq!(parsed.len(), 5);
    for (parsed, value) in parsed.iter().zip(published()) {
        assert_eq!(parsed.id().to_string(), value["id"].as_str().unwrap());
        assert_eq!(claimed_id(parsed.bytes()), Some(parsed.id()));
        for (at, output) in parsed.outputs().iter().enumerate() {
            let uri = value["outputs"][at]["condition"]["uri"].as_str().unwrap();
            assert_eq!(output.condition.fingerprint().uri(), uri);
        }
    }
    for admitted in admit(parsed) {
        admitted.unwrap();
    }
}

#[test]
fn signing_again_gives_the_published_bytes() {
    let signers = published_signers();
    let held: Vec<&SigningKey> = signers.iter().collect();
    let mut signed = 0;
    let published = published();
    let outputs: HashMap<TransactionId, Vec<Output>> = published
        .iter()
        .map(|value| parse_json(value).unwrap())
        .map(|parsed| (parsed.id(), parsed.outputs().to_vec()))
        .collect();
    for value in &published {
        let text = value.to_string();
        let tree = json::parse(text.as_bytes(), Strictness::Strict).unwrap();
        let signing = canonical::Canonical::of(&tree).signing();
        for (at, input) in parse_json(value).unwrap().inputs().iter().enumerate() {
            let condition = match &input.spends {
                None => Condition::all_of(&input.owners_before),
                Some(spends) => {
                    outputs[&spends.transaction][spends.index as usize].condition.clone()
                }
            };
            let message = signing.message(input.spends.as_ref());
            let proof = Fulfillment::sign(&condition, &message, &held).unwrap();
            assert_eq!(proof.to_text(), value["inputs"][at]["fulfillment"].as_str().unwrap());
            signed += 1;
        }
    }
    assert_eq!(signed, 6);
}

#[test]
fn built_transactions_are_the_published_ones() {
    let signers = published_signers();
    let published = published();
    let key = |at: usize| signers[at].public();
    let shares = [Share::to(key(0), 1)];
    let data = r#"{"msg":"Hello BigchainDB!"}"#;
    let made = create(data, r#"{"sequence":0}"#, &shares, &signers[0]).unwrap();
    assert_eq!(serde_json::from_slice::<Json>(&made).unwrap(), published[0]);
    let asset = parse_json(&published[0]).unwrap().id();
    let spend = Spend::of(key(0), OutputReference { transaction: asset, index: 0 });
    let moved =
        transfer(asset, r#"{"sequence":1}"#, &[spend], &[Share::to(key(1), 1)], &[&signers[0]]);
    assert_eq!(serde_json::from_slice::<Json>(&moved.unwrap()).unwrap(), published[1]);

    let both = Condition::all_of(&[key(2), key(3)]);
    let shares = [Share { amount: 7, condition: both.clone() }, Share::to(key(0), 3)];
    let made = create(data, "null", &shares, &signers[0]).unwrap();
    assert_eq!(serde_json::from_slice::<Json>(&made).unwrap(), published[3]);
    let asset = parse_json(&published[3]).unwrap().id();
    let at = |index| OutputReference { transaction: asset, index };
    let spends = [
        Spend { output: at(0), condition: both, owners: vec![key(2), key(3)] },
        Spend::of(key(0), at(1)),
    ];
    let note = r#"{"note":"two inputs"}"#;
    let shares = [Share::to(key(0), 10)];
    let held: Vec<&SigningKey> = signers.iter().collect();
    let moved = transfer(asset, note, &spends, &shares, &held).unwrap();
    assert_eq!(serde_json::from_slice::<Json>(&moved).unwrap(), published[4]);
    let refused = transfer(asset, note, &spends, &shares, &held[..1]);
    assert_eq!(refused, Err(build::BuildError::Keys { input: 0 }));
}

/// What is done to the official CREATE (or TRANSFER), and what is said about it.
struct Bad {
    what: &'static str,
    transfer: bool,
    change: fn(&mut Json),
    class: &'static str,
    code: &'static str,
    text: &'static str,
}

macro_rules! bad {
    ($what:literal, $transfer:literal, $change:expr, $class:literal, $code:literal, $text:literal) => {
        Bad {
            what: $what,
            transfer: $transfer,
            change: $change,
            class: $class,
            code: $code,
            text: $text,
        }
    };
}

fn remove(value: &mut Json, key: &str) {
    value.as_object_mut().unwrap().remove(key).unwrap();
}

const SCHEMA: &[Bad] = &[
    bad!(
        "no version",
        false,
        |t| remove(t, "version"),
        "SchemaValidationError",
        "FIELD_MISSING",
        "'version' is a required property"
    ),
    bad!(
        "another version",
        false,
        |t| t["version"] = json!("2.1"),
        "SchemaValidationError",
        "FIELD_VALUE",
        "'2.1' does not match '^2\\\\.0$'"
    ),
    bad!(
        "unknown field",
        false,
        |t| t["foo"] = json!(1),
        "SchemaValidationError",
        "FIELD_UNKNOWN",
        "Additional properties are not allowed ('foo' was unexpected)"
    ),
    bad!(
        "unknown fields",
        false,
        |t| {
            t["foo"] = json!(1);
            t["bar"] = json!(1)
        },
        "SchemaValidationError",
        "FIELD_UNKNOWN",
        "Additional properties are not allowed ('bar', 'foo' were unexpected)"
    ),
    bad!(
        "asset null",
        false,
        |t| t["asset"] = Json::Null,
        "SchemaValidationError",
        "FIELD_TYPE",
        "None is not of type 'object'"
    ),
    bad!(
        "asset without data",
        false,
        |t| t["asset"] = json!({}),
        "SchemaValidationError",
        "FIELD_MISSING",
        "'data' is a required property"
    ),
    bad!(
        "transfer without asset id",
        true,
        |t| t["asset"] = json!({}),
        "SchemaValidationError",
        "FIELD_MISSING",
        "'id' is a required property"
    ),
    bad!(
        "asset data text",
        false,
        |t| t["asset"]["data"] = json!("x"),
        "SchemaValidationError",
        "FIELD_TYPE",
        "'x' is not valid under any of the given schemas"
    ),
    bad!(
        "empty metadata",
        false,
        |t| t["metadata"] = json!({}),
        "SchemaValidationError",
        "FIELD_TYPE",
        "{} is not valid under any of the given schemas"
    ),
    bad!(
        "unknown operation",
        false,
        |t| t["operation"] = json!("MINT"),
        "SchemaValidationError",
        "FIELD_VALUE",
        "'MINT' is not one of ['CREATE', 'TRANSFER', 'VALIDATOR_ELECTION', 'CHAIN_MIGRATION_ELECTION', 'VOTE']"
    ),
    bad!(
        "a vote on nothing",
        false,
        |t| t["operation"] = json!("VOTE"),
        "SchemaValidationError",
        "FIELD_UNKNOWN",
        "Additional properties are not allowed ('data' was unexpected)"
    ),
    bad!(
        "no inputs",
        false,
        |t| t["inputs"] = json!([]),
        "SchemaValidationError",
        "FIELD_VALUE",
        "[] is too short"
    ),
    bad!(
        "inputs no array",
        false,
        |t| t["inputs"] = json!({}),
        "SchemaValidationError",
        "FIELD_TYPE",
        "{} is not of type 'array'"
    ),
    bad!(
        "create spends",
        false,
        |t| t["inputs"][0]["fulfills"] =
            json!({"output_index": 0, "transaction_id": "a".repeat(64)}),
        "SchemaValidationError",
        "FIELD_TYPE",
        "{'output_index': 0, 'transaction_id': 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    ),
    bad!(
        "transfer spends nothing",
        true,
        |t| t["inputs"][0]["fulfills"] = Json::Null,
        "SchemaValidationError",
        "FIELD_TYPE",
        "None is not of type 'object'"
    ),
    bad!(
        "negative index",
        true,
        |t| t["inputs"][0]["fulfills"]["output_index"] = json!(-1),
        "SchemaValidationError",
        "FIELD_TYPE",
        "{'output_index': -1, "
    ),
    bad!(
        "amount a number",
        false,
        |t| t["outputs"][0]["amount"] = json!(1),
        "SchemaValidationError",
        "FIELD_TYPE",
        "1 is not of type 'string'"
    ),
    bad!(
        "amount negative",
        false,
        |t| t["outputs"][0]["amount"] = json!("-1"),
        "SchemaValidationError",
        "AMOUNT_FORMAT",
        "'-1' does not match '^[0-9]{1,20}$'"
    ),
    bad!(
        "amount with exponent",
        false,
        |t| t["outputs"][0]["amount"] = json!("1e3"),
        "SchemaValidationError",
        "AMOUNT_FORMAT",
        "'1e3' does not match '^[0-9]{1,20}$'"
    ),
    bad!(
        "amount of 21 digits",
        false,
        |t| t["outputs"][0]["amount"] = json!("1".repeat(21)),
        "SchemaValidationError",
        "AMOUNT_FORMAT",
        "'111111111111111111111' does not match '^[0-9]{1,20}$'"
    ),
    bad!(
        "uri of another kind",
        false,
        |t| t["outputs"][0]["condition"]["uri"] = json!("ni:///x"),
        "SchemaValidationError",
        "FIELD_VALUE",
        "'ni:///x' does not match '^ni:///sha-256;"
    ),
    bad!(
        "threshold 0",
        false,
        |t| t["outputs"][0]["condition"]["details"] =
            json!({"type": "threshold-sha-256", "threshold": 0, "subconditions": []}),
        "SchemaValidationError",
        "CONDITION_LIMIT",
        "{'subconditions': [], 'threshold': 0, 'type': 'threshold-sha-256'} is not valid under any of the given schemas"
    ),
    bad!(
        "key too short",
        false,
        |t| t["outputs"][0]["public_keys"] = json!(["abc"]),
        "SchemaValidationError",
        "KEY_FORMAT",
        "['abc'] is not valid under any of the given schemas"
    ),
];

const BEYOND: &[Bad] = &[
    bad!(
        "dollar key",
        false,
        |t| t["metadata"] = json!({"$a": 1}),
        "ValidationError",
        "KEY_NAME",
        "Invalid key name \"$a\" in metadata object. The key name cannot contain characters \".\", \"$\" or null characters"
    ),
    bad!(
        "dotted key in a list",
        false,
        |t| t["asset"]["data"] = json!({"a": [{"b.c": 1}]}),
        "ValidationError",
        "KEY_NAME",
        "Invalid key name \"b.c\" in asset object. The key name cannot contain characters \".\", \"$\" or null characters"
    ),
    bad!(
        "unknown language",
        false,
        |t| t["metadata"] = json!({"x": {"language": "klingon"}}),
        "ValidationError",
        "LANGUAGE",
        "MongoDB does not support text search for the language \"klingon\". If you do not understand this error message then please rename key/field \"language\" to something else like \"lang\"."
    ),
    bad!(
        "no fulfillment",
        false,
        |t| t["inputs"][0]["fulfillment"] = json!("pGSA"),
        "InvalidSignature",
        "FULFILLMENT_FORMAT",
        "Fulfillment URI couldn't been parsed"
    ),
    bad!(
        "amount 0",
        false,
        |t| t["outputs"][0]["amount"] = json!("0"),
        "AmountError",
        "AMOUNT_RANGE",
        "`amount` must be greater than 0"
    ),
    bad!(
        "amount 01",
        false,
        |t| t["outputs"][0]["amount"] = json!("01"),
        "AmountError",
        "AMOUNT_FORMAT",
        "Invalid amount: 01"
    ),
    bad!(
        "amount 2^63",
        false,
        |t| t["outputs"][0]["amount"] = json!("9223372036854775808"),
        "AmountError",
        "AMOUNT_RANGE",
        "`amount` must be <= 9000000000000000000"
    ),
    bad!(
        "amounts too large together",
        false,
        |t| {
            t["outputs"][0]["amount"] = json!("9000000000000000000");
            let output = t["outputs"][0].clone();
            t["outputs"] = json!([output, output])
        },
        "AmountError",
        "AMOUNT_RANGE",
        "`amount` must be <= 9000000000000000000"
    ),
    bad!(
        "no outputs",
        false,
        |t| t["outputs"] = json!([]),
        "SchemaValidationError",
        "FIELD_VALUE",
        "[] is too short"
    ),
    bad!(
        "not base58",
        false,
        |t| t["outputs"][0]["public_keys"] = json!(["^".repeat(43)]),
        "ValidationError",
        "KEY_FORMAT",
        "`^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^` is not a public key: "
    ),
    bad!(
        "other owner listed",
        false,
        |t| t["outputs"][0]["public_keys"] =
            json!(["3yfQPHeWAa1MxTX9Zf9176QqcpcnWcanVZZbaHb8B3h9"]),
        "ValidationError",
        "OWNER_MISMATCH",
        "the public_keys of output 0 are not the keys of its condition"
    ),
    bad!(
        "owner listed twice",
        false,
        |t| {
            let key = t["outputs"][0]["public_keys"][0].clone();
            t["outputs"][0]["public_keys"] = json!([key, key])
        },
        "ValidationError",
        "OWNER_MISMATCH",
        "the public_keys of output 0 are not the keys of its condition"
    ),
    bad!(
        "other uri",
        false,
        |t| t["outputs"][0]["condition"]["uri"] = json!(
            "ni:///sha-256;lu6ov4AKkee6KWGnyjOVLBeyuP0bz4-O6_dPi15eYUc?fpt=ed25519-sha-256&cost=131072"
        ),
        "ValidationError",
        "CONDITION_URI",
        "the condition's uri of output 0 is not that of its details, which is `ni:///sha-256;PNYw"
    ),
    bad!(
        "other issuer",
        false,
        |t| t["inputs"][0]["owners_before"] =
            json!(["3yfQPHeWAa1MxTX9Zf9176QqcpcnWcanVZZbaHb8B3h9"]),
        "ValidationError",
        "OWNER_MISMATCH",
        "the owners_before of input 0 are not the owners"
    ),
    bad!(
        "key too long",
        false,
        |t| {
            let key = PublicKey([0; 32]).to_string();
            t["outputs"][0]["condition"]["details"]["public_key"] = json!("1".repeat(11) + &key)
        },
        "ValidationError",
        "KEY_FORMAT",
        "`1111"
    ),
    bad!(
        "key twice",
        false,
        |t| {
            let sub = t["outputs"][0]["condition"]["details"].clone();
            t["outputs"][0]["condition"]["details"] =
                json!({"type": "threshold-sha-256", "threshold": 1, "subconditions": [sub, sub]})
        },
        "ValidationError",
        "CONDITION_DUP_KEY",
        "the condition names the key 4K9sWUMFwTgaDGPfdynrbxWqWS6sWmKbZoTjxLtVUibD twice"
    ),
    bad!(
        "threshold too high",
        false,
        |t| {
            let sub = t["outputs"][0]["condition"]["details"].clone();
            t["outputs"][0]["condition"]["details"] =
                json!({"type": "threshold-sha-256", "threshold": 2, "subconditions": [sub]})
        },
        "ValidationError",
        "CONDITION_LIMIT",
        "the threshold is 2 of 1 subconditions: 1 to 1 would be fine"
    ),
    bad!(
        "too many outputs",
        false,
        |t| {
            let mut output = t["outputs"][0].clone();
            output["condition"]["uri"] = json!("ni:///sha-256;?cost=1cost=1");
            output["public_keys"] = json!([]);
            t["outputs"] = vec![output; 257].into();
        },
        "ValidationError",
        "TX_LIMIT",
        "the transaction has 1 inputs and 257 outputs: 256 and 256 fit"
    ),
];

#[test]
fn bad_transactions_are_told_why() {
    let published = published();
    for bad in SCHEMA.iter().chain(BEYOND) {
        let mut value = published[usize::from(bad.transfer)].clone();
        (bad.change)(&mut value);
        let refusal = parse_json(&sealed(value)).expect_err(bad.what);
        let text = refusal.to_string();
        assert!(text.starts_with(bad.text), "{}: {text}", bad.what);
        assert_eq!((refusal.class(), refusal.code()), (bad.class, bad.code), "{}", bad.what);
    }
}

#[test]
fn ids_and_bytes_are_checked_first() {
    let good = &published()[0];
    let id = good["id"].as_str().unwrap();
    let mut other = good.clone();
    other["metadata"]["sequence"] = json!(1);
    let refusal = parse_json(&other).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        format!(
            "The transaction's id '{id}' isn't equal to the hash of its body, i.e. it's not valid."
        )
    );
    assert_eq!((refusal.class(), refusal.code()), ("InvalidHash", "TX_ID_MISMATCH"));
    other["id"] = Json::Null;
    assert!(parse_json(&other).unwrap_err().to_string().contains("'None'"));
    remove(&mut other, "id");
    assert_eq!(parse_json(&other).unwrap_err(), Refusal::IdMissing);
    let parse_text = |text: &str| parse(text.as_bytes().into(), Strictness::Strict).unwrap_err();
    assert_eq!(parse_text("").code(), "JSON_EMPTY");
    assert_eq!(parse_text("{").code(), "JSON_SYNTAX");
    assert_eq!(parse_text(r#"{"id":1,"id":1}"#).code(), "JSON_DUPLICATE_KEY");
    assert_eq!(parse_text("[]").to_string(), "[] is not of type 'object'");
    assert_eq!(parse_text(&" ".repeat(TRANSACTION_BYTES_MAX + 1)).code(), "TX_TOO_LARGE");
}

#[test]
fn a_weak_key_owns_nothing() {
    let signer = SigningKey::from_seed([1; 32]);
    let mut weak = [0; 32];
    weak[0] = 1;
    for (key, code) in [(weak, "KEY_WEAK"), ([0xFF; 32], "KEY_FORMAT")] {
        let made = create("null", "null", &[Share::to(PublicKey(key), 1)], &signer).unwrap();
        let refusal = parse(made.into(), Strictness::Strict).unwrap_err();
        assert_eq!(refusal.code(), code, "{refusal}");
    }
}

#[test]
fn floats_and_large_integers_are_free_form_data() {
    let signer = SigningKey::from_seed([1; 32]);
    let data =
        r#"{"a":[1.50,1e21,1000000000000000000000000000000,-0,"\u00e9\u001f"],"language":"en"}"#;
    let made = create(data, "null", &[Share::to(signer.public(), 1)], &signer).unwrap();
    let text = String::from_utf8(made.clone()).unwrap();
    assert!(text.contains(r#"[1.5,1e+21,1000000000000000000000000000000,0,"é\u001F"]"#), "{text}");
    let parsed = parse(made.into(), Strictness::Strict).unwrap();
    assert!(admit(vec![parsed])[0].is_ok());
}

#[test]
fn a_bad_signature_spoils_its_own_transaction_only() {
    let mut values = published();
    let mut claims = values[1]["inputs"][0]["fulfillment"].as_str().unwrap().to_owned();
    claims.replace_range(60..61, if &claims[60..61] == "A" { "B" } else { "A" });
    values[1]["inputs"][0]["fulfillment"] = claims.into();
    values[1] = sealed(values[1].clone());
    let parsed: Vec<Parsed> = values.iter().map(|value| parse_json(value).unwrap()).collect();
    let held: Vec<bool> = admit(parsed).iter().map(Result::is_ok).collect();
    assert_eq!(held, [true, false, true, true, true]);
}

/// The rows after the published transactions before `upto`.
fn view_after(upto: usize, asked: &Parsed) -> View {
    let mut view = View::default();
    let parsed: Vec<Parsed> =
        published().iter().take(upto).map(|value| parse_json(value).unwrap()).collect();
    let mut asked_for = Reads::default();
    reads(asked, &electorate(), &mut asked_for);
    for id in asked_for.transactions {
        view.transactions.insert(id, parsed.iter().any(|made| made.id() == id));
    }
    for at in asked_for.outputs {
        let maker = parsed.iter().find(|made| made.id() == at.transaction);
        let spender = parsed.iter().find(|one| one.inputs().iter().any(|i| i.spends == Some(at)));
        let output = maker.and_then(|made| Some((made, made.outputs().get(at.index as usize)?)));
        let state = match (spender, output) {
            (Some(by), _) => OutputState::Spent(by.id()),
            (None, Some((made, output))) => OutputState::Unspent(OutputRow {
                asset: made.asset(),
                amount: output.amount,
                condition: output.condition.fingerprint(),
                owners: output.public_keys.clone().into(),
            }),
            (None, None) => OutputState::Unknown,
        };
        view.outputs.insert(at, state);
    }
    view
}

#[test]
fn state_has_its_say_in_upstreams_order() {
    let published = published();
    let transfer = |change: fn(&mut Json)| {
        let mut value = published[1].clone();
        change(&mut value);
        parse_json(&sealed(value)).unwrap()
    };
    let good = parse_json(&published[1]).unwrap();
    let told = |upto, asked: &Parsed| {
        check(&view_after(upto, asked), asked, &electorate())
            .map_err(|refusal| (refusal.code(), refusal.to_string()))
    };
    assert_eq!(told(1, &good), Ok(()));
    let created = published[0]["id"].as_str().unwrap();
    for (upto, asked, code, text) in [
        (2, good.clone(), "TX_DUPLICATE", format!("transaction `{}` already exists", good.id())),
        (0, good.clone(), "INPUT_NOT_FOUND", format!("input `{created}` doesn't exist")),
        (1, transfer(|t| t["inputs"][0]["fulfills"]["output_index"] = json!(9)), "INPUT_NOT_FOUND", format!("input `{created}` doesn't exist: it has no output 9")),
        (2, transfer(|t| t["metadata"] = Json::Null), "DOUBLE_SPEND", format!("input `{created}` was already spent")),
        (1, transfer(|t| t["asset"]["id"] = json!("a".repeat(64))), "ASSET_MISMATCH", "The asset id of the input does not match the asset id of the transaction".to_owned()),
        (1, transfer(|t| t["outputs"][0]["amount"] = json!("2")), "AMOUNT_MISMATCH", "The amount used in the inputs `1` needs to be same as the amount used in the outputs `2`".to_owned()),
        (1, transfer(|t| t["inputs"][0]["fulfillment"] = json!("pGSAICw7Ul-c2lG6NFbHp3FbKRC7fivQcNGO7GS4wV3A-1QggUARCMty2JBK_OyPJntWEFxDG4-VbKMy853NtqwnPib5QUJIuwPQa1Y4aN2iIBuoqGE85Pmjcc1ScG9FCPSQHacK")), "SIG_INVALID", "Transaction signature is invalid.".to_owned()),
        (1, transfer(|t| t["inputs"][0]["owners_before"] = json!([])), "OWNER_MISMATCH", "the owners_before of input 0 are not the owners: the keys whose condition it fulfils would be fine".to_owned()),
    ] {
        assert_eq!(told(upto, &asked), Err((code, text)));
    }
    let twice = transfer(|t| {
        let input = t["inputs"][0].clone();
        t["inputs"] = json!([input, input])
    });
    assert_eq!(
        told(1, &twice),
        Err(("INPUT_DUPLICATE", format!("tx \"{}\" spends inputs twice", twice.id())))
    );
}

#[test]
#[should_panic(expected = "was not asked for")]
fn a_row_that_was_not_asked_for_is_a_bug() {
    let _ = check(&View::default(), &parse_json(&published()[0]).unwrap(), &electorate());
}

proptest! {
    #[test]
    fn no_mutation_makes_it_panic(
        which in 0usize..10,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        seal in any::<bool>(),
    ) {
        let mut values = published();
        values.extend(Operation::ALL.map(super::operation::tests::sound));
        let mut bytes = values[which].to_string().into_bytes();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let (true, Ok(value @ Json::Object(_))) = (seal, serde_json::from_slice(&bytes)) {
            bytes = sealed(value).to_string().into_bytes();
        }
        let _ = claimed_id(&bytes[..cut.index(bytes.len())]);
        for strictness in [Strictness::Strict, Strictness::Lenient] {
            if let Ok(parsed) = parse(bytes.as_slice().into(), strictness) {
                let _ = admit(vec![parsed]);
            }
        }
    }
}
