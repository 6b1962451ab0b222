//! Events: what became of a condition, once, when it did.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::crd::BlockchainClusterStatus;

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

/// Conditions whose being true is bad news.
pub(super) const NEGATIVE: &[&str] = &["Degraded", "QuorumAtRisk", "MembershipChangePending"];

/// Conditions that only a person's own edit makes true or false: no news to anybody.
const NO_NEWS: &[&str] = &["Ready", "FederationTrust", "MonitoringConfigured"];

/// Pure: what changed between two statuses that a person would want to be told. A condition that is seen
/// for the first time is only news when it is bad.
#[must_use]
pub fn announce(
    before: Option<&BlockchainClusterStatus>,
    after: &BlockchainClusterStatus,
) -> Vec<Announcement> {
    let was = |condition: &Condition| {
        let mut conditions = before?.conditions.iter();
        conditions.find(|was| was.type_ == condition.type_)
    };
    let news = |condition: &Condition| match was(condition) {
        Some(was) => was.status != condition.status || was.reason != condition.reason,
        None => is_bad(condition) || condition.type_ == "Progressing",
    };
    let told = after.conditions.iter().filter(|c| !NO_NEWS.contains(&c.type_.as_str()));
    told.filter(|condition| condition.status != "Unknown" && news(condition))
        .map(|condition| Announcement {
            warning: is_bad(condition),
            reason: condition.reason.clone(),
            action: condition.type_.clone(),
            note: condition.message.clone(),
        })
        .collect()
}

/// Whether a condition is as nobody wants it. Waiting for a person is not: somebody asked for it.
fn is_bad(condition: &Condition) -> bool {
    match condition.type_.as_str() {
        "Progressing" => ["UpdateHalted", "ApplyRefused"].contains(&condition.reason.as_str()),
        "ReconciliationPaused" | "Suspended" => false,
        // It is true until it hurts, and told before.
        "CertificatesValid" => condition.status == "False" || condition.reason == "ExpiresSoon",
        // While it is being founded, there is nothing yet that could be missing.
        "Initialized" | "Available" | "KeysAvailable" => {
            condition.status == "False"
                && !["Founding", "Starting", "Suspended"].contains(&condition.reason.as_str())
        }
        negative if NEGATIVE.contains(&negative) => condition.status == "True",
        _ => condition.status == "False",
    }
}
