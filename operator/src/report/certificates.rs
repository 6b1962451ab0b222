//! The API's certificate, as the validators have loaded it: what a Secret holds is not yet what is shown.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    Facts,
    conditions::{Fact, Truth, running, unasked},
};
use crate::names::ClusterName;

/// Certificates that end within so many days are worth a word.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// The Secret with the API's certificate, if the API has TLS.
fn secret(facts: &Facts<'_>) -> Option<String> {
    let tls = facts.cluster.spec.api.tls.as_ref()?;
    let name = facts.cluster.metadata.name.clone().unwrap_or_default();
    let made = || ClusterName { namespace: String::new(), name }.api_certificate();
    Some(tls.secret_name.clone().unwrap_or_else(made))
}

/// When the certificate that ends first ends, of those that validators have loaded.
fn earliest(facts: &Facts<'_>) -> Option<Timestamp> {
    let running = running(facts);
    let reports = running.iter().filter_map(|(_, health)| health.report());
    let ends = reports.map(|report| report.certificate_expiry).filter(|seconds| *seconds > 0);
    Timestamp::from_second(ends.min()?).ok()
}

/// For the status: when each Secret's certificate ends.
pub(super) fn certificates(facts: &Facts<'_>) -> BTreeMap<String, Time> {
    secret(facts).into_iter().zip(earliest(facts).map(Time)).collect()
}

/// The message names a date, never a number of days: that would change by itself every day.
pub(super) fn valid(facts: &Facts<'_>) -> Fact {
    let name = "CertificatesValid";
    let Some(secret) = secret(facts) else {
        return Fact::new(
            name,
            Truth::True,
            "NoTLS",
            "the API has no certificate: it is plain HTTP",
        );
    };
    let running = running(facts);
    let without: Vec<_> = running
        .iter()
        .filter(|(_, health)| health.is_ready())
        .filter(|(_, health)| health.report().is_some_and(|report| report.certificate_expiry == 0))
        .map(|(validator, _)| *validator)
        .collect();
    if !without.is_empty() {
        let message = format!(
            "the certificate of the Secret {secret} is not shown by {}",
            without.join(", ")
        );
        return Fact::new(name, Truth::False, "CertificateMissing", message);
    }
    let Some(ends) = earliest(facts) else {
        let why = unasked(&running).unwrap_or_else(|| "none runs".into());
        let message = format!(
            "no validator shows the certificate of the Secret {secret}; pods wait while there is no such \
             Secret: {why}"
        );
        return Fact::new(name, Truth::Unknown, "NotAsked", message);
    };
    let message = |word: &str| format!("the certificate of the Secret {secret} {word} {ends}");
    if ends <= facts.observed.now {
        return Fact::new(name, Truth::False, "Expired", message("ended at"));
    }
    if ends.duration_since(facts.observed.now) < SOON {
        return Fact::new(name, Truth::True, "ExpiresSoon", message("ends at"));
    }
    Fact::new(
        name,
        Truth::True,
        "Valid",
        format!("the certificate of the Secret {secret} is valid"),
    )
}
