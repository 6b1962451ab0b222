//! The cases of all alerts as a file of unit tests for `promtool test rules`.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{
    Alert, Case, Fired, Group, Of, Recorded, Recording, operator, scenes, validators, write,
};

/// Where the federations of the cases are.
const NAMESPACE: &str = "ledgers";
const CLUSTER: &str = "demo";
/// And one beside them that has just the same trouble: rules that are about another one are silent on it.
const NEIGHBOUR: &str = "other";

/// How long the stories of a file of tests are, and so how often its rules are looked at: each of them costs
/// promtool a look at all rules, every time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Every minute.
    Minutes,
    /// Every hour.
    Days,
}

impl Pace {
    fn of(step: &str) -> Self {
        if step.ends_with('h') || step == "10m" { Self::Days } else { Self::Minutes }
    }
}

/// The tests of these rule files, each of which is about all clusters or about [`CLUSTER`]: then they are
/// those that fire, and beside it a cluster in the same state.
#[must_use]
pub fn tests(files: &[&str], of: Of<'_>, pace: Pace) -> String {
    let interval = if pace == Pace::Days { "1h" } else { "1m" };
    let mut text = format!(
        "# What promtool tests the rules with. Written from dashboards/src/rules.\nrule_files: [{}]\nevaluation_interval: {interval}\ntests:\n",
        files.join(", ")
    );
    let mut groups = validators();
    if of == Of::All {
        groups.extend(operator());
    }
    // To a String nothing fails to be written.
    let _ = write_cases(&mut text, &groups, of, pace);
    if of == Of::All && pace == Pace::Minutes {
        let _ = write_scenes(&mut text);
    }
    text
}

fn write_cases(text: &mut String, groups: &[Group], of: Of<'_>, pace: Pace) -> std::fmt::Result {
    for group in groups {
        let recordings = group.recordings.iter();
        let recorded = recordings.flat_map(|it| it.cases.iter().map(move |case| (it, case)));
        for (recording, case) in recorded.filter(|(_, case)| Pace::of(case.step) == pace) {
            write_recorded(text, recording, case, of)?;
        }
        let cases = group.alerts.iter().flat_map(|it| it.cases.iter().map(move |case| (it, case)));
        for (alert, case) in cases.filter(|(_, case)| Pace::of(case.step) == pace) {
            if of == Of::All || !case.fires.is_empty() {
                write_case(text, alert, case, of)?;
            }
        }
    }
    Ok(())
}

fn write_scenes(text: &mut String) -> std::fmt::Result {
    for scene in scenes::scenes() {
        write_head(text, &format!("nothing fires: {}", scene.why), "1m")?;
        for (series, values) in &scene.series {
            write_series(text, series, values, Of::All)?;
        }
        writeln!(text, "  promql_expr_test:")?;
        for at in ["20m", "66m", "80m"] {
            writeln!(text, "  - expr: 'ALERTS{{alertstate=\"firing\"}}'\n    eval_time: {at}")?;
        }
    }
    Ok(())
}

fn write_head(text: &mut String, name: &str, step: &str) -> std::fmt::Result {
    let name = write::quoted(&Value::from(name));
    writeln!(text, "- name: {name}\n  interval: {step}\n  input_series:")
}

fn write_series(text: &mut String, series: &str, values: &str, of: Of<'_>) -> std::fmt::Result {
    let clusters = if of == Of::All { &[CLUSTER][..] } else { &[CLUSTER, NEIGHBOUR] };
    for cluster in clusters {
        let series = spelt_out(series, cluster);
        writeln!(text, "  - series: '{series}'\n    values: '{values}'")?;
    }
    Ok(())
}

