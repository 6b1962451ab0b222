//! Machines on a network that loses messages, with nothing but statuses to make it good.

use std::collections::{BTreeMap, BinaryHeap};

use cairn_ledger::{
    block::Header,
    ids::{Hash, Position},
    vote::Certificate,
};

use super::{
    tests::{genesis, header_on, key},
    *,
};
use crate::chain::message::Message;

const VALIDATORS: u16 = 4;
const HEIGHTS: u64 = 10;
/// In simulated milliseconds; some hundred times what a lossless run takes.
const GIVE_UP_MS: u64 = 120_000;

/// What happens next, to whom, and in which order among equal times.
struct Event {
    at_ms: u64,
    order: u64,
    node: u16,
    what: What,
}

enum What {
    Input(Box<Input>),
    /// With the number of the setting: an older one was replaced or cancelled.
    Timer(Timer, u64),
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}
impl Eq for Event {}
impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Event {
    // The earliest is the greatest, for the heap.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.at_ms, other.order).cmp(&(self.at_ms, self.order))
    }
}

/// One run.
struct Run {
    machines: Vec<Machine>,
    timers: Vec<BTreeMap<Timer, u64>>,
    chains: Vec<Vec<(Header, Certificate)>>,
    events: BinaryHeap<Event>,
    now_ms: u64,
    order: u64,
    dice: u64,
    loss_percent: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let genesis = genesis(VALIDATORS);
        let machine = |me| {
            let tip = Tip::genesis(genesis.chain());
            let signer = Some(key(me));
            Machine::new(Arc::clone(&genesis), Some(me), signer, tip, Timeouts::default())
        };
        let count = usize::from(VALIDATORS);
        let mut run = Self {
            machines: (0..VALIDATORS).map(machine).collect(),
            timers: vec![BTreeMap::new(); count],
            chains: vec![Vec::new(); count],
            events: BinaryHeap::new(),
            now_ms: 0,
            order: 0,
            dice: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            loss_percent: if seed % 5 == 4 { 40 } else { 10 + seed % 11 },
        };
        for node in 0..VALIDATORS {
            run.tell(0, node, Input::Start { journal: Vec::new() });
            for peer in (0..VALIDATORS).filter(|peer| *peer != node) {
                run.tell(1, node, Input::PeerConnected(peer));
            }
            run.bring_work(node);
        }
        run
    }

    /// Below `sides`, by xorshift.
    fn throw(&mut self, sides: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % sides
    }

    fn is_lost(&mut self) -> bool {
        self.throw(100) < self.loss_percent
    }

    fn at(&mut self, after_ms: u64, node: u16, what: What) {
        self.order += 1;
        let (at_ms, order) = (self.now_ms + after_ms, self.order);
        self.events.push(Event { at_ms, order, node, what });
    }

    fn is_done(&self) -> bool {
        self.machines.iter().all(|machine| machine.tip().height.0 >= HEIGHTS)
    }

    fn go(&mut self) {
        while !self.is_done() && self.now_ms < GIVE_UP_MS {
            let Some(Event { at_ms, node, what, .. }) = self.events.pop() else { return };
            self.now_ms = at_ms;
            let input = match what {
                What::Input(input) => *input,
                What::Timer(timer, set) => {
                    if self.timers[usize::from(node)].get(&timer) != Some(&set) {
                        continue;
                    }
                    self.timers[usize::from(node)].remove(&timer);
                    Input::TimerFired(timer)
                }
            };
            for effect in self.machines[usize::from(node)].step(input) {
                self.execute(node, effect);
            }
        }
    }

    fn tell(&mut self, after_ms: u64, node: u16, input: Input) {
        self.at(after_ms, node, What::Input(Box::new(input)));
    }

    /// The log reaches some nodes much later than others; those are woken by the others.
    fn bring_work(&mut self, node: u16) {
        let sides = if self.is_lost() { 3_000 } else { 20 };
        let after = 4 + self.throw(sides);
        self.tell(after, node, Input::Ordered { end: Position(99), has_work: true });
    }

    fn send(&mut self, from: u16, to: u16, message: Message) {
        if !self.is_lost() {
            let after = 1 + self.throw(20);
            self.tell(after, to, Input::Received { from, message });
        }
    }

    fn execute(&mut self, node: u16, effect: Effect) {
        let at = usize::from(node);
        match effect {
            Effect::Broadcast(message) => {
                for to in (0..VALIDATORS).filter(|to| *to != node) {
                    self.send(node, to, message.clone());
                }
            }
            Effect::Send { to, message } => self.send(node, to, message),
            Effect::Schedule { timer, after } => {
                self.timers[at].insert(timer, self.order);
                let after = u64::try_from(after.as_millis()).unwrap();
                self.at(after, node, What::Timer(timer, self.order));
            }
            Effect::Cancel(timer) => {
                self.timers[at].remove(&timer);
            }
            Effect::CancelAll => {
                self.timers[at].retain(|timer, _| !matches!(timer, Timer::Round { .. }));
            }
            Effect::Cut { height, round } => {
                let tip = self.machines[at].tip().clone();
                let header = Some(header_on(&tip, node, u8::try_from(round % 200).unwrap()));
                self.tell(3, node, Input::Cut { height, round, header });
            }
            Effect::Examine { header } | Effect::FetchBody { header, .. } => {
                let block = header.id();
                let (after, verdict) =
                    if self.is_lost() { (300, Verdict::Missing) } else { (5, Verdict::Valid) };
                self.tell(after, node, Input::Examined { block, verdict });
            }
            Effect::Commit { header, certificate }
            | Effect::CommitSynced { header, certificate, .. } => {
                let height = u8::try_from(header.height.0).unwrap();
                let tip = Tip::after(&header, Hash([height; 32]));
                self.chains[at].push((header, certificate));
                self.tell(2, node, Input::Committed(tip));
                self.bring_work(node);
            }
            Effect::FetchBlocks { from, height } => {
                let index = usize::try_from(height.0 - 1).unwrap();
                let block = self.chains[usize::from(from)].get(index).cloned();
                match block {
                    _ if self.is_lost() => (),
                    None => self.tell(10, node, Input::Unanswered { from }),
                    Some((header, certificate)) => {
                        self.tell(10, node, Input::Certified { from, header, certificate });
                    }
                }
            }
            Effect::Journal(_) => (),
            wrong @ (Effect::Alarm(_) | Effect::Evidence(_) | Effect::Halt(_)) => {
                panic!("nobody lies here, but: {wrong:?}")
            }
        }
    }
}

#[test]
fn statuses_make_good_what_the_network_loses() {
    for seed in 0..30 {
        let mut run = Run::new(seed);
        run.go();
        let heights: Vec<_> = run.machines.iter().map(|m| m.tip().height.0).collect();
        let (loss, now) = (run.loss_percent, run.now_ms);
        assert!(run.is_done(), "seed {seed}: {loss} % lost, {heights:?} after {now} ms");
        for chain in &run.chains {
            for (block, first) in chain.iter().zip(&run.chains[0]) {
                assert_eq!(block.0, first.0, "seed {seed}");
            }
        }
    }
}
