//! Cutting, examining and storing blocks: the ledger's rules over a slice of the log and a
//! store. No clock, no network; blocks only on the store.
//!
//! The path of a slice: [`prepare`] checks what each transaction shows by itself, once, for
//! many at a time; [`Executor::take`] keeps it in log order; [`Executor::cut`] makes the next
//! header over it, [`Executor::examine`] compares one that another validator made;
//! [`Executor::commit`] stores what was decided. What was executed for a vote is not executed again to
//! be stored.

use std::{collections::VecDeque, sync::Arc};

use cairn_ledger::{
    block::{self, Block, Body, Header, Tip},
    election::Electorate,
    execution::{self, Candidate, Execution, candidates},
    genesis::Genesis,
    ids::{BlockId, Height, Position, TransactionId},
    limits::{BLOCK_BYTES_MAX, BLOCK_TRANSACTIONS_MAX},
    transaction::Admitted,
    vote::Certificate,
};

use super::machine::Verdict;
use crate::{
    mesh::Peer,
    order::Ordered,
    store::{Store, StoreError},
};

/// Most executed blocks, and most fetched bodies, that are kept for one height: two
/// proposals a round are heard, and a round seldom fails twice.
const KEPT_MAX: usize = 8;

/// One entry of the log, its transactions checked as far as each shows by itself. The same
/// on every validator. Only [`prepare`] makes one.
#[derive(Clone, Debug)]
pub struct Prepared {
    position: Position,
    candidates: Vec<Candidate>,
    bytes: usize,
}

impl Prepared {
    /// Its place in the log.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Says that the log was read up to `position` and holds no more batches before it.
    pub fn nothing(position: Position) -> Self {
        Self { position, candidates: Vec::new(), bytes: 0 }
    }

    /// The bytes of its transactions together.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Checks entries of the log: parses by the strict rules, and checks the signatures of all of them at
/// once. `known` gives a transaction that was admitted before, found by its exact bytes.
pub fn prepare(
    entries: &[Ordered],
    known: impl Fn(&[u8]) -> Option<Arc<Admitted>>,
) -> Vec<Prepared> {
    let bodies: Vec<_> = entries.iter().map(|entry| entry.batch.transactions.as_slice()).collect();
    let mut candidates = candidates(&bodies.concat(), known).into_iter();
    entries
        .iter()
        .map(|entry| {
            let transactions = &entry.batch.transactions;
            Prepared {
                position: entry.position,
                candidates: candidates.by_ref().take(transactions.len()).collect(),
                bytes: transactions.iter().map(|bytes| bytes.len()).sum(),
            }
        })
        .collect()
}

/// Why a decided block cannot be stored now.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Neither the log nor a peer has given the body yet; fetch it and try again.
    #[error("the body of block {0} is not here yet")]
    BodyMissing(BlockId),
    /// Executing a certified block does not give what it says: this node's state, or its
    /// program, differs from that of two thirds of the validators. It must not go on.
    #[error("STATE_DIVERGED: block {height} is certified, but {what}")]
    Diverged {
        /// Which block.
        height: Height,
        /// What differs.
        what: String,
    },
}

/// A block that is stored now.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The block.
    pub block: Arc<Block>,
    /// What the next one builds upon.
    pub tip: Tip,
    /// The id that each of its transactions has, or claims to have.
    pub ids: Vec<Option<TransactionId>>,
}

/// A block that was executed on top of the tip.
#[derive(Debug)]
struct Executed {
    candidates: Vec<Candidate>,
    execution: Execution,
}

/// Executes blocks on top of a store's tip. One owner.
pub struct Executor {
    store: Arc<dyn Store>,
    electorate: Electorate,
    me: Peer,
    log: VecDeque<Prepared>,
    /// Executed on top of the tip, oldest first.
    executed: VecDeque<(BlockId, Executed)>,
    /// Bodies from peers, oldest first.
    fetched: VecDeque<(BlockId, Body)>,
    #[cfg(feature = "planted-bugs")]
    plant: Option<ExecutorPlant>,
}

/// Rules broken on purpose, so that the simulation can prove it would notice.
#[cfg(feature = "planted-bugs")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecutorPlant {
    /// Votes for headers whatever state they say to build upon.
    StateRootAfterVote,
    /// Takes the header's word for what its transactions lead to.
    TrustOutcomes,
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Executor({} entries, {} executed)", self.log.len(), self.executed.len())
    }
}

impl Executor {
    /// An executor over the store of that chain, which puts `me` into the headers it cuts.
    pub fn new(store: Arc<dyn Store>, genesis: &Genesis, me: Peer) -> Self {
        Self {
            store,
            electorate: Electorate::of(genesis),
            me,
            log: VecDeque::new(),
            executed: VecDeque::new(),
            fetched: VecDeque::new(),
            #[cfg(feature = "planted-bugs")]
            plant: None,
        }
    }

