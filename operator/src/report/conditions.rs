//! The list of conditions: each a fact of its own, found here or in a file beside this one.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{Facts, certificates, federation, ready::ready, work};
use crate::{
    check::Refusal, health::Health, manifest::Kind, names::ClusterName, observe::NodeReport,
};

/// What is known of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    True,
    False,
    Unknown,
}

/// A condition before it has a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) truth: Truth,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Fact {
    pub(super) fn new(
        name: &'static str,
        truth: Truth,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { name, truth, reason, message: message.into() }
    }

    /// The same said of another condition.
    pub(super) fn renamed(&self, name: &'static str, truth: Truth) -> Self {
        Self { name, truth, ..self.clone() }
    }
}

/// All of them, `Ready` first.
pub(super) fn conditions(facts: &Facts<'_>) -> Vec<Condition> {
    let mut known = vec![
        federation::available(facts),
        work::progressing(facts),
        work::degraded(facts),
        federation::quorum_at_risk(facts),
        refused(facts, "SpecValid")
            .unwrap_or_else(|| Fact::new("SpecValid", Truth::True, "Valid", "the spec can be run")),
        initialized(facts),
        keys_available(facts),
        certificates::valid(facts),
        storage_healthy(facts),
        monitoring(facts),
        paused(facts),
        suspended(facts),
        federation::trusted(facts),
        federation::membership(facts),
    ];
    known.insert(0, ready(&known));
    known.into_iter().map(|fact| condition(facts, fact)).collect()
}

/// With its time: that of the last change of its status, not of its message.
fn condition(facts: &Facts<'_>, fact: Fact) -> Condition {
    let Fact { name, truth, reason, message } = fact;
    let status = match truth {
        Truth::True => "True",
        Truth::False => "False",
        Truth::Unknown => "Unknown",
    };
    let before = facts.cluster.status.iter().flat_map(|status| &status.conditions);
    let same = before.into_iter().find(|was| was.type_ == name && was.status == status);
    let since = same.map(|was| was.last_transition_time.clone());
    Condition {
        type_: name.into(),
        status: status.into(),
        reason: reason.into(),
        message,
        last_transition_time: since.unwrap_or(Time(facts.observed.now)),
        observed_generation: facts.cluster.metadata.generation,
    }
}

/// What a refusal says of a condition: all of them that are about it, with the first one's reason.
pub(super) fn refused(facts: &Facts<'_>, name: &'static str) -> Option<Fact> {
    let barred = facts.checked().into_iter().flat_map(|checked| checked.barred.values());
    let about: Vec<&Refusal> =
        facts.refusals().iter().chain(barred).filter(|r| r.condition == name).collect();
    let first = about.first()?;
    let messages: Vec<_> = about.iter().map(ToString::to_string).collect();
    Some(Fact::new(name, Truth::False, first.reason, messages.join("; ")))
}

/// Validators that should run, with how they are.
pub(super) fn running<'a>(facts: &'a Facts<'_>) -> Vec<(&'a str, Health<'a>)> {
    let spec = match facts.checked() {
        Some(checked) => &checked.spec,
        None => &facts.cluster.spec,
    };
    let fenced = |name: &String| spec.fenced_validators.contains(name);
    let names = spec.validators.iter().map(|v| &v.name).filter(|name| !fenced(name));
    names.map(|name| (name.as_str(), Health::of(facts.observed, name))).collect()
}

