//! What API v2 answers about assets, outputs, blocks and the federation.

use std::collections::{BTreeMap, BTreeSet};

use cairn_ledger::{
    block::Header,
    ids::PublicKey,
    signature::{self, Claim},
};
use sha2::{Digest, Sha256};

use super::*;

/// An asset of ten shares, split, partly moved on; a second asset; a refused double spend.
struct Story {
    world: World,
    made: Signed,
    split: Signed,
    moved: Signed,
    other: Signed,
    refused: Signed,
}

fn public(seed: u32) -> PublicKey {
    key(seed).public()
}

impl Story {
    async fn tell() -> Self {
        let mut world = World::new();
        world.set_patience(Duration::from_millis(20));
        let made = create(&key(1), "ten", &[(&[public(1)], 10)]);
        let halves: &[(&[PublicKey], u64)] = &[(&[public(2)], 4), (&[public(1), public(3)], 6)];
        let split = transfer(made.id, &[(&key(1), made.output(0))], halves);
        let moved = transfer(
            made.id,
            &[(&key(2), split.output(0))],
            &[(&[public(4)], 3), (&[public(2)], 1)],
        );
        let other = asset("other");
        let refused = transfer(made.id, &[(&key(2), split.output(0))], &[(&[public(5)], 4)]);
        for block in [vec![&made], vec![&split, &other], vec![&moved, &refused]] {
            let bytes: Vec<_> = block.iter().map(|signed| Arc::clone(&signed.bytes)).collect();
            world.order.federation.commit(&*world.store, &bytes);
        }
        Self { world, made, split, moved, other, refused }
    }

    async fn get(&self, path: &str) -> Reply {
        self.world.get(&format!("/api/v2{path}")).await
    }

    async fn json(&self, path: &str) -> Value {
        let reply = self.get(path).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text);
        reply.json()
    }

    /// All rows, page by page.
    async fn pages(&self, path: &str, limit: usize) -> Vec<Value> {
        let mut rows = Vec::new();
        let sign = if path.contains('?') { '&' } else { '?' };
        let mut cursor = String::new();
        loop {
            let page = self.json(&format!("{path}{sign}limit={limit}{cursor}")).await;
            let items = page["items"].as_array().unwrap();
            assert!(items.len() <= limit, "{page}");
            rows.extend(items.iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return rows,
            }
        }
    }
}

fn made_at(height: u64, index: u32) -> Value {
    json!({"height": height, "index": index, "time_ms": height * 1000})
}

#[tokio::test]
async fn an_asset_says_what_it_is_and_who_holds_it() {
    let story = Story::tell().await;
    let Story { made, split, moved, .. } = &story;
    let path = format!("/assets/{}", made.id);
    let holder = |of: &Signed, index: u32, owners: &[PublicKey], amount: &str| json!({"transaction_id": of.id, "output_index": index, "public_keys": owners, "amount": amount});
    let whole =
        |holders: Vec<Value>, last: &Signed, operation: &str, decided: Value, as_of: u64| {
            let mut last = json!({"id": last.id, "operation": operation, "metadata": null});
            last.as_object_mut().unwrap().extend(decided.as_object().unwrap().clone());
            json!({
                "id": made.id, "data": {"note": "ten"}, "metadata": null, "issuers": [public(1)],
                "amount": "10", "created": made_at(1, 0), "last_transaction": last,
                "holders": holders, "holders_complete": true, "as_of": as_of,
            })
        };
    let held = [
        holder(moved, 0, &[public(4)], "3"),
        holder(moved, 1, &[public(2)], "1"),
        holder(split, 1, &[public(1), public(3)], "6"),
    ];
    let now = story.json(&path).await;
    assert_eq!(now, whole(held.to_vec(), moved, "TRANSFER", made_at(3, 0), 3));
    let before = story.get(&format!("{path}?as_of=1")).await;
    let first = vec![holder(made, 0, &[public(1)], "10")];
    assert_eq!(before.json(), whole(first, made, "CREATE", made_at(1, 0), 1));
    assert_eq!(before.header("cairn-height"), "1");
    for path in [
        format!("/assets/{}?as_of=0", made.id),
        format!("/assets/{}?as_of=1", story.other.id),
        format!("/assets/{}", split.id),
        format!("/assets/{}", story.refused.id),
        "/assets/x".to_owned(),
        "/assets/%ff".to_owned(),
        format!("/assets/{}/history", split.id),
        format!("/assets/{}/history?as_of=0", made.id),
    ] {
        let reply = story.get(&path).await;
        let answer = (reply.status.as_u16(), reply.json()["code"].clone());
        assert_eq!(answer, (404, json!("NOT_FOUND")), "{path}");
    }
}

