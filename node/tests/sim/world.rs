//! One run: clients, the log, the validators, the faults; first safety, then, healed, liveness.

use std::{collections::BTreeMap, rc::Rc};

use cairn_ledger::ids::ChainId;
use cairn_node::{
    chain::message,
    mesh::Peer,
    order::{Batch, Ordered},
};

use crate::{
    byzantine,
    dice::Dice,
    federation::{Federation, corpus},
    log::{Keeper, List},
    network::{Event, Network},
    node::{Node, Scene},
    plants::Planted,
    volume::{InMemory, Volumes},
    watch::Watch,
};

/// How long faults go on, and how long a healed federation may take, in simulated milliseconds.
const FAULTS_MS: u64 = 15_000;
const HEALED_MS: u64 = 240_000;

/// The ordered log, and what it shows to whom instead.
pub(crate) struct Log {
    pub(crate) keeper: Rc<dyn Keeper>,
    lies: BTreeMap<(Peer, u64), Batch>,
}

impl Log {
    pub(crate) fn read(&self, who: Peer, after: u64, end: u64) -> Vec<Ordered> {
        let mut entries = self.keeper.read(who, after, end);
        for entry in &mut entries {
            if let Some(lie) = self.lies.get(&(who, entry.position.0)) {
                entry.batch = lie.clone();
            }
        }
        entries
    }
}

fn federation(validators: u8) -> &'static Federation {
    use std::sync::OnceLock;
    static FOUR: OnceLock<Federation> = OnceLock::new();
    static SEVEN: OnceLock<Federation> = OnceLock::new();
    let cell = if validators == 4 { &FOUR } else { &SEVEN };
    cell.get_or_init(|| Federation::new(validators))
}

pub(crate) struct World {
    federation: &'static Federation,
    nodes: Vec<Node>,
    log: Log,
    network: Network,
    watch: Watch,
    planted: Planted,
    healed: bool,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) height: u64,
    pub(crate) evidence: usize,
    pub(crate) transcript: u64,
}

/// Runs a seed to its end.
///
/// # Panics
/// When an invariant is violated.
pub(crate) fn run(seed: u64, planted: Planted) -> Report {
    run_on(seed, planted, &mut InMemory::volume, Rc::new(List::default()))
}

/// The same on other volumes, or with another log: what happens must not depend on them.
///
/// # Panics
/// When an invariant is violated.
pub(crate) fn run_on(
    seed: u64,
    planted: Planted,
    volumes: &mut Volumes<'_>,
    keeper: Rc<dyn Keeper>,
) -> Report {
    let network = Network::new(Dice::new(seed));
    let federation = federation(network.faults.validators);
    let all = 0..network.faults.validators.into();
    let nodes = all.map(|me| Node::new(federation, me, volumes)).collect();
    let mut watch = Watch::default();
    watch.byzantine = network.faults.byzantine;
    let log = Log { keeper, lies: BTreeMap::new() };
    let mut world = World { federation, nodes, log, network, watch, planted, healed: false };
    world.prepare();
    let end = world.network.now_ms + FAULTS_MS;
    while world.network.now_ms < end && world.turn() {}
    world.heal();
    let end = world.network.now_ms + HEALED_MS;
    let mut settled = false;
    while !settled && world.network.now_ms < end && world.turn() {
        settled = world.watch.is_done(world.nodes.len()) && world.all_are_at_the_top();
    }
    assert!(settled, "healed, but no end: {}", world.describe());
    for node in &mut world.nodes {
        node.examine(&world.watch);
    }
    Report {
        height: world.watch.height().0,
        evidence: world.watch.evidence,
        transcript: world.network.transcript(),
    }
}

