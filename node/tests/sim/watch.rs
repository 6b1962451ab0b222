//! The invariants, looked at from above after each step: a violation panics with what it saw.

use std::collections::{BTreeMap, HashMap, HashSet};

use cairn_ledger::{
    block::{Block, Tip},
    execution::Outcome,
    genesis::Genesis,
    ids::{BlockId, Hash, Height, OutputReference, TransactionId},
    rules::{OutputState, Reads},
};
use cairn_node::{
    chain::{
        journal::{OwnSignature, SignKind},
        message::Evidence,
    },
    mesh::Peer,
    store::{Located, Store},
};

use crate::federation::corpus;

type Slot = (Peer, SignKind, Height, u32);

#[derive(Default)]
pub(crate) struct Watch {
    /// Not held to anything.
    pub(crate) byzantine: Option<Peer>,
    /// What was decided first at each height, and the state after it.
    decided: BTreeMap<Height, (BlockId, Hash)>,
    /// Every signature that ever left an honest validator.
    sent: HashMap<Slot, [u8; 64]>,
    unspent: HashMap<OutputReference, (TransactionId, u64)>,
    pub(crate) committed: HashSet<TransactionId>,
    pub(crate) evidence: usize,
}

impl Watch {
    pub(crate) fn height(&self) -> Height {
        self.decided.keys().next_back().copied().unwrap_or_default()
    }

    /// A signature leaves: it is on the disk, and the only one of its slot.
    pub(crate) fn sends(&mut self, who: Peer, signed: &OwnSignature, synced: &HashSet<OwnKey>) {
        assert!(synced.contains(&own_key(signed)), "validator {who} sent before fsync: {signed:?}");
        let slot = (who, signed.kind, signed.height, signed.round);
        let first = self.sent.entry(slot).or_insert(signed.signature);
        assert_eq!(*first, signed.signature, "validator {who} signed twice: {signed:?}");
    }

    /// Evidence names who is guilty, and nobody else.
    pub(crate) fn accuses(&mut self, evidence: &Evidence) {
        let accused = match evidence {
            Evidence::Votes(pair) => pair.0.validator,
            Evidence::Proposals(pair) => pair.0.validator,
        };
        self.evidence += 1;
        assert_eq!(Some(accused), self.byzantine, "an honest validator is accused: {evidence:?}");
    }

    /// A validator stored a block.
    pub(crate) fn stores(&mut self, who: Peer, genesis: &Genesis, block: &Block, tip: &Tip) {
        let header = &block.header;
        let id = header.id();
        if let Some(before) = header.height.0.checked_sub(1).filter(|height| *height > 0) {
            let parent = self.decided.get(&Height(before)).map(|(block, _)| *block);
            assert_eq!(Some(header.parent), parent, "validator {who} left the prefix");
        }
        block
            .certificate
            .verify(genesis)
            .unwrap_or_else(|error| panic!("validator {who} stored {id} without proof: {error}"));
        assert_eq!((block.certificate.block, tip.block, tip.height), (id, id, header.height));
        if let Some(first) = self.decided.get(&header.height) {
            assert_eq!(first, &(id, tip.state_root), "two blocks or states at {}", header.height);
            return;
        }
        let root = cairn_ledger::merkle::root(&block.leaves());
        assert_eq!(root, header.outcomes_root, "block {id} does not hold what its header says");
        self.decided.insert(header.height, (id, tip.state_root));
        self.account(block);
    }

    /// Keeps the books a second time, in the plainest way: amounts are conserved, nothing is
    /// spent twice, nothing is committed twice.
    fn account(&mut self, block: &Block) {
        for (bytes, outcome) in block.body.iter().zip(&block.outcomes) {
            let Some(transaction) = corpus().admitted.get(bytes) else {
                assert_ne!(*outcome, Outcome::Committed, "what nobody signed was committed");
                continue;
            };
            if *outcome != Outcome::Committed {
                continue;
            }
            let id = transaction.id();
            assert!(self.committed.insert(id), "{id} was committed twice");
            let mut spent = 0;
            for input in transaction.inputs() {
                let Some(at) = input.spends else { continue };
                let (asset, amount) = self.unspent.remove(&at).expect("spent twice, or never made");
                assert_eq!(asset, transaction.asset());
                spent += amount;
            }
            let made: u64 = transaction.outputs().iter().map(|output| output.amount).sum();
            assert!(spent == made || transaction.asset() == id, "{id} makes {made} of {spent}");
            for (index, output) in (0..).zip(transaction.outputs()) {
                let at = OutputReference { transaction: id, index };
                self.unspent.insert(at, (transaction.asset(), output.amount));
            }
        }
        assert!(self.votes() <= 2, "votes conclude an election");
    }

    /// At the end a store has what was decided, and answers accordingly.
    pub(crate) fn compares(&self, who: Peer, store: &dyn Store) {
        for (height, (block, _)) in &self.decided {
            let found = store.block(*height).unwrap().map(|block| block.header.id());
            assert_eq!(found, Some(*block), "validator {who} at {height}");
        }
        let transactions: Vec<_> = self.committed.iter().copied().collect();
        for id in &transactions {
            let Some(Located::Committed(place)) = store.locate(id).unwrap() else {
                panic!("validator {who} does not find {id}");
            };
            let bytes = store.transaction(place).unwrap().expect("it is there");
            assert_eq!(corpus().admitted[&bytes].id(), *id, "validator {who}");
        }
        let outputs: Vec<_> = self.unspent.keys().copied().collect();
        let view = store.view(&Reads { transactions, outputs }).unwrap();
        assert!(view.transactions.values().all(|committed| *committed), "validator {who}");
        for (at, (asset, amount)) in &self.unspent {
            let Some(OutputState::Unspent(row)) = view.outputs.get(at) else {
                panic!("validator {who} does not know {at:?}");
            };
            assert_eq!((row.asset, row.amount), (*asset, *amount), "validator {who}");
        }
    }

    fn votes(&self) -> usize {
        corpus().votes.iter().filter(|vote| self.committed.contains(*vote)).count()
    }

    /// Whether everything that was submitted is decided, by that many validators.
    pub(crate) fn is_done(&self, validators: usize) -> bool {
        let has = |id| self.committed.contains(id);
        if validators == 4 && self.votes() < 2 {
            return false;
        }
        corpus().certain.iter().all(has)
            && corpus().either.iter().all(|(one, other)| has(one) || has(other))
    }
}

/// One message, of one validator.
pub(crate) type OwnKey = (SignKind, Height, u32, [u8; 64]);

pub(crate) fn own_key(signed: &OwnSignature) -> OwnKey {
    (signed.kind, signed.height, signed.round, signed.signature)
}
