//! What a pass needs of the world, and why a pass can fail.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kube::Client;
use tracing::{debug, info, warn};

use super::{
    Settings,
    queue::Pass,
    quiet::{Quiet, gist},
};
use crate::{
    apply::{self, Applied, ApplyError},
    crd::{BlockchainCluster, BlockchainClusterStatus},
    events::Announcer,
    gate::NotLeading,
    names::ClusterName,
    observe::{Observed, cache::Written, look::Look, probe::Prober, watch::Watches},
    plan::{Plan, Progress, audit::Violation},
    report::announce,
};

/// How long the watches have to show what the pass before wrote. After that the API server is asked.
const CATCH_UP: Duration = Duration::from_secs(5);

/// How often a cluster is looked at while something is under way.
const LOOK_CLOSELY: Duration = Duration::from_secs(5);

/// A cluster as it was read, and what was seen of it.
pub(crate) type Seen = (Arc<BlockchainCluster>, Observed);

/// What a pass needs of the world.
pub struct Context {
    client: Client,
    watches: Arc<Watches>,
    prober: Prober,
    announcer: Announcer,
    default_image: String,
    look: Duration,
    /// What the last pass over each cluster wrote.
    written: Mutex<HashMap<ClusterName, Vec<Written>>>,
    quiet: Quiet,
}

/// Why a pass has to be tried again.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The API server did not answer, or not as it should.
    #[error("cannot {doing}: {source}")]
    Kubernetes {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        source: Box<kube::Error>,
    },
    /// A step was not carried out.
    #[error("{error}")]
    Apply {
        /// Why.
        error: ApplyError,
        /// Whether steps before it were.
        progress: bool,
    },
    /// The plan broke a rule: a bug of the operator, which did nothing.
    #[error("this is a bug of the operator, nothing was changed: {0}")]
    Audit(#[from] Violation),
}

impl ReconcileError {
    /// What kind it is, how long to wait, and how long at most.
    pub(super) fn weight(&self) -> (&'static str, Duration, Duration) {
        let seconds = Duration::from_secs;
        match self {
            Self::Kubernetes { source, .. } if is_not_leading(source) => {
                ("lost", seconds(1), seconds(1))
            }
            Self::Kubernetes { .. } | Self::Apply { error: ApplyError::Trouble { .. }, .. } => {
                ("trouble", Duration::from_millis(250), seconds(30))
            }
            // The next edit wakes it at once; until then, quotas and policies may change.
            Self::Apply { error: ApplyError::Refused { .. }, .. } => {
                ("refused", seconds(5), seconds(300))
            }
            Self::Apply { error: ApplyError::NameConflict(_), .. } => {
                ("conflict", seconds(10), seconds(120))
            }
            Self::Audit(_) => ("bug", seconds(60), seconds(600)),
        }
    }
}

fn is_not_leading(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Service(error) if error.is::<NotLeading>())
}

impl Context {
    pub(super) fn new(
        client: Client,
        watches: Arc<Watches>,
        prober: Prober,
        settings: &Settings,
    ) -> Self {
        let announcer = Announcer::new(client.clone(), &settings.identity);
        let default_image = settings.default_image.clone();
        let (written, look) = (Mutex::default(), settings.look);
        let quiet = Quiet::default();
        Self { client, watches, prober, announcer, default_image, look, written, quiet }
    }

    pub(super) fn generation(&self, name: &ClusterName) -> Option<i64> {
        self.watches.cache.cluster(name)?.metadata.generation
    }

    /// When to look again at a cluster where nothing happens: validators change without Kubernetes noticing.
    pub(crate) fn look_again(&self, progress: Option<&Progress>) -> Pass {
        Pass::Settled(match progress {
            None | Some(Progress::Settled | Progress::Paused | Progress::Suspended) => self.look,
            Some(_) => self.look.min(LOOK_CLOSELY),
        })
    }

    /// Nothing had to be done, and nothing to be told: when to look again.
    pub(crate) fn rests(
        &self,
        name: &ClusterName,
        cluster: &BlockchainCluster,
        observed: &Observed,
        progress: &Progress,
    ) -> Pass {
        let conditions = cluster.status.iter().flat_map(|status| &status.conditions);
        let is_ready = conditions.into_iter().any(|it| it.type_ == "Ready" && it.status == "True");
        if *progress == Progress::Settled && is_ready {
            self.quiet.rests(name, gist(observed.nodes.clone(), few(cluster)));
        }
        self.look_again(Some(progress))
    }

