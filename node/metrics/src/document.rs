//! The list as people read it.

use std::fmt::Write;

use crate::{Described, Values};

/// A table in Markdown: a line for each metric.
#[must_use]
pub fn document(described: &[Described]) -> String {
    let mut table =
        String::from("| metric | kind | unit | labels | meaning |\n|---|---|---|---|---|\n");
    for metric in described {
        let labels: Vec<_> = metric
            .labels
            .iter()
            .map(|(name, values)| match values {
                Values::Of(values) => format!("`{name}`: {}", values.join(", ")),
                Values::UpTo(_, what) => format!("`{name}`: {what}"),
            })
            .collect();
        let Described { name, kind, unit, help, .. } = metric;
        // To a String nothing fails to be written.
        let _ = writeln!(
            table,
            "| `{name}` | {} | {unit} | {} | {help} |",
            kind.word(),
            labels.join("; ")
        );
    }
    table
}
