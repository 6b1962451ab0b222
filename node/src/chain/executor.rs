//! Cutting, examining and storing blocks: where the rules of the ledger meet log, votes and
//! store. Used by the running node and by the simulation alike.
//!
//! The log is believed in nothing: whatever body leads to the header's roots is the body,
//! wherever it came from.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use cairn_ledger::{
    block::{self, Block, Body, Header, HeaderFault, Tip},
    execution::{Candidate, Execution, execute, reads_of},
    ids::{BlockId, Position, TransactionId},
    json::Strictness,
    limits::{BLOCK_BYTES_MAX, BLOCK_TRANSACTIONS_MAX},
    refusal::Refusal,
    state::StateHash,
    transaction::{Admitted, admit, claimed_id, parse},
    vote::Certificate,
};
use parking_lot::Mutex;

use super::machine::Verdict;
use crate::{
    mesh::Peer,
    order::Ordered,
    store::{Store, StoreError},
};

/// Most examined blocks, and bodies from peers, that are kept for the height in progress:
/// one a round is what honest proposers make.
const KEPT_MAX: usize = 32;

/// A batch of the log whose transactions were checked by themselves. Only [`prepare`] makes
/// one with transactions in it.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Its place in the log.
    pub position: Position,
    /// Each transaction: admitted, or why not.
    pub candidates: Vec<Candidate>,
}

/// Checks ordered transactions by themselves, all signatures in one go. What `known` returns
/// for a transaction's exact bytes was admitted before and is not checked again. Every
/// validator comes to the same result.
pub fn prepare(
    entries: Vec<Ordered>,
    known: impl Fn(&[u8]) -> Option<Arc<Admitted>>,
) -> Vec<Prepared> {
    let counts: Vec<(Position, usize)> =
        entries.iter().map(|entry| (entry.position, entry.batch.transactions.len())).collect();
    let all = entries.into_iter().flat_map(|entry| entry.batch.transactions);
    let mut candidates = candidates(all, known).into_iter();
    counts
        .into_iter()
        .map(|(position, count)| Prepared {
            position,
            candidates: candidates.by_ref().take(count).collect(),
        })
        .collect()
}

fn candidates(
    all: impl Iterator<Item = Arc<[u8]>>,
    known: impl Fn(&[u8]) -> Option<Arc<Admitted>>,
) -> Vec<Candidate> {
    let refused = |bytes: Arc<[u8]>, refusal| Candidate::Refused {
        claimed_id: claimed_id(&bytes),
        bytes,
        refusal,
    };
    let mut places = Vec::new();
    let mut unchecked = Vec::new();
    for bytes in all {
        if let Some(admitted) = known(&bytes) {
            places.push(Some(Candidate::Admitted(admitted)));
            continue;
        }
        match parse(bytes.clone(), Strictness::Strict) {
            Ok(parsed) => {
                unchecked.push(parsed);
                places.push(None);
            }
            Err(refusal) => places.push(Some(refused(bytes, refusal))),
        }
    }
    let mut checked = admit(unchecked).into_iter();
    let filled = places.into_iter().map(|place| {
        place.unwrap_or_else(|| match checked.next().expect("one answer for each") {
            Ok(admitted) => Candidate::Admitted(Arc::new(admitted)),
            Err(parsed) => refused(parsed.bytes().clone(), Refusal::SignatureInvalid),
        })
    });
    filled.collect()
}

/// The bodies of blocks in the making, for peers that lack one.
#[derive(Clone, Debug, Default)]
pub struct Bodies(Arc<Mutex<HashMap<BlockId, Body>>>);

impl Bodies {
    /// A body, if it is here.
    pub fn get(&self, block: &BlockId) -> Option<Body> {
        self.0.lock().get(block).cloned()
    }
}

/// Why a certified block cannot be stored.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is certified, and executing it here gives another result: this node's state, or its
    /// program, is not that of the others.
    #[error("block {height} is certified, but executing it here gives another result: {fault}")]
    Diverged {
        /// Which block.
        height: u64,
        /// In what.
        fault: HeaderFault,
    },
}

