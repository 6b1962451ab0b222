//! Every metric that a dashboard asks for exists, and has the labels that it is asked by.

use std::collections::{BTreeMap, BTreeSet};

use cairn_dashboards::boards;
use cairn_metrics::{Described, Kind, Values};
use rusty_promql_parser::{LabelMatchOp, LabelMatcher};

use crate::promql;

/// Prometheus' own: the alerts that fire.
const OF_PROMETHEUS: &[&str] = &["ALERTS"];

/// Labels that series get from whoever scrapes them: docs/monitoring.md.
const OF_TARGETS: &[&str] =
    &["job", "instance", "namespace", "cairndb_io_cluster", "cairndb_io_validator"];

/// Metrics that no dashboard shows, and why.
const NOT_SHOWN: &[(&str, &str)] =
    &[("process_virtual_memory_bytes", "address space costs nothing and limits nothing")];

/// All metrics of validators and of the operator, by the names of their series.
fn known() -> BTreeMap<String, Described> {
    let validator = cairn_node::metrics::Metrics::new();
    let operator = cairn_operator::metrics::Metrics::new();
    let all = validator.described().iter().chain(operator.described());
    all.flat_map(|metric| metric.series_names().into_iter().map(|name| (name, metric.clone())))
        .collect()
}

/// What is wrong with asking a metric for this, if anything.
fn wrong(metric: &Described, matcher: &LabelMatcher) -> Option<String> {
    let LabelMatcher { name, op, value } = matcher;
    if OF_TARGETS.contains(&name.as_str()) || (name == "le" && metric.kind == Kind::Histogram) {
        return None;
    }
    let Some((_, values)) = metric.labels.iter().find(|(label, _)| label == name) else {
        return Some(format!("{} has no label {name}", metric.name));
    };
    let Values::Of(values) = values else { return None };
    let plain = matches!(op, LabelMatchOp::Equal | LabelMatchOp::NotEqual);
    (plain && !values.contains(&value.as_str()))
        .then(|| format!("{name} of {} is never {value}", metric.name))
}

#[test]
fn every_metric_and_label_in_every_expression_exists() {
    let known = known();
    for board in boards::all() {
        for (title, expression, _) in board.questions() {
            let place = format!("{} / {title}", board.title);
            let parsed = promql::parse(expression)
                .unwrap_or_else(|error| panic!("{place}: {error}: {expression}"));
            for selector in promql::selectors(&parsed) {
                let series = selector.name().expect("a selector without a name is of everything");
                if OF_PROMETHEUS.contains(&series) {
                    continue;
                }
                let metric = known.get(series);
                let metric = metric.unwrap_or_else(|| panic!("{place}: there is no {series}"));
                let matchers = selector.vector.matchers.iter();
                let wrong: Vec<_> = matchers.filter_map(|matcher| wrong(metric, matcher)).collect();
                assert!(wrong.is_empty(), "{place}: {wrong:?}");
            }
            let labels: Vec<_> = known.values().flat_map(|metric| metric.labels).collect();
            for label in promql::groupings(&parsed) {
                let of_a_metric = labels.iter().any(|(name, _)| *name == label);
                let there = of_a_metric || label == "le" || OF_TARGETS.contains(&label);
                assert!(there, "{place}: nothing has a label {label}");
            }
        }
    }
}

#[test]
fn every_metric_is_on_a_dashboard_or_left_out_for_a_reason() {
    let known = known();
    let boards = boards::all();
    let mut shown = BTreeSet::new();
    for (_, expression, _) in boards.iter().flat_map(boards::Dashboard::questions) {
        let parsed = promql::parse(expression).unwrap();
        let names = promql::selectors(&parsed).into_iter().filter_map(|s| known.get(s.name()?));
        shown.extend(names.map(|metric| metric.name));
    }
    for Described { name, .. } in known.values() {
        let left_out = NOT_SHOWN.iter().any(|(left_out, _)| left_out == name);
        assert!(
            shown.contains(name) != left_out,
            "{name}: shown, or left out, not both or neither"
        );
    }
}

#[test]
fn what_does_not_exist_is_noticed() {
    let known = known();
    #[rustfmt::skip]
    let table = [
        ("cairn_height", true, "a gauge is its own series"),
        ("cairn_rounds_bucket", true, "a histogram has buckets"),
        ("cairn_rounds", false, "and no series of its own name"),
        ("cairn_height_bucket", false, "a gauge has none"),
        ("cairn_heigth", false, "mistyped"),
    ];
    for (series, there, why) in table {
        assert_eq!(known.contains_key(series), there, "{series}: {why}");
    }
    #[rustfmt::skip]
    let table = [
        (r#"cairn_appends_total{outcome="done"}"#, true, "as the list says"),
        (r#"cairn_appends_total{outcome="well"}"#, false, "no such outcome"),
        (r#"cairn_appends_total{kind="done"}"#, false, "no such label"),
        (r#"cairn_http_requests_total{status=~"5.."}"#, true, "a pattern of what is not listed"),
        (r#"cairn_height{le="1"}"#, false, "a gauge has no buckets"),
    ];
    for (expression, sound, why) in table {
        let parsed = promql::parse(expression).unwrap();
        let selector = &promql::selectors(&parsed)[0];
        let found = wrong(&known[selector.name().unwrap()], &selector.vector.matchers[0]);
        assert_eq!(found.is_none(), sound, "{expression}: {why}: {found:?}");
    }
}
