//! Expressions that come again and again. `@` in braces stands for what the reader of the dashboard chose:
//! `cairn_height{@}`, `cairn_appends_total{@,outcome="done"}`.
//!
//! Each validator counts by itself what all of them do (blocks, commits); such numbers are not added up.

/// The label that tells validators apart, wherever they run. Pods come and go, and are not always there.
pub(super) const VALIDATOR: &str = "{{cairndb_io_validator}}";

/// The expression within a dashboard's scope.
pub(super) fn within(expression: &str, scope: &str) -> String {
    expression.replace("{@", &format!("{{{scope}"))
}

/// A gauge of each validator.
pub(super) fn each(gauge: &str) -> String {
    format!("max by (cairndb_io_validator) ({gauge}{{@}})")
}

/// How fast each validator counts.
pub(super) fn rate_of_each(counter: &str) -> String {
    rate_by("cairndb_io_validator", counter)
}

/// How fast all validators count together, by a label.
pub(super) fn rate_by(label: &str, counter: &str) -> String {
    format!("sum by ({label}) (rate({counter}{{@}}[$__rate_interval]))")
}

/// How fast all validators count together.
pub(super) fn rate(counter: &str) -> String {
    format!("sum(rate({counter}{{@}}[$__rate_interval]))")
}

/// How fast what every validator counts comes about: the middle one's rate, since those that catch up count
/// faster than it happens, and those that are cut off count nothing.
pub(super) fn rate_of_all(counter: &str) -> String {
    format!("quantile(0.5, rate({counter}{{@}}[$__rate_interval]))")
}

/// Below which this share of what was observed was.
pub(super) fn quantile(share: &str, histogram: &str) -> String {
    format!(
        "histogram_quantile({share}, sum by (le) (rate({histogram}_bucket{{@}}[$__rate_interval])))"
    )
}

/// The same, by a label.
pub(super) fn quantile_by(share: &str, label: &str, histogram: &str) -> String {
    format!(
        "histogram_quantile({share}, sum by (le, {label}) (rate({histogram}_bucket{{@}}[$__rate_interval])))"
    )
}

/// The mean of what was observed.
pub(super) fn mean(histogram: &str) -> String {
    format!(
        "sum(rate({histogram}_sum{{@}}[$__rate_interval])) / sum(rate({histogram}_count{{@}}[$__rate_interval]))"
    )
}

/// The same, by a label.
pub(super) fn mean_by(label: &str, histogram: &str) -> String {
    format!(
        "sum by ({label}) (rate({histogram}_sum{{@}}[$__rate_interval])) / sum by ({label}) (rate({histogram}_count{{@}}[$__rate_interval]))"
    )
}

/// The highest block that anyone has, or has seen a peer have.
pub(super) const HEAD: &str = "max(cairn_best_peer_height{@} > cairn_height{@} or cairn_height{@})";

/// How many blocks each validator is behind its peers, as it sees them: two validators' own heights are read at
/// different moments, and differ by all that was decided in between.
pub(super) const BEHIND: &str = "clamp_min(cairn_best_peer_height{@} - cairn_height{@}, 0)";
