//! What the watches have brought, by cluster. It is behind the API server by a moment, always: so it knows
//! how far each watch has come, and a pass waits until it has seen what the pass before it wrote.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    future::Future,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::{Resource, ResourceExt};
use serde_json::Value;
use tokio::sync::Notify;

use super::keep::trim;
use crate::{
    crd::BlockchainCluster,
    manifest::Kind,
    names::{ClusterName, LABEL_CLUSTER},
};

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Watched {
    /// The custom resource.
    Cluster,
    /// Pods of validators.
    Pod,
    /// What the operator writes.
    Owned(Kind),
}

impl Watched {
    /// Group and version, kind, plural.
    #[must_use]
    pub(crate) const fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Cluster => ("cairndb.io/v1alpha1", "BlockchainCluster", "blockchainclusters"),
            Self::Pod => ("v1", "Pod", "pods"),
            Self::Owned(kind) => kind.names(),
        }
    }
}

/// One watch: of a kind, in a namespace or in all.
pub(super) type Watch = (Watched, Option<String>);

/// Something that a pass wrote, and the next one has to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) watched: Watched,
    pub(crate) name: String,
    pub(crate) mark: Mark,
}

/// How one sees that it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The watch has come so far.
    Version(u64),
    /// The object with this uid is gone.
    Gone(String),
}

/// An object, trimmed.
#[derive(Clone, Debug)]
struct Kept {
    uid: String,
    body: Box<str>,
}

#[derive(Default)]
struct Inner {
    clusters: HashMap<ClusterName, Arc<BlockchainCluster>>,
    objects: HashMap<ClusterName, BTreeMap<(Watched, String), Kept>>,
    /// Where each object is filed: its label may change.
    filed: HashMap<(Watched, String, String), ClusterName>,
    /// How far each watch has come. One that is not here has not listed yet.
    reached: HashMap<Watch, u64>,
    /// Lists in progress.
    listing: HashMap<Watch, Listing>,
    /// Clusters that could not be read.
    undecodable: BTreeSet<ClusterName>,
}

/// What a list in progress has brought: it says nothing about what is not there before its end.
#[derive(Default)]
struct Listing {
    brought: HashSet<(String, String)>,
    version: u64,
}

/// The cache.
#[derive(Default)]
pub(crate) struct Cache {
    inner: Mutex<Inner>,
    moved: Notify,
}

impl Cache {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A cluster, as the watch has it.
    #[must_use]
    pub(crate) fn cluster(&self, name: &ClusterName) -> Option<Arc<BlockchainCluster>> {
        self.lock().clusters.get(name).cloned()
    }

    /// All clusters.
    #[must_use]
    pub(crate) fn clusters(&self) -> Vec<Arc<BlockchainCluster>> {
        self.lock().clusters.values().cloned().collect()
    }

    /// How many could not be read.
    #[must_use]
    pub(crate) fn undecodable(&self) -> usize {
        self.lock().undecodable.len()
    }

    /// A cluster's objects, as JSON.
    pub(super) fn objects(&self, name: &ClusterName) -> Vec<(Watched, String, Value)> {
        let kept = self.lock().objects.get(name).cloned().unwrap_or_default();
        let parse = |((watched, name), kept): ((Watched, String), Kept)| {
            Some((watched, name, serde_json::from_str(&kept.body).ok()?))
        };
        kept.into_iter().filter_map(parse).collect()
    }

    /// A cluster's pods, as JSON.
    pub(super) fn pods(&self, name: &ClusterName) -> Vec<Value> {
        let inner = self.lock();
        let of_pods = (Watched::Pod, String::new())..=(Watched::Pod, char::MAX.to_string());
        let objects = inner.objects.get(name).into_iter();
        let pods = objects.flat_map(|objects| objects.range(of_pods.clone()));
        pods.filter_map(|(_, kept)| serde_json::from_str(&kept.body).ok()).collect()
    }

