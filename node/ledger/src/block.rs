//! Headers, bodies, blocks: what the federation decides.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::{
    encoding::{DecodeError, Reader, Writer},
    execution::{Candidate, Execution, Outcome},
    ids::{BlockId, ChainId, Hash, Height, Position, TransactionId},
    limits::{
        BLOCK_BYTES_MAX, BLOCK_TRANSACTIONS_MAX, CLOCK_DRIFT_MS_MAX, REFUSAL_BYTES_MAX,
        TRANSACTION_BYTES_MAX, VALIDATORS_MAX,
    },
    merkle,
    refusal::Recorded,
    state::StateHash,
    vote::Certificate,
};

/// Domain tag of a header.
const HEADER_TAG: &[u8; 14] = b"cairn/header/1";
/// Domain tag of a transaction's leaf.
const LEAF_TAG: &[u8] = b"cairn/leaf/1";
/// Largest certificate, encoded: what a full set makes.
const CERTIFICATE_BYTES_MAX: usize = 8 + 4 + 32 + VALIDATORS_MAX.div_ceil(8) + VALIDATORS_MAX * 64;
/// First bytes of a stored block.
const BLOCK_TAG: &[u8; 13] = b"cairn/block/1";

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
    /// Bytes of the fixed layout.
    pub const BYTES: usize = HEADER_TAG.len() + 4 * 32 + 4 * 8 + 2 + 2 * 4;

    /// The fixed layout: domain tag, then the fields in the order of their declaration.
    pub fn encode(&self) -> Vec<u8> {
        let Self { chain, height, parent, time_ms, proposer, order_from, order_to, .. } = self;
        let Self { transactions, committed, outcomes_root, state_root, .. } = self;
        let mut writer = Writer::tagged(HEADER_TAG);
        writer.raw(&chain.0).u64(height.0).raw(&parent.0).u64(*time_ms).u16(*proposer);
        writer.u64(order_from.0).u64(order_to.0).u32(*transactions).u32(*committed);
        writer.raw(&outcomes_root.0).raw(&state_root.0);
        writer.finish()
    }
    /// Reads the fixed layout; trailing bytes are malformed.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("header", bytes);
        tag(&mut reader, HEADER_TAG)?;
        // Fields of a struct expression are evaluated in the order they are written here.
        let header = Self {
            chain: ChainId(reader.array()?),
            height: Height(reader.u64()?),
            parent: BlockId(reader.array()?),
            time_ms: reader.u64()?,
            proposer: reader.u16()?,
            order_from: Position(reader.u64()?),
            order_to: Position(reader.u64()?),
            transactions: reader.u32()?,
            committed: reader.u32()?,
            outcomes_root: Hash(reader.array()?),
            state_root: Hash(reader.array()?),
        };
        reader.finish()?;
        Ok(header)
    }
    /// The block's id: SHA-256 of the fixed layout.
    pub fn id(&self) -> BlockId {
        BlockId(Sha256::digest(self.encode()).into())
    }
}

fn tag(reader: &mut Reader<'_>, tag: &[u8]) -> Result<(), DecodeError> {
    let malformed = reader.malformed();
    if reader.raw(tag.len())? == tag { Ok(()) } else { Err(malformed) }
}

/// The Merkle leaf of one transaction: hash over RFC 6962's leaf prefix, domain tag, index,
/// length-prefixed bytes, and outcome (kind; of a refusal number and length-prefixed text).
pub fn leaf(index: u32, bytes: &[u8], outcome: &Outcome) -> Hash {
    let mut front = Writer::tagged(&[merkle::LEAF_PREFIX]);
    front.raw(LEAF_TAG).u32(index);
    front.u32(u32::try_from(bytes.len()).expect("a transaction is far below 4 GiB"));
    let mut back = Writer::default();
    write_outcome(&mut back, outcome);
    // Three pieces, so that the transaction is hashed where it lies.
    let hash = Sha256::new().chain_update(front.finish()).chain_update(bytes);
    Hash(hash.chain_update(back.finish()).finalize().into())
}