impl World {
    fn prepare(&mut self) {
        let mut all: Vec<usize> = (0..corpus().transactions.len()).collect();
        // Mostly in order; now and then a transfer comes before what it spends.
        if self.network.dice.permille(200) {
            let at = 1 + usize::try_from(self.network.dice.below(all.len() as u64 - 1)).unwrap();
            all.rotate_left(at);
        }
        while !all.is_empty() {
            let size = 1 + usize::try_from(self.network.dice.below(3)).unwrap();
            let batch: Vec<_> = all.drain(..size.min(all.len())).collect();
            let at = self.network.dice.below(FAULTS_MS * 2 / 3);
            self.network.at(at, Event::Submit(batch));
        }
        for node in 0..self.nodes.len() {
            self.network.at(0, Event::Restart(u16::try_from(node).unwrap()));
        }
        if self.network.faults.crash_ms > 0 {
            self.network.at(500, Event::Crash);
        }
        if self.network.faults.partition_ms > 0 {
            self.network.at(500, Event::Partition);
        }
        if let Some(whose) = self.network.faults.put_back {
            let at = FAULTS_MS / 4 + self.network.dice.below(FAULTS_MS / 2);
            self.network.at(at, Event::PutBack(whose));
        }
    }

    /// Lets the next thing happen; false when nothing is left.
    fn turn(&mut self) -> bool {
        let Some(event) = self.network.next() else { return false };
        match event {
            Event::Submit(transactions) => self.submit(&transactions),
            Event::Crash => self.crash(),
            Event::Partition => self.partition(),
            Event::Join => self.network.sides.fill(0),
            Event::PutBack(whose) => self.put_back(whose),
            Event::BodyWanted { of, by, life, header } => {
                let body = self.nodes[usize::from(of)].body_of(&header.id());
                self.network.send(of, by, Event::Body { node: by, life, header, body });
            }
            Event::BlockWanted { of, by, life, height } => {
                if !self.nodes[usize::from(of)].is_up() {
                    return true;
                }
                let mut block = self.nodes[usize::from(of)].block_at(height);
                if self.watch.byzantine == Some(of) {
                    block = block.map(|block| byzantine::serve(&block, &mut self.network));
                }
                self.network.send(of, by, Event::Block { node: by, life, from: of, block });
            }
            event => self.deliver(event),
        }
        true
    }

    fn deliver(&mut self, event: Event) {
        let Self { federation, nodes, log, network, watch, planted, .. } = self;
        let mut scene = Scene { federation, log, network, watch, planted: *planted };
        let scene = &mut scene;
        match event {
            Event::Restart(node) => {
                let node = &mut nodes[usize::from(node)];
                if !node.is_up() {
                    node.start(scene);
                }
            }
            Event::Log { node, end } => nodes[usize::from(node)].log(end, scene),
            Event::Timer { node, life, timer, set } => {
                let node = &mut nodes[usize::from(node)];
                if node.life == life {
                    node.timer(timer, set, scene);
                }
            }
            Event::Message { to, from, message } => {
                let liar = scene.watch.byzantine == Some(from);
                // What honest validators sign holds; checking it again each time is what would cost.
                if liar && message::verify(&federation.genesis, &message, from).is_err() {
                    return;
                }
                if let message::Message::Proposal(proposal) = &message {
                    let header = &proposal.header;
                    scene.network.last_proposed = Some((header.height, header.id()));
                }
                let node = &mut nodes[usize::from(to)];
                if node.is_up() {
                    node.step(cairn_node::chain::machine::Input::Received { from, message }, scene);
                }
            }
            Event::Body { node, life, header, body } => {
                let node = &mut nodes[usize::from(node)];
                if node.life == life {
                    node.body(header, body, scene);
                }
            }
            Event::Block { node, life, from, block } => {
                let node = &mut nodes[usize::from(node)];
                if node.life == life {
                    node.block(from, block, scene);
                }
            }
            other => unreachable!("{other:?} is not for a validator"),
        }
    }

