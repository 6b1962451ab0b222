//! Validators that append, read, sleep, are cut off and killed, over a store with bad luck: what
//! was acknowledged stays, nothing is in twice, there is no hole, and all read the same.
//!
//! `CAIRN_SIM_SEED=<seed>` repeats the luck of one world, `CAIRN_LOG_WORLDS=<count>` makes more of
//! them. Tasks and clocks are the machine's, so that two runs of a seed may still differ.

use super::{fake::Weather, *};

/// How many worlds there are, and how many at a time.
const WORLDS: u64 = 32;
const AT_ONCE: u64 = 16;
const VALIDATORS: u16 = 3;
const APPENDS: u64 = 60;

#[tokio::test]
async fn no_schedule_loses_doubles_or_reorders() {
    let number = |name| std::env::var(name).ok().and_then(|it| it.parse::<u64>().ok());
    if let Some(seed) = number("CAIRN_SIM_SEED") {
        return world(seed).await;
    }
    let worlds = number("CAIRN_LOG_WORLDS").unwrap_or(WORLDS);
    for first in (0..worlds).step_by(usize::try_from(AT_ONCE).unwrap()) {
        let mut running = tokio::task::JoinSet::new();
        for seed in first..worlds.min(first + AT_ONCE) {
            running.spawn(world(seed));
        }
        running.join_all().await;
    }
}

/// What the appenders heard and the readers saw.
#[derive(Default)]
struct Heard {
    acknowledged: BTreeMap<u64, u64>,
    refused: BTreeSet<u64>,
    unknown: usize,
    seen: BTreeMap<u64, Batch>,
}

struct World {
    seed: u64,
    fake: Arc<Fake>,
    nodes: Mutex<Nodes>,
    heard: Mutex<Heard>,
    done: watch::Sender<bool>,
}

impl World {
    /// Dice of its own, so that the luck of the calls does not depend on them.
    fn roll(&self, salt: u64, below: u64) -> u64 {
        let digest = crc32fast::hash(&(self.seed * 1_000_003 + salt).to_be_bytes());
        u64::from(digest) % below
    }

    fn view(&self, me: Peer) -> Arc<dyn Order> {
        self.nodes.lock().view(me)
    }

    fn fail(&self, what: &str) -> ! {
        panic!("CAIRN_SIM_SEED={}: {what}", self.seed)
    }
}

async fn world(seed: u64) {
    let fake = Fake::new(seed);
    let luck = seed % 4;
    fake.weather(Weather { lost: luck * 15, unanswered: luck * 15, late: luck * 15, slow_ms: 4 });
    let nodes = Mutex::new(over(&fake, VALIDATORS));
    let (heard, done) = (Mutex::default(), watch::Sender::new(false));
    let world = Arc::new(World { seed, fake, nodes, heard, done });
    let mut appending = tokio::task::JoinSet::new();
    for me in 0..VALIDATORS {
        appending.spawn(appends(Arc::clone(&world), me));
    }
    let mut others = tokio::task::JoinSet::new();
    for me in 0..VALIDATORS {
        others.spawn(reads(Arc::clone(&world), me));
    }
    others.spawn(meddles(Arc::clone(&world)));
    appending.join_all().await;
    world.done.send_replace(true);
    others.join_all().await;
    check(&world).await;
}

async fn appends(world: Arc<World>, me: Peer) {
    for at in 0..APPENDS {
        let id = u64::from(me) * 1_000 + at;
        let outcome = world.view(me).append(&batch(id, 1, 60)).await;
        {
            let mut heard = world.heard.lock();
            match outcome {
                Ok(position) => {
                    if heard.acknowledged.insert(position.0, id).is_some() {
                        world.fail(&format!("position {position} was given twice"));
                    }
                }
                Err(AppendError::Unknown(_)) => heard.unknown += 1,
                Err(_) => drop(heard.refused.insert(id)),
            }
        }
        tokio::time::sleep(Duration::from_millis(world.roll(id, 60))).await;
    }
}

