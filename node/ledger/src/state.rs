//! What a block changes, and the hash over all unspent outputs.

use sha2::{Digest, Sha256};

use crate::{
    encoding::Writer,
    ids::{Hash, OutputReference, TransactionId},
    rules::OutputRow,
};

/// Domain tag of a row that is expanded into lanes.
const ROW_TAG: &[u8] = b"cairn/row/1";
/// Domain tag of the root.
const STATE_TAG: &[u8] = b"cairn/state/1";
/// 1024 lanes of 16 bits: the parameters of LtHash16 in Lewi et al., for which they argue
/// 200 bits of security.
const LANES: usize = 1024;

/// What storing a block changes: rows to write, nothing written yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Transactions that are now part of the ledger, with their index in the block.
    pub committed: Vec<(TransactionId, u32)>,
    /// Outputs that the block spends, with the spender. Those that it made itself are in
    /// here too: write `created` first, then `spent`.
    pub spent: Vec<(OutputReference, TransactionId)>,
    /// Outputs made by the block, in order, those that it spent itself included.
    pub created: Vec<(OutputReference, OutputRow)>,
    /// The state's hash after the block.
    pub state: StateHash,
}

impl Changes {
    /// A block that changes nothing, on top of that state.
    pub fn none(state: StateHash) -> Self {
        Self { committed: Vec::new(), spent: Vec::new(), created: Vec::new(), state }
    }
}

/// A set hash over the unspent outputs (LtHash: Bellare and Micciancio 1997; Lewi et al.
/// 2019): adding or removing a row costs the same whatever the number of rows, and the
/// order does not matter.
#[derive(Clone, PartialEq, Eq)]
pub struct StateHash {
    lanes: Box<[u16; LANES]>,
    rows: u64,
}

impl Default for StateHash {
    fn default() -> Self {
        Self { lanes: Box::new([0; LANES]), rows: 0 }
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
        let expanded = expand(at, row);
        for (lane, bytes) in self.lanes.iter_mut().zip(expanded.as_chunks().0) {
            *lane = lane.wrapping_add(u16::from_le_bytes(*bytes));
        }
        self.rows += 1;
    }
    /// Takes a row out that is in.
    ///
    /// # Panics
    /// When no row is in: whoever calls this took out what was never put in.
    pub fn remove(&mut self, at: &OutputReference, row: &OutputRow) {
        let expanded = expand(at, row);
        for (lane, bytes) in self.lanes.iter_mut().zip(expanded.as_chunks().0) {
            *lane = lane.wrapping_sub(u16::from_le_bytes(*bytes));
        }
        self.rows = self.rows.checked_sub(1).expect("a row that is taken out is in");
    }
    /// How many rows are in.
    pub fn rows(&self) -> u64 {
        self.rows
    }
    /// The 32 bytes that a header commits to.
    pub fn root(&self) -> Hash {
        let hash = Sha256::new().chain_update(STATE_TAG).chain_update(self.to_bytes());
        Hash(hash.finalize().into())
    }
    /// For a snapshot: the lanes, little-endian like the bytes that were added up, then the
    /// number of rows, big-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        bytes.extend(self.lanes.iter().flat_map(|lane| lane.to_le_bytes()));
        bytes.extend(self.rows.to_be_bytes());
        bytes
    }
    /// From a snapshot; nothing if the length is off.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (lanes, rows) = bytes.split_last_chunk::<8>()?;
        if lanes.len() != 2 * LANES {
            return None;
        }
        let mut state = Self { rows: u64::from_be_bytes(*rows), ..Self::default() };
        for (lane, bytes) in state.lanes.iter_mut().zip(lanes.as_chunks().0) {
            *lane = u16::from_le_bytes(*bytes);
        }
        Some(state)
    }
}

/// The binary form of a row that the state's hash is over: domain tag, transaction, index,
/// asset, amount, condition (kind, fingerprint, cost), number of owners, owners.
pub fn encode_row(at: &OutputReference, row: &OutputRow) -> Vec<u8> {
    let OutputReference { transaction, index } = at;
    let OutputRow { asset, amount, condition, owners } = row;
    let mut writer = Writer::tagged(ROW_TAG);
    writer.raw(&transaction.0).u32(*index).raw(&asset.0).u64(*amount);
    writer.u8(condition.threshold.into()).raw(&condition.sha256).u64(condition.cost);
    writer.u32(u32::try_from(owners.len()).expect("limits keep owners few"));
    for owner in owners {
        writer.raw(&owner.0);
    }
    writer.finish()
}