/// A block that was stored.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The block.
    pub block: Arc<Block>,
    /// The id of each of its transactions, as far as it can be read.
    pub ids: Vec<Option<TransactionId>>,
}

/// An executed block that waits for its votes.
struct Ready {
    candidates: Vec<Candidate>,
    execution: Execution,
    from_log: bool,
}

/// Executes blocks on top of a store's tip. One owner.
pub struct Executor {
    store: Arc<dyn Store>,
    tip: Tip,
    state: StateHash,
    ready: HashMap<BlockId, Ready>,
    offered: HashMap<BlockId, (Option<Peer>, Body)>,
    bodies: Bodies,
}

impl Executor {
    /// On top of what the store has.
    pub fn new(store: Arc<dyn Store>) -> Self {
        let (tip, state) = store.tip();
        let (ready, offered) = (HashMap::new(), HashMap::new());
        Self { store, tip, state, ready, offered, bodies: Bodies::default() }
    }

    /// What the next block builds upon.
    pub fn tip(&self) -> &Tip {
        &self.tip
    }

    /// The bodies that peers may ask for.
    pub fn bodies(&self) -> Bodies {
        self.bodies.clone()
    }

    /// Seals a header over the next slice of the log: whole batches, as many as fit. Nothing
    /// when there is no transaction to put into a block.
    pub fn cut(
        &mut self,
        log: &VecDeque<Prepared>,
        proposer: Peer,
        now_ms: u64,
    ) -> Result<Option<Header>, StoreError> {
        let (mut count, mut bytes, mut order_to) = (0, 0, self.tip.order);
        for prepared in log {
            let more: usize = prepared.candidates.iter().map(|c| c.bytes().len()).sum();
            let fits = count + prepared.candidates.len() <= BLOCK_TRANSACTIONS_MAX
                && bytes + more <= BLOCK_BYTES_MAX;
            if !fits {
                break;
            }
            count += prepared.candidates.len();
            bytes += more;
            order_to = prepared.position;
        }
        if count == 0 {
            return Ok(None);
        }
        let candidates = self.slice(log, order_to).expect("it was just walked through");
        let execution = self.execute(&candidates)?;
        let header = block::seal(&self.tip, order_to, &candidates, &execution, proposer, now_ms);
        self.keep(header.id(), Ready { candidates, execution, from_log: true });
        Ok(Some(header))
    }

    /// Whether a proposed block may be voted for: it follows from the tip, and its body is here and
    /// gives what it says. `now_ms` is this validator's clock.
    pub fn examine(
        &mut self,
        header: &Header,
        log: &VecDeque<Prepared>,
        now_ms: u64,
    ) -> Result<Verdict, StoreError> {
        let id = header.id();
        if self.ready.contains_key(&id) {
            return Ok(Verdict::Valid);
        }
        if let Err(fault) = block::follows(&self.tip, header, now_ms) {
            return Ok(Verdict::Invalid(fault.to_string()));
        }
        if let Some(candidates) = self.slice(log, header.order_to)
            && self.try_body(header, candidates, true)?.is_ok()
        {
            return Ok(Verdict::Valid);
        }
        // The log here is late, or shows something else: a peer's body decides.
        let Some((from, body)) = self.offered.remove(&id) else { return Ok(Verdict::Missing) };
        let candidates = candidates(body.into_iter(), |_| None);
        match self.try_body(header, candidates, false)? {
            Ok(()) => Ok(Verdict::Valid),
            // Its proposer has no other body for it. Anyone else may have sent a wrong one.
            Err(fault) if from == Some(header.proposer) => Ok(Verdict::Invalid(fault.to_string())),
            Err(_) => Ok(Verdict::Missing),
        }
    }

    /// Takes a body from a peer (or, with no peer named, from this node's own journal), to
    /// be looked at when its block is examined.
    pub fn offer_body(&mut self, block: BlockId, from: Option<Peer>, body: Body) {
        if self.offered.len() < KEPT_MAX {
            self.offered.insert(block, (from, body));
        }
    }