const COMMITTED: u8 = 0;
const REFUSED: u8 = 1;

fn write_outcome(writer: &mut Writer, outcome: &Outcome) {
    match outcome {
        Outcome::Committed => writer.u8(COMMITTED),
        Outcome::Refused(Recorded { number, text }) => {
            writer.u8(REFUSED).u16(*number).bytes(text.as_bytes())
        }
    };
}

fn read_outcome(reader: &mut Reader<'_>) -> Result<Outcome, DecodeError> {
    let malformed = reader.malformed();
    match reader.u8()? {
        COMMITTED => Ok(Outcome::Committed),
        REFUSED => {
            let number = reader.u16()?;
            let text = std::str::from_utf8(reader.bytes(REFUSAL_BYTES_MAX)?);
            let text = text.map_err(|_| malformed)?.to_owned();
            Ok(Outcome::Refused(Recorded { number, text }))
        }
        _ => Err(malformed),
    }
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

/// Where a block's binary form has its certificate, length first.
const CERTIFICATE_AT: usize = BLOCK_TAG.len() + Header::BYTES;

impl Block {
    /// Binary form: tag, header, certificate, transactions, outcomes. The header's count
    /// says how many there are of the last two.
    ///
    /// # Panics
    /// Where [`Certificate::encode`] does.
    pub fn encode(&self, validators: usize) -> Vec<u8> {
        let mut writer = Writer::tagged(BLOCK_TAG);
        writer.raw(&self.header.encode()).bytes(&self.certificate.encode(validators));
        for transaction in &self.body {
            writer.bytes(transaction);
        }
        for outcome in &self.outcomes {
            write_outcome(&mut writer, outcome);
        }
        writer.finish()
    }
    /// The binary form in two: what every validator of the chain has byte for byte, and the
    /// certificate, of which each keeps the first quorum that it saw. [`Block::join`] puts
    /// them together again.
    ///
    /// # Panics
    /// Where [`Certificate::encode`] does.
    pub fn encode_apart(&self, validators: usize) -> (Vec<u8>, Vec<u8>) {
        let whole = self.encode(validators);
        let certificate = self.certificate.encode(validators);
        let mut chain = Writer::default();
        chain.raw(&whole[..CERTIFICATE_AT]).bytes(&[]);
        chain.raw(&whole[CERTIFICATE_AT + 4 + certificate.len()..]);
        (chain.finish(), certificate)
    }
    /// The binary form from its two parts, for [`Block::decode`].
    ///
    /// # Errors
    /// When the first part is not one that [`Block::encode_apart`] makes.
    pub fn join(chain: &[u8], certificate: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let mut reader = Reader::new("block without certificate", chain);
        let head = reader.raw(CERTIFICATE_AT)?;
        reader.bytes(0)?;
        let mut whole = Writer::default();
        whole.raw(head).bytes(certificate).raw(&chain[CERTIFICATE_AT + 4..]);
        Ok(whole.finish())
    }
    /// Reads the binary form within the limits, and checks that certificate, counts and
    /// Merkle root belong to the header. Signatures and rules are not checked here.
    pub fn decode(bytes: &[u8], validators: usize) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("block", bytes);
        tag(&mut reader, BLOCK_TAG)?;
        let header = Header::decode(reader.raw(Header::BYTES)?)?;
        let certificate = Certificate::decode(reader.bytes(CERTIFICATE_BYTES_MAX)?, validators)?;
        let malformed = reader.malformed();
        if certificate.height != header.height || certificate.block != header.id() {
            return Err(malformed);
        }
        let count = header.transactions as usize;
        if count > BLOCK_TRANSACTIONS_MAX {
            return Err(malformed);
        }
        let (mut body, mut size) = (Body::with_capacity(count), 0);
        for _ in 0..count {
            let transaction = reader.bytes(TRANSACTION_BYTES_MAX)?;
            size += transaction.len();
            if size > BLOCK_BYTES_MAX {
                return Err(malformed);
            }
            body.push(transaction.into());
        }
        let mut outcomes = Vec::with_capacity(count);
        for _ in 0..count {
            outcomes.push(read_outcome(&mut reader)?);
        }
        reader.finish()?;
        let pairs = body.iter().map(|bytes| &**bytes).zip(&outcomes);
        if count_committed(&outcomes) != header.committed
            || merkle::root(&leaves(pairs)) != header.outcomes_root
        {
            return Err(malformed);
        }
        Ok(Self { header, body, outcomes, certificate })
    }
    /// Where in a binary form its transactions begin, from its first [`Block::HEAD_BYTES`]:
    /// each is its length in four bytes, big-endian, then itself. Nothing when these bytes
    /// begin no block.
    pub fn body_at(head: &[u8]) -> Option<usize> {
        let (certificate, _) = head.get(CERTIFICATE_AT..)?.split_first_chunk::<4>()?;
        let certificate = usize::try_from(u32::from_be_bytes(*certificate)).ok()?;
        let fits = head.starts_with(BLOCK_TAG) && certificate <= CERTIFICATE_BYTES_MAX;
        fits.then_some(Self::HEAD_BYTES + certificate)
    }
    /// What [`Block::body_at`] needs to see.
    pub const HEAD_BYTES: usize = CERTIFICATE_AT + 4;
    /// The leaves of its Merkle tree, in order.
    pub fn leaves(&self) -> Vec<Hash> {
        leaves(self.body.iter().map(|bytes| &**bytes).zip(&self.outcomes))
    }
}

