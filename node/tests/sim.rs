//! The seeded simulation: four or seven validators in one process, the real machine,
//! executor and journal, and a world that loses, reorders, doubles, lies, tears and crashes.
//!
//! One seed is one run. `CAIRN_SIM_SEED=17 cargo test --test sim` repeats a run,
//! `CAIRN_SIM_SEEDS=1000` tries that many. With `--features planted-bugs` rules are broken
//! on purpose, and each must be found. With `--features tikv` some seeds run once more with their
//! stores in a real TiKV, which must make no difference.

#![expect(clippy::unwrap_used, reason = "all of this is a test: what must not happen ends it")]

#[path = "sim/byzantine.rs"]
mod byzantine;
#[path = "sim/dice.rs"]
mod dice;
#[path = "sim/federation.rs"]
mod federation;
#[path = "sim/log.rs"]
mod log;
#[path = "sim/network.rs"]
mod network;
#[path = "sim/node.rs"]
mod node;
#[path = "sim/plants.rs"]
mod plants;
#[cfg(feature = "tikv")]
#[path = "tikv/servers.rs"]
mod servers;
#[cfg(feature = "tikv")]
#[path = "sim/slots.rs"]
mod slots;
#[cfg(feature = "tikv")]
#[path = "sim/tikv.rs"]
mod tikv;
#[path = "sim/volume.rs"]
mod volume;
#[path = "sim/watch.rs"]
mod watch;
#[path = "sim/world.rs"]
mod world;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use plants::Planted;

/// Tries seeds in some threads until one fails or all are done; says which failed, and how.
fn first_failure(
    threads: usize,
    seeds: std::ops::Range<u64>,
    run: &(dyn Fn(u64) + Sync),
) -> Option<(u64, String)> {
    let next = AtomicU64::new(seeds.start);
    let failed = AtomicBool::new(false);
    let work = || {
        while !failed.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return None;
            }
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
                failed.store(true, Ordering::Relaxed);
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned()));
                return Some((seed, text.unwrap_or_default()));
            }
        }
        None
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ends: Vec<_> = running.into_iter().map(|thread| thread.join().unwrap()).collect();
        ends.into_iter().flatten().min_by_key(|(seed, _)| *seed)
    })
}

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number of seeds, or a seed"))
}

#[test]
fn every_seed_is_safe_and_when_healed_live() {
    if let Some(seed) = asked("CAIRN_SIM_SEED") {
        println!("{:?}", world::run(seed, Planted::Nothing));
        return;
    }
    let seeds = asked("CAIRN_SIM_SEEDS").unwrap_or(200);
    if let Some((seed, why)) =
        first_failure(2, 0..seeds, &|seed| _ = world::run(seed, Planted::Nothing))
    {
        panic!(
            "seed {seed}: {why}\nrepeat it: CAIRN_SIM_SEED={seed} cargo test --test sim every_seed"
        );
    }
}

#[test]
fn one_seed_is_one_run() {
    for seed in [3, 5, 8] {
        let first = world::run(seed, Planted::Nothing);
        assert_eq!(world::run(seed, Planted::Nothing), first, "seed {seed}");
        assert!(first.height > 0);
    }
}

/// The faults must really happen: a simulation in which nothing goes wrong proves nothing.
#[test]
fn who_signs_twice_is_named() {
    let evidence: usize = (0..20).map(|seed| world::run(seed, Planted::Nothing).evidence).sum();
    assert!(evidence > 0);
}

#[cfg(feature = "planted-bugs")]
#[test]
fn each_planted_bug_is_found() {
    for planted in Planted::ALL {
        let found = first_failure(2, 0..400, &|seed| _ = world::run(seed, planted));
        let (seed, why) = found.unwrap_or_else(|| panic!("{planted:?} was not found"));
        println!("{planted:?}: seed {seed}: {why}");
    }
}
