//! The one JSON reader, and the canonical form that is hashed and signed.
//!
//! [`parse`] makes a tree that borrows from the text; [`write_canonical`] writes it as
//! BigchainDB 2.x does before hashing (python-rapidjson 0.9.1: sorted keys, no spaces,
//! Python's spelling of floats). Both are bounded by [`crate::limits::JSON_DEPTH_MAX`].

mod canonical;
mod parser;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub use canonical::{write_canonical, write_canonical_text};
pub use parser::parse;

/// How strictly text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// The chain's own rules: what is ambiguous is refused (DESIGN.md §6).
    Strict,
    /// What BigchainDB 2.2.2 accepts, for importing its ledgers.
    Lenient,
}

/// Text that is not JSON, or JSON that means two things.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Nothing but white space.
    #[error("empty text: one JSON value was expected")]
    Empty,
    /// Not JSON.
    #[error("line {line}, column {column}: {expected}")]
    Syntax {
        /// From 1.
        line: usize,
        /// From 1, in bytes.
        column: usize,
        /// What would have been fine.
        expected: &'static str,
    },
    /// An object has a key twice, whatever its spelling.
    #[error("the key {path} is there twice: each key may be given once")]
    DuplicateKey {
        /// Where, as in `asset.data.list[2].name`; cut to 100 bytes.
        path: String,
    },
}

/// A string of the text. Borrowed exactly when its spelling has no escape in it, so that
/// borrowed text needs none when it is written.
pub type Text<'a> = Cow<'a, str>;

/// A JSON value that borrows from the text it was read from.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// Its exact spelling: `1`, `1.0` and `1e0` are three different numbers.
    Number(&'a str),
    /// Unescaped.
    String(Text<'a>),
    /// In order.
    Array(Vec<Value<'a>>),
    /// Sorted by the keys' UTF-8 bytes; every key once.
    Object(Vec<(Text<'a>, Value<'a>)>),
}

impl<'a> Value<'a> {
    /// The member of that name, of an object that has it.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        self.as_object().and_then(|members| member(members, key))
    }
    /// The members, of an object.
    pub fn as_object(&self) -> Option<&[(Text<'a>, Value<'a>)]> {
        if let Value::Object(members) = self { Some(members) } else { None }
    }
    /// The elements, of an array.
    pub fn as_array(&self) -> Option<&[Value<'a>]> {
        if let Value::Array(elements) = self { Some(elements) } else { None }
    }
    /// The text, of a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = self { Some(text) } else { None }
    }
    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }
    /// Whether it is a number without fraction and exponent.
    pub fn is_integer(&self) -> bool {
        if let Value::Number(text) = self { !is_float(text) } else { false }
    }
}

/// The member of that name among sorted members.
pub fn member<'v, 'a>(members: &'v [(Text<'a>, Value<'a>)], key: &str) -> Option<&'v Value<'a>> {
    let at = members.binary_search_by(|(name, _)| name.as_bytes().cmp(key.as_bytes())).ok()?;
    Some(&members[at].1)
}

/// Whether a number's spelling makes it a float rather than an integer, in Python and here.
pub(crate) fn is_float(number: &str) -> bool {
    number.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
}

/// Cuts text to at most `most` bytes at a character boundary: what others wrote is echoed, within bounds.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
