//! Looks at a finished plan and knows only what must never happen. A plan that fails here is a bug of the
//! operator: nothing of it is carried out. On purpose it shares no code with how plans are made: it counts
//! votes itself, from the pods and the validators' own words.

use cairn_ledger::genesis::Genesis;
use serde_json::Value;

use crate::{
    check::Checked,
    manifest::{Kind, Manifest},
    names::GENESIS_KEY,
    observe::Observed,
    plan::{Plan, Step},
};

/// What must never happen, and would have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// More than one validator would stop.
    #[error("the plan stops {0:?} at once")]
    TwoAtOnce(Vec<String>),
    /// The rest could not decide.
    #[error(
        "without {stopped} {left} of {total} voting power votes, more than two thirds are needed"
    )]
    BelowQuorum {
        /// The validator that would stop.
        stopped: String,
        /// Voting power that would go on.
        left: u64,
        /// All of it.
        total: u64,
    },
    /// A validator would stop without a record of it.
    #[error("the plan stops {0} without having written that down")]
    NotOnRecord(String),
    /// A volume with signing state would go.
    #[error("the plan deletes the volume {0}")]
    VolumeDeleted(String),
    /// An empty volume would take the place of one with all keys.
    #[error("the plan makes an empty volume {0} for a validator that had one with keys")]
    VolumeReplaced(String),
    /// The genesis would be replaced.
    #[error("the plan writes a genesis where there is one")]
    GenesisReplaced,
    /// Something of another owner would be written.
    #[error("the plan writes {0}, which belongs to somebody else")]
    NotOurs(String),
}

/// Is the plan one that may be carried out?
///
/// # Errors
/// The first rule that it breaks.
pub fn audit(plan: &Plan, checked: &Checked, observed: &Observed) -> Result<(), Violation> {
    for step in &plan.steps {
        volumes_stay(step, checked, observed)?;
        genesis_stays(step, checked, observed)?;
        is_ours(step, checked, observed)?;
    }
    let stopped = stopped(plan, checked, observed);
    // Without a chain there is nobody to keep voting.
    let Some(genesis) = checked.genesis.as_ref().filter(|_| checked.founded) else {
        return Ok(());
    };
    let names: Vec<_> = genesis.validators().iter().map(|v| v.name.as_str()).collect();
    let stopped: Vec<_> = stopped.into_iter().filter(|n| names.contains(&n.as_str())).collect();
    match stopped.as_slice() {
        [] => Ok(()),
        [one] => {
            let on_record = plan.operation.as_ref().is_some_and(|record| record.target == *one);
            if !on_record {
                return Err(Violation::NotOnRecord(one.clone()));
            }
            others_decide(one, genesis, checked, observed)
        }
        more => Err(Violation::TwoAtOnce(more.to_vec())),
    }
}

/// Validators whose pods the plan takes away without a person having asked for that.
fn stopped(plan: &Plan, checked: &Checked, observed: &Observed) -> Vec<String> {
    let mut stopped = Vec::new();
    for step in &plan.steps {
        let validator = match step {
            Step::RestartPod { validator, .. } => validator.clone(),
            Step::Apply(Manifest { kind: Kind::StatefulSet, name, value }) => {
                let validator = validator_of(checked, name);
                let asked =
                    checked.spec.suspend || checked.spec.fenced_validators.contains(&validator);
                if asked || value.pointer("/spec/replicas").and_then(Value::as_u64) != Some(0) {
                    continue;
                }
                validator
            }
            Step::Sweep { kind: Kind::StatefulSet, name, .. } => validator_of(checked, name),
            _ => continue,
        };
        if observed.pods.contains_key(&validator) && !stopped.contains(&validator) {
            stopped.push(validator);
        }
    }
    stopped
}

fn validator_of(checked: &Checked, stateful_set: &str) -> String {
    let prefix = format!("{}-", checked.name.name);
    stateful_set.strip_prefix(&prefix).unwrap_or(stateful_set).to_owned()
}

/// Strictly more than two thirds vote without the one that stops. It may stop all the same if it does not
/// vote now, or if even everybody else together would be too few and everybody else votes.
fn others_decide(
    stopped: &str,
    genesis: &Genesis,
    checked: &Checked,
    observed: &Observed,
) -> Result<(), Violation> {
    if is_silent(stopped, observed) {
        return Ok(());
    }
    let elsewhere = |name: &str| {
        let named = checked.spec.validators.iter().any(|spec| spec.name == name);
        let set = format!("{}-{name}", checked.name.name);
        !named && !observed.objects.contains_key(&(Kind::StatefulSet, set))
    };
    // A validator elsewhere counts when nobody here has a reason to doubt it: all that should run vote.
    let doubt = genesis.validators().iter().map(|v| v.name.as_str()).any(|name| {
        let fenced = checked.spec.fenced_validators.iter().any(|fenced| fenced == name);
        name != stopped && !elsewhere(name) && !fenced && !is_voting(name, observed)
    });
    let alone = genesis.validators().iter().all(|v| v.name == stopped || elsewhere(&v.name));
    let mut left = 0;
    let (mut own, mut total) = (0, 0);
    for validator in genesis.validators() {
        total += validator.power;
        if validator.name == stopped {
            own = validator.power;
        } else if elsewhere(&validator.name) {
            left += if doubt || alone { 0 } else { validator.power };
        } else if is_voting(&validator.name, observed) {
            left += validator.power;
        }
    }
    let enough = |votes: u64| u128::from(votes) * 3 > u128::from(total) * 2;
    if enough(left) || (left == total - own && !enough(total - own)) {
        return Ok(());
    }
    Err(Violation::BelowQuorum { stopped: stopped.to_owned(), left, total })
}

