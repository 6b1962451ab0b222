//! The dashboards, one for each who looks: a cluster, all clusters, the operator.
//!
//! Read on: `board` is what a dashboard is made of, `promql` the expressions that come again and again,
//! `grafana` how it becomes JSON; then the dashboards themselves.

mod board;
mod cluster;
mod fleet;
mod grafana;
mod operator;
mod promql;

pub use board::{Dashboard, Panel, Query, Row};

/// What everyone sees first: those that belong together are found by it.
const TAG: &str = "cairn";

/// `uid`s, which are also the names of the files: links and bookmarks hold them, so they never change.
const CLUSTER: &str = "cairn-cluster";
const FLEET: &str = "cairn-fleet";
const OPERATOR: &str = "cairn-operator";

/// All of them.
#[must_use]
pub fn all() -> Vec<Dashboard> {
    vec![cluster::dashboard(), fleet::dashboard(), operator::dashboard()]
}
