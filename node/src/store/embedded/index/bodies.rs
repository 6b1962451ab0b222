//! Where a block's transactions lie in it: `height → the end of each`.

use std::ops::Range;

use cairn_ledger::{
    encoding::{DecodeError, Reader, Writer},
    ids::Height,
};

pub(super) fn key(height: Height) -> [u8; 8] {
    height.0.to_be_bytes()
}

pub(super) fn encode(ends: &[u32]) -> Vec<u8> {
    let mut writer = Writer::default();
    for end in ends {
        writer.u32(*end);
    }
    writer.finish()
}

/// Where the transaction of that index is, its length not included; nothing when there are
/// fewer.
pub(super) fn decode(ends: &[u8], index: u32) -> Result<Option<Range<usize>>, DecodeError> {
    let (ends, rest) = ends.as_chunks::<4>();
    let malformed = || Reader::new("ends of a block's transactions", rest).malformed();
    if !rest.is_empty() {
        return Err(malformed());
    }
    let index = index as usize;
    let end_of = |at: usize| ends.get(at).map(|end| u32::from_be_bytes(*end) as usize);
    let Some(end) = end_of(index) else { return Ok(None) };
    let before = index.checked_sub(1).map_or(Some(0), end_of);
    let start = before.and_then(|before| before.checked_add(4)).filter(|start| *start <= end);
    start.map(|start| Some(start..end)).ok_or_else(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transaction_is_found_and_none_behind_the_last() {
        let bytes = encode(&[10, 14, 100]);
        assert_eq!(decode(&bytes, 0), Ok(Some(4..10)));
        assert_eq!(decode(&bytes, 1), Ok(Some(14..14)));
        assert_eq!(decode(&bytes, 2), Ok(Some(18..100)));
        assert_eq!(decode(&bytes, 3), Ok(None));
        assert_eq!(decode(&bytes, u32::MAX), Ok(None));
        assert_eq!(decode(&[], 0), Ok(None));
        assert!(decode(&bytes[1..], 0).is_err());
        assert!(decode(&encode(&[10, 13]), 1).is_err());
        assert!(decode(&encode(&[3]), 0).is_err());
    }
}
