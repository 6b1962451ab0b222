//! The unspent outputs, in memory: what executing a block reads.
//!
//! Rows lie densely in vectors, one for each of 256 shards, and a table of row numbers finds
//! them; a row with one owner takes 112 bytes and no allocation of its own, which is nearly
//! all of them. Shards grow one at a time, so that growing never stops the world, and are
//! what a snapshot copies at once.

use std::collections::HashMap;

use cairn_ledger::{
    condition::Fingerprint,
    encoding::{DecodeError, Reader, Writer},
    ids::{OutputReference, PublicKey, TransactionId},
    limits::CONDITION_KEYS_MAX,
    rules::OutputRow,
};
use hashbrown::HashTable;

/// How many shards there are: one for each first byte of a transaction's id.
pub(super) const SHARDS: usize = 256;

/// In which shard an output lies.
pub(super) fn shard_of(at: &OutputReference) -> usize {
    usize::from(at.transaction.0[0])
}

/// The unspent outputs.
#[derive(Debug)]
pub(super) struct Outputs {
    seed: Seed,
    shards: Vec<Shard>,
}

/// Ids are hashes that a client can grind; without knowing the seed it cannot aim at one
/// place of the table.
#[derive(Clone, Copy, Debug)]
struct Seed([u64; 2]);

impl Seed {
    fn hash(&self, at: &OutputReference) -> u64 {
        let word = |from: usize| {
            let bytes = at.transaction.0[from..].first_chunk().expect("an id has 32 bytes");
            u64::from_le_bytes(*bytes)
        };
        let [a, b] = self.0;
        let left = u128::from(word(8) ^ a);
        let right = u128::from(word(16) ^ b ^ (u64::from(at.index) << 32));
        let product = left * (right | 1);
        (product as u64) ^ ((product >> 64) as u64)
    }
}

#[derive(Debug, Default)]
struct Shard {
    rows: Vec<Row>,
    /// Numbers of rows, by the hash of what they are the row of.
    table: HashTable<u32>,
    /// Rows that do not fit [`Row`].
    wide: HashMap<OutputReference, OutputRow>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    transaction: TransactionId,
    asset: TransactionId,
    owner: PublicKey,
    amount: u64,
    index: u32,
    /// The row is in `wide`; owner and amount mean nothing.
    is_wide: bool,
}

const _: () = assert!(size_of::<Row>() == 112);

impl Row {
    fn at(&self) -> OutputReference {
        OutputReference { transaction: self.transaction, index: self.index }
    }
}

impl Shard {
    fn find(&self, seed: Seed, at: &OutputReference) -> Option<u32> {
        let same = |number: &u32| self.rows[*number as usize].at() == *at;
        self.table.find(seed.hash(at), same).copied()
    }

    fn output(&self, row: &Row) -> OutputRow {
        if row.is_wide {
            return self.wide.get(&row.at()).expect("a wide row is there").clone();
        }
        OutputRow {
            asset: row.asset,
            amount: row.amount,
            condition: Fingerprint::of_key(&row.owner),
            owners: [row.owner].into(),
        }
    }

    fn insert(&mut self, seed: Seed, at: OutputReference, output: OutputRow) {
        let OutputReference { transaction, index } = at;
        let (asset, amount) = (output.asset, output.amount);
        let single = match *output.owners {
            [owner] if output.condition == Fingerprint::of_key(&owner) => Some(owner),
            _ => None,
        };
        let owner = single.unwrap_or(PublicKey([0; 32]));
        let row = Row { transaction, asset, owner, amount, index, is_wide: single.is_none() };
        if row.is_wide {
            self.wide.insert(at, output);
        }
        let number = u32::try_from(self.rows.len()).expect("a shard has fewer than 2^32 rows");
        if self.rows.len() == self.rows.capacity() {
            // Doubling would leave a quarter of the memory empty on average.
            self.rows.reserve_exact(self.rows.len() / 8 + 4);
        }
        self.rows.push(row);
        let rows = &self.rows;
        self.table.insert_unique(seed.hash(&at), number, |number| {
            seed.hash(&rows[*number as usize].at())
        });
    }

