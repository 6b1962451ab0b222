//! Malachite's voting rules (proposals, prevotes, precommits, locks) behind one plain
//! `step`: an input in, a list of what follows out.
//!
//! The library asks for signatures and checks while it works; those are answered here at
//! once. Everything else is collected and handed to [`super::machine`], because the library
//! carries on when a handler fails: a vote would be published although it was not logged.

mod context;
mod convert;
#[cfg(feature = "planted-bugs")]
mod plant;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use cairn_ledger::{
    block::Header,
    genesis::Genesis,
    ids,
    signature::SigningKey,
    vote::{Certificate, proposal_sign_bytes, vote_sign_bytes},
};
pub(crate) use context::proposer;
use context::{Address, Context, ValidatorSet, Value};
use malachite_core::{self as library, Effect, Params, Resumable, Resume, State};
use malachite_types::{
    self as types, CertificateError, Round, SignedMessage, ThresholdParams, Validator as _,
    ValidatorSet as _, ValuePayload, VoteExtensionPolicy, VotingPower,
};

use super::{
    machine::{Record, Step},
    message::{Message, PolkaCertificate, RoundCertificate, SignedProposal, SignedVote},
};

/// Most rounds ahead of its own that the voting rules look: a vote further ahead is
/// dropped, so that memory per height stays bounded whatever round numbers arrive.
pub(crate) const ROUNDS_AHEAD_MAX: u32 = library::MAX_FUTURE_ROUND_LOOKAHEAD;

/// What the voting rules are told.
#[derive(Clone, Debug)]
pub(crate) enum In {
    /// Begin the next height.
    StartHeight(ids::Height),
    /// A vote whose signature was checked.
    Vote(SignedVote),
    /// A proposal whose signature was checked.
    Proposal(SignedProposal),
    /// A certificate whose signatures were checked.
    PolkaCertificate(PolkaCertificate),
    /// A certificate whose signatures were checked.
    RoundCertificate(RoundCertificate),
    /// The header that this validator proposes; its body is durable here.
    Propose {
        /// The round that it was cut for.
        round: u32,
        /// What to propose.
        header: Header,
    },
    /// What came of examining a block.
    Examined {
        /// The round of a proposal of it.
        round: u32,
        /// What was proposed.
        header: Header,
        /// Who proposed it.
        proposer: u16,
        /// Whether it may be voted for.
        valid: bool,
    },
    /// A timer ran out.
    TimeoutElapsed {
        /// The round.
        round: u32,
        /// Which.
        step: Step,
    },
}

/// What follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Out {
    /// To be durable before anything that is sent after it.
    Record(Record),
    /// To the other validators.
    Send(Message),
    /// Start a timer.
    Schedule(u32, Step),
    /// Stop a timer.
    Cancel(u32, Step),
    /// Stop all timers.
    CancelAll,
    /// A round began.
    Round(u32),
    /// It is this validator's turn to propose in that round.
    Propose(u32),
    /// The height is decided.
    Decide(Certificate),
}

/// The voting rules cannot go on; this instance is of no further use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the voting rules stopped: {0}")]
pub(crate) struct Fatal(String);

/// The voting rules of one height after the other, with the key that signs.
pub(crate) struct Core {
    state: State<Context>,
    signer: Option<SigningKey>,
    genesis: Arc<Genesis>,
    set: ValidatorSet,
    poisoned: bool,
    #[cfg(feature = "planted-bugs")]
    bug: plant::Bug,
}

impl Core {
    /// Voting rules that wait for `next` to be started. Without `signer` nothing is ever
    /// signed: the node is nobody to the library, which then never asks.
    pub(crate) fn new(
        genesis: Arc<Genesis>,
        me: Option<u16>,
        signer: Option<SigningKey>,
        next: ids::Height,
    ) -> Self {
        let set = ValidatorSet::of(&genesis);
        let (address, signer) = match (me, signer) {
            (Some(me), Some(signer)) => {
                let key = genesis.validators().get(usize::from(me)).map(|v| v.consensus_key);
                assert_eq!(key, Some(signer.public()), "the signer is that validator's own");
                (Address(me), Some(signer))
            }
            _ => (Address::NOBODY, None),
        };
        let params = Params {
            address,
            threshold_params: ThresholdParams::default(),
            // Not `ProposalOnly`: that takes every proposal for valid by itself. So a
            // prevote waits for `In::Examined`.
            value_payload: ValuePayload::ProposalAndParts,
            enabled: signer.is_some(),
        };
        // The library's own queue holds what comes before a height starts; the machine
        // keeps such messages itself and feeds none early, so a small queue is enough.
        let per_height = 4 * genesis.validators().len();
        let state = State::new(Context, convert::height(next), set.clone(), params, 2, per_height);
        Self {
            state,
            signer,
            genesis,
            set,
            poisoned: false,
            #[cfg(feature = "planted-bugs")]
            bug: plant::Bug::default(),
        }
    }