#[tokio::test]
async fn provenance_is_every_transaction_in_order_and_paged() {
    let story = Story::tell().await;
    let Story { made, split, moved, .. } = &story;
    let path = format!("/assets/{}/history", made.id);
    let step = |of: &Signed, operation: &str, decided: Value, inputs: Value, outputs: Value| {
        let mut step = json!({
            "id": of.id, "operation": operation, "metadata": null, "inputs": inputs, "outputs": outputs,
        });
        step.as_object_mut().unwrap().extend(decided.as_object().unwrap().clone());
        step
    };
    let output = |index: u32, owners: &[PublicKey], amount: &str, by: Option<&Signed>| {
        let by = by.map(|by| by.id);
        json!({"output_index": index, "public_keys": owners, "amount": amount, "spent_by": by})
    };
    let spends = |owner: u32, of: &Signed, amount: &str| {
        let output = json!({"transaction_id": of.id, "output_index": 0});
        json!([{"owners_before": [public(owner)], "fulfills": output, "amount": amount}])
    };
    let issued = json!([{"owners_before": [public(1)], "fulfills": null, "amount": null}]);
    let steps = vec![
        step(
            made,
            "CREATE",
            made_at(1, 0),
            issued.clone(),
            json!([output(0, &[public(1)], "10", Some(split))]),
        ),
        step(
            split,
            "TRANSFER",
            made_at(2, 0),
            spends(1, made, "10"),
            json!([
                output(0, &[public(2)], "4", Some(moved)),
                output(1, &[public(1), public(3)], "6", None),
            ]),
        ),
        step(
            moved,
            "TRANSFER",
            made_at(3, 0),
            spends(2, split, "4"),
            json!([output(0, &[public(4)], "3", None), output(1, &[public(2)], "1", None),]),
        ),
    ];
    let page = story.json(&path).await;
    assert_eq!(page, json!({"as_of": 3, "items": steps, "next_cursor": null}));
    for limit in 1..4 {
        assert_eq!(story.pages(&path, limit).await, steps, "{limit} at a time");
        let backwards = story.pages(&format!("{path}?order=desc"), limit).await;
        assert!(backwards.iter().eq(steps.iter().rev()), "{limit} at a time: {backwards:?}");
    }
    let early = story.pages(&format!("{path}?as_of=2"), 1).await;
    assert_eq!(early.len(), 2);
    assert_eq!(early[1]["outputs"][0]["spent_by"], json!(null), "not spent by then");
    assert_eq!(early[0], steps[0]);

    // Pages that follow are true at the height of the first, whatever is decided meanwhile.
    let first = story.json(&format!("{path}?limit=2")).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let on = transfer(made.id, &[(&key(4), moved.output(0))], &[(&[public(6)], 3)]);
    story.world.order.federation.commit(&*story.world.store, &[on.bytes]);
    let rest = story.get(&format!("{path}?limit=2&cursor={cursor}")).await;
    assert_eq!(rest.json(), json!({"as_of": 3, "items": [steps[2]], "next_cursor": null}));
    assert_eq!(rest.header("cairn-height"), "3");
    assert_eq!(story.pages(&path, 9).await.len(), 4);
    let foreign = [
        format!("{path}?order=desc&cursor={cursor}"),
        format!("{path}?as_of=2&cursor={cursor}"),
        format!("{path}?cursor={cursor}A"),
        format!("{path}?cursor="),
        format!("/assets/{}/history?cursor={cursor}", story.other.id),
        format!("/blocks?cursor={cursor}"),
        format!("/assets?cursor={cursor}"),
    ];
    for path in foreign {
        let reply = story.get(&path).await;
        let answer = (reply.status.as_u16(), reply.json()["code"].clone());
        assert_eq!(answer, (400, json!("CURSOR_INVALID")), "{path}");
    }
}

