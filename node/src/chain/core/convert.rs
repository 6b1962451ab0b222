//! Between what travels and is stored, and what the voting rules work on.

use cairn_ledger::{ids, vote::Certificate, vote::VoteKind};
use malachite_core as library;
use malachite_types::{
    self as types, NilOrVal, Round, SignedMessage, Timeout, TimeoutKind, Validity, VoteType,
};

use super::context::{Address, Context, Height, Proposal, Value, Vote};
use crate::chain::{
    machine::{Record, Step},
    message::{
        PolkaCertificate, RoundCertificate, RoundCertificateKind, RoundSignature, SignedProposal,
        SignedVote,
    },
};

pub(crate) type Input = library::Input<Context>;

pub(crate) fn height(height: ids::Height) -> Height {
    Height(height.0)
}

pub(crate) fn height_back(height: Height) -> ids::Height {
    ids::Height(height.0)
}

/// The number of a round that is one. Invariant: everything from outside carries its round
/// as u32, so a nil round can only be a proposal's missing proof-of-lock round.
pub(crate) fn round_back(round: Round) -> u32 {
    round.as_u32().expect("only a proof-of-lock round may be nil")
}

pub(crate) fn kind(kind: VoteKind) -> VoteType {
    match kind {
        VoteKind::Prevote => VoteType::Prevote,
        VoteKind::Precommit => VoteType::Precommit,
    }
}

pub(crate) fn kind_back(kind: VoteType) -> VoteKind {
    match kind {
        VoteType::Prevote => VoteKind::Prevote,
        VoteType::Precommit => VoteKind::Precommit,
    }
}

fn value(block: Option<ids::BlockId>) -> NilOrVal<ids::BlockId> {
    block.map_or(NilOrVal::Nil, NilOrVal::Val)
}

pub(crate) fn value_back(value: &NilOrVal<ids::BlockId>) -> Option<ids::BlockId> {
    match value {
        NilOrVal::Nil => None,
        NilOrVal::Val(block) => Some(*block),
    }
}

pub(crate) fn vote(vote: SignedVote) -> types::SignedVote<Context> {
    SignedMessage::new(
        Vote {
            kind: kind(vote.kind),
            height: height(vote.height),
            round: Round::new(vote.round),
            value: value(vote.block),
            validator: Address(vote.validator),
        },
        vote.signature,
    )
}

pub(crate) fn vote_back(signed: &types::SignedVote<Context>) -> SignedVote {
    let vote = &signed.message;
    SignedVote {
        kind: kind_back(vote.kind),
        height: height_back(vote.height),
        round: round_back(vote.round),
        block: value_back(&vote.value),
        validator: vote.validator.0,
        signature: signed.signature,
    }
}

pub(crate) fn proposal(proposal: SignedProposal) -> types::SignedProposal<Context> {
    SignedMessage::new(
        Proposal {
            height: height(proposal.header.height),
            round: Round::new(proposal.round),
            value: Value::new(proposal.header),
            valid_round: Round::from(proposal.valid_round),
            validator: Address(proposal.validator),
        },
        proposal.signature,
    )
}

pub(crate) fn proposal_back(signed: &types::SignedProposal<Context>) -> SignedProposal {
    let proposal = &signed.message;
    SignedProposal {
        header: (*proposal.value.header).clone(),
        round: round_back(proposal.round),
        valid_round: proposal.valid_round.as_u32(),
        validator: proposal.validator.0,
        signature: signed.signature,
    }
}

pub(crate) fn polka(certificate: PolkaCertificate) -> types::PolkaCertificate<Context> {
    types::PolkaCertificate {
        height: height(certificate.height),
        round: Round::new(certificate.round),
        value_id: certificate.block,
        polka_signatures: certificate
            .signatures
            .into_iter()
            .map(|(index, signature)| types::PolkaSignature::new(Address(index), signature))
            .collect(),
    }
}

pub(crate) fn polka_back(certificate: &types::PolkaCertificate<Context>) -> PolkaCertificate {
    let mut signatures: Vec<_> = certificate
        .polka_signatures
        .iter()
        .map(|signed| (signed.address.0, signed.signature))
        .collect();
    signatures.sort_unstable();
    PolkaCertificate {
        height: height_back(certificate.height),
        round: round_back(certificate.round),
        block: certificate.value_id,
        signatures,
    }
}

