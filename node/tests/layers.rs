//! The map of who may import whom, kept true by a test.

use std::{collections::BTreeSet, fs, path::Path};

/// Room, then the rooms it may use. Read top to bottom: outside to inside.
#[rustfmt::skip]
const MAP: &[(&str, &[&str])] = &[
    ("cli",     &["api", "clock", "config", "exit", "keys", "node", "store"]),
    ("node",    &["api", "chain", "clock", "config", "exit", "intake", "keys", "mesh", "metrics", "order", "query", "search", "store", "streams", "traces"]),
    ("api",     &["clock", "intake", "metrics", "query", "search", "streams", "traces"]),
    ("chain",   &["clock", "intake", "mesh", "metrics", "order", "store", "traces"]),
    ("intake",  &["clock", "metrics", "order", "traces"]),
    ("search",  &["clock", "metrics", "query", "store"]),
    ("streams", &["clock", "metrics", "query"]),
    ("query",   &["store"]),
    ("order",   &["clock", "mesh"]),
    ("store",   &["clock"]),
    ("mesh",    &["clock"]),
    ("config",  &["api", "exit", "intake", "streams", "traces"]),
    ("keys",    &["clock", "exit"]),
    ("exit",    &[]),
    ("traces",  &["clock", "metrics"]),
    ("metrics", &["clock"]),
    ("clock",   &[]),
];

/// The rules stay rules: what their manifest must never name.
const NOT_IN_LEDGER: &[&str] =
    &["tokio", "axum", "rand", "getrandom", "openraft", "malachite", "fjall"];

#[test]
fn rooms_import_only_what_the_map_allows() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let rooms: BTreeSet<&str> = MAP.iter().map(|(room, _)| *room).collect();
    let mut broken = Vec::new();
    for (room, allowed) in MAP {
        let mut files = Vec::new();
        collect(&src.join(format!("{room}.rs")), &mut files);
        collect(&src.join(room), &mut files);
        assert!(!files.is_empty(), "the map names {room}, which is not there");
        for (path, text) in &files {
            for used in imports(without_tests(text)) {
                if rooms.contains(used) && used != *room && !allowed.contains(&used) {
                    broken.push(format!("{path}: {room} may not use {used}"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn every_room_is_on_the_map() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(src).expect("the source tree is readable") {
        let name = entry.expect("readable").file_name().to_string_lossy().replace(".rs", "");
        let known = MAP.iter().any(|(room, _)| *room == name);
        assert!(
            known || ["lib", "main", "testing"].contains(&name.as_str()),
            "{name} is not on the map"
        );
    }
}

#[test]
fn the_rules_have_no_clock_no_dice_and_no_runtime() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("ledger/Cargo.toml");
    let text = fs::read_to_string(manifest).expect("the ledger has a manifest");
    let dependencies = text.split("[dev-dependencies]").next().expect("split gives one part");
    for name in NOT_IN_LEDGER {
        assert!(!dependencies.contains(name), "the ledger may not depend on {name}");
    }
}

/// An auditor reads the verifier, and nothing else of ours.
#[test]
fn the_verifier_stands_alone() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("verifier/Cargo.toml");
    let text = fs::read_to_string(manifest).expect("the verifier has a manifest");
    let dependencies = text.split("[dependencies]").nth(1).expect("it has some");
    let dependencies = dependencies.split("[dev-dependencies]").next().expect("one part");
    assert!(!dependencies.contains("cairn"), "{dependencies}");
    assert!(dependencies.lines().filter(|line| line.contains("workspace")).count() <= 7);
}

/// Its calls have no time limits, and its errors many meanings: one crate deals with that.
#[test]
fn only_one_crate_speaks_to_tikv() {
    let mut files = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files.len() > 100, "the source tree is readable");
    for (path, text) in files {
        assert!(!text.contains("tikv_client"), "{path} goes past cairn_tikv");
    }
}

#[test]
fn reads_both_ways_of_importing() {
    let text = "use crate::api;\nuse crate::{\n    store::{Store, Tip},\n    order,\n};\n";
    assert_eq!(imports(text), BTreeSet::from(["api", "store", "order"]));
}

/// What a file's own tests use is their business.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().expect("split gives one part")
}

/// The first path segment after every `crate::`, one by one or in braces.
fn imports(text: &str) -> BTreeSet<&str> {
    let code = |line: &&str| !line.trim_start().starts_with("//");
    let mut found = BTreeSet::new();
    for line in text.split_inclusive(';').flat_map(|item| item.split("crate::").skip(1)) {
        let group = line.strip_prefix('{');
        let mut depth = 0;
        for part in group.unwrap_or(line).lines().filter(code).flat_map(|l| l.split(',')) {
            if depth == 0 {
                let name = part.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next();
                found.extend(name.filter(|name| !name.is_empty()));
            }
            depth += part.matches('{').count() as i32 - part.matches('}').count() as i32;
            if group.is_none() {
                break;
            }
        }
    }
    found
}

fn collect(path: &Path, files: &mut Vec<(String, String)>) {
    // A file of tests stands beside what it tests.
    if path.ends_with("tests.rs") || path.ends_with("contract.rs") {
        return;
    }
    if let Ok(text) = fs::read_to_string(path) {
        files.push((path.display().to_string(), text));
    }
    for entry in fs::read_dir(path).into_iter().flatten() {
        collect(&entry.expect("the source tree is readable").path(), files);
    }
}
