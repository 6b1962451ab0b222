//! What the index keeps of a transaction: one document for each that is committed.
//!
//! * `place`: where it stands in the chain.
//! * `terms`: what its fields equal and that they are there, as hashes of path and value. A
//!   transfer has the fields of its asset, too: so conditions on outputs need no join.
//! * `columns`: numbers and strings of the paths that have a column, for ranges and sorting.
//! * `asset_words`, `metadata_words`: the words of text search.

use std::collections::{BTreeMap, BTreeSet};

use cairn_ledger::{block::Place, ids::Height, json::Value, limits::BLOCK_TRANSACTIONS_MAX};
use sha2::{Digest, Sha256};
use tantivy::{
    TantivyDocument,
    schema::{
        BytesOptions, FAST, Field, IndexRecordOption, JsonObjectOptions, OwnedValue, Schema,
        TextFieldIndexing, TextOptions,
    },
    tokenizer::{PreTokenizedString, Token},
};

use super::columns::Columns;
use crate::search::{
    Collection,
    document::{Root, Transaction},
    filter::{self, Path, Scalar},
    order::cut,
    text,
    words::{Language, words},
};

/// Longer words are looked up by how they begin; scores are computed from the text itself.
const WORD_BYTES_MAX: usize = 40;

/// A hash that stands for a path, or for a path and what is there.
pub(super) type Name = [u8; 16];

/// The fields of a document.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    pub(super) schema: Schema,
    pub(super) place: Field,
    pub(super) terms: Field,
    pub(super) columns: Field,
    pub(super) asset_words: Field,
    pub(super) metadata_words: Field,
}

/// What all documents of transactions that make assets have in their terms.
pub(super) const MAKES: Name = [0; 16];

impl Fields {
    pub(super) fn new() -> Self {
        let mut schema = Schema::builder();
        let words = TextFieldIndexing::default()
            .set_tokenizer("raw")
            .set_index_option(IndexRecordOption::WithFreqs);
        let words = TextOptions::default().set_indexing_options(words);
        Self {
            place: schema.add_u64_field("place", FAST),
            terms: schema.add_bytes_field("terms", BytesOptions::default().set_indexed()),
            columns: schema.add_json_field("columns", JsonObjectOptions::default().set_fast("raw")),
            asset_words: schema.add_text_field("asset_words", words.clone()),
            metadata_words: schema.add_text_field("metadata_words", words),
            schema: schema.build(),
        }
    }

    pub(super) fn words(&self, collection: Collection) -> Field {
        match collection {
            Collection::Assets => self.asset_words,
            Collection::Metadata => self.metadata_words,
        }
    }

    /// The document of a transaction. `data` is that of its asset.
    pub(super) fn document(
        &self,
        place: Place,
        transaction: &Transaction<'_>,
        data: Option<&Value<'_>>,
        columns: &mut Columns,
    ) -> TantivyDocument {
        let mut document = TantivyDocument::default();
        document.add_u64(self.place, pack(place));
        let mut gathered = Gathered::default();
        if transaction.makes() {
            gathered.terms.insert(MAKES);
        }
        for (root, value) in [(Root::Asset, data), (Root::Metadata, transaction.metadata())] {
            if let Some(value) = value {
                gathered.visit(value, root_name(root));
            }
        }
        gathered.finish(self, columns, &mut document);
        for collection in [Collection::Assets, Collection::Metadata] {
            if let Some(value) = transaction.text(collection) {
                document.add_pre_tokenized_text(self.words(collection), tokens(value));
            }
        }
        document
    }
}

const PLACE_BITS: u32 = 16;
const _: () = assert!(BLOCK_TRANSACTIONS_MAX <= 1 << PLACE_BITS);

/// A place as one number, in chain order. Heights of 48 bits last for millions of years.
pub(super) fn pack(place: Place) -> u64 {
    let height = place.height.0.min(u64::MAX >> PLACE_BITS);
    (height << PLACE_BITS) | u64::from(place.index).min((1 << PLACE_BITS) - 1)
}

pub(super) fn unpack(place: u64) -> Place {
    let index = u32::try_from(place & ((1 << PLACE_BITS) - 1)).expect("16 bits fit 32");
    Place { height: Height(place >> PLACE_BITS), index }
}

fn name(tag: u8, parts: &[&[u8]]) -> Name {
    let mut hasher = Sha256::new_with_prefix([tag]);
    for part in parts {
        hasher.update(part);
    }
    let hash: [u8; 32] = hasher.finalize().into();
    std::array::from_fn(|at| hash[at])
}

