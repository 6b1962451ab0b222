use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use cairn_ledger::ids::{ChainId, Position};
use parking_lot::Mutex;

use self::fake::Fake;
use super::{
    super::contract::{self, PATIENCE, append, batch, reach, read_up_to},
    keys::Keys,
    *,
};
use crate::mesh::AskError;

mod cluster;
mod fake;
mod moments;
mod schedules;
mod sent;

const CHAIN: ChainId = ChainId([7; 32]);

/// Everything faster than in life, by about the same proportions.
const FAST: Tuning = Tuning {
    lease: Duration::from_millis(400),
    renew: Duration::from_millis(80),
    tend: Duration::from_millis(30),
    age: Duration::from_millis(2_500),
    sure: Duration::from_millis(800),
    pace: Pace {
        short: Duration::from_millis(5),
        long: Duration::from_millis(20),
        idle: Duration::from_millis(50),
        lively: Duration::from_millis(200),
        silent: Duration::from_millis(250),
        look: Duration::from_millis(50),
        stagger: Duration::from_millis(10),
    },
    ..TUNING
};

/// Carries messages between nodes of one process, where nothing cuts them off.
#[derive(Default)]
struct Router {
    services: Mutex<BTreeMap<Peer, Arc<Receiver>>>,
    cut: Mutex<BTreeSet<Peer>>,
}

impl Router {
    fn between(&self, from: Peer, to: Peer) -> Option<Arc<Receiver>> {
        let cut = self.cut.lock();
        let service = || self.services.lock().get(&to).cloned();
        if cut.contains(&from) || cut.contains(&to) { None } else { service() }
    }
}

struct Line {
    router: Arc<Router>,
    me: Peer,
}

#[async_trait::async_trait]
impl Transport for Line {
    async fn ask(&self, to: Peer, request: Bytes, within: Duration) -> Result<Bytes, AskError> {
        let Some(service) = self.router.between(self.me, to) else {
            return Err(AskError::Disconnected(to));
        };
        let asked = tokio::time::timeout(within, service.answer(self.me, request)).await;
        match (asked, self.router.between(self.me, to)) {
            (Ok(Ok(answer)), Some(_)) => Ok(answer),
            (Ok(Err(reason)), _) => Err(AskError::Declined { peer: to, reason }),
            _ => Err(AskError::Silent(to)),
        }
    }

    fn tell(&self, message: Bytes) {
        let others: Vec<Peer> = self.router.services.lock().keys().copied().collect();
        for to in others.into_iter().filter(|to| *to != self.me) {
            if let Some(service) = self.router.between(self.me, to) {
                service.notify(self.me, message.clone());
            }
        }
    }
}

/// Some validators over one store of keys.
struct Nodes {
    router: Arc<Router>,
    validators: u16,
    tuning: Tuning,
    nodes: BTreeMap<Peer, Arc<Tikv>>,
}

impl Nodes {
    fn new(validators: u16, tuning: Tuning) -> Self {
        Self { router: Arc::default(), validators, tuning, nodes: BTreeMap::new() }
    }

    fn start(&mut self, me: Peer, keys: Box<dyn Keys>, after: u64) -> Arc<dyn Order> {
        let transport = Arc::new(Line { router: Arc::clone(&self.router), me });
        let forwarder = Forwarder { chain: CHAIN, me, validators: self.validators, transport };
        let (tikv, receiver) = Tikv::open_tuned(keys, forwarder, Position(after), self.tuning);
        self.router.services.lock().insert(me, receiver);
        self.nodes.insert(me, Arc::clone(&tikv));
        tikv
    }

    /// As SIGKILL does: nothing is given back.
    fn kill(&mut self, me: Peer) {
        self.router.services.lock().remove(&me);
        let tikv = self.nodes.remove(&me).unwrap();
        tikv.tasks.try_lock().unwrap().abort_all();
        tikv.inner.desk.close();
    }

    fn views(&self) -> Vec<Arc<dyn Order>> {
        self.nodes.values().map(|node| Arc::clone(node) as Arc<dyn Order>).collect()
    }

    fn view(&self, me: Peer) -> Arc<dyn Order> {
        Arc::clone(&self.nodes[&me]) as Arc<dyn Order>
    }

    fn writer(&self) -> Option<Peer> {
        self.nodes.iter().find(|(_, node)| node.inner.known.lock().leading).map(|(me, _)| *me)
    }
}

/// Nodes over a store that does as it is told.
fn over(fake: &Arc<Fake>, count: u16) -> Nodes {
    tuned(fake, count, FAST)
}