    /// The round that the height in progress is in.
    pub(crate) fn round(&self) -> u32 {
        self.state.round().as_u32().unwrap_or(0)
    }

    /// Takes one input to completion.
    ///
    /// # Errors
    /// When the library reports an error: its state is then half-changed, so every later
    /// call fails too.
    pub(crate) fn step(&mut self, input: In) -> Result<Vec<Out>, Fatal> {
        let input = self.translate(input);
        self.process(input)
    }

    /// Feeds what the write-ahead log holds of a height that was just started. A signature
    /// that is on record is used again and none is made in its place.
    ///
    /// # Errors
    /// When replaying leads to another vote than the recorded one.
    pub(crate) fn replay(&mut self, journal: Vec<Record>) -> Result<Vec<Out>, Fatal> {
        let inputs: Vec<_> = journal.iter().cloned().map(convert::record).collect();
        self.state.index_wal_entries(&inputs);
        let mut outs = Vec::new();
        for input in inputs {
            outs.extend(self.process(input)?);
        }
        self.state.reset_entries_index();
        // What is on record need not be recorded again; but a vote that the crash kept out
        // of the log was signed just now, and must be there before it leaves.
        outs.retain(|out| !matches!(out, Out::Record(record) if journal.contains(record)));
        Ok(outs)
    }

    fn translate(&self, input: In) -> convert::Input {
        match input {
            In::StartHeight(height) => {
                // Invariant: heights only grow. The library would go back silently.
                assert!(convert::height(height) >= self.state.height(), "heights only grow");
                // Not as a "restart": that throws away what was buffered for the height.
                convert::Input::StartHeight(
                    convert::height(height),
                    self.set.clone(),
                    false,
                    None,
                    VoteExtensionPolicy::Disabled,
                )
            }
            In::Vote(vote) => convert::Input::Vote(convert::vote(vote)),
            In::Proposal(proposal) => convert::Input::Proposal(convert::proposal(proposal)),
            In::PolkaCertificate(certificate) => {
                convert::Input::PolkaCertificate(convert::polka(certificate))
            }
            In::RoundCertificate(certificate) => {
                convert::Input::RoundCertificate(convert::round(certificate))
            }
            In::Propose { round, header } => {
                convert::Input::Propose(library::LocallyProposedValue::new(
                    convert::height(header.height),
                    Round::new(round),
                    Value::new(header),
                ))
            }
            In::Examined { round, header, proposer, valid } => {
                convert::record(Record::ProposedValue {
                    round,
                    header: Box::new(header),
                    proposer,
                    valid_round: None,
                    valid,
                })
            }
            In::TimeoutElapsed { round, step } => {
                convert::Input::TimeoutElapsed(convert::timeout(round, step))
            }
        }
    }

    fn process(&mut self, input: convert::Input) -> Result<Vec<Out>, Fatal> {
        if self.poisoned {
            return Err(Fatal("it failed before".to_owned()));
        }
        let mut outs = Vec::new();
        let answerer = Answerer {
            signer: self.signer.as_ref(),
            genesis: &self.genesis,
            #[cfg(feature = "planted-bugs")]
            bug: self.bug,
        };
        let done: Result<(), library::Error<Context>> = library::process!(
            input: input,
            state: &mut self.state,
            metrics: &(),
            with: effect => Ok::<_, Fatal>(answerer.answer(effect, &mut outs))
        );
        if let Err(error) = done {
            self.poisoned = true;
            return Err(Fatal(error.to_string()));
        }
        Ok(outs)
    }
}

