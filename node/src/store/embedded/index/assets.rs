//! An asset's transfers in chain order: `asset ‖ height ‖ index → nothing`. Its CREATE is the
//! transaction of the asset's own id.

use std::ops::RangeInclusive;

use cairn_ledger::{
    block::Place,
    encoding::{DecodeError, Reader, Writer},
    ids::{Height, TransactionId},
};

use super::{put_place, take_place};

pub(super) fn key(asset: &TransactionId, place: Place) -> Vec<u8> {
    let mut writer = Writer::tagged(&asset.0);
    put_place(&mut writer, place);
    writer.finish()
}

/// The keys of an asset up to a height.
pub(super) fn range(asset: &TransactionId, to: Height) -> RangeInclusive<Vec<u8>> {
    let first = Place { height: Height(0), index: 0 };
    key(asset, first)..=key(asset, Place { height: to, index: u32::MAX })
}

pub(super) fn decode(key: &[u8]) -> Result<Place, DecodeError> {
    let mut reader = Reader::new("place of an asset's transaction", key);
    reader.raw(32)?;
    let place = take_place(&mut reader)?;
    reader.finish()?;
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_and_sort_in_chain_order() {
        let asset = TransactionId([5; 32]);
        let places = [(1, 0), (1, 255), (1, 256), (2, 0), (256, 1), (u64::MAX, u32::MAX)];
        let places = places.map(|(height, index)| Place { height: Height(height), index });
        let keys = places.map(|place| key(&asset, place));
        assert!(keys.is_sorted());
        for (place, key) in places.iter().zip(&keys) {
            assert_eq!(decode(key), Ok(*place));
            assert!(decode(&key[1..]).is_err());
        }
        let within = range(&asset, Height(2));
        assert_eq!(keys.iter().filter(|key| within.contains(*key)).count(), 4);
    }
}
