//! Who spent an output, and in which block: `s ‖ transaction ‖ output → spender ‖ height`.

use cairn_ledger::{
    encoding::{DecodeError, Reader, Writer},
    ids::{Height, OutputReference, TransactionId},
};
use cairn_tikv::Pair;

use super::compact::{put, take};
use crate::store::rows::Rows;

pub(in super::super) const LETTER: u8 = b's';

pub(in super::super) fn key(at: &OutputReference) -> Vec<u8> {
    let mut writer = Writer::tagged(&[LETTER]);
    writer.raw(&at.transaction.0);
    put(&mut writer, at.index);
    writer.finish()
}

fn encode(spender: &TransactionId, height: Height) -> Vec<u8> {
    let mut writer = Writer::tagged(&spender.0);
    put(&mut writer, height.0);
    writer.finish()
}

pub(in super::super) fn decode(value: &[u8]) -> Result<(TransactionId, Height), DecodeError> {
    let mut reader = Reader::new("spender of an output", value);
    let spender = (TransactionId(reader.array()?), Height(take(&mut reader)?));
    reader.finish()?;
    Ok(spender)
}

/// The rows of what a block spends.
pub(in super::super) fn rows(rows: &Rows) -> Vec<Pair> {
    let spent = rows.spent.iter();
    spent.map(|(at, spender)| (key(at), encode(spender, rows.height))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spender_comes_back_and_outputs_have_keys_of_their_own() {
        let spender = TransactionId([7; 32]);
        let bytes = encode(&spender, Height(300));
        assert_eq!(decode(&bytes), Ok((spender, Height(300))));
        assert!(decode(&bytes[..bytes.len() - 1]).is_err());
        let at = |index| OutputReference { transaction: spender, index };
        assert_ne!(key(&at(255)), key(&at(256)));
    }
}
