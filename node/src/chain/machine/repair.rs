//! How losses are made good: everyone keeps saying how far they are, and whoever has more
//! sends what is missing. Nothing else repeats a message.

use cairn_ledger::ids::{BlockId, Height};

use super::{Effect, Machine, Phase, Timer, heard::bit};
use crate::{
    chain::message::{Message, Seen, SignedProposal, Status},
    mesh::Peer,
};

/// How many validators repeat what others said, at each status. Everyone repeats their own
/// words; others' are needed where two validators do not reach each other.
const RELAYS: u64 = 4;

/// What is known of a connected peer.
#[derive(Debug, Default)]
pub(super) struct PeerView {
    /// Its last decided height.
    pub(super) height: Option<Height>,
    /// Whether it was deciding the height after.
    deciding: bool,
    /// Whether it got an answer since this node's last status: one is enough.
    answered: bool,
    /// For so many more statuses it is not asked for blocks.
    pub(super) distrust: u32,
}

impl Machine {
    pub(super) fn connected(&mut self, peer: Peer, effects: &mut Vec<Effect>) {
        self.peers.insert(peer, PeerView::default());
        effects.push(Effect::Send { to: peer, message: Message::Status(self.own_status()) });
    }

    fn own_status(&self) -> Status {
        Status {
            height: self.tip.height,
            block: self.tip.block,
            round: self.round(),
            seen: self.heard.seen(),
        }
    }

    /// Says how far this node is, and decides when to say it again.
    pub(super) fn tick(&mut self, effects: &mut Vec<Effect>) {
        self.ticks += 1;
        self.quick = None;
        for view in self.peers.values_mut() {
            view.answered = false;
            view.distrust = view.distrust.saturating_sub(1);
        }
        effects.push(Effect::Broadcast(Message::Status(self.own_status())));
        let stalled = self.tick_height == self.tip.height;
        self.tick_height = self.tip.height;
        if stalled {
            self.catch_up(effects);
        }
        self.pace(effects);
    }

    /// Sets the next status: soon while something is in progress anywhere, else much later.
    pub(super) fn pace(&mut self, effects: &mut Vec<Effect>) {
        let level = |view: &super::PeerView| {
            !view.deciding && view.height.is_none_or(|height| height == self.tip.height)
        };
        let idle = matches!(self.phase, Phase::Idle | Phase::New);
        let quick = !(idle && self.peers.values().all(level));
        // A quick one that runs is soon enough; to start it again with each height would
        // put it off for ever.
        if self.quick == Some(true) || self.quick == Some(quick) {
            return;
        }
        self.quick = Some(quick);
        let after = if quick { self.timeouts.status } else { self.timeouts.status_idle };
        effects.push(Effect::Schedule { timer: Timer::Status, after });
    }

    /// Sends this node's status to a peer that seems not to know it, once in a while.
    pub(super) fn greet(&mut self, peer: Peer, effects: &mut Vec<Effect>) {
        let view = self.peers.entry(peer).or_default();
        if !std::mem::replace(&mut view.answered, true) {
            effects.push(Effect::Send { to: peer, message: Message::Status(self.own_status()) });
        }
    }

    /// A peer says how far it is.
    pub(super) fn status(&mut self, from: Peer, status: Status, effects: &mut Vec<Effect>) {
        let view = self.peers.entry(from).or_default();
        view.height = Some(status.height);
        view.deciding = status.round.is_some();
        if status.height < self.tip.height {
            self.greet(from, effects);
        } else if status.height == self.tip.height {
            self.compare(from, status.block, effects);
            self.repair(from, &status, effects);
        } else if status.height > self.tip.height.next() || self.phase == Phase::Idle {
            self.catch_up(effects);
        }
        // One block ahead while this node is deciding that very block: it will be there in
        // a moment. If not, the next tick asks.
        self.pace(effects);
    }

    /// Another block at the same height is a fork, or a lie: ask for its certificate.
    fn compare(&mut self, from: Peer, block: BlockId, effects: &mut Vec<Effect>) {
        if block == self.tip.block || !self.reported.insert(from) {
            return;
        }
        let height = self.tip.height;
        effects.push(Effect::Alarm(format!(
            "validator {from} says that block {block} is decided at height {height}, where this node has {}",
            self.tip.block
        )));
        effects.push(Effect::FetchBlocks { from, height });
    }

    /// Sends what a peer at the same height misses.
    fn repair(&mut self, to: Peer, status: &Status, effects: &mut Vec<Effect>) {
        let Some(view) = self.peers.get_mut(&to) else { return };
        if self.phase != Phase::Deciding || std::mem::replace(&mut view.answered, true) {
            return;
        }
        let missing = self.missing(status);
        effects.extend(missing.into_iter().map(|message| Effect::Send { to, message }));
    }

    /// Bounded by the rounds that a status speaks of, with a few messages a validator each.
    fn missing(&self, status: &Status) -> Vec<Message> {
        let mut messages = Vec::new();
        let round = self.core.round();
        if status.round.is_none_or(|theirs| theirs < round)
            && let Some(entry) = &self.heard.entry
        {
            messages.push(Message::RoundCertificate(entry.clone()));
        }
        let oldest = status.seen.first().map_or(0, |seen| seen.round);
        for (at, heard) in self.heard.rounds() {
            let theirs = status.seen.iter().find(|seen| seen.round == *at).copied();
            // What it has not heard of, it misses; rounds before those it speaks of are over.
            let theirs = match theirs {
                Some(seen) => seen,
                None if *at >= oldest || *at == round => Seen { round: *at, ..Seen::default() },
                None => continue,
            };
            if !theirs.proposal {
                let proposals =
                    heard.proposals.iter().filter(|proposal| self.repeats(proposal.validator));
                for proposal in proposals {
                    self.support(proposal, &mut messages);
                    messages.push(Message::Proposal(Box::new(proposal.clone())));
                }
            }
            let prevotes = heard.prevotes.values().filter(|vote| {
                theirs.prevotes & bit(vote.validator) == 0 && self.repeats(vote.validator)
            });
            let precommits = heard.precommits.values().filter(|vote| {
                theirs.precommits & bit(vote.validator) == 0 && self.repeats(vote.validator)
            });
            messages.extend(prevotes.chain(precommits).cloned().map(Message::Vote));
        }
        messages
    }

    /// A block that is proposed again is accepted only with the proof of its lock.
    fn support(&self, proposal: &SignedProposal, messages: &mut Vec<Message>) {
        if let Some(valid_round) = proposal.valid_round
            && let Some(polka) = &self.heard.polka
            && polka.round == valid_round
        {
            messages.push(Message::PolkaCertificate(polka.clone()));
        }
    }

    /// Whether it is this node's turn to repeat what that validator said.
    fn repeats(&self, validator: Peer) -> bool {
        let count = self.genesis.validators().len() as u64;
        let turn = (u64::from(self.me.unwrap_or(0)) + self.ticks) % count.max(1);
        self.me == Some(validator) || turn < RELAYS
    }
}
