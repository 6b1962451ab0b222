//! The connection that all calls share, and its successors. `tikv-client` has calls that hang for
//! as long as PD does, tasks that outlive a cancelled call, and a cache that a dead leader spoils
//! for good. One cure for all three: each connection has a runtime of its own, and when it may have lost its way
//! a new one takes its place. The old one ends, with all its tasks, once the attempts that use it are over.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tikv_client::TransactionClient;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::OnceCell,
    task::{AbortHandle, JoinError, JoinHandle},
    time::{Instant, Sleep},
};

use crate::{
    Settings,
    trouble::{Failure, Next},
};

/// One is not replaced before this, and after one that never worked none is made for as long, or longer.
const GAP_MIN: Duration = Duration::from_millis(250);
const GAP_MAX: Duration = Duration::from_secs(1);

/// A runtime that may be dropped anywhere, also on its own threads.
pub(crate) struct Threads(Option<Runtime>);

impl Threads {
    pub(crate) fn start(name: &'static str) -> std::io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(2).thread_name(name).enable_all();
        Ok(Self(Some(builder.build()?)))
    }

    pub(crate) fn handle(&self) -> &Handle {
        self.0.as_ref().expect("it is taken by the drop alone").handle()
    }

    /// A sleep that works on whatever runtime it is awaited, also on one without a clock.
    pub(crate) fn sleep_until(&self, at: Instant) -> Sleep {
        let _inside = self.handle().enter();
        tokio::time::sleep_until(at)
    }

    /// What comes until then, or nothing.
    pub(crate) async fn until<F: Future>(&self, at: Instant, future: F) -> Option<F::Output> {
        let alarm = self.sleep_until(at);
        tokio::select! {
            biased;
            output = future => Some(output),
            () = alarm => None,
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A task that ends with whoever waits for it.
pub(crate) struct Task<T> {
    handle: JoinHandle<T>,
    abort: AbortHandle,
}

impl<T> Task<T> {
    pub(crate) fn of(handle: JoinHandle<T>) -> Self {
        Self { abort: handle.abort_handle(), handle }
    }

    pub(crate) async fn result(mut self) -> Result<T, JoinError> {
        (&mut self.handle).await
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

/// One client of TiKV's, with all its tasks.
pub(crate) struct Connection {
    pub(crate) number: u64,
    client: TransactionClient,
    threads: Threads,
    since: Instant,
    /// It has answered at least once.
    worked: AtomicBool,
}

impl Connection {
    pub(crate) fn spawn<T, F>(&self, call: impl FnOnce(TransactionClient) -> F) -> Task<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        Task::of(self.threads.handle().spawn(call(self.client.clone())))
    }

    pub(crate) fn has_worked(&self) {
        self.worked.store(true, Ordering::Relaxed);
    }

    pub(crate) fn tasks(&self) -> usize {
        self.threads.handle().metrics().num_alive_tasks()
    }
}

/// The way to the current connection.
pub(crate) struct Connections {
    settings: Settings,
    current: Mutex<Current>,
}

type Made = Result<Arc<Connection>, String>;

struct Current {
    number: u64,
    /// Made by the first that needs it; what comes of it is everybody's.
    made: Arc<OnceCell<Made>>,
    not_before: Instant,
    gap: Duration,
    /// What was wrong with the one before.
    why: String,
}

impl Connections {
    pub(crate) fn new(settings: Settings) -> Self {
        let current = Current {
            number: 0,
            made: Arc::default(),
            not_before: Instant::now(),
            gap: GAP_MIN,
            why: String::new(),
        };
        Self { settings, current: Mutex::new(current) }
    }

    /// The connection, made if there is none, unless the last try was a moment ago.
    /// Takes no longer than a request may.
    pub(crate) async fn get(&self, threads: &Threads) -> Result<Arc<Connection>, Failure> {
        let (number, made) = {
            let current = self.current.lock();
            if Instant::now() < current.not_before {
                return Err(Failure::new(Next::Later, current.why.clone()));
            }
            (current.number, Arc::clone(&current.made))
        };
        match made.get_or_init(|| self.make(threads, number)).await {
            Ok(connection) => Ok(Arc::clone(connection)),
            Err(words) => {
                self.replace(number, words);
                Err(Failure::new(Next::Later, words.clone()))
            }
        }
    }

    async fn make(&self, threads: &Threads, number: u64) -> Made {
        let settings = &self.settings;
        let own = Threads::start("tikv-io").map_err(|error| error.to_string())?;
        // One endpoint at a time: `tikv-client` asks one after the other without a time limit, and
        // would never come past one that hangs. The members name each other.
        let turn = usize::try_from(number).unwrap_or_default() % settings.pd.len();
        let endpoint = settings.pd[turn].clone();
        let client = TransactionClient::new_with_config(vec![endpoint.clone()], settings.config());
        let connecting = Task::of(own.handle().spawn(client));
        let within = settings.request_within();
        match threads.until(Instant::now() + within, connecting.result()).await {
            Some(Ok(Ok(client))) => Ok(Arc::new(Connection {
                number,
                client,
                threads: own,
                since: Instant::now(),
                worked: AtomicBool::new(false),
            })),
            Some(Ok(Err(error))) => Err(format!("PD at {endpoint}: {error}")),
            Some(Err(error)) => Err(format!("PD at {endpoint}: {error}")),
            None => Err(format!("PD at {endpoint} does not answer within {within:?}")),
        }
    }

    /// Whoever comes next makes a new one, unless that one is new already: many fail at once, and one
    /// store that is away must not keep the calls of others waiting for connection after connection.
    pub(crate) fn replace(&self, number: u64, why: &str) {
        let now = Instant::now();
        let mut current = self.current.lock();
        if current.number != number {
            return;
        }
        let worked = match current.made.get() {
            Some(Ok(connection)) if now < connection.since + GAP_MIN => return,
            Some(Ok(connection)) => connection.worked.load(Ordering::Relaxed),
            _ => false,
        };
        if worked {
            current.gap = GAP_MIN;
            current.not_before = now;
        } else {
            current.not_before = now + current.gap;
            current.gap = (current.gap * 2).min(GAP_MAX);
        }
        current.number += 1;
        why.clone_into(&mut current.why);
        current.made = Arc::default();
        tracing::info!(why, "the connection to TiKV is made anew");
    }

    /// Lets go of the current one.
    pub(crate) fn end(&self) {
        self.current.lock().made = Arc::default();
    }

    /// How many tasks the current connection has.
    pub(crate) fn tasks(&self) -> usize {
        match self.current.lock().made.get() {
            Some(Ok(connection)) => connection.tasks(),
            _ => 0,
        }
    }
}
