//! What these tests share: a directory, a client that finds its way again, a writer that remembers
//! what was acknowledged.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tikv_client::{
    CheckLevel, Config, TransactionClient, TransactionOptions, transaction::HeartbeatOption,
};
use tokio::{task::JoinHandle, time};

/// What has not happened by then will not happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// How long one attempt may take before it counts as lost.
const ATTEMPT: Duration = Duration::from_secs(3);

/// TiKV bounds an answer by pairs, not by bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A directory that goes when the test is over.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cairn-tikv-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Two phases, no panic on drop, no task that outlives the transaction.
pub(crate) fn options() -> TransactionOptions {
    TransactionOptions::new_optimistic()
        .drop_check(CheckLevel::None)
        .heartbeat_option(HeartbeatOption::NoHeartbeat)
}

/// A new client, as soon as PD gives one.
pub(crate) async fn connect(pd: &str) -> TransactionClient {
    let connecting = connect_at_last(pd.to_owned());
    time::timeout(DEADLINE, connecting).await.expect("PD lets a client in")
}

async fn connect_at_last(pd: String) -> TransactionClient {
    loop {
        let config = Config::default().with_grpc_max_decoding_message_size(ANSWER_BYTES_MAX);
        let connecting = TransactionClient::new_with_config(vec![pd.clone()], config);
        if let Ok(Ok(client)) = time::timeout(ATTEMPT, connecting).await {
            return client;
        }
        time::sleep(LOOK_EVERY).await;
    }
}

/// Looks until something is there.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Ok(Some(found)) = time::timeout(ATTEMPT, look()).await {
                return found;
            }
            time::sleep(LOOK_EVERY).await;
        }
    };
    let found = time::timeout(DEADLINE, looking).await;
    found.unwrap_or_else(|_| panic!("waited {DEADLINE:?} in vain: {what}"))
}

/// Inserts keys one after the other, each with its own value, and remembers those that were
/// acknowledged. After trouble it goes on with a new client and the next key.
pub(crate) struct Writer {
    pub(crate) acknowledged: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    writing: JoinHandle<Vec<usize>>,
}

impl Writer {
    pub(crate) fn start(pd: &str) -> Self {
        let (acknowledged, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let writing = tokio::spawn(write(pd.to_owned(), acknowledged.clone(), stop.clone()));
        Self { acknowledged, stop, writing }
    }

    /// Waits until so many more have been acknowledged.
    pub(crate) async fn progress(&self, more: usize) {
        let goal = self.acknowledged.load(Ordering::Relaxed) + more;
        until("writes go on", async || {
            (self.acknowledged.load(Ordering::Relaxed) >= goal).then_some(())
        })
        .await;
    }

    /// Ends it: which were acknowledged.
    pub(crate) async fn stop(self) -> Vec<usize> {
        self.stop.store(true, Ordering::Relaxed);
        self.writing.await.unwrap()
    }
}

async fn write(pd: String, acknowledged: Arc<AtomicUsize>, stop: Arc<AtomicBool>) -> Vec<usize> {
    let mut kept = Vec::new();
    let mut client = connect_at_last(pd.clone()).await;
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        // By turns, so that both kinds of commit are put to the test.
        let insert = insert(client.clone(), number, number % 2 == 0);
        if let Ok(Ok(())) = time::timeout(ATTEMPT, insert).await {
            kept.push(number);
            acknowledged.fetch_add(1, Ordering::Relaxed);
        } else {
            client = connect_at_last(pd.clone()).await;
        }
    }
    kept
}

async fn insert(client: TransactionClient, number: usize, one: bool) -> tikv_client::Result<()> {
    let kind = if one { options().try_one_pc() } else { options() };
    let mut transaction = client.begin_with_options(kind).await?;
    transaction.insert(key(number), value(number)).await?;
    // The servers are on trial here, and not `tikv-client`, which calls a commit done that it could not send
    // (`node/tikv/src/writes.rs` says when): what was said is what can be read at the commit's time.
    let at = transaction.commit().await?.expect("it has something to commit");
    match client.snapshot(at, options()).get(key(number)).await? {
        Some(there) if there == value(number) => Ok(()),
        _ => Err(tikv_client::Error::StringError("it was not sent".into())),
    }
}

/// All within one region.
pub(crate) fn key(number: usize) -> Vec<u8> {
    format!("a/{number:08}").into_bytes()
}

/// Different in size and content.
pub(crate) fn value(number: usize) -> Vec<u8> {
    format!("value {number} ").repeat(1 + number % 200).into_bytes()
}

/// Each of them is there, as it was written.
pub(crate) async fn assert_all_there(pd: &str, acknowledged: &[usize]) {
    for numbers in acknowledged.chunks(200) {
        let found = until("reads are answered", async || {
            let client = connect(pd).await;
            let now = client.current_timestamp().await.ok()?;
            let keys: Vec<_> = numbers.iter().map(|number| key(*number)).collect();
            let found = client.snapshot(now, options()).batch_get(keys).await.ok()?;
            Some(found.map(|pair| (pair.0.into(), pair.1)).collect::<Vec<(Vec<u8>, Vec<u8>)>>())
        })
        .await;
        let there = |number: &&usize| {
            found.iter().any(|(k, v)| *k == key(**number) && *v == value(**number))
        };
        let lost: Vec<_> = numbers.iter().filter(|number| !there(number)).collect();
        assert!(lost.is_empty(), "{lost:?} were acknowledged and are lost");
    }
}