fn expand(at: &OutputReference, row: &OutputRow) -> [u8; 2 * LANES] {
    let mut expanded = [0; 2 * LANES];
    blake3::Hasher::new().update(&encode_row(at, row)).finalize_xof().fill(&mut expanded);
    expanded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{condition::Fingerprint, ids::PublicKey};

    fn row(number: u64) -> (OutputReference, OutputRow) {
        let mut name = [0; 32];
        name[..8].copy_from_slice(&number.to_le_bytes());
        let transaction = TransactionId(name);
        let condition = Fingerprint { threshold: false, sha256: [3; 32], cost: 131_072 };
        let owners = Box::new([PublicKey([4; 32])]);
        let row = OutputRow { asset: transaction, amount: 1 + number % 7, condition, owners };
        (OutputReference { transaction, index: (number % 3) as u32 }, row)
    }

    fn with(numbers: impl IntoIterator<Item = u64>) -> StateHash {
        let mut state = StateHash::default();
        for (at, row) in numbers.into_iter().map(row) {
            state.add(&at, &row);
        }
        state
    }

    proptest! {
        #[test]
        fn the_order_does_not_matter_and_what_leaves_leaves_no_trace(
            numbers in proptest::collection::vec(any::<u64>(), 1..20),
            stays in 0_usize..20,
        ) {
            let forward = with(numbers.iter().copied());
            let backward = with(numbers.iter().rev().copied());
            prop_assert_eq!(&forward, &backward);
            prop_assert_eq!(forward.root(), backward.root());

            let stays = stays.min(numbers.len());
            let mut state = forward;
            for (at, row) in numbers[stays..].iter().copied().map(row) {
                state.remove(&at, &row);
            }
            prop_assert_eq!(&state, &with(numbers[..stays].iter().copied()));
            prop_assert_eq!(StateHash::from_bytes(&state.to_bytes()), Some(state));
        }
    }

    #[test]
    fn every_field_of_a_row_matters() {
        let (at, original) = row(5);
        type Bend = fn(&mut OutputReference, &mut OutputRow);
        let bends: [Bend; 10] = [
            |_, _| {},
            |at, _| at.index += 1,
            |at, _| at.transaction.0[31] ^= 1,
            |_, row| row.asset.0[0] ^= 1,
            |_, row| row.amount += 1,
            |_, row| row.condition.threshold = true,
            |_, row| row.condition.sha256[31] ^= 1,
            |_, row| row.condition.cost += 1,
            |_, row| row.owners = Box::new([]),
            |_, row| row.owners = Box::new([PublicKey([4; 32]), PublicKey([4; 32])]),
        ];
        let mut seen = std::collections::HashSet::from([StateHash::default().root()]);
        for (number, bend) in bends.iter().enumerate() {
            let (mut at, mut row) = (at, original.clone());
            bend(&mut at, &mut row);
            let mut state = StateHash::default();
            state.add(&at, &row);
            assert!(seen.insert(state.root()), "bend {number} does not change the hash");
        }
    }

    #[test]
    fn the_same_row_twice_is_not_none() {
        // An exclusive-or hash would cancel here.
        assert_ne!(with([9, 9]).to_bytes()[..2048], StateHash::default().to_bytes()[..2048]);
    }

    #[test]
    #[should_panic(expected = "a row that is taken out is in")]
    fn taking_out_of_nothing_is_a_bug() {
        let (at, row) = row(1);
        StateHash::default().remove(&at, &row);
    }

    #[test]
    fn a_snapshot_of_another_length_is_refused() {
        for length in [0, 7, 8, 2048, StateHash::BYTES - 1, StateHash::BYTES + 1] {
            assert_eq!(StateHash::from_bytes(&vec![0; length]), None, "{length}");
        }
        assert_eq!(StateHash::from_bytes(&[0; StateHash::BYTES]), Some(StateHash::default()));
    }
}
