//! What a command says when it worked: a table for people, JSON for programs. Long results come
//! row by row: in JSON, one value a line.

use std::io::{self, Write};

use serde_json::{Value, value::RawValue};

use super::Output;
use crate::exit::Failure;

/// Widest cell of free-form data in a table.
const CELL_CHARS_MAX: usize = 60;

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

    /// Nothing to say, or everything is said.
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
    let mut widths = Vec::new();
    widen(&mut widths, rows);
    aligned(&widths, rows)
}

fn widen(widths: &mut Vec<usize>, rows: &[Vec<String>]) {
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(at) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
}

fn aligned(widths: &[usize], rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    for row in rows {
        let line: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{:<width$}", harmless(cell)))
            .collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Without what a terminal would take for orders: the text comes from strangers.
pub(super) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Not longer than a table can bear.
pub(super) fn clip(text: &str) -> String {
    match text.char_indices().nth(CELL_CHARS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// A field of an answer as a cell: what is free-form, in JSON and not too long.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => clip(&other.to_string()),
    }
}

/// One thing in both forms: a value, and its lines in a table.
pub(super) struct Row {
    lines: Vec<Vec<String>>,
    /// JSON text on one line.
    json: String,
}

impl Row {
    /// What takes one line.
    pub(super) fn line(cells: Vec<String>, json: &Value) -> Self {
        Self { lines: vec![cells], json: json.to_string() }
    }

    /// What a table alone shows.
    pub(super) fn table(lines: Vec<Vec<String>>) -> Self {
        Self { lines, json: String::new() }
    }

    /// What a server said, digit by digit: numbers of free-form data may be larger or finer than
    /// those of most programs.
    pub(super) fn raw(json: &RawValue, lines: impl Fn(&Value) -> Vec<Vec<String>>) -> Self {
        let value = serde_json::from_str(json.get()).unwrap_or(Value::Null);
        // Line ends stand between tokens only: texts have them escaped.
        Self { lines: lines(&value), json: json.get().replace(['\n', '\r'], " ") }
    }
}

/// Rows that are printed as they come, page by page.
pub(super) struct Rows {
    output: Output,
    head: Option<Vec<String>>,
    widths: Vec<usize>,
}

impl Rows {
    pub(super) fn new(output: Output, head: &[&str]) -> Self {
        let head = head.iter().map(|name| (*name).to_owned()).collect();
        Self { output, head: Some(head), widths: Vec::new() }
    }

    /// Prints a page; whether anybody still reads.
    #[must_use = "when nobody reads any more, there is nothing left to do"]
    pub(super) fn print(&mut self, page: Vec<Row>) -> Result<bool, Failure> {
        let text = match self.output {
            Output::Json => page.iter().map(|row| format!("{}\n", row.json)).collect(),
            Output::Table => {
                // The head comes with the first page, and is as wide as that.
                let head = self.head.take();
                let rows: Vec<Vec<String>> =
                    head.into_iter().chain(page.into_iter().flat_map(|row| row.lines)).collect();
                widen(&mut self.widths, &rows);
                aligned(&self.widths, &rows)
            }
        };
        out(&text)
    }
}

/// Prints to stdout; whether anybody reads it: that a reader has gone away (`| head`) is no
/// failure of ours.
pub(super) fn out(text: &str) -> Result<bool, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::general(format!("the result cannot be written: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    #[test]
    fn columns_line_up_and_lines_have_no_tail() {
        let text = table(&[row(&["name", "url"]), row(&["validator-10", "x"]), row(&["ü", ""])]);
        assert_eq!(text, "name          url\nvalidator-10  x\nü\n");
        assert_eq!(table(&[]), "");
    }

    #[test]
    fn what_a_server_said_keeps_its_digits_on_one_line() {
        let text = "{\"n\": 1.50,\r\n \"big\": 123456789012345678901234567890}";
        let raw: Box<RawValue> = serde_json::from_str(text).unwrap();
        let row = Row::raw(&raw, |value| vec![vec![cell(&value["n"])]]);
        assert_eq!(row.json, "{\"n\": 1.50,   \"big\": 123456789012345678901234567890}");
        assert_eq!(row.lines, [["1.5"]]);
    }

    #[test]
    fn cells_fit_a_table_and_give_a_terminal_no_orders() {
        assert_eq!(table(&[row(&["a\u{1b}[2Jb", "c\nd"])]), "a\u{fffd}[2Jb  c\u{fffd}d\n");
        assert_eq!(clip(&"ü".repeat(60)), "ü".repeat(60));
        assert_eq!(clip(&"ü".repeat(61)), format!("{}…", "ü".repeat(60)));
        #[rustfmt::skip]
        let cells = [
            (json!(null),         "-"),
            (json!("text"),       "text"),
            (json!(7),            "7"),
            (json!(true),         "yes"),
            (json!({"a": [1]}),   "{\"a\":[1]}"),
        ];
        for (value, expected) in cells {
            assert_eq!(cell(&value), expected);
        }
    }
}
