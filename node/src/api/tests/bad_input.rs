//! Bad transactions, one table for both versions: the rows of the A-table of the design's page on
//! reliability that a body can hold. v1 says it in upstream's words, v2 by a stable code; what
//! only numbers tell apart, v1 takes and v2 does not.

use cairn_ledger::{
    ids::PublicKey,
    signature::SigningKey,
    transaction::build::{self, Share},
};
use sha3::{Digest, Sha3_256};

use super::*;

/// The text with a piece of it replaced, under the id that is then right. Signatures no longer hold.
fn changed(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} is not in {text}");
    sealed(&text.replace(from, to))
}

/// Under the id that is right for it. The text must be canonical.
fn sealed(text: &str) -> String {
    let start = text.find(r#""id":""#).unwrap() + 6;
    let last = text.rfind(r#""id":""#).unwrap() + 6;
    // A TRANSFER names its asset by `id` too, before its own.
    let at = if text[..start].contains(r#""asset":{"#) { last } else { start };
    let (head, tail) = (&text[..at - 1], &text[at + 65..]);
    let id = TransactionId(Sha3_256::digest(format!("{head}null{tail}")).into());
    format!("{head}\"{id}\"{tail}")
}

fn saying(data: &str) -> String {
    let key = key(1);
    let made = build::create(data, "null", &[Share::to(key.public(), 1)], &key).unwrap();
    String::from_utf8(made).unwrap()
}

/// What a row says: its number, why, the body, v1's message (nothing: 202), v2's status and code.
type Row = (&'static str, &'static str, String, &'static str, u16, &'static str);

struct Chain {
    world: World,
    /// One token of key 1, there and not spent.
    made: Signed,
    /// Another, spent by `moved`.
    spent: Signed,
    moved: Signed,
    /// One more, whose spending waits for a decision.
    contested: Signed,
    waits: Signed,
    /// Signed and never sent.
    never: Signed,
    /// Ten tokens that key 1 and key 2 own together.
    shared: Signed,
}

impl Chain {
    async fn new() -> Self {
        let world = World::new();
        let (made, spent, contested) = (asset("made"), asset("spent"), asset("contested"));
        let moved = given(&spent, 2);
        let owners = [key(1).public(), key(2).public()];
        let shared = create(&key(1), "shared", &[(&owners, 10)]);
        for signed in [&made, &spent, &moved, &contested, &shared] {
            world.commit(signed).await;
        }
        let waits = given(&contested, 2);
        let never = asset("never sent");
        Self { world, made, spent, moved, contested, waits, never, shared }
    }

    fn fill(&self, text: &str) -> String {
        let ids = [
            ("{made}", &self.made),
            ("{spent}", &self.spent),
            ("{moved}", &self.moved),
            ("{never}", &self.never),
        ];
        let fill =
            |text: String, (name, of): &(&str, &Signed)| text.replace(name, &of.id.to_string());
        ids.iter().fold(text.to_owned(), fill)
    }

    async fn hears(&self, rows: Vec<Row>) {
        let mut wrong = Vec::new();
        for (row, why, body, v1, status, code) in rows {
            let reply = self.world.post("/api/v1/transactions", body.clone()).await;
            let id = serde_json::from_str::<Value>(&body).unwrap_or_default()["id"].clone();
            let v1 = self.fill(v1).replace("{id}", id.as_str().unwrap_or_default());
            let wanted = json!({"message": v1, "status": 400});
            let takes = v1.is_empty() && reply.status == 202;
            if !takes && (reply.status.as_u16(), reply.json()) != (400, wanted) {
                wrong.push(format!("{row} {why}, v1: {} {}", reply.status, reply.text));
            }
            let reply = self.world.post("/api/v2/transactions", body).await;
            let told = (reply.status.as_u16(), reply.json()["code"].clone());
            if told != (status, json!(code)) && !(code.is_empty() && told.0 == status) {
                wrong.push(format!("{row} {why}, v2: {} {}", reply.status, reply.text));
            }
        }
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    }
}

#[tokio::test]
async fn bodies_that_are_no_transactions() {
    let good = text(&asset("new"));
    let with = |from: &str, to: &str| good.replace(from, to);
    let metadata = |value: &str| with(r#""metadata":null"#, &format!(r#""metadata":{value}"#));
    let resealed = |from: &str, to: &str| changed(&good, from, to);
    let outputs = |value: &str| {
        let start = good.find(r#""outputs":"#).unwrap();
        let end = good.find(r#","version""#).unwrap();
        sealed(&format!("{}\"outputs\":{value}{}", &good[..start], &good[end..]))
    };
    let large = saying(&format!(r#"{{"x":"{}"}}"#, "x".repeat(65 * 1024)));
    #[rustfmt::skip]
    let rows: Vec<Row> = vec![
        ("A1",  "nothing",                 String::new(),                      "empty text: one JSON value was expected", 400, "JSON_EMPTY"),
        ("A2",  "half of it",              good[..good.len() / 2].to_owned(),  "line 1, column 353: a key in double quotes was expected", 400, "JSON_SYNTAX"),
        ("A2",  "more than it",            format!("{good}x"),                 "line 1, column 705: nothing may follow the value", 400, "JSON_SYNTAX"),
        ("A4",  "a key twice",             with(r#""version""#, r#""version":"2.0","version""#), "the key version is there twice: each key may be given once", 400, "JSON_DUPLICATE_KEY"),
        ("A4",  "in metadata",             metadata(r#"{"a":1,"a":2}"#),       "the key metadata.a is there twice: each key may be given once", 400, "JSON_DUPLICATE_KEY"),
        ("A4",  "in another spelling",     metadata(r#"{"a":1,"\u0061":2}"#),  "the key metadata.a is there twice: each key may be given once", 400, "JSON_DUPLICATE_KEY"),
        ("A6",  "a float",                 saying(r#"{"n":1.5}"#),             "",  400, "JSON_NUMBER"),
        ("A6",  "an exponent",             saying(r#"{"n":1e3}"#),             "",  400, "JSON_NUMBER"),
        ("A6",  "an integer past 2^53",    saying(r#"{"n":9007199254740992}"#), "", 400, "JSON_NUMBER"),
        ("A7",  "NaN",                     metadata(r#"{"a":NaN}"#),           "line 1, column 369: a JSON value was expected", 400, "JSON_SYNTAX"),
        ("A7",  "Infinity",                metadata(r#"{"a":-Infinity}"#),     "line 1, column 370: a digit was expected", 400, "JSON_SYNTAX"),
        ("A7",  "too large for a double",  metadata(r#"{"a":1e400}"#),         "line 1, column 369: a number must fit a double", 400, "JSON_SYNTAX"),
        ("A13", "a field nobody knows",    resealed(r#""version":"2.0""#, r#""version":"2.0","zone":1"#), "Invalid transaction schema: Additional properties are not allowed ('zone' was unexpected)", 400, "FIELD_UNKNOWN"),
        ("A13", "inside an output",        resealed(r#"{"amount""#, r#"{"Amount":"1","amount""#), "Invalid transaction schema: Additional properties are not allowed ('Amount' was unexpected)", 400, "FIELD_UNKNOWN"),
        ("A14", "a field that is missing", resealed(r#""metadata":null,"#, ""), "Invalid transaction schema: 'metadata' is a required property", 400, "FIELD_MISSING"),
        ("A14", "null for a list",         outputs("null"), "Invalid transaction schema: None is not of type 'array'", 400, "FIELD_TYPE"),
        ("A14", "a number for a text",     resealed(r#""amount":"1""#, r#""amount":1"#), "Invalid transaction schema: 1 is not of type 'string'", 400, "FIELD_TYPE"),
        ("A14", "empty metadata",          resealed(r#""metadata":null"#, r#""metadata":{}"#), "Invalid transaction schema: {} is not valid under any of the given schemas", 400, "FIELD_TYPE"),
        ("A14", "another version",         resealed(r#""version":"2.0""#, r#""version":"3.0""#), r#"Invalid transaction schema: '3.0' does not match '^2\\.0$'"#, 400, "FIELD_VALUE"),
        ("A14", "a key that starts with $", changed(&good, r#"{"note":"new"}"#, r#"{"$note":"new"}"#), r#"Invalid transaction (ValidationError): Invalid key name "$note" in asset object. The key name cannot contain characters ".", "$" or null characters"#, 400, "KEY_NAME"),
        ("A14", "a language of no search", changed(&good, r#"{"note":"new"}"#, r#"{"language":"klingon"}"#), r#"Invalid transaction (ValidationError): MongoDB does not support text search for the language "klingon". If you do not understand this error message then please rename key/field "language" to something else like "lang"."#, 400, "LANGUAGE"),
        ("A16", "another id",              with(&asset("new").id.to_string(), &"0".repeat(64)), "Invalid transaction (InvalidHash): The transaction's id '0000000000000000000000000000000000000000000000000000000000000000' isn't equal to the hash of its body, i.e. it's not valid.", 400, "TX_ID_MISMATCH"),
        ("A38", "more than 64 KiB",        large,                              "Invalid transaction (ValidationError): the transaction has 67258 bytes, at most 65536 fit", 413, "TX_TOO_LARGE"),
    ];
    Chain::new().await.hears(rows).await;
}

#[tokio::test]
async fn keys_conditions_and_amounts_that_are_none() {
    let good = text(&asset("new"));
    let owner = key(1).public();
    let owned_by = |key: &str| changed(&good, &owner.to_string(), key);
    let amount = |text: &str| changed(&good, r#""amount":"1""#, &format!(r#""amount":"{text}""#));
    // y = 1 is the neutral element; y = 2 has no x; 2^255 - 18 is 1 in another spelling.
    let point = |first: u8, rest: u8, last: u8| {
        let mut bytes = [rest; 32];
        (bytes[0], bytes[31]) = (first, last);
        PublicKey(bytes).to_string()
    };
    let share = |details: &str| {
        let both = create(&key(1), "new", &[(&[owner, key(2).public()], 1)]);
        let text = text(&both);
        let start = text.find(r#""details":{"#).unwrap();
        let end = text.find(r#","uri""#).unwrap();
        sealed(&format!("{}\"details\":{details}{}", &text[..start], &text[end..]))
    };
    let leaf = |seed: u32| {
        format!(r#"{{"public_key":"{}","type":"ed25519-sha-256"}}"#, key(seed).public())
    };
    let threshold = |of: &str, threshold: u32| {
        format!(r#"{{"subconditions":[{of}],"threshold":{threshold},"type":"threshold-sha-256"}}"#)
    };
    let many: Vec<String> = (1..=33).map(leaf).collect();
    let deep = (0..4).fold(leaf(1), |inner, _| threshold(&inner, 1));
    let deep = threshold(&deep, 1);
    #[rustfmt::skip]
    let rows: Vec<Row> = vec![
        ("A20", "a key that is too short", owned_by("abc"),                    "Invalid transaction schema: ['abc'] is not valid under any of the given schemas", 400, "KEY_FORMAT"),
        ("A20", "letters base58 lacks",    owned_by(&"l".repeat(44)),          "Invalid transaction (ValidationError): `llllllllllllllllllllllllllllllllllllllllllll` is not a public key: the base58 of 32 bytes that encode a point of edwards25519 would be", 400, "KEY_FORMAT"),
        ("A20", "not on the curve",        owned_by(&point(2, 0, 0)),          "Invalid transaction (ValidationError): `8opHzTAnfzRpPEx21XtnrVTX28YQuCpAjcn1PczScKh` is not a public key: the base58 of 32 bytes that encode a point of edwards25519 would be", 400, "KEY_FORMAT"),
        ("A20", "not canonical",           owned_by(&point(0xee, 0xff, 0x7f)), "Invalid transaction (ValidationError): `H5xSWNRAbqKddKjrabehyU8drL3Dk4LgZJiEJc9rGGyC` is not a public key: the base58 of 32 bytes that encode a point of edwards25519 would be", 400, "KEY_FORMAT"),
        ("A21", "anyone can sign for it",  owned_by(&point(1, 0, 0)),          "Invalid transaction (ValidationError): the public key 4uQeVj5tqViQh7yWWGStvkEG1Zmhx6uasJtWCJziofM is weak: anyone can make signatures for it", 400, "KEY_WEAK"),
        ("A23", "signed for other bytes",  spoiled(&asset("new")),             "Invalid transaction (InvalidSignature): Transaction signature is invalid.", 400, "SIG_INVALID"),
        ("A26", "threshold 0",             share(&threshold(&format!("{},{}", leaf(1), leaf(2)), 0)), "Invalid transaction schema: {'subconditions': [{'public_key': 'H9iJBxFzoz4X9U4WS2x6YVX5LzuPmdHgwtXVjuB5ZhGb', 'type': 'ed25519-s is not valid under any of the given schemas", 400, "CONDITION_LIMIT"),
        ("A26", "more than there are",     share(&threshold(&format!("{},{}", leaf(1), leaf(2)), 3)), "Invalid transaction (ValidationError): the threshold is 3 of 2 subconditions: 1 to 2 would be fine", 400, "CONDITION_LIMIT"),
        ("A26", "33 leaves",               share(&threshold(&many.join(","), 1)), "Invalid transaction (ValidationError): the condition has 33 keys, at most 32 fit", 400, "CONDITION_LIMIT"),
        ("A26", "five levels",             share(&deep),                       "Invalid transaction (ValidationError): conditions may be nested 4 deep", 400, "CONDITION_LIMIT"),
        ("A26", "one key twice",           share(&threshold(&format!("{},{}", leaf(1), leaf(1)), 1)), "Invalid transaction (ValidationError): the condition names the key H9iJBxFzoz4X9U4WS2x6YVX5LzuPmdHgwtXVjuB5ZhGb twice: each key may be named once", 400, "CONDITION_DUP_KEY"),
        ("A27", "nothing",                 amount("0"),                        "Invalid transaction (AmountError): `amount` must be greater than 0", 400, "AMOUNT_RANGE"),
        ("A27", "less than nothing",       amount("-1"),                       "Invalid transaction schema: '-1' does not match '^[0-9]{1,20}$'", 400, "AMOUNT_FORMAT"),
        ("A27", "a zero in front",         amount("01"),                       "Invalid transaction (AmountError): Invalid amount: 01", 400, "AMOUNT_FORMAT"),
        ("A27", "an exponent",             amount("1e3"),                      "Invalid transaction schema: '1e3' does not match '^[0-9]{1,20}$'", 400, "AMOUNT_FORMAT"),
        ("A27", "2^63",                    amount("9223372036854775808"),      "Invalid transaction (AmountError): `amount` must be <= 9000000000000000000", 400, "AMOUNT_RANGE"),
        ("A27", "21 digits",               amount("100000000000000000000"),    "Invalid transaction schema: '100000000000000000000' does not match '^[0-9]{1,20}$'", 400, "AMOUNT_FORMAT"),
        ("A34", "another's keys in public_keys", changed(&good, &format!(r#""public_keys":["{owner}"]"#), &format!(r#""public_keys":["{}"]"#, key(2).public())), "Invalid transaction (ValidationError): the public_keys of output 0 are not the keys of its condition: each of them once would be fine", 400, "OWNER_MISMATCH"),
        ("A34", "another issuer",          changed(&good, &format!(r#""owners_before":["{owner}"]"#), &format!(r#""owners_before":["{}"]"#, key(2).public())), "Invalid transaction (ValidationError): the owners_before of input 0 are not the owners: the keys whose condition it fulfils would be fine", 400, "OWNER_MISMATCH"),
    ];
    Chain::new().await.hears(rows).await;
}

#[tokio::test]
async fn transfers_that_the_state_does_not_allow() {
    let chain = Chain::new().await;
    let (one, two) = (key(1), key(2));
    let to = [one.public()];
    let moves = |asset: &Signed, inputs: &[(&SigningKey, &Signed)], amount: u64| {
        let inputs: Vec<_> = inputs.iter().map(|(key, of)| (*key, of.output(0))).collect();
        text(&transfer(asset.id, &inputs, &[(&to, amount)]))
    };
    let Chain { made, spent, moved, contested, never, shared, .. } = &chain;
    let beyond = text(&transfer(made.id, &[(&one, made.output(7))], &[(&to, 1)]));
    #[rustfmt::skip]
    let rows: Vec<Row> = vec![
        ("A25", "one signature of two",   moves(shared, &[(&one, shared)], 10),               "Invalid transaction (InvalidSignature): Transaction signature is invalid.", 400, "CONDITION_UNMET"),
        ("A28", "more than it spends",    moves(made, &[(&one, made)], 2),                    "Invalid transaction (AmountError): The amount used in the inputs `1` needs to be same as the amount used in the outputs `2`", 400, "AMOUNT_MISMATCH"),
        ("A30", "one output twice",       moves(made, &[(&one, made), (&one, made)], 2),      r#"Invalid transaction (DoubleSpend): tx "{id}" spends inputs twice"#, 400, "INPUT_DUPLICATE"),
        ("A31", "nothing that is there",  moves(never, &[(&one, never)], 1),                "Invalid transaction (InputDoesNotExist): input `{never}` doesn't exist", 400, "INPUT_NOT_FOUND"),
        ("A31", "an output it lacks",     beyond,                                             "Invalid transaction (InputDoesNotExist): input `{made}` doesn't exist: it has no output 7", 400, "INPUT_NOT_FOUND"),
        ("A32", "spent already",          moves(spent, &[(&one, spent)], 1),                  "Invalid transaction (DoubleSpend): input `{spent}` was already spent", 409, "DOUBLE_SPEND"),
        ("A33", "two assets",             moves(made, &[(&one, made), (&one, contested)], 2), "Invalid transaction (AssetIdMismatch): All inputs of all transactions passed need to have the same asset id", 400, "ASSET_MISMATCH"),
        ("A33", "another asset's id",     moves(spent, &[(&one, made)], 1),                   "Invalid transaction (AssetIdMismatch): The asset id of the input does not match the asset id of the transaction", 400, "ASSET_MISMATCH"),
        ("A34", "spent by another key",   moves(made, &[(&two, made)], 1),                    "Invalid transaction (InvalidSignature): Transaction signature is invalid.", 400, "SIG_INVALID"),
        ("A35", "the same again",         text(moved),                                        "Invalid transaction (DuplicateTransaction): transaction `{moved}` already exists", 200, ""),
    ];
    chain.hears(rows).await;
    chain.world.order.stuck.store(true, Ordering::SeqCst);
    assert_eq!(chain.world.post("/api/v1/transactions", text(&chain.waits)).await.status, 202);
    let reply =
        chain.world.post("/api/v2/transactions", moves(contested, &[(&one, contested)], 1)).await;
    let told = (reply.status.as_u16(), reply.json()["code"].clone());
    assert_eq!(told, (409, json!("INPUT_PENDING")), "A32, while another spender waits");
    let again = chain.world.post("/api/v1/transactions", text(&chain.waits)).await;
    let told = (again.status.as_u16(), again.text);
    assert_eq!(told, (202, text(&chain.waits)), "who lost an answer may ask again");
}
