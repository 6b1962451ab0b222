//! The index: a tantivy index that follows the stored blocks, behind the commit path.
//!
//! * [`schema`]: what it keeps of a transaction; [`columns`]: which paths have a column.
//! * [`feed`]: the thread that takes blocks in; [`mark`]: up to where, and whose it is.
//! * [`conditions`]: from filters to queries; [`first`]: the first rows in an order.
//!
//! Nothing here is the only copy: an index that is missing, damaged, ahead, of another layout
//! or of another chain is removed and made again from the blocks.

mod columns;
mod conditions;
mod feed;
#[cfg(test)]
mod figures;
mod first;
mod mark;
mod schema;
#[cfg(test)]
mod tests;

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
};

use cairn_ledger::{
    block::Place,
    ids::{Height, TransactionId},
};
use parking_lot::{Mutex, RwLock};
use tantivy::{
    DocAddress, Searcher, Term,
    collector::TopDocs,
    query::{BooleanQuery, Occur, Query, TermQuery},
    schema::IndexRecordOption,
};
use tokio::sync::watch;

use self::{
    columns::Known,
    conditions::{Clauses, Lookup, Within, all_of},
    feed::{Feed, Options},
    first::{First, Firsts},
    mark::Opened,
    schema::{Fields, MAKES, cut_word, pack, unpack},
};
use super::{
    Collection, Rows, Selection, SortBy,
    document::Transaction,
    order::{Order, Position},
    text::Wanted,
};
use crate::{
    metrics::Metrics,
    query::At,
    store::{Located, Store, StoreError},
};

/// When more transactions than these have the words that are looked for, those that seem the
/// best are read and scored exactly, and the others are passed by.
const SCORED_MAX: usize = 1000;
/// The same when phrases decide, which only reading tells.
const READ_MAX: usize = 10_000;
/// So many ids are looked up in what is asked for.
const IDS_MAX: usize = 64;

/// The index of a store.
pub(super) struct Index {
    store: Arc<dyn Store>,
    shared: Arc<Shared>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread that feeds the index and those who read it share.
struct Shared {
    path: PathBuf,
    fields: Fields,
    snapshot: RwLock<Arc<Snapshot>>,
    heights: watch::Sender<Height>,
    stopping: watch::Sender<bool>,
}

/// The index as of a height.
pub(super) struct Snapshot {
    searcher: Searcher,
    columns: Known,
    pub(super) height: Height,
}

/// Documents that may be rows of a page, in order.
pub(super) struct Found {
    pub(super) documents: Vec<Position>,
    pub(super) matched: u64,
}

impl Index {
    pub(super) fn open(
        directory: &Path,
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        Self::open_with(directory, store, metrics, Options::default())
    }

    fn open_with(
        directory: &Path,
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
        options: Options,
    ) -> Result<Self, StoreError> {
        let fields = Fields::new();
        let opened = Opened::open(directory, &fields, &*store)?;
        let height = opened.mark.height;
        metrics.search_height.set(i64::try_from(height.0).unwrap_or(i64::MAX));
        let shared = Arc::new(Shared {
            path: directory.to_owned(),
            fields,
            snapshot: RwLock::new(Arc::new(Snapshot {
                searcher: opened.reader.searcher(),
                columns: opened.columns.known(),
                height,
            })),
            heights: watch::Sender::new(height),
            stopping: watch::Sender::new(false),
        });
        let feed = Feed::new(opened, Arc::clone(&shared), Arc::clone(&store), metrics, options);
        let worker = thread::Builder::new()
            .name("search".to_owned())
            .spawn(move || feed.run())
            .map_err(|error| failed("starting a thread for", directory, &error))?;
        Ok(Self { store, shared, worker: Mutex::new(Some(worker)) })
    }

    pub(super) fn height(&self) -> Height {
        *self.shared.heights.borrow()
    }

    pub(super) fn heights(&self) -> watch::Receiver<Height> {
        self.shared.heights.subscribe()
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.shared.snapshot.read())
    }

    pub(super) fn stop(&self) {
        self.shared.stopping.send_replace(true);
        if let Some(worker) = self.worker.lock().take() {
            // Its panic was printed when it happened.
            let _ = worker.join();
        }
    }

