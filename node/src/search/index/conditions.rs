//! From conditions to queries of the index.
//!
//! Some documents have values that no column holds; for those a range is doubtful until the
//! document is read. So a condition leads to two queries: of documents for which it may
//! hold, and of documents for which it does. `not` turns one into the other.

use std::ops::Bound;

use tantivy::{
    Searcher, Term,
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

/// How sure one comparison is.
struct Leaf {
    holds: Box<dyn Query>,
    /// Documents that must be read to know.
    doubtful: Option<Box<dyn Query>>,
}

impl Lookup<'_> {
    /// The documents for which a condition may hold: no others than these.
    pub(super) fn may(&self, condition: &Condition) -> tantivy::Result<Box<dyn Query>> {
        self.query(condition, true)
    }

    fn query(&self, condition: &Condition, may: bool) -> tantivy::Result<Box<dyn Query>> {
        match condition {
            Condition::Any(some) => {
                let some = some.iter().map(|condition| self.query(condition, may));
                Ok(Box::new(BooleanQuery::union(some.collect::<Result<_, _>>()?)))
            }
            Condition::All(all) => {
                let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
                for condition in all {
                    clauses.push(self.clause(condition, may)?);
                }
                Ok(all_of(clauses))
            }
            Condition::Not(_) => Ok(all_of(vec![self.clause(condition, may)?])),
            Condition::Exists(_) | Condition::Compare(..) => {
                let Leaf { holds, doubtful } = self.leaf(condition)?;
                Ok(match doubtful {
                    Some(doubtful) if may => Box::new(BooleanQuery::union(vec![holds, doubtful])),
                    _ => holds,
                })
            }
        }
    }

    fn clause(&self, condition: &Condition, may: bool) -> tantivy::Result<(Occur, Box<dyn Query>)> {
        match condition {
            Condition::Not(inner) => Ok((Occur::MustNot, self.query(inner, !may)?)),
            other => Ok((Occur::Must, self.query(other, may)?)),
        }
    }

    fn leaf(&self, condition: &Condition) -> tantivy::Result<Leaf> {
        let (path, test) = match condition {
            Condition::Compare(path, test) => (path, test),
            Condition::Exists(path) => return Ok(self.exact(exists_term(&path_name(path)))),
            Condition::Any(_) | Condition::All(_) | Condition::Not(_) => {
                unreachable!("only comparisons are leaves")
            }
        };
        let name = path_name(path);
        let bounds = match test {
            Test::Equals(scalar) => return Ok(self.exact(equals_term(&name, scalar))),
            Test::Range(side, edge) => range(*side, edge),
            Test::Begins(start) => begins(start),
        };
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
pub(super) fn all_of(mut clauses: Vec<(Occur, Box<dyn Query>)>) -> Box<dyn Query> {
    if !clauses.iter().any(|(occur, _)| *occur == Occur::Must) {
        clauses.push((Occur::Must, Box::new(AllQuery)));
    }
    Box::new(BooleanQuery::new(clauses))
}

type Bounds = (Bound<Edge>, Bound<Edge>);

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