    /// Whether nothing has changed where nothing had to be done: then when to look again.
    pub(crate) async fn still_rests(&self, name: &ClusterName) -> Option<Pass> {
        let looking = self.looking();
        let Some(cluster) = self.watches.cache.cluster(name) else {
            self.quiet.forget(name);
            return None;
        };
        // It is older than all that is looked at after it: nothing changes unseen in between.
        let fingerprint = looking.fingerprint(&cluster)?;
        if !self.quiet.may_rest(name, fingerprint) {
            return None;
        }
        let said = gist(looking.said(&cluster).await, few(&cluster));
        self.quiet.rests_on(name, &said).then_some(Pass::Unchanged(self.look))
    }

    /// What is there, or nothing when the cluster is gone or going. It is never older than what the pass
    /// before wrote.
    pub(crate) async fn observe(&self, name: &ClusterName) -> Result<Option<Seen>, ReconcileError> {
        let written = self.written().get(name).cloned().unwrap_or_default();
        let caught_up = self.watches.cache.has_seen(name, &written);
        if tokio::time::timeout(CATCH_UP, caught_up).await.is_err() {
            debug!(cluster = %name, objects = written.len(), "the watches are behind: asks the API server");
            return self.observe_fresh(name).await;
        }
        self.written().remove(name);
        let Some(cluster) = self.watches.cache.cluster(name) else { return Ok(None) };
        if cluster.metadata.deletion_timestamp.is_some() {
            return Ok(None);
        }
        let observed = self.looking().cached(&cluster).await.map_err(reading)?;
        Ok(Some((cluster, observed)))
    }

    /// The same, asked of the API server.
    pub(crate) async fn observe_fresh(
        &self,
        name: &ClusterName,
    ) -> Result<Option<Seen>, ReconcileError> {
        let seen = self.looking().fresh(name).await.map_err(reading)?;
        Ok(seen.filter(|(cluster, _)| cluster.metadata.deletion_timestamp.is_none()))
    }

    /// Carries out a plan.
    pub(crate) async fn apply(
        &self,
        name: &ClusterName,
        observed: &Observed,
        plan: &Plan,
    ) -> Applied {
        let (applied, written) = apply::apply(&self.client, name, observed, plan).await;
        self.wrote(name, written);
        applied
    }

    /// Publishes the status and what is new in it. Whether there was anything new.
    pub(crate) async fn publish(
        &self,
        name: &ClusterName,
        cluster: &BlockchainCluster,
        status: BlockchainClusterStatus,
    ) -> Result<bool, ReconcileError> {
        if cluster.status.as_ref() == Some(&status) {
            return Ok(false);
        }
        let written = apply::write_status(&self.client, name, cluster, &status).await;
        let written = written.map_err(|error| ReconcileError::Kubernetes {
            doing: "publish the status",
            source: Box::new(error),
        })?;
        self.wrote(name, vec![written]);
        let announcements = announce(cluster.status.as_ref(), &status);
        for a in &announcements {
            match a.warning {
                true => warn!(reason = a.reason, action = a.action, note = a.note, "tells"),
                false => info!(reason = a.reason, action = a.action, note = a.note, "tells"),
            }
        }
        self.announcer.tell(cluster, announcements).await;
        Ok(true)
    }

    fn looking(&self) -> Look<'_> {
        Look {
            client: &self.client,
            cache: &self.watches.cache,
            prober: &self.prober,
            installed: self.watches.installed(),
            default_image: &self.default_image,
        }
    }

    fn written(&self) -> std::sync::MutexGuard<'_, HashMap<ClusterName, Vec<Written>>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wrote(&self, name: &ClusterName, written: Vec<Written>) {
        if !written.is_empty() {
            self.written().entry(name.clone()).or_default().extend(written);
        }
    }
}

/// Blocks that a validator may be behind and counts as caught up.
fn few(cluster: &BlockchainCluster) -> u64 {
    u64::from(cluster.spec.update.max_lag_blocks)
}

fn reading(error: kube::Error) -> ReconcileError {
    ReconcileError::Kubernetes { doing: "look at the cluster", source: Box::new(error) }
}
