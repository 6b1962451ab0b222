//! Five hundred ledgers on one operator: memory, CPU, the first pass. Not part of the usual run:
//!
//! ```text
//! cargo build --release -p cairn-operator
//! CAIRN_OPERATOR=$PWD/target/release/cairn-operator cargo test -p cairn-operator --test kubernetes -- --ignored --nocapture scale
//! ```
//!
//! `CAIRN_SCALE_CLUSTERS` is how many, 500 by default. It prints the figures; it judges none.

use std::{fs, time::Duration};

use futures_util::{StreamExt, stream};

use crate::{
    process::Process,
    world::{World, four, until},
};

const SPACES: usize = 10;
/// Clusters settle before it is measured.
const SETTLE: Duration = Duration::from_secs(60);
/// Ten looks at each cluster, so that the one which is whole (`run/quiet.rs`) counts as often as it comes.
const IDLE: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes many minutes"]
async fn scale() {
    let clusters = std::env::var("CAIRN_SCALE_CLUSTERS").map_or(500, |n| n.parse().unwrap());
    let mut worlds = vec![];
    for _ in 0..SPACES {
        let mut world = World::new("scale").await;
        world.kubelet.looks_seldom();
        worlds.push(world);
    }
    let spaces: Vec<&str> = worlds.iter().map(|world| world.namespace.as_str()).collect();
    let lease = (spaces[0], "cairn-operator");
    let begun = std::time::Instant::now();
    let maker = Process::start(worlds[0].servers, &spaces, lease, "maker");
    let each = stream::iter(0..clusters).for_each_concurrent(16, |n: usize| {
        let world = &worlds[n % SPACES];
        async move {
            let name = format!("c{n}");
            world.writes(&name, four()).await;
            world.settles(&name).await;
        }
    });
    each.await;
    println!("{clusters} clusters were made and ready after {:?}", begun.elapsed());
    drop(maker);

    let begun = std::time::Instant::now();
    let operator = Process::start(worlds[0].servers, &spaces, lease, "measured");
    let passes = || operator.metric("cairn_operator_passes_seconds_count", "#").unwrap_or_default();
    until("it leads", async || if operator.leads() { Ok(()) } else { Err(String::new()) }).await;
    println!(
        "led after {:?}, of which up to 17 s wait for the Lease of one that was killed",
        begun.elapsed()
    );
    let led = std::time::Instant::now();
    #[expect(clippy::cast_precision_loss, reason = "few")]
    let wanted = clusters as f64;
    until("every cluster was looked at", async || {
        if passes() >= wanted { Ok(()) } else { Err(format!("{}", passes())) }
    })
    .await;
    println!("first pass over all: {:?}", led.elapsed());
    println!("memory after it: {} KiB", memory(operator.pid()));
    tokio::time::sleep(SETTLE).await;
    let (cpu, count, writes) = (cpu(operator.pid()), passes(), operator.writes());
    tokio::time::sleep(IDLE).await;
    let (cpu, count) = (self::cpu(operator.pid()) - cpu, passes() - count);
    println!(
        "idle for {IDLE:?}: {cpu:?} of CPU, {count} passes, {} writes",
        operator.writes() - writes
    );
    let share = cpu.as_secs_f64() / IDLE.as_secs_f64();
    println!("that is {:.1} % of a core", share * 100.0);
    println!("CPU of one pass over an unchanged cluster: {:?}", cpu.div_f64(count.max(1.0)));
    println!("memory in the end: {} KiB", memory(operator.pid()));
}

/// Resident memory, in KiB.
fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// CPU that was used: user and system, in ticks of 10 ms.
fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}
