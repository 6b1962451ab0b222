use serde_json::{Value as Json, json};

use super::*;
use crate::{
    condition::Condition,
    election::Electorate,
    genesis::tests::founders,
    ids::{OutputReference, TransactionId},
    signature::SigningKey,
    transaction::{
        build::{self, Share, Spend},
        operation_of,
        tests::{parse_json, sealed},
    },
};

const VALUE: &str = "WlKxCl5KJSZxwHVIXxJBn0r4uTgwz2dbOuT1XQzGrCw=";

fn member() -> SigningKey {
    SigningKey::from_seed([129; 32])
}

/// What upstream would make of that operation.
pub(in crate::transaction) fn sound(operation: Operation) -> Json {
    let voters = Electorate::of(&founders(4).0);
    let election = TransactionId([7; 32]);
    let proposal = json!({
        "node_id": "af1c9d45", "power": 1, "public_key": {"type": "ed25519-base64", "value": VALUE},
        "seed": "5ba2dcd6-9ef8-4a9e-b59a-1a5d2d2f5d2c",
    });
    let spend = [Spend::of(member().public(), OutputReference { transaction: election, index: 0 })];
    let made = match operation {
        Operation::Create => {
            build::create("null", "null", &[Share::vote_for(election, 1)], &member())
        }
        Operation::ValidatorElection => {
            build::election(operation, &proposal.to_string(), &voters, &member())
        }
        Operation::ChainMigrationElection => {
            build::election(operation, r#"{"seed":"x"}"#, &voters, &member())
        }
        Operation::Vote => {
            build::vote(election, &spend, &[Share::vote_for(election, 1)], &[&member()])
        }
        Operation::Transfer => build::transfer(
            election,
            "null",
            &spend,
            &[Share::to(member().public(), 1)],
            &[&member()],
        ),
    };
    serde_json::from_slice(&made.unwrap()).unwrap()
}

/// What is said of it after a change: nothing, or class, code and text.
fn told(operation: Operation, change: impl Fn(&mut Json)) -> String {
    let mut value = sound(operation);
    change(&mut value);
    match parse_json(&sealed(value)) {
        Ok(_) => String::new(),
        Err(why) => format!("{} {} {why}", why.class(), why.code()),
    }
}

#[test]
fn operations_are_read_by_their_names() {
    for operation in Operation::ALL {
        if operation != Operation::Create {
            let value = sound(operation);
            let parsed = parse_json(&value).unwrap();
            assert_eq!(
                (parsed.operation(), operation_of(parsed.bytes())),
                (operation, Some(operation))
            );
            let own = parsed.asset() == parsed.id();
            assert_eq!(own, operation.makes_asset(), "{operation:?}");
        }
    }
    assert_eq!(operation_of(b"{}"), None);
}

/// A threshold of one key, which upstream's schema lets nobody vote with.
fn one_of_one() -> Condition {
    let subconditions = vec![Condition::Ed25519(member().public())];
    Condition::Threshold { threshold: 1, subconditions }
}

fn threshold(value: &mut Json) {
    let output = &mut value["outputs"][0];
    let single = output["condition"]["details"].clone();
    output["condition"] = json!({
        "details": {"subconditions": [single], "threshold": 1, "type": "threshold-sha-256"},
        "uri": one_of_one().fingerprint().uri(),
    });
}

#[test]
fn faults_of_elections_and_votes_are_told_in_upstreams_words() {
    fn data(value: &mut Json) -> &mut Json {
        &mut value["asset"]["data"]
    }
    let proposed = Operation::ValidatorElection;
    let migration = Operation::ChainMigrationElection;
    let vote = Operation::Vote;
    let fault = |code: &str, text: &str| format!("SchemaValidationError {code} {text}");
    let kind = |text: &str| fault("FIELD_TYPE", text);
    // At most 100 bytes of what came in go out again, the first quote included.
    let uri = one_of_one().fingerprint().uri();
    let bad_uri = fault("FIELD_VALUE", &format!("'{uri:.99} does not match '{URI_PATTERN}'"));
    let unknown = |name: &str| {
        fault(
            "FIELD_UNKNOWN",
            &format!("Additional properties are not allowed ('{name}' was unexpected)"),
        )
    };
    let missing = |name: &str| fault("FIELD_MISSING", &format!("'{name}' is a required property"));
    let spelled = "InvalidPublicKey ELECTION_KEY Invalid `type` specified for public key `value`";
    let sized = "InvalidPublicKey ELECTION_KEY Public key should be of size 32 bytes";
    type Change = fn(&mut Json);
    #[rustfmt::skip]
    let table: Vec<(Operation, Change, String, &str)> = vec![
        (proposed,  |_| {},                                      String::new(), "as upstream makes it"),
        (migration, |_| {},                                      String::new(), "as upstream makes it"),
        (vote,      |_| {},                                      String::new(), "as upstream makes it"),
        (proposed,  |t| drop(data(t).as_object_mut().unwrap().remove("seed")), String::new(), "no seed is needed"),
        (proposed,  |t| *data(t) = Json::Null,                   kind("None is not of type 'object'"), "upstream falls over it"),
        (proposed,  |t| data(t)["x"] = json!(1),                 unknown("x"), "another field"),
        (proposed,  |t| data(t)["node_id"] = json!(5),           kind("5 is not of type 'string'"), "a number"),
        (proposed,  |t| data(t)["seed"] = Json::Null,            kind("None is not of type 'string'"), "null"),
        (proposed,  |t| drop(data(t).as_object_mut().unwrap().remove("node_id")), missing("node_id"), "whose node"),
        (proposed,  |t| drop(data(t).as_object_mut().unwrap().remove("public_key")), missing("public_key"), "which key"),
        (proposed,  |t| drop(data(t).as_object_mut().unwrap().remove("power")), missing("power"), "what power"),
        (proposed,  |t| *data(t) = json!({"power": "1"}),        kind("'1' is not of type 'integer'"), "wrong before missing"),
        (proposed,  |t| *data(t) = json!({}),                    missing("node_id"), "the first that is missing"),
        (proposed,  |t| data(t)["power"] = json!(1.0),           kind("1.0 is not of type 'integer'"), "a float"),
        (proposed,  |t| data(t)["power"] = json!(true),          kind("True is not of type 'integer'"), "a boolean"),
        (proposed,  |t| data(t)["power"] = json!(-1),            fault("FIELD_VALUE", "-1 is less than the minimum of 0"), "less than none"),
        (proposed,  |t| data(t)["public_key"] = json!(VALUE),    kind(&format!("'{VALUE}' is not of type 'object'")), "a key alone"),
        (proposed,  |t| data(t)["public_key"] = json!({"type": "ed25519-base64"}), missing("value"), "a type alone"),
        (proposed,  |t| data(t)["public_key"] = json!({"value": VALUE}), missing("type"), "a value alone"),
        (proposed,  |t| data(t)["public_key"]["x"] = json!(1),   unknown("x"), "another field"),
        (proposed,  |t| data(t)["public_key"]["value"] = json!(1), kind("1 is not of type 'string'"), "a number"),
        (proposed,  |t| data(t)["public_key"]["type"] = json!(1), kind("1 is not of type 'string'"), "a number"),
        (proposed,  |t| data(t)["public_key"]["type"] = json!("ed25519-base58"),
            fault("FIELD_VALUE", "'ed25519-base58' is not one of ['ed25519-base16', 'ed25519-base32', 'ed25519-base64']"), "another encoding"),
        (proposed,  |t| data(t)["public_key"]["type"] = json!("ed25519-base16"), spelled.to_owned(), "in another encoding than it says"),
        (proposed,  |t| data(t)["public_key"]["value"] = json!("AAAA"), sized.to_owned(), "three bytes"),
        (proposed,  |t| { data(t)["public_key"]["value"] = json!("AAAA"); threshold(t) }, bad_uri.clone(), "outputs before the key"),
        (proposed,  |t| t["asset"] = json!({"id": "a".repeat(64)}), unknown("id"), "it makes its own asset"),
        (proposed,  |t| t["metadata"] = json!({"$x": 1}),
            "ValidationError KEY_NAME Invalid key name \"$x\" in metadata object. The key name cannot contain characters \".\", \"$\" or null characters".to_owned(), "metadata is free, within bounds"),
        (migration, |t| *data(t) = Json::Null,                   String::new(), "upstream's schema lets it"),
        (migration, |t| data(t)["power"] = json!(1),             unknown("power"), "nothing is proposed but to go"),
        (migration, |t| data(t)["seed"] = json!(1),              kind("1 is not of type 'string'"), "a number"),
        (migration, threshold,                                   bad_uri.clone(), "votes belong to one key each"),
        (vote,      threshold,                                   bad_uri.clone(), "votes belong to one key each"),
        (vote,      |t| t["asset"] = json!({"data": null}),      unknown("data"), "it makes nothing"),
        (vote,      |t| t["inputs"][0]["fulfills"] = Json::Null, kind("None is not of type 'object'"), "it spends"),
        (vote,      |t| t["inputs"] = json!([]),                 fault("FIELD_VALUE", "[] is too short"), "it spends"),
        (proposed,  |t| t["inputs"] = json!([]),                 fault("FIELD_VALUE", "[] is too short"), "somebody proposes"),
    ];
    for (operation, change, wanted, why) in table {
        assert_eq!(told(operation, change), wanted, "{why}");
    }
}

#[test]
fn a_proposed_key_is_spelled_as_rfc_4648_says() {
    let hex = "5A52B10A5E4A252671C075485F12419F4AF8B93830CF675B3AE4F55D0CC6AC2C";
    let base32 = "LJJLCCS6JISSM4OAOVEF6ESBT5FPROJYGDHWOWZ24T2V2DGGVQWA====";
    #[rustfmt::skip]
    let table = [
        ("base16", hex.to_owned(),                Some(""), "32 bytes"),
        ("base16", hex.to_lowercase(),            None,     "Python's decoder knows no small digits"),
        ("base16", format!("{hex}0"),             None,     "half a byte"),
        ("base16", hex[2..].to_owned(),           Some("size"), "31 bytes"),
        ("base16", format!("{hex}="),             None,     "nothing to fill up"),
        ("base16", String::new(),                 Some("size"), "no bytes"),
        ("base32", base32.to_owned(),             Some(""), "32 bytes"),
        ("base32", base32.replace('=', ""),       None,     "not filled up"),
        ("base32", base32.to_lowercase(),         None,     "small letters"),
        ("base32", "========".to_owned(),         None,     "nothing but filling"),
        ("base32", "MFRGG===".to_owned(),         Some("size"), "3 bytes"),
        ("base32", "MFR=====".to_owned(),         None,     "a digit that says nothing"),
        ("base64", VALUE.to_owned(),              Some(""), "32 bytes"),
        ("base64", VALUE.replace('=', ""),        None,     "not filled up"),
        ("base64", VALUE.replace('=', "A"),       Some("size"), "33 bytes"),
        ("base64", format!("{VALUE}===="),        None,     "filled up twice"),
        ("base64", VALUE.replace('W', "-"),       None,     "of another alphabet"),
        ("base64", VALUE.replace('W', "é"),       None,     "no digit at all"),
    ];
    for (encoding, value, wanted, why) in table {
        let said = told(Operation::ValidatorElection, |t| {
            t["asset"]["data"]["public_key"] =
                json!({"type": format!("ed25519-{encoding}"), "value": value});
        });
        let wanted = match wanted {
            Some("") => "",
            Some(_) => "InvalidPublicKey ELECTION_KEY Public key should be of size 32 bytes",
            None => "InvalidPublicKey ELECTION_KEY Invalid `type` specified for public key `value`",
        };
        assert_eq!(said, wanted, "{encoding}: {why}");
    }
}
