//! The program around [`reconcile`](crate::reconcile::reconcile): watches, leader election, the admin
//! port, workers, and the end of all of them. A process stands by with warm caches until it leads.

pub mod command;
mod context;
pub(crate) mod queue;
mod quiet;

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use kube::Client;
use tokio::{net::TcpListener, task::JoinSet};
use tracing::{Instrument, error, info, info_span, warn};

pub use context::{Context, ReconcileError};
pub use queue::Pass;
use queue::Queue;

use crate::{
    clock::{self, Stopwatch},
    gate::gated,
    leader::{Candidate, Fence},
    metrics::Metrics,
    names::ClusterName,
    observe::{probe::Prober, watch::Watches},
    reconcile::reconcile,
    server::{Readiness, serve},
};

/// How long the work that is under way may take to end when the process has to.
const DRAIN: Duration = Duration::from_secs(5);
/// How often what is only counted now and then is counted.
const COUNT: Duration = Duration::from_secs(10);

/// How the operator runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespaces whose clusters it looks after; all when there are none.
    pub namespaces: Vec<String>,
    /// The image of validators when nobody names one.
    pub default_image: String,
    /// Clusters that are looked at at the same time.
    pub concurrency: usize,
    /// How long a validator's answer is waited for.
    pub probe_wait: Duration,
    /// After how long a cluster is looked at again when nothing happened.
    pub look: Duration,
    /// Namespace and name of the Lease.
    pub lease: (String, String),
    /// Where `/livez`, `/readyz` and `/metrics` are; nowhere when there is none.
    pub listen: Option<SocketAddr>,
    /// Who this process is, in the Lease.
    pub identity: String,
}

impl Settings {
    /// A name for this process that no other has.
    #[must_use]
    pub fn identity(host: &str) -> String {
        format!("{host}-{:016x}", clock::dice())
    }
}

/// Why the operator could not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Somebody else has the port.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
}

/// The operator. Made once; [`Operator::run`] is its life.
pub struct Operator {
    settings: Settings,
    unfenced: Client,
    fence: Fence,
    readiness: Arc<Readiness>,
    watches: Arc<Watches>,
    queue: Arc<Queue>,
    context: Arc<Context>,
    /// What it counts.
    pub metrics: Arc<Metrics>,
}

impl Operator {
    /// `client` should not retry by itself: the passes do, and know when to stop.
    #[must_use]
    pub fn new(client: &Client, settings: Settings) -> Self {
        let metrics = Arc::new(Metrics::new());
        let fence = Fence::default();
        let unfenced = gated(client.clone(), metrics.clone(), None);
        let client = gated(client.clone(), metrics.clone(), Some(fence.clone()));
        let queue = Arc::new(Queue::default());
        let watches =
            Watches::new(client.clone(), &settings.namespaces, metrics.clone(), queue.clone());
        let watches = Arc::new(watches);
        let prober = Prober::new(settings.probe_wait, metrics.clone());
        let context = Context::new(client, watches.clone(), prober, &settings);
        let (context, readiness) = (Arc::new(context), Arc::default());
        Self { settings, unfenced, fence, readiness, watches, queue, context, metrics }
    }

