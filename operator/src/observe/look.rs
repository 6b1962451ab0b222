//! Putting together what is known of one cluster: from the caches, or from the API server itself.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{
    Api, Client, Resource,
    api::{DynamicObject, ListParams},
};
use serde_json::Value;

use super::{
    NodeReport, Observed,
    cache::{Cache, Watched, place},
    keep::trim,
    probe::Prober,
    watch::{api_resource, as_value},
};
use crate::{
    clock,
    crd::{BlockchainCluster, TikvSpec},
    manifest::Kind,
    names::{ClusterName, FIELD_MANAGER, LABEL_CLUSTER, LABEL_VALIDATOR},
};

/// Objects of one cluster, however they were had.
type Objects = Vec<(Watched, String, Value)>;

/// What a look needs.
pub(crate) struct Look<'a> {
    pub(crate) client: &'a Client,
    pub(crate) cache: &'a Cache,
    pub(crate) prober: &'a Prober,
    pub(crate) installed: std::collections::BTreeSet<Kind>,
    pub(crate) default_image: &'a str,
}

impl Look<'_> {
    /// What is there, as far as the watches have come.
    pub(crate) async fn cached(self, cluster: &BlockchainCluster) -> Result<Observed, kube::Error> {
        let objects = self.cache.objects(&place(cluster));
        self.put_together(cluster, objects).await
    }

    /// One number for what [`Look::cached`] would put together, apart from what validators say; nothing where
    /// the API server would have to be asked.
    pub(crate) fn fingerprint(&self, cluster: &BlockchainCluster) -> Option<u64> {
        if cluster.spec.bootstrap.genesis_ref.is_some() {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        self.cache.fingerprint(&place(cluster)).hash(&mut hasher);
        // Whose list of all clusters is only needed where keys are shared.
        let rivals = cluster.spec.tikv.as_ref().map(|_| rivals(cluster, &self.cache.clusters()));
        (rivals, &self.installed).hash(&mut hasher);
        Some(hasher.finish())
    }

    /// What the validators of a cluster say now, as far as the watches know where they are.
    pub(crate) async fn said(
        &self,
        cluster: &BlockchainCluster,
    ) -> BTreeMap<String, Result<NodeReport, String>> {
        let pods = self.cache.pods(&place(cluster)).into_iter().filter_map(validator).collect();
        self.ask(&pods).await
    }

    /// What is there, asked of the API server now: the cluster, and everything that carries its label.
    pub(crate) async fn fresh(
        self,
        name: &ClusterName,
    ) -> Result<Option<(Arc<BlockchainCluster>, Observed)>, kube::Error> {
        let clusters: Api<BlockchainCluster> =
            Api::namespaced(self.client.clone(), &name.namespace);
        let Some(cluster) = clusters.get_opt(&name.name).await? else { return Ok(None) };
        let mut objects = vec![];
        let kinds =
            Kind::ALL.into_iter().filter(|k| !k.is_optional() || self.installed.contains(k));
        for watched in kinds.map(Watched::Owned).chain([Watched::Pod]) {
            objects.extend(self.list(name, watched).await?);
        }
        let observed = self.put_together(&cluster, objects).await?;
        Ok(Some((Arc::new(cluster), observed)))
    }

    async fn list(&self, name: &ClusterName, watched: Watched) -> Result<Objects, kube::Error> {
        let resource = api_resource(watched);
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &name.namespace, &resource);
        let selector =
            format!("app.kubernetes.io/managed-by={FIELD_MANAGER},{LABEL_CLUSTER}={}", name.name);
        let list = api.list(&ListParams::default().labels(&selector)).await?;
        let keep = |object: DynamicObject| {
            let name = object.metadata.name.clone().unwrap_or_default();
            let mut value = as_value(watched, object);
            trim(watched, &mut value);
            (watched, name, value)
        };
        Ok(list.items.into_iter().map(keep).collect())
    }

    async fn put_together(
        &self,
        cluster: &BlockchainCluster,
        found: Objects,
    ) -> Result<Observed, kube::Error> {
        let mut objects = BTreeMap::new();
        let mut pods: BTreeMap<String, Pod> = BTreeMap::new();
        for (watched, name, value) in found {
            match watched {
                Watched::Owned(kind) => {
                    objects.insert((kind, name), value);
                }
                Watched::Pod => {
                    if let Some((validator, pod)) = validator(value) {
                        pods.insert(validator, pod);
                    }
                }
                Watched::Cluster => {}
            }
        }
        self.put_back(cluster, &mut objects).await?;
        Ok(Observed {
            now: clock::now(),
            objects,
            nodes: self.ask(&pods).await,
            pods,
            genesis_reference: self.genesis_reference(cluster).await?,
            prefix_rivals: rivals(cluster, &self.cache.clusters()),
            installed: self.installed.clone(),
            default_image: self.default_image.to_owned(),
        })
    }

    /// Volumes and the genesis of a chain that a person put back: they carry no label of ours until they
    /// were seen. They are only asked for while they are missing.
    async fn put_back(
        &self,
        cluster: &BlockchainCluster,
        objects: &mut BTreeMap<(Kind, String), Value>,
    ) -> Result<(), kube::Error> {
        if cluster.status.as_ref().is_none_or(|status| status.chain_id.is_none()) {
            return Ok(());
        }
        let name = place(cluster);
        let claims = cluster.spec.validators.iter().map(|validator| name.claim(&validator.name));
        let kept = claims.map(|claim| (Kind::PersistentVolumeClaim, claim));
        for (kind, object) in kept.chain([(Kind::ConfigMap, name.genesis())]) {
            if objects.contains_key(&(kind, object.clone())) {
                continue;
            }
            let watched = Watched::Owned(kind);
            let resource = api_resource(watched);
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.client.clone(), &name.namespace, &resource);
            if let Some(found) = api.get_opt(&object).await? {
                let mut value = as_value(watched, found);
                trim(watched, &mut value);
                objects.insert((kind, object), value);
            }
        }
        Ok(())
    }

    async fn ask(
        &self,
        pods: &BTreeMap<String, Pod>,
    ) -> BTreeMap<String, Result<NodeReport, String>> {
        let ask = pods.iter().map(async |(name, pod)| (name.clone(), self.prober.ask(pod).await));
        join_all(ask).await.into_iter().collect()
    }

    /// The agreed genesis. It is not ours, carries no label of ours, and is small: it is read when needed.
    async fn genesis_reference(
        &self,
        cluster: &BlockchainCluster,
    ) -> Result<Option<String>, kube::Error> {
        let Some(reference) = &cluster.spec.bootstrap.genesis_ref else { return Ok(None) };
        let namespace = place(cluster).namespace;
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &namespace);
        let map = maps.get_opt(&reference.name).await?;
        Ok(map.and_then(|map| map.data).and_then(|mut data| data.remove(&reference.key)))
    }
}

