//! The servers that all tests of TiKV stand on: three Raft-replicated stores lose nothing that
//! they acknowledged, whatever is killed, and what they cannot do they refuse.

#![expect(clippy::unwrap_used, reason = "all of this is a test: what must not happen ends it")]

#[path = "tikv/faults.rs"]
mod faults;
#[path = "tikv/promises.rs"]
mod promises;
#[path = "tikv/servers.rs"]
mod servers;
#[path = "tikv/world.rs"]
mod world;
