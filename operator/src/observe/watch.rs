//! The watches: one of each kind, in each namespace or in all at once. A kind whose CRD comes with something
//! else is watched from when it is installed, which is looked at again every few minutes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind},
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt,
        utils::Backoff,
        watcher::{self, DefaultBackoff, Event, watcher},
    },
};
use serde_json::Value;
use tokio::task::{AbortHandle, JoinSet};
use tracing::{info, warn};

use super::cache::{Cache, Watch, Watched};
use crate::{
    crd::{ANNOTATION_SCHEMA, BlockchainCluster, schema_hash},
    manifest::Kind,
    metrics::Metrics,
    names::{ClusterName, FIELD_MANAGER, GROUP},
    run::queue::Queue,
};

/// How often optional kinds are looked for again.
const DISCOVER: Duration = Duration::from_secs(180);
/// How often the CRD is looked for, until it is there.
const CRD: Duration = Duration::from_secs(2);
/// The longest pause between attempts at a watch. kube's own half a minute would be waited for an API server
/// that is back already; a dozen watches every so many seconds are nothing that it would notice.
const AGAIN_MOST: Duration = Duration::from_secs(5);
/// Objects of one page of a list: a bound on what is held twice for a moment.
const PAGE: u32 = 100;

/// The watches, and what they fill.
pub(crate) struct Watches {
    client: Client,
    namespaces: Vec<Option<String>>,
    metrics: Arc<Metrics>,
    queue: Arc<Queue>,
    /// What they have brought.
    pub(crate) cache: Arc<Cache>,
    installed: Mutex<BTreeSet<Kind>>,
}

impl Watches {
    /// In these namespaces; in all, when there are none.
    #[must_use]
    pub(crate) fn new(
        client: Client,
        namespaces: &[String],
        metrics: Arc<Metrics>,
        queue: Arc<Queue>,
    ) -> Self {
        let one = |namespace: &String| Some(namespace.clone());
        let namespaces =
            if namespaces.is_empty() { vec![None] } else { namespaces.iter().map(one).collect() };
        Self {
            client,
            namespaces,
            metrics,
            queue,
            cache: Arc::default(),
            installed: Mutex::default(),
        }
    }

    /// Optional kinds that are installed.
    #[must_use]
    pub(crate) fn installed(&self) -> BTreeSet<Kind> {
        self.installed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends when the custom resource can be read.
    pub(crate) async fn crd_is_there(&self) {
        let mut told = false;
        while !self.is_served(Watched::Cluster).await.unwrap_or(false) {
            self.metrics.crd_missing.set(1);
            if !told {
                warn!(
                    "the API server does not know BlockchainCluster: install the chart cairn-crds; waits"
                );
                told = true;
            }
            tokio::time::sleep(CRD).await;
        }
        self.metrics.crd_missing.set(0);
        self.compare_crd().await;
    }

    /// Whether the CRD is the one that this program was made with. An older one loses fields without a word.
    async fn compare_crd(&self) {
        let resource = ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
            "customresourcedefinitions",
        );
        let crds: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let name = format!("{}.{GROUP}", Watched::Cluster.names().2);
        match crds.get_metadata(&name).await {
            Ok(crd) => {
                let outdated = crd.annotations().get(ANNOTATION_SCHEMA) != Some(&schema_hash());
                if outdated && self.metrics.crd_outdated.get() == 0 {
                    warn!(
                        "the CRD is not of this version: fields may be lost; upgrade the chart cairn-crds"
                    );
                }
                self.metrics.crd_outdated.set(outdated.into());
            }
            Err(error) => warn!(%error, "cannot tell whether the CRD is of this version"),
        }
    }

    /// Ends when everything that is needed has been listed once.
    pub(crate) async fn are_synced(&self) {
        self.cache.has_listed(&self.needed()).await;
    }

    fn needed(&self) -> Vec<Watch> {
        let kinds = Kind::ALL.into_iter().filter(|kind| !kind.is_optional()).map(Watched::Owned);
        let kinds = [Watched::Cluster, Watched::Pod].into_iter().chain(kinds);
        kinds.flat_map(|watched| self.in_namespaces(watched)).collect()
    }

    fn in_namespaces(&self, watched: Watched) -> impl Iterator<Item = Watch> {
        self.namespaces.iter().map(move |namespace| (watched, namespace.clone()))
    }

