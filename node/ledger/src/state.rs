//! What a block changes, and the hash over all unspent outputs.

use crate::{
    ids::{Hash, OutputReference, TransactionId},
    rules::OutputRow,
};

/// What storing a block changes: rows to write, nothing written yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Transactions that are now part of the ledger, with their index in the block.
    pub committed: Vec<(TransactionId, u32)>,
    /// Outputs that were unspent before the block and are spent by it, with the spender.
    pub spent: Vec<(OutputReference, TransactionId)>,
    /// Outputs made by the block, in order, those that it spent itself included.
    pub created: Vec<(OutputReference, OutputRow)>,
    /// The state's hash after the block.
    pub state: StateHash,
}

/// A set hash over the unspent outputs (LtHash: Bellare and Micciancio 1997; Lewi et al.
/// 2019): adding or removing a row costs the same whatever the number of rows, and the
/// order does not matter.
#[derive(Clone, PartialEq, Eq)]
pub struct StateHash {
    lanes: Box<[u16; 1024]>,
    rows: u64,
}

impl Default for StateHash {
    fn default() -> Self {
        Self { lanes: Box::new([0; 1024]), rows: 0 }
    }
}

impl std::fmt::Debug for StateHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StateHash({} rows, {:?})", self.rows, self.root())
    }
}

impl StateHash {
    /// Bytes of [`StateHash::to_bytes`].
    pub const BYTES: usize = 2048 + 8;

    /// Takes a row in.
    pub fn add(&mut self, at: &OutputReference, row: &OutputRow) {
        let _ = (at, row, &mut self.lanes);
        todo!()
    }
    /// Takes a row out that is in.
    pub fn remove(&mut self, at: &OutputReference, row: &OutputRow) {
        let _ = (at, row, &mut self.lanes);
        todo!()
    }
    /// How many rows are in.
    pub fn rows(&self) -> u64 {
        self.rows
    }
    /// The 32 bytes that a header commits to.
    pub fn root(&self) -> Hash {
        todo!()
    }
    /// For a snapshot.
    pub fn to_bytes(&self) -> Vec<u8> {
        todo!()
    }
    /// From a snapshot; nothing if the length is off.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let _ = bytes;
        todo!()
    }
}
