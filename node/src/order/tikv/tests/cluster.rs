//! The same promises on a PD and three stores that are real processes.

use cairn_tikv::{Client, Settings, Space};

use super::*;
use crate::testing::servers::Servers;

/// A directory of its own, gone with the value.
struct Directory(std::path::PathBuf);

impl Directory {
    fn new() -> Self {
        let name = format!("cairn-order-tikv-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

async fn nodes(client: &Client, name: &str, count: u16) -> Nodes {
    let space = Space::claim(client.clone(), name, CHAIN.0).await.unwrap();
    let mut nodes = Nodes::new(count, TUNING);
    for me in 0..count {
        nodes.start(me, Box::new(space.below("log")), 0);
    }
    nodes
}

/// One cluster for all of it: it takes several seconds to start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tikv_keeps_the_promises() {
    let directory = Directory::new();
    let servers = tokio::task::block_in_place(|| Servers::start(&directory.0));
    let client = Client::open(Settings::of(vec![servers.pd.clone()])).unwrap();
    let made = std::sync::atomic::AtomicU32::new(0);
    contract::suite(async |count: usize| {
        let number = made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let count = u16::try_from(count).unwrap();
        let nodes = nodes(&client, &format!("suite-{number}"), count).await;
        (nodes.views(), nodes)
    })
    .await;
    a_writer_is_killed_and_nothing_is_lost(&client).await;
    stores_and_pd_go_away_and_come_back(&client, &servers).await;
    what_an_administrator_deletes_is_named(&client).await;
    client.close();
}

async fn a_writer_is_killed_and_nothing_is_lost(client: &Client) {
    let mut nodes = nodes(client, "killed", 3).await;
    let mut acknowledged = Vec::new();
    for round in 0..3_u64 {
        append(&nodes.view(0), &batch(round * 100, 1, 100)).await;
        let writer = nodes.writer().unwrap();
        let other = nodes.view((writer + 1) % 3);
        let appending: Vec<_> = (1..20)
            .map(|seed| {
                let (view, batch) = (Arc::clone(&other), batch(round * 100 + seed, 1, 2_000));
                tokio::spawn(async move { (view.append(&batch).await, batch) })
            })
            .collect();
        tokio::task::yield_now().await;
        nodes.kill(writer);
        for append in appending {
            if let (Ok(position), batch) = append.await.unwrap() {
                acknowledged.push(Ordered { position, batch });
            }
        }
        let space = Space::claim(client.clone(), "killed", CHAIN.0).await.unwrap();
        nodes.start(writer, Box::new(space.below("log")), 0);
    }
    let last = append(&nodes.view(1), &batch(999, 1, 1)).await;
    let first = read_up_to(&nodes.view(0), Position(0), last, usize::MAX).await;
    assert!(acknowledged.iter().all(|ordered| first.contains(ordered)), "one is lost");
    let once: BTreeSet<_> = first.iter().map(|it| it.batch.encode()).collect();
    assert_eq!(once.len(), first.len(), "one is in twice");
    for view in nodes.views() {
        assert_eq!(read_up_to(&view, Position(0), last, 5_000).await, first);
        view.stop().await;
    }
}

async fn stores_and_pd_go_away_and_come_back(client: &Client, servers: &Servers) {
    let nodes = nodes(client, "away", 3).await;
    let before = append(&nodes.view(0), &batch(1, 1, 100)).await;
    for names in [&["store-1"][..], &["pd"], &["pd", "store-1", "store-2", "store-3"]] {
        tokio::task::block_in_place(|| names.iter().for_each(|name| servers.kill(name)));
        // In, out or unknown: nothing hangs.
        let outcome = nodes.view(1).append(&batch(2, 1, 100)).await;
        assert!(!matches!(outcome, Err(AppendError::TooLarge { .. })));
        tokio::task::block_in_place(|| servers.revive());
        let again = async { while nodes.view(2).append(&batch(3, 1, 100)).await.is_err() {} };
        tokio::time::timeout(PATIENCE, again).await.expect("it goes on by itself");
    }
    let last = append_surely(&nodes.view(2), &batch(4, 1, 100)).await;
    let all = read_up_to(&nodes.view(0), Position(0), last, usize::MAX).await;
    assert_eq!(all[0].position, before);
    for view in nodes.views() {
        assert_eq!(read_up_to(&view, Position(0), last, usize::MAX).await, all);
        view.stop().await;
    }
}

/// In again until it is acknowledged: while stores come back, an outcome may be unknown.
async fn append_surely(view: &Arc<dyn Order>, batch: &Batch) -> Position {
    let append = async {
        loop {
            if let Ok(position) = view.append(batch).await {
                return position;
            }
        }
    };
    tokio::time::timeout(PATIENCE, append).await.expect("it goes on by itself")
}

async fn what_an_administrator_deletes_is_named(client: &Client) {
    let mut nodes = nodes(client, "deleted", 2).await;
    let mut positions = Vec::new();
    for seed in 0..4 {
        positions.push(append(&nodes.view(0), &batch(seed, 1, 100)).await);
    }
    let space = Space::claim(client.clone(), "deleted", CHAIN.0).await.unwrap().below("log");
    let key = space.key(&slot::key(positions[1].0));
    client.write(vec![cairn_tikv::Write::Delete(key)]).await.unwrap();
    let other = (nodes.writer().unwrap() + 1) % 2;
    nodes.kill(other);
    let reader = nodes.start(other, Box::new(space), 0);
    reach(&reader, positions[0]).await;
    until("it is named", || reader.describe().contains("is gone")).await;
    reader.release(positions[2]).await;
    let rest = read_up_to(&reader, positions[2], positions[3], usize::MAX).await;
    assert_eq!(rest.len(), 1);
    for view in nodes.views() {
        view.stop().await;
    }
}

/// `cargo test … -- --ignored --nocapture figures_of_the_log`: prints, decides nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures of this machine"]
async fn figures_of_the_log() {
    let directory = Directory::new();
    let servers = tokio::task::block_in_place(|| Servers::start(&directory.0));
    let calls = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    let settings = Settings::of(vec![servers.pd.clone()]);
    let count = move |_: &cairn_tikv::Called| {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    };
    let client = Client::open_observed(settings, Arc::new(count)).unwrap();
    let nodes = nodes(&client, "figures", 4).await;
    append(&nodes.view(0), &batch(1, 1, 100)).await;
    for bytes in [4 << 10, 64 << 10] {
        println!("{} KiB: {}", bytes >> 10, appended(&nodes, bytes).await);
    }
    println!("tail-follow p50, p99: {:?}", followed(&nodes).await);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = calls.load(std::sync::atomic::Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let idle = calls.load(std::sync::atomic::Ordering::Relaxed) - before;
    println!("idle, four validators: {} calls in 10 s", idle);
    for view in nodes.views() {
        println!("{}", view.describe());
        view.stop().await;
    }
}

fn median_and_worst(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

/// Sixteen writers at four validators, for three seconds.
async fn appended(nodes: &Nodes, bytes: usize) -> String {
    let begun = Instant::now();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..16_u64 {
        let view = nodes.view(Peer::try_from(writer % 4).unwrap());
        writers.spawn(async move {
            let (mut times, mut seed) = (Vec::new(), writer * 1_000_000);
            while begun.elapsed() < Duration::from_secs(3) {
                seed += 1;
                let one = batch(seed, 1, bytes - 8);
                let since = Instant::now();
                if view.append(&one).await.is_ok() {
                    times.push(since.elapsed());
                }
            }
            times
        });
    }
    let times: Vec<Duration> = writers.join_all().await.into_iter().flatten().collect();
    let rate = times.len() as f64 / begun.elapsed().as_secs_f64();
    let volume = rate * bytes as f64 / 1e6;
    let (median, worst) = median_and_worst(times);
    format!("{rate:.0} appends/s, {volume:.1} MB/s, p50 {median:?}, p99 {worst:?}")
}

/// From the acknowledgement until another validator's end is there.
async fn followed(nodes: &Nodes) -> (Duration, Duration) {
    let writer = nodes.writer().unwrap();
    let (here, there) = (nodes.view(writer), nodes.view((writer + 1) % 4));
    let mut times = Vec::new();
    for seed in 0..200 {
        let position = append(&here, &batch(90_000_000 + seed, 1, 4_000)).await;
        let since = Instant::now();
        reach(&there, position).await;
        times.push(since.elapsed());
    }
    median_and_worst(times)
}