/// The header of a block whose binary form ([`Block::encode`]) begins with these bytes.
///
/// # Errors
/// When they are too few, or begin something else.
pub fn front(bytes: &[u8]) -> Result<Header, DecodeError> {
    let mut reader = Reader::new("front of a block", bytes);
    tag(&mut reader, BLOCK_TAG)?;
    Header::decode(reader.raw(Header::BYTES)?)
}

/// The leaves over transactions and what became of them: the one place where a body becomes
/// hashes, for whoever seals, votes, reads back or proves.
fn leaves<'a>(pairs: impl Iterator<Item = (&'a [u8], &'a Outcome)>) -> Vec<Hash> {
    (0..).zip(pairs).map(|(index, (bytes, outcome))| leaf(index, bytes, outcome)).collect()
}

fn count_committed(outcomes: &[Outcome]) -> u32 {
    let committed = outcomes.iter().filter(|outcome| **outcome == Outcome::Committed).count();
    u32::try_from(committed).expect("limits keep blocks far below 2^32 transactions")
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
        Self {
            chain,
            height: Height(0),
            block: BlockId(chain.0),
            time_ms: 0,
            order: Position(0),
            state_root: StateHash::default().root(),
        }
    }
    /// After a block with that header, whose execution led to that state.
    pub fn after(header: &Header, state_root: Hash) -> Self {
        Self {
            chain: header.chain,
            height: header.height,
            block: header.id(),
            time_ms: header.time_ms,
            order: header.order_to,
            state_root,
        }
    }
}

/// Makes the header over an executed slice of the log. `time_ms` is the proposer's clock;
/// the header's time is that or one more than the parent's, whichever is later.
///
/// # Panics
/// When the slice ends before it begins, is larger than a block may be, or was not what was
/// executed: whoever cuts slices keeps to the limits.
pub fn seal(
    tip: &Tip,
    order_to: Position,
    candidates: &[Candidate],
    execution: &Execution,
    proposer: u16,
    time_ms: u64,
) -> Header {
    assert!(order_to > tip.order, "a block takes at least one position of the log");
    assert!(candidates.len() <= BLOCK_TRANSACTIONS_MAX, "a block is cut within the limits");
    assert!(body_bytes(candidates) <= BLOCK_BYTES_MAX, "a block is cut within the limits");
    let Summary { transactions, committed, outcomes_root } = summary(candidates, execution);
    Header {
        chain: tip.chain,
        height: tip.height.next(),
        parent: tip.block,
        time_ms: time_ms.max(tip.time_ms.saturating_add(1)),
        proposer,
        order_from: tip.order,
        order_to,
        transactions,
        committed,
        outcomes_root,
        state_root: tip.state_root,
    }
}

