//! An owner's outputs, block by block: `w ‖ owner ‖ height ‖ number → outputs`. A block with
//! very many for one owner has several rows.

use std::{collections::BTreeMap, ops::Range};

use cairn_ledger::{
    encoding::{DecodeError, Reader, Writer},
    ids::{Height, OutputReference, PublicKey, TransactionId},
};
use cairn_tikv::Pair;

use super::compact::{put, put_count, put_sorted, take_count, take_u32};
use crate::store::{owners, rows::Rows};

pub(in super::super) const LETTER: u8 = b'w';
/// Outputs of one row: keeps it below 128 KiB.
const OUTPUTS_MAX: usize = 3000;

fn key(owner: &PublicKey, height: Height, number: u16) -> Vec<u8> {
    let mut writer = Writer::tagged(&[LETTER]);
    writer.raw(&owner.0);
    put_sorted(&mut writer, height.0);
    put_sorted(&mut writer, number);
    writer.finish()
}

/// The keys of an owner up to a height.
pub(in super::super) fn range(owner: &PublicKey, to: Height) -> Range<Vec<u8>> {
    key(owner, Height(0), 0)..key(owner, Height(to.0.saturating_add(1)), 0)
}

fn encode(outputs: &[OutputReference]) -> Vec<u8> {
    let mut writer = Writer::default();
    // Most transactions give an owner one output; those that give more are named once.
    for of_one in outputs.chunk_by(|left, right| left.transaction == right.transaction) {
        writer.raw(&of_one[0].transaction.0);
        put_count(&mut writer, of_one.len());
        of_one.iter().for_each(|output| put(&mut writer, output.index));
    }
    writer.finish()
}

pub(in super::super) fn decode(value: &[u8]) -> Result<Vec<OutputReference>, DecodeError> {
    let mut reader = Reader::new("outputs of an owner", value);
    let mut outputs = Vec::with_capacity(value.len() / 34);
    while !reader.is_done() {
        let transaction = TransactionId(reader.array()?);
        for _ in 0..take_count(&mut reader, OUTPUTS_MAX)? {
            outputs.push(OutputReference { transaction, index: take_u32(&mut reader)? });
        }
    }
    Ok(outputs)
}

/// The rows of a block's outputs, by owner.
pub(in super::super) fn rows(rows: &Rows) -> Vec<Pair> {
    let mut by_owner: BTreeMap<PublicKey, Vec<OutputReference>> = BTreeMap::new();
    for created in &rows.created {
        for owner in owners(&created.row) {
            by_owner.entry(*owner).or_default().push(created.at);
        }
    }
    let mut pairs = Vec::with_capacity(by_owner.len());
    for (owner, outputs) in &by_owner {
        let parts = (0..).zip(outputs.chunks(OUTPUTS_MAX));
        pairs.extend(parts.map(|(number, part)| (key(owner, rows.height, number), encode(part))));
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_come_back_and_sort_in_chain_order() {
        let owner = PublicKey([5; 32]);
        let outputs = [(6, 0), (6, 256), (7, 1)]
            .map(|(id, index)| OutputReference { transaction: TransactionId([id; 32]), index });
        assert_eq!(decode(&encode(&outputs)), Ok(outputs.to_vec()));
        assert!(decode(&encode(&outputs)[1..]).is_err());
        let keys = [(1, 0), (1, 1), (1, 300), (2, 0), (255, 0), (256, 0)]
            .map(|(height, number)| key(&owner, Height(height), number));
        assert!(keys.is_sorted());
        let within = range(&owner, Height(2));
        assert_eq!(keys.iter().filter(|key| within.contains(*key)).count(), 4);
    }
}
