//! Four real `cairn` processes, and what happens to real processes: SIGKILL at bad moments,
//! disks that are gone or full, directories of somebody else. Whatever happens, the federation
//! neither forks nor forgets what it acknowledged, and a process that cannot run says why.

#![expect(clippy::unwrap_used, reason = "all of this is a test: what must not happen ends it")]

#[path = "processes/access.rs"]
mod access;
#[path = "processes/away.rs"]
mod away;
#[path = "processes/client.rs"]
mod client;
mod collector;
#[path = "processes/commands.rs"]
mod commands;
#[path = "processes/crashes.rs"]
mod crashes;
#[path = "processes/federation.rs"]
mod federation;
#[path = "processes/founding.rs"]
mod founding;
#[path = "processes/idle.rs"]
mod idle;
#[path = "processes/streams.rs"]
mod streams;
#[path = "processes/traces.rs"]
mod traces;
#[path = "processes/trouble.rs"]
mod trouble;

/// What a federation is made with by default.
fn backend() -> federation::Backend {
    federation::Backend { order: "raft", store: "embedded", section: String::new() }
}
