//! Validators that die, stop, and come back, while clients are at work.

use std::{fs, time::Duration};

use cairn_node::{clock, keys};

use super::{
    client::{Client, Load, asset_and_transfer, id_of},
    federation::{Federation, Node, until},
};

/// Lets the clients get so much further. A phase is whatever the nodes are in by then.
fn further(load: &Load, by: usize) {
    let goal = load.seen.count() + by;
    until("the clients get further", || (load.seen.count() >= goal).then_some(()));
}

/// A moment that no test chose.
fn a_moment() {
    let [byte] = clock::random::<1>();
    std::thread::sleep(Duration::from_millis(u64::from(byte)));
}

#[test]
fn killing_one_at_a_time_loses_nothing_and_it_catches_up_by_itself() {
    let mut federation = Federation::start("kill-one", 4);
    let load = Load::start(&federation.ports(), 4);
    further(&load, 20);
    for round in 0..4 {
        // Every other time, the one that leads the log.
        let victim = if round % 2 == 0 { federation.leader() } else { round % 4 };
        a_moment();
        federation.nodes[victim].kill();
        further(&load, 12);
        let alive = (victim + 1) % 4;
        let height = federation.nodes[alive].height().expect("it is alive");
        federation.nodes[victim].start_and_serve();
        let node = &federation.nodes[victim];
        until("the killed one is level", || (node.height()? >= height).then_some(()));
        further(&load, 10);
    }
    let acknowledged = load.stop();
    federation.agrees_on(&acknowledged);
    // All of them vote again.
    for node in &federation.nodes {
        let status = node.status().unwrap();
        assert_eq!(status["voting"], true, "{status}");
    }
    federation.nothing_alarming();
}

/// Some die while others still come back: nobody waits for anybody.
#[test]
fn deaths_in_quick_succession_lose_nothing() {
    let mut federation = Federation::start("storm", 4);
    let load = Load::start(&federation.ports(), 6);
    further(&load, 20);
    for _ in 0..16 {
        let [victims] = clock::random::<1>();
        for (at, node) in federation.nodes.iter_mut().enumerate() {
            if victims >> at & 1 == 1 {
                node.kill();
            }
        }
        a_moment();
        for (at, node) in federation.nodes.iter_mut().enumerate() {
            if victims >> at & 1 == 1 {
                node.start();
            }
        }
        a_moment();
        a_moment();
    }
    federation.start_all();
    further(&load, 20);
    let mut acknowledged = load.stop();
    for node in &federation.nodes {
        acknowledged.push(node.commits());
    }
    federation.agrees_on(&acknowledged);
    federation.nothing_alarming();
}

#[test]
fn dying_while_the_first_files_are_made_leaves_nothing_in_the_way() {
    for (chain, validators) in [1, 1, 1, 4, 4].into_iter().enumerate() {
        let mut federation = Federation::found(&format!("first-{chain}"), validators);
        for _ in 0..4 {
            for node in &mut federation.nodes {
                node.start();
            }
            a_moment();
            for node in &mut federation.nodes {
                assert!(node.is_running(), "{}", node.logged());
                node.kill();
            }
        }
        federation.start_all();
        let id = federation.nodes[0].commits();
        federation.agrees_on(&[id]);
        federation.nothing_alarming();
    }
}

#[test]
fn all_killed_at_once_go_on_where_they_were() {
    let mut federation = Federation::start("kill-all", 4);
    let mut acknowledged = Vec::new();
    for _ in 0..3 {
        let load = Load::start(&federation.ports(), 6);
        further(&load, 40);
        a_moment();
        for node in &mut federation.nodes {
            node.kill();
        }
        acknowledged.extend(load.stop());
        federation.start_all();
        for node in &federation.nodes {
            acknowledged.push(node.commits());
        }
        federation.agrees_on(&acknowledged);
    }
    federation.nothing_alarming();
}

