//! docs/metrics.md is what the two lists say, and no other document names a metric that is not there.

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use cairn_metrics::{Described, document};

fn lists() -> (Vec<Described>, Vec<Described>) {
    let validator = cairn_node::metrics::Metrics::new().described().to_vec();
    (validator, cairn_operator::metrics::Metrics::new().described().to_vec())
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text() -> String {
    let (validator, operator) = lists();
    let most: usize = validator.iter().map(Described::series_max).sum();
    format!(
        "# Metrics\n\n\
         Written from the lists in `node/src/metrics.rs` and `operator/src/metrics.rs`; `make dashboards` writes it anew.\n\n\
         Both are served as OpenMetrics to who asks for it, as Prometheus does, and as Prometheus' older text format to all others. \
         A histogram is there as `_bucket`, `_sum` and `_count`; a counter starts at zero with each process.\n\n\
         ## A validator\n\n\
         `GET /metrics` on its admin port (9986). No label holds anything that a client makes up: with 31 validators, every route \
         answered with every status, and TiKV failing in every way, a validator has at most {most} series. \
         `cairn_commit_latency_seconds` carries exemplars: for each bucket the id of the slowest transaction of a block.\n\n\
         {}\n\
         ## The operator\n\n\
         `GET /metrics` on its port 8080.\n\n\
         {}",
        document(&validator),
        document(&operator)
    )
}

#[test]
fn the_document_is_what_the_lists_say() {
    let path = root().join("docs/metrics.md");
    if env::var_os("UPDATE_GOLDENFILES").is_some() {
        fs::write(&path, text()).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == text(),
        "docs/metrics.md is stale: make dashboards"
    );
}

/// The words of a text that look like a metric's name.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let ends = ["_total", "_seconds", "_bytes", "_bucket", "_sum", "_count"];
    words.filter(move |word| {
        word.starts_with("cairn_") && ends.iter().any(|end| word.ends_with(end))
    })
}

#[test]
fn documents_name_metrics_that_are_there() {
    let (validator, operator) = lists();
    let all = || validator.iter().chain(&operator);
    let mut known: BTreeSet<String> = all().flat_map(Described::series_names).collect();
    known.extend(all().map(|metric| metric.name.to_owned()));
    let documents = [root(), root().join("docs"), root().join("docs/runbooks")];
    let mut seen = 0;
    for folder in documents {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            // The changelog names what was.
            let history = entry.file_name() == "CHANGELOG.md";
            if history || entry.path().extension().is_none_or(|end| end != "md") {
                continue;
            }
            let text = fs::read_to_string(entry.path()).unwrap();
            for name in named(&text) {
                seen += 1;
                assert!(known.contains(name), "{}: {name} is no metric", entry.path().display());
            }
        }
    }
    assert!(seen > 40, "only {seen} names were found");
}
