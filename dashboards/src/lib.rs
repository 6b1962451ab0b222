//! What people look at and what wakes them: Grafana dashboards, recording rules and alerts, over the
//! metrics of validators (`node/src/metrics.rs`) and of the operator (`operator/src/metrics.rs`).
//!
//! What lies beside this folder as JSON and YAML is written from here; a test says when it is stale.

pub mod boards;
pub mod rules;
