//! What the schema and its CEL rules say already, for whoever came past them: an object stored under an
//! older CRD, or an API server whose CRD somebody changed. And the one sum that CEL cannot afford.

use std::collections::BTreeSet;

use cairn_ledger::limits::VOTING_POWER_TOTAL_MAX;

use super::Refusal;
use crate::crd::{BlockchainClusterSpec, OrderKind, StoreKind};

/// Everything wrong with the spec by itself.
pub(super) fn refusals(spec: &BlockchainClusterSpec) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let mut refuse = |field: &str, message: String| {
        refusals.push(Refusal {
            reason: "SpecInvalid",
            condition: "SpecValid",
            field: field.to_owned(),
            message,
        });
    };
    if spec.validators.is_empty() || spec.validators.len() > 31 {
        let count = spec.validators.len();
        refuse("spec.validators", format!("there are {count}: 1 to 31 are fine"));
    }
    let members = || spec.federation.iter().flat_map(|federation| &federation.members);
    let names = (spec.validators.iter().map(|v| &v.name)).chain(members().map(|m| &m.name));
    let mut seen = BTreeSet::new();
    for name in names {
        if !is_label(name) {
            let fine = "a lower-case DNS label of at most 20 characters is fine";
            refuse("spec.validators", format!("{name:?} is no name for a validator: {fine}"));
        }
        if !seen.insert(name) {
            refuse(
                "spec.validators",
                format!("two validators are named {name}: names must differ"),
            );
        }
    }
    let powers = spec.validators.iter().map(|v| v.power).chain(members().map(|m| m.power));
    let total: u64 = powers.clone().map(u64::from).sum();
    if powers.clone().any(|power| power == 0) || total > VOTING_POWER_TOTAL_MAX {
        refuse("spec.validators", "a power of 0: every validator has at least 1".into());
    }
    for name in &spec.fenced_validators {
        if !spec.validators.iter().any(|validator| validator.name == *name) {
            refuse("spec.fencedValidators", format!("{name} is none of spec.validators"));
        }
    }
    let uses_tikv = spec.order.kind == OrderKind::TiKV || spec.store.kind == StoreKind::TiKV;
    if uses_tikv != spec.tikv.is_some() {
        let fine = "it is there exactly when spec.order or spec.store is of type TiKV";
        refuse("spec.tikv", fine.into());
    }
    if let Some(tikv) = &spec.tikv
        && tikv.tls.is_some() == tikv.plaintext
    {
        let fine = "one of tls and plaintext: true is needed, and only one";
        refuse("spec.tikv", fine.into());
    }
    refusals
}

fn is_label(name: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=20).contains(&name.len())
        && name.bytes().all(inside)
        && !name.starts_with('-')
        && !name.ends_with('-')
}
