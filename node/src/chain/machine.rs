//! The chain as a pure state machine: inputs in, effects out. No clock, no I/O, no await.

use std::{sync::Arc, time::Duration};

use cairn_ledger::{
    block::{Header, Tip},
    encoding::DecodeError,
    genesis::Genesis,
    ids::{BlockId, Height, Position},
    signature::SigningKey,
    vote::{Certificate, VoteKind},
};

use super::message::{Evidence, Message, PolkaCertificate, SignedProposal, SignedVote};
use crate::mesh::Peer;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The first input, once: what the write-ahead log has of the height after the tip, in order.
    Start {
        /// Replayed before anything else.
        journal: Vec<Record>,
    },
    /// How far the log reaches here, and whether it holds a batch after the tip's position.
    Ordered {
        /// The last position that is readable here.
        end: Position,
        /// Whether there is something to put into a block.
        has_work: bool,
    },
    /// A message that [`super::message::verify`] has let pass.
    Received {
        /// The peer that sent it; not always the signer.
        from: Peer,
        /// What it says.
        message: Message,
    },
    /// A connection to a peer is up.
    PeerConnected(Peer),
    /// It is gone.
    PeerDisconnected(Peer),
    /// A timer that was scheduled has run out.
    TimerFired(Timer),
    /// The answer to [`Effect::Cut`].
    Cut {
        /// As asked.
        height: Height,
        /// As asked.
        round: u32,
        /// The sealed header of the next slice, whose body is durable here; nothing when
        /// there is nothing to put into a block yet.
        header: Option<Header>,
    },
    /// The answer to [`Effect::Examine`] and to [`Effect::FetchBody`].
    Examined {
        /// The block.
        block: BlockId,
        /// What came of it.
        verdict: Verdict,
    },
    /// The answer to [`Effect::Commit`] and [`Effect::CommitSynced`]: block, certificate and
    /// state are durable; what is next builds on this.
    Committed(Tip),
    /// The answer to [`Effect::FetchBlocks`]: a block whose encoding is sound (the body
    /// belongs to the header). Its certificate is checked by the machine.
    Certified {
        /// Who sent it.
        from: Peer,
        /// The block's header.
        header: Header,
        /// Its proof.
        certificate: Certificate,
    },
    /// The other answer to [`Effect::FetchBlocks`]: that peer had nothing usable.
    Unanswered {
        /// Who was asked.
        from: Peer,
    },
}

/// What a validator finds when it looks at a proposed block's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The body is durable here, was executed, and gives what the header says.
    Valid,
    /// It does not; why.
    Invalid(String),
    /// The body is not here (and not in the log).
    Missing,
}

/// Something to do. The shell runs effects strictly in list order; everything that was
/// journalled so far is on the disk (fdatasync) before a later `Broadcast` or `Send` leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Append to the write-ahead log of the height.
    Journal(Record),
    /// To every other validator.
    Broadcast(Message),
    /// To one.
    Send {
        /// Whom.
        to: Peer,
        /// What.
        message: Message,
    },
    /// Fire `timer` once after that time; replaces an equal one that is still running.
    Schedule {
        /// Which.
        timer: Timer,
        /// From now.
        after: Duration,
    },
    /// Forget that timer, if it is running.
    Cancel(Timer),
    /// Forget all timers of rounds ([`Timer::Round`]).
    CancelAll,
    /// This validator proposes: cut the next slice of the log, make its body durable, and
    /// answer with [`Input::Cut`].
    Cut {
        /// The height.
        height: Height,
        /// The round.
        round: u32,
    },
    /// Make the body durable, execute it, compare, and answer with [`Input::Examined`].
    /// Structure was checked; the time against this machine's clock was not.
    Examine {
        /// What is proposed.
        header: Header,
    },
    /// Ask that peer for the body, then as [`Effect::Examine`].
    FetchBody {
        /// What is proposed.
        header: Header,
        /// Whom to ask.
        from: Peer,
    },
    /// Decided here by votes: store the examined block with its certificate, atomically;
    /// then empty the journal; answer with [`Input::Committed`].
    Commit {
        /// The block's header.
        header: Header,
        /// The proof.
        certificate: Certificate,
    },
    /// Decided elsewhere: execute and store the block of the [`Input::Certified`] that led
    /// here; then empty the journal; answer with [`Input::Committed`].
    CommitSynced {
        /// Who sent it.
        from: Peer,
        /// The block's header.
        header: Header,
        /// The proof.
        certificate: Certificate,
    },
    /// Ask that peer for the certified block at a height; answer with [`Input::Certified`]
    /// or [`Input::Unanswered`]. Asking for more than one at once is the shell's affair.
    FetchBlocks {
        /// Whom to ask.
        from: Peer,
        /// The height after the tip.
        height: Height,
    },
    /// Keep this: it names a validator that signed two things.
    Evidence(Evidence),
    /// Tell the operator.
    Alarm(String),
    /// This node must not go on: tell the operator why, then end the process. The machine
    /// takes no further input.
    Halt(String),
}

