//! How one height is decided: what wakes it, what the voting rules are told, and what
//! becomes of what they say.

use cairn_ledger::{
    block::{Header, Tip, follows},
    ids::Height,
    vote::{Certificate, VoteKind},
};

use super::{
    Effect, Machine, Phase, Record, SignedKind, Step, Timer,
    heard::{Heard, Noted, bit, bits as signers},
};
use crate::{
    chain::{
        core::{In, Out, ROUNDS_AHEAD_MAX, proposer},
        message::{
            Evidence, Message, PolkaCertificate, RoundCertificate, RoundCertificateKind,
            SignedProposal, SignedVote,
        },
    },
    mesh::Peer,
};

/// It is this validator's turn to propose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) round: u32,
    /// Whether a slice of the log was asked for and not yet answered.
    pub(super) asked: bool,
}

impl Machine {
    /// Whether the one who proposes first at that height is another validator, and not connected.
    fn first_proposer_is_absent(&self, height: Height) -> bool {
        let turn = proposer(height.0, 0, self.genesis.validators().len());
        self.me != Some(turn) && !self.peers.contains_key(&turn)
    }

    /// Replays what the log has of the height after the tip, then takes part.
    pub(super) fn start(&mut self, mut journal: Vec<Record>, effects: &mut Vec<Effect>) {
        assert_eq!(self.phase, Phase::New, "a machine is started once");
        self.phase = Phase::Idle;
        self.pace(effects);
        let height = self.tip.height.next();
        // Records of another height are left over from before the tip was stored.
        journal.retain(|record| record.height() == height);
        if journal.is_empty() {
            return;
        }
        self.phase = Phase::Deciding;
        self.pace(effects);
        for record in &journal {
            self.recall(record);
        }
        let begun = self.core.step(In::StartHeight(height));
        let outs = begun.and_then(|mut outs| {
            outs.extend(self.core.replay(journal)?);
            Ok(outs)
        });
        match outs {
            Ok(outs) => self.follow(outs, effects),
            Err(fatal) => return self.halt(fatal.to_string(), effects),
        }
        self.resume(effects);
    }

    /// Takes a record back into memory.
    fn recall(&mut self, record: &Record) {
        match record {
            Record::Vote(vote) => {
                self.heard.vote(vote, u32::MAX);
            }
            Record::Proposal(proposal) => {
                self.heard.proposal(proposal, u32::MAX);
                let SignedProposal { header, round, validator, .. } = &**proposal;
                self.bodies.remember(header, *round, *validator, None);
            }
            Record::ProposedValue { round, header, proposer, valid, .. } => {
                self.bodies.remember(header, *round, *proposer, Some(*valid));
            }
            Record::PolkaCertificate(certificate) => {
                self.heard.polka = Some(certificate.clone());
            }
            Record::TimeoutElapsed { .. } => (),
        }
    }

    /// Goes on where the log ends: a turn that was already used is over, and what was
    /// proposed but not examined before the crash is examined now.
    fn resume(&mut self, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Deciding {
            return;
        }
        if let Some(Turn { round, .. }) = self.turn
            && self.heard.rounds().get(&round).is_some_and(|heard| !heard.proposals.is_empty())
        {
            self.turn = None;
        }
        let rounds = self.heard.rounds().values();
        let proposals: Vec<_> = rounds.flat_map(|heard| heard.proposals.clone()).collect();
        for proposal in proposals {
            self.examine(&proposal, effects);
        }
    }

    pub(super) fn ordered(&mut self, has_work: bool, effects: &mut Vec<Effect>) {
        self.has_work = has_work;
        match self.phase {
            Phase::Idle if has_work => self.begin(effects),
            Phase::Deciding => self.take_turn(effects),
            Phase::New | Phase::Idle | Phase::Storing | Phase::Halted => (),
        }
    }

    /// Begins the height after the tip, and tells the voting rules what was heard of it.
    fn begin(&mut self, effects: &mut Vec<Effect>) {
        self.phase = Phase::Deciding;
        self.pace(effects);
        self.feed(In::StartHeight(self.tip.height.next()), effects);
        let entry = self.heard.entry.clone();
        let (mut proposals, mut votes) = (Vec::new(), Vec::new());
        for round in self.heard.rounds().values() {
            proposals.extend(round.proposals.iter().cloned());
            votes.extend(round.prevotes.values().chain(round.precommits.values()).cloned());
        }
        for proposal in proposals {
            self.consider(proposal, effects);
        }
        for vote in votes {
            self.feed_vote(vote, effects);
        }
        if let Some(certificate) = entry {
            self.feed(In::RoundCertificate(certificate), effects);
        }
    }

