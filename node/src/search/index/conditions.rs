//! From conditions to queries of the index.
//!
//! Some documents have values that no column holds; for those a range is doubtful until the
//! document is read. So a condition leads to two queries: of documents for which it may
//! hold, and of documents for which it does. `not` turns one into the other.

use std::{cmp::Ordering, ops::Bound};

use tantivy::{
    Searcher, Term,
    columnar::Cardinality,
    query::{AllQuery, BooleanQuery, EmptyQuery, Occur, Query, RangeQuery, TermQuery},
    schema::IndexRecordOption,
};

use super::{
    columns::Known,
    schema::{Fields, Name, equals_term, exists_term, odd_term, path_name},
};
use crate::search::filter::{Condition, Edge, Path, Side, Test};

/// What conditions are looked up in.
pub(super) struct Lookup<'s> {
    pub(super) fields: &'s Fields,
    pub(super) columns: &'s Known,
    pub(super) searcher: &'s Searcher,
}

/// Both ends of a range of numbers.
pub(super) type NumberBounds = (Bound<f64>, Bound<f64>);

/// What a document must be, or must not be.
pub(super) type Clauses = Vec<(Occur, Box<dyn Query>)>;

/// A range that is looked at in each document that is found.
#[derive(Clone, Debug)]
pub(super) struct Within {
    /// In this column.
    pub(super) column: String,
    /// The number is within these.
    pub(super) bounds: NumberBounds,
}

/// How sure one comparison is.
struct Leaf {
    holds: Box<dyn Query>,
    /// Documents that must be read to know.
    doubtful: Option<Box<dyn Query>>,
}

impl Leaf {
    /// The documents for which it may hold, or for which it does.
    fn query(self, may: bool) -> Box<dyn Query> {
        match self.doubtful {
            Some(doubtful) if may => Box::new(BooleanQuery::union(vec![self.holds, doubtful])),
            _ => self.holds,
        }
    }
}

