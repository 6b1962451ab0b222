//! What a spec would be checked to when nobody can look at the world: for `cairn-operator render`, which
//! works without a cluster, and for tests.

use std::collections::BTreeMap;

use cairn_ledger::genesis::Genesis;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};

use crate::{
    check::{Checked, Membership},
    crd::{BlockchainCluster, ImageSpec},
    names::ClusterName,
};

impl Checked {
    /// The cluster as written, with a genesis or before it. `image` is what an operator would be installed
    /// with. Nothing is looked at, so nothing is refused: what is made of it is to be read, not applied.
    #[must_use]
    pub fn assumed(cluster: &BlockchainCluster, genesis: Option<Genesis>, image: &str) -> Self {
        let uid = cluster.uid().unwrap_or_default();
        Self {
            name: ClusterName {
                namespace: cluster.namespace().unwrap_or_else(|| "default".into()),
                name: cluster.name_any(),
            },
            owner: OwnerReference {
                api_version: BlockchainCluster::api_version(&()).into_owned(),
                kind: BlockchainCluster::kind(&()).into_owned(),
                name: cluster.name_any(),
                uid: uid.clone(),
                controller: Some(true),
                block_owner_deletion: None,
            },
            uid,
            generation: cluster.metadata.generation.unwrap_or_default(),
            spec: cluster.spec.clone(),
            founded: genesis.is_some(),
            genesis,
            waiting_for: String::new(),
            membership: Membership::default(),
            barred: BTreeMap::new(),
            default_image: image.to_owned(),
            image: self::image(&cluster.spec.image, image),
            approved: false,
        }
    }
}

/// An image, whole: what a spec leaves open is as in `fallback`. A digest of its own stands without the
/// fallback's tag, which would name something else.
#[must_use]
pub fn image(spec: &ImageSpec, fallback: &str) -> String {
    let ImageSpec { repository, tag, digest, pull_policy: _, pull_secrets: _ } = spec;
    if repository.is_none() && tag.is_none() && digest.is_none() {
        return fallback.to_owned();
    }
    let mut image = repository.clone().unwrap_or_else(|| repository_of(fallback).to_owned());
    if let Some(tag) = tag {
        image = format!("{image}:{tag}");
    }
    if let Some(digest) = digest {
        image = format!("{image}@{digest}");
    }
    image
}

/// An image without tag and digest. A colon before the last slash is that of the registry's port.
fn repository_of(image: &str) -> &str {
    let image = image.split_once('@').map_or(image, |(name, _)| name);
    let name = image.rfind('/').map_or(0, |slash| slash + 1);
    image[name..].find(':').map_or(image, |colon| &image[..name + colon])
}