    /// An idle chain wakes when validators with more than a third of the power speak of the
    /// next height: one of them is honest, and saw work.
    fn wake(&mut self, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Idle {
            return;
        }
        if self.is_more_than(1, self.heard.signers()) {
            self.begin(effects);
        }
    }

    /// A message that passed the edge. Only the height after the tip is decided here; the
    /// one after that is kept for later; what is further ahead only says that we lag.
    pub(super) fn received(&mut self, from: Peer, message: Message, effects: &mut Vec<Effect>) {
        if let Message::Status(status) = message {
            return self.status(from, status, effects);
        }
        let (height, tip) = (message.height(), self.tip.height);
        if height == tip.next() {
            self.received_current(message, effects);
        } else if height == tip.next().next() {
            self.received_next(message, effects);
        } else if height == tip {
            // Decided: only worth a look for who signs two things. No round is new here.
            let newest = self.previous.rounds().keys().next_back().copied().unwrap_or(0);
            for vote in votes_of(&message) {
                let noted = self.previous.vote(&vote, newest);
                self.is_news(noted, effects);
            }
        } else if height > tip {
            self.greet(from, effects);
        }
    }

    fn received_next(&mut self, message: Message, effects: &mut Vec<Effect>) {
        for vote in votes_of(&message) {
            let noted = self.next.vote(&vote, ROUNDS_AHEAD_MAX);
            self.is_news(noted, effects);
        }
        if let Message::Proposal(proposal) = &message {
            let noted = self.next.proposal(proposal, ROUNDS_AHEAD_MAX);
            self.is_news(noted, effects);
        }
        if self.is_strong(&message) {
            keep(&mut self.next, &message);
        }
    }

    fn received_current(&mut self, message: Message, effects: &mut Vec<Effect>) {
        for vote in votes_of(&message) {
            let noted = self.heard.vote(&vote, self.newest_round());
            if self.is_news(noted, effects) {
                self.feed_vote(vote, effects);
            }
        }
        if self.is_strong(&message) {
            keep(&mut self.heard, &message);
        }
        match message {
            Message::Proposal(proposal) => {
                let noted = self.heard.proposal(&proposal, self.newest_round());
                if self.is_news(noted, effects) {
                    self.consider(*proposal, effects);
                }
            }
            // As a whole too: an equivocator's other vote may be the one that we counted,
            // and a certificate may be further ahead than single votes are heard.
            Message::PolkaCertificate(certificate) => {
                self.feed(In::PolkaCertificate(certificate), effects);
            }
            Message::RoundCertificate(certificate) => {
                self.feed(In::RoundCertificate(certificate), effects);
            }
            Message::Vote(_) | Message::Status(_) => (),
        }
        self.wake(effects);
    }

    /// The newest round that is heard.
    fn newest_round(&self) -> u32 {
        self.round().unwrap_or(0).saturating_add(ROUNDS_AHEAD_MAX)
    }

    fn consider(&mut self, proposal: SignedProposal, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Deciding {
            return;
        }
        #[cfg(feature = "planted-bugs")]
        self.plant_temptation(proposal.round, proposal.header.id());
        self.feed(In::Proposal(proposal.clone()), effects);
        if self.phase == Phase::Deciding {
            self.examine(&proposal, effects);
        }
    }

    fn feed_vote(&mut self, vote: SignedVote, effects: &mut Vec<Effect>) {
        #[cfg(feature = "planted-bugs")]
        let vote = self.plant_count_nil(vote);
        self.feed(In::Vote(vote), effects);
    }

    /// Tells the voting rules, while they are at work, and acts on what they say.
    pub(super) fn feed(&mut self, input: In, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Deciding {
            return;
        }
        match self.core.step(input) {
            Ok(outs) => self.follow(outs, effects),
            Err(fatal) => self.halt(fatal.to_string(), effects),
        }
    }