    /// Breaks a rule.
    #[cfg(feature = "planted-bugs")]
    pub fn plant(&mut self, plant: ExecutorPlant) {
        self.plant = Some(plant);
    }

    /// Takes the next entries of the log. What is in a block already, or here already, is left out.
    pub fn take(&mut self, entries: impl IntoIterator<Item = Prepared>) {
        let tip = self.store.tip().0.order;
        for entry in entries {
            if entry.position > self.end().max(tip) {
                self.log.push_back(entry);
            }
        }
    }

    /// How far the log was taken; what comes after it is what to read next.
    pub fn end(&self) -> Position {
        self.log.back().map_or_else(|| self.store.tip().0.order, Prepared::position)
    }

    /// The bytes of the transactions that are not in a block yet.
    pub fn bytes(&self) -> usize {
        self.log.iter().map(Prepared::bytes).sum()
    }

    /// Whether there is something to put into a block.
    pub fn has_work(&self) -> bool {
        self.log.iter().any(|entry| !entry.candidates.is_empty())
    }

    /// The header over the next slice of the log: whole entries, as many as fit in a block.
    /// Nothing when there is no transaction to put in. `now_ms` is this validator's clock.
    pub fn cut(&mut self, now_ms: u64) -> Result<Option<Header>, StoreError> {
        if !self.has_work() {
            return Ok(None);
        }
        let (mut candidates, mut bytes, mut to) = (Vec::new(), 0, None);
        for entry in &self.log {
            let count = candidates.len() + entry.candidates.len();
            bytes += entry.bytes;
            if count > BLOCK_TRANSACTIONS_MAX || bytes > BLOCK_BYTES_MAX {
                break;
            }
            candidates.extend_from_slice(&entry.candidates);
            to = Some(entry.position);
        }
        let to = to.expect("limits let at least one entry fit in a block");
        let (tip, _) = self.store.tip();
        let executed = self.execute(candidates)?;
        let header =
            block::seal(&tip, to, &executed.candidates, &executed.execution, self.me, now_ms);
        self.keep(header.id(), executed);
        Ok(Some(header))
    }

    /// Looks at a header that follows from the tip: the log's slice first, then a body that a
    /// peer gave. `now_ms` is this validator's clock.
    ///
    /// A log that does not give what the header says may itself be the liar: that is
    /// [`Verdict::Missing`], so that the body is asked of the proposer.
    pub fn examine(&mut self, header: &Header, now_ms: u64) -> Result<Verdict, StoreError> {
        let id = header.id();
        let (tip, _) = self.store.tip();
        #[cfg(feature = "planted-bugs")]
        let tip = match self.plant {
            Some(ExecutorPlant::StateRootAfterVote) => Tip { state_root: header.state_root, ..tip },
            _ => tip,
        };
        if let Err(fault) = block::follows(&tip, header, now_ms) {
            return Ok(Verdict::Invalid(fault.to_string()));
        }
        self.execute_as(id, header)
    }

    fn execute_as(&mut self, id: BlockId, header: &Header) -> Result<Verdict, StoreError> {
        if self.executed(&id).is_some() {
            return Ok(Verdict::Valid);
        }
        if let Some(candidates) = self.slice(header) {
            let executed = self.execute(candidates)?;
            if self.check(header, &executed).is_ok() {
                self.keep(id, executed);
                return Ok(Verdict::Valid);
            }
        }
        let Some((_, body)) = self.fetched.iter().find(|(block, _)| *block == id) else {
            return Ok(Verdict::Missing);
        };
        let executed = self.execute(candidates(&body.clone(), |_| None))?;
        match self.check(header, &executed) {
            Ok(()) => {
                self.keep(id, executed);
                Ok(Verdict::Valid)
            }
            Err(fault) => {
                // Whoever sent it may have lied: what it was worth is said, and it is forgotten.
                self.fetched.retain(|(block, _)| *block != id);
                Ok(Verdict::Invalid(fault.to_string()))
            }
        }
    }

    fn check(&self, header: &Header, executed: &Executed) -> Result<(), block::HeaderFault> {
        #[cfg(feature = "planted-bugs")]
        if self.plant == Some(ExecutorPlant::TrustOutcomes) {
            return Ok(());
        }
        block::matches(header, &executed.candidates, &executed.execution)
    }

    /// The log's transactions between two positions, if the log has come that far.
    fn slice(&self, header: &Header) -> Option<Vec<Candidate>> {
        let inside = self.log.iter().take_while(|entry| entry.position <= header.order_to);
        (self.end() >= header.order_to)
            .then(|| inside.flat_map(|entry| entry.candidates.iter().cloned()).collect())
    }