/// Its pod stays, it signs, and it sees enough others to decide with.
fn is_voting(validator: &str, observed: &Observed) -> bool {
    let stays =
        observed.pods.get(validator).is_some_and(|pod| pod.metadata.deletion_timestamp.is_none());
    let signs = |said: &Result<crate::observe::NodeReport, String>| {
        said.as_ref().is_ok_and(|report| report.voting && report.quorum)
    };
    stays && observed.nodes.get(validator).is_some_and(signs)
}

/// No container of it runs, or it says itself that it does not sign.
fn is_silent(validator: &str, observed: &Observed) -> bool {
    let statuses = observed
        .pods
        .get(validator)
        .and_then(|pod| pod.status.as_ref()?.container_statuses.as_ref());
    let runs = statuses
        .into_iter()
        .flatten()
        .any(|container| container.state.as_ref().is_some_and(|state| state.running.is_some()));
    let says_so = |said: &Result<crate::observe::NodeReport, String>| {
        said.as_ref().is_ok_and(|report| !report.voting)
    };
    !runs || observed.nodes.get(validator).is_some_and(says_so)
}

fn volumes_stay(step: &Step, checked: &Checked, observed: &Observed) -> Result<(), Violation> {
    match step {
        Step::Sweep { kind: Kind::PersistentVolumeClaim, name, .. } => {
            Err(Violation::VolumeDeleted(name.clone()))
        }
        Step::Apply(Manifest { kind: Kind::PersistentVolumeClaim, name, .. })
            if checked.founded
                && !keeps_its_member_key(name, checked)
                && !observed.objects.contains_key(&(Kind::PersistentVolumeClaim, name.clone())) =>
        {
            Err(Violation::VolumeReplaced(name.clone()))
        }
        _ => Ok(()),
    }
}

/// Whether the validator of that claim is known to the others without its volume, and is meant to run.
fn keeps_its_member_key(claim: &str, checked: &Checked) -> bool {
    let own = |name: &str| claim == format!("data-{}-{name}", checked.name.name);
    let stopped = |name: &String| checked.spec.fenced_validators.contains(name);
    let mut validators = checked.spec.validators.iter();
    let it = validators.find(|validator| own(&validator.name));
    !checked.spec.suspend
        && it.is_some_and(|it| it.member_key_secret.is_some() && !stopped(&it.name))
}

fn genesis_stays(step: &Step, checked: &Checked, observed: &Observed) -> Result<(), Violation> {
    let genesis = format!("{}-genesis", checked.name.name);
    let live = observed.objects.get(&(Kind::ConfigMap, genesis.clone()));
    let is_it = |manifest: &Manifest| manifest.kind == Kind::ConfigMap && manifest.name == genesis;
    let broken = match step {
        Step::Publish(manifest) => {
            let text = manifest.value["data"][GENESIS_KEY].as_str().unwrap_or_default();
            let chain = Genesis::from_json(text).ok().map(|genesis| genesis.chain());
            let checked_chain = checked.genesis.as_ref().map(Genesis::chain);
            live.is_some() || !is_it(manifest) || chain.is_none() || chain != checked_chain
        }
        Step::Apply(manifest) => {
            is_it(manifest) && live.is_none_or(|live| live["data"] != manifest.value["data"])
        }
        Step::Sweep { kind, name, .. } => *kind == Kind::ConfigMap && *name == genesis,
        Step::RestartPod { .. } | Step::Nudge { .. } => false,
    };
    if broken { Err(Violation::GenesisReplaced) } else { Ok(()) }
}

/// What is written is this cluster's: in its namespace, and controlled by nobody else.
fn is_ours(step: &Step, checked: &Checked, observed: &Observed) -> Result<(), Violation> {
    let (kind, name, sweep) = match step {
        Step::Apply(manifest) | Step::Publish(manifest) => {
            if manifest.value["metadata"]["namespace"] != checked.name.namespace.as_str() {
                return Err(Violation::NotOurs(manifest.name.clone()));
            }
            (manifest.kind, &manifest.name, false)
        }
        Step::Sweep { kind, name, .. } => (*kind, name, true),
        Step::RestartPod { .. } | Step::Nudge { .. } => return Ok(()),
    };
    let owners = observed
        .objects
        .get(&(kind, name.clone()))
        .and_then(|live| live.pointer("/metadata/ownerReferences")?.as_array());
    let mut controllers = owners.into_iter().flatten().filter(|owner| owner["controller"] == true);
    let ours = match controllers.next() {
        Some(owner) => owner["uid"] == checked.uid.as_str(),
        None => !sweep,
    };
    if ours { Ok(()) } else { Err(Violation::NotOurs(format!("{} {name}", kind.names().1))) }
}
