//! The client against a PD and three stores, real processes that are killed and paused: what it
//! acknowledged is there, what it says of an insert is so, and every call comes back.

#![expect(clippy::unwrap_used, reason = "all of this is a test: what must not happen ends it")]

#[path = "cluster/faults.rs"]
mod faults;
#[path = "cluster/locks.rs"]
mod locks;
#[path = "cluster/outcomes.rs"]
mod outcomes;
#[path = "cluster/reading.rs"]
mod reading;
#[path = "../../tests/tikv/servers.rs"]
mod servers;
#[path = "cluster/spaces.rs"]
mod spaces;
#[path = "cluster/world.rs"]
mod world;
