//! Who leads: one process, by a Lease. It is taken and renewed by replacing it with its `resourceVersion`,
//! so that of two who try, one fails. Whether another's Lease has ended is judged by how long *this* process
//! has seen it unchanged; no two clocks are compared. What a leader writes passes a [`Fence`], which closes
//! well before others may take the Lease.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tracing::{info, warn};

use crate::clock::{self, Stopwatch};

/// A Lease that was not renewed for so long is free.
pub const LEASE: Duration = Duration::from_secs(15);
/// Its holder stops to write when it has not renewed it for so long.
const FENCE: Duration = Duration::from_secs(10);
/// How often a holder renews it, and others look at it.
const RENEW: Duration = Duration::from_secs(2);
/// How long an answer is waited for.
const ANSWER: Duration = Duration::from_secs(4);
// A write that began just before the fence closed is over before the Lease is free.
const _: () = assert!(FENCE.as_secs() + ANSWER.as_secs() < LEASE.as_secs());

/// Whether this process may still write. Closed until it leads.
#[derive(Clone, Debug, Default)]
pub struct Fence(Arc<Mutex<Option<Stopwatch>>>);

impl Fence {
    /// Whether nobody else can have taken the Lease, as far as this process's stopwatch says.
    #[must_use]
    pub fn holds(&self) -> bool {
        let renewed = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        renewed.is_some_and(|renewed| renewed.elapsed() < FENCE)
    }

    fn set(&self, renewed: Option<Stopwatch>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = renewed;
    }
}

/// One that would lead.
pub struct Candidate {
    leases: Api<Lease>,
    name: String,
    identity: String,
    fence: Fence,
    seen: Option<Seen>,
}

/// A Lease as it was seen first, and since when it has not changed.
struct Seen {
    version: Option<String>,
    since: Stopwatch,
}

impl Candidate {
    /// Wants the Lease `name` in `namespace`. `client` must not pass the fence: this is who opens it.
    #[must_use]
    pub fn new(
        client: Client,
        namespace: &str,
        name: &str,
        identity: String,
        fence: Fence,
    ) -> Self {
        let leases = Api::namespaced(client, namespace);
        Self { leases, name: name.into(), identity, fence, seen: None }
    }

    /// Waits until this process leads.
    pub async fn lead(&mut self) {
        loop {
            if self.attempt().await {
                info!(identity = self.identity, lease = self.name, "leads");
                return;
            }
            tokio::time::sleep(clock::jittered(RENEW)).await;
        }
    }

    /// Renews the Lease, and ends when it may be somebody else's. The fence has closed by then.
    pub async fn keep(&mut self) {
        while self.fence.holds() {
            tokio::time::sleep(RENEW).await;
            self.attempt().await;
        }
        warn!(identity = self.identity, lease = self.name, "does not lead any more");
    }

    /// Closes the fence and gives the Lease back, so that another need not wait for its end.
    pub async fn release(&mut self) {
        self.fence.set(None);
        let held = tokio::time::timeout(ANSWER, self.leases.get_opt(&self.name)).await;
        let Ok(Ok(Some(mut lease))) = held else { return };
        if !self.is_mine(&lease) {
            return;
        }
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = None;
        spec.lease_duration_seconds = Some(1);
        let parameters = PostParams::default();
        let replace = self.leases.replace(&self.name, &parameters, &lease);
        match tokio::time::timeout(ANSWER, replace).await {
            Ok(Ok(_)) => info!(identity = self.identity, lease = self.name, "gave its Lease back"),
            Ok(Err(error)) => {
                warn!(%error, "could not give the Lease back: others wait for its end")
            }
            Err(_) => warn!("could not give the Lease back: others wait for its end"),
        }
    }

    /// Takes or renews the Lease, if it is free or ours. Whether it is ours for certain.
    async fn attempt(&mut self) -> bool {
        // What is written is as old as the moment before it was sent, not after it was answered.
        let begun = Stopwatch::start();
        match tokio::time::timeout(ANSWER, self.take()).await {
            Ok(Ok(true)) => {
                self.fence.set(Some(begun));
                true
            }
            Ok(Ok(false)) => {
                self.fence.set(None);
                false
            }
            // No answer, or a conflict: ours until the fence closes by itself, if it was.
            Ok(Err(error)) => {
                warn!(%error, lease = self.name, "cannot take the Lease");
                false
            }
            Err(_) => {
                warn!(lease = self.name, "no answer about the Lease");
                false
            }
        }
    }

    async fn take(&mut self) -> Result<bool, kube::Error> {
        let Some(mut lease) = self.leases.get_opt(&self.name).await? else {
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(self.terms(0)) };
            self.leases.create(&PostParams::default(), &lease).await?;
            return Ok(true);
        };
        if !self.is_mine(&lease) && !self.is_free(&lease) {
            return Ok(false);
        }
        let before = lease.spec.take().unwrap_or_default();
        let changes = before.lease_transitions.unwrap_or_default();
        lease.spec = Some(if before.holder_identity.as_deref() == Some(&self.identity) {
            LeaseSpec { acquire_time: before.acquire_time, ..self.terms(changes) }
        } else {
            self.terms(changes.saturating_add(1))
        });
        self.leases.replace(&self.name, &PostParams::default(), &lease).await?;
        Ok(true)
    }

    fn is_mine(&self, lease: &Lease) -> bool {
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
        holder == Some(&self.identity)
    }

    /// Whether nobody holds it: it says so, or it has not changed for as long as it lasts.
    fn is_free(&mut self, lease: &Lease) -> bool {
        let spec = lease.spec.as_ref();
        if spec.and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default().is_empty() {
            return true;
        }
        let version = lease.metadata.resource_version.clone();
        match &self.seen {
            Some(seen) if seen.version == version => {
                let seconds = spec.and_then(|spec| spec.lease_duration_seconds);
                let lasts = seconds.and_then(|seconds| u64::try_from(seconds).ok());
                seen.since.elapsed() >= lasts.map_or(LEASE, Duration::from_secs)
            }
            _ => {
                self.seen = Some(Seen { version, since: Stopwatch::start() });
                false
            }
        }
    }

    fn terms(&self, transitions: i32) -> LeaseSpec {
        let now = Some(MicroTime(clock::now()));
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE.as_secs()).ok(),
            acquire_time: now.clone(),
            renew_time: now,
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }
}
