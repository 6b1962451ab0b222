//! PD and stores that die, stop, and come back, while clients are at work; an administrator who
//! removes keys; and federations that keep only the log, or only the state, in TiKV.

use std::time::Duration;

use cairn_tikv::{Client, Settings, Write};

use super::{
    backend,
    client::Load,
    federation::{Backend, Federation, Scratch, until},
    in_tikv,
    servers::Servers,
};

/// Lets the clients get so much further.
pub(crate) fn further(load: &Load, by: usize) {
    let goal = load.seen.count() + by;
    until("the clients get further", || (load.seen.count() >= goal).then_some(()));
}

/// A moment that no test chose.
pub(crate) fn a_moment() {
    let [byte] = cairn_node::clock::random::<1>();
    std::thread::sleep(Duration::from_millis(u64::from(byte)));
}

/// A federation on servers of its own, which the test may kill.
fn start(test: &str) -> (Servers, Federation, Scratch) {
    let scratch = Scratch::new(&format!("{test}-servers"));
    let servers = Servers::start(&scratch.0);
    let mut federation = Federation::found_in(test, 4, &in_tikv(&servers.pd));
    federation.start_all();
    (servers, federation, scratch)
}

#[test]
fn any_one_server_may_be_killed_and_come_back() {
    let (servers, federation, _scratch) = start("tikv-kill");
    let load = Load::start(&federation.ports(), 4);
    further(&load, 20);
    for victim in ["store-1", "pd", "store-2", "store-3"] {
        servers.kill(victim);
        if victim != "pd" {
            // Two of three stores hold a majority of every region.
            further(&load, 10);
        }
        servers.revive();
        further(&load, 10);
    }
    let acknowledged = load.stop();
    federation.agrees_on(&acknowledged);
    federation.nothing_alarming();
}

#[test]
fn without_any_server_the_chain_waits_and_says_so_and_goes_on_by_itself() {
    let (servers, federation, _scratch) = start("tikv-gone");
    let load = Load::start(&federation.ports(), 4);
    further(&load, 20);
    let names: Vec<_> = servers.processes().into_iter().map(|(name, _)| name).collect();
    for name in &names {
        servers.kill(name);
    }
    for node in &federation.nodes {
        until("it says that its store is away", || {
            let status = node.status()?;
            let why = status["not_ready_because"].as_str()?.to_owned();
            (status["ready"] == false && why.contains("store")).then_some(())
        });
    }
    servers.revive();
    further(&load, 20);
    let mut acknowledged = load.stop();
    for node in &federation.nodes {
        acknowledged.push(node.commits());
        let status = node.status().unwrap();
        assert_eq!((&status["ready"], &status["voting"]), (&true.into(), &true.into()), "{status}");
    }
    federation.agrees_on(&acknowledged);
    federation.nothing_alarming();
}

#[test]
fn a_store_and_pd_that_stop_answering_for_a_while_lose_nothing() {
    let (servers, federation, _scratch) = start("tikv-pause");
    let load = Load::start(&federation.ports(), 4);
    further(&load, 20);
    for victim in ["store-1", "pd", "store-3"] {
        servers.pause(victim);
        // As long as a virtual machine that moves; no assertion waits for it.
        std::thread::sleep(Duration::from_secs(10));
        servers.resume(victim);
        further(&load, 10);
    }
    let acknowledged = load.stop();
    federation.agrees_on(&acknowledged);
    federation.nothing_alarming();
}

#[test]
fn the_end_is_not_waited_for_while_the_servers_are_away() {
    let (servers, mut federation, _scratch) = start("tikv-end");
    federation.nodes[0].commits();
    for (name, _) in servers.processes() {
        servers.kill(&name);
    }
    for node in &mut federation.nodes {
        assert!(node.stop().success(), "{}", node.logged());
    }
}

#[test]
fn two_federations_share_a_cluster_and_no_key_and_one_prefix_is_one_chain() {
    let scratch = Scratch::new("tikv-two-servers");
    let servers = Servers::start(&scratch.0);
    let (one, other) = (in_tikv(&servers.pd), in_tikv(&servers.pd));
    let mut first = Federation::found_in("tikv-first", 1, &one);
    let mut second = Federation::found_in("tikv-second", 1, &other);
    first.start_all();
    second.start_all();
    let (a, b) = (first.nodes[0].commits(), second.nodes[0].commits());
    assert!(!first.nodes[0].has(&b) && !second.nodes[0].has(&a));
    let mut third = Federation::found_in("tikv-third", 1, &one);
    let ended = third.nodes[0].fails();
    assert_ne!(ended.code, Some(0));
    assert!(ended.said.contains("belongs to another chain"), "{}", ended.said);
    first.agrees_on(&[a]);
    second.agrees_on(&[b]);
}

#[test]
fn log_and_state_may_be_kept_apart() {
    for (name, order, store) in
        [("tikv-state-only", "raft", "tikv"), ("tikv-log-only", "tikv", "embedded")]
    {
        let backend = Backend { order, store, ..backend() };
        let mut federation = Federation::found_in(name, 4, &backend);
        federation.start_all();
        let mut acknowledged = vec![federation.nodes[0].commits()];
        federation.nodes[2].kill();
        acknowledged.push(federation.nodes[1].commits());
        federation.nodes[2].start_and_serve();
        acknowledged.push(federation.nodes[2].commits());
        federation.agrees_on(&acknowledged);
        federation.nothing_alarming();
    }
}

#[test]
fn blocks_that_an_administrator_removed_come_back_from_peers() {
    let scratch = Scratch::new("tikv-hand-servers");
    let servers = Servers::start(&scratch.0);
    let backend = in_tikv(&servers.pd);
    let prefix = backend.section.split('"').nth(3).expect("the prefix comes second").to_owned();
    let mut federation = Federation::found_in("tikv-hand", 4, &backend);
    federation.start_all();
    let mut acknowledged: Vec<_> = (0..8).map(|at| federation.nodes[at % 4].commits()).collect();
    let victim = 1;
    // What it keeps in memory would hide what is gone.
    assert!(federation.nodes[victim].stop().success());

    let client = Client::open(Settings::of(vec![servers.pd.clone()])).unwrap();
    let removed = client.wait(move |client| async move {
        let first = format!("{prefix}/v-validator-{victim}/").into_bytes();
        let mut end = first.clone();
        *end.last_mut().unwrap() += 1;
        let keys = client.scan_keys(first..end, 1024).await.unwrap();
        // Pieces and certificates of blocks: the family's letter follows the name of the volume.
        let of_a_block = |key: &[u8]| key.split(|byte| *byte == b'/').nth(3).map(|key| key[0]);
        let blocks: Vec<_> = keys.into_iter().filter(|key| of_a_block(key) == Some(b'b')).collect();
        let half = blocks[..blocks.len() / 2].to_vec();
        client.write(half.iter().cloned().map(Write::Delete).collect()).await.unwrap();
        half.len()
    });
    assert!(removed > 0);

    federation.nodes[victim].start_and_serve();
    acknowledged.push(federation.nodes[victim].commits());
    // Whoever asks for one that is gone has it fetched.
    for height in 1..=federation.nodes[0].height().unwrap() {
        until("the block is back", || federation.nodes[victim].block(height));
    }
    federation.agrees_on(&acknowledged);
}
