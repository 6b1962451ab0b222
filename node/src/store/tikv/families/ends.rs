//! Where in a block's pieces its transactions lie, to read one without the others:
//! `e ‖ height → block ‖ first byte ‖ how many ‖ lengths`.

use std::ops::Range;

use cairn_ledger::{
    block::Block,
    encoding::{DecodeError, Reader, Writer},
    ids::{BlockId, Height},
    limits::{BLOCK_TRANSACTIONS_MAX, FRAME_BYTES_MAX},
};

use super::compact::{put, put_count, take_count};

pub(in super::super) const LETTER: u8 = b'e';

pub(in super::super) fn key(height: Height) -> Vec<u8> {
    let mut writer = Writer::tagged(&[LETTER]);
    writer.u64(height.0);
    writer.finish()
}

/// Where the transactions of a block lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Ends {
    pub(in super::super) block: BlockId,
    /// Where the first begins, its length in front of it.
    pub(in super::super) first: usize,
    /// Where each ends, counted from there.
    pub(in super::super) ends: Vec<u32>,
}

impl Ends {
    /// Of a block and its binary form without the certificate.
    pub(in super::super) fn new(block: BlockId, chain: &[u8], ends: Vec<u32>) -> Self {
        let first = Block::body_at(chain).expect("this is how a block begins");
        Self { block, first, ends }
    }

    pub(in super::super) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::tagged(&self.block.0);
        put_count(&mut writer, self.first);
        put_count(&mut writer, self.ends.len());
        let mut start = 0;
        for end in &self.ends {
            put(&mut writer, end - start);
            start = *end;
        }
        writer.finish()
    }

    pub(in super::super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("ends of a block's transactions", bytes);
        let block = BlockId(reader.array()?);
        let first = take_count(&mut reader, FRAME_BYTES_MAX)?;
        let count = take_count(&mut reader, BLOCK_TRANSACTIONS_MAX)?;
        let mut end = 0;
        let ends = (0..count).map(|_| {
            // Never beyond the largest block, and so never beyond 32 bits.
            end += take_count(&mut reader, FRAME_BYTES_MAX - first - end as usize)? as u32;
            Ok(end)
        });
        let ends = ends.collect::<Result<Vec<_>, _>>()?;
        reader.finish()?;
        Ok(Self { block, first, ends })
    }

    /// Where a transaction lies, without its length; nothing when the block has no such one.
    pub(in super::super) fn of(&self, index: u32) -> Option<Range<usize>> {
        let index = index as usize;
        let end = *self.ends.get(index)? as usize;
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize } + 4;
        (start <= end).then_some(self.first + start..self.first + end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_come_back_and_say_where_each_transaction_lies() {
        let ends = Ends { block: BlockId([4; 32]), first: 100, ends: vec![14, 18, 40] };
        let bytes = ends.encode();
        assert_eq!(Ends::decode(&bytes).as_ref(), Ok(&ends));
        assert!(Ends::decode(&bytes[..bytes.len() - 1]).is_err());
        let found = [0, 1, 2, 3].map(|index| ends.of(index));
        assert_eq!(found, [Some(104..114), Some(118..118), Some(122..140), None]);
        let beyond = Ends { ends: vec![14, FRAME_BYTES_MAX as u32], ..ends };
        assert!(Ends::decode(&beyond.encode()).is_err());
    }
}
