//! A block's binary form in pieces: `b ‖ height ‖ number → length of the whole ‖ piece`.

use std::ops::Range;

use cairn_ledger::{
    encoding::{DecodeError, Reader, Writer},
    ids::Height,
    limits::FRAME_BYTES_MAX,
};
use cairn_tikv::Pair;

pub(in super::super) const LETTER: u8 = b'b';
/// Bytes of a piece; the last one is shorter. Far below what TiKV takes as one entry, large
/// enough that most blocks are one row.
pub(in super::super) const PIECE_BYTES: usize = 128 * 1024;
/// Pieces of the largest block.
pub(in super::super) const PIECES_MAX: u32 = FRAME_BYTES_MAX.div_ceil(PIECE_BYTES) as u32;

pub(in super::super) fn key(height: Height, number: u16) -> Vec<u8> {
    let mut writer = Writer::tagged(&[LETTER]);
    writer.u64(height.0).u16(number);
    writer.finish()
}

/// The keys of a block.
pub(in super::super) fn range(height: Height) -> Range<Vec<u8>> {
    key(height, 0)..key(height, u16::MAX)
}

/// The pieces of a block.
///
/// # Panics
/// When it is larger than the limits let it be.
pub(in super::super) fn rows(height: Height, encoded: &[u8]) -> Vec<Pair> {
    assert!(encoded.len() <= FRAME_BYTES_MAX, "limits keep blocks below a frame");
    let whole = u32::try_from(encoded.len()).expect("a frame is below 4 GiB");
    (0..)
        .zip(encoded.chunks(PIECE_BYTES))
        .map(|(number, piece)| {
            let mut writer = Writer::default();
            writer.u32(whole).raw(piece);
            (key(height, number), writer.finish())
        })
        .collect()
}

/// A piece, and the length of the whole block.
pub(in super::super) fn decode(value: &[u8]) -> Result<(usize, &[u8]), DecodeError> {
    let mut reader = Reader::new("piece of a block", value);
    let whole = reader.count(FRAME_BYTES_MAX)?;
    Ok((whole, reader.raw(value.len() - 4)?))
}

/// Puts a block together from its rows in order, or says which piece is not there. Pieces
/// behind the end are left by an earlier try with more signatures, and do not count.
pub(in super::super) fn join(rows: &[Pair], height: Height) -> Result<Vec<u8>, Missing> {
    let missing = |number: usize| Missing(u16::try_from(number).unwrap_or(u16::MAX));
    let (whole, _) = rows
        .first()
        .filter(|(found, _)| *found == key(height, 0))
        .and_then(|(_, value)| decode(value).ok())
        .ok_or(missing(0))?;
    let mut encoded = Vec::with_capacity(whole);
    for number in 0..whole.div_ceil(PIECE_BYTES) {
        let expected = PIECE_BYTES.min(whole - number * PIECE_BYTES);
        let piece = rows
            .get(number)
            .filter(|(found, _)| *found == key(height, number as u16))
            .and_then(|(_, value)| decode(value).ok())
            .filter(|(of, piece)| *of == whole && piece.len() == expected);
        let Some((_, piece)) = piece else { return Err(missing(number)) };
        encoded.extend_from_slice(piece);
    }
    Ok(encoded)
}

/// A piece that is not there, or not one of the same block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Missing(pub(in super::super) u16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_every_length_come_back_and_a_missing_piece_is_named() {
        let height = Height(300);
        for length in [1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 5] {
            let encoded: Vec<u8> = (0..length).map(|at| (at * 31 % 251) as u8).collect();
            let mut pairs = rows(height, &encoded);
            assert!(pairs.is_sorted());
            assert!(pairs.iter().all(|(key, _)| range(height).contains(key)));
            assert_eq!(join(&pairs, height), Ok(encoded.clone()));
            for number in 0..pairs.len() {
                let mut lacking = pairs.clone();
                lacking.remove(number);
                assert_eq!(join(&lacking, height), Err(Missing(number as u16)));
            }
            // An earlier try that was longer left a piece behind.
            pairs.push((key(height, pairs.len() as u16), vec![0, 0, 0, 9, 1]));
            assert_eq!(join(&pairs, height), Ok(encoded));
        }
        assert_eq!(join(&[], height), Err(Missing(0)));
    }
}