    /// One number for all that is there of a cluster: another one as soon as anything of it changes.
    pub(super) fn fingerprint(&self, name: &ClusterName) -> u64 {
        let inner = self.lock();
        let mut hasher = DefaultHasher::new();
        let cluster = inner.clusters.get(name);
        cluster.map(|cluster| &cluster.metadata.resource_version).hash(&mut hasher);
        for (place, kept) in inner.objects.get(name).into_iter().flatten() {
            (place, &kept.uid, &kept.body).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Ends when it has seen all of this. The caller bounds the time: what was deleted before it was ever
    /// listed does not come.
    pub(crate) fn has_seen<'a>(
        &'a self,
        cluster: &'a ClusterName,
        written: &'a [Written],
    ) -> impl Future<Output = ()> + Send + 'a {
        self.until(move |inner| written.iter().all(|written| inner.has_seen(cluster, written)))
    }

    /// Ends when each of these watches has listed.
    pub(super) fn has_listed<'a>(
        &'a self,
        watches: &'a [Watch],
    ) -> impl Future<Output = ()> + Send + 'a {
        self.until(move |inner| watches.iter().all(|watch| inner.reached.contains_key(watch)))
    }

    async fn until(&self, holds: impl Fn(&Inner) -> bool + Send) {
        loop {
            let mut moved = std::pin::pin!(self.moved.notified());
            // It is registered before the look, so that no change in between is missed.
            moved.as_mut().enable();
            if holds(&self.lock()) {
                return;
            }
            moved.await;
        }
    }

    /// A list begins.
    pub(super) fn begin(&self, watch: &Watch) {
        self.lock().listing.insert(watch.clone(), Listing::default());
    }

    /// A list has ended: what it did not bring is gone. The clusters that this changes.
    pub(super) fn end(&self, watch: &Watch) -> BTreeSet<ClusterName> {
        let mut inner = self.lock();
        let Listing { brought, version } = inner.listing.remove(watch).unwrap_or_default();
        let gone = inner.of(watch).into_iter().filter(|at| !brought.contains(at));
        let gone: Vec<_> = gone.collect();
        let woken = gone.iter().filter_map(|at| inner.remove(watch.0, at)).collect();
        let reached = inner.reached.entry(watch.clone()).or_default();
        *reached = (*reached).max(version);
        drop(inner);
        self.moved.notify_waiters();
        woken
    }

    /// The kind is not there any more: everything of it is gone, and nothing more will come.
    pub(super) fn close(&self, watch: &Watch) -> BTreeSet<ClusterName> {
        self.begin(watch);
        let woken = self.end(watch);
        self.lock().reached.remove(watch);
        woken
    }

    /// A cluster was made, changed, or listed. Whether a pass has to look at it.
    pub(super) fn put_cluster(&self, watch: &Watch, cluster: BlockchainCluster) -> bool {
        let name = place(&cluster);
        let mut inner = self.lock();
        inner.arrived(watch, &name.namespace, &name.name, cluster.meta().resource_version.as_ref());
        inner.undecodable.remove(&name);
        let woken = inner.clusters.get(&name).is_none_or(|before| differ(before, &cluster));
        inner.clusters.insert(name, Arc::new(cluster));
        drop(inner);
        self.moved.notify_waiters();
        woken
    }

    /// A cluster cannot be read: it is left alone until it can.
    pub(super) fn put_undecodable(&self, watch: &Watch, name: ClusterName) {
        let mut inner = self.lock();
        inner.arrived(watch, &name.namespace, &name.name, None);
        inner.clusters.remove(&name);
        inner.undecodable.insert(name);
    }

    /// An object was made, changed, or listed. The clusters that have to look.
    pub(super) fn put(&self, watch: &Watch, mut object: Value) -> BTreeSet<ClusterName> {
        let metadata = &object["metadata"];
        let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
        let (namespace, name, uid) = (text("namespace"), text("name"), text("uid"));
        let version = text("resourceVersion");
        let cluster = metadata["labels"][LABEL_CLUSTER]
            .as_str()
            .map(|cluster| ClusterName { namespace: namespace.clone(), name: cluster.to_owned() });
        trim(watch.0, &mut object);
        let kept = Kept { uid, body: object.to_string().into() };
        let mut inner = self.lock();
        inner.arrived(watch, &namespace, &name, Some(&version));
        let woken = inner.file(watch.0, (namespace, name), cluster, kept);
        drop(inner);
        self.moved.notify_waiters();
        woken
    }

    /// An object or cluster is gone. The cluster that has to look.
    pub(super) fn delete(
        &self,
        watch: &Watch,
        namespace: &str,
        name: &str,
        version: Option<&String>,
    ) -> Option<ClusterName> {
        let mut inner = self.lock();
        inner.arrived(watch, namespace, name, version);
        let woken = inner.remove(watch.0, &(namespace.into(), name.into()));
        drop(inner);
        self.moved.notify_waiters();
        woken
    }
}

