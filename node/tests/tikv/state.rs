//! An administrator who overwrites, moves and removes keys of one validator's state, while
//! clients are at work. What that validator answers meanwhile is right or an error; it ends with
//! the exit code for damage when it needs what is damaged, and its next life mends all of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use cairn_ledger::{
    ids::{OutputReference, TransactionId},
    signature::SigningKey,
    transaction::build::{self, Share, Spend},
};
use cairn_node::clock;
use cairn_tikv::{Pair, Write};

use super::{
    client::{Client, Load, asset, id_of},
    federation::{Federation, Node, until},
    hand::{Hand, World},
    meddling::nobody_signed_twice,
    outages::further,
};

const VICTIM: usize = 2;
/// Rows of each family that the hand takes.
const ROWS: u32 = 1000;
/// A stored record is corrupt.
const CORRUPT: Option<i32> = Some(15);

/// An asset that was made and moved, and what is right to say of it for ever.
struct Fact {
    asset: TransactionId,
    transfer: TransactionId,
    owner: SigningKey,
    /// Path and answer.
    answers: Vec<(String, String)>,
}

impl Fact {
    fn found(federation: &Federation) -> Self {
        let (maker, owner) =
            (SigningKey::from_seed(clock::random()), SigningKey::from_seed(clock::random()));
        let create = asset(0, &maker, 100);
        let made = id_of(&create);
        let spend = Spend::of(maker.public(), OutputReference { transaction: made, index: 0 });
        let shares = [Share::to(owner.public(), 1)];
        let moved = build::transfer(made, "null", &[spend], &shares, &[&maker]).unwrap();
        let transfer = id_of(&moved);
        let client = Client::new();
        for (transaction, id) in [(&create, made), (&moved, transfer)] {
            until("a fact is decided", || {
                // Posted again it is refused, and decided all the same.
                let _ = client.commit(federation.nodes[0].api, transaction);
                federation.nodes.iter().all(|node| node.has(&id)).then_some(())
            });
        }
        let paths = [
            format!("transactions/{made}"),
            format!("transactions/{transfer}"),
            format!("transactions?asset_id={made}"),
            format!("outputs?public_key={}", maker.public()),
            format!("outputs?public_key={}&spent=false", maker.public()),
            format!("outputs?public_key={}&spent=false", owner.public()),
            format!("blocks?transaction_id={transfer}"),
        ];
        let answers = paths.map(|path| {
            let path = format!("/api/v1/{path}");
            let (status, right) = client.get(federation.nodes[0].api, &path).unwrap();
            assert_eq!(status, 200, "{path}: {right}");
            (path, right)
        });
        Self { asset: made, transfer, owner, answers: answers.into() }
    }

    /// Moves it once more, so that every validator reads where it is.
    fn moved_on(&self) -> Vec<u8> {
        let output = OutputReference { transaction: self.transfer, index: 0 };
        let spend = Spend::of(self.owner.public(), output);
        let shares = [Share::to(self.owner.public(), 1)];
        build::transfer(self.asset, "null", &[spend], &shares, &[&self.owner]).unwrap()
    }
}

/// Asks a validator what is right to say, again and again, until it is stopped.
struct Asker {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<String>>,
}

impl Asker {
    fn start(port: u16, answers: Vec<(String, String)>) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (client, mut wrong) = (Client::new(), Vec::new());
            while !stopped.load(Ordering::Relaxed) {
                for (path, right) in &answers {
                    match client.get(port, path) {
                        Some((200, text)) if text == *right => {}
                        // An error, or nobody there: not served is not wrong.
                        None | Some((500.., _)) => {}
                        Some((status, text)) => wrong.push(format!("{path}: {status} {text}")),
                    }
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            wrong
        });
        Self { stop, thread }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        let wrong = self.thread.join().unwrap();
        assert!(wrong.is_empty(), "{} wrong answers: {:?}", wrong.len(), wrong.first());
    }
}

/// What a hand does to many keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Overwritten,
    /// Each gets what its neighbour holds.
    Moved,
    Removed,
}

impl Deed {
    fn on(self, rows: &[Pair]) -> Vec<Write> {
        let another = rows.iter().cycle().skip(1);
        let deed = |((key, _), (_, another)): (&Pair, &Pair)| match self {
            Self::Overwritten => Write::Put(key.clone(), b"an administrator was here".to_vec()),
            Self::Moved => Write::Put(key.clone(), another.clone()),
            Self::Removed => Write::Delete(key.clone()),
        };
        rows.iter().zip(another).map(deed).collect()
    }
}

#[test]
fn what_an_administrator_does_to_a_state_is_never_served_and_mended() {
    let mut world = World::start("tikv-state-hand");
    let facts: Vec<_> = (0..4).map(|_| Fact::found(&world.federation)).collect();
    let load = Load::start(&world.federation.ports(), 3);
    further(&load, 20);
    let state = world.hand.state_prefix(&world.federation.nodes[VICTIM].name);
    // Of the fact that moves on, nothing is asked afterwards.
    for (at, deed) in DEEDS.into_iter().enumerate() {
        eprintln!("{deed:?}");
        let answers: Vec<_> =
            facts[at + 1..].iter().flat_map(|fact| fact.answers.clone()).collect();
        let asker = Asker::start(world.federation.nodes[VICTIM].api, answers.clone());
        meddle(&world.hand, &state, deed);
        ends_and_mends(&mut world.federation, &facts[at], &answers);
        further(&load, 10);
        asker.stop();
    }
    all_is_well(load, &world.federation);
}

