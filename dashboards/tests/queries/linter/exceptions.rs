//! `.lint`: what is not held to a rule, and why. The file is the linter's own, which would read it, too.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;
use serde_json::Value;

use super::rules::Finding;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    exclusions: BTreeMap<String, Excluded>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Excluded {
    #[serde(default)]
    reason: String,
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Entry {
    reason: Option<String>,
    dashboard: String,
    panel: Option<String>,
    target_idx: Option<String>,
}

/// One exception.
#[derive(Debug)]
pub(crate) struct Exception {
    pub(crate) number: usize,
    pub(crate) reason: String,
    rule: String,
    dashboard: String,
    panel: Option<String>,
    target: Option<String>,
}

pub(crate) struct Exceptions(Vec<Exception>);

impl Exceptions {
    /// What the file says; nothing when there is none.
    pub(crate) fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".lint");
        let text = fs::read_to_string(path).unwrap_or_default();
        let file: File = match text.trim() {
            "" => File::default(),
            text => serde_saphyr::from_str(text).expect("as docs of the linter say"),
        };
        let mut all = vec![];
        for (rule, excluded) in file.exclusions {
            assert!(!excluded.entries.is_empty(), "{rule}: say of which dashboard and panel");
            for entry in excluded.entries {
                all.push(Exception {
                    number: all.len(),
                    reason: entry.reason.unwrap_or_else(|| excluded.reason.clone()),
                    rule: rule.clone(),
                    dashboard: entry.dashboard,
                    panel: entry.panel,
                    target: entry.target_idx,
                });
            }
        }
        Self(all)
    }

    pub(crate) fn all(&self) -> &[Exception] {
        &self.0
    }

    /// The numbers of those that excuse a finding.
    pub(crate) fn matching(&self, rule: &str, board: &Value, finding: &Finding) -> Vec<usize> {
        let target = finding.target.map(|index| index.to_string());
        let matching = self.0.iter().filter(|exception| {
            exception.rule == rule
                && board["title"] == exception.dashboard.as_str()
                && (exception.panel.is_none() || exception.panel == finding.panel)
                && (exception.target.is_none() || exception.target == target)
        });
        matching.map(|exception| exception.number).collect()
    }
}
