//! Four real `cairn` processes whose log and state are in TiKV: what happens to the processes of an
//! embedded federation happens to these too, and then to PD and the stores. Nothing that was
//! acknowledged is lost, nothing is there twice, nobody forks.

#![expect(clippy::unwrap_used, reason = "all of this is a test: what must not happen ends it")]

use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering},
};

#[path = "processes/client.rs"]
mod client;
#[path = "processes/crashes.rs"]
mod crashes;
#[path = "processes/federation.rs"]
#[expect(dead_code, reason = "what these tests do not need, others do")]
mod federation;
#[path = "tikv/full_disk.rs"]
mod full_disk;
#[path = "tikv/hand.rs"]
mod hand;
#[path = "tikv/limits.rs"]
mod limits;
#[path = "tikv/meddling.rs"]
mod meddling;
#[path = "tikv/midway.rs"]
mod midway;
#[path = "tikv/network.rs"]
mod network;
#[path = "tikv/outages.rs"]
mod outages;
#[path = "tikv/servers.rs"]
mod servers;
#[path = "tikv/state.rs"]
mod state;

use federation::{Backend, Scratch};
use servers::Servers;

/// Log and state in one cluster that all tests here share, each federation with a prefix of its own.
fn backend() -> Backend {
    // The servers end with this process: nobody drops what is static.
    static SHARED: OnceLock<(Servers, Scratch)> = OnceLock::new();
    let (servers, _) = SHARED.get_or_init(|| {
        let scratch = Scratch::new("tikv-shared");
        (Servers::start(&scratch.0), scratch)
    });
    in_tikv(&servers.pd)
}

/// Log and state in that PD's cluster.
fn in_tikv(pd: &str) -> Backend {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let prefix = format!("chain-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let section = format!("\n[tikv]\npd = [\"{pd}\"]\nprefix = \"{prefix}\"\n");
    Backend { order: "tikv", store: "tikv", section }
}