/// Answers the library's questions while it works, and collects the rest.
struct Answerer<'a> {
    signer: Option<&'a SigningKey>,
    genesis: &'a Genesis,
    #[cfg(feature = "planted-bugs")]
    bug: plant::Bug,
}

impl Answerer<'_> {
    /// Never fails: a failing handler is only logged by the library, which then carries on.
    fn answer(&self, effect: Effect<Context>, outs: &mut Vec<Out>) -> Resume<Context> {
        match effect {
            Effect::SignVote(vote, r) => r.resume_with(self.sign_vote(vote)),
            Effect::SignProposal(proposal, r) => r.resume_with(self.sign_proposal(proposal)),
            // Invariant: every message was verified at the edge, and every record is our
            // own; checking each signature a second time would double a height's work.
            // What is decided is verified again, as others will verify it.
            Effect::VerifySignature(_, _, r) => r.resume_with(true),
            Effect::VerifyCommitCertificate(certificate, _, _, r) => {
                r.resume_with(self.verify_commit(&certificate))
            }
            Effect::VerifyExtendedCommitCertificate(certificate, _, _, _, r) => {
                r.resume_with(self.verify_commit(&certificate.trim_vote_extensions()))
            }
            Effect::VerifyPolkaCertificate(certificate, set, thresholds, r) => {
                let signers = certificate.polka_signatures.iter().map(|s| s.address);
                r.resume_with(enough(signers, &set, |have, total| {
                    thresholds.quorum.is_met(have, total)
                }))
            }
            Effect::VerifyRoundCertificate(certificate, set, thresholds, r) => {
                r.resume_with(verify_round(&certificate, &set, thresholds))
            }
            Effect::ExtendVote(_, _, _, _, r) => r.resume_with(None),
            Effect::VerifyVoteExtension(_, _, _, _, _, _, r) => r.resume_with(Ok(())),
            other => collect(other, outs),
        }
    }

    fn sign_vote(&self, vote: context::Vote) -> types::SignedVote<Context> {
        let signer = self.signer.expect("who has no key is nobody, and is not asked to sign");
        #[cfg(feature = "planted-bugs")]
        let vote = self.bug.fall(vote);
        let bytes = vote_sign_bytes(
            &self.genesis.chain(),
            convert::kind_back(vote.kind),
            convert::height_back(vote.height),
            convert::round_back(vote.round),
            convert::value_back(&vote.value),
        );
        SignedMessage::new(vote, signer.sign(&bytes))
    }

    fn sign_proposal(&self, proposal: context::Proposal) -> types::SignedProposal<Context> {
        let signer = self.signer.expect("who has no key is nobody, and is not asked to sign");
        let bytes = proposal_sign_bytes(
            &self.genesis.chain(),
            convert::height_back(proposal.height),
            convert::round_back(proposal.round),
            proposal.valid_round.as_u32(),
            proposal.value.id,
        );
        SignedMessage::new(proposal, signer.sign(&bytes))
    }

    /// By the rule by which everyone else will verify it. The library panics when its own
    /// certificate is refused, so this must be deterministic; it is.
    fn verify_commit(
        &self,
        certificate: &types::CommitCertificate<Context>,
    ) -> Result<(), CertificateError<Context>> {
        #[cfg(feature = "planted-bugs")]
        if self.bug.believes() {
            return Ok(());
        }
        convert::certificate_back(certificate).verify(self.genesis).map_err(|error| {
            let error: Box<dyn std::error::Error + Send + Sync> = Box::new(error);
            CertificateError::VerificationError(Some(error.into()))
        })
    }
}

/// Whether distinct members with enough power signed.
fn enough(
    signers: impl Iterator<Item = Address>,
    set: &ValidatorSet,
    is_met: impl Fn(VotingPower, VotingPower) -> bool,
) -> Result<(), CertificateError<Context>> {
    let mut seen = Vec::new();
    let mut signed: VotingPower = 0;
    for address in signers {
        let validator =
            set.get_by_address(&address).ok_or(CertificateError::UnknownValidator(address))?;
        if seen.contains(&address) {
            return Err(CertificateError::DuplicateVote(address));
        }
        seen.push(address);
        signed += validator.voting_power();
    }
    let total = set.total_voting_power();
    if is_met(signed, total) {
        Ok(())
    } else {
        Err(CertificateError::NotEnoughVotingPower { signed, total, expected: total })
    }
}

