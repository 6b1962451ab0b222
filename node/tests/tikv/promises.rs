//! What the stores promise to a client, and what they refuse rather than do badly.

use tikv_client::{BoundRange, Key, RawClient, TransactionClient, Value};

use super::{
    servers::Servers,
    world::{Scratch, connect, options},
};

const MIB: usize = 1 << 20;

async fn put(client: &TransactionClient, rows: &[(&str, usize)]) -> tikv_client::Result<()> {
    let mut transaction = client.begin_with_options(options()).await?;
    for (key, bytes) in rows {
        transaction.put((*key).to_owned(), vec![7; *bytes]).await?;
    }
    transaction.commit().await?;
    Ok(())
}

async fn get(client: &TransactionClient, key: &str) -> Option<Value> {
    let now = client.current_timestamp().await.unwrap();
    client.snapshot(now, options()).get(key.to_owned()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_store_keeps_its_promises() {
    let scratch = Scratch::new("promises");
    let servers = Servers::start_with(&scratch.0, &["--base-port", "0", "--stores", "1"]);
    let client = connect(&servers.pd).await;

    absent_keys_are_absent(&client).await;
    scans_are_as_documented(&client).await;
    large_transactions_end(&client).await;
    what_raft_cannot_carry_is_refused(&client).await;
    async_commit_is_refused(&client).await;
    one_phase_commits_lose_no_update(&client).await;
    raw_calls_are_refused(&servers.pd).await;
}

async fn absent_keys_are_absent(client: &TransactionClient) {
    assert_eq!(get(client, "absent").await, None);
    put(client, &[("absent", 1)]).await.unwrap();
    let mut transaction = client.begin_with_options(options()).await.unwrap();
    transaction.delete("absent".to_owned()).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(get(client, "absent").await, None);
}

async fn scans_are_as_documented(client: &TransactionClient) {
    put(client, &[("b/1", 10), ("b/2", 20), ("b/3", 30), ("c/1", 40)]).await.unwrap();
    let now = client.current_timestamp().await.unwrap();
    let mut snapshot = client.snapshot(now, options());
    let range = || BoundRange::from(Key::from("b/".to_owned())..Key::from("c/".to_owned()));
    let text = |key: Key| String::from_utf8(key.into()).unwrap();

    let pairs: Vec<_> = snapshot.scan(range(), 2).await.unwrap().collect();
    let sizes: Vec<_> = pairs.into_iter().map(|pair| (text(pair.0), pair.1.len())).collect();
    assert_eq!(sizes, [("b/1".to_owned(), 10), ("b/2".to_owned(), 20)], "a limit");

    let keys: Vec<_> = snapshot.scan_keys(range(), 10).await.unwrap().map(text).collect();
    assert_eq!(keys, ["b/1", "b/2", "b/3"], "keys alone");

    let pairs: Vec<_> = snapshot.scan_reverse(range(), 2).await.unwrap().collect();
    let keys: Vec<_> = pairs.into_iter().map(|pair| text(pair.0)).collect();
    assert_eq!(keys, ["b/3", "b/2"], "backwards");
}

/// More than one raft entry carries, in one region: committed, readable, and its keys free again.
async fn large_transactions_end(client: &TransactionClient) {
    let names: Vec<_> = (0..10).map(|number| format!("large/{number}")).collect();
    let rows: Vec<_> = names.iter().map(|name| (name.as_str(), 2 * MIB)).collect();
    put(client, &rows).await.unwrap();
    for name in &names {
        assert_eq!(get(client, name).await.map(|value| value.len()), Some(2 * MIB));
    }
    put(client, &[("large/9", 1)]).await.unwrap();
}

async fn what_raft_cannot_carry_is_refused(client: &TransactionClient) {
    assert!(put(client, &[("huge", 8 * MIB)]).await.is_err());
    // No lock was left behind, and the region is as well as before.
    assert_eq!(get(client, "huge").await, None);
    put(client, &[("huge", 7 * MIB)]).await.unwrap();
    assert_eq!(get(client, "huge").await.map(|value| value.len()), Some(7 * MIB));
}

async fn async_commit_is_refused(client: &TransactionClient) {
    let mut transaction = client.begin_with_options(options().use_async_commit()).await.unwrap();
    transaction.put("async".to_owned(), "value".to_owned()).await.unwrap();
    let refused = transaction.commit().await.unwrap_err();
    assert!(format!("{refused:?}").contains("async commit is not served"), "{refused:?}");
    assert_eq!(get(client, "async").await, None);
}

/// Two writers count with one-phase commits: what each read must still hold when it writes.
async fn one_phase_commits_lose_no_update(client: &TransactionClient) {
    const WRITERS: usize = 4;
    const EACH: usize = 150;
    let counting: Vec<_> = (0..WRITERS)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                let mut counted = 0;
                for _ in 0..EACH {
                    counted += usize::from(count_one(client.clone()).await);
                }
                counted
            })
        })
        .collect();
    let mut acknowledged = 0;
    for writer in counting {
        acknowledged += writer.await.unwrap();
    }
    let counter = get(client, "counter").await.unwrap();
    assert_eq!(String::from_utf8(counter).unwrap(), acknowledged.to_string());
}

/// One more, unless another writer came first.
async fn count_one(client: TransactionClient) -> bool {
    let mut transaction = client.begin_with_options(options().try_one_pc()).await.unwrap();
    let read = transaction.get("counter".to_owned()).await.unwrap();
    let count: usize = read.map_or(0, |value| String::from_utf8(value).unwrap().parse().unwrap());
    transaction.put("counter".to_owned(), (count + 1).to_string()).await.unwrap();
    transaction.commit().await.is_ok()
}

async fn raw_calls_are_refused(pd: &str) {
    let raw = RawClient::new(vec![pd]).await.unwrap();
    assert!(raw.put("raw".to_owned(), "value".to_owned()).await.is_err());
    assert!(raw.get("raw".to_owned()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_disk_is_full_refuses_writes_and_reads_on() {
    let scratch = Scratch::new("disk-full");
    let options = ["--base-port", "0", "--stores", "1"];
    let servers = Servers::start_with(&scratch.0, &options);
    put(&connect(&servers.pd).await, &[("kept", 10)]).await.unwrap();
    drop(servers);

    let full = [&options[..], &["--disk-limit", "1MiB"]].concat();
    let servers = Servers::start_with(&scratch.0, &full);
    let client = connect(&servers.pd).await;
    assert_eq!(get(&client, "kept").await.map(|value| value.len()), Some(10));
    let refused = put(&client, &[("more", 10)]).await.unwrap_err();
    assert!(format!("{refused:?}").contains("disk"), "{refused:?}");
    assert_eq!(get(&client, "more").await, None);
}
