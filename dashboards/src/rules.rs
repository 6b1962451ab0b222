//! What wakes people, and what tells them on the next working day: alerts, the recording rules that they
//! stand on, and for each alert the cases that it is tested with. One list, from which are made the rule
//! files for a Prometheus of one's own, the PrometheusRule of each BlockchainCluster, the tests of
//! `promtool`, and the table in docs/alerts.md.
//!
//! Read in this order: this file (what a rule is), `chain` to `operator` (the rules themselves), `scenes`
//! (federations in which nothing may fire), `write` (rule files), `check` (the tests of promtool).

mod chain;
mod check;
mod operator;
mod scenes;
mod service;
mod store;
mod validators;
mod volumes;
mod write;

pub use check::{Pace, tests};
pub use write::{file, table, value};

/// Where runbooks are read, one page an alert.
pub const RUNBOOKS: &str = "https://github.com/cairndb/cairn/blob/main/docs/runbooks";

/// Who hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Somebody is woken: people cannot write now, or something is lost if nobody acts.
    Critical,
    /// Somebody looks on the next working day.
    Warning,
}

impl Severity {
    /// The label's value.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
        }
    }
}

/// Something that somebody has to act on. In its expressions `{OF}` stands for the cluster that it is
/// about, `CLUSTER` and `VALIDATOR` for the labels that name one.
#[derive(Clone, Copy, Debug)]
pub struct Alert {
    /// Its name, and its runbook's.
    pub name: &'static str,
    /// Who hears of it.
    pub severity: Severity,
    /// How long it has to hold before anybody does.
    pub lasting: &'static str,
    /// What has to hold.
    pub expression: &'static str,
    /// The same where the cluster is known by name, and so can be missed altogether.
    pub of_one: Option<&'static str>,
    /// One line.
    pub summary: &'static str,
    /// What that means for those who use the ledger, or will.
    pub description: &'static str,
    /// When it fires, and when not.
    pub cases: &'static [Case],
}

impl Alert {
    /// Where it says what to do.
    #[must_use]
    pub fn runbook(&self) -> String {
        format!("{RUNBOOKS}/{}.md", self.name)
    }
}

/// A figure that is kept, because alerts or dashboards ask for it again and again.
#[derive(Clone, Debug)]
pub struct Recording {
    /// As `cairn:what:how`.
    pub name: String,
    /// What is kept.
    pub expression: String,
    /// What has to come out of it.
    pub cases: &'static [Recorded],
}

/// Rules that are looked at together, in their order.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name, of one word.
    pub name: &'static str,
    /// Kept first, as alerts ask for it.
    pub recordings: Vec<Recording>,
    /// The alerts.
    pub alerts: &'static [Alert],
}

/// Series, and what comes of them. A series is written `name{alice, more="labels"}`: whose it is stands
/// first, and its cluster is understood.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Why it is worth a test.
    pub why: &'static str,
    /// Minutes or hours between two values.
    pub step: &'static str,
    /// Series and their values, as promtool writes them.
    pub series: &'static [(&'static str, &'static str)],
    /// When it is looked at.
    pub at: &'static str,
    /// What fires then: nothing, when it is empty.
    pub fires: &'static [Fired],
}

/// An alert as it reaches somebody.
#[derive(Clone, Copy, Debug)]
pub struct Fired {
    /// Its labels besides those of the rule and the cluster.
    pub labels: &'static [(&'static str, &'static str)],
    /// Its value, as its sentences have it.
    pub value: &'static str,
}

/// Series, and what is kept of them.
#[derive(Clone, Copy, Debug)]
pub struct Recorded {
    /// Minutes or hours between two values.
    pub step: &'static str,
    /// Series and their values.
    pub series: &'static [(&'static str, &'static str)],
    /// When it is looked at.
    pub at: &'static str,
    /// Labels besides the cluster's.
    pub labels: &'static [(&'static str, &'static str)],
    /// What is kept then.
    pub value: f64,
}

/// Whom rules are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of<'a> {
    /// Every cluster that Prometheus sees.
    All,
    /// The cluster of this namespace and name.
    One(&'a str, &'a str),
}

impl Of<'_> {
    /// An expression of the list, as Prometheus reads it.
    #[must_use]
    pub fn expression(self, written: &str) -> String {
        let selector = match self {
            Self::All => String::new(),
            Self::One(namespace, cluster) => {
                format!("namespace=\"{namespace}\",cairndb_io_cluster=\"{cluster}\"")
            }
        };
        let more = if selector.is_empty() { String::new() } else { format!("{selector},") };
        let alone = if selector.is_empty() { String::new() } else { format!("{{{selector}}}") };
        plain(written)
            .replace("{OF, ", &format!("{{{more}"))
            .replace("{OF}", &alone)
            .replace("VALIDATOR", "namespace, cairndb_io_cluster, cairndb_io_validator")
            .replace("CLUSTER", "namespace, cairndb_io_cluster")
    }
}

/// Without the indentation that it has among its neighbours.
fn plain(text: &str) -> String {
    let lines = || text.trim_matches('\n').lines().filter(|line| !line.trim().is_empty());
    let depth = |line: &str| line.len() - line.trim_start().len();
    let least = lines().map(depth).min().unwrap_or(0);
    lines().map(|line| line[least..].trim_end()).collect::<Vec<_>>().join("\n")
}

/// The rules about federations and their validators.
#[must_use]
pub fn validators() -> Vec<Group> {
    let group = |name, alerts| Group { name, recordings: vec![], alerts };
    vec![
        group("chain", chain::ALERTS),
        Group { recordings: validators::recordings(), ..group("validators", validators::ALERTS) },
        group("volumes", volumes::ALERTS),
        group("store", store::ALERTS),
        Group { recordings: service::recordings(), ..group("service", service::ALERTS) },
    ]
}

/// The rules about the operator.
#[must_use]
pub fn operator() -> Vec<Group> {
    vec![Group { name: "operator", recordings: vec![], alerts: operator::ALERTS }]
}

/// All alerts there are.
pub fn alerts() -> impl Iterator<Item = &'static Alert> {
    validators().into_iter().chain(operator()).flat_map(|group| group.alerts)
}
