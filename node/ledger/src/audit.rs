//! A whole ledger, checked from the first block to the last, as a stranger would: against a
//! genesis and nothing else. Nothing in a block is believed because it is there: the
//! certificate is verified, every transaction is parsed, its signatures are checked, it is executed on
//! top of the state that the blocks before it led to, and the result is compared with what
//! the federation signed.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::{
    block::{self, Block, HeaderFault, Tip},
    election::Electorate,
    encoding::DecodeError,
    execution::{Candidate, candidates, execute, reads_of},
    genesis::Genesis,
    ids::{OutputReference, TransactionId},
    rules::{OutputState, Reads, View},
    state::{Changes, StateHash},
    vote::CertificateError,
};

/// Why a block is not the next one of this ledger.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// Its bytes are no block.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// Its certificate proves nothing.
    #[error("the certificate of block {height}: {error}")]
    Certificate {
        /// Which block.
        height: u64,
        /// Why.
        error: CertificateError,
    },
    /// It does not follow from the block before, or executing it gives another result.
    #[error("block {height}: {fault}")]
    Fault {
        /// Which block.
        height: u64,
        /// In what.
        fault: HeaderFault,
    },
}

/// What was checked so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Blocks, each with its certificate.
    pub blocks: u64,
    /// Transactions that are part of the ledger.
    pub committed: u64,
    /// Transactions that were refused, for the recorded reason.
    pub refused: u64,
    /// Signatures of transactions that were checked and hold.
    pub signatures: u64,
}

/// Checks blocks in height order. Keeps the whole state in memory.
#[derive(Debug)]
pub struct Audit {
    genesis: Arc<Genesis>,
    electorate: Electorate,
    tip: Tip,
    state: StateHash,
    committed: HashSet<TransactionId>,
    outputs: HashMap<OutputReference, OutputState>,
    totals: Totals,
}

impl Audit {
    /// Before the first block.
    pub fn new(genesis: Arc<Genesis>) -> Self {
        let tip = Tip::genesis(genesis.chain());
        Self {
            electorate: Electorate::of(&genesis),
            genesis,
            tip,
            state: StateHash::default(),
            committed: HashSet::new(),
            outputs: HashMap::new(),
            totals: Totals::default(),
        }
    }

    /// What the next block must build upon.
    pub fn tip(&self) -> &Tip {
        &self.tip
    }

    /// What was checked so far.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Checks the next block in its binary form; answers what it is and what it changes.
    ///
    /// # Errors
    /// At the first thing that does not hold; the audit is over then.
    pub fn check(&mut self, bytes: &[u8]) -> Result<(Block, Changes), AuditError> {
        let block = Block::decode(bytes, self.genesis.validators().len())?;
        let header = &block.header;
        let height = header.height.0;
        let fault = |fault| AuditError::Fault { height, fault };
        // The clock was the voters' to judge; that time goes forward is everyone's.
        block::follows(&self.tip, header, header.time_ms).map_err(fault)?;
        block
            .certificate
            .verify(&self.genesis)
            .map_err(|error| AuditError::Certificate { height, error })?;

        let candidates = candidates(&block.body, |_| None);
        let view = self.view(reads_of(&candidates, &self.electorate));
        let execution = execute(view, &self.state, &self.electorate, &candidates);
        // The outcomes in the block are bound to the header's root, and so are these.
        block::matches(header, &candidates, &execution).map_err(fault)?;

        self.totals.blocks += 1;
        self.totals.committed += execution.changes.committed.len() as u64;
        self.totals.refused += (candidates.len() - execution.changes.committed.len()) as u64;
        self.totals.signatures += candidates.iter().map(signatures).sum::<u64>();
        let changes = execution.changes;
        self.committed.extend(changes.committed.iter().map(|(id, _)| *id));
        for (at, row) in &changes.created {
            self.outputs.insert(*at, OutputState::Unspent(row.clone()));
        }
        for (at, spender) in &changes.spent {
            self.outputs.insert(*at, OutputState::Spent(*spender));
        }
        self.state = changes.state.clone();
        self.tip = Tip::after(header, self.state.root());
        Ok((block, changes))
    }

    fn view(&self, reads: Reads) -> View {
        let Reads { transactions, outputs } = reads;
        let state = |at| self.outputs.get(&at).cloned().unwrap_or(OutputState::Unknown);
        View {
            transactions: transactions
                .into_iter()
                .map(|id| (id, self.committed.contains(&id)))
                .collect(),
            outputs: outputs.into_iter().map(|at| (at, state(at))).collect(),
        }
    }
}

