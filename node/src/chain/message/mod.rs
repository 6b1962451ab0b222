//! What validators tell each other about the height that is being decided: signed
//! proposals and votes, certificates made of votes, and what each has seen so far.
//!
//! Everything here is small (bodies travel elsewhere), binary, and bounded by the number
//! of validators before anything is allocated.

mod codec;
mod edge;
#[cfg(test)]
mod tests;

use cairn_ledger::{
    block::Header,
    ids::{BlockId, Height},
    vote::VoteKind,
};
pub(crate) use codec::{
    put_polka, put_proposal, put_round_option, put_vote, take_flag, take_polka, take_proposal,
    take_round_number, take_round_option, take_validator, take_vote,
};
pub use edge::verify;

use crate::mesh::Peer;

/// One validator's word for one round: a block, or nil.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedVote {
    /// First or second phase.
    pub kind: VoteKind,
    /// The height that it is about.
    pub height: Height,
    /// The round.
    pub round: u32,
    /// The block, or nothing for nil.
    pub block: Option<BlockId>,
    /// Who signed: its index in the genesis record.
    pub validator: Peer,
    /// Over [`cairn_ledger::vote::vote_sign_bytes`].
    pub signature: [u8; 64],
}

/// The header that a round's proposer wants decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedProposal {
    /// What is proposed; its height is the proposal's.
    pub header: Header,
    /// The round.
    pub round: u32,
    /// The round in which the proposer saw two thirds of prevotes for it, if it proposes again.
    pub valid_round: Option<u32>,
    /// Who signed: the proposer of this round (the header names who proposed first).
    pub validator: Peer,
    /// Over [`cairn_ledger::vote::proposal_sign_bytes`].
    pub signature: [u8; 64],
}

/// Prevotes of more than two thirds for one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolkaCertificate {
    /// The height.
    pub height: Height,
    /// The round.
    pub round: u32,
    /// The block.
    pub block: BlockId,
    /// Who, and its prevote's signature; indexes ascending.
    pub signatures: Vec<(Peer, [u8; 64])>,
}

/// What a round certificate proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoundCertificateKind {
    /// More than two thirds precommitted something: the round may end.
    Precommit,
    /// More than one third voted in that round: others may skip to it.
    Skip,
}

/// One signature of a round certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundSignature {
    /// Who.
    pub validator: Peer,
    /// Which phase.
    pub kind: VoteKind,
    /// For what.
    pub block: Option<BlockId>,
    /// The vote's signature.
    pub signature: [u8; 64],
}

/// Votes that let a validator enter or leave a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundCertificate {
    /// The height.
    pub height: Height,
    /// The round.
    pub round: u32,
    /// What it proves.
    pub kind: RoundCertificateKind,
    /// The votes, validators ascending.
    pub signatures: Vec<RoundSignature>,
}

/// What a validator has of one round. Bit `i` stands for validator `i`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The round.
    pub round: u32,
    /// Whether it has the proposal.
    pub proposal: bool,
    /// Whose prevotes it has.
    pub prevotes: u128,
    /// Whose precommits it has.
    pub precommits: u128,
}

/// How far a validator is. Sent again and again, so that whatever was lost is sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The last decided height that it has.
    pub height: Height,
    /// The block there.
    pub block: BlockId,
    /// The round that it is in at the height after; nothing while that has not begun.
    pub round: Option<u32>,
    /// What it has of the height after: the newest rounds, ascending, at most
    /// [`STATUS_ROUNDS_MAX`].
    pub seen: Vec<Seen>,
}

/// The last round of a height that is read: at the longest timeouts a height would have
/// been undecided for about a year. A larger number is nobody's honest word.
pub const ROUND_MAX: u32 = 1_000_000;

/// Most rounds that one status speaks of: the newest ones.
pub const STATUS_ROUNDS_MAX: usize = 8;

/// One message between validators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A proposal.
    Proposal(Box<SignedProposal>),
    /// A vote.
    Vote(SignedVote),
    /// Two thirds of prevotes at once.
    PolkaCertificate(PolkaCertificate),
    /// Votes that end or skip a round, at once.
    RoundCertificate(RoundCertificate),
    /// How far the sender is.
    Status(Status),
}

impl Message {
    /// The height that it is about; of a status: the one that its sender works at.
    pub fn height(&self) -> Height {
        match self {
            Self::Proposal(proposal) => proposal.header.height,
            Self::Vote(vote) => vote.height,
            Self::PolkaCertificate(certificate) => certificate.height,
            Self::RoundCertificate(certificate) => certificate.height,
            Self::Status(status) => status.height,
        }
    }
}

/// Two signed messages of one validator of which an honest one signs at most one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Two votes of the same kind for one height and round.
    Votes(Box<(SignedVote, SignedVote)>),
    /// Two proposals for one height and round.
    Proposals(Box<(SignedProposal, SignedProposal)>),
}