#[tokio::test]
async fn a_transaction_comes_with_what_was_sent() {
    let story = Story::tell().await;
    let reply = story.get(&format!("/transactions/{}", story.split.id)).await;
    let mut report = reply.json();
    assert!(reply.text.contains(&text(&story.split)), "byte for byte: {}", reply.text);
    let transaction = report.as_object_mut().unwrap().remove("transaction").unwrap();
    assert_eq!(transaction["id"], json!(story.split.id));
    let rest =
        json!({"id": story.split.id, "status": "committed", "height": 2, "index": 0, "as_of": 3});
    assert_eq!(report, rest);
    let refused = story.json(&format!("/transactions/{}", story.refused.id)).await;
    assert_eq!((&refused["status"], &refused["transaction"]), (&json!("refused"), &json!(null)));
}

#[tokio::test]
async fn blocks_are_listed_in_either_order_and_page_by_page() {
    let story = Story::tell().await;
    let heights = |rows: &[Value]| -> Vec<u64> {
        rows.iter().map(|row| row["height"].as_u64().unwrap()).collect()
    };
    let block = story.world.store.block(Height(3)).unwrap().unwrap();
    let first = json!({
        "height": 3, "id": block.header.id(), "time_ms": 3000, "proposer": "validator-000",
        "transactions": 2, "committed": 1,
    });
    let page = story.json("/blocks").await;
    assert_eq!((&page["items"][0], &page["as_of"]), (&first, &json!(3)));
    #[rustfmt::skip]
    let table = [
        ("/blocks",                          vec![3, 2, 1], "the newest first"),
        ("/blocks?order=asc",                vec![1, 2, 3], "the oldest first"),
        ("/blocks?before=3",                 vec![2, 1],    "below"),
        ("/blocks?after=1",                  vec![3, 2],    "above"),
        ("/blocks?after=1&before=3",         vec![2],       "between"),
        ("/blocks?after=1&order=asc",        vec![2, 3],    "above, upwards"),
        ("/blocks?before=0",                 vec![],        "below all"),
        ("/blocks?after=99",                 vec![],        "above all"),
        ("/blocks?after=18446744073709551615", vec![],      "above anything"),
        ("/blocks?before=18446744073709551615", vec![3, 2, 1], "below everything"),
    ];
    for (path, wanted, why) in table {
        for limit in [1, 2, 1000] {
            assert_eq!(heights(&story.pages(path, limit).await), wanted, "{why}: {path}");
        }
    }
    let first = story.json("/blocks?limit=1").await;
    story.world.order.federation.commit(&*story.world.store, &[]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = story.json(&format!("/blocks?cursor={cursor}")).await;
    assert_eq!(
        (heights(rest["items"].as_array().unwrap()), &rest["as_of"]),
        (vec![2, 1], &json!(3))
    );
    assert_eq!(story.json("/blocks?limit=1").await["items"][0]["height"], 4);
}

#[tokio::test]
async fn a_block_tells_all_that_it_decided() {
    let story = Story::tell().await;
    let junk: Vec<Arc<[u8]>> = vec![
        b"\xff\xfe".as_slice().into(),
        "[".repeat(60_000).into_bytes().into(),
        b"{\"a\" : 1e9}".as_slice().into(),
    ];
    story.world.order.federation.commit(&*story.world.store, &junk);
    let block = story.json("/blocks/3").await;
    assert_eq!(block["header"]["height"], 3);
    assert_eq!(block["header"]["proposer"], "validator-000");
    let (moved, refused) = (&story.moved, &story.refused);
    let parsed = |signed: &Signed| serde_json::from_slice::<Value>(&signed.bytes).unwrap();
    let reason = json!({
        "code": "DOUBLE_SPEND",
        "message": format!("DoubleSpend: input `{}` was already spent", story.split.id),
    });
    let decided = json!([
        {"index": 0, "id": moved.id, "status": "committed", "transaction": parsed(moved)},
        {"index": 1, "id": refused.id, "status": "refused", "reason": reason, "transaction": parsed(refused)},
    ]);
    assert_eq!(block["transactions"], decided);
    let reply = story.get("/blocks/4").await;
    let block = reply.json();
    assert_eq!(block["transactions"][0]["bytes"], "fffe");
    assert_eq!(block["transactions"][1]["bytes"], "5b".repeat(60_000), "too deep to be read");
    assert!(reply.text.contains(r#""transaction":{"a" : 1e9}"#), "as it came");
    assert_eq!(block["transactions"][2]["reason"]["code"], "FIELD_MISSING");
    for path in [
        "/blocks/0",
        "/blocks/5",
        "/blocks/-1",
        "/blocks/+1",
        "/blocks/x",
        "/blocks/99999999999999999999",
        "/headers/0",
        "/headers/5",
        "/headers/%31x",
    ] {
        let reply = story.get(path).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json()["code"]),
            (404, &json!("NOT_FOUND")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_header_verifies_by_what_its_answer_says() {
    let story = Story::tell().await;
    let answer = story.json("/headers/2").await;
    let bytes = |value: &Value| hex::decode(value.as_str().unwrap()).unwrap();
    let header = bytes(&answer["header_bytes"]);
    let stored = story.world.store.block(Height(2)).unwrap().unwrap();
    assert_eq!(Header::decode(&header).unwrap(), stored.header);
    let id = hex::encode(Sha256::digest(&header));
    assert_eq!(answer["header"]["id"], json!(id));
    assert_eq!(answer["header"]["parent"], story.json("/headers/1").await["header"]["id"]);
    assert_eq!(answer["header"]["state_root"], json!(stored.header.state_root));
    let certificate = &answer["certificate"];
    let signed = bytes(&certificate["signed_bytes"]);
    assert!(hex::encode(&signed).contains(&id), "what is signed names the block");
    let signatures = certificate["signatures"].as_array().unwrap();
    assert_eq!(signatures.len(), 4);
    for (at, one) in signatures.iter().enumerate() {
        assert_eq!(one["validator"], format!("validator-{at:03}"));
        let key = one["consensus_key"].as_str().unwrap().parse().unwrap();
        let signature = bytes(&one["signature"]).try_into().unwrap();
        let claim = Claim { key, message: &signed, signature };
        assert_eq!(signature::all_hold(&[claim]), [true]);
    }
}

#[tokio::test]
async fn the_federation_and_this_validator_are_described() {
    let story = Story::tell().await;
    let genesis = &story.world.order.federation.genesis;
    let named: Vec<_> = genesis.validators().iter().map(|it| json!(it)).collect();
    let voters =
        |height: u64| json!({"height": height, "total_power": 4, "quorum": 3, "validators": named});
    assert_eq!(story.json("/validators").await, voters(4), "of the next block");
    assert_eq!(story.json("/validators?height=1").await, voters(1));
    assert_eq!(story.json("/validators?height=4").await, voters(4));
    let reply = story.get("/validators?height=5").await;
    assert_eq!(reply.json()["code"], "HEIGHT_NOT_REACHED");

    story.world.status.send_modify(|status| {
        (status.best_peer, status.ready, status.voting) = (10, true, true);
        (status.peers, status.version) = (vec!["bob".to_owned()], "1.2.3".to_owned());
    });
    let tip = story.world.store.tip().0;
    let wanted = json!({
        "chain_id": genesis.chain(), "chain": "testing", "validator": "", "height": 3,
        "block_id": tip.block, "time_ms": 3000, "peers": ["bob"], "lag": 7,
        "ready": true, "not_ready_because": null, "voting": true, "not_voting_because": null,
        "round": 0, "order": "", "search_height": 3, "pending": 0,
        "versions": {"cairn": "1.2.3", "api": ["1", "2"], "bigchaindb": "2.2.2"},
    });
    assert_eq!(story.json("/status").await, wanted);
    let index = story.json("").await;
    assert_eq!(index["openapi"], "/api/v2/openapi.json");
}

#[tokio::test]
async fn a_height_is_waited_for_and_then_missed_with_where_it_stands() {
    let mut story = Story::tell().await;
    let paths = [
        "",
        "/status",
        "/blocks",
        "/blocks/1",
        "/headers/1",
        "/validators",
        "/assets",
        "/outputs",
        "/openapi.json",
    ];
    let id = story.made.id;
    let of_one = [
        format!("/transactions/{id}"),
        format!("/transactions/{id}/receipt"),
        format!("/assets/{id}"),
        format!("/assets/{id}/history"),
    ];
    let paths: Vec<String> = paths.into_iter().map(str::to_owned).chain(of_one).collect();
    for path in &paths {
        assert_eq!(story.get(&format!("{path}?min_height=3")).await.status, 200, "{path}");
        let reply = story.get(&format!("{path}?min_height=4")).await;
        let problem = reply.json();
        assert_eq!(
            (reply.status.as_u16(), &problem["code"]),
            (503, &json!("HEIGHT_NOT_REACHED")),
            "{path}"
        );
        assert_eq!(
            (&problem["wanted_height"], &problem["height"]),
            (&json!(4), &json!(3)),
            "{path}"
        );
        assert_eq!(
            (reply.header("retry-after"), reply.header("cairn-height")),
            ("1", "3"),
            "{path}"
        );
    }
    for path in [
        "/assets?as_of=4",
        "/outputs?as_of=4",
        &format!("/assets/{id}?as_of=4"),
        &format!("/assets/{id}/history?as_of=4"),
    ] {
        assert_eq!(story.get(path).await.json()["code"], "HEIGHT_NOT_REACHED", "{path}");
    }
    // It comes while it is waited for.
    story.world.set_patience(Duration::from_secs(60));
    for (height, path) in (4..).zip(&paths) {
        let path = format!("{path}?min_height={height}");
        let decide = async {
            tokio::task::yield_now().await;
            story.world.order.federation.commit(&*story.world.store, &[]);
        };
        let (reply, ()) = tokio::join!(story.get(&path), decide);
        assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text);
        assert_eq!(reply.header("cairn-height"), height.to_string(), "{path}");
    }
}

/// The documented operations: path and method, with its description.
fn operations(document: &Value) -> BTreeMap<(String, String), Value> {
    let mut all = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.insert((path.clone(), method.to_uppercase()), operation.clone());
        }
    }
    all
}

/// Every `$ref` in a document.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|it| references(it, found)),
        Value::Object(members) => members.iter().for_each(|(key, it)| match it.as_str() {
            Some(target) if key == "$ref" => {
                found.insert(target.to_owned());
            }
            _ => references(it, found),
        }),
        _ => {}
    }
}

