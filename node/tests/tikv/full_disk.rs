//! Disks of stores that are full, while clients are at work, and have room again.

use std::fs::{File, remove_file};
use std::path::PathBuf;

use rustix::fs::{FallocateFlags, fallocate};

use super::{
    client::Load,
    federation::until,
    hand::{World, leading_store},
    outages::further,
};

const STORES: [&str; 3] = ["store-1", "store-2", "store-3"];
/// What fills a disk of [`LIMIT`], whatever else is on it.
const BALLAST_BYTES: u64 = 1 << 30;
const LIMIT: &str = "1GiB";

/// A file that takes the room of others, until it is dropped.
struct Ballast(PathBuf);

impl Ballast {
    fn of(world: &World, store: &str) -> Self {
        let path = world.folder(store).join("ballast");
        let file = File::create(&path).unwrap();
        // Blocks, not a hole: room is counted by them.
        fallocate(&file, FallocateFlags::empty(), 0, BALLAST_BYTES).unwrap();
        Self(path)
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = remove_file(&self.0);
    }
}

#[test]
fn a_full_disk_is_named_and_waited_for_and_takes_nothing_away() {
    let world = World::start_with("tikv-full", &["--base-port", "0", "--disk-limit", LIMIT]);
    let World { federation, servers, .. } = &world;
    let load = Load::start(&federation.ports(), 4);
    further(&load, 20);
    let early = load.seen.acknowledged.lock()[0];
    let leader = leading_store(servers);
    let follower = STORES.into_iter().find(|store| *store != leader).unwrap();
    for (full, by_whom) in [
        (vec![follower], "a store that follows"),
        (vec![&*leader], "the store that leads"),
        (STORES.to_vec(), "all stores"),
    ] {
        let before: Vec<_> = federation.nodes.iter().map(|node| node.logged().len()).collect();
        let ballast: Vec<_> = full.iter().map(|store| Ballast::of(&world, store)).collect();
        if full == [follower] {
            // Two of three stores have room, the one that is asked among them.
            further(&load, 10);
        } else {
            until(&format!("the full disk of {by_whom} is named"), || {
                let mut said = federation.nodes.iter().zip(&before);
                said.any(|(node, before)| node.logged()[*before..].contains("disk is full"))
                    .then_some(())
            });
        }
        for node in &federation.nodes {
            until("what is stored is read", || node.has(&early).then_some(()));
        }
        drop(ballast);
        further(&load, 10);
    }
    let mut acknowledged = load.stop();
    for node in &federation.nodes {
        acknowledged.push(node.commits());
        let status = node.status().unwrap();
        assert_eq!(status["voting"], true, "{status}");
    }
    federation.agrees_on(&acknowledged);
    federation.nothing_alarming();
    world.hand.log_is_whole();
}
