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

use super::compact::{put, put_count, put_place, take, take_count, take_place};
use crate::store::rows::Rows;

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

/// An output that one key signs for, its only owner: nearly all are. Its condition follows from
/// the key.
const PLAIN: u8 = 0;
/// An output with another condition, written out.
const ED25519: u8 = 1;
const THRESHOLD: u8 = 2;

impl Entry {
    fn encode(
        place: Place,
        id: &TransactionId,
        asset: &TransactionId,
        outputs: &[&OutputRow],
    ) -> Vec<u8> {
        let mut writer = Writer::default();
        put_place(&mut writer, place);
        // An asset is named by its CREATE.
        let moved = (asset != id).then_some(&asset.0[..]);
        writer.u8(moved.is_some().into()).raw(moved.unwrap_or_default());
        put_count(&mut writer, outputs.len());
        for output in outputs {
            put_output(&mut writer, output);
        }
        writer.finish()
    }

    pub(in super::super) fn decode(key: &[u8], bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("key of a transaction", key);
        reader.u8()?;
        let id = TransactionId(reader.array()?);
        reader.finish()?;
        let mut reader = Reader::new("row of a transaction", bytes);
        let place = take_place(&mut reader)?;
        let malformed = reader.malformed();
        let asset = match reader.u8()? {
            0 => id,
            1 => TransactionId(reader.array()?),
            _ => return Err(malformed),
        };
        // An output takes more than a byte in a transaction, an owner as well.
        let count = take_count(&mut reader, TRANSACTION_BYTES_MAX)?;
        let outputs = (0..count).map(|_| take_output(&mut reader, asset));
        let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
        reader.finish()?;
        Ok(Self { place, asset, outputs })
    }
}

fn put_output(writer: &mut Writer, output: &OutputRow) {
    let OutputRow { asset: _, amount, condition, owners } = output;
    put(writer, *amount);
    if let [owner] = owners[..]
        && Fingerprint::of_key(&owner) == *condition
    {
        writer.u8(PLAIN).raw(&owner.0);
        return;
    }
    let Fingerprint { threshold, sha256, cost } = condition;
    writer.u8(if *threshold { THRESHOLD } else { ED25519 }).raw(sha256);
    put(writer, *cost);
    put_count(writer, owners.len());
    for owner in owners {
        writer.raw(&owner.0);
    }
}

fn take_output(reader: &mut Reader<'_>, asset: TransactionId) -> Result<OutputRow, DecodeError> {
    let amount = take(reader)?;
    let malformed = reader.malformed();
    let threshold = match reader.u8()? {
        PLAIN => {
            let owner = PublicKey(reader.array()?);
            let condition = Fingerprint::of_key(&owner);
            return Ok(OutputRow { asset, amount, condition, owners: [owner].into() });
        }
        ED25519 => false,
        THRESHOLD => true,
        _ => return Err(malformed),
    };
    let condition = Fingerprint { threshold, sha256: reader.array()?, cost: take(reader)? };
    let owners = take_count(reader, TRANSACTION_BYTES_MAX)?;
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
            let row = Entry::encode(place, &transaction.id, &transaction.asset, &outputs);
            (key(&transaction.id), row)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use cairn_ledger::ids::Height;

    use super::*;

    #[test]
    fn a_transaction_comes_back_with_its_outputs() {
        let (id, other) = (TransactionId([3; 32]), TransactionId([4; 32]));
        let place = Place { height: Height(u64::MAX - 1), index: 4095 };
        for asset in [id, other] {
            let output = |amount, owners: &[u8]| OutputRow {
                asset,
                amount,
                condition: Fingerprint { threshold: owners.len() > 1, sha256: [8; 32], cost: 7 },
                owners: owners.iter().map(|owner| PublicKey([*owner; 32])).collect(),
            };
            let plain = |amount| {
                let mut output = output(amount, &[1]);
                output.condition = Fingerprint::of_key(&output.owners[0]);
                output
            };
            // As many owners as of a plain one, and a condition of somebody else; or as plain
            // as can be, but for its price.
            let dear = |amount| {
                let mut output = plain(amount);
                output.condition.cost += 1;
                output
            };
            let several =
                [vec![], vec![output(1, &[1])], vec![plain(u64::MAX)], vec![dear(9), plain(1)]];
            let more = [vec![output(2, &[]), output(3, &[1, 2]), plain(4)]];
            for outputs in several.into_iter().chain(more) {
                let named = outputs.iter().collect::<Vec<_>>();
                let bytes = Entry::encode(place, &id, &asset, &named);
                let decode = |bytes: &[u8]| Entry::decode(&key(&id), bytes);
                assert_eq!(decode(&bytes), Ok(Entry { place, asset, outputs }));
                for cut in 0..bytes.len() {
                    assert!(decode(&bytes[..cut]).is_err());
                }
                assert!(decode(&[&bytes[..], &[0]].concat()).is_err());
            }
        }
    }

    #[test]
    fn an_asset_of_one_owner_takes_few_bytes() {
        let id = TransactionId([3; 32]);
        let owners = Box::new([PublicKey([5; 32])]);
        let condition = Fingerprint::of_key(&owners[0]);
        let output = OutputRow { asset: id, amount: 1, condition, owners };
        let place = Place { height: Height(10_000), index: 1000 };
        assert_eq!(Entry::encode(place, &id, &id, &[&output]).len(), 2 + 2 + 1 + 1 + 1 + 1 + 32);
    }
}
