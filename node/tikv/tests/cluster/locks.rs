//! What dead writers leave behind, and what nobody needs any more.

use std::time::Duration;

use cairn_tikv::{Client, Write};
use tikv_client::{
    BoundRange, CheckLevel, Key, TransactionClient, TransactionOptions,
    transaction::HeartbeatOption,
};

use super::world::{client, key, shared_pd, until};

const KEYS: usize = 300;

/// Begins to write all keys, and dies after a while. Its tasks die with it.
async fn die_while_writing(pd: String, after: Duration) {
    let life =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (begins, has_begun) = tokio::sync::oneshot::channel();
    life.spawn(async move {
        let client = TransactionClient::new(vec![pd]).await.unwrap();
        let options = TransactionOptions::new_optimistic()
            .drop_check(CheckLevel::None)
            .heartbeat_option(HeartbeatOption::NoHeartbeat);
        let mut transaction = client.begin_with_options(options).await.unwrap();
        for number in 0..KEYS {
            transaction.put(key("orphan", number), vec![9; 8 << 10]).await.unwrap();
        }
        begins.send(()).unwrap();
        let _ = transaction.commit().await;
    });
    has_begun.await.unwrap();
    tokio::time::sleep(after).await;
    life.shutdown_background();
}

async fn has_locks(pd: &str) -> bool {
    let client = TransactionClient::new(vec![pd]).await.unwrap();
    let now = client.current_timestamp().await.unwrap();
    let range = BoundRange::from(Key::from(key("orphan", 0))..Key::from(key("orphan", KEYS)));
    !client.scan_locks(&now, range, 1000).await.unwrap().is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_writer_does_not_keep_others_waiting_for_ever() {
    let client = client().await;
    let pd = shared_pd();
    let mut after = Duration::from_millis(1);
    until("a writer dies between its two phases", async || {
        die_while_writing(pd.clone(), after).await;
        after = (after * 2).min(Duration::from_millis(250));
        has_locks(&pd).await.then_some(())
    })
    .await;
    let keys: Vec<_> = (0..KEYS).map(|number| key("orphan", number)).collect();
    // It is in as a whole or not at all, and nobody waits for it any more.
    let found = client.get_many(keys.clone()).await.unwrap().len();
    assert!([0, KEYS].contains(&found), "{found}");
    let writes = keys.into_iter().map(|key| Write::Put(key, vec![1])).collect();
    client.write(writes).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_one_collects_the_garbage() {
    let (one, other) = (client().await, client().await);
    let space = cairn_tikv::Space::claim(one.clone(), "garbage", [1; 32]).await.unwrap();
    let housekeep = async |client: &Client, every| {
        client.housekeep(&space, every, Duration::from_secs(60)).await.unwrap()
    };
    let hour = Duration::from_secs(3600);
    let (mine, yours) = tokio::join!(housekeep(&one, hour), housekeep(&other, hour));
    assert!(mine != yours, "{mine} {yours}");
    assert!(!housekeep(&one, hour).await, "not before its time");
    assert!(housekeep(&other, Duration::ZERO).await, "but then again");
    let refused = one.collect_garbage(Duration::from_secs(1)).await;
    assert!(matches!(refused, Err(cairn_tikv::Trouble::Refused(_))), "{refused:?}");
}
