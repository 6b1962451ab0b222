//! What a spec would be checked to when nobody can look at the world: for `cairn-operator render`, which
//! works without a cluster, and for tests.

use std::collections::BTreeMap;

use cairn_ledger::genesis::Genesis;
use kube::{Resource, ResourceExt};

use crate::{
    check::{Checked, Membership, image::resolve},
    crd::BlockchainCluster,
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
            image: resolve(&cluster.spec.image, image),
            approved: false,
        }
    }
}
