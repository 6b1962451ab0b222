//! The chain as a pure state machine: inputs in, effects out. No clock, no I/O, no await:
//! the same inputs give the same effects, in a test, in a simulation and in a node.
//!
//! Read on: [`types`] what it hears and wants done; [`record`] what survives a crash;
//! [`height`] how one height is decided; [`bodies`] how blocks are examined and fetched;
//! [`repair`] how losses are found and made good; [`catch_up`] how decided blocks are taken
//! over from peers; [`heard`] who said what.

mod bodies;
mod catch_up;
mod heard;
mod height;
#[cfg(test)]
mod loss;
#[cfg(feature = "planted-bugs")]
mod plant;
mod record;
mod repair;
#[cfg(test)]
mod tests;
mod types;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use cairn_ledger::{block::Tip, genesis::Genesis, ids::Height, signature::SigningKey};
#[cfg(feature = "planted-bugs")]
pub use plant::Plant;
pub use record::{Record, Signed, SignedKind};
pub use types::{Effect, Input, Step, Timeouts, Timer, Verdict};

use self::{bodies::Bodies, catch_up::Fetch, heard::Heard, repair::PeerView};
use super::core::Core;
use crate::mesh::Peer;

/// What the machine is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Before [`Input::Start`].
    New,
    /// Nothing to decide.
    Idle,
    /// The voting rules are at work on the height after the tip.
    Deciding,
    /// That height is decided; it is being stored.
    Storing,
    /// Not going on.
    Halted,
}

/// The chain, as seen by one node. Same inputs, same effects.
pub struct Machine {
    genesis: Arc<Genesis>,
    me: Option<Peer>,
    tip: Tip,
    timeouts: Timeouts,
    core: Core,
    phase: Phase,
    /// Whether the log has something for the block after the tip.
    has_work: bool,
    /// It is this validator's turn to propose in that round, and it has not yet.
    turn: Option<height::Turn>,
    /// The round timers that run.
    timers: BTreeSet<Timer>,
    /// What was said about the tip's height, the one after, and the one after that.
    previous: Heard,
    heard: Heard,
    next: Heard,
    /// The blocks proposed for the height after the tip.
    bodies: Bodies,
    peers: BTreeMap<Peer, PeerView>,
    fetch: Option<Fetch>,
    /// Whether the status timer runs at the quick pace; nothing before it runs.
    quick: Option<bool>,
    /// Counts statuses: whose turn it is to repeat what others said.
    ticks: u64,
    /// The height at the last status.
    tick_height: Height,
    /// Who was already accused of what.
    accused: BTreeSet<(SignedKind, Height, u32, Peer)>,
    /// Peers that were reported for claiming another block at the tip's height. One claim
    /// each: what a liar claims next is its own to choose, and memory is ours.
    reported: BTreeSet<Peer>,
    #[cfg(feature = "planted-bugs")]
    plant: Option<Plant>,
}

impl Machine {
    /// A machine on top of `tip`. `me` is this node's index when it is a validator of the
    /// chain; without `signer` it follows, verifies and serves, and never votes.
    ///
    /// # Panics
    /// When `signer` is not the key of validator `me`.
    pub fn new(
        genesis: Arc<Genesis>,
        me: Option<Peer>,
        signer: Option<SigningKey>,
        tip: Tip,
        timeouts: Timeouts,
    ) -> Self {
        let next = tip.height.next();
        let core = Core::new(Arc::clone(&genesis), me, signer, next);
        Self {
            me,
            timeouts,
            core,
            phase: Phase::New,
            has_work: false,
            turn: None,
            timers: BTreeSet::new(),
            previous: Heard::new(tip.height),
            heard: Heard::new(next),
            next: Heard::new(next.next()),
            bodies: Bodies::default(),
            peers: BTreeMap::new(),
            fetch: None,
            quick: None,
            ticks: 0,
            tick_height: tip.height,
            accused: BTreeSet::new(),
            reported: BTreeSet::new(),
            genesis,
            tip,
            #[cfg(feature = "planted-bugs")]
            plant: None,
        }
    }

    /// Takes one input to completion.
    #[must_use = "an effect that nobody runs is a lost vote"]
    pub fn step(&mut self, input: Input) -> Vec<Effect> {
        if self.phase == Phase::Halted {
            return Vec::new();
        }
        let mut effects = Vec::new();
        self.take(input, &mut effects);
        // The certificate comes before this validator's own precommit in the library's
        // list. Storing takes a while, and the others wait for that precommit: store last.
        let stores =
            |effect: &Effect| matches!(effect, Effect::Commit { .. } | Effect::CommitSynced { .. });
        effects.sort_by_key(stores);
        #[cfg(feature = "planted-bugs")]
        self.plant_order(&mut effects);
        effects
    }

    fn take(&mut self, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Start { journal } => self.start(journal, effects),
            _ if self.phase == Phase::New => {
                unreachable!("the first input is Start, and it comes once")
            }
            Input::Ordered { end: _, has_work } => self.ordered(has_work, effects),
            Input::Received { from, message } => self.received(from, message, effects),
            Input::PeerConnected(peer) => self.connected(peer, effects),
            Input::PeerDisconnected(peer) => {
                self.peers.remove(&peer);
            }
            Input::TimerFired(timer) => self.fired(timer, effects),
            Input::Cut { height, round, header } => self.cut(height, round, header, effects),
            Input::Examined { block, verdict } => self.examined(block, verdict, effects),
            Input::Committed(tip) => self.committed(tip, effects),
            Input::Certified { from, header, certificate } => {
                self.certified(from, header, certificate, effects);
            }
            Input::Unanswered { from } => self.unanswered(from, effects),
        }
    }

    fn fired(&mut self, timer: Timer, effects: &mut Vec<Effect>) {
        match timer {
            Timer::Round { .. } => self.round_timer(timer, effects),
            Timer::Status => self.tick(effects),
            Timer::Body(block) => self.fetch_body(block, effects),
            Timer::Blocks(height) => self.blocks_timer(height, effects),
        }
    }

    /// What the next block builds on.
    pub fn tip(&self) -> &Tip {
        &self.tip
    }

    /// The round of the height in progress; nothing while the chain is idle.
    pub fn round(&self) -> Option<u32> {
        (self.phase == Phase::Deciding).then(|| self.core.round())
    }

    /// Breaks a rule, so that a test can prove that it would notice.
    #[cfg(feature = "planted-bugs")]
    pub fn plant(&mut self, plant: Plant) {
        self.plant = Some(plant);
        self.core.plant(plant);
    }

    fn halt(&mut self, why: String, effects: &mut Vec<Effect>) {
        self.phase = Phase::Halted;
        effects.push(Effect::Halt(why));
    }
}