    /// Watches, for ever. Dropping it ends all of them.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut tasks = JoinSet::new();
        for watch in self.needed() {
            tasks.spawn(self.clone().follow(watch));
        }
        let mut optional = BTreeMap::new();
        loop {
            self.discover(&mut tasks, &mut optional).await;
            tokio::time::sleep(DISCOVER).await;
            self.compare_crd().await;
        }
    }

    async fn discover(
        self: &Arc<Self>,
        tasks: &mut JoinSet<()>,
        running: &mut BTreeMap<Kind, Vec<AbortHandle>>,
    ) {
        for kind in Kind::ALL.into_iter().filter(|kind| kind.is_optional()) {
            let watched = Watched::Owned(kind);
            // Not knowing changes nothing.
            let Ok(served) = self.is_served(watched).await else { continue };
            if served && !running.contains_key(&kind) {
                info!(kind = kind.names().1, "is installed: watches it");
                let tasks = self
                    .in_namespaces(watched)
                    .map(|watch| tasks.spawn(self.clone().follow(watch)));
                running.insert(kind, tasks.collect());
                let watches: Vec<_> = self.in_namespaces(watched).collect();
                // Before it has listed, an object that is there would be taken for missing.
                self.cache.has_listed(&watches).await;
                self.installed.lock().unwrap_or_else(PoisonError::into_inner).insert(kind);
                self.queue.wake_all(self.cache.clusters().iter().map(|c| super::cache::place(c)));
            } else if !served && let Some(tasks) = running.remove(&kind) {
                info!(kind = kind.names().1, "is not installed any more");
                tasks.iter().for_each(AbortHandle::abort);
                self.installed.lock().unwrap_or_else(PoisonError::into_inner).remove(&kind);
                for watch in self.in_namespaces(watched) {
                    self.wake(self.cache.close(&watch));
                }
            }
        }
    }

    /// Whether the API server knows a kind.
    async fn is_served(&self, watched: Watched) -> Result<bool, kube::Error> {
        let (group_version, kind, _) = watched.names();
        match self.client.list_api_group_resources(group_version).await {
            Ok(list) => Ok(list.resources.iter().any(|resource| resource.kind == kind)),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn follow(self: Arc<Self>, watch: Watch) {
        if watch.0 == Watched::Cluster {
            let config = watcher::Config::default().page_size(PAGE);
            let stream =
                watcher(api::<DeserializeGuard<BlockchainCluster>>(&self.client, &watch), config);
            let mut events = std::pin::pin!(stream.backoff(Patience::default()));
            while let Some(event) = events.next().await {
                self.cluster(&watch, event);
            }
            return;
        }
        let config = watcher::Config::default()
            .page_size(PAGE)
            .labels(&format!("app.kubernetes.io/managed-by={FIELD_MANAGER}"));
        let resource = api_resource(watch.0);
        let api: Api<DynamicObject> = match &watch.1 {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        let mut events =
            std::pin::pin!(watcher(api, config).backoff(Patience::default()).into_stream());
        while let Some(event) = events.next().await {
            self.object(&watch, event);
        }
    }

    fn cluster(
        &self,
        watch: &Watch,
        event: watcher::Result<Event<DeserializeGuard<BlockchainCluster>>>,
    ) {
        match event {
            Ok(Event::Apply(guard) | Event::InitApply(guard)) => self.read(watch, guard),
            Ok(Event::Delete(guard)) => {
                let meta = kube::Resource::meta(&guard);
                let namespace = meta.namespace.clone().unwrap_or_default();
                let version = meta.resource_version.as_ref();
                self.wake(self.cache.delete(watch, &namespace, &guard.name_any(), version));
            }
            Ok(Event::Init) => self.cache.begin(watch),
            Ok(Event::InitDone) => self.wake(self.cache.end(watch)),
            Err(error) => self.failed(watch, &error),
        }
        self.metrics.undecodable.set(i64::try_from(self.cache.undecodable()).unwrap_or(i64::MAX));
    }

    fn read(&self, watch: &Watch, guard: DeserializeGuard<BlockchainCluster>) {
        let name = ClusterName {
            namespace: guard.namespace().unwrap_or_default(),
            name: guard.name_any(),
        };
        match guard.0 {
            Ok(mut cluster) => {
                cluster.metadata.managed_fields = None;
                if self.cache.put_cluster(watch, cluster) {
                    self.queue.wake(name);
                }
            }
            Err(invalid) => {
                warn!(cluster = %name, error = invalid.error, "cannot be read: left as it is");
                self.cache.put_undecodable(watch, name);
            }
        }
    }

    fn object(&self, watch: &Watch, event: watcher::Result<Event<DynamicObject>>) {
        match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => {
                self.wake(self.cache.put(watch, as_value(watch.0, object)));
            }
            Ok(Event::Delete(object)) => {
                let namespace = object.namespace().unwrap_or_default();
                let version = object.metadata.resource_version.as_ref();
                self.wake(self.cache.delete(watch, &namespace, &object.name_any(), version));
            }
            Ok(Event::Init) => self.cache.begin(watch),
            Ok(Event::InitDone) => self.wake(self.cache.end(watch)),
            Err(error) => self.failed(watch, &error),
        }
    }

    fn wake(&self, clusters: impl IntoIterator<Item = ClusterName>) {
        for cluster in clusters {
            self.queue.wake(cluster);
        }
    }

    fn failed(&self, (watched, namespace): &Watch, error: &watcher::Error) {
        let (_, _, plural) = watched.names();
        self.metrics.watch_failures.with_label_values(&[plural]).inc();
        warn!(kind = plural, namespace, %error, "the watch failed: it is begun again");
    }
}

/// The pauses between attempts at a watch: kube's, none of them too long.
#[derive(Default)]
struct Patience(DefaultBackoff);

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next().map(|pause| pause.min(AGAIN_MOST))
    }
}

impl Backoff for Patience {
    fn reset(&mut self) {
        self.0.reset();
    }
}

/// An object as JSON, with its kind: a list's items do not say it.
pub(super) fn as_value(watched: Watched, object: DynamicObject) -> Value {
    let (group_version, kind, _) = watched.names();
    let mut value = object.data;
    let mut metadata = object.metadata;
    metadata.managed_fields = None;
    value["apiVersion"] = group_version.into();
    value["kind"] = kind.into();
    value["metadata"] = serde_json::to_value(metadata).unwrap_or_default();
    value
}

/// How a kind is asked for.
pub(crate) fn api_resource(watched: Watched) -> ApiResource {
    let (group_version, kind, plural) = watched.names();
    let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

fn api<K>(client: &Client, watch: &Watch) -> Api<K>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
{
    match &watch.1 {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}
