//! What a spec would be checked to when nobody can look at the world: for `cairn-operator render`, which
//! works without a cluster, and for tests.

use std::collections::BTreeMap;

use cairn_ledger::genesis::Genesis;
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
        Self {
            name: ClusterName {
                namespace: cluster.namespace().unwrap_or_else(|| "default".into()),
                name: cluster.name_any(),
            },
            owner: cluster.controller_owner_ref(&()).unwrap_or_default(),
            uid: cluster.uid().unwrap_or_default(),
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

/// An image, whole: what a spec leaves open is as in `base`. One that names a mirror keeps tag and digest;
/// a tag or digest of its own stands without those of `base`, which would name something else.
#[must_use]
pub fn image(spec: &ImageSpec, base: &str) -> String {
    let ImageSpec { repository, tag, digest, pull_policy: _, pull_secrets: _ } = spec;
    let (usual, version) = split(base);
    let mut image = repository.as_deref().unwrap_or(usual).to_owned();
    if let Some(tag) = tag {
        image = format!("{image}:{tag}");
    }
    if let Some(digest) = digest {
        image = format!("{image}@{digest}");
    }
    if tag.is_none() && digest.is_none() { image + version } else { image }
}

/// Repository, and tag or digest with the character before it. A colon before the last slash is that of
/// the registry's port.
fn split(image: &str) -> (&str, &str) {
    let name = image.rfind('/').map_or(0, |slash| slash + 1);
    let version = image[name..].find([':', '@']);
    image.split_at(version.map_or(image.len(), |version| name + version))
}