#[test]
fn the_document_names_each_operation_once_and_nothing_that_is_not_there() {
    let document: Value = serde_json::from_str(&openapi()).unwrap();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for target in found {
        let pointer = target.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{target}");
    }
    let operations = operations(&document);
    let names: BTreeSet<_> = operations.values().map(|it| it["operationId"].to_string()).collect();
    assert_eq!(names.len(), operations.len(), "{names:?}");
    for ((path, method), operation) in operations {
        for text in ["summary", "description"] {
            assert!(operation[text].is_string(), "{method} {path} has no {text}");
        }
        let parameters = operation["parameters"].as_array().unwrap();
        assert!(parameters.iter().all(|it| it["description"].is_string()), "{method} {path}");
    }
}

/// A path of the document with something in its braces.
fn filled(path: &str, story: &Story) -> String {
    path.replace("{id}", &story.made.id.to_string()).replace("{height}", "1")
}

#[tokio::test]
async fn the_document_has_the_routes_that_are_served() {
    let story = Story::tell().await;
    let document = story.json("/openapi.json").await;
    assert_eq!(document["openapi"], "3.1.0");
    let operations = operations(&document);
    let described: BTreeSet<String> =
        super::super::v2::described().into_iter().map(|(path, _)| path.to_owned()).collect();
    let documented: BTreeSet<String> = operations.keys().map(|(path, _)| path.clone()).collect();
    assert_eq!(documented, described);
    for path in documented {
        let methods: BTreeSet<String> =
            operations.keys().filter(|(of, _)| *of == path).map(|(_, it)| it.clone()).collect();
        let reply = story.world.send("DELETE", &filled(&path, &story), "", Body::empty()).await;
        let served = reply.header("allow").split(',').filter(|method| *method != "HEAD");
        let served: BTreeSet<String> = served.map(str::to_owned).collect();
        assert_eq!(served, methods, "{path}");
    }
}