    fn follow(&mut self, outs: Vec<Out>, effects: &mut Vec<Effect>) {
        let height = self.tip.height.next();
        for out in outs {
            match out {
                Out::Record(record) => {
                    // Invariant: nothing is signed at or below the tip.
                    assert_eq!(record.height(), height, "only the height after the tip is open");
                    effects.push(Effect::Journal(record));
                }
                Out::Send(message) => {
                    self.remember_own(&message);
                    effects.push(Effect::Broadcast(message));
                }
                Out::Schedule(round, step) => {
                    let timer = Timer::Round { height, round, step };
                    self.timers.insert(timer);
                    let mut after = self.timeouts.of(round, step);
                    if step == Step::Propose && round == 0 && self.first_proposer_is_absent(height)
                    {
                        after = after.min(self.timeouts.absent);
                    }
                    effects.push(Effect::Schedule { timer, after });
                }
                Out::Cancel(round, step) => {
                    let timer = Timer::Round { height, round, step };
                    if self.timers.remove(&timer) {
                        effects.push(Effect::Cancel(timer));
                    }
                }
                Out::CancelAll => self.cancel_all(effects),
                Out::Round(_) => self.turn = None,
                Out::Propose(round) => {
                    self.turn = Some(Turn { round, asked: false });
                    self.take_turn(effects);
                }
                Out::Decide(certificate) => self.decide(certificate, effects),
            }
        }
    }

    pub(super) fn cancel_all(&mut self, effects: &mut Vec<Effect>) {
        if !self.timers.is_empty() {
            self.timers.clear();
            effects.push(Effect::CancelAll);
        }
    }

    /// What this validator says is said again to whoever misses it.
    fn remember_own(&mut self, message: &Message) {
        match message {
            Message::Vote(vote) => {
                self.heard.vote(vote, u32::MAX);
            }
            Message::Proposal(proposal) => {
                self.heard.proposal(proposal, u32::MAX);
            }
            Message::PolkaCertificate(_) | Message::RoundCertificate(_) => {
                keep(&mut self.heard, message);
            }
            Message::Status(_) => (),
        }
    }

    /// Asks for a slice of the log, when it is this validator's turn and there is one.
    fn take_turn(&mut self, effects: &mut Vec<Effect>) {
        let height = self.tip.height.next();
        if let Some(turn) = &mut self.turn
            && self.has_work
            && !turn.asked
        {
            turn.asked = true;
            effects.push(Effect::Cut { height, round: turn.round });
        }
    }

    /// The slice that this validator proposes.
    pub(super) fn cut(
        &mut self,
        height: Height,
        round: u32,
        header: Option<Header>,
        effects: &mut Vec<Effect>,
    ) {
        let current = self.phase == Phase::Deciding && height == self.tip.height.next();
        let Some(turn) = self.turn.as_mut().filter(|turn| current && turn.round == round) else {
            // The answer to a question of a round that is over.
            return;
        };
        turn.asked = false;
        let Some(header) = header else {
            self.has_work = false;
            return;
        };
        if let Err(fault) = follows(&self.tip, &header, header.time_ms) {
            let why = format!("the block cut here for height {height} is not valid: {fault}");
            return effects.push(Effect::Alarm(why));
        }
        self.turn = None;
        let me = self.me.expect("only a validator has a turn");
        self.bodies.remember(&header, round, me, Some(true));
        self.feed(In::Propose { round, header }, effects);
    }

    pub(super) fn round_timer(&mut self, timer: Timer, effects: &mut Vec<Effect>) {
        // Invariant: a timer of another height or of an earlier start never reaches the
        // voting rules: to them a timer has no height, and would move this one.
        if let Timer::Round { round, step, .. } = timer
            && self.timers.remove(&timer)
        {
            self.feed(In::TimeoutElapsed { round, step }, effects);
        }
    }

    fn decide(&mut self, certificate: Certificate, effects: &mut Vec<Effect>) {
        let header = self.bodies.header(&certificate.block).cloned();
        let header = header.expect("the voting rules decide only what was proposed to them");
        self.stop_deciding(effects);
        effects.push(Effect::Commit { header, certificate });
    }

    /// The height is decided; until it is stored, nothing more is done about it.
    pub(super) fn stop_deciding(&mut self, effects: &mut Vec<Effect>) {
        self.phase = Phase::Storing;
        self.turn = None;
        self.cancel_all(effects);
    }

