//! What dead writers leave behind, and what nobody needs any more.

use std::time::Duration;

use cairn_tikv::{Client, Write};
use tikv_client::{
    BoundRange, CheckLevel, Key, TransactionClient, TransactionOptions,
    transaction::HeartbeatOption,
};
use tokio::runtime::Builder;

use super::world::{client, key, shared_pd, until};

const KEYS: usize = 300;

/// Begins to write all keys, and dies when the first of them are locked. Its tasks die with it.
async fn die_while_writing(locks: &Locks, test: &str, decides: usize) {
    let life = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (pd, own) = (locks.pd.clone(), test.to_owned());
    let writing = life.spawn(async move {
        let client = TransactionClient::new(vec![pd]).await.unwrap();
        let options = TransactionOptions::new_optimistic()
            .drop_check(CheckLevel::None)
            .heartbeat_option(HeartbeatOption::NoHeartbeat);
        let mut transaction = client.begin_with_options(options).await.unwrap();
        // The first that it is told decides.
        for number in std::iter::once(decides).chain(0..KEYS) {
            transaction.put(key(&own, number), vec![9; 8 << 10]).await.unwrap();
        }
        let _ = transaction.commit().await;
    });
    while !writing.is_finished() && locks.of(test).await.is_empty() {}
    life.shutdown_background();
    // What it sent may still come in.
    let mut seen = locks.of(test).await.len();
    until("no more locks come", async || {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = locks.of(test).await.len();
        (std::mem::replace(&mut seen, now) == now).then_some(())
    })
    .await;
}

/// A look at what is locked.
struct Locks {
    pd: String,
    client: TransactionClient,
}

impl Locks {
    async fn open() -> Self {
        client().await;
        let pd = shared_pd();
        Self { client: TransactionClient::new(vec![pd.clone()]).await.unwrap(), pd }
    }

    /// The keys that are.
    async fn of(&self, test: &str) -> Vec<Vec<u8>> {
        let now = self.client.current_timestamp().await.unwrap();
        let all = key(test, 0)..key(test, KEYS);
        let range = BoundRange::from(Key::from(all.start.clone())..Key::from(all.end.clone()));
        let locks = self.client.scan_locks(&now, range, 1000).await.unwrap();
        locks.into_iter().map(|lock| lock.key).filter(|key| all.contains(key)).collect()
    }
}

/// Kills writers until one leaves locks, and has not committed; with or without the lock of the key
/// that decides. Says where.
async fn leave_locks(test: &str, with_the_one_that_decides: bool) -> String {
    let (client, locks) = (client().await, Locks::open().await);
    let mut round = 0;
    until("a writer dies in its first phase", async || {
        round += 1;
        // Which of them are locked first is chance.
        let decides = [0, KEYS - 1, KEYS / 2][round % 3];
        let test = format!("{test}-{round}");
        die_while_writing(&locks, &test, decides).await;
        let locked = locks.of(&test).await;
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
    gets_on(&leave_locks("orphan", true).await).await;
}

/// `tikv-client` by itself would wait for ever here.
#[tokio::test(flavor = "multi_thread")]
async fn nor_for_one_that_died_before_it_locked_the_key_that_decides() {
    gets_on(&leave_locks("headless", false).await).await;

    // The same for one who does not read first, and for one who reads something else.
    let all = |test: &str| -> Vec<Write> {
        (0..KEYS).map(|number| Write::Put(key(test, number), vec![1])).collect()
    };
    let client = client().await;
    let test = leave_locks("headless-write", false).await;
    client.write(all(&test)).await.unwrap();
    let test = leave_locks("headless-update", false).await;
    let decide = move |_: &[Option<Vec<u8>>]| Ok::<_, ()>((all(&test), ()));
    client.update(vec![key("zz-else", 0)], decide).await.unwrap().unwrap();
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
