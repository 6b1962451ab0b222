//! The calls.

use std::{
    collections::HashMap, future::Future, ops::Range, path::PathBuf, sync::Arc, time::Duration,
};

use tikv_client::{
    BoundRange, CheckLevel, Config, Key, Snapshot, Transaction, TransactionClient,
    TransactionOptions, transaction::HeartbeatOption,
};
use tokio::{runtime::Runtime, sync::Mutex};

use crate::Trouble;

/// A key with its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// The files that TLS to PD and TiKV needs; TiKV checks its clients' certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Whom to trust.
    pub authority: PathBuf,
    /// This client's certificate.
    pub certificate: PathBuf,
    /// And its key.
    pub key: PathBuf,
}

/// Where TiKV is, and how long to wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// PD's client endpoints, as host:port; one is enough to find the others.
    pub pd: Vec<String>,
    /// Plain text without.
    pub tls: Option<TlsFiles>,
    /// How long a call may take in all, its retries included.
    pub within: Duration,
    /// How long one attempt may take.
    pub attempt_within: Duration,
}

impl Settings {
    /// The defaults for a PD.
    pub fn of(pd: Vec<String>) -> Self {
        Self {
            pd,
            tls: None,
            within: Duration::from_secs(10),
            attempt_within: Duration::from_secs(3),
        }
    }
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// The key gets this value, which is not empty.
    Put(Vec<u8>, Vec<u8>),
    /// The key goes.
    Delete(Vec<u8>),
}

/// What became of an insert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The key holds the value that was to be inserted, by this call or an earlier one.
    Yes,
    /// The key holds another value.
    Taken(Vec<u8>),
}

/// Keys and values of PD and TiKV. Cheap to clone; all clones share connections and limits.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    connected: Mutex<Option<TransactionClient>>,
    /// TiKV's client leaves tasks behind; they live and end here.
    runtime: Option<Runtime>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("pd", &self.shared.settings.pd).finish_non_exhaustive()
    }
}

