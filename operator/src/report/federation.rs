//! The federation: whether it decides, how much it can lose, whom one has to trust.

use std::collections::BTreeMap;

use super::{
    Facts,
    conditions::{Fact, Truth, running, unasked},
};
use crate::{crd::TrustStatus, health::Health, manifest::Kind, power::Power};

/// Whether blocks are decided: at least one validator that serves sees a quorum and somebody who leads.
pub(super) fn available(facts: &Facts<'_>) -> Fact {
    let name = "Available";
    if facts.is_stopped() {
        return Fact::new(name, Truth::False, "Suspended", "no validator runs");
    }
    if !facts.is_founded() {
        return Fact::new(name, Truth::False, "Founding", "there is no chain yet");
    }
    let running = running(facts);
    let reports = || running.iter().filter_map(|(_, health)| Some((health, health.report()?)));
    if reports().any(|(health, report)| health.is_ready() && report.quorum) {
        return Fact::new(name, Truth::True, "QuorumAnswers", "the federation decides");
    }
    let starting = |health: &Health<'_>| !matches!(health.said, Some(Err(_)));
    if reports().next().is_none() && !running.iter().all(|(_, health)| starting(health)) {
        let why = unasked(&running).unwrap_or_default();
        return Fact::new(name, Truth::Unknown, "NotAsked", why);
    }
    if facts.is_starting() {
        return Fact::new(name, Truth::False, "Starting", "the validators are starting");
    }
    let why = reports().find_map(|(_, report)| report.no_quorum_because.clone());
    let why = why.unwrap_or_else(|| "no validator serves".into());
    Fact::new(name, Truth::False, "NoQuorum", crate::health::one_line(&why))
}

/// What votes now, at least and at most.
struct Votes {
    power: Power,
    /// Power of each that surely votes.
    known: Vec<u64>,
    /// Power of those of whom nobody knows: they could not be asked, or run elsewhere.
    unknown: Vec<u64>,
    /// Whether somebody sees a quorum.
    seen: bool,
}

impl Votes {
    /// The voting power that surely votes. Who sees a quorum has counted those elsewhere, too.
    fn least(&self) -> u64 {
        let known = self.known.iter().sum();
        if self.seen { self.power.needed().max(known) } else { known }
    }
}

fn votes(facts: &Facts<'_>) -> Option<Votes> {
    let genesis = facts.genesis.filter(|_| facts.is_founded())?;
    let power = Power::of(genesis);
    let (mut known, mut unknown, mut seen) = (vec![], vec![], false);
    for (name, held) in power.iter() {
        let health = Health::of(facts.observed, name);
        match health.report() {
            Some(report) if report.voting && !health.is_leaving() => {
                seen |= report.quorum;
                known.push(held);
            }
            None if health.runs() || !is_local(facts, name) => unknown.push(held),
            _ => {}
        }
    }
    Some(Votes { power, known, unknown, seen })
}

/// A node that runs so many of them that its loss stops writes, and who they are.
fn shared_node<'a>(facts: &Facts<'a>, votes: &Votes) -> Option<(&'a str, String)> {
    let mut on: BTreeMap<&str, Vec<(&str, u64)>> = BTreeMap::new();
    for (name, held) in votes.power.iter() {
        if let Some(node) = Health::of(facts.observed, name).node() {
            on.entry(node).or_default().push((name, held));
        }
    }
    let known: u64 = votes.known.iter().sum();
    let stops = |validators: &[(&str, u64)]| {
        let lost = validators.iter().map(|(_, held)| held).sum();
        !votes.power.is_quorum(known.saturating_sub(lost))
    };
    let (node, validators) = on.into_iter().find(|(_, validators)| stops(validators))?;
    let names: Vec<_> = validators.into_iter().map(|(name, _)| name).collect();
    Some((node, names.join(", ")))
}

fn is_local(facts: &Facts<'_>, validator: &str) -> bool {
    let spec = &facts.cluster.spec;
    let elsewhere = spec.federation.iter().flat_map(|federation| &federation.members);
    let elsewhere = elsewhere.into_iter().any(|member| member.name == validator);
    let set = format!("{}-{validator}", facts.cluster.metadata.name.as_deref().unwrap_or_default());
    !elsewhere
        && (spec.validators.iter().any(|v| v.name == validator)
            || facts.observed.objects.contains_key(&(Kind::StatefulSet, set)))
}

/// Voting power that surely votes, and that is needed: `votes/needed`.
pub(super) fn quorum(facts: &Facts<'_>) -> Option<String> {
    let votes = votes(facts)?;
    Some(format!("{}/{}", votes.least(), votes.power.needed()))
}