fn root_name(root: Root) -> Name {
    name(b'r', &[root.name().as_bytes()])
}

fn child_name(parent: &Name, key: &str) -> Name {
    name(b'k', &[parent, key.as_bytes()])
}

/// The name of a path.
pub(super) fn path_name(path: &Path) -> Name {
    path.keys.iter().fold(root_name(path.root), |parent, key| child_name(&parent, key))
}

/// The term of documents that have something at a path.
pub(super) fn exists_term(path: &Name) -> Name {
    name(b'x', &[path])
}

/// The term of documents whose values at a path are not, or not all, in its column.
pub(super) fn odd_term(path: &Name) -> Name {
    name(b'o', &[path])
}

/// The term of documents that have that value at a path.
pub(super) fn equals_term(path: &Name, scalar: &Scalar) -> Name {
    match scalar {
        Scalar::Null => name(b'0', &[path]),
        Scalar::Bool(value) => name(b'b', &[path, &[u8::from(*value)]]),
        Scalar::Number(value) => name(b'n', &[path, &value.to_bits().to_be_bytes()]),
        Scalar::Text(value) => name(b's', &[path, value.as_bytes()]),
    }
}

/// What is found at one path.
#[derive(Default)]
struct Found {
    numbers: Vec<f64>,
    texts: Vec<String>,
    /// Whether something came before the first number or string.
    other_first: bool,
}

#[derive(Default)]
struct Gathered {
    terms: BTreeSet<Name>,
    paths: BTreeMap<Name, Found>,
}

impl Gathered {
    /// Takes a value in, in the order in which [`Path`] finds them.
    fn visit(&mut self, value: &Value<'_>, path: Name) {
        if let Value::Array(elements) = value {
            elements.iter().for_each(|element| self.visit(element, path));
            return;
        }
        if !value.is_null() {
            self.terms.insert(exists_term(&path));
        }
        let found = self.paths.entry(path).or_default();
        let scalar = match value {
            Value::Null => Some(Scalar::Null),
            Value::Bool(value) => Some(Scalar::Bool(*value)),
            Value::Number(_) => filter::number(value).map(Scalar::Number),
            Value::String(text) => Some(Scalar::Text(text.clone().into_owned())),
            Value::Array(_) | Value::Object(_) => None,
        };
        match &scalar {
            Some(Scalar::Number(number)) => found.numbers.push(*number),
            Some(Scalar::Text(text)) => found.texts.push(cut(text).to_owned()),
            _ => found.other_first |= found.numbers.is_empty() && found.texts.is_empty(),
        }
        if let Some(scalar) = scalar {
            self.terms.insert(equals_term(&path, &scalar));
        }
        for (key, member) in value.as_object().unwrap_or_default() {
            self.visit(member, child_name(&path, key));
        }
    }

    fn finish(mut self, fields: &Fields, columns: &mut Columns, document: &mut TantivyDocument) {
        let mut values = BTreeMap::new();
        for (path, found) in self.paths {
            if found.numbers.is_empty() && found.texts.is_empty() {
                continue;
            }
            let mixed = !found.numbers.is_empty() && !found.texts.is_empty();
            let column = columns.seen(&path);
            if mixed || found.other_first || column.is_none() {
                self.terms.insert(odd_term(&path));
            }
            if let Some(column) = column {
                let numbers = found.numbers.into_iter().map(OwnedValue::F64);
                let texts = found.texts.into_iter().map(OwnedValue::Str);
                values.insert(column, OwnedValue::Array(numbers.chain(texts).collect()));
            }
        }
        for term in &self.terms {
            document.add_bytes(fields.terms, term);
        }
        if !values.is_empty() {
            document.add_object(fields.columns, values);
        }
    }
}

/// The words of a document.
fn tokens(value: &Value<'_>) -> PreTokenizedString {
    let mut strings = Vec::new();
    text::collect(value, Language::English, &mut strings);
    let found = strings.into_iter().flat_map(|(text, language)| words(text, language));
    let token = |(position, word): (usize, String)| Token {
        position,
        text: cut_word(&word).to_owned(),
        ..Token::default()
    };
    PreTokenizedString { text: String::new(), tokens: found.enumerate().map(token).collect() }
}

/// As much of a word as the index knows.
pub(super) fn cut_word(word: &str) -> &str {
    &word[..word.floor_char_boundary(WORD_BYTES_MAX)]
}