impl Lookup<'_> {
    /// The documents for which a condition may hold: no others than those that the query finds and
    /// that are within what is to be looked at in each.
    pub(super) fn may(
        &self,
        condition: &Condition,
    ) -> tantivy::Result<(Box<dyn Query>, Vec<Within>)> {
        let Condition::All(all) = condition else {
            return Ok((self.query(condition, true)?, Vec::new()));
        };
        if !self.is_selective(all)? {
            return Ok((self.query(condition, true)?, Vec::new()));
        }
        // Looking through a whole column for a few documents would be the dearer way round.
        let mut within = Vec::new();
        let mut clauses = Vec::new();
        for (path, bounds) in self.ranges(all)? {
            match self.look_at(path, &bounds)? {
                Some(look) => within.push(look),
                None => clauses.push((Occur::Must, self.within(path, bounds)?.query(true))),
            }
        }
        for condition in all.iter().filter(|condition| bounds_of(condition).is_none()) {
            clauses.push(self.clause(condition, true)?);
        }
        Ok((all_of(clauses), within))
    }

    /// Whether one of the conditions, that something is equal, leaves a small part of all documents.
    fn is_selective(&self, all: &[Condition]) -> tantivy::Result<bool> {
        for condition in all {
            if let Condition::Compare(path, Test::Equals(scalar)) = condition
                && self.count(equals_term(&path_name(path), scalar))? * 4 < self.searcher.num_docs()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A range of numbers that the column alone decides.
    fn look_at(&self, path: &Path, bounds: &Bounds) -> tantivy::Result<Option<Within>> {
        let Some(column) = self.columns.column(&path_name(path)) else { return Ok(None) };
        if !is_number(bounds) || self.odd(path)?.is_some() || !self.has_one_value(path, true)? {
            return Ok(None);
        }
        let number = |edge: &Bound<Edge>| {
            edge.as_ref().map(|edge| match edge {
                Edge::Number(number) => *number,
                Edge::Text(_) => unreachable!("both ends are numbers"),
            })
        };
        Ok(Some(Within { column, bounds: (number(&bounds.0), number(&bounds.1)) }))
    }

    fn query(&self, condition: &Condition, may: bool) -> tantivy::Result<Box<dyn Query>> {
        match condition {
            Condition::Any(some) => {
                let some = some.iter().map(|condition| self.query(condition, may));
                Ok(Box::new(BooleanQuery::union(some.collect::<Result<_, _>>()?)))
            }
            Condition::All(all) => {
                let mut clauses: Clauses = Vec::new();
                for (path, bounds) in self.ranges(all)? {
                    clauses.push((Occur::Must, self.within(path, bounds)?.query(may)));
                }
                for condition in all.iter().filter(|condition| bounds_of(condition).is_none()) {
                    clauses.push(self.clause(condition, may)?);
                }
                Ok(all_of(clauses))
            }
            Condition::Not(_) => Ok(all_of(vec![self.clause(condition, may)?])),
            Condition::Exists(_) | Condition::Compare(..) => Ok(self.leaf(condition)?.query(may)),
        }
    }

    /// The ranges among conditions that all must hold. Looking through a column costs as much as it finds, so two
    /// ends of one range are looked up as one: where no document has two values, of
    /// which each could be within one of the ranges.
    fn ranges<'c>(&self, all: &'c [Condition]) -> tantivy::Result<Vec<(&'c Path, Bounds)>> {
        let mut ranges: Vec<(&Path, Bounds)> = Vec::new();
        for (path, bounds) in all.iter().filter_map(bounds_of) {
            let same = ranges
                .iter_mut()
                .find(|(other, there)| *other == path && is_number(there) == is_number(&bounds));
            match same {
                Some((_, there)) if self.has_one_value(path, is_number(&bounds))? => {
                    *there = intersection(std::mem::replace(there, NOTHING), bounds);
                }
                _ => ranges.push((path, bounds)),
            }
        }
        Ok(ranges)
    }

    /// Whether no document has more than one number, or more than one string, in the column of a path.
    fn has_one_value(&self, path: &Path, numbers: bool) -> tantivy::Result<bool> {
        let Some(column) = self.columns.column(&path_name(path)) else { return Ok(true) };
        let column = format!("columns.{column}");
        for segment in self.searcher.segment_readers() {
            let fast = segment.fast_fields();
            let cardinality = if numbers {
                fast.column_opt::<f64>(&column)?.map(|numbers| numbers.get_cardinality())
            } else {
                fast.str(&column)?.map(|texts| texts.ords().get_cardinality())
            };
            if cardinality == Some(Cardinality::Multivalued) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn clause(&self, condition: &Condition, may: bool) -> tantivy::Result<(Occur, Box<dyn Query>)> {
        match condition {
            Condition::Not(inner) => Ok((Occur::MustNot, self.query(inner, !may)?)),
            other => Ok((Occur::Must, self.query(other, may)?)),
        }
    }

    fn leaf(&self, condition: &Condition) -> tantivy::Result<Leaf> {
        match condition {
            Condition::Compare(path, Test::Equals(scalar)) => {
                Ok(self.exact(equals_term(&path_name(path), scalar)))
            }
            Condition::Exists(path) => Ok(self.exact(exists_term(&path_name(path)))),
            other => {
                let (path, bounds) = bounds_of(other).expect("only comparisons are leaves");
                self.within(path, bounds)
            }
        }
    }

    /// The documents with a value within bounds.
    fn within(&self, path: &Path, bounds: Bounds) -> tantivy::Result<Leaf> {
        let name = path_name(path);
        let holds: Box<dyn Query> = match self.columns.column(&name) {
            Some(column) => {
                let term = |edge: Edge| self.column_term(&column, &edge);
                Box::new(RangeQuery::new(bounds.0.map(term), bounds.1.map(term)))
            }
            None => Box::new(EmptyQuery),
        };
        let doubtful = self.odd(path)?;
        Ok(Leaf { holds, doubtful: doubtful.map(|term| self.term(term)) })
    }

    fn exact(&self, term: Name) -> Leaf {
        Leaf { holds: self.term(term), doubtful: None }
    }

    /// The term of the documents whose column does not tell all about a path, if there are any.
    pub(super) fn odd(&self, path: &Path) -> tantivy::Result<Option<Name>> {
        let term = odd_term(&path_name(path));
        Ok((self.count(term)? > 0).then_some(term))
    }

    /// In how many documents a term is.
    pub(super) fn count(&self, term: Name) -> tantivy::Result<u64> {
        self.searcher.doc_freq(&Term::from_field_bytes(self.fields.terms, &term))
    }

    pub(super) fn term(&self, term: Name) -> Box<dyn Query> {
        let term = Term::from_field_bytes(self.fields.terms, &term);
        Box::new(TermQuery::new(term, IndexRecordOption::Basic))
    }

    fn column_term(&self, column: &str, edge: &Edge) -> Term {
        let mut term = Term::from_field_json_path(self.fields.columns, column, false);
        match edge {
            Edge::Number(number) => term.append_type_and_fast_value(*number),
            Edge::Text(text) => term.append_type_and_str(text),
        }
        term
    }

    /// One line for each comparison: how it is looked up.
    pub(super) fn explain(&self, condition: &Condition) -> tantivy::Result<Vec<String>> {
        match condition {
            Condition::Any(inner) | Condition::All(inner) => {
                let lines = inner.iter().map(|condition| self.explain(condition));
                Ok(lines.collect::<Result<Vec<_>, _>>()?.concat())
            }
            Condition::Not(inner) => self.explain(inner),
            Condition::Exists(path) => {
                let count = self.count(exists_term(&path_name(path)))?;
                Ok(vec![format!("exists {path}: {count} documents, by terms")])
            }
            Condition::Compare(path, Test::Equals(scalar)) => {
                let count = self.count(equals_term(&path_name(path), scalar))?;
                Ok(vec![format!("{path} equals: {count} documents, by terms")])
            }
            Condition::Compare(path, Test::Range(..) | Test::Begins(_)) => {
                let odd = self.count(odd_term(&path_name(path)))?;
                let how = match self.columns.column(&path_name(path)) {
                    Some(_) => "by its column",
                    None => "it has no column",
                };
                Ok(vec![format!("{path} within a range: {how}, {odd} documents must be read")])
            }
        }
    }
}

/// All clauses; when each is a negation, of all documents.
pub(super) fn all_of(mut clauses: Clauses) -> Box<dyn Query> {
    if !clauses.iter().any(|(occur, _)| *occur == Occur::Must) {
        clauses.push((Occur::Must, Box::new(AllQuery)));
    }
    Box::new(BooleanQuery::new(clauses))
}

/// Never both unbounded.
type Bounds = (Bound<Edge>, Bound<Edge>);

const NOTHING: Bounds = (Bound::Unbounded, Bound::Unbounded);

/// The bounds of a condition that is a range.
fn bounds_of(condition: &Condition) -> Option<(&Path, Bounds)> {
    match condition {
        Condition::Compare(path, Test::Range(side, edge)) => Some((path, range(*side, edge))),
        Condition::Compare(path, Test::Begins(start)) => Some((path, begins(start))),
        _ => None,
    }
}

fn is_number((low, _): &Bounds) -> bool {
    matches!(low, Bound::Included(Edge::Number(_)) | Bound::Excluded(Edge::Number(_)))
}

/// What is within both, of one kind.
fn intersection(one: Bounds, other: Bounds) -> Bounds {
    let before = |a: &Edge, b: &Edge| match (a, b) {
        (Edge::Number(a), Edge::Number(b)) => a.total_cmp(b),
        (Edge::Text(a), Edge::Text(b)) => a.cmp(b),
        _ => unreachable!("bounds of one kind"),
    };
    // Of two ends, the one that leaves less; of equal ones, the one that leaves itself out.
    let tighter = |one: Bound<Edge>, other: Bound<Edge>, wanted: Ordering| {
        let (a, b) = match (&one, &other) {
            (Bound::Unbounded, _) => return other,
            (_, Bound::Unbounded) => return one,
            (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) => {
                (a, b)
            }
        };
        match before(a, b) {
            Ordering::Equal if matches!(one, Bound::Excluded(_)) => one,
            Ordering::Equal => other,
            found if found == wanted => one,
            _ => other,
        }
    };
    (tighter(one.0, other.0, Ordering::Greater), tighter(one.1, other.1, Ordering::Less))
}

fn range(side: Side, edge: &Edge) -> Bounds {
    // The other end keeps numbers among numbers and strings among strings.
    let (lowest, highest) = match edge {
        Edge::Number(_) => {
            let [low, high] = [f64::NEG_INFINITY, f64::INFINITY].map(Edge::Number);
            (Bound::Included(low), Bound::Included(high))
        }
        Edge::Text(_) => (Bound::Included(Edge::Text(String::new())), Bound::Unbounded),
    };
    match side {
        Side::Below => (lowest, Bound::Excluded(edge.clone())),
        Side::BelowOrAt => (lowest, Bound::Included(edge.clone())),
        Side::Above => (Bound::Excluded(edge.clone()), highest),
        Side::AboveOrAt => (Bound::Included(edge.clone()), highest),
    }
}

/// From a string to the first one that no longer begins with it.
fn begins(start: &str) -> Bounds {
    let mut end: Vec<char> = start.chars().collect();
    let mut after = Bound::Unbounded;
    while let Some(last) = end.pop() {
        // Surrogates are no characters: the one after U+D7FF is U+E000.
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            end.push(next);
            after = Bound::Excluded(Edge::Text(end.into_iter().collect()));
            break;
        }
    }
    (Bound::Included(Edge::Text(start.to_owned())), after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ranges_meet_where_both_hold() {
        let number = |number: f64| Edge::Number(number);
        let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
        let below = |edge| range(Side::Below, &number(edge));
        let from = |edge| range(Side::AboveOrAt, &number(edge));
        let above = |edge| range(Side::Above, &number(edge));
        let included = |edge| Bound::Included(number(edge));
        let excluded = |edge| Bound::Excluded(number(edge));
        for (one, other, both) in [
            (from(1.0), below(2.0), (included(1.0), excluded(2.0))),
            (from(1.0), above(1.0), (excluded(1.0), included(high))),
            (above(3.0), from(1.0), (excluded(3.0), included(high))),
            (below(5.0), below(4.0), (included(low), excluded(4.0))),
            (from(3.0), below(2.0), (included(3.0), excluded(2.0))),
        ] {
            assert_eq!(intersection(one.clone(), other.clone()), both);
            assert_eq!(intersection(other, one), both);
        }
        let text = |text: &str| Edge::Text(text.to_owned());
        let both = intersection(begins("b"), range(Side::Above, &text("ba")));
        assert_eq!(both, (Bound::Excluded(text("ba")), Bound::Excluded(text("c"))));
    }

    #[test]
    fn what_begins_with_a_string_ends_where_nothing_does() {
        let text = |text: &str| Edge::Text(text.to_owned());
        for (start, end) in [
            ("ab", Bound::Excluded(text("ac"))),
            ("a\u{d7ff}", Bound::Excluded(text("a\u{e000}"))),
            ("a\u{10ffff}\u{10ffff}", Bound::Excluded(text("b"))),
            ("\u{10ffff}", Bound::Unbounded),
            ("", Bound::Unbounded),
        ] {
            assert_eq!(begins(start), (Bound::Included(text(start)), end));
        }
    }
}
