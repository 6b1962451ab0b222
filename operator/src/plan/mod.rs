//! What should be written next. Pure: the same cluster and the same observation give the same plan. What
//! stops a validator is planned for one validator at a time, and only while the others hold a quorum;
//! [`audit`] says so again of the finished plan, by rules that do not know how it was made.

pub mod audit;
mod founding;
mod guard;
mod need;
mod update;
mod validators;
mod world;
mod writes;

use world::World;

use crate::{
    check::Checked,
    crd::{BlockchainCluster, OperationStatus},
    manifest::{Kind, Manifest},
    observe::Observed,
};

/// What to write next, and where in the work we are.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// In this order. A later step may rest on an earlier one having succeeded.
    pub steps: Vec<Step>,
    /// The change of a validator that is under way. It is written into the status before its first step.
    pub operation: Option<OperationStatus>,
    /// Where in the work we are, for the report.
    pub progress: Progress,
    /// How many validators run what the spec says.
    pub updated: usize,
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Server-side apply: the object is missing, or differs.
    Apply(Manifest),
    /// The genesis document, created once and never changed.
    Publish(Manifest),
    /// An object that we wrote and no longer want. Never a volume.
    Sweep {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: String,
        /// Its uid: another object of that name stays.
        uid: String,
    },
    /// Replaces a validator's pod by one of the current template.
    RestartPod {
        /// The validator.
        validator: String,
        /// Its pod.
        pod: String,
        /// The pod's uid: the one that comes after it stays.
        uid: String,
    },
    /// Tells a founding validator's kubelet to look at the genesis now instead of in a minute.
    Nudge {
        /// The pod.
        pod: String,
        /// The chain.
        chain_id: String,
    },
}

/// Where in the work a cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Everything is as the spec says.
    Settled,
    /// `paused`: whatever would be written is not.
    Paused,
    /// `suspend`: no pods.
    Suspended,
    /// Validators have not shown their keys yet, or the agreed genesis is not there.
    Founding {
        /// Who or what is waited for.
        waiting_for: String,
    },
    /// Objects are written, pods are not there or not ready yet, for the first time.
    Starting {
        /// Validators that are not ready.
        waiting_for: Vec<String>,
    },
    /// Validators change one at a time.
    Updating {
        /// The one that changes now.
        target: String,
        /// How many are left after it.
        remaining: usize,
    },
    /// An update waits: for a person, for a quorum, for a validator.
    Waiting {
        /// CamelCase: AwaitingApproval, AwaitingDeletion, QuorumAtRisk, NotCaughtUp.
        reason: &'static str,
        /// One sentence.
        message: String,
    },
    /// An update stopped: its validator did not come back in time.
    Halted {
        /// The validator.
        target: String,
        /// One sentence, with what the pod says.
        message: String,
    },
}

impl Plan {
    /// Whether it stops a pod: then it is only carried out when a fresh look says the same.
    #[must_use]
    pub fn is_disruptive(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::RestartPod { .. }))
    }
}

/// Pure: what should be written next?
#[must_use]
pub fn plan(cluster: &BlockchainCluster, checked: &Checked, observed: &Observed) -> Plan {
    let world = World::new(cluster, checked, observed);
    let updated = need::updated(&world);
    if checked.spec.paused {
        let operation = world.operation().cloned();
        return Plan { steps: vec![], operation, progress: Progress::Paused, updated };
    }
    let mut applies = writes::surroundings(&world);
    applies.extend(validators::claims(&world));
    applies.extend(validators::stateful_sets(&world));
    applies.sort_by_key(writes::place);
    // The genesis first: volumes are labelled with its chain, and no label may name what never was.
    let mut steps: Vec<Step> = founding::publish(&world).into_iter().chain(applies).collect();
    steps.extend(founding::nudges(&world));
    steps.extend(writes::sweep(&world));
    let (change, operation, progress) = next_change(&world);
    steps.extend(change);
    Plan { steps, operation, progress, updated }
}

/// What stops pods, and where that leaves us: read it as a table, the first row that holds decides.
fn next_change(world: &World<'_>) -> (Vec<Step>, Option<OperationStatus>, Progress) {
    let Checked { spec, genesis, founded, waiting_for, .. } = world.checked;
    if spec.suspend {
        return (vec![], None, Progress::Suspended);
    }
    if !founded {
        // Nobody votes yet, so nobody has to be kept voting.
        let waiting_for = match genesis {
            Some(_) => "the validators to read the genesis".to_owned(),
            None => waiting_for.clone(),
        };
        let restarts = founding::restarts(world);
        return (restarts, None, Progress::Founding { waiting_for });
    }
    update::next(world)
}