#[test]
fn whoever_lost_its_disk_follows_and_never_signs_with_the_old_key() {
    let mut federation = Federation::start("lost-disk", 4);
    let load = Load::start(&federation.ports(), 4);
    further(&load, 40);
    let victim = 1;
    federation.nodes[victim].kill();
    let before = load.seen.count();
    further(&load, 20);
    let data = federation.nodes[victim].data();
    let old = keys::read(&data.join("consensus.key")).unwrap().public();
    fs::remove_dir_all(&data).unwrap();
    federation.nodes[victim].start_and_serve();
    assert!(before < load.seen.count());
    further(&load, 20);
    let mut acknowledged = load.stop();
    // A moment at which it must have been there long enough to sign, if it signed.
    for _ in 0..5 {
        for node in &federation.nodes {
            acknowledged.push(node.commits());
        }
    }
    federation.agrees_on(&acknowledged);

    let status = federation.nodes[victim].status().unwrap();
    assert_eq!(status["voting"], false, "{status}");
    let why = status["not_voting_because"].as_str().unwrap();
    assert!(why.contains(&old.to_string()), "{why}");
    let name = federation.nodes[victim].name.clone();
    let trusted = cairn_verifier::Genesis::read(federation.genesis.to_json().as_bytes()).unwrap();
    for id in &acknowledged[acknowledged.len() - 20..] {
        let receipt = federation.nodes[victim].receipt(id).unwrap();
        let proven = cairn_verifier::verify(receipt.as_bytes(), &trusted).unwrap();
        assert_eq!(proven.transaction_id, Some(id.0));
        assert!(!proven.signers.contains(&name), "{proven:?}");
    }
    // And the same after one more start.
    federation.nodes[victim].kill();
    federation.nodes[victim].start_and_serve();
    acknowledged.push(federation.nodes[victim].commits());
    federation.agrees_on(&acknowledged);
    assert_eq!(federation.nodes[victim].status().unwrap()["voting"], false);
    federation.nothing_alarming();
}

#[test]
fn three_of_four_decide_two_do_not_and_three_go_on() {
    let mut federation = Federation::start("quorum", 4);
    let mut acknowledged = vec![federation.nodes[0].commits()];
    federation.nodes[3].kill();
    for at in 0..3 {
        acknowledged.push(federation.nodes[at].commits());
    }
    for node in &federation.nodes[..2] {
        until("what was decided is here", || {
            acknowledged.iter().all(|id| node.has(id)).then_some(())
        });
    }
    federation.nodes[2].kill();
    let height = federation.nodes[..2].iter().filter_map(Node::end).max().unwrap();
    let client = Client::new();
    let [create, _] = asset_and_transfer(0);
    // No answer within the client's patience, or one that leaves it open.
    let answer = client.commit(federation.nodes[0].api, &create);
    let code = answer.as_ref().map(|(code, _)| *code);
    assert!(matches!(code, None | Some(503)), "{answer:?}");
    // Whoever hears of no quorum does not know what the others may have decided meanwhile.
    let [_, of_unknown] = asset_and_transfer(1);
    let answer = client.commit(federation.nodes[0].api, &of_unknown).unwrap();
    assert!(answer.0 == 503 && answer.1.contains("may be behind"), "{answer:?}");
    for node in &federation.nodes[..2] {
        assert!(!node.has(&id_of(&create)), "two of four decided");
        assert!(node.end().unwrap() <= height, "two of four go on");
    }
    federation.nodes[2].start_and_serve();
    for at in 0..3 {
        acknowledged.push(federation.nodes[at].commits());
    }
    // What waited was not forgotten.
    until("what waited is decided", || federation.nodes[0].has(&id_of(&create)).then_some(()));
    let answer = client.commit(federation.nodes[0].api, &of_unknown).unwrap();
    assert!(answer.0 == 400 && answer.1.contains("InputDoesNotExist"), "{answer:?}");
    federation.nodes[3].start_and_serve();
    acknowledged.push(federation.nodes[3].commits());
    federation.agrees_on(&acknowledged);
    federation.nothing_alarming();
}

#[test]
fn whoever_is_stopped_for_a_while_catches_up() {
    let mut federation = Federation::start("pause", 4);
    let load = Load::start(&federation.ports(), 4);
    further(&load, 20);
    for _ in 0..2 {
        let leader = federation.leader();
        federation.nodes[leader].pause();
        further(&load, 30);
        federation.nodes[leader].resume();
        further(&load, 10);
    }
    let mut acknowledged = load.stop();
    for node in &federation.nodes {
        acknowledged.push(node.commits());
    }
    federation.agrees_on(&acknowledged);
    federation.nothing_alarming();
}
