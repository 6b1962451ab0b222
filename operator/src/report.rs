//! What to tell people: status, conditions and events, from what was observed, planned and done. Pure.
//! `Ready` is derived from the other conditions by one function. What could not be observed is `Unknown`.

use cairn_ledger::genesis::Genesis;

use crate::{
    apply::Applied,
    check::{Checked, Refusal},
    crd::{BlockchainCluster, BlockchainClusterStatus},
    health::leader,
    manifest::Kind,
    names::GENESIS_KEY,
    observe::Observed,
    plan::{Plan, Progress, Step},
};

mod announce;
mod certificates;
mod conditions;
mod federation;
mod members;
mod ready;
mod work;

pub use announce::{Announcement, announce};

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

/// Everything that a report is made from.
#[derive(Clone, Copy)]
struct Facts<'a> {
    cluster: &'a BlockchainCluster,
    observed: &'a Observed,
    outcome: &'a Outcome<'a>,
    /// The chain's genesis, also while the spec is refused.
    genesis: Option<&'a Genesis>,
}

/// The published genesis, if it is that of the chain that the status knows.
fn known_genesis(cluster: &BlockchainCluster, observed: &Observed) -> Option<Genesis> {
    let config_map = format!("{}-genesis", cluster.metadata.name.as_deref()?);
    let published = observed.objects.get(&(Kind::ConfigMap, config_map))?;
    let genesis = Genesis::from_json(published.get("data")?.get(GENESIS_KEY)?.as_str()?).ok()?;
    let pinned = cluster.status.as_ref()?.chain_id.as_deref()?;
    (genesis.chain().to_string() == pinned).then_some(genesis)
}

impl<'a> Facts<'a> {
    /// The spec, when it was fit to be planned for.
    fn checked(&self) -> Option<&'a Checked> {
        match self.outcome {
            Outcome::Planned { checked, .. } => Some(checked),
            Outcome::Refused(_) => None,
        }
    }

    /// What stands in the way of everything.
    fn refusals(&self) -> &'a [Refusal] {
        match self.outcome {
            Outcome::Planned { .. } => &[],
            Outcome::Refused(refusals) => refusals,
        }
    }

    /// Whether every validator is meant to be stopped, and is.
    fn is_stopped(&self) -> bool {
        self.cluster.spec.suspend && self.observed.pods.is_empty()
    }

    /// Whether validators are on their way up for the first time.
    fn is_starting(&self) -> bool {
        use Progress::{Founding, Starting};
        let Outcome::Planned { plan, .. } = self.outcome else { return false };
        matches!(plan.progress, Founding { .. } | Starting { .. })
    }

    /// Whether the genesis is out, as of now.
    fn is_founded(&self) -> bool {
        let published = |step: &Step| matches!(step, Step::Publish(_));
        match self.outcome {
            Outcome::Planned { checked, applied, .. } => {
                checked.founded || applied.done.iter().any(published)
            }
            Outcome::Refused(_) => {
                self.cluster.status.as_ref().is_some_and(|status| status.chain_id.is_some())
            }
        }
    }
}

/// Pure: the status to publish. Equal to the present one when nothing changed, transition times included.
#[must_use]
pub fn report(
    cluster: &BlockchainCluster,
    observed: &Observed,
    outcome: &Outcome<'_>,
) -> BlockchainClusterStatus {
    let known = match outcome {
        Outcome::Planned { checked, .. } => checked.genesis.clone(),
        Outcome::Refused(_) => known_genesis(cluster, observed),
    };
    let facts = Facts { cluster, observed, outcome, genesis: known.as_ref() };
    let before = cluster.status.clone().unwrap_or_default();
    let members = members::members(&facts);
    let mut status = BlockchainClusterStatus {
        validators: count(cluster.spec.validators.len()),
        ready_validators: members::ready(&facts),
        current_version: members::version(&members),
        quorum: federation::quorum(&facts),
        leader: leader(facts.observed).map(str::to_owned),
        trust: Some(federation::trust(&facts)),
        certificates: certificates::certificates(&facts),
        conditions: conditions::conditions(&facts),
        members,
        // The rest stays as it was until somebody has planned.
        observed_generation: before.observed_generation,
        chain_id: before.chain_id,
        updated_validators: before.updated_validators,
        image: before.image,
        default_image: before.default_image,
        operation: before.operation,
    };
    if let Outcome::Planned { checked, plan, .. } = outcome {
        status.observed_generation = Some(checked.generation);
        status.updated_validators = count(plan.updated);
        status.image = Some(checked.image.clone());
        status.default_image = Some(checked.default_image.clone());
        status.operation = plan.operation.clone();
        if facts.is_founded() {
            status.chain_id = checked.genesis.as_ref().map(|genesis| genesis.chain().to_string());
        }
    }
    status
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
