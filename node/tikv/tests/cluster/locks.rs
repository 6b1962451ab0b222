//! What dead writers leave behind, and what nobody needs any more.

use std::time::Duration;

use cairn_tikv::{Client, Write};
use tikv_client::{
    BoundRange, CheckLevel, Key, TransactionClient, TransactionOptions,
    transaction::HeartbeatOption,
};

use super::world::{client, key, shared_pd, until};

const KEYS: usize = 300;

/// Begins to write all keys, the one that decides first or last, and dies after a while. Its tasks die with it.
async fn die_while_writing(pd: String, test: String, decides: usize, after: Duration) {
    let life =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (begins, has_begun) = tokio::sync::oneshot::channel();
    life.spawn(async move {
        let client = TransactionClient::new(vec![pd]).await.unwrap();
        let options = TransactionOptions::new_optimistic()
            .drop_check(CheckLevel::None)
            .heartbeat_option(HeartbeatOption::NoHeartbeat);
        let mut transaction = client.begin_with_options(options).await.unwrap();
        // The first that it is told decides; locked they are in the order of the keys.
        for number in std::iter::once(decides).chain(0..KEYS) {
            transaction.put(key(&test, number), vec![9; 8 << 10]).await.unwrap();
        }
        begins.send(()).unwrap();
        let _ = transaction.commit().await;
    });
    has_begun.await.unwrap();
    tokio::time::sleep(after).await;
    life.shutdown_background();
}

/// The keys that are locked.
async fn locked(pd: &str, test: &str) -> Vec<Vec<u8>> {
    let client = TransactionClient::new(vec![pd]).await.unwrap();
    let now = client.current_timestamp().await.unwrap();
    let range = BoundRange::from(Key::from(key(test, 0))..Key::from(key(test, KEYS)));
    let locks = client.scan_locks(&now, range, 1000).await.unwrap();
    locks.into_iter().map(|lock| lock.key).collect()
}

/// Kills writers until one leaves locks, and has not committed; with or without the lock of the key
/// that decides. Says where.
async fn leave_locks(test: &str, decides: usize, with_the_one_that_decides: bool) -> String {
    let (client, pd) = (client().await, shared_pd());
    let mut round = 0;
    until("a writer dies in its first phase", async || {
        round += 1;
        let test = format!("{test}-{round}");
        let after = Duration::from_millis(5 * round % 200);
        die_while_writing(pd.clone(), test.clone(), decides, after).await;
        let locked = locked(&pd, &test).await;
        let decided = locked.contains(&key(&test, decides));
        if locked.is_empty() || decided != with_the_one_that_decides {
            return None;
        }
        let committed = !decided && client.get(key(&test, decides)).await.unwrap().is_some();
        (!committed).then_some(test)
    })
    .await
}

/// Whoever reads or writes gets on, and what the dead one wrote is in as a whole or not at all.
async fn gets_on(test: &str) {
    let client = client().await;
    let keys: Vec<_> = (0..KEYS).map(|number| key(test, number)).collect();
    let found = client.get_many(keys.clone()).await.unwrap().len();
    assert!([0, KEYS].contains(&found), "{found}");
    client.write(keys.into_iter().map(|key| Write::Put(key, vec![1])).collect()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_ever_for_a_writer_that_died() {
    gets_on(&leave_locks("orphan", 0, true).await).await;
}

/// `tikv-client` by itself would wait for ever here.
#[tokio::test(flavor = "multi_thread")]
async fn nor_for_one_that_died_before_it_locked_the_key_that_decides() {
    gets_on(&leave_locks("headless", KEYS - 1, false).await).await;

    // The same for one who does not read first, and for one who reads something else.
    let all = |test: &str| -> Vec<Write> {
        (0..KEYS).map(|number| Write::Put(key(test, number), vec![1])).collect()
    };
    let client = client().await;
    let test = leave_locks("headless-write", KEYS - 1, false).await;
    client.write(all(&test)).await.unwrap();
    let test = leave_locks("headless-update", KEYS - 1, false).await;
    let decide = move |_: &[Option<Vec<u8>>]| Ok::<_, ()>((all(&test), ()));
    client.update(vec![key("else", 0)], decide).await.unwrap().unwrap();
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
