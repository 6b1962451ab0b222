//! One line for each validator of the federation.

use std::collections::BTreeSet;

use super::Facts;
use crate::{
    crd::{Lag, MemberRole, MemberStatus},
    health::{Health, blocks_behind},
    manifest::Kind,
    names::ClusterName,
    observe::NodeReport,
};

/// So many blocks behind still counts as a few.
const FEW_BLOCKS: u64 = 1000;

/// All of them, by name: of the spec, of the genesis, and those elsewhere.
pub(super) fn members(facts: &Facts<'_>) -> Vec<MemberStatus> {
    let spec = &facts.cluster.spec;
    let genesis = facts.genesis;
    let elsewhere = || spec.federation.iter().flat_map(|federation| &federation.members);
    let mut names: BTreeSet<&str> = spec.validators.iter().map(|v| v.name.as_str()).collect();
    names.extend(elsewhere().map(|member| member.name.as_str()));
    names.extend(genesis.iter().flat_map(|genesis| genesis.validators()).map(|v| v.name.as_str()));
    names.into_iter().map(|name| member(facts, name)).collect()
}

fn member(facts: &Facts<'_>, name: &str) -> MemberStatus {
    let spec = &facts.cluster.spec;
    let founder = facts.genesis.and_then(|g| g.validators().iter().find(|v| v.name == name));
    let own = spec.validators.iter().find(|validator| validator.name == name);
    let mut elsewhere = spec.federation.iter().flat_map(|federation| &federation.members);
    let elsewhere = elsewhere.find(|member| member.name == name);
    let role = role(facts, name, own.is_some(), founder.is_some());
    let power = own.map(|v| v.power).or(elsewhere.map(|m| m.power)).unwrap_or(0);
    let power = founder.map_or(power, |founder| u32::try_from(founder.power).unwrap_or(u32::MAX));
    let mut member = MemberStatus { name: name.to_owned(), role, power, ..MemberStatus::default() };
    if let Some(founder) = founder {
        member.consensus_key = Some(founder.consensus_key.to_string());
        member.member_key = Some(founder.member_key.to_string());
    } else if let Some(elsewhere) = elsewhere {
        member.consensus_key = Some(elsewhere.consensus_key.clone());
        member.member_key = Some(elsewhere.member_key.clone());
    }
    if role != MemberRole::External {
        local(facts, &mut member);
    }
    member
}

/// What only those who run here can show.
fn local(facts: &Facts<'_>, member: &mut MemberStatus) {
    let claim = cluster_name(facts).claim(&member.name);
    let there = facts.observed.objects.contains_key(&(Kind::PersistentVolumeClaim, claim.clone()));
    member.claim = there.then_some(claim);
    if matches!(member.role, MemberRole::Pending) {
        return;
    }
    let health = Health::of(facts.observed, &member.name);
    if let Some(NodeReport { consensus_key, member_key, version, .. }) = health.report() {
        let shown = |key: &String| (!key.is_empty()).then(|| key.clone());
        member.consensus_key = member.consensus_key.take().or_else(|| shown(consensus_key));
        member.member_key = member.member_key.take().or_else(|| shown(member_key));
        member.version = shown(version);
    }
    // A validator without a pod is known not to serve; one that does not answer may.
    let asked = health.report().is_some() || !health.runs();
    member.ready = asked.then(|| health.is_ready());
    if !health.is_ready() && member.role != MemberRole::Fenced && !facts.cluster.spec.suspend {
        member.message = Some(health.why_not_ready());
    } else if let Some(report) = health.report().filter(|report| !report.voting) {
        // It serves, and its voting power is missing all the same.
        member.message =
            report.not_voting_because.as_deref().map(|why| format!("it does not vote: {why}"));
    }
    let report = health.report().filter(|report| report.phase == "running");
    member.lag = report.map(|report| match blocks_behind(facts.observed, report) {
        few if few <= u64::from(facts.cluster.spec.update.max_lag_blocks) => Lag::None,
        some if some <= FEW_BLOCKS => Lag::Blocks,
        _ => Lag::Far,
    });
}

fn role(facts: &Facts<'_>, name: &str, own: bool, founder: bool) -> MemberRole {
    let spec = &facts.cluster.spec;
    let founded = facts.is_founded();
    let set = (Kind::StatefulSet, cluster_name(facts).validator(name));
    match (own, founder) {
        (true, _) if spec.fenced_validators.iter().any(|fenced| fenced == name) => {
            MemberRole::Fenced
        }
        (true, true) if founded => MemberRole::Validator,
        (true, false) if founded && facts.genesis.is_some() => MemberRole::Pending,
        (true, _) if founded => MemberRole::Validator,
        (true, _) => MemberRole::Founding,
        (false, true) if facts.observed.objects.contains_key(&set) => MemberRole::Removing,
        (false, _) => MemberRole::External,
    }
}

fn cluster_name(facts: &Facts<'_>) -> ClusterName {
    let metadata = &facts.cluster.metadata;
    ClusterName {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
    }
}

/// How many of the spec's validators serve.
pub(super) fn ready(facts: &Facts<'_>) -> u32 {
    let validators = facts.cluster.spec.validators.iter();
    let ready = validators.filter(|v| Health::of(facts.observed, &v.name).is_ready());
    super::count(ready.count())
}

/// The versions that run, each once.
pub(super) fn version(members: &[MemberStatus]) -> Option<String> {
    let versions: BTreeSet<&str> = members.iter().filter_map(|m| m.version.as_deref()).collect();
    (!versions.is_empty()).then(|| versions.into_iter().collect::<Vec<_>>().join(","))
}