    /// Runs a search; an index that cannot be read is made again at the next start.
    fn ask<T>(&self, search: impl FnOnce() -> tantivy::Result<T>) -> Result<T, StoreError> {
        // The index is not ours, and what it reads may be damaged in any way.
        let answer = catch_unwind(AssertUnwindSafe(search));
        let error = match answer {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the index is damaged".to_owned(),
        };
        mark::note_damage(&self.shared.path);
        Err(failed("reading", &self.shared.path, &error))
    }

    /// Transactions that have those words, the best first.
    pub(super) fn text(
        &self,
        collection: Collection,
        text: &str,
        most: usize,
    ) -> Result<At<Vec<Place>>, StoreError> {
        let wanted = Wanted::read(text);
        let snapshot = self.snapshot();
        let height = snapshot.height;
        let mut places = self.ask(|| self.candidates(&snapshot, collection, &wanted, most))?;
        // An id is text as well, and is looked up where ids are: in what was asked for itself,
        // since words that come out of it are stemmed.
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        for id in words.filter_map(|word| word.parse::<TransactionId>().ok()).take(IDS_MAX) {
            if let Some(Located::Committed(place)) = self.store.locate(&id)?
                && place.height <= height
            {
                places.push(place);
            }
        }
        places.sort_unstable_by_key(|place| pack(*place));
        places.dedup();
        let mut found = Vec::new();
        for place in places {
            let Some(bytes) = self.store.transaction(place)? else { continue };
            let transaction = Transaction::read(&bytes);
            if let Some(score) = transaction.and_then(|read| read.score(collection, &wanted)) {
                found.push((score, place));
            }
        }
        // Stable: rows that score alike stay in chain order.
        found.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let found = found.into_iter().take(most).map(|(_, place)| place).collect();
        Ok(At { height, found })
    }

    /// Transactions that have one of the words: all of them, or those that seem the best.
    fn candidates(
        &self,
        snapshot: &Snapshot,
        collection: Collection,
        wanted: &Wanted,
        most: usize,
    ) -> tantivy::Result<Vec<Place>> {
        let field = self.shared.fields.words(collection);
        let term = |word: &str, option| -> Box<dyn Query> {
            Box::new(TermQuery::new(Term::from_field_text(field, cut_word(word)), option))
        };
        let one = wanted.words.iter().map(|word| term(word, IndexRecordOption::WithFreqs));
        let one: Box<dyn Query> = Box::new(BooleanQuery::union(one.collect()));
        // A word that was cut may stand for another one.
        let whole = wanted.not_words.iter().filter(|word| cut_word(word) == word.as_str());
        let none = whole.map(|word| (Occur::MustNot, term(word, IndexRecordOption::Basic)));
        let query = all_of(none.chain([(Occur::Must, one)]).collect());
        let by_phrase = !wanted.phrases.is_empty() || !wanted.not_phrases.is_empty();
        let read = if by_phrase { READ_MAX } else { most.clamp(SCORED_MAX, READ_MAX) };
        let all = First {
            within: Vec::new(),
            column: None,
            by_field: false,
            descending: false,
            from: None,
            to: u64::MAX,
            most: read,
        };
        let Firsts { found, matched } = snapshot.searcher.search(&*query, &all)?;
        if matched <= read as u64 {
            return Ok(found.into_iter().map(|position| position.place).collect());
        }
        let best = TopDocs::with_limit(read).order_by_score();
        let best: Vec<(f32, DocAddress)> = snapshot.searcher.search(&*query, &best)?;
        let place = |(_, address): (f32, DocAddress)| -> tantivy::Result<Option<Place>> {
            let segment = snapshot.searcher.segment_reader(address.segment_ord);
            let places = segment.fast_fields().u64("place")?;
            Ok(places.first(address.doc_id).map(unpack))
        };
        best.into_iter().filter_map(|hit| place(hit).transpose()).collect()
    }

