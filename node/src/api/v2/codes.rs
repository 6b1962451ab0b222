//! The codes of problems: stable, so that programs may rely on them.

use cairn_ledger::refusal;
use serde_json::{Value, json};

/// Codes of requests that are not answered as asked. Those of refused transactions are the
/// ledger's.
const OF_REQUESTS: &[&str] = &[
    "BATCH_LIMIT",
    "BODY_BROKEN",
    "BODY_TIMEOUT",
    "BODY_TOO_LARGE",
    "CONDITION_UNMET",
    "CURSOR_INVALID",
    "FILTER_SYNTAX",
    "FORBIDDEN",
    "HEIGHT_NOT_REACHED",
    "INPUT_PENDING",
    "ISSUER_UNREACHABLE",
    "JSON_EMPTY",
    "JSON_NUMBER",
    "JSON_SYNTAX",
    "MEDIA_TYPE",
    "METHOD",
    "NOT_CURRENT",
    "NOT_FOUND",
    "NO_QUORUM",
    "PARAM_INVALID",
    "PARAM_UNKNOWN",
    "POOL_FULL",
    "QUERY_TOO_MUCH",
    "RATE_LIMITED",
    "REQUEST_TIMEOUT",
    "STOPPING",
    "STORAGE_FULL",
    "STORE_UNAVAILABLE",
    "STREAMS_FULL",
    "TROUBLE",
    "TX_NOT_DECIDED",
    "UNAUTHORIZED",
    "UPGRADE_REQUIRED",
];

/// All, each once, in order.
pub(super) fn all() -> Value {
    let mut codes: Vec<&str> = OF_REQUESTS.iter().copied().chain(refusal::codes()).collect();
    codes.sort_unstable();
    codes.dedup();
    json!(codes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_of_the_map_of_errors_is_listed() {
        let map = include_str!("../error.rs");
        let quoted = map.split('"').skip(1).step_by(2);
        let is_code = |text: &&str| {
            text.len() > 3
                && !text.ends_with('_')
                && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
        };
        let listed: BTreeSet<&str> = OF_REQUESTS.iter().copied().collect();
        let refusals: BTreeSet<&str> = refusal::codes().collect();
        let used: BTreeSet<&str> = quoted.filter(is_code).collect();
        let missing: Vec<_> =
            used.difference(&listed).filter(|it| !refusals.contains(*it)).collect();
        assert!(missing.is_empty(), "error.rs has codes that are not listed here: {missing:?}");
        let stale: Vec<_> = listed.difference(&used).collect();
        assert!(stale.is_empty(), "error.rs has these no more: {stale:?}");
    }
}