/// A pod, and whose it is.
fn validator(value: Value) -> Option<(String, Pod)> {
    let pod: Pod = serde_json::from_value(value).ok()?;
    let validator = pod.metadata.labels.as_ref()?.get(LABEL_VALIDATOR)?.clone();
    Some((validator, pod))
}

/// Clusters that are older and claim the same keys of the same TiKV.
fn rivals(cluster: &BlockchainCluster, all: &[Arc<BlockchainCluster>]) -> Vec<String> {
    let Some(tikv) = &cluster.spec.tikv else { return vec![] };
    let age = |cluster: &BlockchainCluster| {
        let meta = cluster.meta();
        (meta.creation_timestamp.as_ref().map(|t| t.0), meta.uid.clone())
    };
    let claims = |other: &&Arc<BlockchainCluster>| {
        let theirs = other.spec.tikv.as_ref();
        theirs.is_some_and(|theirs| {
            // A slash ends a prefix: one that begins with another is another.
            theirs.key_prefix == tikv.key_prefix
                && is_one(&place(other), theirs, &place(cluster), tikv)
        })
    };
    let older = all.iter().filter(|other| age(other) < age(cluster) && claims(other));
    let mut names: Vec<_> = older.map(|other| place(other).to_string()).collect();
    names.sort();
    names
}

/// Whether two descriptions are of one TiKV cluster: an endpoint is in both.
fn is_one(in_one: &ClusterName, one: &TikvSpec, in_other: &ClusterName, other: &TikvSpec) -> bool {
    let one: Vec<_> = one.pd_endpoints.iter().map(|e| whole(e, &in_one.namespace)).collect();
    other.pd_endpoints.iter().any(|e| one.contains(&whole(e, &in_other.namespace)))
}

/// An endpoint's one name: Services have several, shorter ones within their namespace.
fn whole(endpoint: &str, namespace: &str) -> String {
    let endpoint = endpoint.trim().to_ascii_lowercase();
    let bare = endpoint.split_once("://").map_or(endpoint.as_str(), |(_, rest)| rest);
    let (host, port) = bare.rsplit_once(':').unwrap_or((bare, "2379"));
    let host = host.trim_end_matches('.').trim_end_matches(".cluster.local");
    match host.strip_suffix(".svc") {
        Some(host) => format!("{host}:{port}"),
        None if host.contains('.') => format!("{host}:{port}"),
        None => format!("{host}.{namespace}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn an_endpoint_has_one_name() {
        #[rustfmt::skip]
        let table = [
            ("pd:2379",                        "pd.here:2379",  "short names are of the namespace"),
            ("pd.there:2379",                  "pd.there:2379", "as it is"),
            ("pd.there.svc:2379",              "pd.there:2379", "a Service by its longer name"),
            ("PD.there.svc.cluster.local.:2379", "pd.there:2379", "and by its longest"),
            ("http://pd.there.svc:2379",       "pd.there:2379", "a scheme says nothing"),
            ("pd.example.org",                 "pd.example.org:2379", "PD's own port"),
        ];
        for (endpoint, expected, why) in table {
            assert_eq!(whole(endpoint, "here"), expected, "{why}");
        }
    }
}
