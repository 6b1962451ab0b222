//! The controller that reconciles a `BlockchainCluster` into validators that vote.
//!
//! The cluster's day is five named calls, one file each: [`observe`], [`check`](check::check),
//! [`plan`](plan::plan), [`apply`], [`report`](report::report). `check`, `plan` and `report` are pure; a
//! Kubernetes client appears in `observe` and `apply` only. [`reconcile`] is the table of contents.

pub mod reconcile;

pub mod crd;
pub mod manifest;
pub mod names;
pub mod power;
pub mod quantity;

pub mod apply;
pub mod check;
pub mod health;
pub mod objects;
pub mod observe;
pub mod plan;
pub mod report;

pub mod render;
pub mod run;

mod clock;
mod events;
pub mod gate;
pub mod leader;
pub mod metrics;
pub mod server;
