//! What a line of the log is, kept true by a test: a message that is always the same, and fields that docs/logs.md
//! explains. Looks at the sources of both programs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

const LEVELS: [&str; 5] = ["error!(", "warn!(", "info!(", "debug!(", "trace!("];

/// One line as it is written in the sources.
struct Line {
    at: String,
    message: String,
    fields: BTreeSet<String>,
    /// Fields that are made text.
    texts: BTreeSet<String>,
    /// What is shown by `Debug`: more than anybody meant to say.
    debugged: Vec<String>,
}

#[test]
fn a_message_is_always_the_same() {
    let lines = lines();
    assert!(lines.len() > 80, "{} lines", lines.len());
    let mut broken = Vec::new();
    for Line { at, message, debugged, .. } in &lines {
        let first = message.split([' ', ':', '\'']).next().unwrap_or_default();
        let lower = first.chars().all(char::is_lowercase);
        // TiKV, API.
        let name = first.chars().filter(|c| c.is_uppercase()).count() > 1;
        if message.contains('{') || message.ends_with('.') || !(lower || name) {
            broken.push(format!("{at}: {message:?}"));
        }
        if !debugged.is_empty() {
            broken.push(format!("{at}: {debugged:?} by Debug"));
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn every_field_is_explained_and_every_explained_one_is_there() {
    let lines = lines();
    let mut used: BTreeMap<&str, &str> = BTreeMap::new();
    for Line { at, fields, .. } in &lines {
        used.extend(fields.iter().map(|field| (field.as_str(), at.as_str())));
    }
    let text = fs::read_to_string(root().join("docs/logs.md")).expect("docs/logs.md is there");
    let explained = explained(&text);
    let unexplained: Vec<_> =
        used.iter().filter(|(field, _)| !explained.contains_key(**field)).collect();
    assert!(unexplained.is_empty(), "not in docs/logs.md: {unexplained:#?}");
    let unused: Vec<_> = explained.keys().filter(|field| !used.contains_key(**field)).collect();
    assert!(unused.is_empty(), "in docs/logs.md and nowhere else: {unused:?}");
    for field in used.keys() {
        let snake = field.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        assert!(snake, "{field} is not snake_case");
    }
    // Whatever gathers logs wants a field to be of one kind.
    for Line { at, texts, .. } in &lines {
        for field in texts {
            assert_eq!(explained[field.as_str()], "text", "{at}: {field} is made text");
        }
    }
}

/// Fields of the table, and their kinds.
fn explained(text: &str) -> BTreeMap<&str, &str> {
    let table = text.split("## Fields").nth(1).expect("it has fields");
    let table = table.split("\n## ").next().expect("split gives one part");
    let mut explained = BTreeMap::new();
    for line in table.lines().filter_map(|line| line.strip_prefix("| `")) {
        let mut cells = line.split(" | ");
        let (names, kind) = (cells.next().unwrap_or(""), cells.next().unwrap_or(""));
        let names = names.split(", ").map(|name| name.trim_matches('`'));
        explained.extend(names.map(|name| (name, kind)));
    }
    explained
}

#[test]
fn reads_a_line_as_it_is_written() {
    let text = "x; tracing::warn!(\n  target: T, a, %b, c = f(1, \"no, {\"), d = %e.f(),\n  \"it, is\"\n); y";
    let found = read("here", text);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].message, "it, is");
    assert_eq!(found[0].fields, ["a", "b", "c", "d"].map(str::to_owned).into());
    let found = read("here", "info!(?all, x = ?y, \"{z}\")");
    assert_eq!((found[0].debugged.len(), found[0].message.as_str()), (2, "{z}"));
    assert!(read("here", "my_info!(\"x\") // info! is").is_empty());
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn lines() -> Vec<Line> {
    let mut files = Vec::new();
    for program in ["node/src", "node/tikv/src", "operator/src"] {
        collect(&root().join(program), &mut files);
    }
    assert!(files.len() > 200, "the source trees are readable");
    files.iter().flat_map(|(path, text)| read(path, text)).collect()
}

fn read(path: &str, text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    for level in LEVELS {
        for (at, _) in text.match_indices(level) {
            let before = text[..at].chars().next_back();
            let whole_word = before.is_none_or(|c| !(c.is_alphanumeric() || c == '_'));
            let number = text[..at].lines().count();
            let comment = text[..at].lines().next_back().unwrap_or("").trim_start();
            if whole_word && !comment.starts_with("//") {
                lines.push(line(format!("{path}:{number}"), &text[at + level.len()..]));
            }
        }
    }
    lines
}

fn line(at: String, text: &str) -> Line {
    let (message, debugged) = (String::new(), Vec::new());
    let mut line = Line { at, message, fields: BTreeSet::new(), texts: BTreeSet::new(), debugged };
    for argument in arguments(text) {
        let argument = argument.trim();
        let (name, value) = match argument.split_once(" = ") {
            Some((name, value)) if !argument.starts_with('"') => (name, value),
            _ => (argument.trim_start_matches(['%', '?']), argument),
        };
        if value.starts_with('%') {
            line.texts.insert(name.to_owned());
        }
        if value.starts_with('?') {
            line.debugged.push(argument.to_owned());
        }
        if let Some(text) = argument.strip_prefix('"') {
            line.message = text.trim_end_matches('"').to_owned();
        } else if !argument.starts_with("target:") && !argument.is_empty() {
            line.fields.insert(name.to_owned());
        }
    }
    line
}

/// What stands between the commas, up to the parenthesis that closes.
fn arguments(text: &str) -> Vec<String> {
    let (mut found, mut depth, mut quoted, mut escaped) = (vec![String::new()], 0, false, false);
    for c in text.chars() {
        match c {
            _ if escaped => {}
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' | '[' | '{' => depth += 1,
            ')' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(String::new());
                continue;
            }
            _ => {}
        }
        escaped = quoted && c == '\\' && !escaped;
        found.last_mut().expect("it begins with one").push(c);
    }
    // A comment between the fields is none of them.
    let code = |argument: &String| {
        let lines = argument.lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.collect::<Vec<_>>().join("\n")
    };
    found.iter().map(code).collect()
}

fn collect(path: &Path, files: &mut Vec<(String, String)>) {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    if matches!(name.as_deref(), Some("tests" | "tests.rs" | "contract.rs" | "testing.rs")) {
        return;
    }
    if let Ok(text) = fs::read_to_string(path) {
        let code = text.split("#[cfg(test)]\nmod tests {").next().expect("one part").to_owned();
        files.push((path.display().to_string(), code));
    }
    for entry in fs::read_dir(path).into_iter().flatten() {
        collect(&entry.expect("the source tree is readable").path(), files);
    }
}
