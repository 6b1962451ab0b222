//! A committed transaction and the outputs it made: `t ‖ id → place ‖ asset ‖ outputs`.
//!
//! One row for both, because a transaction with its outputs is what the rules ask for.

use cairn_ledger::{
    block::Place,
    condition::Fingerprint,
    encoding::{DecodeError, Reader, Writer},
    ids::{PublicKey, TransactionId},
    limits::TRANSACTION_BYTES_MAX,
    rules::OutputRow,
};
use cairn_tikv::Pair;

use crate::store::rows::{Rows, put_place, take_place};

pub(in super::super) const LETTER: u8 = b't';

pub(in super::super) fn key(id: &TransactionId) -> Vec<u8> {
    let mut writer = Writer::tagged(&[LETTER]);
    writer.raw(&id.0);
    writer.finish()
}

/// A transaction as its row has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Entry {
    pub(in super::super) place: Place,
    pub(in super::super) asset: TransactionId,
    pub(in super::super) outputs: Vec<OutputRow>,
}

impl Entry {
    fn encode(place: Place, asset: &TransactionId, outputs: &[&OutputRow]) -> Vec<u8> {
        let count = |count: usize| u32::try_from(count).expect("limits keep outputs few");
        let mut writer = Writer::default();
        put_place(&mut writer, place);
        writer.raw(&asset.0).u32(count(outputs.len()));
        for OutputRow { asset: _, amount, condition, owners } in outputs {
            let Fingerprint { threshold, sha256, cost } = condition;
            writer.u64(*amount).u8((*threshold).into()).raw(sha256).u64(*cost);
            writer.u32(count(owners.len()));
            for owner in owners {
                writer.raw(&owner.0);
            }
        }
        writer.finish()
    }

    pub(in super::super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("row of a transaction", bytes);
        let place = take_place(&mut reader)?;
        let asset = TransactionId(reader.array()?);
        // An output takes more than a byte in a transaction, an owner as well.
        let count = reader.count(TRANSACTION_BYTES_MAX)?;
        let outputs = (0..count).map(|_| take_output(&mut reader, asset));
        let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
        reader.finish()?;
        Ok(Self { place, asset, outputs })
    }
}

fn take_output(reader: &mut Reader<'_>, asset: TransactionId) -> Result<OutputRow, DecodeError> {
    let amount = reader.u64()?;
    let malformed = reader.malformed();
    let threshold = match reader.u8()? {
        0 => false,
        1 => true,
        _ => return Err(malformed),
    };
    let condition = Fingerprint { threshold, sha256: reader.array()?, cost: reader.u64()? };
    let owners = reader.count(TRANSACTION_BYTES_MAX)?;
    let owners = (0..owners).map(|_| Ok(PublicKey(reader.array()?)));
    let owners = owners.collect::<Result<Box<[_]>, DecodeError>>()?;
    Ok(OutputRow { asset, amount, condition, owners })
}

/// The rows of a block's transactions.
pub(in super::super) fn rows(rows: &Rows) -> Vec<Pair> {
    let mut created = rows.created.iter().peekable();
    rows.committed
        .iter()
        .map(|transaction| {
            // Both lists are in the order of the block.
            let mut outputs = Vec::new();
            while let Some(made) = created.next_if(|made| made.at.transaction == transaction.id) {
                outputs.push(&made.row);
            }
            let place = rows.place(transaction.index);
            (key(&transaction.id), Entry::encode(place, &transaction.asset, &outputs))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use cairn_ledger::ids::Height;

    use super::*;

    #[test]
    fn a_transaction_comes_back_with_its_outputs() {
        let asset = TransactionId([3; 32]);
        let output = |amount, owners: &[u8]| OutputRow {
            asset,
            amount,
            condition: Fingerprint { threshold: owners.len() > 1, sha256: [8; 32], cost: 7 },
            owners: owners.iter().map(|owner| PublicKey([*owner; 32])).collect(),
        };
        let place = Place { height: Height(u64::MAX - 1), index: 4095 };
        for outputs in [vec![], vec![output(1, &[1])], vec![output(2, &[]), output(3, &[1, 2])]] {
            let bytes = Entry::encode(place, &asset, &outputs.iter().collect::<Vec<_>>());
            assert_eq!(Entry::decode(&bytes), Ok(Entry { place, asset, outputs }));
            for cut in 0..bytes.len() {
                assert!(Entry::decode(&bytes[..cut]).is_err());
            }
            assert!(Entry::decode(&[&bytes[..], &[0]].concat()).is_err());
        }
    }
}