fn write_case(text: &mut String, alert: &Alert, case: &Case, of: Of<'_>) -> std::fmt::Result {
    write_head(text, &format!("{}: {}", alert.name, case.why), case.step)?;
    for (series, values) in case.series {
        write_series(text, series, values, of)?;
    }
    writeln!(
        text,
        "  alert_rule_test:\n  - eval_time: {}\n    alertname: {}",
        case.at, alert.name
    )?;
    if case.fires.is_empty() {
        return Ok(());
    }
    writeln!(text, "    exp_alerts:")?;
    for fired in case.fires {
        let labels = labels(alert, fired);
        let told = write::annotations(alert).into_iter().map(|(name, value)| {
            let sentence = value.as_str().unwrap_or_default();
            (name, Value::from(filled_in(sentence, &labels, fired.value)))
        });
        let told: serde_json::Map<_, _> = told.collect();
        let mut labels = labels;
        labels.push(("severity", alert.severity.word()));
        let labels: serde_json::Map<_, _> =
            labels.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
        writeln!(text, "    - exp_labels: {}", Value::Object(labels))?;
        writeln!(text, "      exp_annotations: {}", Value::Object(told))?;
    }
    Ok(())
}

fn write_recorded(
    text: &mut String,
    recording: &Recording,
    case: &Recorded,
    of: Of<'_>,
) -> std::fmt::Result {
    let Recording { name, .. } = recording;
    write_head(text, &format!("{name} is {}", case.value), case.step)?;
    for (series, values) in case.series {
        write_series(text, series, values, of)?;
    }
    let mut labels = vec![("namespace", NAMESPACE), ("cairndb_io_cluster", CLUSTER)];
    labels.extend(case.labels);
    let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    let labels = labels.join(",");
    // Rounded: validators are added up in any order.
    let asked = format!("round({name}{{{labels}}}, 0.001)");
    writeln!(text, "  promql_expr_test:\n  - expr: '{asked}'\n    eval_time: {}", case.at)?;
    writeln!(text, "    exp_samples:\n    - labels: '{{{labels}}}'\n      value: {}", case.value)
}

/// `name{alice, more="labels"}` with all labels that Prometheus gives it. What begins with its job is
/// somebody else's, and has no others.
fn spelt_out(series: &str, cluster: &str) -> String {
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.trim_end_matches('}');
    if labels.starts_with("job=") {
        return series.to_owned();
    }
    let (who, more) = labels.split_once(',').unwrap_or((labels, ""));
    let mut all = if name.starts_with("cairn_operator_") {
        format!("namespace=\"cairn-system\",job=\"cairn-operator\",instance=\"{who}\"")
    } else {
        format!(
            "namespace=\"{NAMESPACE}\",cairndb_io_cluster=\"{cluster}\",cairndb_io_validator=\"{who}\",job=\"{NAMESPACE}/{cluster}\",instance=\"{who}\""
        )
    };
    if !more.is_empty() {
        all += ",";
        all += more.trim();
    }
    format!("{name}{{{all}}}")
}

/// The labels with which an alert arrives, but for its severity.
fn labels(alert: &Alert, fired: &Fired) -> Vec<(&'static str, &'static str)> {
    let of_the_operator =
        operator().iter().flat_map(|group| group.alerts).any(|a| a.name == alert.name);
    let mut labels = if of_the_operator {
        vec![]
    } else {
        vec![("namespace", NAMESPACE), ("cairndb_io_cluster", CLUSTER)]
    };
    labels.extend(fired.labels);
    labels
}

/// A sentence as it arrives.
fn filled_in(sentence: &str, labels: &[(&str, &str)], value: &str) -> String {
    let mut filled = String::new();
    let mut rest = sentence;
    while let Some((before, after)) = rest.split_once("{{ ") {
        let (inside, after) = after.split_once(" }}").unwrap_or((after, ""));
        let label = inside.strip_prefix("$labels.");
        let of =
            |label: &str| labels.iter().find(|(name, _)| *name == label).map_or("", |(_, v)| v);
        filled.push_str(before);
        filled.push_str(label.map_or(value, of));
        rest = after;
    }
    filled + rest
}
