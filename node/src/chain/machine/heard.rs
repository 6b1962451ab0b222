//! What was said about one height: kept to send it again to whoever missed it, and to
//! notice who said two things.

use std::collections::BTreeMap;

use cairn_ledger::{ids::Height, vote::VoteKind};

use crate::{
    chain::message::{
        Evidence, PolkaCertificate, RoundCertificate, STATUS_ROUNDS_MAX, Seen, SignedProposal,
        SignedVote,
    },
    mesh::Peer,
};

/// Most rounds of a height that are kept; the oldest go first. More than the voting rules
/// look ahead, and more than a status speaks of.
const ROUNDS_KEPT_MAX: usize = 32;

/// Two proposals prove that a proposer equivocates; a third adds nothing.
const PROPOSALS_MAX: usize = 2;

/// What came of hearing something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Noted {
    /// It was not known.
    New,
    /// It says nothing new.
    Known,
    /// Its signer also signed something else for the same slot.
    Conflict(Evidence),
}

/// What was said in one round.
#[derive(Debug, Default)]
pub(crate) struct RoundHeard {
    pub(crate) proposals: Vec<SignedProposal>,
    pub(crate) prevotes: BTreeMap<Peer, SignedVote>,
    pub(crate) precommits: BTreeMap<Peer, SignedVote>,
}

/// What was said about one height.
#[derive(Debug)]
pub(crate) struct Heard {
    height: Height,
    rounds: BTreeMap<u32, RoundHeard>,
    /// The newest proof that a block had two thirds of prevotes.
    pub(crate) polka: Option<PolkaCertificate>,
    /// The newest proof that a round may be entered.
    pub(crate) entry: Option<RoundCertificate>,
}

impl Heard {
    pub(crate) fn new(height: Height) -> Self {
        Self { height, rounds: BTreeMap::new(), polka: None, entry: None }
    }

    pub(crate) fn rounds(&self) -> &BTreeMap<u32, RoundHeard> {
        &self.rounds
    }

    /// Takes a vote in. Rounds after `newest` are not kept: their number is the sender's
    /// to choose, and memory is ours.
    pub(crate) fn vote(&mut self, vote: &SignedVote, newest: u32) -> Noted {
        debug_assert_eq!(vote.height, self.height);
        let Some(round) = self.round(vote.round, newest) else { return Noted::Known };
        let votes = match vote.kind {
            VoteKind::Prevote => &mut round.prevotes,
            VoteKind::Precommit => &mut round.precommits,
        };
        match votes.get(&vote.validator) {
            None => {
                votes.insert(vote.validator, vote.clone());
                Noted::New
            }
            Some(first) if first.block == vote.block => Noted::Known,
            Some(first) => {
                Noted::Conflict(Evidence::Votes(Box::new((first.clone(), vote.clone()))))
            }
        }
    }

    /// Takes a proposal in, within the same bound.
    pub(crate) fn proposal(&mut self, proposal: &SignedProposal, newest: u32) -> Noted {
        debug_assert_eq!(proposal.header.height, self.height);
        let Some(round) = self.round(proposal.round, newest) else { return Noted::Known };
        let same = |known: &SignedProposal| {
            known.header == proposal.header && known.valid_round == proposal.valid_round
        };
        if round.proposals.iter().any(same) || round.proposals.len() >= PROPOSALS_MAX {
            return Noted::Known;
        }
        round.proposals.push(proposal.clone());
        match &round.proposals[..] {
            [first, second] => {
                Noted::Conflict(Evidence::Proposals(Box::new((first.clone(), second.clone()))))
            }
            _ => Noted::New,
        }
    }

    fn round(&mut self, round: u32, newest: u32) -> Option<&mut RoundHeard> {
        let full = self.rounds.len() >= ROUNDS_KEPT_MAX && !self.rounds.contains_key(&round);
        let oldest = self.rounds.keys().next().copied();
        if round > newest || (full && oldest.is_some_and(|oldest| round < oldest)) {
            return None;
        }
        if full {
            self.rounds.pop_first();
        }
        Some(self.rounds.entry(round).or_default())
    }

    /// Who signed anything about this height.
    pub(crate) fn signers(&self) -> u128 {
        let mut signers = 0;
        for round in self.rounds.values() {
            let Seen { prevotes, precommits, .. } = round.seen(0);
            signers |= prevotes | precommits;
            signers |= bits(round.proposals.iter().map(|proposal| proposal.validator));
        }
        let entry = self.entry.iter().flat_map(|entry| &entry.signatures);
        signers | bits(entry.map(|signed| signed.validator))
    }

    /// What a status says of it.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let newest = self.rounds.len().saturating_sub(STATUS_ROUNDS_MAX);
        self.rounds.iter().skip(newest).map(|(round, heard)| heard.seen(*round)).collect()
    }
}

impl RoundHeard {
    fn seen(&self, round: u32) -> Seen {
        Seen {
            round,
            proposal: !self.proposals.is_empty(),
            prevotes: bits(self.prevotes.keys().copied()),
            precommits: bits(self.precommits.keys().copied()),
        }
    }
}

/// A bit for each. Invariant: indexes are validators', hence below 128.
pub(crate) fn bits(validators: impl Iterator<Item = Peer>) -> u128 {
    validators.fold(0, |bits, validator| bits | bit(validator))
}

/// The bit of one validator; none for an index that no chain has.
pub(crate) fn bit(validator: Peer) -> u128 {
    1_u128.checked_shl(u32::from(validator)).unwrap_or(0)
}
