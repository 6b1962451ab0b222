//! What the last blocks did whose rows are not all written yet. It answers first; what it does
//! not know, the rows know for certain, up to [`Overlay::settled`].

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use cairn_ledger::{
    block::Place,
    ids::{BlockId, Height, OutputReference, PublicKey, TransactionId},
    rules::{OutputRow, OutputState, Reads, View},
};

use crate::store::{
    pending::{Fate, Pending},
    rows::Rows,
};

/// Committed blocks on their way into rows.
#[derive(Debug)]
pub(super) struct Overlay {
    pending: Pending,
    outputs: HashMap<OutputReference, OutputRow>,
    /// About what each block takes here.
    sizes: VecDeque<usize>,
    bytes: usize,
}

/// What reads get from the overlay, and what is left to ask the rows.
#[derive(Debug, Default)]
pub(super) struct Answered {
    pub(super) view: View,
    /// Is it committed?
    pub(super) transactions: Vec<TransactionId>,
    /// How do these stand? Nothing that is not in the rows yet has to do with them.
    pub(super) outputs: Vec<OutputReference>,
    /// Rows of later blocks are newer than this answer.
    pub(super) settled: Height,
}

impl Overlay {
    /// Nothing; the rows are as of that height.
    pub(super) fn new(settled: Height) -> Self {
        let (sizes, bytes) = (VecDeque::new(), 0);
        Self { pending: Pending::new(settled), outputs: HashMap::new(), sizes, bytes }
    }

    /// Takes the next block in.
    pub(super) fn push(&mut self, block: BlockId, rows: Arc<Rows>) {
        self.outputs.extend(rows.created.iter().map(|made| (made.at, made.row.clone())));
        let size = size(&rows);
        self.sizes.push_back(size);
        self.bytes += size;
        self.pending.push(block, rows);
    }

    /// The next block whose rows are to be written.
    pub(super) fn blocks(&self) -> impl Iterator<Item = &(BlockId, Arc<Rows>)> {
        self.pending.blocks()
    }

    /// The rows of the first block are written now.
    pub(super) fn forget_first(&mut self) {
        let Some((_, rows)) = self.pending.first() else { return };
        for made in &rows.created {
            self.outputs.remove(&made.at);
        }
        self.bytes -= self.sizes.pop_front().expect("each block has its size");
        self.pending.forget_first();
    }

    /// Up to here the rows answer.
    pub(super) fn settled(&self) -> Height {
        self.pending.indexed()
    }

    /// About how many bytes are here.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn fate(&self, id: &TransactionId) -> Option<Fate> {
        self.pending.fate(id)
    }

    pub(super) fn spender(&self, at: &OutputReference) -> Option<TransactionId> {
        self.pending.spender(at)
    }

    pub(super) fn transfers(
        &self,
        asset: &TransactionId,
    ) -> impl DoubleEndedIterator<Item = Place> {
        self.pending.transfers(asset)
    }

    pub(super) fn outputs(&self, owner: &PublicKey) -> impl Iterator<Item = OutputReference> {
        self.pending.outputs(owner)
    }

    /// What these blocks say about some rows, all as of one moment.
    pub(super) fn answer(&self, reads: &Reads) -> Answered {
        let mut answered = Answered { settled: self.settled(), ..Answered::default() };
        for id in &reads.transactions {
            match self.fate(id) {
                Some(Fate::Committed { .. }) => {
                    answered.view.transactions.insert(*id, true);
                }
                // Refused here, but committed before perhaps.
                Some(Fate::Refused { .. }) | None => answered.transactions.push(*id),
            }
        }
        for at in &reads.outputs {
            match self.output(at) {
                Some(state) => {
                    answered.view.outputs.insert(*at, state);
                }
                None => answered.outputs.push(*at),
            }
        }
        answered
    }

    fn output(&self, at: &OutputReference) -> Option<OutputState> {
        if let Some(spender) = self.spender(at) {
            return Some(OutputState::Spent(spender));
        }
        if let Some(row) = self.outputs.get(at) {
            return Some(OutputState::Unspent(row.clone()));
        }
        match self.fate(&at.transaction) {
            // It is here with all its outputs, and this is none of them.
            Some(Fate::Committed { .. }) => Some(OutputState::Unknown),
            Some(Fate::Refused { .. }) | None => None,
        }
    }

    /// Of those outputs that these blocks spent: whether a block up to `tip` did.
    pub(super) fn spent_by(
        &self,
        outputs: &[OutputReference],
        tip: Height,
    ) -> HashMap<OutputReference, bool> {
        let spent = outputs.iter().filter_map(|at| {
            let fate = self.fate(&self.spender(at)?)?;
            Some((*at, fate.place().height <= tip))
        });
        spent.collect()
    }
}

/// About what a block's rows take in the maps above, kept and listed by name.
fn size(rows: &Rows) -> usize {
    let owners: usize = rows.created.iter().map(|made| made.row.owners.len()).sum();
    200 * (rows.committed.len() + rows.refused.len())
        + 400 * rows.created.len()
        + 160 * owners
        + 200 * rows.spent.len()
        + 4 * rows.ends.len()
        + 256
}
