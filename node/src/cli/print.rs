//! What a command says when it worked: a table for people, JSON for programs.

use std::io::Write;

use serde_json::Value;

use super::Output;

/// Both forms of one result.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Printed {
    pub(super) table: String,
    pub(super) json: Option<Value>,
}

impl Printed {
    /// Names and values, one to a line.
    pub(super) fn fields(fields: &[(&str, String)], json: Value) -> Self {
        let rows: Vec<Vec<String>> =
            fields.iter().map(|(name, value)| vec![(*name).to_owned(), value.clone()]).collect();
        Self { table: table(&rows), json: Some(json) }
    }

    /// Nothing to say.
    pub(super) fn nothing() -> Self {
        Self::default()
    }

    pub(super) fn text(&self, output: Output) -> String {
        match (output, &self.json) {
            (Output::Table, _) | (Output::Json, None) => self.table.clone(),
            (Output::Json, Some(json)) => format!("{json:#}\n"),
        }
    }
}

/// Columns as wide as their widest cell, two spaces between them.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|c| c.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let line: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Prints to stdout. A reader that has gone away (`| head`) is no failure of ours.
pub(super) fn out(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_have_no_tail() {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect();
        let text = table(&[row(&["name", "url"]), row(&["validator-10", "x"]), row(&["ü", ""])]);
        assert_eq!(text, "name          url\nvalidator-10  x\nü\n");
        assert_eq!(table(&[]), "");
    }
}
