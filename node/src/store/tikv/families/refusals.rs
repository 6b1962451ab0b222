//! Where a transaction was refused: `r ‖ id ‖ height → index`. One row a block, so that none
//! ever changes; the last one counts.

use std::{collections::BTreeMap, ops::Range};

use cairn_ledger::{
    block::Place,
    encoding::{DecodeError, Reader, Writer},
    ids::{Height, TransactionId},
};
use cairn_tikv::Pair;

use super::compact::{put, put_sorted, take_sorted, take_u32};
use crate::store::rows::Rows;

pub(in super::super) const LETTER: u8 = b'r';

fn key(id: &TransactionId, height: Height) -> Vec<u8> {
    let mut writer = Writer::tagged(&[LETTER]);
    writer.raw(&id.0);
    put_sorted(&mut writer, height.0);
    writer.finish()
}

/// The keys of a transaction up to a height.
pub(in super::super) fn range(id: &TransactionId, to: Height) -> Range<Vec<u8>> {
    key(id, Height(0))..key(id, Height(to.0.saturating_add(1)))
}

pub(in super::super) fn decode(key: &[u8], value: &[u8]) -> Result<Place, DecodeError> {
    let mut reader = Reader::new("key of a refusal", key);
    reader.raw(1 + 32)?;
    let height = Height(take_sorted(&mut reader)?);
    reader.finish()?;
    let mut reader = Reader::new("refusal", value);
    let index = take_u32(&mut reader)?;
    reader.finish()?;
    Ok(Place { height, index })
}

/// The rows of a block's refusals. Of two of the same transaction the later one counts.
pub(in super::super) fn rows(rows: &Rows) -> Vec<Pair> {
    let last: BTreeMap<_, _> = rows.refused.iter().copied().collect();
    let row = |(id, index): (TransactionId, u32)| {
        let mut writer = Writer::default();
        put(&mut writer, index);
        (key(&id, rows.height), writer.finish())
    };
    last.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_comes_back_and_later_ones_sort_behind() {
        let id = TransactionId([7; 32]);
        let keys = [1, 2, 255, 256].map(|height| key(&id, Height(height)));
        assert!(keys.is_sorted());
        let place = Place { height: Height(256), index: 9 };
        assert_eq!(decode(&keys[3], &[9]), Ok(place));
        assert!(decode(&keys[3], &[]).is_err());
        assert!(decode(&keys[3][1..], &[9]).is_err());
        let within = range(&id, Height(255));
        assert_eq!(keys.iter().filter(|key| within.contains(*key)).count(), 3);
    }
}