    /// The first documents that a page of this selection may be made of, from a row on.
    pub(super) fn documents(
        &self,
        snapshot: &Snapshot,
        selection: &Selection,
        from: Option<&Position>,
        most: usize,
    ) -> Result<Found, StoreError> {
        self.ask(|| {
            let lookup = self.lookup(snapshot);
            let (mut clauses, within) = self.clauses(&lookup, selection)?;
            let mut column = None;
            if let SortBy::Field(path) = &selection.sort {
                column = snapshot.columns.column(&schema::path_name(path));
                if let Some(odd) = lookup.odd(path)? {
                    clauses.push((Occur::MustNot, lookup.term(odd)));
                }
            }
            let by_field = selection.sort != SortBy::Chain;
            let first = First {
                within,
                column,
                by_field,
                descending: selection.descending,
                from: from.cloned(),
                to: self.last_place(snapshot, selection),
                most,
            };
            self.collect(snapshot, clauses, &first)
        })
    }

    /// The documents whose sort key only reading them tells; at most `most` of them.
    pub(super) fn odd_documents(
        &self,
        snapshot: &Snapshot,
        selection: &Selection,
        most: usize,
    ) -> Result<Found, StoreError> {
        let none = Found { documents: Vec::new(), matched: 0 };
        let SortBy::Field(path) = &selection.sort else { return Ok(none) };
        self.ask(|| {
            let lookup = self.lookup(snapshot);
            let Some(odd) = lookup.odd(path)? else { return Ok(none) };
            let (mut clauses, within) = self.clauses(&lookup, selection)?;
            clauses.push((Occur::Must, lookup.term(odd)));
            let to = self.last_place(snapshot, selection);
            let first = First {
                within,
                column: None,
                by_field: true,
                descending: false,
                from: None,
                to,
                most,
            };
            self.collect(snapshot, clauses, &first)
        })
    }

    /// How the parts of a selection are looked up.
    pub(super) fn explain(
        &self,
        snapshot: &Snapshot,
        selection: &Selection,
    ) -> Result<Vec<String>, StoreError> {
        self.ask(|| {
            let lookup = self.lookup(snapshot);
            let mut lines = match &selection.filter {
                Some(filter) => lookup.explain(&filter.0)?,
                None => Vec::new(),
            };
            if let SortBy::Field(path) = &selection.sort {
                let column = snapshot.columns.column(&schema::path_name(path));
                let how = if column.is_some() { "by its column" } else { "by reading" };
                lines.push(format!("sorted by {path}: {how}"));
            }
            Ok(lines)
        })
    }

    fn lookup<'s>(&'s self, snapshot: &'s Snapshot) -> Lookup<'s> {
        let Snapshot { searcher, columns, height: _ } = snapshot;
        Lookup { fields: &self.shared.fields, columns, searcher }
    }

    fn last_place(&self, snapshot: &Snapshot, selection: &Selection) -> u64 {
        let height = selection.as_of.min(snapshot.height);
        pack(Place { height, index: u32::MAX })
    }

    fn clauses(
        &self,
        lookup: &Lookup<'_>,
        selection: &Selection,
    ) -> tantivy::Result<(Clauses, Vec<Within>)> {
        let (mut clauses, mut looked_at) = (Vec::new(), Vec::new());
        if selection.rows == Rows::Assets {
            clauses.push((Occur::Must, lookup.term(MAKES)));
        }
        if let Some(filter) = &selection.filter {
            let (query, within) = lookup.may(&filter.0)?;
            clauses.push((Occur::Must, query));
            looked_at = within;
        }
        Ok((clauses, looked_at))
    }

    fn collect(
        &self,
        snapshot: &Snapshot,
        clauses: Clauses,
        first: &First,
    ) -> tantivy::Result<Found> {
        let Firsts { mut found, matched } = snapshot.searcher.search(&*all_of(clauses), first)?;
        let by_field = SortBy::Field(super::Path::asset());
        let sort = if first.by_field { &by_field } else { &SortBy::Chain };
        let order = Order { sort, descending: first.descending };
        found.sort_by(|a, b| order.compare(a, b));
        found.truncate(first.most);
        Ok(Found { documents: found, matched })
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Trouble with the index.
fn failed(doing: &'static str, path: &Path, error: &dyn ToString) -> StoreError {
    let source = io::Error::other(error.to_string());
    StoreError::Io { doing, path: path.display().to_string(), source }
}
