//! What the write-ahead log holds of the height in progress, and which of it is a
//! signature of one's own.

use cairn_ledger::{
    block::Header,
    encoding::{DecodeError, Reader, Writer},
    ids::{BlockId, Height},
    vote::VoteKind,
};

use super::types::Step;
use crate::{
    chain::message::{
        PolkaCertificate, SignedProposal, SignedVote, put_polka, put_proposal, put_round_option,
        put_vote, take_flag, take_polka, take_proposal, take_round_number, take_round_option,
        take_validator, take_vote,
    },
    mesh::Peer,
};

/// One record of the write-ahead log: an input of the voting rules of the height in
/// progress. Replaying them in order leads to the same state and asks for no signature
/// that is not among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A vote, own or another's.
    Vote(SignedVote),
    /// A proposal, own or another's.
    Proposal(Box<SignedProposal>),
    /// What came of examining a block.
    ProposedValue {
        /// The round in which it was proposed.
        round: u32,
        /// The block's header.
        header: Box<Header>,
        /// Who proposed it in that round.
        proposer: Peer,
        /// The round of its proof of lock, if it was proposed again.
        valid_round: Option<u32>,
        /// Whether it may be voted for.
        valid: bool,
    },
    /// A timer of the voting rules ran out.
    TimeoutElapsed {
        /// The height.
        height: Height,
        /// The round.
        round: u32,
        /// Which.
        step: Step,
    },
    /// Two thirds of prevotes at once.
    PolkaCertificate(PolkaCertificate),
}

/// What was signed: all that a signature covers, and the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    /// In which slot.
    pub kind: SignedKind,
    /// The height.
    pub height: Height,
    /// The round.
    pub round: u32,
    /// For which block; nothing for nil.
    pub block: Option<BlockId>,
    /// Of a proposal: its proof-of-lock round.
    pub valid_round: Option<u32>,
    /// Over the sign bytes of that kind.
    pub signature: [u8; 64],
}

/// A validator signs each of these at most once a height and round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignedKind {
    /// As the round's proposer.
    Proposal,
    /// First phase.
    Prevote,
    /// Second phase.
    Precommit,
}

impl From<VoteKind> for SignedKind {
    fn from(kind: VoteKind) -> Self {
        match kind {
            VoteKind::Prevote => Self::Prevote,
            VoteKind::Precommit => Self::Precommit,
        }
    }
}

impl Record {
    /// The height that it belongs to.
    pub fn height(&self) -> Height {
        match self {
            Self::Vote(vote) => vote.height,
            Self::Proposal(proposal) => proposal.header.height,
            Self::ProposedValue { header, .. } => header.height,
            Self::TimeoutElapsed { height, .. } => *height,
            Self::PolkaCertificate(certificate) => certificate.height,
        }
    }

    /// What validator `me` signed, when this record holds its signature: what the journal
    /// must never let it sign otherwise.
    pub fn signed_by(&self, me: Peer) -> Option<Signed> {
        match self {
            Self::Vote(vote) if vote.validator == me => Some(Signed {
                kind: vote.kind.into(),
                height: vote.height,
                round: vote.round,
                block: vote.block,
                valid_round: None,
                signature: vote.signature,
            }),
            Self::Proposal(proposal) if proposal.validator == me => Some(Signed {
                kind: SignedKind::Proposal,
                height: proposal.header.height,
                round: proposal.round,
                block: Some(proposal.header.id()),
                valid_round: proposal.valid_round,
                signature: proposal.signature,
            }),
            Self::Vote(_)
            | Self::Proposal(_)
            | Self::ProposedValue { .. }
            | Self::TimeoutElapsed { .. }
            | Self::PolkaCertificate(_) => None,
        }
    }

    /// The binary form.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match self {
            Self::Vote(vote) => put_vote(writer.u8(1), vote),
            Self::Proposal(proposal) => put_proposal(writer.u8(2), proposal),
            Self::ProposedValue { round, header, proposer, valid_round, valid } => {
                writer.u8(3).u32(*round).raw(&header.encode()).u16(*proposer);
                put_round_option(&mut writer, *valid_round);
                writer.u8((*valid).into());
            }
            Self::TimeoutElapsed { height, round, step } => {
                writer.u8(4).u64(height.0).u32(*round).u8(match step {
                    Step::Propose => 1,
                    Step::Prevote => 2,
                    Step::Precommit => 3,
                });
            }
            Self::PolkaCertificate(certificate) => put_polka(writer.u8(5), certificate),
        }
        writer.finish()
    }

    /// Reads the binary form, within bounds.
    ///
    /// # Errors
    /// When the bytes are not what [`Record::encode`] writes for a chain of that size.
    pub fn decode(bytes: &[u8], validators: usize) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("record", bytes);
        let record = match reader.u8()? {
            1 => Self::Vote(take_vote(&mut reader, validators)?),
            2 => Self::Proposal(Box::new(take_proposal(&mut reader, validators)?)),
            3 => Self::ProposedValue {
                round: take_round_number(&mut reader)?,
                header: Box::new(Header::decode(reader.raw(Header::BYTES)?)?),
                proposer: take_validator(&mut reader, validators)?,
                valid_round: take_round_option(&mut reader)?,
                valid: take_flag(&mut reader)?,
            },
            4 => Self::TimeoutElapsed {
                height: Height(reader.u64()?),
                round: take_round_number(&mut reader)?,
                step: match reader.u8()? {
                    1 => Step::Propose,
                    2 => Step::Prevote,
                    3 => Step::Precommit,
                    _ => return Err(reader.malformed()),
                },
            },
            5 => Self::PolkaCertificate(take_polka(&mut reader, validators)?),
            _ => return Err(reader.malformed()),
        };
        reader.finish()?;
        Ok(record)
    }
}
