//! What the last blocks did that the rows of queries do not say yet, because those are written
//! behind the commit path: with it, every answer is exact at the tip.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use cairn_ledger::{
    block::Place,
    ids::{BlockId, Height, OutputReference, PublicKey, TransactionId},
};

use super::{Located, owners, rows::Rows};

/// What became of a transaction, as its row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is part of the ledger.
    Committed {
        place: Place,
        /// It made an asset.
        created: bool,
    },
    /// It is not, and was last refused there.
    Refused { place: Place },
}

impl Fate {
    /// Where.
    pub(super) fn place(&self) -> Place {
        match *self {
            Self::Committed { place, .. } | Self::Refused { place } => place,
        }
    }
}

impl From<Fate> for Located {
    fn from(fate: Fate) -> Self {
        match fate {
            Fate::Committed { place, .. } => Self::Committed(place),
            Fate::Refused { place } => Self::Refused(place),
        }
    }
}

/// Blocks whose rows are on their way.
#[derive(Debug)]
pub(super) struct Pending {
    /// Up to here everything is in the rows and nothing is here.
    indexed: Height,
    blocks: VecDeque<(BlockId, Arc<Rows>)>,
    transactions: usize,
    fates: HashMap<TransactionId, Fate>,
    transfers: HashMap<TransactionId, VecDeque<Place>>,
    outputs: HashMap<PublicKey, VecDeque<(Height, OutputReference)>>,
    spenders: HashMap<OutputReference, TransactionId>,
}

impl Pending {
    /// Nothing; the rows are as of that height.
    pub(super) fn new(indexed: Height) -> Self {
        Self {
            indexed,
            blocks: VecDeque::new(),
            transactions: 0,
            fates: HashMap::new(),
            transfers: HashMap::new(),
            outputs: HashMap::new(),
            spenders: HashMap::new(),
        }
    }

    /// Takes the next block in.
    pub(super) fn push(&mut self, block: BlockId, rows: Arc<Rows>) {
        for (id, index) in &rows.refused {
            let committed = matches!(self.fates.get(id), Some(Fate::Committed { .. }));
            if !committed {
                self.fates.insert(*id, Fate::Refused { place: rows.place(*index) });
            }
        }
        for transaction in &rows.committed {
            let place = rows.place(transaction.index);
            let created = transaction.id == transaction.asset;
            self.fates.insert(transaction.id, Fate::Committed { place, created });
            if !created {
                self.transfers.entry(transaction.asset).or_default().push_back(place);
            }
        }
        for created in &rows.created {
            for owner in owners(&created.row) {
                self.outputs.entry(*owner).or_default().push_back((rows.height, created.at));
            }
        }
        self.spenders.extend(rows.spent.iter().copied());
        self.transactions += rows.committed.len() + rows.refused.len();
        self.blocks.push_back((block, rows));
    }

    /// The next block whose rows are to be written.
    pub(super) fn first(&self) -> Option<(BlockId, Arc<Rows>)> {
        self.blocks.front().cloned()
    }

    /// All blocks whose rows are to be written, the first one first.
    #[cfg_attr(not(feature = "tikv"), expect(dead_code, reason = "the index takes one by one"))]
    pub(super) fn blocks(&self) -> impl Iterator<Item = &(BlockId, Arc<Rows>)> {
        self.blocks.iter()
    }

    /// The rows of the first block are there now.
    pub(super) fn forget_first(&mut self) {
        let Some((_, rows)) = self.blocks.pop_front() else { return };
        let done = rows.height;
        let ids = rows.committed.iter().map(|transaction| transaction.id);
        for id in ids.chain(rows.refused.iter().map(|(id, _)| *id)) {
            let fate = self.fates.get(&id);
            if fate.is_some_and(|fate| fate.place().height <= done) {
                self.fates.remove(&id);
            }
        }
        for transaction in &rows.committed {
            forget(&mut self.transfers, &transaction.asset, |place| place.height <= done);
        }
        for created in &rows.created {
            for owner in owners(&created.row) {
                forget(&mut self.outputs, owner, |(height, _)| *height <= done);
            }
        }
        for (at, _) in &rows.spent {
            self.spenders.remove(at);
        }
        self.transactions -= rows.committed.len() + rows.refused.len();
        self.indexed = done;
    }

    /// Up to here the rows answer.
    pub(super) fn indexed(&self) -> Height {
        self.indexed
    }

    /// How many transactions wait.
    pub(super) fn transactions(&self) -> usize {
        self.transactions
    }

    pub(super) fn fate(&self, id: &TransactionId) -> Option<Fate> {
        self.fates.get(id).copied()
    }

    pub(super) fn spender(&self, at: &OutputReference) -> Option<TransactionId> {
        self.spenders.get(at).copied()
    }

    pub(super) fn transfers(
        &self,
        asset: &TransactionId,
    ) -> impl DoubleEndedIterator<Item = Place> {
        self.transfers.get(asset).into_iter().flatten().copied()
    }

    pub(super) fn outputs(&self, owner: &PublicKey) -> impl Iterator<Item = OutputReference> {
        self.outputs.get(owner).into_iter().flatten().map(|(_, at)| *at)
    }
}

/// Drops what is done from the front of a list, and the list when nothing is left.
fn forget<K: Eq + std::hash::Hash, V>(
    lists: &mut HashMap<K, VecDeque<V>>,
    key: &K,
    done: impl Fn(&V) -> bool,
) {
    if let Some(list) = lists.get_mut(key) {
        while list.front().is_some_and(&done) {
            list.pop_front();
        }
        if list.is_empty() {
            lists.remove(key);
        }
    }
}
