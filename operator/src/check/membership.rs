//! The spec says which validators there should be, the genesis which there are. Only an election of the
//! federation changes the latter: until then a difference is told, and nothing is created or removed.

use cairn_ledger::genesis::Genesis;

use crate::crd::BlockchainClusterSpec;

/// How the spec's validators and the genesis' differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// In the spec, not in the genesis.
    pub pending: Vec<String>,
    /// In the genesis, not in the spec.
    pub removing: Vec<String>,
    /// In both with another voting power: name, in the genesis, in the spec.
    pub reweighted: Vec<(String, u64, u64)>,
}

impl Membership {
    /// Whether the spec names the validators that there are.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty() && self.removing.is_empty() && self.reweighted.is_empty()
    }
}

/// The part of the spec that the genesis knows, and the rest by name.
pub(super) fn reconcile(
    spec: &BlockchainClusterSpec,
    genesis: &Genesis,
) -> (BlockchainClusterSpec, Membership) {
    let founder = |name: &str| genesis.validators().iter().find(|v| v.name == name);
    let mut membership = Membership::default();
    let mut known = |name: &str, power: u32| {
        let Some(founder) = founder(name) else {
            membership.pending.push(name.to_owned());
            return false;
        };
        if founder.power != u64::from(power) {
            membership.reweighted.push((name.to_owned(), founder.power, u64::from(power)));
        }
        true
    };
    let mut run = spec.clone();
    run.validators.retain(|validator| known(&validator.name, validator.power));
    if let Some(federation) = &mut run.federation {
        federation.members.retain(|member| known(&member.name, member.power));
    }
    let members = run.federation.iter().flat_map(|federation| &federation.members);
    let named: Vec<&str> = (run.validators.iter().map(|validator| validator.name.as_str()))
        .chain(members.map(|member| member.name.as_str()))
        .collect();
    let left = genesis.validators().iter().map(|v| &v.name);
    membership.removing = left.filter(|name| !named.contains(&name.as_str())).cloned().collect();
    (run, membership)
}
