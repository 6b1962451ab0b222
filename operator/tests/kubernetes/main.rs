//! The operator against a real Kubernetes API server. One program, so that etcd and the API server are
//! started once; each test has a namespace of its own.
#![allow(clippy::disallowed_methods, reason = "these tests wait for real servers")]
#![expect(clippy::unwrap_used, reason = "all of this is a test: what must not happen ends it")]

mod admission;
mod charts;
mod crashes;
mod faults;
mod idle;
mod install;
mod kubelet;
mod leader;
mod objects;
mod outage;
mod process;
mod scale;
mod scenarios;
mod servers;
mod watched;
mod world;