    /// Whether an examined block's body is a slice of the log as this node reads it.
    pub fn is_from_log(&self, block: &BlockId) -> bool {
        self.ready.get(block).is_some_and(|ready| ready.from_log)
    }

    /// Stores a decided block that was examined here; nothing when its body is not here (any
    /// more): then [`Executor::examine`] or [`Executor::commit_synced`] comes first.
    pub fn commit(
        &mut self,
        header: &Header,
        certificate: Certificate,
    ) -> Result<Option<Stored>, StoreError> {
        let Some(ready) = self.ready.remove(&header.id()) else { return Ok(None) };
        self.store(header.clone(), certificate, ready).map(Some)
    }

    /// Executes and stores a certified block from a peer.
    pub fn commit_synced(&mut self, block: &Block) -> Result<Stored, ExecutorError> {
        let candidates = candidates(block.body.iter().cloned(), |_| None);
        let execution = self.execute(&candidates)?;
        let height = block.header.height.0;
        let diverged = |fault| ExecutorError::Diverged { height, fault };
        if block.header.state_root != self.tip.state_root {
            return Err(diverged(HeaderFault::Outcome("state root")));
        }
        block::matches(&block.header, &candidates, &execution).map_err(diverged)?;
        let ready = Ready { candidates, execution, from_log: false };
        Ok(self.store(block.header.clone(), block.certificate.clone(), ready)?)
    }

    fn store(
        &mut self,
        header: Header,
        certificate: Certificate,
        ready: Ready,
    ) -> Result<Stored, StoreError> {
        let Ready { candidates, execution, from_log: _ } = ready;
        let Execution { outcomes, changes } = execution;
        let body = candidates.iter().map(|candidate| candidate.bytes().clone()).collect();
        let ids = candidates.iter().map(id_of).collect();
        let block = Arc::new(Block { header, body, outcomes, certificate });
        self.store.commit(&block, &changes)?;
        self.state = changes.state;
        self.tip = Tip::after(&block.header, self.state.root());
        // What was kept built upon the block before.
        self.ready.clear();
        self.offered.clear();
        self.bodies.0.lock().clear();
        Ok(Stored { block, ids })
    }

    /// The candidates of the log's slice after the tip up to a position, if it reaches that far.
    fn slice(&self, log: &VecDeque<Prepared>, to: Position) -> Option<Vec<Candidate>> {
        if log.back()?.position < to {
            return None;
        }
        let slice = log.iter().filter(|p| p.position > self.tip.order && p.position <= to);
        Some(slice.flat_map(|prepared| prepared.candidates.iter().cloned()).collect())
    }

    fn try_body(
        &mut self,
        header: &Header,
        candidates: Vec<Candidate>,
        from_log: bool,
    ) -> Result<Result<(), HeaderFault>, StoreError> {
        // Counting is cheaper than executing.
        if candidates.len() != header.transactions as usize {
            return Ok(Err(HeaderFault::Outcome("number of transactions")));
        }
        let execution = self.execute(&candidates)?;
        let matched = block::matches(header, &candidates, &execution);
        if matched.is_ok() {
            self.keep(header.id(), Ready { candidates, execution, from_log });
        }
        Ok(matched)
    }

    fn execute(&self, candidates: &[Candidate]) -> Result<Execution, StoreError> {
        let view = self.store.view(&reads_of(candidates))?;
        Ok(execute(view, &self.state, candidates))
    }

    fn keep(&mut self, id: BlockId, ready: Ready) {
        if self.ready.len() >= KEPT_MAX {
            return;
        }
        let body = ready.candidates.iter().map(|candidate| candidate.bytes().clone()).collect();
        self.bodies.0.lock().insert(id, body);
        self.ready.insert(id, ready);
    }
}

fn id_of(candidate: &Candidate) -> Option<TransactionId> {
    match candidate {
        Candidate::Admitted(transaction) => Some(transaction.id()),
        Candidate::Refused { claimed_id, .. } => *claimed_id,
    }
}
