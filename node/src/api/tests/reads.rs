//! What API v2 answers, over one small story: `assets` about assets and outputs, `openapi` what
//! the document says of it; the rest is here.

use cairn_ledger::{
    block::Header,
    ids::PublicKey,
    signature::{self, Claim},
};
use sha2::{Digest, Sha256};

use super::*;

mod assets;
mod openapi;

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
        ("/blocks?after=9223372036854775807", vec![],      "above anything"),
        ("/blocks?before=9223372036854775807", vec![3, 2, 1], "below everything"),
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
        ["[".repeat(30_000), "]".repeat(30_000)].concat().into_bytes().into(),
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
    assert_eq!(
        block["transactions"][1]["bytes"],
        ["5b".repeat(30_000), "5d".repeat(30_000)].concat(),
        "too deep to be read"
    );
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
        (status.no_quorum_because, status.leads) = (Some("alone".to_owned()), true);
        (status.peers, status.version) = (vec!["bob".to_owned()], "1.2.3".to_owned());
    });
    let tip = story.world.store.tip().0;
    let wanted = json!({
        "chain_id": genesis.chain(), "chain": "testing", "validator": "", "height": 3,
        "block_id": tip.block, "time_ms": 3000, "peers": ["bob"], "lag": 7,
        "ready": true, "not_ready_because": null, "voting": true, "not_voting_because": null,
        "quorum": false, "no_quorum_because": "alone", "leads": true,
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
