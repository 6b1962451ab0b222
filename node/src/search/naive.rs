//! Looks through the blocks themselves: right, and slow. What the index answers is compared
//! with this in the tests.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use cairn_ledger::{
    block::Place,
    execution::Outcome,
    ids::{Height, OutputReference, TransactionId},
    json::Strictness,
    transaction,
};

use super::{
    Collection, Explained, Page, Row, Rows, SearchError, Selection,
    document::{Document, Transaction},
    order::{Order, Position},
    text::Wanted,
};
use crate::store::{Store, StoreError};

/// Calls for every committed transaction up to a height, in chain order.
fn each(
    store: &dyn Store,
    to: Height,
    mut call: impl FnMut(Place, &Arc<[u8]>),
) -> Result<(), StoreError> {
    for height in (1..=to.0).map(Height) {
        let Some(block) = store.block(height)? else { break };
        for (index, (bytes, outcome)) in (0..).zip(block.body.iter().zip(&block.outcomes)) {
            if *outcome == Outcome::Committed {
                call(Place { height, index }, bytes);
            }
        }
    }
    Ok(())
}

/// Transactions that have those words, the best first.
pub(super) fn text(
    store: &dyn Store,
    to: Height,
    collection: Collection,
    words: &str,
    most: usize,
) -> Result<Vec<Place>, StoreError> {
    let wanted = Wanted::read(words);
    let mut found = Vec::new();
    each(store, to, |place, bytes| {
        let Some(transaction) = Transaction::read(bytes) else { return };
        if let Some(score) = transaction.score(collection, &wanted) {
            found.push((score, place));
        }
    })?;
    // Stable: rows that score alike stay in chain order.
    found.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    Ok(found.into_iter().take(most).map(|(_, place)| place).collect())
}

/// A page of rows.
pub(super) fn select(
    store: &dyn Store,
    to: Height,
    selection: &Selection,
) -> Result<Page, SearchError> {
    let order = Order { sort: &selection.sort, descending: selection.descending };
    let after = selection.after.as_ref().map(|mark| Position::read(mark, &order)).transpose()?;
    let mut scan = Scan::new(selection, order);
    each(store, to.min(selection.as_of), |place, bytes| scan.take(place, bytes))?;
    let Scan { mut rows, spent, examined, .. } = scan;
    for (_, row) in &mut rows {
        let output =
            row.output.map(|index| OutputReference { transaction: row.transaction, index });
        row.spent_by = output.and_then(|output| spent.get(&output).copied());
    }
    rows.retain(|(_, row)| selection.spent.is_none_or(|spent| spent == row.spent_by.is_some()));
    rows.sort_by(|(a, _), (b, _)| order.compare(a, b));
    if let Some(after) = &after {
        rows.retain(|(position, _)| order.compare(position, after).is_gt());
    }
    let more = rows.len() > selection.most;
    rows.truncate(selection.most);
    let next = rows.last().filter(|_| more).map(|(position, _)| position.mark());
    let steps = vec!["every transaction of the chain is read".to_owned()];
    let explained = Explained { index: "chain", steps, examined };
    Ok(Page { rows: rows.into_iter().map(|(_, row)| row).collect(), next, explained })
}

struct Scan<'s> {
    selection: &'s Selection,
    order: Order<'s>,
    /// The transactions that made assets.
    assets: HashMap<TransactionId, Arc<[u8]>>,
    spent: BTreeMap<OutputReference, TransactionId>,
    rows: Vec<(Position, Row)>,
    examined: u64,
}

impl<'s> Scan<'s> {
    fn new(selection: &'s Selection, order: Order<'s>) -> Self {
        let (assets, spent, rows) = (HashMap::new(), BTreeMap::new(), Vec::new());
        Self { selection, order, assets, spent, rows, examined: 0 }
    }

    fn take(&mut self, place: Place, bytes: &Arc<[u8]>) {
        let Some(read) = Transaction::read(bytes) else { return };
        let (Some(id), Some(asset)) = (read.id(), read.asset()) else { return };
        if read.makes() {
            self.assets.insert(id, Arc::clone(bytes));
        }
        if let Ok(parsed) = transaction::parse(Arc::clone(bytes), Strictness::Lenient) {
            let spends = parsed.inputs().iter().filter_map(|input| input.spends);
            self.spent.extend(spends.map(|spent| (spent, id)));
        }
        let Selection { rows, filter, owner, asset: wanted_asset, .. } = self.selection;
        let outputs = match rows {
            Rows::Assets if !read.makes() => return,
            Rows::Assets => vec![None],
            Rows::Outputs => (0..read.outputs()).map(Some).collect(),
        };
        if *rows == Rows::Outputs && wanted_asset.is_some_and(|wanted| wanted != asset) {
            return;
        }
        let made = self.assets.get(&asset).cloned();
        let made = made.as_ref().and_then(|bytes| Transaction::read(bytes));
        let data = made.as_ref().and_then(Transaction::data);
        let document = Document { asset: data, metadata: read.metadata() };
        self.examined += 1;
        if filter.as_ref().is_some_and(|filter| !filter.holds(&document)) {
            return;
        }
        let key = self.order.key(&document);
        for output in outputs {
            let owned = |owner| output.is_none_or(|output| read.is_owner(output, owner));
            if owner.as_ref().is_none_or(owned) {
                let position = Position { key: key.clone(), place, output: output.unwrap_or(0) };
                self.rows.push((
                    position,
                    Row { place, transaction: id, output, spent_by: None, body: None },
                ));
            }
        }
    }
}
