//! Volumes: each claim gets one of its size, and one that grows is grown.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::json;

use super::merge;

/// The StorageClass that tests name.
pub(crate) const CLASS: &str = "test";

/// Binds and grows the claims of a namespace: all of them, by name.
pub(super) async fn bind(
    client: &Client,
    namespace: &str,
) -> Result<BTreeMap<String, PersistentVolumeClaim>, kube::Error> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let mut bound = BTreeMap::new();
    for claim in claims.list(&ListParams::default()).await?.items {
        let wanted = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
        let wanted = wanted.and_then(|r| r.requests.as_ref()).and_then(|r| r.get("storage"));
        let wanted = wanted.cloned().unwrap_or_default();
        let status = claim.status.clone().unwrap_or_default();
        let has = status.capacity.as_ref().and_then(|capacity| capacity.get("storage"));
        let name = format!("{namespace}-{}", claim.name_any());
        if status.phase.as_deref() != Some("Bound") {
            provide(&volumes, &name, &claim, &wanted.0).await?;
        } else if has != Some(&wanted) {
            let larger = json!({"spec": {"capacity": {"storage": wanted}}});
            let patch = Patch::Merge(larger);
            volumes.patch(&name, &PatchParams::default(), &patch).await?;
            let status = json!({"capacity": {"storage": wanted}});
            merge(&claims, &claim.name_any(), &status).await?;
        }
        bound.insert(claim.name_any(), claim);
    }
    Ok(bound)
}

async fn provide(
    volumes: &Api<PersistentVolume>,
    name: &str,
    claim: &PersistentVolumeClaim,
    size: &str,
) -> Result<(), kube::Error> {
    let spec = claim.spec.clone().unwrap_or_default();
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": size},
            "accessModes": spec.access_modes,
            "storageClassName": spec.storage_class_name.unwrap_or_default(),
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": "/nowhere"},
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "uid": claim.uid(),
                "namespace": claim.namespace(), "name": claim.name_any(),
            },
        },
    });
    let volume = serde_json::from_value(volume).unwrap();
    match volumes.create(&PostParams::default(), &volume).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        answer => answer.map(|_| ()),
    }
}
