//! The same store on PD and three stores, one cluster for all tests here.

use std::sync::{OnceLock, Weak};

use cairn_tikv::{Client, Settings};

use super::*;
use crate::{clock::Stopwatch, testing::servers::Servers};

/// Servers that run for as long as a test uses them, with their directory.
pub(super) struct Cluster {
    pub(super) servers: Servers,
    _scratch: Scratch,
}

/// The cluster of this process; the last test that uses it ends it.
pub(super) fn cluster() -> Arc<Cluster> {
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

pub(super) fn space(servers: &Servers, genesis: &Genesis) -> Space {
    let client = Client::open(Settings::of(vec![servers.pd.clone()])).unwrap();
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
        let (genesis, space) = (Arc::clone(genesis), space(&cluster.servers, genesis));
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

/// A hand with the rights of an administrator: every key below a space.
fn keys_of(client: &Client, space: &Space) -> Vec<cairn_tikv::Pair> {
    let all = space.all();
    client.wait(move |client| async move { client.scan(all, 10_000, false).await }).unwrap()
}

fn write(client: &Client, write: cairn_tikv::Write) {
    client.wait(move |client| async move { client.write(vec![write]).await }).unwrap();
}

#[test]
fn on_servers_what_an_administrator_forged_or_removed_comes_back() {
    let (cluster, scratch, federation) = (cluster(), Scratch::new(), Federation::new(4));
    let space = space(&cluster.servers, &federation.genesis);
    let genesis = Arc::clone(&federation.genesis);
    let open = || TikvStore::open(space.clone(), &scratch.0, Arc::clone(&genesis), "one").unwrap();
    let store = open();
    let story = Story::tell(federation, &store);
    store.stop();
    drop(store);
    let client = space.client();
    let mut families = BTreeMap::new();
    for (key, value) in keys_of(client, &space) {
        let rest = space.rest(&key).unwrap();
        let letter = rest.splitn(3, |byte| *byte == b'/').nth(2).map(|rest| rest[0]);
        families.entry(letter).or_insert((key, value));
    }
    assert_eq!(families.len(), 1 + 1 + families::LETTERS.len(), "chain, tip and mark, families");
    for (letter, (key, _)) in families.into_iter().filter(|(letter, _)| letter.is_some()) {
        for forge in [true, false] {
            let hand = if forge {
                cairn_tikv::Write::Put(key.clone(), b"forged".to_vec())
            } else {
                cairn_tikv::Write::Delete(key.clone())
            };
            write(client, hand);
            // A row that was read and found damaged makes the opening look at all.
            let noted = scratch.0.join("tikv.damaged").exists();
            let store = open();
            go_on(&store, &plan(&story)).unwrap();
            let findings = store.scrub().unwrap();
            for height in &findings.damaged {
                store.repair(&story.blocks[height.0 as usize - 1]).unwrap();
            }
            let named = noted
                || letter == Some(b'0')
                || findings.rewritten > 0
                || !findings.named.is_empty();
            assert!(named, "{letter:?}: {findings:?}");
            story.check(&store);
            store.stop();
        }
    }
}

#[test]
fn while_all_stores_are_away_calls_end_and_then_it_goes_on() {
    let scratch = [Scratch::new(), Scratch::new()];
    let servers = Servers::start(&scratch[0].0);
    let federation = Federation::new(1);
    let space = space(&servers, &federation.genesis);
    let genesis = Arc::clone(&federation.genesis);
    let store = TikvStore::open(space, &scratch[1].0, genesis, "one").unwrap();
    let there = create(&key(1), "there", &[(&[key(1).public()], 1)]);
    federation.commit(&store, &[Arc::clone(&there.bytes)]);
    let waited = Stopwatch::start();
    while store.shared.state.read().overlay.settled() < Height(1) {
        assert!(waited.elapsed() < Duration::from_secs(60), "rows are written");
        std::thread::yield_now();
    }
    let made = create(&key(1), "made", &[(&[key(1).public()], 1)]);
    let (block, changes) = federation.decide(&store, &[Arc::clone(&made.bytes)]);
    let stores = ["store-1", "store-2", "store-3"];
    stores.iter().for_each(|name| servers.kill(name));
    let reads = Reads { transactions: vec![made.id], outputs: Vec::new() };
    let away = |error: StoreError| assert!(matches!(error, StoreError::Unreachable(_)), "{error}");
    let known = Reads { transactions: vec![there.id], outputs: Vec::new() };
    away(store.view(&known).unwrap_err());
    away(store.commit(&block, &changes).unwrap_err());
    // What needs no TiKV is answered.
    assert_eq!(store.tip().0.height, Height(1));
    assert!(!store.view(&reads).unwrap().transactions[&made.id]);
    servers.revive();
    while let Err(error) = store.commit(&block, &changes) {
        away(error);
    }
    store.stop();
    assert!(store.view(&reads).unwrap().transactions[&made.id]);
    assert!(store.scrub().unwrap().is_clean());
    // And nobody waits when the process ends.
    stores.iter().for_each(|name| servers.kill(name));
    store.interrupt();
    away(store.view(&known).unwrap_err());
}

fn print_times(what: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[(part * (times.len() - 1) as f64) as usize] * 1000.0;
    println!("{what}: p50 {:.1} ms, p99 {:.1} ms", at(0.5), at(0.99));
}

/// Figures, on demand: `cargo test --features tikv --lib -- --ignored --nocapture figures`.
#[test]
#[ignore = "measures, asserts nothing"]
fn figures() {
    let (cluster, scratch) = (cluster(), Scratch::new());
    let federation = Federation::new(4);
    let space = space(&cluster.servers, &federation.genesis);
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
        let (block, changes) = federation.decide(&store, &transactions);
        let reads =
            Reads { transactions: made.iter().map(|made| made.id).collect(), outputs: Vec::new() };
        let watch = Stopwatch::start();
        store.view(&reads).unwrap();
        views.push(watch.seconds());
        let watch = Stopwatch::start();
        store.commit(&block, &changes).unwrap();
        commits.push(watch.seconds());
    }
    let committed = all.seconds();
    store.stop();
    println!("30 blocks in {committed:.2} s, all rows after {:.2} s", all.seconds());
    print_times("view of 1,000", views);
    print_times("commit of 1,000", commits);
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
