//! Dashboards that break a rule, at least one for each.

use serde_json::{Value, json};

type Break = fn(&mut Value);

/// Rule, what is wrong, and how a sound dashboard is made wrong.
#[rustfmt::skip]
pub(crate) const TABLE: &[(&str, &str, Break)] = &[
    ("template-datasource-rule", "no data source to choose", |board| variable(board, "datasource")["type"] = json!("custom")),
    ("template-datasource-rule", "two of them", |board| { let one = variable(board, "datasource").clone(); variables(board).push(one); }),
    ("template-datasource-rule", "another name", |board| variable(board, "datasource")["name"] = json!("source")),
    ("template-datasource-rule", "another label", |board| variable(board, "datasource")["label"] = json!("Source")),
    ("template-job-rule", "no such variable", |board| variable(board, "job")["name"] = json!("jobs")),
    ("template-job-rule", "a data source of one's own", |board| variable(board, "job")["datasource"]["uid"] = json!("prometheus")),
    ("template-job-rule", "a list that somebody wrote", |board| variable(board, "job")["type"] = json!("custom")),
    ("template-job-rule", "one at a time", |board| variable(board, "job")["multi"] = json!(false)),
    ("template-job-rule", "all of them includes none", |board| variable(board, "job")["allValue"] = json!(".*")),
    ("template-instance-rule", "no such variable", |board| variable(board, "instance")["name"] = json!("instances")),
    ("template-instance-rule", "another label", |board| variable(board, "instance")["label"] = json!("Pod")),
    ("template-label-promql-rule", "no function of Grafana's", |board| variable(board, "job")["query"] = json!("values(cairn_height, job)")),
    ("template-label-promql-rule", "a matcher without its value", |board| variable(board, "job")["query"] = json!("label_values(cairn_height{job=}, job)")),
    ("template-on-time-change-reload-rule", "read once", |board| variable(board, "job")["refresh"] = json!(1)),
    ("panel-datasource-rule", "a data source of one's own", |board| panel(board)["datasource"]["uid"] = json!("prometheus")),
    ("panel-title-description-rule", "no title", |board| panel(board)["title"] = json!("")),
    ("panel-title-description-rule", "no description", |board| { panel(board).as_object_mut().map(|panel| panel.remove("description")); }),
    ("panel-title-description-rule", "no description of what is folded away", |board| folded(board)["description"] = json!("")),
    ("panel-units-rule", "no unit", |board| { panel(board)["fieldConfig"]["defaults"].as_object_mut().map(|defaults| defaults.remove("unit")); }),
    ("panel-units-rule", "no unit of Grafana's", |board| panel(board)["fieldConfig"]["defaults"]["unit"] = json!("seconds")),
    ("panel-units-rule", "the same in an override", |board| panel(board)["fieldConfig"]["overrides"] = json!([{ "properties": [{ "id": "unit", "value": "furlong" }] }])),
    ("panel-no-targets-rule", "nothing is asked", |board| panel(board)["targets"] = json!([])),
    ("target-logql-rule", "PromQL asked of Loki", |board| { let target = target(board); target["datasource"]["type"] = json!("loki"); target["expr"] = json!("sum(up)"); }),
    ("target-logql-auto-rule", "a fixed range asked of Loki", |board| { let target = target(board); target["datasource"]["type"] = json!("loki"); target["expr"] = json!(r#"rate({job="cairn"}[5m])"#); }),
    ("target-promql-rule", "a bracket too few", |board| expression(board, "sum(cairn_height{@}")),
    ("target-promql-rule", "a rate of what has no range", |board| expression(board, "rate(cairn_appended_bytes_total{@})")),
    ("target-promql-rule", "no such function", |board| expression(board, "speed(cairn_appended_bytes_total{@}[$__rate_interval])")),
    ("target-promql-rule", "nothing", |board| expression(board, "")),
    ("target-rate-interval-rule", "a range that fits one scrape interval only", |board| expression(board, "rate(cairn_appended_bytes_total{@}[5m])")),
    ("target-job-rule", "any job", |board| expression(board, r#"cairn_height{instance=~"$instance"}"#)),
    ("target-job-rule", "one job, where several may be chosen", |board| expression(board, r#"cairn_height{instance=~"$instance",job="$job"}"#)),
    ("target-job-rule", "any job on one side", |board| expression(board, r#"cairn_height{@} - cairn_search_height{instance=~"$instance"}"#)),
    ("target-instance-rule", "any instance", |board| expression(board, r#"cairn_height{job=~"$job"}"#)),
    ("target-counter-agg-rule", "a counter as it is", |board| expression(board, "sum(cairn_appended_bytes_total{@})")),
    ("target-counter-agg-rule", "a counter under what is for gauges", |board| expression(board, "delta(cairn_appended_bytes_total{@}[$__rate_interval])")),
    ("uneditable-dashboard-rule", "changes that the next import undoes", |board| board["editable"] = json!(true)),
    ("uneditable-dashboard-rule", "it is not said", |board| { board.as_object_mut().map(|board| board.remove("editable")); }),
];

fn variables(board: &mut Value) -> &mut Vec<Value> {
    board["templating"]["list"].as_array_mut().expect("variables")
}

fn variable<'a>(board: &'a mut Value, name: &str) -> &'a mut Value {
    variables(board).iter_mut().find(|variable| variable["name"] == name).expect("it is there")
}

/// The first that is no heading.
fn panel(board: &mut Value) -> &mut Value {
    let panels = board["panels"].as_array_mut().expect("panels");
    panels.iter_mut().find(|panel| panel["type"] != "row").expect("a panel")
}

/// One in a row that is folded away.
fn folded(board: &mut Value) -> &mut Value {
    let panels = board["panels"].as_array_mut().expect("panels");
    let row = panels.iter_mut().find(|panel| panel["collapsed"] == true).expect("a folded row");
    &mut row["panels"][0]
}

fn target(board: &mut Value) -> &mut Value {
    &mut panel(board)["targets"][0]
}

/// Has the first panel ask this.
fn expression(board: &mut Value, asks: &str) {
    let scope = r#"{job=~"$job",instance=~"$instance""#;
    target(board)["expr"] = json!(asks.replace("{@", scope));
}