impl Inner {
    fn arrived(&mut self, watch: &Watch, namespace: &str, name: &str, version: Option<&String>) {
        let version = version.and_then(|version| version.parse().ok()).unwrap_or_default();
        if let Some(listing) = self.listing.get_mut(watch) {
            listing.brought.insert((namespace.into(), name.into()));
            listing.version = listing.version.max(version);
        } else if let Some(reached) = self.reached.get_mut(watch) {
            *reached = (*reached).max(version);
        }
    }

    fn file(
        &mut self,
        watched: Watched,
        (namespace, name): (String, String),
        cluster: Option<ClusterName>,
        kept: Kept,
    ) -> BTreeSet<ClusterName> {
        let mut woken = BTreeSet::new();
        let at = (watched, namespace, name.clone());
        if let Some(before) = self.filed.get(&at).cloned()
            && Some(&before) != cluster.as_ref()
        {
            self.take(&at, &before);
            woken.insert(before);
        }
        let Some(cluster) = cluster else { return woken };
        self.filed.insert(at, cluster.clone());
        let objects = self.objects.entry(cluster.clone()).or_default();
        let before = objects.insert((watched, name), kept.clone());
        if before.is_none_or(|before| before.body != kept.body) {
            woken.insert(cluster);
        }
        woken
    }

    fn remove(&mut self, watched: Watched, at: &(String, String)) -> Option<ClusterName> {
        let (namespace, name) = at.clone();
        if watched == Watched::Cluster {
            let name = ClusterName { namespace, name };
            self.undecodable.remove(&name);
            return self.clusters.remove(&name).map(|_| name);
        }
        let at = (watched, namespace, name);
        let cluster = self.filed.get(&at).cloned()?;
        self.take(&at, &cluster);
        Some(cluster)
    }

    fn take(&mut self, at: &(Watched, String, String), cluster: &ClusterName) {
        self.filed.remove(at);
        if let Some(objects) = self.objects.get_mut(cluster) {
            objects.remove(&(at.0, at.2.clone()));
            if objects.is_empty() {
                self.objects.remove(cluster);
            }
        }
    }

    /// What is there of a watch.
    fn of(&self, (watched, namespace): &Watch) -> Vec<(String, String)> {
        let within = |n: &String| namespace.as_ref().is_none_or(|namespace| namespace == n);
        if *watched == Watched::Cluster {
            let names = self.clusters.keys().chain(&self.undecodable);
            let names = names.filter(|name| within(&name.namespace));
            return names.map(|name| (name.namespace.clone(), name.name.clone())).collect();
        }
        let filed = self.filed.keys().filter(|(w, n, _)| w == watched && within(n));
        filed.map(|(_, namespace, name)| (namespace.clone(), name.clone())).collect()
    }

    fn has_seen(&self, cluster: &ClusterName, written: &Written) -> bool {
        match &written.mark {
            Mark::Version(version) => {
                let all = (written.watched, None);
                let one = (written.watched, Some(cluster.namespace.clone()));
                let reached = self.reached.get(&all).or_else(|| self.reached.get(&one));
                reached.is_some_and(|reached| reached >= version)
            }
            Mark::Gone(uid) => {
                let objects = self.objects.get(cluster);
                let kept = objects.and_then(|o| o.get(&(written.watched, written.name.clone())));
                kept.is_none_or(|kept| kept.uid != *uid)
            }
        }
    }
}

/// Where a cluster is.
pub(crate) fn place(cluster: &BlockchainCluster) -> ClusterName {
    ClusterName { namespace: cluster.namespace().unwrap_or_default(), name: cluster.name_any() }
}

