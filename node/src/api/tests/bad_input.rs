//! What clients send that is wrong, as one table over both versions of the API: each row is
//! one mistake, the code and the detail that API v2 answers with, and API v1's status.

use cairn_ledger::condition::{Condition, Fulfillment};
use sha3::{Digest, Sha3_256};

use cairn_ledger::{ids::PublicKey, signature::SigningKey};

use super::*;

/// Who signs an input, and which condition they mean to fulfil.
type Signs<'a> = (&'a Condition, &'a [&'a SigningKey]);

/// Signs a transaction and names it, however bent it is.
fn seal(mut draft: Value, signs: &[Signs<'_>]) -> String {
    draft["id"] = Value::Null;
    let unsigned = draft.to_string();
    for (at, (condition, keys)) in signs.iter().enumerate() {
        let mut hasher = Sha3_256::new_with_prefix(&unsigned);
        let spends = &draft["inputs"][at]["fulfills"];
        if !spends.is_null() {
            hasher.update(spends["transaction_id"].as_str().unwrap_or_default());
            hasher.update(spends["output_index"].to_string());
        }
        let fulfillment = Fulfillment::sign(condition, &hasher.finalize(), keys).unwrap();
        draft["inputs"][at]["fulfillment"] = json!(fulfillment.to_text());
    }
    draft["id"] = json!(TransactionId(Sha3_256::digest(draft.to_string()).into()));
    draft.to_string()
}

/// Bends a transaction that key 1 signs, then signs it as it is now.
fn bent(signed: &Signed, bend: impl FnOnce(&mut Value)) -> String {
    let mut draft: Value = serde_json::from_slice(&signed.bytes).unwrap();
    let inputs = draft["inputs"].as_array_mut().unwrap();
    inputs.iter_mut().for_each(|input| input["fulfillment"] = Value::Null);
    bend(&mut draft);
    let (one, signer) = (Condition::Ed25519(key(1).public()), key(1));
    let signer = [&signer];
    let inputs = draft["inputs"].as_array().map_or(0, Vec::len);
    let signs: Vec<Signs<'_>> = (0..inputs).map(|_| (&one, &signer[..])).collect();
    seal(draft, &signs)
}

/// Spends an output of keys 1 and 2 with the signature of key 1 alone.
fn half_signed(shared: &Signed) -> String {
    let all = [key(1).public(), key(2).public()];
    let template = transfer(shared.id, &[(&key(1), shared.output(0))], &[(&all, 1)]);
    let mut draft: Value = serde_json::from_slice(&template.bytes).unwrap();
    draft["inputs"][0]["owners_before"] = json!(all);
    draft["inputs"][0]["fulfillment"] = Value::Null;
    let half = Condition::Threshold {
        threshold: 1,
        subconditions: all.iter().copied().map(Condition::Ed25519).collect(),
    };
    seal(draft, &[(&half, &[&key(1)])])
}

fn with_condition(signed: &Signed, details: Value) -> String {
    bent(signed, |draft| draft["outputs"][0]["condition"]["details"] = details)
}

fn ed25519(key: &str) -> Value {
    json!({"type": "ed25519-sha-256", "public_key": key})
}

fn threshold(threshold: u32, of: &[Value]) -> Value {
    json!({"type": "threshold-sha-256", "threshold": threshold, "subconditions": of})
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(ed25519(&key(1).public().to_string()), |inner, _| threshold(1, &[inner]))
}

/// A row: what is wrong, the body, API v2's status and code, a piece of its detail, API v1's
/// status.
type Row = (&'static str, String, u16, &'static str, &'static str, u16);

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table is the point")]
async fn every_mistake_has_its_own_answer() {
    let world = World::new();
    let made = asset("made");
    let moved = given(&made, 2);
    let other = asset("other");
    let shared = create(&key(1), "shared", &[(&[key(1).public(), key(2).public()], 1)]);
    for signed in [&made, &moved, &other, &shared] {
        world.commit(signed).await;
    }
    let new = asset("new");
    let good = text(&new);
    let move_other = given(&other, 2);
    let owner = key(1).public().to_string();
    let many: Vec<_> = (10..43).map(|seed| ed25519(&key(seed).public().to_string())).collect();
    // Of order 8: whoever names it lets anybody sign.
    let weak = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a";
    let weak = PublicKey(hex::decode(weak).unwrap().try_into().unwrap());
    let set = |path: &'static str, value: Value| {
        bent(&new, move |draft| *draft.pointer_mut(path).unwrap() = value)
    };
    let amount = |amount: &str| set("/outputs/0/amount", json!(amount));
    #[rustfmt::skip]
    let table: Vec<Row> = vec![
        ("A1 nothing", String::new(), 400, "JSON_EMPTY", "", 400),
        ("A2 no JSON", "{\n nonsense".to_owned(), 400, "JSON_SYNTAX", "line 2", 400),
        ("A2 bytes behind it", format!("{good} x"), 400, "JSON_SYNTAX", "line 1", 400),
        ("A4 a key twice", good.replacen(r#"{"note""#, r#"{"note":1,"note""#, 1), 400, "JSON_DUPLICATE_KEY", "note", 400),
        ("A4 a key twice, once escaped", good.replacen(r#"{"note""#, r#"{"\u006eote":1,"note""#, 1), 400, "JSON_DUPLICATE_KEY", "note", 400),
        ("A7 a number that is none", good.replacen(r#""new""#, "NaN", 1), 400, "JSON_SYNTAX", "", 400),
        ("A7 a number too large", good.replacen(r#""new""#, "1e400", 1), 400, "JSON_SYNTAX", "", 400),
        ("A13 an unknown field", bent(&new, |d| d["extra"] = json!(1)), 400, "FIELD_UNKNOWN", "extra", 400),
        ("A13 an unknown field inside", bent(&new, |d| d["outputs"][0]["extra"] = json!(1)), 400, "FIELD_UNKNOWN", "extra", 400),
        ("A14 no version", bent(&new, |d| { d.as_object_mut().unwrap().remove("version"); }), 400, "FIELD_MISSING", "version", 400),
        ("A14 outputs of the wrong type", set("/outputs", json!("none")), 400, "FIELD_TYPE", "array", 400),
        ("A14 null where none may be", set("/outputs/0/amount", Value::Null), 400, "FIELD_TYPE", "string", 400),
        ("A16 an id of something else", good.replacen(&new.id.to_string(), &"0".repeat(64), 1), 400, "TX_ID_MISMATCH", &"", 400),
        ("A20 a key that is too short", set("/outputs/0/public_keys/0", json!("abc")), 400, "KEY_FORMAT", "", 400),
        ("A20 a key with letters that base58 lacks", set("/outputs/0/public_keys/0", json!("0OIl".repeat(11))), 400, "KEY_FORMAT", "", 400),
        ("A20 a key that is no point", with_condition(&new, ed25519(&PublicKey([2; 32]).to_string())), 400, "KEY_FORMAT", "", 400),
        ("A21 a weak key", with_condition(&new, ed25519(&weak.to_string())), 400, "KEY_WEAK", "", 400),
        ("A23 a signature of something else", spoiled(&new), 400, "SIG_INVALID", "input 0", 400),
        ("A25 a threshold half signed", half_signed(&shared), 400, "CONDITION_UNMET", "1 of the 2", 400),
        ("A26 a threshold of nobody", with_condition(&new, threshold(0, &[ed25519(&owner)])), 400, "CONDITION_LIMIT", "", 400),
        ("A26 a threshold that nobody can meet", with_condition(&new, threshold(2, &[ed25519(&owner)])), 400, "CONDITION_LIMIT", "", 400),
        ("A26 too deep", with_condition(&new, nested(5)), 400, "CONDITION_LIMIT", "", 400),
        ("A26 too many keys", with_condition(&new, threshold(1, &many)), 400, "CONDITION_LIMIT", "", 400),
        ("A26 a key twice", with_condition(&new, threshold(2, &[ed25519(&owner), ed25519(&owner)])), 400, "CONDITION_DUP_KEY", "", 400),
        ("A27 nothing", amount("0"), 400, "AMOUNT_RANGE", "", 400),
        ("A27 less than nothing", amount("-1"), 400, "AMOUNT_FORMAT", "", 400),
        ("A27 a leading zero", amount("01"), 400, "AMOUNT_FORMAT", "", 400),
        ("A27 an exponent", amount("1e3"), 400, "AMOUNT_FORMAT", "", 400),
        ("A27 too much", amount("9223372036854775808"), 400, "AMOUNT_RANGE", "", 400),
        ("A27 too many digits", amount("100000000000000000000"), 400, "AMOUNT_FORMAT", "", 400),
        ("A28 more comes out than goes in", bent(&move_other, |d| d["outputs"][0]["amount"] = json!("2")), 400, "AMOUNT_MISMATCH", "", 400),
        ("A30 an input twice", bent(&move_other, |d| { let input = d["inputs"][0].clone(); d["inputs"].as_array_mut().unwrap().push(input); d["outputs"][0]["amount"] = json!("2"); }), 400, "INPUT_DUPLICATE", "", 400),
        ("A31 an unknown input", bent(&move_other, |d| d["inputs"][0]["fulfills"]["transaction_id"] = json!("ab".repeat(32))), 400, "INPUT_NOT_FOUND", "abab", 400),
        ("A31 an output that is not there", bent(&move_other, |d| d["inputs"][0]["fulfills"]["output_index"] = json!(7)), 400, "INPUT_NOT_FOUND", "7", 400),
        ("A32 spent", text(&given(&made, 3)), 409, "DOUBLE_SPEND", "", 400),
        ("A33 another asset's", bent(&move_other, |d| d["asset"]["id"] = json!(made.id)), 400, "ASSET_MISMATCH", "", 400),
        ("A34 other owners than it has", bent(&move_other, |d| d["inputs"][0]["owners_before"] = json!([key(2).public()])), 400, "OWNER_MISMATCH", "", 400),
        ("A38 too large", format!(r#"{{"x":"{}"}}"#, "x".repeat(65 * 1024)), 413, "TX_TOO_LARGE", "65536", 400),
    ];
    let mut wrong = Vec::new();
    for (what, body, status, code, piece, status_v1) in table {
        let reply = world.post("/api/v2/transactions", body.clone()).await;
        let problem = reply.json();
        let told = problem["detail"].as_str().is_some_and(|detail| detail.contains(piece));
        let fits = reply.status.as_u16() == status && problem["code"] == code;
        // At most a little of what came in goes out again.
        if !fits || !told || reply.text.len() > 1024 {
            wrong.push(format!("{what}: not {status} {code} {piece}: {}", reply.text));
        }
        let v1 = world.post("/api/v1/transactions", body).await;
        if v1.status.as_u16() != status_v1 || v1.json()["status"] != status_v1 {
            wrong.push(format!("{what}: v1 not {status_v1}: {}", v1.text));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let computed = world
        .post("/api/v2/transactions", good.replacen(&new.id.to_string(), &"0".repeat(64), 1))
        .await;
    assert!(
        computed.text.contains(&new.id.to_string()),
        "A16 tells the right id: {}",
        computed.text
    );
    let again = world.post("/api/v2/transactions", text(&made)).await;
    assert_eq!((again.status, again.json()["height"].clone()), (StatusCode::OK, json!(1)), "A35");
    assert_eq!(
        world.post("/api/v2/transactions?wait=committed", good).await.status,
        StatusCode::OK
    );
}
