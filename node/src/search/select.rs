//! Pages of rows: from the places that an index names to rows that were read and checked.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use cairn_ledger::{
    block::Place,
    ids::{Height, OutputReference, TransactionId},
    rules::{OutputState, Reads},
};

use super::{
    Explained, Page, Row, Rows, SearchError, Selection,
    document::{Document, Transaction},
    index::Index,
    order::{Order, Position},
};
use crate::{
    query::At,
    store::{Located, Spent, Store, StoreError},
};

/// So many transactions are read for one page at most.
pub(super) const EXAMINED_MAX: usize = 20_000;
/// So many documents are asked of the index at once.
const DOCUMENTS_MAX: usize = 4096;

/// Most bytes of transactions that are kept with the rows found in them.
const BODIES_BYTES_MAX: usize = 8 * 1024 * 1024;

type Placed = (Position, Row);

/// A page of rows.
pub(super) fn page(
    store: &dyn Store,
    index: &Index,
    selection: &Selection,
) -> Result<At<Page>, SearchError> {
    let order = Order { sort: &selection.sort, descending: selection.descending };
    let after = selection.after.as_ref().map(|mark| Position::read(mark, &order)).transpose()?;
    let snapshot = index.snapshot();
    let as_of = selection.as_of.min(snapshot.height);
    let (assets, explained) = (HashMap::new(), Explained::default());
    let room = 0;
    let mut reading = Reading { store, selection, order, after, as_of, assets, explained, room };
    let named =
        selection.rows == Rows::Outputs && (selection.owner.is_some() || selection.asset.is_some());
    let mut rows = if selection.most == 0 {
        Vec::new()
    } else if named {
        reading.named()?
    } else {
        let filtered = selection.filter.is_some() || selection.sort != super::SortBy::Chain;
        reading.explained.index = if filtered { "fields" } else { "chain" };
        reading.explained.steps = index.explain(&snapshot, selection)?;
        reading.indexed(index, &snapshot)?
    };
    rows.sort_by(|(a, _), (b, _)| order.compare(a, b));
    let more = rows.len() > selection.most;
    rows.truncate(selection.most);
    let next = rows.last().filter(|_| more).map(|(position, _)| position.mark());
    let mut page = Page {
        rows: rows.into_iter().map(|(_, row)| row).collect(),
        next,
        explained: reading.explained.clone(),
    };
    // With a condition on it, this was settled before.
    if selection.spent.is_none() {
        reading.tell_spenders(page.rows.iter_mut())?;
    }
    page.explained.steps.push(format!("{} transactions were read", page.explained.examined));
    Ok(At { height: snapshot.height, found: page })
}

/// Reads rows and checks them.
struct Reading<'s> {
    store: &'s dyn Store,
    selection: &'s Selection,
    order: Order<'s>,
    after: Option<Position>,
    as_of: Height,
    /// The transactions that made the assets of rows read so far.
    assets: HashMap<TransactionId, Arc<[u8]>>,
    explained: Explained,
    /// So many bytes of bodies may still be kept with their rows.
    room: usize,
}