    fn submit(&mut self, transactions: &[usize]) {
        let pick = |indexes: &[usize]| Batch {
            transactions: indexes.iter().map(|at| corpus().transactions[*at].clone()).collect(),
        };
        let up: Vec<Peer> =
            self.nodes.iter().filter(|node| node.is_up()).map(|node| node.me).collect();
        if up.is_empty() {
            // Nobody takes it: the clients come again.
            return self.network.at(300, Event::Submit(transactions.to_vec()));
        }
        let at = self.network.dice.pick(&up);
        let end = self.log.keeper.append(at, &pick(transactions));
        for me in 0..u16::try_from(self.nodes.len()).unwrap() {
            if !self.healed && self.network.dice.permille(self.network.faults.lies) {
                let other = self.network.dice.below(corpus().transactions.len() as u64);
                let lie = pick(&[usize::try_from(other).unwrap()]);
                self.log.lies.insert((me, end), lie);
            }
            let delay = self.network.log_delay();
            self.network.at(delay, Event::Log { node: me, end });
        }
    }

    fn crash(&mut self) {
        if self.healed {
            return;
        }
        let Self { federation, nodes, log, network, watch, planted, .. } = self;
        let mean = network.faults.crash_ms;
        let victim = network.dice.below(nodes.len() as u64);
        // Now and then everything loses power at once.
        let all = network.dice.permille(150);
        let mut scene = Scene { federation, log, network, watch, planted: *planted };
        for node in nodes.iter_mut().filter(|node| all || u64::from(node.me) == victim) {
            if node.is_up() {
                node.crash(&mut scene);
                let again = scene.network.dice.below(2 * mean);
                scene.network.at(again, Event::Restart(node.me));
            }
        }
        let again = network.dice.below(2 * mean);
        network.at(again, Event::Crash);
    }

    /// A validator loses what it stored, and not what it signed.
    fn put_back(&mut self, whose: Peer) {
        let Self { federation, nodes, log, network, watch, planted, .. } = self;
        let mut scene = Scene { federation, log, network, watch, planted: *planted };
        let node = &mut nodes[usize::from(whose)];
        if node.is_up() {
            node.crash_and_come_back(&mut scene);
        }
        node.put_back();
    }

    fn partition(&mut self) {
        if self.healed {
            return;
        }
        for side in &mut self.network.sides {
            *side = u8::try_from(self.network.dice.below(2)).unwrap();
        }
        let mean = self.network.faults.partition_ms;
        let (joined, again) = (self.network.dice.below(mean), self.network.dice.below(2 * mean));
        self.network.at(joined, Event::Join);
        self.network.at(joined + again, Event::Partition);
    }

    /// No more faults; clients submit again what they did not hear of.
    fn heal(&mut self) {
        self.healed = true;
        let faults = &mut self.network.faults;
        (faults.lost, faults.doubled, faults.delay_ms) = (0, 0, faults.delay_ms.min(20));
        (faults.crash_inside, faults.dies_in_commit) = (0, 0);
        self.network.sides.fill(0);
        for node in 0..self.nodes.len() {
            self.network.at(1, Event::Restart(u16::try_from(node).unwrap()));
        }
        let all = (0..corpus().transactions.len()).collect();
        self.network.at(10, Event::Submit(all));
    }

    fn all_are_at_the_top(&self) -> bool {
        self.nodes.iter().all(|node| node.is_up() && node.height() == self.watch.height())
    }

    fn describe(&self) -> String {
        let heights: Vec<_> = self.nodes.iter().map(|node| node.height().0).collect();
        format!(
            "heights {heights:?}, {} committed, {:?}",
            self.watch.committed.len(),
            self.network.faults
        )
    }
}

/// The chain that a liar signs for.
pub(crate) fn chain_of(validators: u8) -> ChainId {
    federation(validators).genesis.chain()
}

/// The chain of a seed, and how many validate it.
#[cfg(feature = "tikv")]
pub(crate) fn chain_of_seed(seed: u64) -> (ChainId, u8) {
    let validators = Network::new(Dice::new(seed)).faults.validators;
    (chain_of(validators), validators)
}
