//! The same store on PD and three stores, one cluster for all tests here.

#[path = "../../../../tests/tikv/servers.rs"]
mod servers;

use std::sync::{OnceLock, Weak};

use cairn_tikv::{Client, Settings};
use servers::Servers;

use super::*;
use crate::clock::Stopwatch;

/// Servers that run for as long as a test uses them, with their directory.
struct Cluster {
    servers: Servers,
    _scratch: Scratch,
}

/// The cluster of this process; the last test that uses it ends it.
fn cluster() -> Arc<Cluster> {
    static SHARED: OnceLock<Mutex<Weak<Cluster>>> = OnceLock::new();
    let mut shared = SHARED.get_or_init(Mutex::default).lock();
    if let Some(cluster) = shared.upgrade() {
        return cluster;
    }
    let scratch = Scratch::new();
    let cluster = Arc::new(Cluster { servers: Servers::start(&scratch.0), _scratch: scratch });
    *shared = Arc::downgrade(&cluster);
    cluster
}

fn space(cluster: &Cluster, genesis: &Genesis) -> Space {
    let client = Client::open(Settings::of(vec![cluster.servers.pd.clone()])).unwrap();
    let name = format!("store-{}", hex::encode(crate::clock::random::<6>()));
    let chain = genesis.chain().0;
    client.wait(move |client| async move { Space::claim(client, &name, chain).await }).unwrap()
}

#[test]
fn on_servers_it_keeps_the_promises_of_a_store() {
    let cluster = cluster();
    let scratch = Scratch::new();
    let number = std::cell::Cell::new(0);
    contract::suite(&|genesis| {
        number.set(number.get() + 1);
        let path = scratch.0.join(number.get().to_string());
        let (genesis, space) = (Arc::clone(genesis), space(&cluster, genesis));
        let open = move || -> Arc<dyn Store> {
            let genesis = Arc::clone(&genesis);
            Arc::new(TikvStore::open(space.clone(), &path, genesis, "validator-000").unwrap())
        };
        (
            open(),
            Box::new(move |stopped| {
                drop(stopped);
                open()
            }),
        )
    });
}

/// Figures, on demand: `cargo test --features tikv --lib -- --ignored --nocapture figures`.
#[test]
#[ignore = "measures, asserts nothing"]
fn figures() {
    let (cluster, scratch) = (cluster(), Scratch::new());
    let federation = Federation::new(4);
    let space = space(&cluster, &federation.genesis);
    let genesis = || Arc::clone(&federation.genesis);
    let open = || TikvStore::open(space.clone(), &scratch.0, genesis(), "one").unwrap();
    let store = open();
    let alice = key(1);
    let note = "x".repeat(700);
    let made: Vec<Vec<_>> = (0..30_u32)
        .map(|block| {
            let note = |at| format!("{block}-{at}-{note}");
            (0..1000).map(|at| create(&alice, &note(at), &[(&[alice.public()], 1)])).collect()
        })
        .collect();
    let (mut views, mut commits) = (Vec::new(), Vec::new());
    let all = Stopwatch::start();
    for made in &made {
        let transactions: Vec<_> = made.iter().map(|made| Arc::clone(&made.bytes)).collect();
        let watch = Stopwatch::start();
        let (block, changes) = federation.decide(&store, &transactions);
        let decided = watch.seconds();
        let reads =
            Reads { transactions: made.iter().map(|made| made.id).collect(), outputs: Vec::new() };
        let watch = Stopwatch::start();
        store.view(&reads).unwrap();
        views.push(watch.seconds());
        let watch = Stopwatch::start();
        store.commit(&block, &changes).unwrap();
        commits.push(watch.seconds());
        let _ = decided;
    }
    let committed = all.seconds();
    store.stop();
    println!("30 blocks in {committed:.2} s, all rows after {:.2} s", all.seconds());
    for (what, mut times) in [("view of 1,000", views), ("commit of 1,000", commits)] {
        times.sort_by(f64::total_cmp);
        let at = |part: f64| times[(part * (times.len() - 1) as f64) as usize] * 1000.0;
        println!("{what}: p50 {:.1} ms, p99 {:.1} ms", at(0.5), at(0.99));
    }
    drop(store);
    let watch = Stopwatch::start();
    let store = open();
    println!("open {:.2} s", watch.seconds());
    let moved: Vec<_> = made[0]
        .iter()
        .map(|made| {
            transfer(made.id, &[(&alice, made.output(0))], &[(&[key(2).public()], 1)]).bytes
        })
        .collect();
    let (block, changes) = federation.decide(&store, &moved);
    let reads = Reads {
        transactions: made[1].iter().map(|made| made.id).collect(),
        outputs: made[1].iter().map(|made| made.output(0)).collect(),
    };
    let watch = Stopwatch::start();
    store.view(&reads).unwrap();
    println!("view of 1,000 transactions and outputs: {:.1} ms", watch.seconds() * 1000.0);
    let watch = Stopwatch::start();
    store.commit(&block, &changes).unwrap();
    println!("commit of 1,000 transfers: {:.1} ms", watch.seconds() * 1000.0);
    let watch = Stopwatch::start();
    store.stop();
    println!("their rows: {:.2} s", watch.seconds());
    let watch = Stopwatch::start();
    let findings = store.scrub().unwrap();
    println!(
        "scrub of {} blocks: {:.2} s, clean: {}",
        findings.blocks,
        watch.seconds(),
        findings.is_clean()
    );
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!("{}", status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default());
}
