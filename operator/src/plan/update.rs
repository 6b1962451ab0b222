//! One validator at a time: write down whom, write its template, replace its pod, wait until it is back.
//! Where we are in that is read off the world each time; the status only remembers whom and since when, so
//! dying between any two writes loses nothing.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    Progress, Step,
    founding::restart,
    guard::{is_back, may_stop},
    need::{Need, Next, needs},
    world::World,
    writes::apply,
};
use crate::{
    crd::{OperationStatus, UpdateStrategy},
    health::leader,
};

type Change = (Vec<Step>, Option<OperationStatus>, Progress);

/// The next step of changing validators, if any has to be changed.
pub(super) fn next(world: &World<'_>) -> Change {
    let needs = needs(world);
    if world.checked.spec.update.strategy == UpdateStrategy::OnDelete {
        return (vec![], None, left_to_people(world, &needs));
    }
    let changeable = |operation: &&OperationStatus| {
        !world.is_fenced(&operation.target)
            && world.changeable().any(|validator| validator.name == operation.target)
    };
    if let Some(operation) = world.operation().filter(changeable) {
        let target = &operation.target;
        let whole = world.health(target).is_ready();
        match needs.iter().find(|need| need.validator == *target) {
            None if is_back(world, target) => {}
            None => return await_return(world, operation, needs.len()),
            // It still serves, and somebody is down who needs a change as well: that one goes first, or
            // each would wait for the other.
            Some(_)
                if whole
                    && first(world, &needs).is_some_and(|need| {
                        need.validator != *target && !world.health(&need.validator).is_ready()
                    }) => {}
            Some(need) if need.to == operation.to => {
                return advance(world, operation, need, &needs);
            }
            // The spec says something else by now: the broken one first.
            Some(need) if !whole => return begin(world, need, &needs),
            Some(_) => {}
        }
    }
    match first(world, &needs) {
        Some(need) => begin(world, need, &needs),
        None => (vec![], None, rest(world)),
    }
}

/// Whose turn it is: one that is not ready has nothing to lose, and the leader's stopping costs an election.
fn first<'a>(world: &World<'_>, needs: &'a [Need]) -> Option<&'a Need> {
    let due = needs.iter().filter(|need| !matches!(need.next, Next::Await));
    // While an election is under way, most likely the one that led before leads again.
    let before = || world.cluster.status.as_ref()?.leader.as_deref();
    let leader = leader(world.observed).or_else(before);
    due.min_by_key(|need| {
        let health = world.health(&need.validator);
        (health.is_ready() || health.is_unknown(), leader == Some(need.validator.as_str()))
    })
}

/// Writes down who is changed, and nothing else: the next pass goes on from there.
fn begin(world: &World<'_>, need: &Need, needs: &[Need]) -> Change {
    let target = &need.validator;
    let awaits = |reason, message| {
        // A change that was begun stays on record until its validator is back.
        let operation = world.operation().filter(|operation| operation.target == *target).cloned();
        (vec![], operation, Progress::Waiting { reason, message })
    };
    if world.checked.spec.update.strategy == UpdateStrategy::Supervised && !world.checked.approved {
        let generation = world.checked.generation;
        let names: Vec<_> = needs.iter().map(|need| need.validator.as_str()).collect();
        let message = format!(
            "{} wait to be changed: the annotation cairndb.io/approve-update=\"{generation}\" approves it",
            names.join(", ")
        );
        return awaits("AwaitingApproval", message);
    }
    if let Err(refused) = may_stop(world, target) {
        return awaits(refused.reason, refused.message);
    }
    let operation = OperationStatus {
        kind: need.kind,
        target: target.clone(),
        to: need.to.clone(),
        started_at: Time(world.observed.now),
        replaces: world.health(target).pod_uid().map(str::to_owned),
        approved: approval(world),
    };
    (vec![], Some(operation), updating(target, needs))
}