/// It goes on from genesis, with the blocks of its peers: until it is where it was, what it has is
/// true of long ago, and is not told.
#[test]
fn a_state_without_a_block_is_fetched_again_and_tells_nothing_meanwhile() {
    let mut world = World::start("tikv-state-gone");
    let facts: Vec<_> = (0..2).map(|_| Fact::found(&world.federation)).collect();
    let load = Load::start(&world.federation.ports(), 3);
    further(&load, 60);
    let World { federation, hand, .. } = &mut world;
    let state = hand.state_prefix(&federation.nodes[VICTIM].name);
    let elsewhere = federation.nodes[0].height().unwrap();
    let victim = &mut federation.nodes[VICTIM];
    until("it has voted on", || (victim.height()? >= elsewhere).then_some(()));
    let answers = facts.iter().flat_map(|fact| fact.answers.clone()).collect();
    let asker = Asker::start(victim.api, answers);
    victim.kill();
    hand.write(Deed::Removed.on(&hand.rows(&state, b'b', ROWS)));
    let before = victim.logged().len();
    victim.start_and_serve();
    assert!(
        victim.logged()[before..].contains("starting over from genesis"),
        "{}",
        victim.logged()
    );
    until("it is level", || (victim.height()? >= elsewhere).then_some(()));
    asker.stop();
    all_is_well(load, federation);
}

const FAMILIES: &[u8] = b"aberstw";
const DEEDS: [Deed; 3] = [Deed::Overwritten, Deed::Moved, Deed::Removed];

fn meddle(hand: &Hand, state: &[u8], deed: Deed) {
    for letter in FAMILIES {
        let rows = hand.rows(state, *letter, ROWS);
        assert!(rows.len() > 1 || *letter == b'r', "family {}", char::from(*letter));
        hand.write(deed.on(&rows));
    }
}

/// It has ended: for damage, and for nothing else.
fn starts_again(victim: &mut Node) {
    assert_eq!(victim.ended().code(), CORRUPT, "{}", victim.logged());
    victim.start();
}

/// Something that the chain needs is damaged: the validator ends, and its next life mends it.
fn ends_and_mends(federation: &mut Federation, fact: &Fact, answers: &[(String, String)]) {
    let moved = fact.moved_on();
    until("the asset moves on, on the others", || {
        let _ = Client::new().commit(federation.nodes[0].api, &moved);
        federation.nodes[0].has(&id_of(&moved)).then_some(())
    });
    let victim = &mut federation.nodes[VICTIM];
    starts_again(victim);
    let client = Client::new();
    let elsewhere = federation.nodes[0].height().unwrap();
    let victim = &mut federation.nodes[VICTIM];
    until("what was damaged is right again", || {
        // Rows were still being changed when it began: it may end once more.
        if !victim.is_running() {
            starts_again(victim);
        }
        let level = victim.height()? >= elsewhere;
        let blocks = (1..=elsewhere).all(|height| victim.block(height).is_some());
        let right = answers.iter().all(|(path, right)| {
            client.get(victim.api, path).is_some_and(|it| it == (200, right.clone()))
        });
        (level && blocks && right).then_some(())
    });
}

#[test]
fn a_tip_that_was_changed_ends_the_validator_and_its_next_life_goes_on() {
    let mut world = World::start("tikv-tip-hand");
    let load = Load::start(&world.federation.ports(), 3);
    further(&load, 20);
    let state = world.hand.state_prefix(&world.federation.nodes[VICTIM].name);
    let (tip, mark) = ([&state, &b"0tip"[..]].concat(), [&state, &b"0mark"[..]].concat());
    for deed in [Deed::Overwritten, Deed::Removed, Deed::Moved] {
        let World { federation, hand, .. } = &mut world;
        let early = hand.get(&tip).unwrap();
        further(&load, 10);
        let rows = [(tip.clone(), Vec::new()), (tip.clone(), early)];
        hand.write(deed.on(&rows).into_iter().take(1).collect());
        let victim = &mut federation.nodes[VICTIM];
        let ended = victim.ended();
        assert_eq!(ended.code(), CORRUPT, "{deed:?}: {}", victim.logged());
        // Where an opening begins to look, too.
        hand.write(vec![if deed == Deed::Removed {
            Write::Delete(mark.clone())
        } else {
            Write::Put(mark.clone(), b"an administrator was here".to_vec())
        }]);
        let before = victim.logged().len();
        victim.start_and_serve();
        let named = victim.logged()[before..].contains("STORE_ROLLED_BACK");
        assert!(named, "{deed:?}: {}", &victim.logged()[before..]);
        further(&load, 10);
        let elsewhere = federation.nodes[0].height().unwrap();
        let victim = &federation.nodes[VICTIM];
        until("it is level", || (victim.height()? >= elsewhere).then_some(()));
    }
    all_is_well(load, &world.federation);
}

/// All vote, and have what was acknowledged.
fn all_is_well(load: Load, federation: &Federation) {
    let mut acknowledged = load.stop();
    for node in &federation.nodes {
        acknowledged.push(node.commits());
        assert_eq!(node.status().unwrap()["voting"], true);
    }
    federation.agrees_on(&acknowledged);
    nobody_signed_twice(federation);
}