    fn execute(&self, candidates: Vec<Candidate>) -> Result<Executed, StoreError> {
        let view = self.store.view(&execution::reads_of(&candidates, &self.electorate))?;
        let (_, state) = self.store.tip();
        let execution = execution::execute(view, &state, &self.electorate, &candidates);
        Ok(Executed { candidates, execution })
    }

    fn keep(&mut self, id: BlockId, executed: Executed) {
        if self.executed.len() == KEPT_MAX {
            self.executed.pop_front();
        }
        self.executed.push_back((id, executed));
    }

    fn executed(&self, id: &BlockId) -> Option<&Executed> {
        self.executed.iter().find(|(block, _)| block == id).map(|(_, executed)| executed)
    }

    /// Takes a body that a peer, or the journal, says to be that block's. It is compared when
    /// the block is examined; a newer one replaces it.
    pub fn offer_body(&mut self, id: BlockId, body: Body) {
        self.fetched.retain(|(block, _)| *block != id);
        if self.fetched.len() == KEPT_MAX {
            self.fetched.pop_front();
        }
        self.fetched.push_back((id, body));
    }

    /// A body for a peer that lacks it: of a block in the making, or of the tip.
    pub fn body_of(&self, id: &BlockId) -> Result<Option<Body>, StoreError> {
        if let Some(Executed { candidates, .. }) = self.executed(id) {
            return Ok(Some(candidates.iter().map(|one| Arc::clone(one.bytes())).collect()));
        }
        let (tip, _) = self.store.tip();
        if tip.block != *id {
            return Ok(None);
        }
        Ok(self.store.block(tip.height)?.map(|block| block.body.clone()))
    }

    /// Stores the block that the votes decided, as it was executed for them. After a restart it
    /// may not have been executed in this life: then it is, from the log or from a body.
    pub fn commit(
        &mut self,
        header: &Header,
        certificate: Certificate,
    ) -> Result<Stored, CommitError> {
        let id = header.id();
        match self.execute_as(id, header)? {
            Verdict::Valid => {}
            // A wrong body says nothing about the block. If it is this node's state that is
            // wrong, the certified block from a peer will tell.
            Verdict::Missing | Verdict::Invalid(_) => return Err(CommitError::BodyMissing(id)),
        }
        let at = self.executed.iter().position(|(block, _)| *block == id);
        let (_, executed) =
            at.and_then(|at| self.executed.remove(at)).expect("a valid block was executed");
        self.store_block(header.clone(), certificate, executed)
    }

    /// Stores a block that others decided; its encoding is sound and its certificate was
    /// verified. Every transaction is parsed, checked and executed here all the same: a
    /// certificate says what was decided, this node says what it leads to.
    pub fn commit_synced(&mut self, synced: &Block) -> Result<Stored, CommitError> {
        let header = &synced.header;
        let store = Arc::clone(&self.store);
        let diverged = |what: String| {
            store.suspect();
            CommitError::Diverged { height: header.height, what }
        };
        let (tip, _) = self.store.tip();
        // The proposer's clock was judged by those who voted.
        block::follows(&tip, header, header.time_ms)
            .map_err(|fault| diverged(fault.to_string()))?;
        let executed = self.execute(candidates(&synced.body, |_| None))?;
        block::matches(header, &executed.candidates, &executed.execution)
            .map_err(|fault| diverged(fault.to_string()))?;
        self.store_block(header.clone(), synced.certificate.clone(), executed)
    }

    fn store_block(
        &mut self,
        header: Header,
        certificate: Certificate,
        executed: Executed,
    ) -> Result<Stored, CommitError> {
        let Executed { candidates, execution } = executed;
        let Execution { outcomes, changes } = execution;
        let body = candidates.iter().map(|one| Arc::clone(one.bytes())).collect();
        let ids = candidates.iter().map(id_of).collect();
        let block = Arc::new(Block { header, body, outcomes, certificate });
        self.store.commit(&block, &changes)?;
        self.executed.clear();
        self.fetched.clear();
        let decided = block.header.order_to;
        while self.log.front().is_some_and(|entry| entry.position <= decided) {
            self.log.pop_front();
        }
        let tip = Tip::after(&block.header, changes.state.root());
        Ok(Stored { block, tip, ids })
    }
}

fn id_of(candidate: &Candidate) -> Option<TransactionId> {
    match candidate {
        Candidate::Admitted(transaction) => Some(transaction.id()),
        Candidate::Refused { claimed_id, .. } => *claimed_id,
    }
}

#[cfg(test)]
mod tests;
