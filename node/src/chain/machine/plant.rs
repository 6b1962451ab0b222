//! Rules broken on purpose, one at a time, so that the simulation can prove it would notice.

use cairn_ledger::{
    ids::BlockId,
    vote::{Certificate, CertificateError},
};

use super::{Effect, Machine, Verdict};
use crate::chain::message::SignedVote;

/// Which rule is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// Forgets its lock: prevotes whatever is proposed.
    NoLock,
    /// Takes one vote less than a quorum for a quorum.
    QuorumMinusOne,
    /// Counts nil votes as votes for the block.
    CountNil,
    /// Does not check a certificate's last signature.
    SkipLastSignature,
    /// Lets votes out before they are journalled.
    SendBeforeFsync,
    /// Calls a block valid before its body was examined.
    VoteBeforeBody,
}

impl Machine {
    pub(super) fn plant_order(&self, effects: &mut [Effect]) {
        if self.plant == Some(Plant::SendBeforeFsync) {
            effects.sort_by_key(|effect| matches!(effect, Effect::Journal(_)));
        }
    }

    pub(super) fn plant_vote_before_body(&mut self, block: BlockId, effects: &mut Vec<Effect>) {
        if self.plant == Some(Plant::VoteBeforeBody) {
            self.examined(block, Verdict::Valid, effects);
        }
    }

    /// A locked validator that is tempted prevotes the block where it should prevote nil.
    pub(super) fn plant_temptation(&mut self, round: u32, block: BlockId) {
        if self.plant == Some(Plant::NoLock) && self.bodies.is_valid(&block) {
            self.core.tempt(round, block);
        }
    }

    pub(super) fn plant_count_nil(&self, mut vote: SignedVote) -> SignedVote {
        if self.plant == Some(Plant::CountNil) && vote.block.is_none() {
            let round = self.heard.rounds().get(&vote.round);
            let proposal = round.and_then(|heard| heard.proposals.first());
            vote.block = proposal.map(|proposal| proposal.header.id());
        }
        vote
    }

    pub(super) fn plant_skip_last(
        &self,
        certificate: &Certificate,
        verdict: Result<(), CertificateError>,
    ) -> Result<(), CertificateError> {
        let last = certificate.signatures.last().map(|(index, _)| *index);
        match verdict {
            Err(CertificateError::Signature(index))
                if self.plant == Some(Plant::SkipLastSignature) && Some(index) == last =>
            {
                Ok(())
            }
            verdict => verdict,
        }
    }
}