#[tokio::test]
async fn each_route_knows_the_parameters_that_the_document_names() {
    let story = Story::tell().await;
    for ((path, method), operation) in operations(&story.json("/openapi.json").await) {
        let parameters = operation["parameters"].as_array().unwrap().iter();
        let named: BTreeSet<_> = parameters
            .filter(|parameter| parameter["in"] == "query")
            .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
            .collect();
        let path = format!("{}?colour=red", filled(&path, &story));
        let reply = story.world.send(&method, &path, "application/json", "{}").await;
        let problem = reply.json();
        assert_eq!(
            (reply.status.as_u16(), &problem["code"]),
            (400, &json!("PARAM_UNKNOWN")),
            "{path}"
        );
        let detail = problem["detail"].as_str().unwrap();
        let known: BTreeSet<_> = detail.split('`').skip(3).step_by(2).map(str::to_owned).collect();
        let unnamed = if method == "GET" { None } else { Some("min_height".to_owned()) };
        assert_eq!(known, named.into_iter().chain(unnamed).collect(), "{path}");
    }
}

#[tokio::test]
async fn values_that_make_no_sense_are_named_wherever_they_are_taken() {
    let story = Story::tell().await;
    #[rustfmt::skip]
    let wrong: &[(&str, &[&str])] = &[
        ("min_height", &["", "-1", "+1", "1.0", "0x1", "99999999999999999999", "%30%00"]),
        ("as_of",      &["", "-1", "latest", "18446744073709551616"]),
        ("height",     &["-1", "x"]),
        ("before",     &["-1", "x"]),
        ("after",      &["-1", "x"]),
        ("limit",      &["", "0", "-1", "1001", "1e9", "9999999999", "99999999999999999999", "1%00"]),
        ("order",      &["", "ASC", "up"]),
        ("spent",      &["", "True", "1"]),
        ("explain",    &["yes"]),
        ("public_key", &["", "x", "O0Il", "%F0%9F%9A%B2"]),
        ("asset_id",   &["", "x", "zz"]),
        ("wait",       &["", "never"]),
    ];
    let mut asked = BTreeSet::new();
    for ((path, method), operation) in operations(&story.json("/openapi.json").await) {
        for parameter in operation["parameters"].as_array().unwrap() {
            let name = parameter["name"].as_str().unwrap();
            if parameter["in"] != "query" {
                continue;
            }
            let Some((_, values)) = wrong.iter().find(|(of, _)| *of == name) else { continue };
            asked.insert(name.to_owned());
            for value in *values {
                let path = format!("{}?{name}={value}", filled(&path, &story));
                let reply = story.world.send(&method, &path, "application/json", "{}").await;
                let answer = (reply.status.as_u16(), reply.json()["code"].clone());
                assert_eq!(answer, (400, json!("PARAM_INVALID")), "{path}");
                assert!(reply.text.contains("would be fine"), "{}", reply.text);
            }
            let twice = format!("{}?{name}=1&{name}=1", filled(&path, &story));
            let reply = story.world.send(&method, &twice, "application/json", "{}").await;
            assert_eq!(reply.json()["code"], "PARAM_INVALID", "{twice}");
        }
    }
    assert_eq!(asked.len(), wrong.len(), "each of them is a parameter of something");
}