pub(crate) fn round(certificate: RoundCertificate) -> types::RoundCertificate<Context> {
    types::RoundCertificate {
        height: height(certificate.height),
        round: Round::new(certificate.round),
        cert_type: match certificate.kind {
            RoundCertificateKind::Precommit => types::RoundCertificateType::Precommit,
            RoundCertificateKind::Skip => types::RoundCertificateType::Skip,
        },
        round_signatures: certificate
            .signatures
            .into_iter()
            .map(|signed| {
                types::RoundSignature::new(
                    kind(signed.kind),
                    value(signed.block),
                    Address(signed.validator),
                    signed.signature,
                )
            })
            .collect(),
    }
}

pub(crate) fn round_certificate_back(
    certificate: &types::RoundCertificate<Context>,
) -> RoundCertificate {
    let mut signatures: Vec<_> = certificate
        .round_signatures
        .iter()
        .map(|signed| RoundSignature {
            validator: signed.address.0,
            kind: kind_back(signed.vote_type),
            block: value_back(&signed.value_id),
            signature: signed.signature,
        })
        .collect();
    signatures.sort_by_key(|signed| (signed.validator, signed.kind));
    RoundCertificate {
        height: height_back(certificate.height),
        round: round_back(certificate.round),
        kind: match certificate.cert_type {
            types::RoundCertificateType::Precommit => RoundCertificateKind::Precommit,
            types::RoundCertificateType::Skip => RoundCertificateKind::Skip,
        },
        signatures,
    }
}

/// The certificate as it is stored and served, signers in ascending order.
pub(crate) fn certificate_back(certificate: &types::CommitCertificate<Context>) -> Certificate {
    let mut signatures: Vec<_> = certificate
        .commit_signatures
        .iter()
        .map(|signed| (signed.address.0, signed.signature))
        .collect();
    signatures.sort_unstable();
    Certificate {
        height: height_back(certificate.height),
        round: round_back(certificate.round),
        block: certificate.value_id,
        signatures,
    }
}

pub(crate) fn timeout(round: u32, step: Step) -> Timeout {
    let kind = match step {
        Step::Propose => TimeoutKind::Propose,
        Step::Prevote => TimeoutKind::Prevote,
        Step::Precommit => TimeoutKind::Precommit,
    };
    Timeout::new(Round::new(round), kind)
}

/// The round and step of a timeout that is ours to keep. A rebroadcast is not: statuses
/// repair losses, and repair proposals too, which rebroadcasting does not.
pub(crate) fn timeout_back(timeout: Timeout) -> Option<(u32, Step)> {
    let step = match timeout.kind {
        TimeoutKind::Propose => Step::Propose,
        TimeoutKind::Prevote => Step::Prevote,
        TimeoutKind::Precommit => Step::Precommit,
        TimeoutKind::Rebroadcast | TimeoutKind::FinalizeHeight(_) => return None,
    };
    Some((round_back(timeout.round), step))
}

/// A record as the input that it was.
pub(crate) fn record(record: Record) -> Input {
    match record {
        Record::Vote(signed) => Input::Vote(vote(signed)),
        Record::Proposal(signed) => Input::Proposal(proposal(*signed)),
        Record::ProposedValue { round, header, proposer, valid_round, valid } => {
            Input::ProposedValue(
                library::ProposedValue {
                    height: height(header.height),
                    round: Round::new(round),
                    valid_round: Round::from(valid_round),
                    proposer: Address(proposer),
                    value: Value::new(*header),
                    validity: Validity::from_bool(valid),
                },
                types::ValueOrigin::Consensus,
            )
        }
        Record::TimeoutElapsed { height: _, round, step } => {
            Input::TimeoutElapsed(timeout(round, step))
        }
        Record::PolkaCertificate(certificate) => Input::PolkaCertificate(polka(certificate)),
    }
}

/// The record of an input that the voting rules want to survive a crash; nothing for what
/// is never logged.
pub(crate) fn record_back(at: Height, input: &Input) -> Option<Record> {
    Some(match input {
        Input::Vote(signed) => Record::Vote(vote_back(signed)),
        Input::Proposal(signed) => Record::Proposal(Box::new(proposal_back(signed))),
        Input::ProposedValue(value, _) => Record::ProposedValue {
            round: round_back(value.round),
            header: Box::new((*value.value.header).clone()),
            proposer: value.proposer.0,
            valid_round: value.valid_round.as_u32(),
            valid: value.validity.is_valid(),
        },
        Input::TimeoutElapsed(timeout) => {
            let (round, step) = timeout_back(*timeout)?;
            Record::TimeoutElapsed { height: height_back(at), round, step }
        }
        Input::PolkaCertificate(certificate) => Record::PolkaCertificate(polka_back(certificate)),
        Input::StartHeight(..)
        | Input::RoundCertificate(_)
        | Input::Propose(_)
        | Input::SyncValueResponse(_) => return None,
    })
}
