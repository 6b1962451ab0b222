//! Clusters at which there was nothing to do, and what they looked like then. `plan` and `report` come to the
//! same when they see the same: so while a cluster looks the same, a pass is over once its validators were
//! asked. Time is the one thing that they see and this does not: every so often all is looked at anew.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{names::ClusterName, observe::NodeReport};

/// From one whole look to the next: five minutes, as looks usually come. What ends by the clock alone are
/// certificates, of which people hear weeks before.
const LOOKS: u32 = 10;

/// What a validator said, or why it could not be asked.
pub(super) type Said = Result<NodeReport, String>;

/// What matters of what validators said: not how far the chain has come, but who is behind by more than
/// `few` blocks, and by how many. Nothing but that is read off heights (`health::blocks_behind`).
pub(super) fn gist(said: BTreeMap<String, Said>, few: u64) -> BTreeMap<String, Said> {
    let reports = said.values().filter_map(|said| said.as_ref().ok());
    let best = reports.map(|report| report.height.max(report.best_peer)).max().unwrap_or(0);
    let behind = |report: NodeReport| {
        let behind = best.saturating_sub(report.height);
        NodeReport { height: if behind > few { behind } else { 0 }, best_peer: 0, ..report }
    };
    said.into_iter().map(|(name, said)| (name, said.map(behind))).collect()
}

/// What a cluster looked like.
struct Seen {
    fingerprint: u64,
    /// Nothing while it is not known yet whether there is anything to do.
    said: Option<BTreeMap<String, Said>>,
    looks: u32,
}

/// Clusters at rest.
#[derive(Default)]
pub(super) struct Quiet(Mutex<HashMap<ClusterName, Seen>>);

impl Quiet {
    fn lock(&self) -> MutexGuard<'_, HashMap<ClusterName, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is at rest as far as objects go. If not, a whole look follows, at what is there from now on.
    pub(super) fn may_rest(&self, name: &ClusterName, fingerprint: u64) -> bool {
        let mut all = self.lock();
        let same = |seen: &Seen| {
            seen.fingerprint == fingerprint && seen.said.is_some() && seen.looks < LOOKS
        };
        let rests = all.get(name).is_some_and(same);
        if !rests {
            all.insert(name.clone(), Seen { fingerprint, said: None, looks: 1 });
        }
        rests
    }

    /// Whether its validators say what they said. If not, a whole look follows.
    pub(super) fn rests_on(&self, name: &ClusterName, said: &BTreeMap<String, Said>) -> bool {
        let mut all = self.lock();
        let Some(seen) = all.get_mut(name) else { return false };
        seen.looks += 1;
        if seen.said.as_ref() != Some(said) {
            (seen.said, seen.looks) = (None, 1);
        }
        seen.said.is_some()
    }

    /// The whole look found nothing to do and nothing to tell.
    pub(super) fn rests(&self, name: &ClusterName, said: BTreeMap<String, Said>) {
        if let Some(seen) = self.lock().get_mut(name) {
            seen.said = Some(said);
        }
    }

    /// It is gone.
    pub(super) fn forget(&self, name: &ClusterName) {
        self.lock().remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_rests_while_it_looks_the_same_and_not_for_ever() {
        let quiet = Quiet::default();
        let name = ClusterName { namespace: "n".into(), name: "c".into() };
        let at = |height| {
            let report = NodeReport { height, ..NodeReport::default() };
            BTreeMap::from([("alice".to_owned(), Ok(report))])
        };
        assert!(!quiet.may_rest(&name, 7), "nobody has looked yet");
        assert!(!quiet.may_rest(&name, 7), "somebody looks, and has not found that all is well");
        quiet.rests(&name, at(1));
        let mut looks = 0;
        while quiet.may_rest(&name, 7) && quiet.rests_on(&name, &at(1)) {
            looks += 1;
        }
        assert_eq!(looks, LOOKS - 1, "the tenth is a whole one");
        quiet.rests(&name, at(1));
        assert!(!quiet.may_rest(&name, 8), "an object changed");
        assert!(!quiet.may_rest(&name, 7), "and changed back: what came of it is not known");
        quiet.rests(&name, at(1));
        assert!(quiet.may_rest(&name, 7));
        assert!(!quiet.rests_on(&name, &at(2)), "a validator says something else");
        assert!(!quiet.rests_on(&name, &at(1)), "which is looked at before anything else");
        quiet.rests(&name, at(2));
        assert!(quiet.may_rest(&name, 7) && quiet.rests_on(&name, &at(2)));
        quiet.forget(&name);
        assert!(!quiet.may_rest(&name, 7));
    }

    #[test]
    fn a_chain_that_goes_on_is_at_rest_and_a_validator_that_stays_behind_is_not() {
        let at = |alice, bob, best_peer| {
            let report = |height| Ok(NodeReport { height, best_peer, ..NodeReport::default() });
            let said = [("alice", report(alice)), ("bob", report(bob)), ("carol", Err("x".into()))];
            gist(said.map(|(name, said)| (name.to_owned(), said)).into(), 3)
        };
        assert_eq!(at(7, 7, 7), at(90, 87, 90));
        assert_ne!(at(7, 7, 7), at(90, 86, 90));
        assert_ne!(at(90, 86, 90), at(90, 80, 90));
        assert_ne!(at(7, 7, 7), at(7, 7, 11), "both are behind somebody elsewhere");
    }
}
