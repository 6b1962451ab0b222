//! An owner's outputs in chain order: `owner ‖ height ‖ index ‖ output → transaction`.

use std::ops::RangeInclusive;

use cairn_ledger::{
    block::Place,
    encoding::{DecodeError, Reader, Writer},
    ids::{Height, OutputReference, PublicKey, TransactionId},
};

use super::{put_place, take_place};

pub(super) fn key(owner: &PublicKey, place: Place, output: u32) -> Vec<u8> {
    let mut writer = Writer::tagged(&owner.0);
    put_place(&mut writer, place);
    writer.u32(output);
    writer.finish()
}

/// The keys of an owner up to a height.
pub(super) fn range(owner: &PublicKey, to: Height) -> RangeInclusive<Vec<u8>> {
    let first = Place { height: Height(0), index: 0 };
    key(owner, first, 0)..=key(owner, Place { height: to, index: u32::MAX }, u32::MAX)
}

pub(super) fn decode(key: &[u8], value: &[u8]) -> Result<OutputReference, DecodeError> {
    let mut reader = Reader::new("output of an owner", key);
    reader.raw(32)?;
    take_place(&mut reader)?;
    let index = reader.u32()?;
    reader.finish()?;
    let mut reader = Reader::new("transaction of an owner's output", value);
    let transaction = TransactionId(reader.array()?);
    reader.finish()?;
    Ok(OutputReference { transaction, index })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_come_back_and_sort_in_chain_order() {
        let owner = PublicKey([5; 32]);
        let transaction = TransactionId([6; 32]);
        let outputs = [(1, 0, 0), (1, 0, 256), (1, 1, 0), (2, 0, 0), (3, 0, 0)];
        let keys = outputs.map(|(height, index, output)| {
            key(&owner, Place { height: Height(height), index }, output)
        });
        assert!(keys.is_sorted());
        for ((_, _, index), key) in outputs.into_iter().zip(&keys) {
            let expected = OutputReference { transaction, index };
            assert_eq!(decode(key, &transaction.0), Ok(expected));
            assert!(decode(key, &transaction.0[1..]).is_err());
            assert!(decode(&key[1..], &transaction.0).is_err());
        }
        let within = range(&owner, Height(2));
        assert_eq!(keys.iter().filter(|key| within.contains(*key)).count(), 4);
    }
}