/// The next write of a change that is on record.
fn advance(world: &World<'_>, operation: &OperationStatus, need: &Need, needs: &[Need]) -> Change {
    let target = &operation.target;
    let operation = Some(operation.clone());
    if let Err(refused) = may_stop(world, target) {
        let progress = Progress::Waiting { reason: refused.reason, message: refused.message };
        return (vec![], operation, progress);
    }
    let steps = match &need.next {
        Next::Apply { config, stateful_set } => {
            let both = [config, stateful_set].map(|manifest| apply(world, manifest));
            both.into_iter().flatten().collect()
        }
        Next::Await => vec![],
        Next::Restart => restart(world, target).into_iter().collect(),
    };
    (steps, operation, updating(target, needs))
}

/// The target has what it needs, and is not back yet.
fn await_return(world: &World<'_>, operation: &OperationStatus, waiting: usize) -> Change {
    let target = operation.target.clone();
    let health = world.health(&target);
    let same_pod = health.pod_uid().is_some() && health.pod_uid() == operation.replaces.as_deref();
    // A restart was asked for, and its pod is still the one that was there.
    if same_pod && !health.is_ready() && !health.is_leaving() && may_stop(world, &target).is_ok() {
        let steps = restart(world, &target).into_iter().collect();
        let progress = Progress::Updating { target, remaining: waiting };
        return (steps, Some(operation.clone()), progress);
    }
    if !is_overdue(world, operation) {
        let progress = Progress::Updating { target, remaining: waiting };
        return (vec![], Some(operation.clone()), progress);
    }
    // An approval that was there when it began has been used: else a halt would never hold.
    if world.checked.approved && operation.approved != approval(world) {
        let again = OperationStatus {
            started_at: Time(world.observed.now),
            replaces: health.pod_uid().map(str::to_owned),
            approved: approval(world),
            ..operation.clone()
        };
        let progress = Progress::Updating { target, remaining: waiting };
        return (vec![], Some(again), progress);
    }
    let message = format!(
        "{target} did not come back within {} s: {}",
        world.checked.spec.update.timeout_seconds,
        health.why_not_ready()
    );
    (vec![], Some(operation.clone()), Progress::Halted { target, message })
}

/// Whether it had its time: since it was begun, or since its pod is there, whichever is later.
fn is_overdue(world: &World<'_>, operation: &OperationStatus) -> bool {
    let since: Timestamp = operation.started_at.0;
    let since = world.health(&operation.target).pod_since().map_or(since, |pod| pod.max(since));
    let limit = SignedDuration::from_secs(world.checked.spec.update.timeout_seconds.into());
    world.observed.now.duration_since(since) >= limit
}

/// The generation whose approval a change uses.
fn approval(world: &World<'_>) -> Option<i64> {
    world.checked.approved.then_some(world.checked.generation)
}

fn updating(target: &str, needs: &[Need]) -> Progress {
    let remaining = needs.iter().filter(|need| need.validator != target).count();
    Progress::Updating { target: target.to_owned(), remaining }
}

/// `OnDelete`: the templates are written, people delete the pods.
fn left_to_people(world: &World<'_>, needs: &[Need]) -> Progress {
    let old = needs.iter().filter(|need| matches!(need.next, Next::Restart));
    let pods: Vec<_> = old.map(|need| world.checked.name.pod(&need.validator)).collect();
    if pods.is_empty() {
        return rest(world);
    }
    let message = format!("these pods change when you delete them: {}", pods.join(", "));
    Progress::Waiting { reason: "AwaitingDeletion", message }
}

/// Nothing has to change. The first time round, validators are still being waited for.
fn rest(world: &World<'_>) -> Progress {
    let conditions = world.cluster.status.iter().flat_map(|status| &status.conditions);
    let before = conditions.into_iter().find(|condition| condition.type_ == "Progressing");
    let first_time = before.is_none_or(|condition| {
        ["Founding", "Starting", "Suspended"].contains(&condition.reason.as_str())
    });
    let validators = world.checked.spec.validators.iter().map(|validator| &validator.name);
    let waiting_for: Vec<_> = validators
        .filter(|name| !world.is_fenced(name) && !world.checked.barred.contains_key(*name))
        .filter(|name| !is_back(world, name))
        .cloned()
        .collect();
    if let Some(refusal) = world.checked.barred.values().next() {
        return Progress::Waiting { reason: refusal.reason, message: refusal.to_string() };
    }
    if first_time && !waiting_for.is_empty() {
        return Progress::Starting { waiting_for };
    }
    Progress::Settled
}