/// Whether something changed that a pass has to look at: never the status, which a pass wrote.
fn differ(before: &BlockchainCluster, after: &BlockchainCluster) -> bool {
    let what = |cluster: &BlockchainCluster| {
        let meta = cluster.meta();
        (
            meta.uid.clone(),
            meta.generation,
            meta.annotations.clone(),
            meta.deletion_timestamp.clone(),
        )
    };
    what(before) != what(after)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(name: &str, version: u64, port: u16) -> Value {
        json!({
            "metadata": {
                "namespace": "test", "name": name, "uid": name, "resourceVersion": version.to_string(),
                "labels": {LABEL_CLUSTER: "demo"},
            },
            "spec": {"ports": [{"port": port}]},
            "status": {"loadBalancer": {"ingress": version}},
        })
    }

    fn demo() -> ClusterName {
        ClusterName { namespace: "test".into(), name: "demo".into() }
    }

    fn written(version: u64) -> [Written; 1] {
        let watched = Watched::Owned(Kind::Service);
        [Written { watched, name: "a".into(), mark: Mark::Version(version) }]
    }

    /// A cache that has listed `a` and `b`.
    fn listed() -> (Cache, Watch) {
        let (cache, watch) = (Cache::default(), (Watched::Owned(Kind::Service), None));
        cache.begin(&watch);
        cache.put(&watch, service("a", 5, 1));
        cache.put(&watch, service("b", 7, 1));
        cache.end(&watch);
        (cache, watch)
    }

    #[test]
    fn a_cluster_is_woken_by_what_matters_and_by_nothing_else() {
        let (cache, watch) = listed();
        let look = || cache.fingerprint(&demo());
        let listed = look();
        assert!(cache.put(&watch, service("a", 8, 1)).is_empty(), "only its version and status");
        assert_eq!(look(), listed);
        assert_eq!(cache.put(&watch, service("a", 9, 2)), BTreeSet::from([demo()]));
        let changed = look();
        assert_eq!(cache.delete(&watch, "test", "a", None), Some(demo()));
        let gone = look();
        assert_eq!(cache.delete(&watch, "test", "a", None), None);
        assert_eq!(look(), gone);
        let clusters = (Watched::Cluster, None);
        let cluster = json!({"apiVersion": "cairndb.io/v1alpha1", "kind": "BlockchainCluster",
            "metadata": {"namespace": "test", "name": "demo", "resourceVersion": "10"},
            "spec": {"validators": []}});
        cache.put_cluster(&clusters, serde_json::from_value(cluster).unwrap());
        assert_eq!(BTreeSet::from([listed, changed, gone, look()]).len(), 4);
    }

    #[test]
    fn what_a_list_does_not_bring_is_gone_when_it_ends_and_not_before() {
        let (cache, watch) = listed();
        cache.begin(&watch);
        cache.put(&watch, service("b", 7, 1));
        assert_eq!(cache.objects(&demo()).len(), 2);
        assert_eq!(cache.end(&watch), BTreeSet::from([demo()]));
        let left = cache.objects(&demo());
        assert_eq!(left.iter().map(|(_, name, _)| name.as_str()).collect::<Vec<_>>(), ["b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pass_waits_for_what_the_one_before_it_wrote() {
        let (cache, watch) = listed();
        let second = std::time::Duration::from_secs(1);
        let seen = async |version| {
            tokio::time::timeout(second, cache.has_seen(&demo(), &written(version))).await.is_ok()
        };
        assert!(seen(7).await, "the list has come so far");
        assert!(!seen(8).await);
        cache.begin(&watch);
        cache.put(&watch, service("a", 9, 1));
        assert!(!seen(8).await, "another list may still bring something older of others");
        cache.end(&watch);
        assert!(seen(9).await);
    }

    #[test]
    fn an_object_that_changes_its_cluster_wakes_both() {
        let (cache, watch) = listed();
        let mut moved = service("a", 8, 1);
        moved["metadata"]["labels"][LABEL_CLUSTER] = json!("other");
        let other = ClusterName { name: "other".into(), ..demo() };
        assert_eq!(cache.put(&watch, moved), BTreeSet::from([demo(), other.clone()]));
        assert_eq!(cache.objects(&other).len(), 1);
        assert_eq!(cache.objects(&demo()).len(), 1);
    }
}
