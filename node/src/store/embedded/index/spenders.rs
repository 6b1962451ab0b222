//! Who spent an output: `transaction ‖ output → spender`.

use cairn_ledger::{
    encoding::{DecodeError, Reader, Writer},
    ids::{OutputReference, TransactionId},
};

pub(super) fn key(at: &OutputReference) -> Vec<u8> {
    let mut writer = Writer::tagged(&at.transaction.0);
    writer.u32(at.index);
    writer.finish()
}

pub(super) fn decode(value: &[u8]) -> Result<TransactionId, DecodeError> {
    let mut reader = Reader::new("spender of an output", value);
    let spender = TransactionId(reader.array()?);
    reader.finish()?;
    Ok(spender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spender_comes_back_and_outputs_have_keys_of_their_own() {
        let spender = TransactionId([7; 32]);
        assert_eq!(decode(&spender.0), Ok(spender));
        assert!(decode(&spender.0[1..]).is_err());
        let at = |index| OutputReference { transaction: spender, index };
        assert_ne!(key(&at(1)), key(&at(256)));
        assert!(key(&at(255)) < key(&at(256)));
    }
}