/// What is being waited for. A timer of a height or round that is over is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The voting rules' own.
    Round {
        /// At which height.
        height: Height,
        /// In which round.
        round: u32,
        /// For what.
        step: Step,
    },
    /// Time to tell the others how far this validator is.
    Status,
    /// A body did not come: ask another peer.
    Body(BlockId),
    /// A block did not come: ask another peer.
    Blocks(Height),
}

/// What a round's timer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The proposal.
    Propose,
    /// More prevotes, once two thirds have voted something.
    Prevote,
    /// More precommits, once two thirds have voted something.
    Precommit,
}

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
        todo!()
    }

    /// Reads the binary form, within bounds.
    pub fn decode(bytes: &[u8], validators: usize) -> Result<Self, DecodeError> {
        let _ = (bytes, validators);
        todo!()
    }
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a proposal and its body: covers cutting, one fdatasync on each side, a body's way
    /// through the log, and execution.
    pub propose: Duration,
    /// For stragglers' prevotes.
    pub prevote: Duration,
    /// For stragglers' precommits.
    pub precommit: Duration,
    /// More each round, so that some round is long enough for whatever the network does.
    pub round_more: Duration,
    /// No wait of a round is longer, so that a healed network is used soon.
    pub round_max: Duration,
    /// Between statuses while something is in progress: bounds how long a loss delays.
    pub status: Duration,
    /// Between statuses of an idle chain: bounds how long a lag goes unnoticed.
    pub status_idle: Duration,
    /// Before another peer is asked for a body or a block.
    pub fetch: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            propose: Duration::from_millis(1000),
            prevote: Duration::from_millis(500),
            precommit: Duration::from_millis(500),
            round_more: Duration::from_millis(250),
            round_max: Duration::from_secs(10),
            status: Duration::from_millis(250),
            status_idle: Duration::from_secs(5),
            fetch: Duration::from_millis(1000),
        }
    }
}

/// Rules broken on purpose, so that the simulation can prove it would notice.
#[cfg(feature = "planted-bugs")]
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

/// The chain, as seen by one node. Same inputs, same effects.
pub struct Machine {
    genesis: Arc<Genesis>,
    me: Option<Peer>,
    tip: Tip,
    timeouts: Timeouts,
}

impl Machine {
    /// A machine on top of `tip`. `me` is this node's index when it is a validator of the
    /// chain; without `signer` it follows, verifies and serves, and never votes.
    pub fn new(
        genesis: Arc<Genesis>,
        me: Option<Peer>,
        signer: Option<SigningKey>,
        tip: Tip,
        timeouts: Timeouts,
    ) -> Self {
        let _ = signer;
        Self { genesis, me, tip, timeouts }
    }

    /// Takes one input to completion.
    #[must_use = "an effect that nobody runs is a lost vote"]
    pub fn step(&mut self, input: Input) -> Vec<Effect> {
        let _ = (&self.genesis, self.me, self.timeouts, input);
        todo!()
    }

    /// What the next block builds on.
    pub fn tip(&self) -> &Tip {
        &self.tip
    }

    /// The round of the height in progress; nothing while the chain is idle.
    pub fn round(&self) -> Option<u32> {
        None
    }

    /// Breaks a rule.
    #[cfg(feature = "planted-bugs")]
    pub fn plant(&mut self, plant: Plant) {
        let _ = plant;
    }
}
