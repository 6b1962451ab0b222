//! What the machine is told, and what it wants done.

use std::time::Duration;

use cairn_ledger::{
    block::{Header, Tip},
    ids::{BlockId, Height, Position},
    vote::Certificate,
};

use super::record::Record;
use crate::{
    chain::message::{Evidence, Message},
    mesh::Peer,
};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The first input, once: what the write-ahead log has of the height after the tip, in order.
    Start {
        /// Replayed before anything else.
        journal: Vec<Record>,
    },
    /// How far the log reaches here, and whether it holds a batch after the tip's position.
    /// Told whenever that changes, and anew after each [`Input::Committed`], which forgets it.
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
    /// then empty the journal; answer with [`Input::Committed`]. It is the last effect of its
    /// list. After a restart the block may be one that was examined before it: its body is
    /// durable, execute it again.
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

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a proposal and its body: covers cutting, one fdatasync on each side, a body's way
    /// through the log, and execution.
    pub propose: Duration,
    /// For the proposal of a height's first proposer when there is no connection to it: it is
    /// down, as a rule, and a quorum of others need not wait long to find out. Later rounds
    /// wait in full, for the topologies in which it is this node that is cut off.
    pub absent: Duration,
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

impl Timeouts {
    /// How long a round's timer runs.
    pub fn of(&self, round: u32, step: Step) -> Duration {
        let first = match step {
            Step::Propose => self.propose,
            Step::Prevote => self.prevote,
            Step::Precommit => self.precommit,
        };
        first.saturating_add(self.round_more.saturating_mul(round)).min(self.round_max)
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            propose: Duration::from_millis(1000),
            prevote: Duration::from_millis(500),
            absent: Duration::from_millis(150),
            precommit: Duration::from_millis(250),
            round_more: Duration::from_millis(250),
            round_max: Duration::from_secs(10),
            status: Duration::from_millis(250),
            status_idle: Duration::from_secs(5),
            fetch: Duration::from_millis(1000),
        }
    }
}