    /// A block is stored: the next height is open.
    pub(super) fn committed(&mut self, tip: Tip, effects: &mut Vec<Effect>) {
        assert_eq!(self.phase, Phase::Storing, "only what was decided is stored");
        assert_eq!(tip.height, self.tip.height.next(), "one block after the other");
        self.tip = tip;
        self.phase = Phase::Idle;
        self.has_work = false;
        self.bodies.clear();
        self.reported.clear();
        let next = std::mem::replace(&mut self.next, Heard::new(self.tip.height.next().next()));
        self.previous = std::mem::replace(&mut self.heard, next);
        let height = self.tip.height;
        self.accused.retain(|(_, at, _, _)| *at >= height);
        self.caught_up_one(effects);
        self.wake(effects);
    }

    /// Whether the voting rules should hear of it: of what is new, and once for each slot of
    /// what contradicts it, whose proof is handed over. Not again: each time, the voting
    /// rules would log it.
    fn is_news(&mut self, noted: Noted, effects: &mut Vec<Effect>) -> bool {
        let evidence = match noted {
            Noted::New => return true,
            Noted::Known => return false,
            Noted::Conflict(evidence) => evidence,
        };
        let slot = match &evidence {
            Evidence::Votes(pair) => {
                let SignedVote { kind, height, round, validator, .. } = &pair.0;
                (SignedKind::from(*kind), *height, *round, *validator)
            }
            Evidence::Proposals(pair) => {
                let SignedProposal { header, round, validator, .. } = &pair.0;
                (SignedKind::Proposal, header.height, *round, *validator)
            }
        };
        let new = self.accused.insert(slot);
        if new {
            effects.push(Effect::Evidence(evidence));
        }
        new
    }

    /// Whether the signers of a certificate have the power that it takes. Checked before it
    /// is kept to be passed on: its round number is its sender's to choose.
    fn is_strong(&self, message: &Message) -> bool {
        let (signers, thirds) = match message {
            Message::PolkaCertificate(certificate) => {
                (signers(certificate.signatures.iter().map(|(validator, _)| *validator)), 2)
            }
            Message::RoundCertificate(certificate) => {
                let thirds = match certificate.kind {
                    RoundCertificateKind::Precommit => 2,
                    RoundCertificateKind::Skip => 1,
                };
                (signers(certificate.signatures.iter().map(|signed| signed.validator)), thirds)
            }
            Message::Proposal(_) | Message::Vote(_) | Message::Status(_) => return false,
        };
        self.is_more_than(thirds, signers)
    }

    /// Whether those validators have more than so many thirds of the power.
    fn is_more_than(&self, thirds: u128, signers: u128) -> bool {
        let validators = self.genesis.validators().iter().zip(0..);
        let signed = validators.filter(|(_, index)| signers & bit(*index) != 0);
        let power: u64 = signed.map(|(validator, _)| validator.power).sum();
        u128::from(power) * 3 > u128::from(self.genesis.total_power()) * thirds
    }
}

/// The votes that a message carries.
fn votes_of(message: &Message) -> Vec<SignedVote> {
    match message {
        Message::Vote(vote) => vec![vote.clone()],
        Message::PolkaCertificate(PolkaCertificate { height, round, block, signatures }) => {
            let votes = signatures.iter().map(|(validator, signature)| SignedVote {
                kind: VoteKind::Prevote,
                height: *height,
                round: *round,
                block: Some(*block),
                validator: *validator,
                signature: *signature,
            });
            votes.collect()
        }
        Message::RoundCertificate(RoundCertificate { height, round, signatures, .. }) => {
            let votes = signatures.iter().map(|signed| SignedVote {
                kind: signed.kind,
                height: *height,
                round: *round,
                block: signed.block,
                validator: signed.validator,
                signature: signed.signature,
            });
            votes.collect()
        }
        Message::Proposal(_) | Message::Status(_) => Vec::new(),
    }
}

/// Keeps the newest of each kind, to pass it on.
fn keep(heard: &mut Heard, message: &Message) {
    match message {
        Message::PolkaCertificate(certificate)
            if heard.polka.as_ref().is_none_or(|known| known.round < certificate.round) =>
        {
            heard.polka = Some(certificate.clone());
        }
        Message::RoundCertificate(certificate)
            if heard.entry.as_ref().is_none_or(|known| known.round < certificate.round) =>
        {
            heard.entry = Some(certificate.clone());
        }
        _ => (),
    }
}
