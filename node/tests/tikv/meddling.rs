//! An administrator who overwrites, removes and puts back keys of the log, while clients are at
//! work. What is not what was written is named and never read on from; the federation goes on by
//! itself, or says which key is in the way and goes on once that is gone.

use cairn_tikv::Write;

use super::{
    client::Load,
    federation::{Federation, Node, until},
    hand::{World, waiting},
    outages::further,
};

const JUNK: &[u8] = b"an administrator was here";

/// What a hand does to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Overwritten,
    Removed,
    /// It gets what another key holds, or held before.
    PutBack,
}

const DEEDS: [Deed; 3] = [Deed::Overwritten, Deed::Removed, Deed::PutBack];

impl Deed {
    fn on(self, key: Vec<u8>, another: &[u8]) -> Write {
        match self {
            Self::Overwritten => Write::Put(key, JUNK.to_vec()),
            Self::Removed => Write::Delete(key),
            Self::PutBack => Write::Put(key, another.to_vec()),
        }
    }
}

#[test]
fn what_an_administrator_does_to_the_log_is_named_and_never_read() {
    let mut world = World::start("tikv-log-hand");
    let load = Load::start(&world.federation.ports(), 4);
    further(&load, 20);
    records_are_made_anew(&world, &load);
    for deed in DEEDS {
        a_slot_that_one_has_not_read(&mut world, &load, deed);
    }
    let mut acknowledged = load.stop();
    acknowledged.push(a_key_in_the_way(&mut world));
    for restored in [true, false] {
        acknowledged.push(the_last_slot_and_nobody_who_read_it(&mut world, restored));
    }
    world.federation.agrees_on(&acknowledged);
    nobody_signed_twice(&world.federation);
}

/// The lease, the floor and the marks are records for speed: what is wrong with them costs a
/// moment.
fn records_are_made_anew(world: &World, load: &Load) {
    let hand = &world.hand;
    let marks = (0..4_u16).map(|peer| [b"m", &peer.to_be_bytes()[..]].concat());
    for record in [b"lease".to_vec(), b"floor".to_vec()].into_iter().chain(marks) {
        let key = hand.log_key(&record);
        let before = hand.get(&key).unwrap_or_else(|| vec![0; 8]);
        for deed in DEEDS {
            hand.write(vec![deed.on(key.clone(), &before)]);
            if record == b"lease" {
                further(load, 10);
            }
        }
    }
    further(load, 10);
}

/// One that is down while the log grows finds a slot changed: names it, and takes blocks from
/// its peers.
fn a_slot_that_one_has_not_read(world: &mut World, load: &Load, deed: Deed) {
    const LATE: usize = 3;
    let World { federation, hand, .. } = world;
    let end = hand.last_slot().unwrap().first;
    federation.nodes[LATE].kill();
    further(load, 20);
    let slots = hand.scan(hand.slot_key(end + 1)..hand.slot_key(u64::MAX), 8, false);
    let [(_, another), (key, _), ..] = &slots[..] else { panic!("the log did not grow") };
    hand.write(vec![deed.on(key.clone(), another)]);
    let first = u64::from_be_bytes(key[key.len() - 8..].try_into().unwrap());
    let name = match deed {
        Deed::Removed => format!("the slot log/s {first} is gone"),
        Deed::Overwritten | Deed::PutBack => format!("log/s {first} was changed"),
    };
    let before = federation.nodes[LATE].logged().len();
    federation.nodes[LATE].start_and_serve();
    let node = &federation.nodes[LATE];
    until(&format!("it is named: {name}"), || said(node, before, &name));
    let elsewhere = federation.nodes[0].height().unwrap();
    until("blocks come from peers", || (node.height()? >= elsewhere).then_some(()));
    further(load, 10);
}

fn said(node: &Node, since: usize, what: &str) -> Option<()> {
    node.logged()[since..].contains(what).then_some(())
}

/// Where the log goes on there is something already: it waits, and says for which key.
fn a_key_in_the_way(world: &mut World) -> cairn_ledger::ids::TransactionId {
    let World { federation, hand, .. } = world;
    // Everything that clients asked for is in.
    quiet(federation);
    let writer = federation.leader();
    let last = hand.last_slot().unwrap();
    let next = last.first + u64::from(last.batches).max(1);
    hand.put(hand.slot_key(next), JUNK);
    let name = format!("log/s {next} was changed");
    until("it is named", || {
        assert!(federation.nodes[0].tries_to_commit().is_none(), "it was read on from");
        let order = federation.nodes[(writer + 1) % 4].status()?["order"].as_str()?.to_owned();
        order.contains(&name).then_some(())
    });
    // Whoever found it first must not be needed to find that it is gone.
    federation.nodes[writer].kill();
    hand.remove(hand.slot_key(next));
    let id = federation.nodes[(writer + 2) % 4].commits();
    federation.nodes[writer].start_and_serve();
    id
}

/// All begin anew, and how far the last slot went nobody can say: it is named, and restored or
/// removed.
fn the_last_slot_and_nobody_who_read_it(
    world: &mut World,
    restored: bool,
) -> cairn_ledger::ids::TransactionId {
    let World { federation, hand, .. } = world;
    quiet(federation);
    for node in &mut federation.nodes {
        node.kill();
    }
    let last = hand.last_slot().unwrap().first;
    let value = hand.get(&hand.slot_key(last)).unwrap();
    hand.put(hand.slot_key(last), JUNK);
    federation.start_all();
    let name = format!("log/s {last} was changed");
    for node in &federation.nodes {
        until("it is named", || node.status()?["order"].as_str()?.contains(&name).then_some(()));
    }
    if restored {
        hand.put(hand.slot_key(last), value);
    } else {
        hand.remove(hand.slot_key(last));
    }
    federation.nodes[2].commits()
}

/// Waits until all have what is decided, and nothing waits for a decision.
fn quiet(federation: &Federation) {
    until("nothing waits", || {
        let heights: Vec<_> = federation.nodes.iter().map(Node::height).collect::<Option<_>>()?;
        let many = federation.nodes.iter().map(waiting);
        let none = many.collect::<Option<Vec<_>>>()?.iter().all(|many| *many == 0);
        (none && heights.iter().all(|height| *height == heights[0])).then_some(())
    });
}

/// The alarms are the point; evidence and panics are not.
pub(crate) fn nobody_signed_twice(federation: &Federation) {
    for node in &federation.nodes {
        assert!(!node.data().join("evidence.jsonl").exists(), "{} has evidence", node.name);
        let log = node.logged();
        let panics: Vec<_> = log.lines().filter(|line| line.contains("panicked")).collect();
        assert!(panics.is_empty(), "{} said: {panics:?}", node.name);
    }
}
