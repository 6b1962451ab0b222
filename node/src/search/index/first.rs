//! The first documents in an order, behind a mark and up to a height: what a page is made of.

use std::{collections::BinaryHeap, fmt::Debug, ops::RangeBounds};

use tantivy::{
    DocId, Score, SegmentOrdinal, SegmentReader,
    collector::{Collector, SegmentCollector},
    columnar::{Column, StrColumn},
};

use super::{
    conditions::{NumberBounds as Bounds, Within},
    schema::{pack, unpack},
};
use crate::search::order::{Key, Position};

/// What is collected.
#[derive(Clone, Debug)]
pub(super) struct First {
    /// Documents that are not within all of these are passed by.
    pub(super) within: Vec<Within>,
    /// The column that is sorted by; nothing when all keys are alike.
    pub(super) column: Option<String>,
    pub(super) by_field: bool,
    pub(super) descending: bool,
    /// Documents before this one are passed by; itself may have more rows.
    pub(super) from: Option<Position>,
    /// Documents of later places are passed by.
    pub(super) to: u64,
    pub(super) most: usize,
}

/// What was found in one segment, or in all.
#[derive(Debug, Default)]
pub(super) struct Firsts {
    /// The first documents, in order: keys and places.
    pub(super) found: Vec<Position>,
    /// How many there are from the mark on.
    pub(super) matched: u64,
}

/// A document's rank within its segment: the kind of its key, the key, its place.
type Rank = (u8, u64, u64);

pub(super) struct InSegment {
    first: First,
    /// What is looked at, with the bounds. No documents where a column is missing.
    within: Vec<(Option<Column<f64>>, Bounds)>,
    places: Column<u64>,
    /// Whether some documents are of later places than those asked for.
    has_later: bool,
    numbers: Option<Column<f64>>,
    texts: Option<StrColumn>,
    from: Option<Rank>,
    /// The last of those kept is on top.
    kept: BinaryHeap<Rank>,
    matched: u64,
    /// Places, numbers and strings of the documents at hand.
    block: Block,
}

/// What a block of documents has in the columns.
#[derive(Default)]
struct Block {
    documents: Vec<DocId>,
    places: Vec<Option<u64>>,
    numbers: Vec<Option<f64>>,
    ordinals: Vec<Option<u64>>,
}

const NONE: u8 = 2;

/// Doubles in their order, as whole numbers.
fn ordered(number: f64) -> u64 {
    let bits = number.to_bits();
    if bits >> 63 == 0 { bits ^ (1 << 63) } else { !bits }
}

fn number_of(ordered: u64) -> f64 {
    f64::from_bits(if ordered >> 63 == 1 { ordered ^ (1 << 63) } else { !ordered })
}

impl First {
    /// Numbers first, unless it goes the other way round.
    fn kind(&self, is_text: bool) -> u8 {
        u8::from(is_text != self.descending)
    }

    fn turned(&self, rank: u64) -> u64 {
        if self.descending { !rank } else { rank }
    }

    fn place(&self, place: u64) -> u64 {
        if self.descending && !self.by_field { !place } else { place }
    }

    fn rank_from(&self, texts: Option<&StrColumn>) -> tantivy::Result<Option<Rank>> {
        let Some(from) = &self.from else { return Ok(None) };
        let place = self.place(pack(from.place));
        Ok(Some(match &from.key {
            Key::None => (NONE, 0, place),
            Key::Number(number) => (self.kind(false), self.turned(ordered(*number)), place),
            Key::Text(text) => {
                let rank = texts.map_or(Ok(0), |texts| text_rank(texts, text))?;
                (self.kind(true), self.turned(rank), place)
            }
        }))
    }
}

/// Where a string stands among those of a segment: odd when it is one of them.
fn text_rank(texts: &StrColumn, text: &str) -> tantivy::Result<u64> {
    let dictionary = texts.dictionary();
    if let Some(ordinal) = dictionary.term_ord(text)? {
        return Ok(2 * ordinal + 1);
    }
    // Few steps: each halves what is left.
    let (mut low, mut high) = (0, dictionary.num_terms() as u64);
    let mut term = String::new();
    while low < high {
        let middle = low + (high - low) / 2;
        term.clear();
        texts.ord_to_str(middle, &mut term)?;
        if term.as_str() < text { low = middle + 1 } else { high = middle }
    }
    Ok(2 * low)
}

impl Collector for First {
    type Fruit = Firsts;
    type Child = InSegment;

    fn for_segment(
        &self,
        _segment: SegmentOrdinal,
        reader: &SegmentReader,
    ) -> tantivy::Result<InSegment> {
        let fast = reader.fast_fields();
        let column = self.column.as_ref().map(|column| format!("columns.{column}"));
        let (numbers, texts) = match &column {
            Some(column) => (fast.column_opt(column)?, fast.str(column)?),
            None => (None, None),
        };
        let places = fast.u64("place")?;
        let within = self.within.iter().map(|within| {
            let column = fast.column_opt(&format!("columns.{}", within.column))?;
            Ok((column, within.bounds))
        });
        Ok(InSegment {
            from: self.rank_from(texts.as_ref())?,
            first: self.clone(),
            within: within.collect::<tantivy::Result<_>>()?,
            has_later: places.max_value() > self.to,
            places,
            numbers,
            texts,
            kept: BinaryHeap::new(),
            matched: 0,
            block: Block::default(),
        })
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(&self, segments: Vec<tantivy::Result<Firsts>>) -> tantivy::Result<Firsts> {
        let mut all = Firsts::default();
        for segment in segments {
            let Firsts { found, matched } = segment?;
            all.found.extend(found);
            all.matched += matched;
        }
        Ok(all)
    }
}

/// The first value of each document, if it has one.
fn read_column<T: PartialOrd + Copy + Debug + Send + Sync + 'static>(
    column: &Column<T>,
    documents: &[DocId],
    values: &mut Vec<Option<T>>,
) {
    values.clear();
    values.resize(documents.len(), None);
    column.first_vals(documents, values);
}

