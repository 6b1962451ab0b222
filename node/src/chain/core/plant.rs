//! What a planted bug changes inside the voting rules.

use cairn_ledger::ids::BlockId;
use malachite_types::{NilOrVal, Round, ThresholdParam, ValidatorSet as _, VoteType};

use super::{
    Core,
    context::{Context, Vote},
};
use crate::chain::machine::Plant;

/// The bug, and what it needs to know.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bug {
    plant: Option<Plant>,
    /// The block of that round that a validator without a lock falls for.
    temptation: Option<(u32, BlockId)>,
}

impl Bug {
    /// A nil prevote becomes one for the tempting block.
    pub(super) fn fall(&self, mut vote: Vote) -> Vote {
        if let Some((round, block)) = self.temptation
            && vote.kind == VoteType::Prevote
            && vote.round == Round::new(round)
        {
            vote.value = NilOrVal::Val(block);
        }
        vote
    }

    /// Whether it takes its own certificates for proof, whatever they hold: a node with
    /// these bugs has no other judge.
    pub(super) fn believes(&self) -> bool {
        matches!(self.plant, Some(Plant::QuorumMinusOne | Plant::CountNil))
    }
}

impl Core {
    /// Breaks a rule. Before the first input.
    pub(crate) fn plant(&mut self, plant: Plant) {
        self.bug.plant = Some(plant);
        if plant == Plant::QuorumMinusOne {
            let total = self.set.total_voting_power();
            // More than `quorum - 2`, which is at least `quorum - 1`.
            let quorum = (total * 2 / 3).saturating_sub(1);
            self.state.params.threshold_params.quorum = ThresholdParam::new(quorum, total);
            let height = self.state.height();
            self.state = malachite_core::State::new(
                Context,
                height,
                self.set.clone(),
                self.state.params.clone(),
                2,
                4 * self.genesis.validators().len(),
            );
        }
    }

    /// What a validator that forgets its lock would prevote in that round.
    pub(crate) fn tempt(&mut self, round: u32, block: BlockId) {
        self.bug.temptation = Some((round, block));
    }
}
