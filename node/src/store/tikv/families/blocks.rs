//! A block's binary form in pieces: `b ‖ height ‖ number → length of the whole ‖ piece, packed`;
//! and its certificate, behind them. The pieces are the same whoever's signatures the certificate
//! has: a late try to write them writes what is there.

use std::ops::Range;

use cairn_ledger::{
    block::Block,
    encoding::{DecodeError, Reader, Writer},
    ids::Height,
    limits::FRAME_BYTES_MAX,
};
use cairn_tikv::{Pair, pack, unpack};

pub(in super::super) const LETTER: u8 = b'b';
/// Bytes of a piece; the last one is shorter. Far below what TiKV takes as one entry, large
/// enough that most blocks are one row.
pub(in super::super) const PIECE_BYTES: usize = 128 * 1024;
/// Pieces of the largest block.
pub(in super::super) const PIECES_MAX: u32 = FRAME_BYTES_MAX.div_ceil(PIECE_BYTES) as u32;

/// In the place of a piece's number.
const CERTIFICATE: u16 = u16::MAX;

pub(in super::super) fn key(height: Height, number: u16) -> Vec<u8> {
    let mut writer = Writer::tagged(&[LETTER]);
    writer.u64(height.0).u16(number);
    writer.finish()
}

/// The keys of a block, its certificate last.
pub(in super::super) fn range(height: Height) -> Range<Vec<u8>> {
    let mut end = key(height, CERTIFICATE);
    end.push(0);
    key(height, 0)..end
}

/// The rows of a block, from its two parts ([`Block::encode_apart`]).
///
/// # Panics
/// When it is larger than the limits let it be.
pub(in super::super) fn rows(height: Height, chain: &[u8], certificate: Vec<u8>) -> Vec<Pair> {
    assert!(chain.len() <= FRAME_BYTES_MAX, "limits keep blocks below a frame");
    let whole = u32::try_from(chain.len()).expect("a frame is below 4 GiB");
    let pieces = (0..).zip(chain.chunks(PIECE_BYTES)).map(|(number, piece)| {
        let mut writer = Writer::default();
        writer.u32(whole).raw(&pack(piece));
        (key(height, number), writer.finish())
    });
    pieces.chain([(key(height, CERTIFICATE), certificate)]).collect()
}

/// A piece, and the length of the whole block.
pub(in super::super) fn decode(value: &[u8]) -> Result<(usize, Vec<u8>), DecodeError> {
    let mut reader = Reader::new("piece of a block", value);
    let whole = reader.count(FRAME_BYTES_MAX)?;
    let piece = unpack(&value[4..], PIECE_BYTES).ok_or(reader.malformed())?;
    Ok((whole, piece))
}

/// Puts a block's binary form together from its rows, or says which of them is not there.
pub(in super::super) fn join(rows: &[Pair], height: Height) -> Result<Vec<u8>, Missing> {
    let piece = |number: u16| {
        let row = rows.get(usize::from(number)).filter(|(found, _)| *found == key(height, number));
        row.and_then(|(_, value)| decode(value).ok()).ok_or(Missing(number))
    };
    let (whole, _) = piece(0)?;
    let mut chain = Vec::with_capacity(whole);
    for number in 0..u16::try_from(whole.div_ceil(PIECE_BYTES)).unwrap_or(u16::MAX) {
        let (of, piece) = piece(number)?;
        if of != whole || piece.len() != PIECE_BYTES.min(whole - chain.len()) {
            return Err(Missing(number));
        }
        chain.extend(piece);
    }
    let last = rows.last().filter(|(found, _)| *found == key(height, CERTIFICATE));
    let (_, certificate) = last.ok_or(Missing(CERTIFICATE))?;
    Block::join(&chain, certificate).map_err(|_| Missing(0))
}

/// A piece that is not there, or not one of the same block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Missing(pub(in super::super) u16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_every_length_come_back_and_a_missing_row_is_named() {
        let height = Height(300);
        let front = [7; Block::HEAD_BYTES - 4];
        for length in [1, PIECE_BYTES - 400, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 5] {
            let rest: Vec<u8> = (0..length).map(|at| (at * 31 % 251) as u8).collect();
            let chain = [&front[..], &[0; 4], &rest].concat();
            let pairs = rows(height, &chain, b"certificate".to_vec());
            assert!(pairs.is_sorted());
            assert!(pairs.iter().all(|(key, _)| range(height).contains(key)));
            let whole = [&front[..], &[0, 0, 0, 11], b"certificate", &rest].concat();
            assert_eq!(join(&pairs, height), Ok(whole));
            for number in 0..pairs.len() {
                let mut lacking = pairs.clone();
                let (gone, _) = lacking.remove(number);
                let Err(Missing(named)) = join(&lacking, height) else { panic!("{number}") };
                assert_eq!(key(height, named), gone);
            }
            let elsewhere = join(&pairs, Height(301));
            assert_eq!(elsewhere, Err(Missing(0)));
        }
        assert_eq!(join(&[], height), Err(Missing(0)));
    }
}
