//! May this validator stop now? Only if the others decide without it, or if it does not vote anyway.

use super::world::World;
use crate::{
    health::{Health, blocks_behind},
    manifest::Kind,
    power::Power,
};

/// Why a validator may not stop now.
pub(super) struct Refused {
    /// CamelCase.
    pub(super) reason: &'static str,
    /// One sentence.
    pub(super) message: String,
}

/// May it stop?
///
/// * One that certainly does not vote may: that costs nothing.
/// * One that serves may when every other one serves, votes and is caught up. What is broken gets mended
///   before anything else is risked.
/// * Those that go on hold strictly more than two thirds of the voting power. Only where no waiting could
///   ever bring that about (three validators or fewer, or one with a third of the power) it is enough that
///   everybody else votes: writes pause until it is back, and the alternative is never to change it.
pub(super) fn may_stop(world: &World<'_>, target: &str) -> Result<(), Refused> {
    let health = world.health(target);
    if !health.is_ready() && health.is_certainly_silent() {
        return Ok(());
    }
    // It may well vote, and nobody could say afterwards whether it is back.
    if health.is_unknown() {
        let message = format!("{target} waits: {}", health.why_not_ready());
        return Err(Refused { reason: "NotAsked", message });
    }
    let Some(genesis) = &world.checked.genesis else { return Ok(()) };
    let power = Power::of(genesis);
    if health.is_ready()
        && let Some((other, why)) = others(world, &power, target)
            .find_map(|other| why_not_settled(world, other).map(|why| (other, why)))
    {
        let message = format!("{target} waits for {other}: {why}");
        return Err(Refused { reason: "NotCaughtUp", message });
    }
    let left = votes_without(world, &power, target);
    let most = power.total - power.held_by(target);
    if power.is_quorum(left) || (left == most && !power.is_quorum(most)) {
        return Ok(());
    }
    let (total, needed) = (power.total, power.needed());
    let message = format!(
        "{target} waits: without it {left} of {total} voting power would vote, {needed} is needed"
    );
    Err(Refused { reason: "QuorumAtRisk", message })
}

/// Whether a validator is back: it serves, votes and is caught up, and sees a quorum if anybody does.
pub(super) fn is_back(world: &World<'_>, target: &str) -> bool {
    let health = world.health(target);
    let Some(report) = health.report() else { return false };
    let sees = |other: &str| world.health(other).report().is_some_and(|report| report.quorum);
    let validators = &world.checked.spec.validators;
    let anybody = || validators.iter().any(|other| other.name != target && sees(&other.name));
    health.is_ready()
        && report.voting
        && is_caught_up(world, health)
        && (report.quorum || !anybody())
}

/// What another validator lacks of being settled.
fn why_not_settled(world: &World<'_>, other: &str) -> Option<String> {
    let health = world.health(other);
    if !health.is_ready() {
        return Some(health.why_not_ready());
    }
    if !health.votes() {
        return Some("it does not vote".into());
    }
    (!is_caught_up(world, health)).then(|| "it is not caught up".into())
}

fn is_caught_up(world: &World<'_>, health: Health<'_>) -> bool {
    let most = u64::from(world.checked.spec.update.max_lag_blocks);
    health.report().is_some_and(|report| blocks_behind(world.observed, report) <= most)
}

/// The other validators of the genesis that run here and should.
fn others<'a>(
    world: &'a World<'_>,
    power: &'a Power,
    target: &'a str,
) -> impl Iterator<Item = &'a str> {
    let local = power.iter().map(|(name, _)| name).filter(|name| runs_here(world, name));
    local.filter(move |name| *name != target && !world.is_fenced(name))
}

/// The voting power that goes on without the target. Validators elsewhere cannot be asked: they count as
/// voting while every validator here that votes sees a quorum, which says that enough of them were there,
/// and as silent otherwise.
fn votes_without(world: &World<'_>, power: &Power, target: &str) -> u64 {
    let mut here = 0;
    let mut elsewhere = 0;
    let mut all_see_a_quorum = true;
    for (name, held) in power.iter().filter(|(name, _)| *name != target) {
        if !runs_here(world, name) {
            elsewhere += held;
        } else if world.health(name).votes() {
            here += held;
        } else if !world.is_fenced(name) {
            all_see_a_quorum = false;
        }
    }
    if here > 0 && all_see_a_quorum { here + elsewhere } else { here }
}

/// Whether this Kubernetes cluster runs it: by the spec, or still, after it left the spec.
fn runs_here(world: &World<'_>, validator: &str) -> bool {
    let named = world.checked.spec.validators.iter().any(|spec| spec.name == validator);
    let name = world.checked.name.validator(validator);
    named || world.live(Kind::StatefulSet, &name).is_some()
}
