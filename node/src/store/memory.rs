//! The store in memory, for tests and simulation: plain maps behind one lock.
//!
//! An `Arc<MemoryStore>` that outlives a simulated node is its disk: what was committed is
//! there when the next life of the node looks.

use std::{collections::HashMap, sync::Arc};

use cairn_ledger::{
    block::{Block, Place, Tip},
    genesis::Genesis,
    ids::{Height, OutputReference, PublicKey, TransactionId},
    rules::{OutputRow, OutputState, Reads, View},
    state::{Changes, StateHash},
};
use parking_lot::RwLock;
use tokio::sync::watch;

use super::{Located, Spent, Store, StoreError, Stretch, owners, rows::Rows};

/// Blocks and state in maps.
#[derive(Debug)]
pub struct MemoryStore {
    tables: RwLock<Tables>,
    tips: watch::Sender<Height>,
}

#[derive(Debug)]
struct Tables {
    tip: Tip,
    state: StateHash,
    blocks: Vec<Arc<Block>>,
    unspent: HashMap<OutputReference, OutputRow>,
    spent: HashMap<OutputReference, TransactionId>,
    committed: HashMap<TransactionId, Place>,
    refused: HashMap<TransactionId, Place>,
    assets: HashMap<TransactionId, Vec<Place>>,
    owners: HashMap<PublicKey, Vec<OutputReference>>,
}

impl MemoryStore {
    /// An empty store of a chain.
    pub fn new(genesis: &Genesis) -> Self {
        let state = StateHash::default();
        let tip = Tip { state_root: state.root(), ..Tip::genesis(genesis.chain()) };
        Self {
            tables: RwLock::new(Tables {
                tip,
                state,
                blocks: Vec::new(),
                unspent: HashMap::new(),
                spent: HashMap::new(),
                committed: HashMap::new(),
                refused: HashMap::new(),
                assets: HashMap::new(),
                owners: HashMap::new(),
            }),
            tips: watch::Sender::new(Height(0)),
        }
    }
}

impl Tables {
    fn apply(&mut self, rows: Rows) {
        for transaction in &rows.committed {
            let place = rows.place(transaction.index);
            self.committed.insert(transaction.id, place);
            self.assets.entry(transaction.asset).or_default().push(place);
        }
        for (id, index) in &rows.refused {
            self.refused.insert(*id, rows.place(*index));
        }
        for created in rows.created {
            for owner in owners(&created.row) {
                self.owners.entry(*owner).or_default().push(created.at);
            }
            self.unspent.insert(created.at, created.row);
        }
        for (at, spender) in rows.spent {
            let row = self.unspent.remove(&at);
            assert!(row.is_some(), "only unspent outputs are spent");
            self.spent.insert(at, spender);
        }
    }

    fn output(&self, at: &OutputReference) -> OutputState {
        match (self.unspent.get(at), self.spent.get(at)) {
            (Some(row), _) => OutputState::Unspent(row.clone()),
            (None, Some(spender)) => OutputState::Spent(*spender),
            (None, None) => OutputState::Unknown,
        }
    }
}

impl Store for MemoryStore {
    fn tip(&self) -> (Tip, StateHash) {
        let tables = self.tables.read();
        (tables.tip.clone(), tables.state.clone())
    }

    fn tips(&self) -> watch::Receiver<Height> {
        self.tips.subscribe()
    }

    fn view(&self, reads: &Reads) -> Result<View, StoreError> {
        let tables = self.tables.read();
        let transactions = reads.transactions.iter();
        let outputs = reads.outputs.iter();
        Ok(View {
            transactions: transactions.map(|id| (*id, tables.committed.contains_key(id))).collect(),
            outputs: outputs.map(|at| (*at, tables.output(at))).collect(),
        })
    }

    fn commit(&self, block: &Arc<Block>, changes: &Changes) -> Result<(), StoreError> {
        let rows = Rows::of(block, changes);
        let mut tables = self.tables.write();
        super::assert_next(&tables.tip, block);
        tables.apply(rows);
        assert_eq!(
            tables.unspent.len() as u64,
            changes.state.rows(),
            "changes and their state hash count the same outputs"
        );
        tables.tip = Tip::after(&block.header, changes.state.root());
        tables.state = changes.state.clone();
        tables.blocks.push(Arc::clone(block));
        drop(tables);
        self.tips.send_replace(block.header.height);
        Ok(())
    }

    fn block(&self, height: Height) -> Result<Option<Arc<Block>>, StoreError> {
        let tables = self.tables.read();
        let index = height.0.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        Ok(index.and_then(|index| tables.blocks.get(index)).cloned())
    }

    fn locate(&self, id: &TransactionId) -> Result<Option<Located>, StoreError> {
        let tables = self.tables.read();
        let committed = tables.committed.get(id).copied().map(Located::Committed);
        Ok(committed.or_else(|| tables.refused.get(id).copied().map(Located::Refused)))
    }

    fn transactions_of(
        &self,
        asset: &TransactionId,
        most: usize,
    ) -> Result<Vec<Place>, StoreError> {
        let tables = self.tables.read();
        let places = tables.assets.get(asset).into_iter().flatten();
        Ok(places.take(most).copied().collect())
    }

    fn transactions_along(
        &self,
        asset: &TransactionId,
        stretch: &Stretch,
    ) -> Result<Vec<Place>, StoreError> {
        let tables = self.tables.read();
        let places = tables.assets.get(asset).into_iter().flatten().copied();
        let held = places.filter(|place| stretch.holds(*place));
        Ok(if stretch.newest_first {
            held.rev().take(stretch.most).collect()
        } else {
            held.take(stretch.most).collect()
        })
    }

    fn last_transaction_of(&self, asset: &TransactionId) -> Result<Option<Place>, StoreError> {
        Ok(self.tables.read().assets.get(asset).and_then(|places| places.last().copied()))
    }

    fn outputs_of(
        &self,
        owner: &PublicKey,
        spent: Spent,
        most: usize,
    ) -> Result<Vec<OutputReference>, StoreError> {
        let tables = self.tables.read();
        let wanted = |at: &&OutputReference| match spent {
            Spent::Either => true,
            Spent::Yes => tables.spent.contains_key(*at),
            Spent::No => tables.unspent.contains_key(*at),
        };
        let outputs = tables.owners.get(owner).into_iter().flatten();
        Ok(outputs.filter(wanted).take(most).copied().collect())
    }

    fn stop(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract;

    #[test]
    fn memory_keeps_the_promises_of_a_store() {
        contract::suite(&|genesis| {
            let store: Arc<dyn Store> = Arc::new(MemoryStore::new(genesis));
            // Its memory is its disk: to open it again is to look at it again.
            let reopen = Arc::clone(&store);
            (store, Box::new(move |_stopped| Arc::clone(&reopen)))
        });
    }
}
