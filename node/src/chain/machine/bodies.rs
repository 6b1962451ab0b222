//! The blocks that are proposed for one height: which were examined, with what verdict, and
//! whom to ask for a body that is missing.

use std::collections::BTreeMap;

use cairn_ledger::{
    block::{Header, follows},
    ids::BlockId,
};

use super::{Effect, Machine, Phase, Timer, Verdict};
use crate::{
    chain::{core::In, message::SignedProposal},
    mesh::Peer,
};

/// How far a block's examination is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// Not asked for yet.
    Proposed,
    /// The shell is at it.
    Examining,
    /// The body is not here; so many peers were asked for it.
    Fetching(usize),
    /// May be voted for; its body is durable here.
    Valid,
    /// May not.
    Invalid,
}

/// One block.
#[derive(Clone, Debug)]
struct Proposed {
    header: Header,
    /// The first round in which it was seen proposed, and by whom.
    round: u32,
    proposer: Peer,
    stage: Stage,
}

/// The blocks of one height. At most two a round get in, as that many proposals do.
#[derive(Debug, Default)]
pub(super) struct Bodies(BTreeMap<BlockId, Proposed>);

impl Bodies {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn header(&self, block: &BlockId) -> Option<&Header> {
        self.0.get(block).map(|proposed| &proposed.header)
    }

    #[cfg(feature = "planted-bugs")]
    pub(super) fn is_valid(&self, block: &BlockId) -> bool {
        self.0.get(block).is_some_and(|proposed| proposed.stage == Stage::Valid)
    }

    /// Remembers a block that is proposed, and a verdict that is already known.
    pub(super) fn remember(
        &mut self,
        header: &Header,
        round: u32,
        proposer: Peer,
        valid: Option<bool>,
    ) {
        let proposed = self.0.entry(header.id()).or_insert_with(|| Proposed {
            header: header.clone(),
            round,
            proposer,
            stage: Stage::Proposed,
        });
        match valid {
            Some(true) => proposed.stage = Stage::Valid,
            Some(false) if proposed.stage != Stage::Valid => proposed.stage = Stage::Invalid,
            Some(false) | None => (),
        }
    }
}

impl Machine {
    /// Has a proposed block examined, unless it was or is being. A header that cannot follow
    /// from the tip is not worth a look at its body.
    pub(super) fn examine(&mut self, proposal: &SignedProposal, effects: &mut Vec<Effect>) {
        let SignedProposal { header, round, validator, .. } = proposal;
        let block = header.id();
        self.bodies.remember(header, *round, *validator, None);
        let Some(proposed) = self.bodies.0.get_mut(&block) else { return };
        if proposed.stage != Stage::Proposed {
            return;
        }
        // The clock is the shell's: here the header's own time passes for the present.
        match follows(&self.tip, header, header.time_ms) {
            Ok(()) => {
                proposed.stage = Stage::Examining;
                effects.push(Effect::Examine { header: header.clone() });
                #[cfg(feature = "planted-bugs")]
                self.plant_vote_before_body(block, effects);
            }
            Err(fault) => self.examined(block, Verdict::Invalid(fault.to_string()), effects),
        }
    }

    /// The shell has looked at a body, or has not found it.
    pub(super) fn examined(&mut self, block: BlockId, verdict: Verdict, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Deciding {
            return;
        }
        let Some(proposed) = self.bodies.0.get_mut(&block) else { return };
        if proposed.stage == Stage::Valid {
            return;
        }
        if matches!(proposed.stage, Stage::Fetching(_)) && verdict != Verdict::Missing {
            effects.push(Effect::Cancel(Timer::Body(block)));
        }
        let valid = match verdict {
            Verdict::Valid => true,
            Verdict::Invalid(why) => {
                let Proposed { proposer, round, .. } = proposed;
                effects.push(Effect::Alarm(format!(
                    "validator {proposer} proposed block {block} in round {round}, which is not valid: {why}"
                )));
                false
            }
            Verdict::Missing => {
                if let Stage::Fetching(asked) = proposed.stage
                    && asked % self.peers.len().max(1) == 0
                {
                    // All were asked once: wait for the timer before the next turn.
                    return;
                }
                return self.fetch_body(block, effects);
            }
        };
        proposed.stage = if valid { Stage::Valid } else { Stage::Invalid };
        let Proposed { header, round, proposer, .. } = proposed.clone();
        #[cfg(feature = "planted-bugs")]
        self.plant_temptation(round, block);
        self.feed(In::Examined { round, header, proposer, valid }, effects);
    }

    /// Asks the next peer for a body: first who proposed it, then the others in turn.
    pub(super) fn fetch_body(&mut self, block: BlockId, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Deciding {
            return;
        }
        let Some(proposed) = self.bodies.0.get_mut(&block) else { return };
        let asked = match proposed.stage {
            Stage::Fetching(asked) => asked,
            Stage::Examining => 0,
            Stage::Proposed | Stage::Valid | Stage::Invalid => return,
        };
        let first = self.peers.keys().filter(|peer| **peer == proposed.proposer);
        let others = self.peers.keys().filter(|peer| **peer != proposed.proposer);
        let order: Vec<Peer> = first.chain(others).copied().collect();
        proposed.stage = Stage::Fetching(asked + 1);
        if let Some(from) = order.get(asked % order.len().max(1)) {
            effects.push(Effect::FetchBody { header: proposed.header.clone(), from: *from });
        }
        let (timer, after) = (Timer::Body(block), self.timeouts.fetch);
        effects.push(Effect::Schedule { timer, after });
    }
}