/// Those among them that could not be asked, as a sentence.
pub(super) fn unasked(running: &[(&str, Health<'_>)]) -> Option<String> {
    let why = |(name, health): &(&str, Health<'_>)| match health.said {
        Some(Ok(_)) => None,
        _ => Some(format!("{name}: {}", health.why_not_ready())),
    };
    let sentences: Vec<_> = running.iter().filter_map(why).collect();
    (!sentences.is_empty()).then(|| sentences.join("; "))
}

fn initialized(facts: &Facts<'_>) -> Fact {
    let name = "Initialized";
    if let Some(refused) = refused(facts, name) {
        return refused;
    }
    if facts.is_founded() {
        return Fact::new(name, Truth::True, "GenesisPublished", "the chain has its genesis");
    }
    if let Some(first) = facts.refusals().first() {
        return Fact::new(name, Truth::False, first.reason, first.to_string());
    }
    let waiting_for = facts.checked().map_or("", |checked| checked.waiting_for.as_str());
    let message = match waiting_for {
        "" => "the genesis is not published yet".to_owned(),
        waiting_for => format!("waiting for {waiting_for}"),
    };
    Fact::new(name, Truth::False, "Founding", message)
}

fn keys_available(facts: &Facts<'_>) -> Fact {
    let name = "KeysAvailable";
    if let Some(refused) = refused(facts, name) {
        return refused;
    }
    let barred = facts.checked().into_iter().flat_map(|checked| checked.barred.values());
    if let Some(lost) = barred.into_iter().find(|refusal| refusal.reason == "VolumeLost") {
        return Fact::new(name, Truth::False, lost.reason, lost.to_string());
    }
    if facts.is_stopped() {
        return Fact::new(name, Truth::Unknown, "Suspended", "nobody runs who could be asked");
    }
    let running = running(facts);
    for (validator, health) in &running {
        if let Some(fault) = health.fault().filter(|fault| fault.reason == "KeyMismatch") {
            let message = format!("{validator}: {}", fault.message);
            return Fact::new(name, Truth::False, "KeyMismatch", message);
        }
    }
    let keyless = |report: &NodeReport| report.consensus_key.is_empty();
    for (validator, health) in &running {
        let Some(report) = health.report() else { continue };
        if keyless(report) {
            let message = format!("{validator} shows no key yet");
            return Fact::new(name, Truth::False, "Founding", message);
        }
        let founder =
            facts.genesis.and_then(|g| g.validators().iter().find(|v| v.name == *validator));
        if let Some(founder) = founder
            && founder.consensus_key.to_string() != report.consensus_key
        {
            let (expected, got) = (founder.consensus_key, &report.consensus_key);
            let message = format!(
                "the genesis expects the key {expected} of {validator}, got {got}: it follows the chain and signs nothing, and the others decide without it; to put the volume with its key back, fence {validator}, replace the claim of its volume by one on that volume (spec.volumeName), never on an older copy, and unfence it"
            );
            return Fact::new(name, Truth::False, "KeyMismatch", message);
        }
    }
    match unasked(&running) {
        Some(why) if facts.is_founded() => Fact::new(name, Truth::Unknown, "NotAsked", why),
        Some(why) => Fact::new(name, Truth::False, "Founding", why),
        None => Fact::new(name, Truth::True, "KeysShown", "every validator has its keys"),
    }
}

/// Reasons of faults that are the volume's.
const OF_STORAGE: &[&str] =
    &["DiskFull", "StoreCorrupt", "StorageFailed", "VolumeForeignChain", "FormatTooNew"];

fn storage_healthy(facts: &Facts<'_>) -> Fact {
    let name = "StorageHealthy";
    if let Some(refused) = refused(facts, name) {
        return refused;
    }
    for (validator, health) in running(facts) {
        if let Some(fault) = health.fault().filter(|fault| OF_STORAGE.contains(&fault.reason)) {
            return Fact::new(
                name,
                Truth::False,
                fault.reason,
                format!("{validator}: {}", fault.message),
            );
        }
    }
    let name_of = ClusterName {
        namespace: facts.cluster.metadata.namespace.clone().unwrap_or_default(),
        name: facts.cluster.metadata.name.clone().unwrap_or_default(),
    };
    let spec = facts.checked().map_or(&facts.cluster.spec, |checked| &checked.spec);
    let mut resizing = Vec::new();
    let mut pending = Vec::new();
    for claim in spec.validators.iter().map(|validator| name_of.claim(&validator.name)) {
        let live = facts.observed.objects.get(&(Kind::PersistentVolumeClaim, claim.clone()));
        let phase = live.and_then(|live| live.pointer("/status/phase")?.as_str());
        let Some(live) = live.filter(|_| phase == Some("Bound")) else {
            if phase == Some("Lost") {
                let message = format!("the volume behind {claim} is gone");
                return Fact::new(name, Truth::False, "VolumeLost", message);
            }
            pending.push(claim);
            continue;
        };
        let conditions = live.pointer("/status/conditions").and_then(|c| c.as_array());
        let resizes = |c: &serde_json::Value| {
            let kind = c["type"].as_str().unwrap_or_default();
            ["Resizing", "FileSystemResizePending"].contains(&kind) && c["status"] == "True"
        };
        if conditions.into_iter().flatten().any(resizes) {
            resizing.push(claim);
        }
    }
    if !resizing.is_empty() {
        return Fact::new(
            name,
            Truth::True,
            "Resizing",
            format!("growing: {}", resizing.join(", ")),
        );
    }
    if !pending.is_empty() {
        let message = format!("no volume is bound yet to {}", pending.join(", "));
        return Fact::new(name, Truth::Unknown, "Provisioning", message);
    }
    Fact::new(name, Truth::True, "VolumesBound", "every volume is there")
}

fn monitoring(facts: &Facts<'_>) -> Fact {
    let name = "MonitoringConfigured";
    let spec = &facts.cluster.spec.monitoring;
    let wanted = [(spec.pod_monitor, Kind::PodMonitor), (spec.rules, Kind::PrometheusRule)];
    let wanted = || wanted.iter().filter(|(wanted, _)| *wanted).map(|(_, kind)| *kind);
    if wanted().next().is_none() {
        return Fact::new(name, Truth::False, "NotRequested", "spec.monitoring asks for nothing");
    }
    let missing = wanted().filter(|kind| !facts.observed.installed.contains(kind));
    let missing: Vec<_> = missing.map(|kind| kind.names().1).collect();
    if missing.is_empty() {
        return Fact::new(
            name,
            Truth::True,
            "Configured",
            "what spec.monitoring asks for is there",
        );
    }
    let message = format!(
        "the API server knows no {}: install the Prometheus operator",
        missing.join(" and no ")
    );
    Fact::new(name, Truth::False, "CRDMissing", message)
}

fn paused(facts: &Facts<'_>) -> Fact {
    let name = "ReconciliationPaused";
    if facts.cluster.spec.paused {
        return Fact::new(name, Truth::True, "Paused", "spec.paused: nothing is changed");
    }
    Fact::new(name, Truth::False, "Active", "changes are carried out")
}

fn suspended(facts: &Facts<'_>) -> Fact {
    let name = "Suspended";
    if !facts.cluster.spec.suspend {
        return Fact::new(name, Truth::False, "Active", "validators run");
    }
    match facts.observed.pods.len() {
        1.. if facts.cluster.spec.paused => {
            Fact::new(name, Truth::False, "Paused", "spec.suspend waits: spec.paused wins")
        }
        0 => Fact::new(
            name,
            Truth::True,
            "Suspended",
            "spec.suspend: every validator is stopped, its volume kept",
        ),
        _ => {
            Fact::new(name, Truth::True, "Suspending", "spec.suspend: validators are being stopped")
        }
    }
}