/// What a header says about its transactions.
struct Summary {
    transactions: u32,
    committed: u32,
    outcomes_root: Hash,
}

fn summary(candidates: &[Candidate], execution: &Execution) -> Summary {
    let outcomes = &execution.outcomes;
    assert_eq!(candidates.len(), outcomes.len(), "these candidates are what was executed");
    let pairs = candidates.iter().map(|candidate| &**candidate.bytes()).zip(outcomes);
    Summary {
        transactions: u32::try_from(candidates.len()).expect("limits keep blocks far below 2^32"),
        committed: count_committed(outcomes),
        outcomes_root: merkle::root(&leaves(pairs)),
    }
}

fn body_bytes(candidates: &[Candidate]) -> usize {
    candidates.iter().map(|candidate| candidate.bytes().len()).sum()
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
    /// Its body would not fit in a message to a peer.
    #[error("the body has {bytes} bytes, at most {BLOCK_BYTES_MAX} fit in a block")]
    TooLarge {
        /// What the transactions are together.
        bytes: usize,
    },
    /// This validator computes another root from the same transactions.
    #[error("{0} differs from what executing the transactions gives")]
    Outcome(&'static str),
}

/// Whether `header` follows from `tip`, apart from its transactions: chain, height, parent,
/// log position, state root, time (`now_ms` is this validator's clock), counts within limits.
pub fn follows(tip: &Tip, header: &Header, now_ms: u64) -> Result<(), HeaderFault> {
    let expected = tip.height.0.checked_add(1).map(Height);
    let conditions = [
        ("chain", header.chain == tip.chain),
        ("height", Some(header.height) == expected),
        ("parent", header.parent == tip.block),
        ("order_from", header.order_from == tip.order),
        ("order_to", header.order_to > header.order_from),
        ("state_root", header.state_root == tip.state_root),
        ("transactions", header.transactions as usize <= BLOCK_TRANSACTIONS_MAX),
        ("committed", header.committed <= header.transactions),
    ];
    if let Some((what, _)) = conditions.iter().find(|(_, holds)| !holds) {
        return Err(HeaderFault::NotNext(what));
    }
    let latest = now_ms.saturating_add(CLOCK_DRIFT_MS_MAX);
    if header.time_ms <= tip.time_ms || header.time_ms > latest {
        let ahead_ms = CLOCK_DRIFT_MS_MAX;
        return Err(HeaderFault::Time { time_ms: header.time_ms, ahead_ms });
    }
    Ok(())
}

/// Whether executing the candidates gives what the header says.
pub fn matches(
    header: &Header,
    candidates: &[Candidate],
    execution: &Execution,
) -> Result<(), HeaderFault> {
    let bytes = body_bytes(candidates);
    if bytes > BLOCK_BYTES_MAX {
        return Err(HeaderFault::TooLarge { bytes });
    }
    let Summary { transactions, committed, outcomes_root } = summary(candidates, execution);
    let conditions = [
        ("transactions", header.transactions == transactions),
        ("committed", header.committed == committed),
        ("outcomes_root", header.outcomes_root == outcomes_root),
    ];
    let differs = conditions.iter().find(|(_, holds)| !holds);
    differs.map_or(Ok(()), |(what, _)| Err(HeaderFault::Outcome(what)))
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

#[cfg(test)]
pub(crate) mod tests;