    fn remove(&mut self, seed: Seed, at: &OutputReference) -> Option<OutputRow> {
        let number = self.find(seed, at)?;
        let output = self.output(&self.rows[number as usize]);
        self.wide.remove(at);
        let entry = self.table.find_entry(seed.hash(at), |found| *found == number);
        entry.expect("it was just found").remove();
        self.rows.swap_remove(number as usize);
        if let Some(moved) = self.rows.get(number as usize) {
            let old = u32::try_from(self.rows.len()).expect("row numbers fit");
            let slot = self.table.find_mut(seed.hash(&moved.at()), |found| *found == old);
            *slot.expect("every row is in the table") = number;
        }
        Some(output)
    }
}

impl Outputs {
    /// None. `seed` is random, and the same for as long as this lives.
    pub(super) fn new(seed: [u64; 2]) -> Self {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Self { seed: Seed(seed), shards }
    }

    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        self.shards.iter().map(|shard| shard.rows.len() as u64).sum()
    }

    pub(super) fn get(&self, at: &OutputReference) -> Option<OutputRow> {
        let shard = &self.shards[shard_of(at)];
        let number = shard.find(self.seed, at)?;
        Some(shard.output(&shard.rows[number as usize]))
    }

    pub(super) fn contains(&self, at: &OutputReference) -> bool {
        self.shards[shard_of(at)].find(self.seed, at).is_some()
    }

    /// Takes one in.
    ///
    /// # Panics
    /// When it is there already: ids are unique, so that is a bug.
    pub(super) fn insert(&mut self, at: OutputReference, output: OutputRow) {
        let shard = &mut self.shards[shard_of(&at)];
        assert!(shard.find(self.seed, &at).is_none(), "{at:?} is made once");
        shard.insert(self.seed, at, output);
    }

    /// Takes one out, if it is there.
    pub(super) fn remove(&mut self, at: &OutputReference) -> Option<OutputRow> {
        self.shards[shard_of(at)].remove(self.seed, at)
    }

    /// A shard's rows, for a snapshot.
    pub(super) fn encode_shard(&self, number: usize) -> Vec<u8> {
        let shard = &self.shards[number];
        let mut writer = Writer::default();
        writer.u32(u32::try_from(shard.rows.len()).expect("a shard has fewer than 2^32 rows"));
        for row in &shard.rows {
            let Row { transaction, asset, owner, amount, index, is_wide } = row;
            writer.u8((*is_wide).into()).raw(&transaction.0).u32(*index).raw(&asset.0);
            if *is_wide {
                encode_wide(&mut writer, &shard.wide[&row.at()]);
            } else {
                writer.u64(*amount).raw(&owner.0);
            }
        }
        writer.finish()
    }

    /// Takes a shard's rows in.
    pub(super) fn decode_shard(&mut self, number: usize, bytes: &[u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new("shard of unspent outputs", bytes);
        let count = reader.u32()?;
        let seed = self.seed;
        let shard = &mut self.shards[number];
        // No row is shorter than 100 bytes, so a wrong count cannot ask for much.
        let likely = (count as usize).min(bytes.len() / 100);
        shard.rows.reserve_exact(likely);
        let Shard { rows, table, wide: _ } = shard;
        table.reserve(likely, |number| seed.hash(&rows[*number as usize].at()));
        for _ in 0..count {
            let is_wide = reader.u8()? != 0;
            let transaction = TransactionId(reader.array()?);
            let at = OutputReference { transaction, index: reader.u32()? };
            let asset = TransactionId(reader.array()?);
            let output = if is_wide {
                decode_wide(&mut reader, asset)?
            } else {
                let amount = reader.u64()?;
                let owner = PublicKey(reader.array()?);
                let condition = Fingerprint::of_key(&owner);
                OutputRow { asset, amount, condition, owners: [owner].into() }
            };
            if shard_of(&at) != number || shard.find(seed, &at).is_some() {
                return Err(reader.malformed());
            }
            shard.insert(seed, at, output);
        }
        reader.finish()
    }
}

