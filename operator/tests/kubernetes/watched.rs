//! Operators for those who watch them: `e2e/monitoring` starts this, and Prometheus reads what they tell.

use std::{env, fs, io::Read, path::PathBuf, time::Duration};

use serde_json::json;
use tokio::{task::spawn_blocking, time};

use crate::{
    kubelet::Fault,
    process::Process,
    world::{World, four, four_with, until},
};

/// Between one thing that happens and the next: longer than from look to look, so that some find nothing changed.
const CALM: Duration = Duration::from_secs(45);

const OUTAGE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "stays until its standard input ends: e2e/monitoring"]
async fn operators_with_something_to_do() {
    let targets = PathBuf::from(env::var_os("CAIRN_TARGETS").expect("a file for Prometheus"));
    let world = World::new("watched").await;
    let space = world.namespace.as_str();
    let start = |name| Process::start(world.servers, &[space], (space, "cairn-operator"), name);
    let (first, second) = (start("first"), start("second"));
    until("one of them leads", async || {
        if first.leads() || second.leads() { Ok(()) } else { Err(first.log()) }
    })
    .await;
    // As the chart's ServiceMonitor would label them.
    let labels = json!({"namespace": "cairn-system", "pod": "cairn-operator"});
    let addresses = [first.address(), second.address()];
    let file = json!([{"targets": addresses, "labels": labels}]).to_string();
    // Prometheus must not read half of it.
    let half = targets.with_extension("half");
    fs::write(&half, file).unwrap();
    fs::rename(half, targets).unwrap();

    for name in ["orders", "assets"] {
        world.writes(name, four()).await;
        world.settles(name).await;
    }
    // Nothing is done for it.
    world.writes("paused", four_with("paused", json!(true))).await;
    let life = async {
        let mut turn = 0;
        loop {
            turn += 1;
            let annotations = json!({"service": {"annotations": {"turn": turn.to_string()}}});
            world.writes("orders", four_with("api", annotations)).await;
            time::sleep(CALM).await;
            world.kubelet.breaks("carol", Fault::NotReady);
            time::sleep(CALM).await;
            world.kubelet.heals("carol");
            time::sleep(CALM).await;
            // Shorter than what a Lease outlives.
            world.servers.kill_api_server();
            time::sleep(OUTAGE).await;
            let servers = world.servers;
            spawn_blocking(move || servers.start_api_server()).await.unwrap();
        }
    };
    let end = spawn_blocking(|| std::io::stdin().read_to_end(&mut vec![]));
    tokio::select! {
        () = life => {}
        _ = end => {}
    }
}