pub(super) fn quorum_at_risk(facts: &Facts<'_>) -> Fact {
    let name = "QuorumAtRisk";
    if facts.is_stopped() {
        return Fact::new(name, Truth::Unknown, "Suspended", "no validator runs");
    }
    let Some(votes) = votes(facts) else {
        return match facts.is_founded() {
            true => Fact::new(name, Truth::Unknown, "GenesisMissing", "the genesis cannot be read"),
            false => Fact::new(name, Truth::Unknown, "Founding", "there is no chain yet"),
        };
    };
    let least = votes.least();
    let shared = shared_node(facts, &votes);
    let Votes { power, known, unknown, seen: _ } = votes;
    // The strongest one lost: what is left then?
    let left = |votes: &[u64]| votes.iter().sum::<u64>() - votes.iter().max().unwrap_or(&0);
    let most: Vec<u64> = known.iter().chain(&unknown).copied().collect();
    let all: Vec<u64> = power.iter().map(|(_, held)| held).collect();
    let (total, needed) = (power.total, power.needed());
    let says = |truth, reason, message: String| Fact::new(name, truth, reason, message);
    if power.is_quorum(left(&known)) {
        // All may vote, and nothing be decided all the same: where the log is in a TiKV that is away.
        if let Some(fact) = Some(available(facts)).filter(|fact| fact.reason == "NoQuorum") {
            return says(Truth::True, "NoQuorum", fact.message);
        }
        if let Some((node, validators)) = shared {
            let message = format!(
                "any one validator may be lost, but not the node {node}: {validators} run on it"
            );
            return says(Truth::False, "SharedNode", message);
        }
        return says(Truth::False, "Spare", "any one validator may be lost".into());
    }
    if power.is_quorum(left(&most)) {
        let why = unasked(&running(facts));
        let why = why.unwrap_or_else(|| "validators elsewhere cannot be asked".into());
        return says(Truth::Unknown, "NotAsked", why);
    }
    let counted = format!("{least} of {total} voting power votes, {needed} is needed");
    if !power.is_quorum(least) {
        return says(Truth::True, "NoQuorum", counted);
    }
    if !power.is_quorum(left(&all)) {
        let message = format!(
            "even when everybody votes, the loss of one stops writes: {needed} of {total} voting power is needed"
        );
        return says(Truth::True, "NoSpare", message);
    }
    says(Truth::True, "OneMoreLoss", format!("one more loss stops writes: {counted}"))
}

/// Each validator of the federation, its power, and who administers it.
fn domains(facts: &Facts<'_>) -> Vec<(String, u64, String)> {
    let spec = &facts.cluster.spec;
    let here = spec.federation.as_ref().map_or("self", |f| f.admin_domain.as_str());
    let members = || spec.federation.iter().flat_map(|federation| &federation.members);
    let Some(genesis) = facts.genesis else {
        let own = spec.validators.iter().map(|v| (v.name.clone(), u64::from(v.power), here.into()));
        let others =
            members().map(|m| (m.name.clone(), u64::from(m.power), m.admin_domain.clone()));
        return own.chain(others).collect();
    };
    let domain = |name: &str| {
        let member = members().find(|member| member.name == name);
        member.map_or(here, |member| member.admin_domain.as_str()).to_owned()
    };
    genesis.validators().iter().map(|v| (v.name.clone(), v.power, domain(&v.name))).collect()
}

pub(super) fn trust(facts: &Facts<'_>) -> TrustStatus {
    let validators = domains(facts);
    let total: u64 = validators.iter().map(|(_, power, _)| power).sum();
    let mut held: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, power, domain) in &validators {
        *held.entry(domain).or_default() += power;
    }
    let largest = held.values().max().copied().unwrap_or(0);
    let tolerated = total.saturating_sub(1) / 3;
    TrustStatus {
        validators: super::count(validators.len()),
        admin_domains: super::count(held.len()),
        largest_domain: format!("{largest}/{total}"),
        byzantine_tolerated: u32::try_from(tolerated).unwrap_or(u32::MAX),
        byzantine_effective: largest <= tolerated,
    }
}

/// Whether no single organisation can stop or fork the chain.
pub(super) fn trusted(facts: &Facts<'_>) -> Fact {
    let name = "FederationTrust";
    let trust = trust(facts);
    let TrustStatus { admin_domains, largest_domain, byzantine_tolerated, .. } = &trust;
    if *byzantine_tolerated == 0 {
        let message = "f=0: with so little voting power nobody may lie or be lost; four validators are the least that tolerate one";
        return Fact::new(name, Truth::False, "NoByzantineTolerance", message);
    }
    if *admin_domains <= 1 {
        let message =
            "one organisation administers every validator: the chain is as trustworthy as it is";
        return Fact::new(name, Truth::False, "SingleAdminDomain", message);
    }
    if !trust.byzantine_effective {
        let message = format!(
            "one organisation administers {largest_domain} of the voting power, at most {byzantine_tolerated} can be tolerated"
        );
        return Fact::new(name, Truth::False, "DominantAdminDomain", message);
    }
    Fact::new(name, Truth::True, "Federated", "no single organisation can stop or fork the chain")
}

pub(super) fn membership(facts: &Facts<'_>) -> Fact {
    let name = "MembershipChangePending";
    let Some(checked) = facts.checked() else {
        return Fact::new(name, Truth::Unknown, "NotChecked", "the spec could not be checked");
    };
    if checked.membership.is_settled() {
        let message = "the spec names the validators that there are";
        return Fact::new(name, Truth::False, "AsFounded", message);
    }
    let of = &checked.membership;
    let mut elections = Vec::new();
    elections.extend(of.pending.iter().map(|name| format!("admit {name}")));
    elections.extend(of.removing.iter().map(|name| format!("let {name} go")));
    elections.extend(
        of.reweighted
            .iter()
            .map(|(name, is, wanted)| format!("change the power of {name} from {is} to {wanted}")),
    );
    let message = format!(
        "the federation has to vote first, and no election is open, to {}; nothing is created or removed until then",
        elections.join(", to ")
    );
    Fact::new(name, Truth::True, "ElectionMissing", message)
}
