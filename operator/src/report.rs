//! What to tell people: status, conditions and events, from what was observed, planned and done. Pure.
//! `Ready` is derived from the other conditions by one function. What could not be observed is `Unknown`.

use crate::{
    apply::Applied,
    check::{Checked, Refusal},
    crd::{BlockchainCluster, BlockchainClusterStatus},
    observe::Observed,
    plan::Plan,
};

/// What `check` and `plan` came to.
#[derive(Clone, Debug)]
pub enum Outcome<'a> {
    /// The spec cannot be run; nothing was planned.
    Refused(&'a [Refusal]),
    /// It was planned, and carried out as far as `applied` says.
    Planned {
        /// The spec.
        checked: &'a Checked,
        /// The plan.
        plan: &'a Plan,
        /// What became of it.
        applied: &'a Applied,
    },
}

/// Pure: the status to publish. Equal to the present one when nothing changed, transition times included.
#[must_use]
pub fn report(
    cluster: &BlockchainCluster,
    observed: &Observed,
    outcome: &Outcome<'_>,
) -> BlockchainClusterStatus {
    let _ = (observed, outcome);
    cluster.status.clone().unwrap_or_default()
}

/// An Event: a condition that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Whether it is bad news.
    pub warning: bool,
    /// CamelCase.
    pub reason: String,
    /// What was being done: the condition's type.
    pub action: String,
    /// One sentence.
    pub note: String,
}

/// Pure: what changed between two statuses that a person would want to be told.
#[must_use]
pub fn announce(
    before: Option<&BlockchainClusterStatus>,
    after: &BlockchainClusterStatus,
) -> Vec<Announcement> {
    let _ = (before, after);
    vec![]
}
