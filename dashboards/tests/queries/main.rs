//! What the dashboards ask Prometheus: held to the rules of Grafana's linter, and to metrics that there are.
#![expect(clippy::unwrap_used, reason = "all of this is a test: what must not happen ends it")]

mod linter;
mod names;
mod promql;