impl Client {
    /// A client that connects with its first call: it opens also while TiKV is down.
    ///
    /// # Errors
    /// [`Trouble::Refused`] when the settings can never work.
    pub fn open(settings: Settings) -> Result<Self, Trouble> {
        if settings.pd.is_empty() {
            return Err(Trouble::Refused("no PD endpoint was given".to_owned()));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("tikv")
            .enable_all()
            .build()
            .map_err(|error| Trouble::Refused(error.to_string()))?;
        let shared = Shared { settings, connected: Mutex::default(), runtime: Some(runtime) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Waits for a call from a thread that is no task: how code that is not async calls.
    /// From a task of a multi-threaded runtime it works too, and blocks that worker.
    pub fn wait<T, F>(&self, call: impl FnOnce(Self) -> F) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let call = call(self.clone());
        let runtime = self.shared.runtime.as_ref().expect("it lives as long as its client");
        runtime.spawn(async move {
            // Nobody listens when the caller's thread is gone.
            let _ = sender.send(call.await);
        });
        let receive = || receiver.recv().expect("every call ends with a result");
        match tokio::runtime::Handle::try_current() {
            Ok(_) => tokio::task::block_in_place(receive),
            Err(_) => receive(),
        }
    }

    /// PD's time, in milliseconds since 1970: the clock that all share.
    ///
    /// # Errors
    /// [`Trouble::Unreachable`].
    pub async fn now_ms(&self) -> Result<u64, Trouble> {
        self.run(|client| async move {
            let now = client.current_timestamp().await?;
            Ok(u64::try_from(now.physical).unwrap_or_default())
        })
        .await
    }

    /// The value of a key, as of now.
    ///
    /// # Errors
    /// [`Trouble::Unreachable`].
    pub async fn get(&self, key: Vec<u8>) -> Result<Option<Vec<u8>>, Trouble> {
        self.run(move |client| {
            let key = key.clone();
            async move { snapshot(&client).await?.get(key).await }
        })
        .await
    }

    /// The values of those keys that have one, all as of one moment.
    ///
    /// # Errors
    /// [`Trouble::Unreachable`].
    pub async fn get_many(&self, keys: Vec<Vec<u8>>) -> Result<HashMap<Vec<u8>, Vec<u8>>, Trouble> {
        self.run(move |client| {
            let keys = keys.clone();
            async move {
                let found = snapshot(&client).await?.batch_get(keys).await?;
                Ok(found.map(|pair| (pair.0.into(), pair.1)).collect())
            }
        })
        .await
    }

    /// The first pairs of a range, or the last ones, going backwards; at most `most`. Fewer come only when there
    /// are no more.
    ///
    /// # Errors
    /// [`Trouble::Unreachable`].
    pub async fn scan(
        &self,
        range: Range<Vec<u8>>,
        most: u32,
        backwards: bool,
    ) -> Result<Vec<Pair>, Trouble> {
        self.run(move |client| {
            let range =
                BoundRange::from(Key::from(range.start.clone())..Key::from(range.end.clone()));
            async move {
                let mut snapshot = snapshot(&client).await?;
                let pairs: Vec<_> = if backwards {
                    snapshot.scan_reverse(range, most).await?.collect()
                } else {
                    snapshot.scan(range, most).await?.collect()
                };
                Ok(pairs.into_iter().map(|pair| (pair.0.into(), pair.1)).collect())
            }
        })
        .await
    }

    /// The first keys of a range, without their values; at most `most`. Fewer come only when there are no more.
    ///
    /// # Errors
    /// [`Trouble::Unreachable`].
    pub async fn scan_keys(
        &self,
        range: Range<Vec<u8>>,
        most: u32,
    ) -> Result<Vec<Vec<u8>>, Trouble> {
        self.run(move |client| {
            let range =
                BoundRange::from(Key::from(range.start.clone())..Key::from(range.end.clone()));
            async move {
                let mut snapshot = snapshot(&client).await?;
                Ok(snapshot.scan_keys(range, most).await?.map(Into::into).collect())
            }
        })
        .await
    }

    /// Writes a key that has no value. Says for certain what the key holds afterwards.
    ///
    /// # Errors
    /// [`Trouble::Refused`] for a value that is empty or too large; [`Trouble::Unreachable`] when it is not known whether it is in: the
    /// same call again finds out.
    pub async fn insert(&self, key: Vec<u8>, value: Vec<u8>) -> Result<Inserted, Trouble> {
        let tried = self
            .run({
                let (key, value) = (key.clone(), value.clone());
                move |client| {
                    let (key, value) = (key.clone(), value.clone());
                    async move {
                        let mut transaction = begin(&client, true).await?;
                        transaction.insert(key, value).await?;
                        transaction.commit().await.map(|_| ())
                    }
                }
            })
            .await;
        let Err(trouble) = tried else { return Ok(Inserted::Yes) };
        match self.get(key).await? {
            Some(there) if there == value => Ok(Inserted::Yes),
            Some(there) => Ok(Inserted::Taken(there)),
            None => Err(trouble),
        }
    }

    /// Writes rows that never change once written, in any order, some perhaps and others not when it fails.
    ///
    /// # Errors
    /// [`Trouble::Refused`] for a row that is empty or too large; [`Trouble::Unreachable`] when some may not be in.
    pub async fn put_each(&self, rows: Vec<Pair>) -> Result<(), Trouble> {
        self.write(rows.into_iter().map(|(key, value)| Write::Put(key, value)).collect()).await
    }

    /// Writes some keys, all or none, whatever they held. At most 4 MiB.
    ///
    /// # Errors
    /// [`Trouble::Refused`] for what is too large; [`Trouble::Unreachable`] when it is not known whether they are in.
    pub async fn write(&self, writes: Vec<Write>) -> Result<(), Trouble> {
        self.run(move |client| {
            let writes = writes.clone();
            async move {
                let mut transaction = begin(&client, false).await?;
                put(&mut transaction, writes).await?;
                transaction.commit().await.map(|_| ())
            }
        })
        .await
    }

    /// Reads keys and writes what `decide` makes of their values, as one step: whoever else writes one of the keys in between
    /// makes it read and decide again. `decide` gets the values in the order of the keys; an error from it is handed back
    /// and nothing is written. What it returns comes back once its writes are in.
    ///
    /// # Errors
    /// Those of [`Client::write`]. After [`Trouble::Unreachable`] the writes may be in: the same call again decides anew,
    /// so what decides must know its own writes when it sees them.
    pub async fn update<T, E>(
        &self,
        keys: Vec<Vec<u8>>,
        decide: impl Fn(&[Option<Vec<u8>>]) -> Result<(Vec<Write>, T), E> + Send + Sync + 'static,
    ) -> Result<Result<T, E>, Trouble>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let decide = Arc::new(decide);
        self.run(move |client| {
            let (keys, decide) = (keys.clone(), Arc::clone(&decide));
            async move {
                let mut transaction = begin(&client, false).await?;
                let mut values = Vec::with_capacity(keys.len());
                for key in keys {
                    values.push(transaction.get(key).await?);
                }
                let (writes, decided) = match decide(&values) {
                    Ok(decided) => decided,
                    Err(error) => {
                        transaction.rollback().await?;
                        return Ok(Err(error));
                    }
                };
                put(&mut transaction, writes).await?;
                transaction.commit().await?;
                Ok(Ok(decided))
            }
        })
        .await
    }

    /// One call, on the own runtime, with retries, within the time.
    async fn run<T, F>(
        &self,
        call: impl Fn(TransactionClient) -> F + Send + Sync + 'static,
    ) -> Result<T, Trouble>
    where
        T: Send + 'static,
        F: Future<Output = tikv_client::Result<T>> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let deadline = tokio::time::Instant::now() + shared.settings.within;
        let runtime =
            self.shared.runtime.as_ref().expect("it lives as long as its client").handle();
        let task = runtime.spawn(async move {
            loop {
                let attempt = async { call(shared.connect().await?).await };
                let within = shared.settings.attempt_within;
                let trouble = match tokio::time::timeout(within, attempt).await {
                    Ok(Ok(result)) => return Ok(result),
                    Ok(Err(error)) => Trouble::from(error),
                    Err(_) => Trouble::Unreachable(format!("no answer within {within:?}")),
                };
                if !matches!(trouble, Trouble::Unreachable(_))
                    || tokio::time::Instant::now() >= deadline
                {
                    return Err(trouble);
                }
                *shared.connected.lock().await = None;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        task.await.unwrap_or_else(|error| Err(Trouble::Bug(error.to_string())))
    }
}

impl Shared {
    async fn connect(&self) -> tikv_client::Result<TransactionClient> {
        let mut connected = self.connected.lock().await;
        if let Some(client) = &*connected {
            return Ok(client.clone());
        }
        let mut config = Config::default()
            .with_timeout(self.settings.attempt_within)
            .with_grpc_max_decoding_message_size(64 << 20);
        if let Some(tls) = &self.settings.tls {
            config = config.with_security(&tls.authority, &tls.certificate, &tls.key);
        }
        let client = TransactionClient::new_with_config(self.settings.pd.clone(), config).await?;
        *connected = Some(client.clone());
        Ok(client)
    }
}

/// Never a panic on drop, no task that sleeps after the end.
fn options() -> TransactionOptions {
    TransactionOptions::new_optimistic()
        .drop_check(CheckLevel::None)
        .heartbeat_option(HeartbeatOption::NoHeartbeat)
}

async fn snapshot(client: &TransactionClient) -> tikv_client::Result<Snapshot> {
    let now = client.current_timestamp().await?;
    Ok(client.snapshot(now, options()))
}

async fn begin(client: &TransactionClient, one_phase: bool) -> tikv_client::Result<Transaction> {
    let options = if one_phase { options().try_one_pc() } else { options() };
    client.begin_with_options(options).await
}

async fn put(transaction: &mut Transaction, writes: Vec<Write>) -> tikv_client::Result<()> {
    for write in writes {
        match write {
            Write::Put(key, value) => transaction.put(key, value).await?,
            Write::Delete(key) => transaction.delete(key).await?,
        }
    }
    Ok(())
}
