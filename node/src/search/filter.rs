//! Conditions over fields, as people write them: `asset.kind = "car" and metadata.km < 1000`.
//!
//! ```text
//! filter     = all { "or" all }
//! all        = each { "and" each }
//! each       = "not" each | "(" filter ")" | "exists" path | path operator literal
//! path       = ( "asset" | "metadata" ) { "." key }
//! key        = letters, digits, "_" and "-", not a digit first; or a JSON string
//! operator   = "=" | "!=" | "<" | "<=" | ">" | ">=" | "^="
//! literal    = JSON string | JSON number | "true" | "false" | "null"
//! ```
//!
//! What a condition means:
//!
//! * A path leads to values, none or several: arrays on the way and at its end are looked
//!   through, and a comparison holds when it does for any of the values.
//! * `!=` is `not =`, so it also holds where nothing is.
//! * Numbers compare as IEEE 754 doubles: whole numbers beyond 2^53 may be taken for their
//!   neighbours. Strings compare by code points. Values of two types are never equal, and
//!   neither is before the other.
//! * `^=` asks how a string begins. `<`, `<=`, `>`, `>=` and `^=` take strings of at most
//!   [`ORDER_BYTES_MAX`] bytes.
//! * `exists` asks for any value but `null`; an object counts, an empty array does not.
//!
//! A text has at most [`FILTER_BYTES_MAX`] bytes, [`COMPARISONS_MAX`] conditions and
//! [`NESTING_MAX`] levels of `not` and `(`.

use cairn_ledger::json::Value;

use super::document::{Document, Root};

mod parser;
#[cfg(test)]
mod tests;

/// Longest text of a condition.
pub const FILTER_BYTES_MAX: usize = 4096;
/// Most comparisons in one condition; each may cost a look through an index.
pub const COMPARISONS_MAX: usize = 32;
/// Deepest nesting of `not` and `(`.
pub const NESTING_MAX: usize = 16;
/// Longest string that others can be before, behind or begin with.
pub const ORDER_BYTES_MAX: usize = 200;

// What is cut off a long value in an index must not decide a comparison.
const _: () = assert!(ORDER_BYTES_MAX + 4 <= super::order::KEY_BYTES_MAX);

/// A path to a field: `asset` or `metadata`, then keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    pub(super) root: Root,
    pub(super) keys: Vec<String>,
}

/// A condition that holds for a row or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter(pub(super) Condition);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    /// One at least holds.
    Any(Vec<Condition>),
    /// All hold.
    All(Vec<Condition>),
    Not(Box<Condition>),
    Exists(Path),
    Compare(Path, Test),
}

/// What is asked of a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    Equals(Scalar),
    Range(Side, Edge),
    Begins(String),
}

/// On which side of its edge a range lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Below,
    BelowOrAt,
    Above,
    AboveOrAt,
}

/// What a range ends at.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Edge {
    Number(f64),
    Text(String),
}

/// A value that others can equal.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    /// Never NaN, and never minus zero.
    Number(f64),
    Text(String),
}

/// Why a text is no condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {wanted}")]
pub struct FilterError {
    /// Where, from 1.
    pub at: usize,
    /// What would have been fine there.
    pub wanted: String,
}

impl Path {
    /// Reads `asset.a.b` or `metadata.a`.
    ///
    /// # Errors
    /// Where the text is something else.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        parser::path(text)
    }

    /// The whole of an asset's data.
    pub(super) fn asset() -> Self {
        Self { root: Root::Asset, keys: Vec::new() }
    }

    /// The values that it leads to in a document, in their order.
    pub(super) fn values<'v, 'a>(&self, document: &'v Document<'a>) -> Vec<&'v Value<'a>> {
        let mut found = Vec::new();
        if let Some(value) = document.root(self.root) {
            walk(value, &self.keys, &mut found);
        }
        found
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.root.name())?;
        for key in &self.keys {
            if parser::is_plain(key) {
                write!(f, ".{key}")?;
            } else {
                write!(f, ".{}", serde_json::Value::from(key.as_str()))?;
            }
        }
        Ok(())
    }
}

impl Filter {
    /// Reads a condition.
    ///
    /// # Errors
    /// Where the text is none, or is beyond the bounds.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        parser::filter(text).map(Self)
    }

    /// Whether it holds for a document.
    pub(super) fn holds(&self, document: &Document<'_>) -> bool {
        self.0.holds(document)
    }
}

impl Condition {
    fn holds(&self, document: &Document<'_>) -> bool {
        match self {
            Self::Any(some) => some.iter().any(|condition| condition.holds(document)),
            Self::All(all) => all.iter().all(|condition| condition.holds(document)),
            Self::Not(condition) => !condition.holds(document),
            Self::Exists(path) => path.values(document).iter().any(|value| !value.is_null()),
            Self::Compare(path, test) => {
                path.values(document).into_iter().any(|value| test.holds(value))
            }
        }
    }
}

impl Test {
    fn holds(&self, value: &Value<'_>) -> bool {
        match self {
            Self::Equals(scalar) => scalar.equals(value),
            Self::Begins(start) => value.as_str().is_some_and(|text| text.starts_with(&**start)),
            Self::Range(side, Edge::Number(edge)) => {
                number(value).is_some_and(|number| side.holds(&number, edge))
            }
            Self::Range(side, Edge::Text(edge)) => {
                value.as_str().is_some_and(|text| side.holds(text, &**edge))
            }
        }
    }
}

impl Side {
    fn holds<T: PartialOrd + ?Sized>(self, value: &T, edge: &T) -> bool {
        match self {
            Self::Below => value < edge,
            Self::BelowOrAt => value <= edge,
            Self::Above => value > edge,
            Self::AboveOrAt => value >= edge,
        }
    }
}

impl Scalar {
    fn equals(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Self::Null, Value::Null) => true,
            (Self::Bool(wanted), Value::Bool(found)) => wanted == found,
            (Self::Number(wanted), Value::Number(_)) => number(value) == Some(*wanted),
            (Self::Text(wanted), Value::String(found)) => wanted == found,
            _ => false,
        }
    }
}

/// A JSON number as a double; minus zero is zero. Some ledgers hold spellings of NaN, which
/// is nothing to compare with.
pub(super) fn number(value: &Value<'_>) -> Option<f64> {
    let Value::Number(digits) = value else { return None };
    let number: f64 = digits.parse().ok()?;
    (!number.is_nan()).then_some(if number == 0.0 { 0.0 } else { number })
}

/// Collects what keys lead to; arrays are looked through.
fn walk<'v, 'a>(value: &'v Value<'a>, keys: &[String], found: &mut Vec<&'v Value<'a>>) {
    if let Value::Array(elements) = value {
        for element in elements {
            walk(element, keys, found);
        }
        return;
    }
    match keys {
        [] => found.push(value),
        [key, rest @ ..] => {
            if let Some(member) = value.get(key) {
                walk(member, rest, found);
            }
        }
    }
}