#[test]
fn the_document_that_is_kept_is_the_one_that_is_served() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let made = openapi();
    if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == made,
        "docs/openapi.json is stale: `cargo run --bin cairn -- openapi > docs/openapi.json` makes it anew"
    );
}

#[tokio::test]
async fn the_page_to_try_it_at_loads_nothing_from_elsewhere() {
    let world = World::new();
    let reply = world.get("/api/v2/docs").await;
    assert_eq!((reply.status.as_u16(), reply.header("location")), (308, "docs/"));
    let page = world.get("/api/v2/docs/").await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html"));
    assert!(page.header("content-security-policy").starts_with("default-src 'self';"));
    let links: Vec<&str> =
        page.text.split(['"']).filter(|it| it.ends_with(".js") || it.ends_with(".css")).collect();
    assert!(links.len() > 3, "{}", page.text);
    for link in links {
        let file = world.get(&format!("/api/v2/docs/{}", link.trim_start_matches("./"))).await;
        assert_eq!(file.status, StatusCode::OK, "{link}");
        assert!(!link.contains("//"), "{link}");
    }
    let start = world.get("/api/v2/docs/swagger-initializer.js").await.text;
    assert!(start.contains("../openapi.json") && !start.contains("http"), "{start}");
    for path in [
        "/api/v2/docs/nothing",
        "/api/v2/docs/..%2f..%2fetc%2fpasswd",
        "/api/v2/docs/%ff",
        "/api/v2/docs/%00",
    ] {
        let reply = world.get(path).await;
        let answer = (reply.status.as_u16(), reply.header("content-type"));
        assert_eq!(answer, (404, "application/problem+json"), "{path}");
    }
}