fn tuned(fake: &Arc<Fake>, count: u16, tuning: Tuning) -> Nodes {
    let mut nodes = Nodes::new(count, tuning);
    for me in 0..count {
        nodes.start(me, fake.line(me), 0);
    }
    nodes
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test(start_paused = true)]
async fn the_log_keeps_the_promises() {
    contract::suite(async |count: usize| {
        let nodes = over(&Fake::new(1), u16::try_from(count).unwrap());
        (nodes.views(), nodes)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_slept_finds_its_key_taken() {
    let fake = Fake::new(2);
    let mut nodes = over(&fake, 3);
    let first = append(&nodes.view(0), &batch(1, 1, 100)).await;
    let sleeper = nodes.writer().unwrap();
    let other = (sleeper + 1) % 3;
    // It has decided to write, and sleeps before it does.
    fake.hold_inserts(sleeper, true);
    let sleeping = nodes.view(sleeper);
    let slept = tokio::spawn(async move { sleeping.append(&batch(2, 1, 100)).await });
    until("the insert is held", || fake.held(sleeper) > 0).await;
    nodes.router.cut.lock().insert(sleeper);
    fake.cut(sleeper, true);
    let second = append(&nodes.view(other), &batch(3, 1, 100)).await;
    // It wakes, and does what it had decided to do.
    fake.cut(sleeper, false);
    fake.hold_inserts(sleeper, false);
    nodes.router.cut.lock().remove(&sleeper);
    let outcome = slept.await.unwrap();
    let third = append(&nodes.view(sleeper), &batch(4, 1, 100)).await;
    assert!(first < second && second < third);
    for view in nodes.views() {
        let all = read_up_to(&view, Position(0), third, usize::MAX).await;
        let of = |seed| all.iter().filter(|it| it.batch == batch(seed, 1, 100)).count();
        assert_eq!([of(1), of(3), of(4)], [1, 1, 1], "what was acknowledged is there once");
        match outcome {
            Ok(position) => assert!(all.iter().any(|it| it.position == position)),
            Err(AppendError::Unavailable(_)) => assert_eq!(of(2), 0, "it was not to be in"),
            Err(_) => assert!(of(2) <= 1),
        }
    }
    assert_eq!(fake.overwritten(), 0);
    nodes.kill(0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_asked_for_again() {
    for effect in [true, false] {
        let fake = Fake::new(3);
        let nodes = over(&fake, 1);
        let before = append(&nodes.view(0), &batch(1, 1, 100)).await;
        fake.lose_next_insert(effect);
        let after = append(&nodes.view(0), &batch(2, 1, 100)).await;
        assert_eq!(after.0, before.0 + 1, "in at once, or at the second attempt: {effect}");
        assert_eq!(fake.lost(), 1);
        let all = read_up_to(&nodes.view(0), Position(0), after, usize::MAX).await;
        assert_eq!(all.len(), 2, "{effect}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_tikv_it_says_so_and_goes_on_afterwards() {
    let fake = Fake::new(4);
    let nodes = over(&fake, 3);
    append(&nodes.view(0), &batch(1, 1, 100)).await;
    for me in 0..3 {
        fake.cut(me, true);
    }
    until("the lease ran out", || nodes.writer().is_none()).await;
    let refused = nodes.view(1).append(&batch(2, 1, 100)).await;
    assert!(matches!(refused, Err(AppendError::Unavailable(_))), "{refused:?}");
    assert!(nodes.view(1).describe().contains("cut off"), "{}", nodes.view(1).describe());
    for me in 0..3 {
        fake.cut(me, false);
    }
    let last = append(&nodes.view(2), &batch(3, 1, 100)).await;
    let all = read_up_to(&nodes.view(1), Position(0), last, usize::MAX).await;
    assert_eq!(all.len(), 2);
    until("all is well", || !nodes.view(1).describe().contains("cut off")).await;
}

#[tokio::test(start_paused = true)]
async fn what_all_have_in_blocks_is_deleted_and_a_newcomer_is_told() {
    let fake = Fake::new(5);
    let mut nodes = Nodes::new(2, Tuning { age: Duration::from_millis(50), ..FAST });
    nodes.start(0, fake.line(0), 0);
    nodes.start(1, fake.line(1), 0);
    let mut positions = Vec::new();
    for seed in 0..20 {
        positions.push(append(&nodes.view(0), &batch(seed, 1, 100)).await);
    }
    nodes.view(0).release(positions[15]).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(fake.slots().len() >= 20, "one of two does not have it");
    nodes.view(1).release(positions[9]).await;
    until("deleted", || fake.slots()[0] == positions[10].0).await;
    nodes.kill(1);
    let newcomer = nodes.start(1, fake.line(1), 0);
    reach(&newcomer, positions[19]).await;
    let released = newcomer.read(Position(0), usize::MAX).await;
    assert_eq!(released, Err(ReadError::Released(positions[9])));
    let rest = read_up_to(&newcomer, positions[9], positions[19], 150).await;
    assert_eq!(rest.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn one_that_stays_away_does_not_make_the_log_grow_for_ever() {
    let mine = slot::Slot {
        epoch: 1,
        entry: [0; 16],
        first: 1,
        writer: 0,
        batches: vec![Bytes::from(batch(0, 1, 100).encode())],
    };
    let retained_bytes = 5 * mine.bytes();
    for (what, tuning) in [
        ("positions", Tuning { retained_positions: 5, ..FAST }),
        ("bytes", Tuning { retained_bytes, ..FAST }),
    ] {
        let fake = Fake::new(9);
        let mut nodes = Nodes::new(4, Tuning { age: Duration::from_millis(50), ..tuning });
        for me in 0..4 {
            nodes.start(me, fake.line(me), 0);
        }
        let mut positions = Vec::new();
        for seed in 0..20 {
            positions.push(append(&nodes.view(0), &batch(seed, 1, 100)).await);
        }
        for me in 0..2 {
            nodes.view(me).release(positions[19]).await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(fake.slots().len() >= 20, "two of four are not enough");
        nodes.view(2).release(positions[19]).await;
        until(what, || fake.slots()[0] == positions[15].0).await;
        let released = nodes.view(3).read(Position(0), 1).await;
        assert!(released.is_ok(), "it is still in memory");
    }
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_stops_gives_the_lease_back() {
    let fake = Fake::new(10);
    let forever = Tuning { lease: Duration::from_secs(600), ..FAST };
    let mut nodes = Nodes::new(2, forever);
    nodes.start(0, fake.line(0), 0);
    append(&nodes.view(0), &batch(1, 1, 100)).await;
    nodes.start(1, fake.line(1), 0);
    nodes.view(0).stop().await;
    append(&nodes.view(1), &batch(2, 1, 100)).await;
    assert_eq!(nodes.writer(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn what_was_changed_is_named_and_never_served() {
    for (what, hand, name) in
        [("overwritten", Some(b"junk".to_vec()), "was changed"), ("deleted", None, "is gone")]
    {
        let fake = Fake::new(6);
        let mut nodes = over(&fake, 2);
        let mut positions = Vec::new();
        for seed in 0..5 {
            positions.push(append(&nodes.view(0), &batch(seed, 1, 100)).await);
        }
        fake.meddle(slot::key(positions[2].0), hand);
        let other = (nodes.writer().unwrap() + 1) % 2;
        nodes.kill(other);
        let reader = nodes.start(other, fake.line(other), 0);
        let behind = positions[1];
        reach(&reader, behind).await;
        until("it is named", || reader.describe().contains(name)).await;
        assert_eq!(read_up_to(&reader, Position(0), behind, usize::MAX).await.len(), 2, "{what}");
        let unreadable = reader.read(behind, usize::MAX).await;
        assert!(matches!(unreadable, Err(ReadError::Unavailable(why)) if why.contains(name)));
        // Peers had it in blocks: it goes on behind.
        reader.release(positions[3]).await;
        let rest = read_up_to(&reader, positions[3], positions[4], usize::MAX).await;
        assert_eq!(rest.len(), 1, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_blocks_have_is_never_ordered_again_when_tikv_was_rolled_back() {
    let fake = Fake::new(7);
    let mut nodes = over(&fake, 1);
    let mut positions = Vec::new();
    for seed in 0..6 {
        positions.push(append(&nodes.view(0), &batch(seed, 1, 100)).await);
    }
    nodes.kill(0);
    for position in &positions[3..] {
        fake.meddle(slot::key(position.0), None);
    }
    let node = nodes.start(0, fake.line(0), positions[5].0);
    let next = append(&node, &batch(9, 1, 100)).await;
    assert!(next > positions[5]);
    assert_eq!(read_up_to(&node, positions[5], next, usize::MAX).await.len(), 1);
}

#[test]
fn hints_and_batches_of_another_chain_are_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let fake = Fake::new(8);
        let nodes = over(&fake, 1);
        let service = nodes.router.services.lock()[&0].clone();
        let foreign = super::super::forward::request(&ChainId([8; 32]), &batch(1, 1, 1).encode());
        assert!(service.answer(1, foreign.clone()).await.is_err());
        let ours = super::super::forward::request(&CHAIN, &batch(1, 1, 1).encode());
        for length in 0..ours.len() {
            assert!(service.answer(1, ours.slice(..length)).await.is_err(), "{length} bytes");
        }
        service.notify(1, foreign);
        assert!(nodes.nodes[&0].inner.hint.lock().at.is_none());
    });
}
