//! The families of keys, one file each. What a row says never changes once it is written, so
//! that writing it again is harmless; only the tip and the mark move.

pub(super) mod assets;
pub(super) mod blocks;
mod compact;
pub(super) mod ends;
pub(super) mod owners;
pub(super) mod refusals;
pub(super) mod spenders;
pub(super) mod transactions;

use std::ops::Range;

use cairn_ledger::{
    block::Block,
    encoding::{DecodeError, Reader, Writer},
    ids::{BlockId, Height},
};
use cairn_tikv::Pair;

use self::ends::Ends;
use crate::store::rows::Rows;

/// The last block, sealed: what is above it is not there.
pub(super) const TIP: &[u8] = b"0tip";
/// Up to where all rows are written.
pub(super) const MARK: &[u8] = b"0mark";

/// All families that begin with one letter.
pub(super) const LETTERS: [u8; 7] = [
    assets::LETTER,
    blocks::LETTER,
    ends::LETTER,
    owners::LETTER,
    refusals::LETTER,
    spenders::LETTER,
    transactions::LETTER,
];

/// All keys of a family.
pub(super) fn all_of(letter: u8) -> Range<Vec<u8>> {
    vec![letter]..vec![letter + 1]
}

/// How many of a key's first bytes say what its row is about; what follows, in lists, is where
/// in the list the row is.
pub(super) fn subject_bytes(key: &[u8]) -> usize {
    match key.first() {
        // An owner, an asset, a transaction: 32 bytes, behind the letter.
        Some(&(assets::LETTER | owners::LETTER | refusals::LETTER)) => key.len().min(1 + 32),
        _ => key.len(),
    }
}

/// A block itself, and where its transactions lie in it: what is written before it is sealed.
pub(super) fn block_rows(block: &Block, validators: usize, rows: &Rows) -> Vec<Pair> {
    let (chain, certificate) = block.encode_apart(validators);
    let height = block.header.height;
    let ends = Ends::new(block.header.id(), &chain, rows.ends.clone());
    let mut pairs = blocks::rows(height, &chain, certificate);
    pairs.push((ends::key(height), ends.encode()));
    pairs
}

/// The rows of a block, those that queries and rules ask for: what is written behind the commit.
pub(super) fn rows_of(rows: &Rows) -> Vec<Pair> {
    let mut pairs = transactions::rows(rows);
    pairs.extend(refusals::rows(rows));
    pairs.extend(spenders::rows(rows));
    pairs.extend(owners::rows(rows));
    pairs.extend(assets::rows(rows));
    pairs
}

/// Up to where all rows are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) height: Height,
    pub(super) block: BlockId,
}

impl Mark {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u64(self.height.0).raw(&self.block.0);
        writer.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("mark of the rows", bytes);
        let mark = Self { height: Height(reader.u64()?), block: BlockId(reader.array()?) };
        reader.finish()?;
        Ok(mark)
    }
}