fn verify_round(
    certificate: &types::RoundCertificate<Context>,
    set: &ValidatorSet,
    thresholds: ThresholdParams,
) -> Result<(), CertificateError<Context>> {
    let signers = certificate.round_signatures.iter().map(|s| s.address);
    match certificate.cert_type {
        types::RoundCertificateType::Precommit => {
            let prevote =
                |s: &&types::RoundSignature<Context>| s.vote_type == types::VoteType::Prevote;
            if let Some(signed) = certificate.round_signatures.iter().find(prevote) {
                return Err(CertificateError::InvalidVoteType(signed.address));
            }
            enough(signers, set, |have, total| thresholds.quorum.is_met(have, total))
        }
        types::RoundCertificateType::Skip => {
            enough(signers, set, |have, total| thresholds.honest.is_met(have, total))
        }
    }
}

/// What needs no answer.
fn collect(effect: Effect<Context>, outs: &mut Vec<Out>) -> Resume<Context> {
    use library::{LivenessMsg, SignedConsensusMsg};

    let (out, r) = match effect {
        Effect::WalAppend(height, input, r) => {
            (convert::record_back(height, &input).map(Out::Record), r)
        }
        Effect::PublishConsensusMsg(SignedConsensusMsg::Vote(vote), r)
        | Effect::PublishLivenessMsg(LivenessMsg::Vote(vote), r)
        | Effect::RepublishVote(vote, r) => {
            (Some(Out::Send(Message::Vote(convert::vote_back(&vote)))), r)
        }
        Effect::PublishConsensusMsg(SignedConsensusMsg::Proposal(proposal), r) => {
            let proposal = Box::new(convert::proposal_back(&proposal));
            (Some(Out::Send(Message::Proposal(proposal))), r)
        }
        Effect::PublishLivenessMsg(LivenessMsg::PolkaCertificate(certificate), r) => {
            (Some(Out::Send(Message::PolkaCertificate(convert::polka_back(&certificate)))), r)
        }
        Effect::PublishLivenessMsg(LivenessMsg::SkipRoundCertificate(certificate), r)
        | Effect::RepublishRoundCertificate(certificate, r) => {
            let certificate = convert::round_certificate_back(&certificate);
            (Some(Out::Send(Message::RoundCertificate(certificate))), r)
        }
        Effect::ScheduleTimeout(timeout, r) => {
            (convert::timeout_back(timeout).map(|(round, step)| Out::Schedule(round, step)), r)
        }
        Effect::CancelTimeout(timeout, r) => {
            (convert::timeout_back(timeout).map(|(round, step)| Out::Cancel(round, step)), r)
        }
        Effect::CancelAllTimeouts(r) => (Some(Out::CancelAll), r),
        Effect::StartRound(_, round, _, _, r) => (Some(Out::Round(convert::round_back(round))), r),
        Effect::GetValue(_, round, _, r) => (Some(Out::Propose(convert::round_back(round))), r),
        Effect::Decide(certificate, _, r) => {
            (Some(Out::Decide(convert::certificate_back(&certificate))), r)
        }
        // Bodies are not streamed; evidence is collected by the machine, which also sees
        // what comes after a decision; blocks of others are stored without the voting rules.
        Effect::RestreamProposal(.., r)
        | Effect::Finalize(.., r)
        | Effect::CertVerifiedSyncValue(.., r)
        | Effect::CertRejectedSyncValue(.., r) => (None, r),
        Effect::SignVote(..)
        | Effect::SignProposal(..)
        | Effect::VerifySignature(..)
        | Effect::VerifyCommitCertificate(..)
        | Effect::VerifyExtendedCommitCertificate(..)
        | Effect::VerifyPolkaCertificate(..)
        | Effect::VerifyRoundCertificate(..)
        | Effect::ExtendVote(..)
        | Effect::VerifyVoteExtension(..) => unreachable!("answered before"),
    };
    outs.extend(out);
    r.resume_with(())
}
