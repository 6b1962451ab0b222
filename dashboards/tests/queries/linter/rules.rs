//! The seventeen rules, one function each.

use rusty_promql_parser::Expr;
use serde_json::Value;

use crate::promql::{self, RATE_INTERVAL, Selector};

/// A rule: what the linter calls it, and what it finds in a dashboard.
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) check: fn(&Value) -> Vec<Finding>,
}

/// What is wrong, and where.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) panel: Option<String>,
    pub(crate) target: Option<usize>,
    pub(crate) says: String,
}

#[rustfmt::skip]
pub(crate) const RULES: &[Rule] = &[
    Rule { name: "template-datasource-rule", check: template_datasource },
    Rule { name: "template-job-rule", check: |board| template(board, "job", "Job") },
    Rule { name: "template-instance-rule", check: |board| template(board, "instance", "Instance") },
    Rule { name: "template-label-promql-rule", check: template_label_promql },
    Rule { name: "template-on-time-change-reload-rule", check: template_on_time_change_reload },
    Rule { name: "panel-datasource-rule", check: panel_datasource },
    Rule { name: "panel-title-description-rule", check: panel_title_description },
    Rule { name: "panel-units-rule", check: panel_units },
    Rule { name: "panel-no-targets-rule", check: panel_no_targets },
    Rule { name: "target-logql-rule", check: target_logql },
    Rule { name: "target-logql-auto-rule", check: target_logql_auto },
    Rule { name: "target-promql-rule", check: target_promql },
    Rule { name: "target-rate-interval-rule", check: target_rate_interval },
    Rule { name: "target-job-rule", check: |board| target_matcher(board, "job") },
    Rule { name: "target-instance-rule", check: |board| target_matcher(board, "instance") },
    Rule { name: "target-counter-agg-rule", check: target_counter_agg },
    Rule { name: "uneditable-dashboard-rule", check: uneditable },
];

/// Units of Grafana that a panel of ours may have; one that is not here is mistyped, or is added here.
const UNITS: &[&str] = &[
    "Bps",
    "binBps",
    "bool_yes_no",
    "bytes",
    "cps",
    "dateTimeFromNow",
    "dtdurations",
    "locale",
    "ms",
    "none",
    "ops",
    "percent",
    "percentunit",
    "reqps",
    "s",
    "short",
    "string",
];

fn here(says: impl Into<String>) -> Finding {
    Finding { panel: None, target: None, says: says.into() }
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn variables(board: &Value) -> &[Value] {
    list(&board["templating"], "list")
}

fn variable<'a>(board: &'a Value, name: &str) -> Option<&'a Value> {
    variables(board).iter().find(|variable| variable["name"] == name)
}

/// All panels but headings, those that are folded away included.
fn panels(board: &Value) -> impl Iterator<Item = &Value> {
    let above = list(board, "panels").iter();
    let all = above.flat_map(|panel| std::iter::once(panel).chain(list(panel, "panels")));
    all.filter(|panel| panel["type"] != "row")
}

fn of_panels(board: &Value, check: impl Fn(&Value) -> Option<String>) -> Vec<Finding> {
    panels(board)
        .filter_map(|panel| {
            let says = check(panel)?;
            Some(Finding { panel: Some(text(panel, "title").into()), target: None, says })
        })
        .collect()
}

fn of_targets(board: &Value, check: impl Fn(&Value, &str) -> Option<String>) -> Vec<Finding> {
    let mut findings = vec![];
    for panel in panels(board) {
        for (index, target) in list(panel, "targets").iter().enumerate() {
            if let Some(says) = check(target, text(target, "expr")) {
                let panel = Some(text(panel, "title").into());
                findings.push(Finding { panel, target: Some(index), says });
            }
        }
    }
    findings
}

/// Of each expression that can be parsed; that it can is a rule of its own.
fn of_selectors(board: &Value, check: impl Fn(&Selector) -> Option<String>) -> Vec<Finding> {
    of_targets(board, |_, expression| {
        let parsed: Expr = promql::parse(expression).ok()?;
        let found = promql::selectors(&parsed).iter().find_map(&check)?;
        Some(format!("{found}: {expression}"))
    })
}

/// One variable of Prometheus' data sources, by the name and label that all dashboards have.
fn template_datasource(board: &Value) -> Vec<Finding> {
    let sources: Vec<_> =
        variables(board).iter().filter(|variable| variable["type"] == "datasource").collect();
    match sources[..] {
        [source] => {
            let names = ["datasource", "prometheus_datasource"].contains(&text(source, "name"));
            let label = ["Data source", "Prometheus data source"].contains(&text(source, "label"));
            let wrong = !(names && label && source["query"] == "prometheus");
            wrong.then(|| here(format!("{source}"))).into_iter().collect()
        }
        _ => vec![here(format!("{} data source variables", sources.len()))],
    }
}

/// A variable of several values of a label, of the templated data source.
fn template(board: &Value, name: &str, label: &str) -> Vec<Finding> {
    let Some(variable) = variable(board, name) else {
        return vec![here(format!("no variable {name}"))];
    };
    let wants = [
        (text(&variable["datasource"], "uid") == "$datasource", "data source is not $datasource"),
        (variable["type"] == "query", "not a query"),
        (variable["label"] == label, "label"),
        (variable["multi"] == true, "only one at a time"),
        (variable["allValue"] == ".+", "allValue is not .+"),
    ];
    wants.into_iter().filter(|(well, _)| !well).map(|(_, says)| here(says)).collect()
}

