//! Deaths at chosen moments: of the validator that writes the log while an append is under way,
//! and of a validator between the pieces of a block and the tip that makes them one. Nothing in
//! the product helps: the stores, or the validator, are stopped by SIGSTOP, and an
//! administrator's hand sees what is written meanwhile.

use std::time::Duration;

use super::{
    client::Load,
    federation::{Federation, until},
    hand::{Hand, World, leading_store, waiting},
    outages::{a_moment, further},
    servers::Servers,
};

const STORES: [&str; 3] = ["store-1", "store-2", "store-3"];

/// Where an append is when its writer dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// Asked for; no store has looked at it.
    Asked,
    /// In the log, and the answer on its way.
    Answered,
    /// In the log of the store that leads and of no other; that store dies too.
    AtOneStore,
}

#[test]
fn the_writer_that_dies_in_the_middle_of_an_append_leaves_it_in_or_out() {
    let mut world = World::start("tikv-append");
    let load = Load::start(&world.federation.ports(), 4);
    further(&load, 20);
    let mut answered = 0;
    // What was under way may have been a renewal of the lease or a block, or the stores may have
    // elected another leader when they woke: every other time or so, so again until it was not.
    let once_more = [Moment::Answered; 12];
    let moments = [Moment::Asked, Moment::Answered, Moment::AtOneStore];
    for moment in moments.into_iter().chain(once_more) {
        if moment == Moment::Answered && answered > 0 {
            continue;
        }
        let (writer, landed) = dies(&mut world, moment);
        eprintln!("{moment:?}: the append was {}", if landed { "in" } else { "out, or elsewhere" });
        answered += usize::from(landed && moment == Moment::Answered);
        further(&load, 10);
        world.federation.nodes[writer].start_and_serve();
        further(&load, 10);
    }
    let acknowledged = load.stop();
    assert!(answered > 0, "no append was in the log when its writer died");
    world.federation.agrees_on(&acknowledged);
    world.federation.nothing_alarming();
    world.hand.log_is_whole();
}

/// Kills the writer of the log while it appends; says which validator that was, and whether the
/// append is in the log.
fn dies(world: &mut World, moment: Moment) -> (usize, bool) {
    let World { federation, hand, servers, .. } = world;
    let leader = leading_store(servers);
    let writer = federation.leader();
    let stopped: Vec<_> = match moment {
        Moment::Asked | Moment::Answered => STORES.to_vec(),
        Moment::AtOneStore => STORES.into_iter().filter(|store| *store != leader).collect(),
    };
    for store in &stopped {
        servers.pause(store);
    }
    until("an append is under way", || {
        // What waits for a decision anywhere was handed to the log, or waits behind what was.
        let many = federation.nodes.iter().filter_map(waiting).sum::<u64>();
        let unread = stopped.iter().any(|store| unread_bytes(servers, store) > 0);
        (many > 0 && unread).then_some(())
    });
    // What it says of itself may be 200 ms old.
    std::thread::sleep(Duration::from_millis(500));
    let end = last_position(federation, writer);
    if moment == Moment::Answered {
        federation.nodes[writer].pause();
    } else {
        federation.nodes[writer].kill();
    }
    if moment == Moment::AtOneStore {
        servers.kill(&leader);
    }
    for store in &stopped {
        servers.resume(store);
    }
    servers.revive();
    let mut members = federation.genesis.validators().iter();
    let me = members.position(|it| it.name == federation.nodes[writer].name).unwrap();
    // Whoever writes next begins behind it.
    let landed = until("the log goes on", || {
        let next = hand.slot_after(end)?;
        Some(usize::from(next.writer) == me && next.batches > 0)
    });
    if moment == Moment::Answered {
        federation.nodes[writer].kill();
    }
    (writer, landed)
}

/// The end of the log, as a validator knows it.
fn last_position(federation: &Federation, at: usize) -> u64 {
    let status = federation.nodes[at].status().expect("it runs");
    let order = status["order"].as_str().unwrap();
    let (_, rest) = order.split_once("last position ").unwrap_or_else(|| panic!("{order}"));
    rest.split(';').next().unwrap().trim().parse().unwrap()
}

/// What a process that is stopped has been sent and has not read.
fn unread_bytes(servers: &Servers, store: &str) -> u64 {
    let addresses = servers.addresses();
    let (_, address) = addresses.iter().find(|(name, _)| name == store).unwrap();
    let port: u16 = address.rsplit_once(':').unwrap().1.parse().unwrap();
    let local = format!("0100007F:{port:04X}");
    let sockets = std::fs::read_to_string("/proc/net/tcp").expect("Linux keeps it there");
    let unread = |line: &str| -> Option<u64> {
        let mut columns = line.split_whitespace().skip(1);
        let (at, _, state) = (columns.next()?, columns.next()?, columns.next()?);
        let (_, unread) = columns.next()?.split_once(':')?;
        let established = at == local && state == "01";
        established.then(|| u64::from_str_radix(unread, 16).ok())?
    };
    sockets.lines().filter_map(unread).sum()
}

#[test]
fn a_validator_that_dies_between_a_block_and_its_tip_goes_on_from_the_tip() {
    let mut world = World::start("tikv-block");
    let load = Load::start(&world.federation.ports(), 4);
    further(&load, 20);
    for victim in [1, 2, 1] {
        let World { federation, hand, .. } = &mut world;
        let state = hand.state_prefix(&federation.nodes[victim].name);
        let (tip, block) = until("it is in the middle of a block", || {
            a_moment();
            federation.nodes[victim].pause();
            let found = at_rest(hand, &state);
            if found.0 < found.1 {
                return Some(found);
            }
            federation.nodes[victim].resume();
            None
        });
        eprintln!("it dies with the pieces of block {block} and the tip at {tip}");
        assert_eq!(block, tip + 1, "one block at a time");
        federation.nodes[victim].kill();
        further(&load, 10);
        federation.nodes[victim].start_and_serve();
        let node = &federation.nodes[victim];
        until("it went beyond that block", || (node.height()? > block).then_some(()));
        further(&load, 10);
    }
    let acknowledged = load.stop();
    world.federation.agrees_on(&acknowledged);
    world.federation.nothing_alarming();
}

/// A validator's tip and last block once nothing moves: it is stopped, and what it asked the
/// stores for ends.
fn at_rest(hand: &Hand, state: &[u8]) -> (u64, u64) {
    let mut found = hand.tip_and_last_block(state);
    let mut same = 0;
    while same < 3 {
        std::thread::sleep(Duration::from_millis(30));
        let now = hand.tip_and_last_block(state);
        same = if now == found { same + 1 } else { 0 };
        found = now;
    }
    found
}