fn signatures(candidate: &Candidate) -> u64 {
    match candidate {
        Candidate::Admitted(transaction) => transaction.signatures() as u64,
        Candidate::Refused { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        block::{Body, seal},
        execution::tests::{create, key, transfer},
        genesis::tests::founders,
        ids::Position,
        signature::SigningKey,
        transaction::{
            Operation,
            build::{self, Share, Spend},
        },
        vote::tests::certify,
    };

    /// A ledger of three blocks: an asset, its transfer with a double spend beside it, and
    /// bytes that are no transaction.
    fn ledger() -> (Arc<Genesis>, Vec<Vec<u8>>) {
        let (alice, bob) = (key(1), key(2));
        let asset = create(&alice, &[5], 1);
        let id = crate::transaction::claimed_id(&asset).unwrap();
        let spent = OutputReference { transaction: id, index: 0 };
        let first = transfer(&alice, id, &[spent], &[(bob.public(), 5)]);
        let second = transfer(&alice, id, &[spent], &[(alice.public(), 5)]);
        blocks_of([vec![asset], vec![first, second], vec![Arc::from(&b"{}"[..])]])
    }

    fn blocks_of<const N: usize>(bodies: [Body; N]) -> (Arc<Genesis>, Vec<Vec<u8>>) {
        let (genesis, keys) = founders(4);
        let mut audit = Audit::new(Arc::new(genesis));
        let mut blocks = Vec::new();
        for (body, at) in bodies.into_iter().zip(1..) {
            let candidates = candidates(&body, |_| None);
            let view = audit.view(reads_of(&candidates, &audit.electorate));
            let execution = execute(view, &audit.state, &audit.electorate, &candidates);
            let header = seal(&audit.tip, Position(at), &candidates, &execution, 0, at * 1000);
            let certificate =
                certify(&audit.genesis, &keys, &[0, 1, 2], header.height, header.id());
            let block = Block { header, body, outcomes: execution.outcomes, certificate };
            let bytes = block.encode(4);
            audit.check(&bytes).unwrap();
            blocks.push(bytes);
        }
        (audit.genesis, blocks)
    }

    #[test]
    fn a_sound_ledger_passes_and_is_counted() {
        let (genesis, blocks) = ledger();
        let mut audit = Audit::new(genesis);
        for block in &blocks {
            audit.check(block).unwrap();
        }
        let wanted = Totals { blocks: 3, committed: 2, refused: 2, signatures: 3 };
        assert_eq!(audit.totals(), wanted);
    }

    #[test]
    fn an_election_is_executed_again() {
        let member = |at: u8| SigningKey::from_seed([at + 129; 32]);
        let electorate = Electorate::of(&founders(4).0);
        let operation = Operation::ChainMigrationElection;
        let called = build::election(operation, "null", &electorate, &member(0)).unwrap();
        let election = crate::transaction::claimed_id(&called).unwrap();
        let vote = |at: u8| -> Arc<[u8]> {
            let output = OutputReference { transaction: election, index: at.into() };
            let spend = Spend::of(member(at).public(), output);
            let yes = [Share::vote_for(election, 1)];
            build::vote(election, &[spend], &yes, &[&member(at)]).unwrap().into()
        };
        let bodies = [vec![called.into(), vote(0)], vec![vote(1), vote(2)], vec![vote(3)]];
        let (genesis, blocks) = blocks_of(bodies);
        let mut audit = Audit::new(genesis);
        for block in &blocks {
            audit.check(block).unwrap();
        }
        // Two of four may say yes; from the third on a vote could conclude.
        let wanted = Totals { blocks: 3, committed: 3, refused: 2, signatures: 5 };
        assert_eq!(audit.totals(), wanted);
    }

    #[test]
    fn a_ledger_with_any_byte_changed_does_not() {
        let (genesis, blocks) = ledger();
        for (at, block) in blocks.iter().enumerate() {
            for byte in 0..block.len() {
                let mut audit = Audit::new(Arc::clone(&genesis));
                for sound in &blocks[..at] {
                    audit.check(sound).unwrap();
                }
                let mut changed = block.clone();
                changed[byte] ^= 1;
                assert!(audit.check(&changed).is_err(), "block {at}, byte {byte}");
            }
        }
    }

    #[test]
    fn blocks_that_are_missing_doubled_or_swapped_are_found() {
        let (genesis, blocks) = ledger();
        for order in [&[1, 0, 2][..], &[0, 2], &[0, 0], &[0, 1, 1]] {
            let mut audit = Audit::new(Arc::clone(&genesis));
            let all = order.iter().try_for_each(|at| audit.check(&blocks[*at]).map(|_| ()));
            assert!(all.is_err(), "{order:?}");
        }
    }
}
