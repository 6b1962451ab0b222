//! Processes are killed; what was acknowledged stays.

use std::time::Duration;

use serde_json::{Value, json};
use tikv_client::{CheckLevel, TransactionOptions};

use super::{
    servers::Servers,
    world::{Scratch, Writer, assert_all_there, connect, key, options, until, value},
};

const STORES: [&str; 3] = ["store-1", "store-2", "store-3"];

#[tokio::test(flavor = "multi_thread")]
async fn a_store_killed_under_writes_takes_nothing_acknowledged_with_it() {
    let scratch = Scratch::new("kills");
    let servers = Servers::start(&scratch.0);
    for region in regions(&servers) {
        let peers = region["peers"].as_array().unwrap();
        assert_eq!(peers.len(), 3, "{region}");
        assert!(peers.iter().all(|peer| peer["role_name"] == "Voter"), "{region}");
    }

    let writer = Writer::start(&servers.pd);
    for store in STORES {
        writer.progress(100).await;
        servers.kill(store);
        writer.progress(100).await;
        servers.revive();
    }
    writer.progress(100).await;
    let acknowledged = writer.stop().await;

    // Each copy by itself: what only a majority has would be missing from one of them.
    for store in store_ids(&servers) {
        lead(&servers, store).await;
        assert_all_there(&servers.pd, &acknowledged).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_killed_at_once_come_back_with_everything() {
    let scratch = Scratch::new("all-killed");
    let servers = Servers::start(&scratch.0);
    let writer = Writer::start(&servers.pd);
    writer.progress(200).await;
    for name in ["store-1", "store-2", "store-3", "pd"] {
        servers.kill(name);
    }
    servers.revive();
    writer.progress(200).await;

    servers.kill("pd");
    servers.revive();
    writer.progress(50).await;

    servers.pause("store-2");
    writer.progress(20).await;
    servers.resume("store-2");
    let acknowledged = writer.stop().await;
    assert_all_there(&servers.pd, &acknowledged).await;

    // The supervisor too: another one goes on with the directory, at the same ports.
    let pd = servers.pd.clone();
    drop(servers);
    let servers = Servers::start(&scratch.0);
    assert_eq!(servers.pd, pd);
    assert_all_there(&servers.pd, &acknowledged).await;
}

/// Locks live in the stores' memory; those of transactions under way come back from the log.
#[tokio::test(flavor = "multi_thread")]
async fn locks_outlive_the_stores() {
    const KEYS: usize = 20;
    let scratch = Scratch::new("locks");
    let servers = Servers::start(&scratch.0);
    let client = connect(&servers.pd).await;
    let pessimistic = TransactionOptions::new_pessimistic().drop_check(CheckLevel::None);
    let mut transaction = client.begin_with_options(pessimistic).await.unwrap();
    transaction.lock_keys((0..KEYS).map(key)).await.unwrap();
    for number in 0..KEYS {
        transaction.put(key(number), value(number)).await.unwrap();
    }
    for store in STORES {
        servers.kill(store);
    }
    servers.revive();

    until("the transaction ends", async || {
        // The connections are gone too, so that it may take a few calls.
        let Err(refused) = transaction.commit().await else { return Some(()) };
        assert!(!format!("{refused:?}").contains("lock not found"), "{refused:?}");
        None
    })
    .await;
    assert_all_there(&servers.pd, &Vec::from_iter(0..KEYS)).await;
}

/// Raft would send a follower that is far behind a snapshot, and these stores' snapshots are
/// empty: the log must be kept for it instead.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_missed_much_catches_up_with_all_of_it() {
    const ROWS: usize = 400;
    let scratch = Scratch::new("behind");
    let servers = Servers::start(&scratch.0);
    servers.kill("store-3");
    let mut client = connect(&servers.pd).await;
    for row in 0..ROWS {
        until("the other two take it", async || {
            let mut transaction = client.begin_with_options(options()).await.ok()?;
            transaction.put(big_key(row), big_value(row)).await.ok()?;
            if transaction.commit().await.is_err() {
                client = connect(&servers.pd).await;
                return None;
            }
            Some(())
        })
        .await;
    }
    // The log is cut every 10 s, if at all.
    tokio::time::sleep(Duration::from_secs(12)).await;
    servers.revive();

    lead(&servers, *store_ids(&servers).iter().max().unwrap()).await;
    assert_big_rows(&servers.pd, (0..ROWS).collect()).await;

    // After so much, the stores begin again in the middle of their logs.
    for store in STORES {
        servers.kill(store);
    }
    servers.revive();
    assert_big_rows(&servers.pd, (0..ROWS).step_by(20).collect()).await;
}

const ROW_BYTES: usize = 256 << 10;

async fn assert_big_rows(pd: &str, rows: Vec<usize>) {
    for row in rows {
        let found = until("the store that was behind answers", async || {
            let client = connect(pd).await;
            let now = client.current_timestamp().await.ok()?;
            client.snapshot(now, options()).get(big_key(row)).await.ok()
        })
        .await;
        assert!(found == Some(big_value(row)), "row {row} is lost");
    }
}

fn big_key(row: usize) -> Vec<u8> {
    format!("a/big/{row}").into_bytes()
}

fn big_value(row: usize) -> Vec<u8> {
    format!("{row} ").into_bytes().into_iter().cycle().take(ROW_BYTES).collect()
}

fn ask(servers: &Servers, path: &str) -> Value {
    let url = format!("http://{}/pd/api/v1/{path}", servers.pd);
    let mut answer = ureq::get(&url).call().unwrap();
    serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
}

fn regions(servers: &Servers) -> Vec<Value> {
    let regions = ask(servers, "regions");
    let regions = regions["regions"].as_array().unwrap();
    assert!(!regions.is_empty());
    regions.clone()
}

fn store_ids(servers: &Servers) -> Vec<u64> {
    let stores = ask(servers, "stores");
    let stores = stores["stores"].as_array().unwrap();
    stores.iter().map(|store| store["store"]["id"].as_u64().unwrap()).collect()
}

/// Makes a store the leader of the first region, where all keys of these tests are.
async fn lead(servers: &Servers, store: u64) {
    until("the store leads", async || {
        let regions = regions(servers);
        let first = regions.iter().find(|region| region["start_key"] == "")?;
        if first["leader"]["store_id"] == store {
            return Some(());
        }
        let order =
            json!({"name": "transfer-leader", "region_id": first["id"], "to_store_id": store});
        let url = format!("http://{}/pd/api/v1/operators", servers.pd);
        // Refused while an earlier order is under way: asked again.
        let _ = ureq::post(&url).send(order.to_string());
        None
    })
    .await;
}
