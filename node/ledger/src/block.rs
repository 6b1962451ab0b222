//! Headers, bodies, blocks: what the federation decides.

use std::sync::Arc;

use crate::{
    encoding::DecodeError,
    execution::{Candidate, Execution, Outcome},
    ids::{BlockId, ChainId, Hash, Height, Position, TransactionId},
    vote::Certificate,
};

/// What validators vote on. Fixed binary layout; its hash is the block's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The chain.
    pub chain: ChainId,
    /// One more than the parent's.
    pub height: Height,
    /// The parent's id; for height 1 the chain id's bytes.
    pub parent: BlockId,
    /// The proposer's clock, Unix milliseconds; later than the parent's, and at most
    /// [`crate::limits::CLOCK_DRIFT_MS_MAX`] ahead of a voter's clock.
    pub time_ms: u64,
    /// Index of the validator that first proposed it.
    pub proposer: u16,
    /// The slice of the ordered log that the body is: after this position (the parent's `order_to`) …
    pub order_from: Position,
    /// … up to and including this one.
    pub order_to: Position,
    /// How many transactions the body has, refused ones included.
    pub transactions: u32,
    /// How many of them are committed.
    pub committed: u32,
    /// Merkle root over [`leaf`]s: each transaction's bytes and what became of it.
    pub outcomes_root: Hash,
    /// The state after the parent ([`crate::state::StateHash::root`]).
    pub state_root: Hash,
}

impl Header {
    /// The fixed layout.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }
    /// Reads the fixed layout; trailing bytes are malformed.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let _ = bytes;
        todo!()
    }
    /// The block's id.
    pub fn id(&self) -> BlockId {
        todo!()
    }
}

/// The Merkle leaf of one transaction: hash over domain tag, index, its id (zeros when it has
/// none), length-prefixed bytes, and outcome (code and length-prefixed text of a refusal).
pub fn leaf(index: u32, bytes: &[u8], outcome: &Outcome) -> Hash {
    let _ = (index, bytes, outcome);
    todo!()
}

/// The transactions of a block, as they were ordered.
pub type Body = Vec<Arc<[u8]>>;

/// A decided block: what is stored, served to peers and exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What was voted on.
    pub header: Header,
    /// The transactions.
    pub body: Body,
    /// What became of each.
    pub outcomes: Vec<Outcome>,
    /// The proof.
    pub certificate: Certificate,
}

impl Block {
    /// Binary form: header, certificate, transactions, outcomes.
    pub fn encode(&self, validators: usize) -> Vec<u8> {
        let _ = validators;
        todo!()
    }
    /// Reads the binary form within the limits, and checks that certificate, counts and
    /// Merkle root belong to the header. Signatures and rules are not checked here.
    pub fn decode(bytes: &[u8], validators: usize) -> Result<Self, DecodeError> {
        let _ = (bytes, validators);
        todo!()
    }
}

/// What the next header builds upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tip {
    /// The chain.
    pub chain: ChainId,
    /// The last block's height; 0 when there is none.
    pub height: Height,
    /// The last block's id; the chain id's bytes when there is none.
    pub block: BlockId,
    /// The last block's time; 0 when there is none.
    pub time_ms: u64,
    /// The last position of the log that is in a block.
    pub order: Position,
    /// The state's root after it.
    pub state_root: Hash,
}

impl Tip {
    /// Before the first block.
    pub fn genesis(chain: ChainId) -> Self {
        let _ = chain;
        todo!()
    }
    /// After a block with that header, whose execution led to that state.
    pub fn after(header: &Header, state_root: Hash) -> Self {
        let _ = (header, state_root);
        todo!()
    }
}

/// Makes the header over an executed slice of the log. `time_ms` is the proposer's clock;
/// the header's time is that or one more than the parent's, whichever is later.
pub fn seal(
    tip: &Tip,
    order_to: Position,
    candidates: &[Candidate],
    execution: &Execution,
    proposer: u16,
    time_ms: u64,
) -> Header {
    let _ = (tip, order_to, candidates, execution, proposer, time_ms);
    todo!()
}

/// Why a header cannot be voted for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// Not the next block of this chain.
    #[error("{0} is not what follows from the tip")]
    NotNext(&'static str),
    /// Its time is not after its parent's, or too far ahead of this clock.
    #[error(
        "time {time_ms} is not after the parent's, or more than {ahead_ms} ms ahead of this clock"
    )]
    Time {
        /// What it says.
        time_ms: u64,
        /// What would be fine.
        ahead_ms: u64,
    },
    /// This validator computes another root from the same transactions.
    #[error("{0} differs from what executing the transactions gives")]
    Outcome(&'static str),
}

/// Whether `header` follows from `tip`, apart from its transactions: chain, height, parent,
/// log position, state root, time (`now_ms` is this validator's clock), counts within limits.
pub fn follows(tip: &Tip, header: &Header, now_ms: u64) -> Result<(), HeaderFault> {
    let _ = (tip, header, now_ms);
    todo!()
}

/// Whether executing the candidates gives what the header says.
pub fn matches(
    header: &Header,
    candidates: &[Candidate],
    execution: &Execution,
) -> Result<(), HeaderFault> {
    let _ = (header, candidates, execution);
    todo!()
}

/// A transaction's place in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The block.
    pub height: Height,
    /// The index in its body.
    pub index: u32,
}

/// What a block says about one of its transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its id, if it has one.
    pub id: Option<TransactionId>,
    /// Where.
    pub place: Place,
    /// What became of it.
    pub outcome: Outcome,
}