/// Percent-encoded for a query.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn assets_are_found_by_what_they_say() {
    let story = Story::tell().await;
    let row = |of: &Signed, note: &str, amount: &str, created: Value| {
        json!({
            "id": of.id, "data": {"note": note}, "metadata": null, "issuers": [public(1)],
            "amount": amount, "created": created,
        })
    };
    let ten = row(&story.made, "ten", "10", made_at(1, 0));
    let other = row(&story.other, "other", "1", made_at(2, 1));
    let filter = |text: &str| format!("/assets?filter={}", encoded(text));
    #[rustfmt::skip]
    let table = [
        ("/assets".to_owned(),                             vec![&ten, &other], "in the order of the chain"),
        ("/assets?sort=-height".to_owned(),                vec![&other, &ten], "the newest first"),
        ("/assets?sort=asset.note".to_owned(),             vec![&other, &ten], "by a field"),
        ("/assets?sort=-asset.note".to_owned(),            vec![&ten, &other], "the other way round"),
        (filter(r#"asset.note = "ten""#),                  vec![&ten],         "a field is that"),
        (filter(r#"asset.note ^= "o" or exists asset.x"#), vec![&other],       "or begins so"),
        (filter("exists asset.colour"),                    vec![],             "nobody has it"),
        ("/assets?as_of=1".to_owned(),                     vec![&ten],         "those that were there"),
        ("/assets?as_of=0".to_owned(),                     vec![],             "before the first"),
    ];
    for (path, wanted, why) in table {
        for limit in [1, 1000] {
            let found = story.pages(&path, limit).await;
            assert_eq!(found.iter().collect::<Vec<_>>(), wanted, "{why}: {path}");
        }
    }
    let page = story.json("/assets?limit=2").await;
    assert_eq!(page, json!({"as_of": 3, "items": [ten, other], "next_cursor": null}));
    let explained = story.json("/assets?explain=true").await;
    assert!(explained["explain"]["index"].is_string(), "{explained}");

    // Pages that follow are as of the first, at any validator, with any limit.
    let first = story.get("/assets?limit=1").await;
    assert_eq!(first.header("cairn-height"), "3");
    let cursor = first.json()["next_cursor"].as_str().unwrap().to_owned();
    story.world.order.federation.commit(&*story.world.store, &[asset("later").bytes]);
    let rest = story.json(&format!("/assets?limit=9&cursor={cursor}&as_of=3")).await;
    assert_eq!(rest, json!({"as_of": 3, "items": [other], "next_cursor": null}));
    assert_eq!(story.pages("/assets", 2).await.len(), 3);
    #[rustfmt::skip]
    let table = [
        (filter("asset"),                                  "FILTER_SYNTAX",  "no condition"),
        (filter(""),                                       "FILTER_SYNTAX",  "nothing"),
        (filter(&"(".repeat(3000)),                        "FILTER_SYNTAX",  "deep"),
        ("/assets?sort=colour".to_owned(),                 "PARAM_INVALID",  "no path"),
        ("/assets?sort=".to_owned(),                       "PARAM_INVALID",  "nothing"),
        ("/assets?sort=--height".to_owned(),               "PARAM_INVALID",  "twice round"),
        (format!("/assets?sort=asset.note&cursor={cursor}"), "CURSOR_INVALID", "of another order"),
        (format!("/outputs?cursor={cursor}"),              "CURSOR_INVALID", "of another list"),
        ("/assets?spent=true".to_owned(),                  "PARAM_UNKNOWN",  "of outputs only"),
    ];
    for (path, code, why) in table {
        let reply = story.get(&path).await;
        let answer = (reply.status.as_u16(), reply.json()["code"].clone());
        assert_eq!(answer, (400, json!(code)), "{why}: {path}");
    }
}

#[tokio::test]
async fn outputs_are_found_by_owner_asset_and_whether_they_are_spent() {
    let story = Story::tell().await;
    let Story { made, split, moved, other, .. } = &story;
    let all = story.pages("/outputs", 1000).await;
    let shared = json!({
        "transaction_id": split.id, "output_index": 1, "asset_id": made.id, "amount": "6",
        "public_keys": [public(1), public(3)], "metadata": null, "created": made_at(2, 0),
        "condition": serde_json::from_slice::<Value>(&split.bytes).unwrap()["outputs"][1]["condition"],
        "spent_by": null,
    });
    assert_eq!(all[2], shared);
    assert_eq!(all[0]["spent_by"], json!(split.id));
    let name = |row: &Value| {
        let index = row["output_index"].as_u64().unwrap();
        (row["transaction_id"].as_str().unwrap().to_owned(), index)
    };
    let is = |of: &Signed, index: u64| (of.id.to_string(), index);
    let (one, two, nobody) = (public(1), public(2), public(9));
    let (a, b, c) = (is(made, 0), is(split, 0), is(split, 1));
    let (d, e, f) = (is(other, 0), is(moved, 0), is(moved, 1));
    let of = made.id;
    #[rustfmt::skip]
    let table = [
        ("".to_owned(),                                  vec![&a, &b, &c, &d, &e, &f], "all"),
        ("sort=-height".to_owned(),                      vec![&f, &e, &d, &c, &b, &a], "backwards"),
        ("spent=true".to_owned(),                        vec![&a, &b],                 "spent"),
        ("spent=false".to_owned(),                       vec![&c, &d, &e, &f],         "held"),
        (format!("public_key={one}"),                    vec![&a, &c, &d],             "hers"),
        (format!("public_key={one}&spent=false"),        vec![&c, &d],                 "hers still"),
        (format!("public_key={one}&spent=false&as_of=1"), vec![&a],                    "hers then"),
        (format!("public_key={two}&asset_id={of}"),      vec![&b, &f],                 "his of that"),
        (format!("asset_id={of}&spent=false"),           vec![&c, &e, &f],             "who holds it"),
        (format!("asset_id={}", split.id),               vec![],                       "no asset"),
        (format!("public_key={nobody}"),                 vec![],                       "nobody's"),
        (format!("filter={}", encoded(r#"asset.note = "other""#)), vec![&d],           "of what is so"),
    ];
    for (query, wanted, why) in table {
        for limit in [1, 2, 1000] {
            let found = story.pages(&format!("/outputs?{query}"), limit).await;
            let found: Vec<_> = found.iter().map(name).collect();
            assert_eq!(found.iter().collect::<Vec<_>>(), wanted, "{why}: {query}");
        }
    }
    let early = story.pages("/outputs?as_of=2", 1000).await;
    assert_eq!(early[1]["spent_by"], json!(null), "not spent by then");
}

#[tokio::test]
async fn a_page_of_large_rows_is_shorter_and_the_next_goes_on() {
    let story = Story::tell().await;
    let before = story.json("/assets").await["items"].as_array().unwrap().len();
    for block in 0..2 {
        let large = (0..40).map(|at| asset(&format!("{block}-{at}-{}", "x".repeat(60_000))));
        let bytes: Vec<_> = large.map(|signed| signed.bytes).collect();
        story.world.order.federation.commit(&*story.world.store, &bytes);
    }
    let page = story.get("/assets?limit=1000").await;
    assert!(page.text.len() < 5 * 1024 * 1024, "{} bytes", page.text.len());
    assert!(page.json()["next_cursor"].is_string());
    let all = story.pages("/assets", 1000).await;
    let ids: BTreeSet<_> = all.iter().map(|row| row["id"].to_string()).collect();
    assert_eq!((all.len(), ids.len()), (before + 80, before + 80), "none twice, none left out");
}

#[test]
fn the_page_about_the_api_names_the_routes_that_are_there_and_no_others() {
    let page = include_str!("../../../../docs/api.md");
    let served: Vec<_> = v2::described().into_iter().map(|(path, _)| path).collect();
    let named = |path: &str| {
        ["GET", "POST"].iter().any(|method| page.contains(&format!("`{method} {path}`")))
    };
    for path in &served {
        assert!(named(path), "docs/api.md does not name {path}");
    }
    let spoken = page
        .split('`')
        .filter_map(|text| text.strip_prefix("GET ").or_else(|| text.strip_prefix("POST ")));
    for path in spoken.filter(|path| path.starts_with("/api/v2")) {
        assert!(served.contains(&path), "docs/api.md names {path}, which is not served");
    }
}