/// Leaves out the documents whose number is not within the bounds.
fn keep_within(column: &Column<f64>, bounds: Bounds, block: &mut Block) {
    read_column(column, &block.documents, &mut block.numbers);
    let mut numbers = block.numbers.iter();
    block.documents.retain(|_| {
        numbers.next().copied().flatten().is_some_and(|number| bounds.contains(&number))
    });
}

impl InSegment {
    /// Takes the documents of a block. Where they lie is read only of those that may be among the first: most,
    /// in a large ledger, are not.
    fn collect_kept(&mut self, block: &mut Block) {
        block.numbers.clear();
        block.ordinals.clear();
        block.places.clear();
        if let Some(numbers) = &self.numbers {
            read_column(numbers, &block.documents, &mut block.numbers);
        }
        if let Some(texts) = &self.texts {
            read_column(texts.ords(), &block.documents, &mut block.ordinals);
        }
        let needs_all = self.first.column.is_none() || self.has_later;
        if needs_all {
            read_column(&self.places, &block.documents, &mut block.places);
        }
        for (at, document) in block.documents.iter().enumerate() {
            let number = block.numbers.get(at).copied().flatten();
            let ordinal = block.ordinals.get(at).copied().flatten();
            let place = if needs_all {
                block.places[at]
            } else if self.is_behind(number, ordinal) {
                self.matched += 1;
                continue;
            } else {
                self.places.first(*document)
            };
            let Some(place) = place.filter(|place| *place <= self.first.to) else { continue };
            self.take(self.rank(number, ordinal, place));
        }
    }

    /// Whether a document comes after all that are kept, wherever it lies.
    fn is_behind(&self, number: Option<f64>, ordinal: Option<u64>) -> bool {
        let (kind, key, _) = self.rank(number, ordinal, 0);
        self.kept.len() >= self.first.most
            && self.kept.peek().is_some_and(|last| (kind, key) > (last.0, last.1))
    }

    fn rank(&self, number: Option<f64>, ordinal: Option<u64>, place: u64) -> Rank {
        let first = &self.first;
        let place = first.place(place);
        match (number, ordinal) {
            (Some(number), _) => (first.kind(false), first.turned(ordered(number)), place),
            (None, Some(ordinal)) => (first.kind(true), first.turned(2 * ordinal + 1), place),
            (None, None) => (NONE, 0, place),
        }
    }

    fn take(&mut self, rank: Rank) {
        if self.from.is_some_and(|from| rank < from) {
            return;
        }
        self.matched += 1;
        if self.kept.len() < self.first.most {
            self.kept.push(rank);
        } else if let Some(mut last) = self.kept.peek_mut()
            && rank < *last
        {
            *last = rank;
        }
    }

    fn position(&self, (kind, rank, place): Rank) -> tantivy::Result<Position> {
        let first = &self.first;
        let key = match kind {
            NONE => Key::None,
            kind if kind == first.kind(false) => Key::Number(number_of(first.turned(rank))),
            _ => {
                let mut text = String::new();
                if let Some(texts) = &self.texts {
                    texts.ord_to_str(first.turned(rank) / 2, &mut text)?;
                }
                Key::Text(text)
            }
        };
        Ok(Position { key, place: unpack(first.place(place)), output: 0 })
    }
}

impl SegmentCollector for InSegment {
    type Fruit = tantivy::Result<Firsts>;

    fn collect(&mut self, document: DocId, _score: Score) {
        self.collect_block(&[document]);
    }

    /// Columns are read for many documents at once: a range may match most of a ledger.
    fn collect_block(&mut self, documents: &[DocId]) {
        let mut block = std::mem::take(&mut self.block);
        block.documents.clear();
        block.documents.extend(documents);
        for (column, bounds) in &self.within {
            match column {
                Some(column) => keep_within(column, *bounds, &mut block),
                None => block.documents.clear(),
            }
        }
        self.collect_kept(&mut block);
        self.block = block;
    }

    fn harvest(mut self) -> tantivy::Result<Firsts> {
        let ranks = std::mem::take(&mut self.kept).into_sorted_vec();
        let found = ranks.into_iter().map(|rank| self.position(rank));
        Ok(Firsts { found: found.collect::<Result<_, _>>()?, matched: self.matched })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_keep_their_order_and_come_back() {
        let numbers = [f64::NEG_INFINITY, -1e300, -1.0, -1e-300, 0.0, 5e-324, 1.0, f64::INFINITY];
        assert!(numbers.is_sorted_by_key(|number| ordered(*number)));
        assert!(numbers.iter().all(|number| number_of(ordered(*number)) == *number));
    }
}