    /// Runs until `stop` ends; then what is under way is ended, and the Lease given back.
    ///
    /// # Errors
    /// It could not start.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), RunError> {
        let mut tasks = JoinSet::new();
        if let Some(address) = self.settings.listen {
            let listener = TcpListener::bind(address).await;
            let listener = listener.map_err(|error| RunError::Listen(address, error))?;
            tasks.spawn(serving(listener, self.readiness.clone(), self.metrics.clone()));
        }
        let mut stop = std::pin::pin!(stop);
        let (namespace, name) = &self.settings.lease;
        let mut candidate = Candidate::new(
            self.unfenced.clone(),
            namespace,
            name,
            self.settings.identity.clone(),
            self.fence.clone(),
        );
        tokio::select! {
            () = stop.as_mut() => return Ok(()),
            () = self.prepare(&mut tasks) => {}
        }
        loop {
            tokio::select! {
                () = stop.as_mut() => break,
                () = candidate.lead() => {}
            }
            let mut workers = self.work();
            let stopped = tokio::select! {
                () = stop.as_mut() => true,
                () = candidate.keep() => false,
            };
            self.metrics.leader.set(0);
            if stopped {
                self.drain(&mut workers, &mut candidate).await;
                break;
            }
            // Somebody else may lead by now. The gate lets nothing through any more; this saves the effort.
            workers.workers.shutdown().await;
            self.queue.reset();
        }
        candidate.release().await;
        Ok(())
    }

    /// Waits for the CRD and the first lists.
    async fn prepare(&self, tasks: &mut JoinSet<()>) {
        self.readiness
            .waits("the CRD BlockchainCluster is not installed: install the chart cairn-crds");
        self.watches.crd_is_there().await;
        self.readiness.waits("the API server has not listed everything yet");
        tasks.spawn(self.watches.clone().run());
        tasks.spawn(count(self.watches.clone(), self.queue.clone(), self.metrics.clone()));
        self.watches.are_synced().await;
        self.readiness.works();
        info!(clusters = self.watches.cache.clusters().len(), "has seen everything, stands by");
    }

    fn work(&self) -> Workers {
        self.metrics.leader.set(1);
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let mut workers = JoinSet::new();
        self.queue.wake_all(
            self.watches.cache.clusters().iter().map(|c| crate::observe::cache::place(c)),
        );
        for _ in 0..self.settings.concurrency.max(1) {
            let mut stopped = stopped.clone();
            let (queue, context) = (self.queue.clone(), self.context.clone());
            let metrics = self.metrics.clone();
            workers.spawn(async move {
                loop {
                    let name = tokio::select! {
                        biased;
                        _ = stopped.wait_for(|stopped| *stopped) => return,
                        name = queue.next() => name,
                    };
                    let pass = pass(&name, &context, &metrics).await;
                    queue.finish(name, pass);
                }
            });
        }
        Workers { workers, stop }
    }

    /// Lets the passes that run come to their end, while the Lease is still renewed.
    async fn drain(&self, workers: &mut Workers, candidate: &mut Candidate) {
        workers.stop.send_replace(true);
        let all = async { while workers.workers.join_next().await.is_some() {} };
        tokio::select! {
            () = all => {}
            () = candidate.keep() => {}
            () = tokio::time::sleep(DRAIN) => warn!("passes did not end in time: ends without them"),
        }
        workers.workers.shutdown().await;
    }
}

struct Workers {
    workers: JoinSet<()>,
    stop: tokio::sync::watch::Sender<bool>,
}

/// One pass, its log lines and its figures.
async fn pass(name: &ClusterName, context: &Context, metrics: &Metrics) -> Pass {
    let generation = context.generation(name);
    let span = info_span!("pass", cluster = %name, generation);
    metrics.active.inc();
    let begun = Stopwatch::start();
    let result = reconcile(name, context).instrument(span.clone()).await;
    metrics.active.dec();
    let (pass, outcome) = match result {
        Ok(Pass::Written) => (Pass::Written, "written"),
        Ok(pass @ Pass::Unchanged(_)) => (pass, "unchanged"),
        Ok(pass) => (pass, "settled"),
        Err(error) => {
            let _within = span.enter();
            let (kind, first, most) = error.weight();
            metrics.errors.with_label_values(&[kind]).inc();
            match kind {
                "bug" => error!(%error, "the pass was given up"),
                _ => warn!(%error, kind, "the pass failed"),
            }
            let progress = matches!(error, ReconcileError::Apply { progress: true, .. });
            (Pass::Failed { first, most, progress }, "failed")
        }
    };
    metrics.passes.with_label_values(&[outcome]).observe(begun.elapsed().as_secs_f64());
    pass
}

async fn serving(listener: TcpListener, readiness: Arc<Readiness>, metrics: Arc<Metrics>) {
    if let Err(error) = serve(listener, readiness, metrics).await {
        error!(%error, "the admin port is gone");
    }
}

/// Counts clusters by what their conditions say, and what waits.
async fn count(watches: Arc<Watches>, queue: Arc<Queue>, metrics: Arc<Metrics>) {
    loop {
        tokio::time::sleep(COUNT).await;
        let (due, oldest) = queue.load();
        metrics.queue_depth.set(i64::try_from(due).unwrap_or(i64::MAX));
        metrics.pass_age.set(oldest.as_secs_f64());
        metrics.clusters.reset();
        metrics.conditions.reset();
        for cluster in watches.cache.clusters() {
            let conditions = cluster.status.iter().flat_map(|status| &status.conditions);
            for condition in conditions.clone().filter(|condition| condition.status == "True") {
                metrics.conditions.with_label_values(&[&condition.type_]).inc();
            }
            let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
            let reason = ready.map_or("Unknown", |ready| ready.reason.as_str());
            metrics.clusters.with_label_values(&[reason]).inc();
        }
    }
}
