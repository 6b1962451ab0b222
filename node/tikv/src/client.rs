//! The client: how it opens, what its calls share, and how it closes. The calls themselves are in
//! [`crate::reads`] and [`crate::writes`].

use std::{
    future::Future,
    ops::Range,
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tikv_client::{
    Backoff, CheckLevel, RetryOptions, Snapshot, TransactionClient, TransactionOptions,
    backoff::OPTIMISTIC_BACKOFF, transaction::HeartbeatOption,
};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::{Semaphore, watch},
};

use crate::{
    Settings, Trouble,
    connection::{Connections, Threads},
    effort::{Effort, Kind, Observer},
    reach::{Reach, Reachable},
    settings::{CALLS_MAX, KIB_UNDER_WAY_MAX},
    trouble::Failure,
};

/// How often to look whether TiKV is back, while it is away.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Keys and values of PD and TiKV. Cheap to clone; all clones share connections and limits.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) connections: Connections,
    pub(crate) reach: Reach,
    pub(crate) calls: Arc<Semaphore>,
    pub(crate) kib: Arc<Semaphore>,
    pub(crate) observer: Option<Observer>,
    closing: watch::Sender<bool>,
    probing: AtomicBool,
    /// What waits runs here; what speaks to TiKV runs on the connection's own.
    pub(crate) threads: Threads,
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
        Self::open_with(settings, None)
    }

    /// The same, and the observer hears of every call once it is over.
    ///
    /// # Errors
    /// [`Trouble::Refused`] when the settings can never work.
    pub fn open_observed(settings: Settings, observer: Observer) -> Result<Self, Trouble> {
        Self::open_with(settings, Some(observer))
    }

    fn open_with(settings: Settings, observer: Option<Observer>) -> Result<Self, Trouble> {
        let settings = settings.checked()?;
        let threads =
            Threads::start("tikv").map_err(|error| Trouble::Refused(error.to_string()))?;
        let shared = Shared {
            connections: Connections::new(settings.clone()),
            settings,
            reach: Reach::new(),
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            kib: Arc::new(Semaphore::new(KIB_UNDER_WAY_MAX)),
            observer,
            closing: watch::Sender::new(false),
            probing: AtomicBool::new(false),
            threads,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Waits for a call from a thread that is no task: how code that is not async calls.
    /// From a task it works too, and blocks its worker.
    pub fn wait<T, F>(&self, call: impl FnOnce(Self) -> F) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let call = self.shared.threads.handle().spawn(call(self.clone()));
        self.shared.threads.handle().spawn(async move {
            // Nobody listens when the caller's thread is gone.
            let _ = sender.send(call.await);
        });
        let receive = || receiver.recv().expect("the runtime lives as long as its client");
        let blocks_a_worker = Handle::try_current()
            .is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
        let result = if blocks_a_worker { tokio::task::block_in_place(receive) } else { receive() };
        // A panic in the call goes on in its caller.
        result.unwrap_or_else(|error| resume_unwind(error.into_panic()))
    }

    /// Whether TiKV can be reached, and every change of that. Without calls it finds out by itself
    /// when TiKV comes back, but not when it goes.
    pub fn reachable(&self) -> watch::Receiver<Reachable> {
        self.shared.reach.watch()
    }

    /// Ends every call under way, and fails every later one, as [`Trouble::Unreachable`].
    pub fn close(&self) {
        self.shared.closing.send_replace(true);
        self.shared.connections.end();
    }

    /// How many tasks the connection has now: for metrics, and for the tests that look for leaks.
    pub fn tasks(&self) -> usize {
        self.shared.connections.tasks()
    }

    pub(crate) async fn begin(
        &self,
        kind: Kind,
        bytes: usize,
        among: Option<Range<Vec<u8>>>,
    ) -> Result<Effort, Trouble> {
        Effort::begin(&self.shared, kind, bytes, among).await
    }
}

impl Shared {
    /// Returns once the client closes.
    pub(crate) async fn closed(&self) {
        let mut closing = self.closing.subscribe();
        // The sender is in here, so an error cannot be.
        let _ = closing.wait_for(|closing| *closing).await;
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.closing.borrow()
    }

    /// Asks for the key that could not be had, every second, until it can.
    pub(crate) fn look_for_return(this: &Arc<Self>) {
        if this.probing.swap(true, Ordering::SeqCst) {
            return;
        }
        let weak = Arc::downgrade(this);
        this.threads.handle().spawn(async move {
            loop {
                tokio::time::sleep(PROBE_EVERY).await;
                let Some(shared) = weak.upgrade() else { return };
                if shared.is_closed() {
                    return;
                }
                if shared.reach.is_yes() {
                    shared.probing.store(false, Ordering::SeqCst);
                    // It may have gone again in between, and found this probe still there.
                    if shared.reach.is_yes() || shared.probing.swap(true, Ordering::SeqCst) {
                        return;
                    }
                    continue;
                }
                let key = shared.reach.key();
                let effort = Effort::without_turn(&shared, Kind::Probe);
                let probe = effort
                    .attempt(|client| async move { Ok(snapshot(&client).await?.get(key).await?) });
                if let Err(failure) = probe.await {
                    tracing::debug!(why = failure.words, "TiKV is still away");
                }
            }
        });
    }
}

/// Never a panic on drop, no task that sleeps after the end, and patience in small pieces: what
/// lasts is left to the attempts, which know when to connect anew.
pub(crate) fn options() -> TransactionOptions {
    let region = Backoff::no_jitter_backoff(5, 200, 7);
    TransactionOptions::new_optimistic()
        .drop_check(CheckLevel::None)
        .heartbeat_option(HeartbeatOption::NoHeartbeat)
        .retry_options(RetryOptions::new(region, OPTIMISTIC_BACKOFF))
}

pub(crate) async fn snapshot(client: &TransactionClient) -> Result<Snapshot, Failure> {
    let now = client.current_timestamp().await?;
    Ok(client.snapshot(now, options()))
}