fn encode_wide(writer: &mut Writer, output: &OutputRow) {
    let OutputRow { asset: _, amount, condition, owners } = output;
    writer.u64(*amount).u8(condition.threshold.into()).raw(&condition.sha256);
    writer.u64(condition.cost);
    writer.u32(u32::try_from(owners.len()).expect("limits keep owners few"));
    for owner in owners {
        writer.raw(&owner.0);
    }
}

fn decode_wide(reader: &mut Reader<'_>, asset: TransactionId) -> Result<OutputRow, DecodeError> {
    let amount = reader.u64()?;
    let condition =
        Fingerprint { threshold: reader.u8()? != 0, sha256: reader.array()?, cost: reader.u64()? };
    // Lenient imports may list more owners than a condition has keys; not many more.
    let count = reader.count(CONDITION_KEYS_MAX * 64)?;
    let owners: Result<Box<[_]>, _> = (0..count).map(|_| reader.array().map(PublicKey)).collect();
    Ok(OutputRow { asset, amount, condition, owners: owners? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn output(id: u8, index: u32, owners: u8) -> (OutputReference, OutputRow) {
        // Ids of few shards, so that shards see moves.
        let transaction = TransactionId([id % 4, id, 3].repeat(11)[..32].try_into().unwrap());
        let owners: Box<[_]> = (0..owners).map(|owner| PublicKey([owner; 32])).collect();
        let condition = match *owners {
            [owner] => Fingerprint::of_key(&owner),
            _ => Fingerprint { threshold: true, sha256: [id; 32], cost: 7 },
        };
        let asset = TransactionId([id; 32]);
        let row = OutputRow { asset, amount: u64::from(index) + 1, condition, owners };
        (OutputReference { transaction, index }, row)
    }

    proptest! {
        #[test]
        fn it_is_a_map_and_comes_back_from_its_shards(
            steps in prop::collection::vec((any::<u8>(), 0..3_u32, 0..3_u8, any::<bool>()), 0..300)
        ) {
            let mut outputs = Outputs::new([1, 2]);
            let mut model = HashMap::new();
            for (id, index, owners, make) in steps {
                let (at, row) = output(id, index, owners);
                prop_assert_eq!(outputs.get(&at), model.get(&at).cloned());
                if !make {
                    prop_assert_eq!(outputs.remove(&at), model.remove(&at));
                } else if !outputs.contains(&at) {
                    outputs.insert(at, row.clone());
                    model.insert(at, row);
                }
                prop_assert_eq!(outputs.len(), model.len() as u64);
            }
            let mut again = Outputs::new([3, 4]);
            for shard in 0..SHARDS {
                again.decode_shard(shard, &outputs.encode_shard(shard)).unwrap();
            }
            prop_assert_eq!(again.len(), model.len() as u64);
            for (at, row) in model {
                prop_assert_eq!(again.get(&at), Some(row));
            }
        }
    }

    #[test]
    fn a_shard_cut_short_is_malformed() {
        let mut outputs = Outputs::new([1, 2]);
        for (id, owners) in [(0, 1), (4, 2), (8, 1)] {
            let (at, row) = output(id, 0, owners);
            outputs.insert(at, row);
        }
        let bytes = outputs.encode_shard(0);
        for cut in 0..bytes.len() {
            assert!(Outputs::new([5, 6]).decode_shard(0, &bytes[..cut]).is_err(), "cut {cut}");
        }
        assert!(Outputs::new([5, 6]).decode_shard(1, &bytes).is_err(), "another shard's rows");
    }

    #[test]
    fn an_output_with_one_owner_takes_at_most_130_bytes() {
        let mut outputs = Outputs::new([1, 2]);
        for number in 0..200_000_u32 {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&number.wrapping_mul(0x9E37_79B1).to_be_bytes());
            let (mut at, row) = output(1, 0, 1);
            at.transaction = TransactionId(id);
            outputs.insert(at, row);
        }
        let bytes: usize = outputs
            .shards
            .iter()
            .map(|shard| shard.rows.capacity() * size_of::<Row>() + shard.table.allocation_size())
            .sum();
        assert!(bytes as u64 <= 130 * outputs.len(), "{} a row", bytes as u64 / outputs.len());
    }
}
