//! What one block does to the tables of a store, in the order of the chain.
//!
//! Made from a fresh block's [`Changes`], or from a stored block alone when it is replayed;
//! every table of every store is fed from it, so that both ways lead to the same rows.

use std::{collections::HashMap, sync::Arc};

use cairn_ledger::{
    block::{Block, Place},
    encoding::{DecodeError, Reader, Writer},
    execution::{self, Outcome},
    ids::{Height, OutputReference, TransactionId},
    json::Strictness,
    rules::OutputRow,
    state::Changes,
    transaction,
};

/// A transaction that is now part of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Committed {
    pub(super) id: TransactionId,
    /// Its index in the block.
    pub(super) index: u32,
    pub(super) asset: TransactionId,
}

/// An output that the block made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Created {
    pub(super) at: OutputReference,
    /// The index of the transaction in the block.
    pub(super) index: u32,
    pub(super) row: OutputRow,
}

/// What one block does to the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) height: Height,
    /// Where each transaction ends in the block's binary form, counted from where the first
    /// begins, lengths included: to read one without the others.
    pub(super) ends: Vec<u32>,
    /// In the order of the block.
    pub(super) committed: Vec<Committed>,
    /// Refused transactions whose id can be read, with their index.
    pub(super) refused: Vec<(TransactionId, u32)>,
    /// In the order of the block; outputs that it spent itself included.
    pub(super) created: Vec<Created>,
    /// All outputs that the block spends, its own included, with the spender.
    pub(super) spent: Vec<(OutputReference, TransactionId)>,
}

impl Rows {
    /// The rows of a block that was just executed.
    ///
    /// # Panics
    /// When changes and block do not belong together, which is a bug of the caller.
    pub(super) fn of(block: &Block, changes: &Changes) -> Self {
        let index_of: HashMap<_, _> = changes.committed.iter().copied().collect();
        let mut asset_of = HashMap::with_capacity(changes.committed.len());
        let created = changes
            .created
            .iter()
            .map(|(at, row)| {
                asset_of.insert(at.transaction, row.asset);
                let index = *index_of
                    .get(&at.transaction)
                    .expect("only committed transactions make outputs");
                Created { at: *at, index, row: row.clone() }
            })
            .collect();
        let committed = changes
            .committed
            .iter()
            .map(|(id, index)| Committed {
                id: *id,
                index: *index,
                // Every committed transaction has outputs, and all hold its asset.
                asset: asset_of.get(id).copied().unwrap_or(*id),
            })
            .collect();
        Self {
            height: block.header.height,
            ends: ends(block),
            committed,
            refused: refused(block),
            created,
            spent: changes.spent.clone(),
        }
    }

    /// The rows of a stored block: its outcomes are decided, and are not decided again.
    pub(super) fn replayed(block: &Block) -> Result<Self, &'static str> {
        let mut rows = Self {
            height: block.header.height,
            ends: ends(block),
            committed: Vec::new(),
            refused: refused(block),
            created: Vec::new(),
            spent: Vec::new(),
        };
        for (index, (bytes, outcome)) in (0..).zip(block.body.iter().zip(&block.outcomes)) {
            if *outcome != Outcome::Committed {
                continue;
            }
            let parsed = transaction::parse(Arc::clone(bytes), Strictness::Lenient)
                .map_err(|_| "has a committed transaction that cannot be read")?;
            let (id, asset) = (parsed.id(), parsed.asset());
            rows.committed.push(Committed { id, index, asset });
            let spends = parsed.inputs().iter().filter_map(|input| input.spends);
            rows.spent.extend(spends.map(|at| (at, id)));
            rows.created.extend((0..).zip(parsed.outputs()).map(|(output, made)| Created {
                at: OutputReference { transaction: id, index: output },
                index,
                row: execution::row_of(asset, made),
            }));
        }
        Ok(rows)
    }

    /// Where a transaction of this block stands.
    pub(super) fn place(&self, index: u32) -> Place {
        Place { height: self.height, index }
    }
}

/// Writes a place so that places sort in chain order.
pub(super) fn put_place(writer: &mut Writer, place: Place) {
    writer.u64(place.height.0).u32(place.index);
}

/// Reads it back.
pub(super) fn take_place(reader: &mut Reader<'_>) -> Result<Place, DecodeError> {
    Ok(Place { height: Height(reader.u64()?), index: reader.u32()? })
}

/// Where each transaction ends in the block's binary form.
fn ends(block: &Block) -> Vec<u32> {
    let lengths = block.body.iter().map(|bytes| {
        4 + u32::try_from(bytes.len()).expect("limits keep transactions far below 4 GiB")
    });
    lengths
        .scan(0, |end, length| {
            *end += length;
            Some(*end)
        })
        .collect()
}

/// The refused transactions of a block whose id can be read.
pub(super) fn refused(block: &Block) -> Vec<(TransactionId, u32)> {
    (0..)
        .zip(block.body.iter().zip(&block.outcomes))
        .filter(|(_, (_, outcome))| matches!(outcome, Outcome::Refused(_)))
        .filter_map(|(index, (bytes, _))| Some((claimed_id(bytes)?, index)))
        .collect()
}

/// The id that a transaction's bytes claim, as far as it can be read.
fn claimed_id(bytes: &[u8]) -> Option<TransactionId> {
    #[derive(serde::Deserialize)]
    struct Claims<'a> {
        #[serde(borrow)]
        id: Option<std::borrow::Cow<'a, str>>,
    }
    serde_json::from_slice::<Claims<'_>>(bytes).ok()?.id?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_id_is_read_or_there_is_none() {
        let id = "ab".repeat(32);
        let cases = [
            (format!(r#"{{"id":"{id}","asset":{{"deep":[1,{{}}]}}}}"#), true),
            (format!(r#"{{"asset":1,"id":"\u0061b{}"}}"#, "ab".repeat(31)), true),
            (format!(r#"{{"id":"{id}","id":"{id}"}}"#), false),
            (r#"{"id":null}"#.to_owned(), false),
            (r#"{"id":"short"}"#.to_owned(), false),
            (r#"{"no":"id"}"#.to_owned(), false),
            ("[".repeat(100_000), false),
            ("not json".to_owned(), false),
        ];
        for (text, readable) in cases {
            assert_eq!(
                claimed_id(text.as_bytes()).map(|found| found.to_string()),
                readable.then(|| id.clone()),
                "{}",
                &text[..text.len().min(80)]
            );
        }
    }
}