fn template_label_promql(board: &Value) -> Vec<Finding> {
    let sound = |query: &str| -> Option<()> {
        let (function, rest) = query.split_once('(')?;
        let arguments = rest.strip_suffix(')')?;
        match function {
            "label_names" | "metrics" => Some(()),
            "query_result" => promql::parse(arguments).ok().map(drop),
            // The label comes last; what has it may be left out.
            "label_values" => {
                let (selector, label) = arguments.rsplit_once(',').unwrap_or(("up", arguments));
                let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let label = label.trim();
                (!label.is_empty() && label.chars().all(word)).then_some(())?;
                promql::parse(selector).ok().map(drop)
            }
            _ => None,
        }
    };
    let queries = variables(board).iter().filter(|variable| variable["type"] == "query");
    let wrong = queries.filter(|variable| sound(text(variable, "query")).is_none());
    wrong.map(|variable| here(format!("{variable}"))).collect()
}

fn template_on_time_change_reload(board: &Value) -> Vec<Finding> {
    let queries = variables(board).iter().filter(|variable| variable["type"] == "query");
    let wrong = queries.filter(|variable| variable["refresh"] != 2);
    wrong.map(|variable| here(format!("{} is not read again", variable["name"]))).collect()
}

fn panel_datasource(board: &Value) -> Vec<Finding> {
    of_panels(board, |panel| {
        let uid = text(&panel["datasource"], "uid");
        let well = ["$datasource", "${datasource}"].contains(&uid);
        (!well).then(|| format!("the data source is `{uid}`"))
    })
}

fn panel_title_description(board: &Value) -> Vec<Finding> {
    of_panels(board, |panel| {
        let silent = text(panel, "title").is_empty() || text(panel, "description").is_empty();
        silent.then(|| "no title or no description".into())
    })
}

fn panel_units(board: &Value) -> Vec<Finding> {
    of_panels(board, |panel| {
        let config = &panel["fieldConfig"];
        let overrides = list(config, "overrides").iter();
        let properties = overrides.flat_map(|one| list(one, "properties"));
        let mut units: Vec<_> = properties
            .filter(|property| property["id"] == "unit")
            .map(|property| text(property, "value"))
            .collect();
        units.push(text(&config["defaults"], "unit"));
        let wrong = units.into_iter().find(|unit| !UNITS.contains(unit))?;
        Some(format!("the unit is `{wrong}`"))
    })
}

fn panel_no_targets(board: &Value) -> Vec<Finding> {
    of_panels(board, |panel| list(panel, "targets").is_empty().then(|| "no targets".into()))
}

fn is_loki(board: &Value, target: &Value) -> bool {
    let source = variables(board).iter().find(|variable| variable["type"] == "datasource");
    source.is_some_and(|source| source["query"] == "loki") || target["datasource"]["type"] == "loki"
}

/// As far as can be told without a parser of LogQL: it begins with a selector that selects something.
fn target_logql(board: &Value) -> Vec<Finding> {
    of_targets(board, |target, expression| {
        let selector = expression.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
        let well = selector.is_some_and(|(matchers, _)| matchers.contains('='));
        (is_loki(board, target) && !well).then(|| format!("no LogQL: {expression}"))
    })
}

fn target_logql_auto(board: &Value) -> Vec<Finding> {
    of_targets(board, |target, expression| {
        let mut ranges = expression.split('[').skip(1).map(|rest| rest.split(']').next());
        let fixed = ranges.any(|range| range != Some("$__auto"));
        (is_loki(board, target) && fixed).then(|| format!("a fixed range: {expression}"))
    })
}

fn target_promql(board: &Value) -> Vec<Finding> {
    of_targets(board, |_, expression| {
        let error = promql::parse(expression).err()?;
        Some(format!("{error}: {expression}"))
    })
}

fn target_rate_interval(board: &Value) -> Vec<Finding> {
    of_selectors(board, |selector| {
        let fixed = selector.range_seconds.is_some_and(|seconds| seconds != RATE_INTERVAL);
        fixed.then(|| "a range that is not $__rate_interval".into())
    })
}

fn target_matcher(board: &Value, label: &str) -> Vec<Finding> {
    of_selectors(board, |selector| {
        let well = selector.matches(label, &format!("${label}"));
        (!well).then(|| format!("{:?} lacks {label}=~\"${label}\"", selector.name()))
    })
}

fn target_counter_agg(board: &Value) -> Vec<Finding> {
    of_selectors(board, |selector| {
        let counter = selector.name().is_some_and(|name| name.ends_with("_total"));
        let rates = ["rate", "irate", "increase"];
        let well = selector.function.is_some_and(|function| rates.contains(&function));
        (counter && !well).then(|| format!("{:?} as it is", selector.name()))
    })
}

fn uneditable(board: &Value) -> Vec<Finding> {
    (board["editable"] != false).then(|| here("it can be edited")).into_iter().collect()
}