async fn reads(world: Arc<World>, me: Peer) {
    let (mut after, mut turn) = (Position(0), 0);
    while !*world.done.borrow() {
        turn += 1;
        let view = world.view(me);
        match view.read(after, 400).await {
            Ok(entries) => {
                let mut heard = world.heard.lock();
                for Ordered { position, batch } in entries {
                    after = position;
                    let before = heard.seen.entry(position.0).or_insert_with(|| batch.clone());
                    if *before != batch {
                        world.fail(&format!("two batches were read at {position}"));
                    }
                }
            }
            Err(ReadError::Released(begin)) => after = after.max(begin),
            Err(ReadError::Unavailable(_)) => {}
        }
        if world.roll(turn, 10) == 0 {
            view.release(after).await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Every now and then somebody sleeps, is cut off, or dies and comes back.
async fn meddles(world: Arc<World>) {
    let mut salt = 1_u64 << 40;
    while !*world.done.borrow() {
        salt += 10;
        let roll = |at: u64, below| world.roll(salt + at, below);
        let me = Peer::try_from(roll(1, u64::from(VALIDATORS))).unwrap();
        let whom = world.nodes.lock().writer().filter(|_| roll(2, 3) > 0).unwrap_or(me);
        let pause = Duration::from_millis(roll(3, 900));
        match roll(4, 5) {
            0 => {
                world.fake.cut(whom, true);
                tokio::time::sleep(pause).await;
                world.fake.cut(whom, false);
            }
            1 => {
                world.fake.hold_inserts(whom, true);
                tokio::time::sleep(pause).await;
                world.fake.hold_inserts(whom, false);
            }
            2 => {
                world.nodes.lock().router.cut.lock().insert(whom);
                tokio::time::sleep(pause).await;
                world.nodes.lock().router.cut.lock().remove(&whom);
            }
            3 => {
                let mut nodes = world.nodes.lock();
                let after = nodes.nodes[&whom].inner.view.released();
                nodes.kill(whom);
                nodes.start(whom, world.fake.line(whom), after);
            }
            _ => tokio::time::sleep(pause).await,
        }
        tokio::time::sleep(Duration::from_millis(roll(5, 300))).await;
    }
}

async fn check(world: &World) {
    world.fake.weather(Weather::default());
    let views = world.nodes.lock().views();
    let last = append(&views[0], &batch(9_999, 1, 60)).await;
    for view in &views {
        reach(view, last).await;
    }
    if world.fake.overwritten() > 0 {
        world.fail("a key held two slots");
    }
    let (mut next, mut log) = (1, BTreeMap::new());
    for (first, value) in world.fake.history() {
        let slot = slot::Slot::decode(&CHAIN, first, value).unwrap();
        if first != next {
            world.fail(&format!("a hole at {next}"));
        }
        next = slot.last() + 1;
        for (position, batch) in (first..).zip(&slot.batches) {
            log.insert(position, Batch::decode(batch).unwrap());
        }
    }
    let heard = world.heard.lock();
    for (position, id) in &heard.acknowledged {
        if log.get(position) != Some(&batch(*id, 1, 60)) {
            world.fail(&format!("{id} was acknowledged at {position} and is not there"));
        }
    }
    let mut once = BTreeSet::new();
    for batch in log.values() {
        if !once.insert(batch.encode()) {
            world.fail("a batch is in twice");
        }
    }
    if let Some(id) = heard.refused.iter().find(|id| once.contains(&batch(**id, 1, 60).encode())) {
        world.fail(&format!("{id} is in, and its sender was told that it is not"));
    }
    if heard.seen.iter().any(|(position, batch)| log.get(position) != Some(batch)) {
        world.fail("something was read that is not in the log");
    }
    let (all, acknowledged) = (u64::from(VALIDATORS) * APPENDS, heard.acknowledged.len());
    let told = (acknowledged, heard.refused.len(), heard.unknown);
    println!("seed {}: {all} appends, in, out and unknown: {told:?}", world.seed);
    assert!(acknowledged as u64 * 2 > all, "hardly anything came through");
}
