//! What keeps the log of a run. Virtual time stands still while it works; when what it holds
//! reaches whom is the seed's business.

use std::cell::{Cell, RefCell};

use cairn_ledger::ids::Position;
use cairn_node::{
    mesh::Peer,
    order::{Batch, Ordered},
};

/// One log for all validators of a run.
pub(crate) trait Keeper {
    /// Puts a batch in at a validator that runs: its position.
    fn append(&self, at: Peer, batch: &Batch) -> u64;

    /// What a validator that runs reads there, after one position and up to another.
    fn read(&self, who: Peer, after: u64, end: u64) -> Vec<Ordered>;

    /// A validator's process begins; its blocks have the log up to there.
    fn starts(&self, _who: Peer, _after: u64) {}

    /// A validator's process is gone.
    fn crashes(&self, _who: Peer) {}
}

fn between(entries: &[Ordered], after: u64, end: u64) -> Vec<Ordered> {
    let within = |entry: &&Ordered| (after + 1..=end).contains(&entry.position.0);
    entries.iter().filter(within).cloned().collect()
}

/// A list.
#[derive(Default)]
pub(crate) struct List(RefCell<Vec<Ordered>>);

impl Keeper for List {
    fn append(&self, _: Peer, batch: &Batch) -> u64 {
        let mut entries = self.0.borrow_mut();
        let position = entries.len() as u64 + 1;
        entries.push(Ordered { position: Position(position), batch: batch.clone() });
        position
    }

    fn read(&self, _: Peer, after: u64, end: u64) -> Vec<Ordered> {
        between(&self.0.borrow(), after, end)
    }
}

/// A log that another run wrote.
#[cfg_attr(not(feature = "tikv"), expect(dead_code, reason = "only logs in TiKV are written so"))]
pub(crate) struct Replayed {
    pub(crate) entries: Vec<Ordered>,
    /// Where each append ended.
    pub(crate) ends: Vec<u64>,
    pub(crate) next: Cell<usize>,
}

impl Keeper for Replayed {
    fn append(&self, _: Peer, batch: &Batch) -> u64 {
        let next = self.next.get();
        self.next.set(next + 1);
        let end = *self.ends.get(next).expect("the other run appended as often");
        let entry = self.entries.iter().find(|entry| entry.position.0 == end);
        assert_eq!(entry.map(|entry| &entry.batch), Some(batch), "and the same");
        end
    }

    fn read(&self, _: Peer, after: u64, end: u64) -> Vec<Ordered> {
        between(&self.entries, after, end)
    }
}
