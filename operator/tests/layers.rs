//! The map of who may import whom, kept true by a test.

use std::{collections::BTreeSet, fs, path::Path};

/// Room, then the rooms it may use: the pure ones, which decide.
#[rustfmt::skip]
const PURE: &[(&str, &[&str])] = &[
    ("check",    &["crd", "manifest", "names", "observe", "quantity"]),
    ("plan",     &["check", "crd", "health", "manifest", "names", "objects", "observe", "power"]),
    ("report",   &["apply", "check", "crd", "health", "manifest", "names", "observe", "plan", "power"]),
    ("objects",  &["check", "crd", "manifest", "names", "power"]),
    ("manifest", &["names", "quantity"]),
    ("health",   &["observe"]),
    ("power",    &[]),
    ("quantity", &[]),
    ("names",    &[]),
    ("crd",      &["names"]),
];

/// What none of them may name: they ask nobody, wait for nothing, and know no time but `Observed::now`.
const NOT_PURE: &[&str] = &[
    "kube::Client",
    "kube::Api",
    "kube::client",
    "Api<",
    "async fn",
    ".await",
    "Timestamp::now",
    "tokio",
];

#[test]
fn those_who_decide_import_only_what_the_map_allows() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut broken = Vec::new();
    for (room, allowed) in PURE {
        let files = files(&src, room);
        assert!(!files.is_empty(), "the map names {room}, which is not there");
        for (path, text) in &files {
            for used in imports(without_tests(text)) {
                if used != *room && !allowed.contains(&used) && is_a_room(&src, used) {
                    broken.push(format!("{path}: {room} may not use {used}"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn those_who_decide_ask_nobody() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut broken = Vec::new();
    for (room, _) in PURE {
        for (path, text) in files(&src, room) {
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            for line in code {
                for word in NOT_PURE.iter().filter(|word| line.contains(**word)) {
                    broken.push(format!("{path}: {word}: {}", line.trim()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

/// The audit is only worth something while it does not take the plan's word for it.
#[test]
fn the_audit_shares_nothing_with_the_plan_but_its_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/plan/audit.rs");
    let text = fs::read_to_string(path).expect("the audit is there");
    for word in ["super::", "crate::health", "crate::power", "health::", "power::", "plan::World"] {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let lines: Vec<_> = code.filter(|line| line.contains(word)).collect();
        assert!(lines.is_empty(), "{word}: {lines:?}");
    }
}

/// What wakes people is one list, and whoever wants rules asks for manifests.
#[test]
fn rules_come_to_a_cluster_by_its_manifests_alone() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    let users: Vec<_> = files
        .iter()
        .filter(|(_, text)| text.contains("cairn_dashboards"))
        .map(|(path, _)| path)
        .collect();
    assert!(users.len() == 1 && users[0].ends_with("objects/monitoring.rs"), "{users:?}");
}

/// Making them is most of what a pass over an unchanged cluster costs, and there are five hundred clusters.
#[test]
fn a_plan_makes_a_clusters_manifests_once() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for making in ["objects::surroundings(", "objects::stateful_set(", "World::new("] {
        let plan = files(&src, "plan");
        let made = plan.iter().map(|(_, text)| without_tests(text).matches(making).count());
        assert_eq!(made.sum::<usize>(), 1, "{making}: ask `World`, which has it");
    }
}

#[test]
fn reads_both_ways_of_importing() {
    let text = "use crate::check;\nuse crate::{\n    plan::{Plan, Step},\n    observe,\n};\n";
    assert_eq!(imports(text), BTreeSet::from(["check", "plan", "observe"]));
}

/// What a file's own tests use is their business.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().expect("split gives one part")
}

fn is_a_room(src: &Path, name: &str) -> bool {
    src.join(name).is_dir() || src.join(format!("{name}.rs")).is_file()
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

/// A room's files: one of its name, and all in a folder of its name.
fn files(src: &Path, room: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    collect(&src.join(format!("{room}.rs")), &mut files);
    collect(&src.join(room), &mut files);
    files
}

fn collect(path: &Path, files: &mut Vec<(String, String)>) {
    // A file of tests stands beside what it tests.
    if path.ends_with("tests.rs") {
        return;
    }
    if let Ok(text) = fs::read_to_string(path) {
        files.push((path.display().to_string(), text));
    }
    for entry in fs::read_dir(path).into_iter().flatten() {
        collect(&entry.expect("the source tree is readable").path(), files);
    }
}
