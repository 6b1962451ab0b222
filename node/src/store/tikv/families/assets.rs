//! An asset's transfers, block by block: `a ‖ asset ‖ height → indexes`. Its CREATE is known
//! by its own row.

use std::{collections::BTreeMap, ops::Range};

use cairn_ledger::{
    block::Place,
    encoding::{DecodeError, Reader, Writer},
    ids::{Height, TransactionId},
};
use cairn_tikv::Pair;

use super::compact::{put, put_sorted, take_sorted, take_u32};
use crate::store::rows::Rows;

pub(in super::super) const LETTER: u8 = b'a';

fn key(asset: &TransactionId, height: Height) -> Vec<u8> {
    let mut writer = Writer::tagged(&[LETTER]);
    writer.raw(&asset.0);
    put_sorted(&mut writer, height.0);
    writer.finish()
}

/// The keys of an asset from one height to another, both included.
pub(in super::super) fn range(asset: &TransactionId, from: Height, to: Height) -> Range<Vec<u8>> {
    key(asset, from)..key(asset, Height(to.0.saturating_add(1)))
}

/// The places that a row names, in the order of the block.
pub(in super::super) fn decode(key: &[u8], value: &[u8]) -> Result<Vec<Place>, DecodeError> {
    let mut reader = Reader::new("key of an asset's transfers", key);
    reader.raw(1 + 32)?;
    let height = Height(take_sorted(&mut reader)?);
    reader.finish()?;
    let mut reader = Reader::new("transfers of an asset", value);
    let mut places = Vec::with_capacity(value.len());
    while !reader.is_done() {
        places.push(Place { height, index: take_u32(&mut reader)? });
    }
    Ok(places)
}

/// The rows of a block's transfers, by asset.
pub(in super::super) fn rows(rows: &Rows) -> Vec<Pair> {
    let mut by_asset: BTreeMap<TransactionId, Writer> = BTreeMap::new();
    let transfers = rows.committed.iter().filter(|transaction| transaction.id != transaction.asset);
    for transfer in transfers {
        put(by_asset.entry(transfer.asset).or_default(), transfer.index);
    }
    let row =
        |(asset, indexes): (TransactionId, Writer)| (key(&asset, rows.height), indexes.finish());
    by_asset.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transfers_come_back_and_sort_in_chain_order() {
        let asset = TransactionId([5; 32]);
        let keys = [1, 2, 255, 256].map(|height| key(&asset, Height(height)));
        assert!(keys.is_sorted());
        let places = [3, 70_000].map(|index| Place { height: Height(255), index });
        let mut value = Writer::default();
        places.iter().for_each(|place| put(&mut value, place.index));
        let value = value.finish();
        assert_eq!(decode(&keys[2], &value), Ok(places.to_vec()));
        assert!(decode(&keys[2], &value[..value.len() - 1]).is_err());
        let within = range(&asset, Height(2), Height(255));
        assert_eq!(keys.iter().filter(|key| within.contains(*key)).count(), 2);
    }
}