impl Reading<'_> {
    /// Rows of outputs whose owner or asset is named: all of them, since there are few.
    fn named(&mut self) -> Result<Vec<Placed>, SearchError> {
        let mut rows = Vec::new();
        if let Some(owner) = &self.selection.owner {
            self.explained.index = "owners";
            let outputs = self.store.outputs_of(owner, Spent::Either, EXAMINED_MAX + 1)?;
            self.few(
                outputs.len(),
                "the owner has more outputs than can be looked through; name an asset instead",
            )?;
            self.explained.steps.push(format!("the owner was given {} outputs", outputs.len()));
            let mut by_transaction: BTreeMap<TransactionId, Vec<u32>> = BTreeMap::new();
            for OutputReference { transaction, index } in outputs {
                by_transaction.entry(transaction).or_default().push(index);
            }
            for (transaction, outputs) in by_transaction {
                if let Some(Located::Committed(place)) = self.store.locate(&transaction)? {
                    rows.extend(self.rows_of(place, Some(&outputs))?);
                }
            }
        } else if let Some(asset) = &self.selection.asset {
            self.explained.index = "assets";
            let places = self.store.transactions_of(asset, EXAMINED_MAX + 1)?;
            self.few(
                places.len(),
                "the asset has more transactions than can be looked through; name an owner instead",
            )?;
            self.explained.steps.push(format!("the asset has {} transactions", places.len()));
            for place in places {
                rows.extend(self.rows_of(place, None)?);
            }
        }
        Ok(self.settled(rows)?)
    }

    fn few(&self, count: usize, advice: &str) -> Result<(), SearchError> {
        if count > EXAMINED_MAX { Err(SearchError::TooMuch(advice.to_owned())) } else { Ok(()) }
    }

    /// Rows that the index names, until there are more than the page takes.
    fn indexed(
        &mut self,
        index: &Index,
        snapshot: &super::index::Snapshot,
    ) -> Result<Vec<Placed>, SearchError> {
        let selection = self.selection;
        let odd = index.odd_documents(snapshot, selection, EXAMINED_MAX + 1)?;
        self.few(
            odd.documents.len(),
            "too many rows have values of several kinds, or rare ones, at the field to sort by; a narrower filter, or another order, would be fine",
        )?;
        let mut odd_rows = Vec::new();
        for document in &odd.documents {
            odd_rows.extend(self.rows_of(document.place, None)?);
        }
        let odd_rows = self.settled(odd_rows)?;

        // From here on most rows that are read are on the page.
        self.room = BODIES_BYTES_MAX;
        let mut rows = Vec::new();
        let mut from = self.after.clone();
        let mut done: Option<Place> = None;
        let mut ask = selection.most.saturating_add(2).min(DOCUMENTS_MAX);
        let step = selection.most.saturating_add(1);
        while rows.len() <= selection.most {
            let found = index.documents(snapshot, selection, from.as_ref(), ask)?;
            if from == self.after {
                self.explained.steps.push(format!("{} documents may match", found.matched));
            }
            let last = found.documents.len() < ask;
            from = found.documents.last().cloned();
            let new = found.documents.iter().filter(|document| Some(document.place) != done);
            for chunk in new.collect::<Vec<_>>().chunks(step) {
                let mut read = Vec::new();
                for document in chunk {
                    read.extend(self.rows_of(document.place, None)?);
                }
                rows.extend(self.settled(read)?);
                if rows.len() > selection.most {
                    break;
                }
            }
            if last {
                break;
            }
            done = from.as_ref().map(|document| document.place);
            if rows.len() <= selection.most && self.explained.examined > EXAMINED_MAX as u64 {
                return Err(SearchError::TooMuch(format!(
                    "more than {EXAMINED_MAX} transactions would have to be read; a condition with =, or a shorter page, would be fine"
                )));
            }
            ask = ask.saturating_mul(4).min(DOCUMENTS_MAX);
        }
        rows.extend(odd_rows);
        Ok(rows)
    }

    /// The rows of one transaction that are selected and behind the mark; who spent them is
    /// not told yet.
    fn rows_of(&mut self, place: Place, only: Option<&[u32]>) -> Result<Vec<Placed>, StoreError> {
        if place.height > self.as_of {
            return Ok(Vec::new());
        }
        self.explained.examined += 1;
        let Some(bytes) = self.store.transaction(place)? else { return Ok(Vec::new()) };
        let Some(read) = Transaction::read(&bytes) else { return Ok(Vec::new()) };
        let (Some(id), Some(asset)) = (read.id(), read.asset()) else { return Ok(Vec::new()) };
        let selection = self.selection;
        let outputs: Vec<Option<u32>> = match (selection.rows, only) {
            (Rows::Assets, _) if !read.makes() => return Ok(Vec::new()),
            (Rows::Assets, _) => vec![None],
            (Rows::Outputs, Some(only)) => only.iter().copied().map(Some).collect(),
            (Rows::Outputs, None) => (0..read.outputs()).map(Some).collect(),
        };
        if selection.rows == Rows::Outputs && selection.asset.is_some_and(|wanted| wanted != asset)
        {
            return Ok(Vec::new());
        }
        let made = if read.makes() || !self.asks_for_assets() { None } else { self.made(asset)? };
        let made = made.as_ref().and_then(|bytes| Transaction::read(bytes));
        let data = made.as_ref().unwrap_or(&read).data();
        let document = Document { asset: data, metadata: read.metadata() };
        if selection.filter.as_ref().is_some_and(|filter| !filter.holds(&document)) {
            return Ok(Vec::new());
        }
        let key = self.order.key(&document);
        let body = (bytes.len() <= self.room).then(|| Arc::clone(&bytes));
        self.room -= body.as_ref().map_or(0, |body| body.len());
        let row = |output: Option<u32>| {
            let position = Position { key: key.clone(), place, output: output.unwrap_or(0) };
            let body = body.clone();
            (position, Row { place, transaction: id, output, spent_by: None, body })
        };
        let after = |(position, _): &Placed| {
            self.after.as_ref().is_none_or(|after| self.order.compare(position, after).is_gt())
        };
        Ok(outputs.into_iter().map(row).filter(after).collect())
    }

    /// Whether anything is asked of fields.
    fn asks_for_assets(&self) -> bool {
        self.selection.filter.is_some() || self.selection.sort != super::SortBy::Chain
    }

    /// The transaction that made an asset.
    fn made(&mut self, asset: TransactionId) -> Result<Option<Arc<[u8]>>, StoreError> {
        if let Some(known) = self.assets.get(&asset) {
            return Ok(Some(Arc::clone(known)));
        }
        let Some(Located::Committed(place)) = self.store.locate(&asset)? else { return Ok(None) };
        let made = self.store.transaction(place)?;
        if let Some(bytes) = &made {
            if self.assets.len() >= DOCUMENTS_MAX {
                self.assets.clear();
            }
            self.assets.insert(asset, Arc::clone(bytes));
        }
        Ok(made)
    }

    /// Keeps the rows that are spent or not, as the selection says.
    fn settled(&self, mut rows: Vec<Placed>) -> Result<Vec<Placed>, StoreError> {
        if let Some(spent) = self.selection.spent {
            self.tell_spenders(rows.iter_mut().map(|(_, row)| row))?;
            rows.retain(|(_, row)| row.spent_by.is_some() == spent);
        }
        Ok(rows)
    }

    /// Says of each output who had spent it.
    fn tell_spenders<'r>(&self, rows: impl Iterator<Item = &'r mut Row>) -> Result<(), StoreError> {
        let output = |row: &Row| {
            row.output.map(|index| OutputReference { transaction: row.transaction, index })
        };
        let rows: Vec<&mut Row> = rows.filter(|row| row.output.is_some()).collect();
        let outputs = rows.iter().filter_map(|row| output(row)).collect();
        let view = self.store.view(&Reads { transactions: Vec::new(), outputs })?;
        for row in rows {
            let state = output(row).and_then(|output| view.outputs.get(&output));
            let Some(OutputState::Spent(spender)) = state else { continue };
            // Later than what was asked for, it is not spent yet.
            if let Some(Located::Committed(place)) = self.store.locate(spender)?
                && place.height <= self.as_of
            {
                row.spent_by = Some(*spender);
            }
        }
        Ok(())
    }
}
