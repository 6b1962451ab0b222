//! The operator against a real Kubernetes API server. One program, so that etcd and the API server are
//! started once; each test has a namespace of its own.
#![allow(clippy::disallowed_methods, reason = "these tests wait for real servers")]

mod admission;
mod charts;
mod crashes;
mod faults;
mod install;
mod kubelet;
mod objects;
mod scenarios;
mod servers;
mod world;
