//! `Progressing` and `Degraded`: what is being done, and what does not run as it should.

use super::{
    Facts, Outcome,
    conditions::{Fact, Truth, refused, running},
};
use crate::{apply::ApplyError, plan::Progress};

pub(super) fn progressing(facts: &Facts<'_>) -> Fact {
    let name = "Progressing";
    if facts.cluster.spec.paused {
        return Fact::new(name, Truth::False, "Paused", "spec.paused: nothing is changed");
    }
    let (plan, applied) = match facts.outcome {
        Outcome::Refused(refusals) => {
            return refused(facts, name).unwrap_or_else(|| {
                let reason = refusals.first().map_or("Refused", |refusal| refusal.reason);
                Fact::new(name, Truth::False, reason, "nothing is changed until that is put right")
            });
        }
        Outcome::Planned { plan, applied, .. } => (plan, applied),
    };
    if let Some((_, error)) = &applied.failed {
        return match error {
            ApplyError::NameConflict(_) => {
                Fact::new(name, Truth::False, "NameConflict", error.to_string())
            }
            ApplyError::Refused { .. } => {
                Fact::new(name, Truth::False, "ApplyRefused", error.to_string())
            }
            ApplyError::Trouble { .. } => {
                Fact::new(name, Truth::True, "Retrying", error.to_string())
            }
        };
    }
    match &plan.progress {
        Progress::Settled => {
            Fact::new(name, Truth::False, "Settled", "everything is as the spec says")
        }
        Progress::Paused => {
            Fact::new(name, Truth::False, "Paused", "spec.paused: nothing is changed")
        }
        Progress::Suspended => {
            Fact::new(name, Truth::False, "Suspended", "spec.suspend: no validator runs")
        }
        Progress::Founding { waiting_for } => {
            Fact::new(name, Truth::True, "Founding", format!("waiting for {waiting_for}"))
        }
        Progress::Starting { waiting_for } => Fact::new(
            name,
            Truth::True,
            "Starting",
            format!("waiting for {}", waiting_for.join(", ")),
        ),
        Progress::Updating { target, remaining } => {
            let after = match remaining {
                0 => "the last one".to_owned(),
                more => format!("{more} more after it"),
            };
            Fact::new(name, Truth::True, "Updating", format!("changing {target}, {after}"))
        }
        Progress::Waiting { reason, message } => Fact::new(name, Truth::False, reason, message),
        Progress::Halted { message, .. } => Fact::new(
            name,
            Truth::False,
            "UpdateHalted",
            format!(
                "{message}; no other validator is changed until it is back or the spec changes"
            ),
        ),
    }
}

/// What a person should look at. A validator that could not be asked is not called healthy.
pub(super) fn degraded(facts: &Facts<'_>) -> Fact {
    let name = "Degraded";
    let says = |reason, message: String| Fact::new(name, Truth::True, reason, message);
    if let Some(refusal) = facts.refusals().first() {
        return says(refusal.reason, refusal.to_string());
    }
    let Outcome::Planned { checked, plan, applied } = facts.outcome else {
        return Fact::new(name, Truth::Unknown, "NotPlanned", "nothing was planned");
    };
    if let Progress::Halted { message, .. } = &plan.progress {
        return says("UpdateHalted", message.clone());
    }
    if let Some(refusal) = checked.barred.values().next() {
        return says(refusal.reason, refusal.to_string());
    }
    if let Some((_, error)) = &applied.failed {
        match error {
            ApplyError::NameConflict(_) => return says("NameConflict", error.to_string()),
            ApplyError::Refused { .. } => return says("ApplyRefused", error.to_string()),
            ApplyError::Trouble { .. } => {}
        }
    }
    if checked.spec.suspend && !checked.spec.paused {
        return Fact::new(name, Truth::False, "Suspended", "no validator is meant to run");
    }
    let mut running = running(facts);
    let faults: Vec<_> = running
        .iter()
        .filter_map(|(validator, health)| health.fault().map(|fault| (validator, fault)))
        .collect();
    if let Some((_, first)) = faults.first() {
        let sentences: Vec<_> = faults
            .iter()
            .map(|(validator, fault)| format!("{validator}: {}: {}", fault.reason, fault.message))
            .collect();
        return says(first.reason, sentences.join("; "));
    }
    // Who is new, or being changed, is not expected to be there yet.
    match &plan.progress {
        Progress::Founding { .. } | Progress::Starting { .. } => running.clear(),
        Progress::Updating { target, .. } => running.retain(|(validator, _)| validator != target),
        _ => {}
    }
    let (unasked, unready): (Vec<_>, Vec<_>) = running
        .iter()
        .filter(|(_, health)| !health.is_ready())
        .partition(|(_, health)| matches!(health.said, Some(Err(_))) && health.runs());
    let sentences = |validators: &[&(&str, crate::health::Health<'_>)]| {
        let why =
            validators.iter().map(|(name, health)| format!("{name}: {}", health.why_not_ready()));
        why.collect::<Vec<_>>().join("; ")
    };
    if !unready.is_empty() {
        return says("ValidatorsNotReady", sentences(&unready));
    }
    if !unasked.is_empty() {
        return Fact::new(name, Truth::Unknown, "NotAsked", sentences(&unasked));
    }
    Fact::new(name, Truth::False, "AsExpected", "no validator reports trouble")
}
