//! The rules as Prometheus reads them, as the Prometheus operator does, and as people do.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{Alert, Group, Of, Recording};

/// A rule file.
#[must_use]
pub fn file(groups: &[Group], of: Of<'_>) -> String {
    let mut text = String::from(
        "# Alerts and recording rules of Cairn. Written from dashboards/src/rules; docs/alerts.md says what is in it.\n\
         groups:\n",
    );
    // To a String nothing fails to be written.
    let _ = groups.iter().try_for_each(|group| write_group(&mut text, group, of));
    text
}

fn write_group(text: &mut String, group: &Group, of: Of<'_>) -> std::fmt::Result {
    writeln!(text, "- name: cairn.{}\n  rules:", group.name)?;
    for Recording { name, expression, .. } in &group.recordings {
        writeln!(text, "  - record: {name}")?;
        write_expression(text, &of.expression(expression))?;
    }
    for alert in group.alerts {
        writeln!(text, "  - alert: {}", alert.name)?;
        write_expression(text, &expression(alert, of))?;
        writeln!(text, "    for: {}", alert.lasting)?;
        writeln!(text, "    labels:\n      severity: {}", alert.severity.word())?;
        writeln!(text, "    annotations:")?;
        for (name, value) in annotations(alert) {
            writeln!(text, "      {name}: {}", quoted(&value))?;
        }
    }
    Ok(())
}

fn write_expression(text: &mut String, expression: &str) -> std::fmt::Result {
    writeln!(text, "    expr: |-")?;
    expression.lines().try_for_each(|line| writeln!(text, "      {line}"))
}

/// The groups of a PrometheusRule; names begin with `prefix`, as all of them share one Prometheus.
#[must_use]
pub fn value(groups: &[Group], prefix: &str, of: Of<'_>) -> Value {
    let recorded = |recording: &Recording| json!({ "record": recording.name, "expr": of.expression(&recording.expression) });
    let alerted = |alert: &Alert| {
        json!({
            "alert": alert.name,
            "expr": expression(alert, of),
            "for": alert.lasting,
            "labels": { "severity": alert.severity.word() },
            "annotations": annotations(alert).into_iter().collect::<serde_json::Map<_, _>>(),
        })
    };
    let groups = groups.iter().map(|group| {
        let recordings = group.recordings.iter().map(recorded);
        let rules: Vec<_> = recordings.chain(group.alerts.iter().map(alerted)).collect();
        json!({ "name": format!("{prefix}.{}", group.name), "rules": rules })
    });
    json!({ "groups": groups.collect::<Vec<_>>() })
}

fn expression(alert: &Alert, of: Of<'_>) -> String {
    let known = matches!(of, Of::One(..));
    of.expression(alert.of_one.filter(|_| known).unwrap_or(alert.expression))
}

pub(super) fn annotations(alert: &Alert) -> [(String, Value); 3] {
    [
        ("summary".to_owned(), alert.summary.into()),
        ("description".to_owned(), alert.description.into()),
        ("runbook_url".to_owned(), alert.runbook().into()),
    ]
}

/// As YAML reads it: a string of JSON is one of YAML.
pub(super) fn quoted(value: &Value) -> String {
    value.to_string()
}

/// All alerts, as docs/alerts.md has them: a table for each group.
#[must_use]
pub fn table() -> String {
    let mut text = String::new();
    for group in super::validators().iter().chain(&super::operator()) {
        let _ =
            writeln!(text, "| {} | severity | after | meaning |\n|---|---|---|---|", group.name);
        for alert in group.alerts {
            let Alert { name, severity, lasting, description, .. } = alert;
            let _ = writeln!(
                text,
                "| [{name}](runbooks/{name}.md) | {} | {} | {} |",
                severity.word(),
                if *lasting == "0m" { "at once" } else { lasting },
                untemplated(description)
            );
        }
        text.push('\n');
    }
    text
}

/// A sentence without the figures of a certain case.
fn untemplated(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, after) = after.split_once("}}").unwrap_or((after, ""));
        plain.push_str(before);
        plain.push_str(if inside.contains("$value") { "…" } else { "*namespace*" });
        rest = after;
    }
    plain + rest
}
