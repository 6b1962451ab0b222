//! A transaction's canonical text, hashed with some of its spans cut out.
//!
//! The id is the hash with `"id":null`; what is signed is the hash with every fulfillment
//! null as well. Both are hashed out of one text, and what they share is hashed once.

use std::ops::Range;

use sha3::{Digest, Sha3_256};

use crate::{
    ids::{OutputReference, TransactionId},
    json::{Value, write_canonical, write_canonical_text},
};

/// The canonical text and where in it the parts are that are hashed as null.
pub(super) struct Canonical {
    text: Vec<u8>,
    /// Empty when there is no id.
    id: Range<usize>,
    fulfillments: Vec<Range<usize>>,
    /// After everything before the first fulfillment, the id being null. (Keys are sorted,
    /// so the asset, which is most of a CREATE, comes before both.)
    shared: Sha3_256,
}

impl Canonical {
    /// Writes the canonical text of any value; only objects have spans to cut.
    pub(super) fn of(value: &Value<'_>) -> Self {
        let mut writer = Writer { text: Vec::with_capacity(1024), id: 0..0, fulfillments: vec![] };
        match value.as_object() {
            Some(members) => writer.transaction(members),
            None => write_canonical(value, &mut writer.text),
        }
        let Writer { text, id, fulfillments } = writer;
        let first = fulfillments.first().map_or(text.len(), |span| span.start);
        let mut shared = Sha3_256::new();
        shared.update(&text[..id.start]);
        if !id.is_empty() {
            shared.update(b"null");
        }
        shared.update(&text[id.end..first]);
        Self { text, id, fulfillments, shared }
    }

    /// The id that the transaction should have.
    pub(super) fn id(&self) -> TransactionId {
        let first = self.fulfillments.first().map_or(self.text.len(), |span| span.start);
        let hasher = self.shared.clone().chain_update(&self.text[first..]);
        TransactionId(hasher.finalize().into())
    }

    /// The text with id and fulfillments null, hashed: what each input's message goes on from.
    pub(super) fn signing(&self) -> Signing {
        let mut hasher = self.shared.clone();
        for (at, span) in self.fulfillments.iter().enumerate() {
            let next = self.fulfillments.get(at + 1).map_or(self.text.len(), |next| next.start);
            hasher.update(b"null");
            hasher.update(&self.text[span.end..next]);
        }
        Signing(hasher)
    }

    /// The text with another id and other fulfillments, one for each input.
    pub(super) fn filled(&self, id: Option<&str>, fulfillments: &[Option<String>]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.text.len() + 256 * fulfillments.len());
        let quoted =
            |text: Option<&str>| text.map_or("null".to_owned(), |text| format!("\"{text}\""));
        out.extend_from_slice(&self.text[..self.id.start]);
        out.extend_from_slice(quoted(id).as_bytes());
        let mut from = self.id.end;
        for (span, fulfillment) in self.fulfillments.iter().zip(fulfillments) {
            out.extend_from_slice(&self.text[from..span.start]);
            out.extend_from_slice(quoted(fulfillment.as_deref()).as_bytes());
            from = span.end;
        }
        out.extend_from_slice(&self.text[from..]);
        out
    }
}

/// What the messages of all inputs have in common.
pub(super) struct Signing(Sha3_256);

impl Signing {
    /// What the owners of one input sign.
    pub(super) fn message(&self, spends: Option<&OutputReference>) -> [u8; 32] {
        let mut hasher = self.0.clone();
        if let Some(OutputReference { transaction, index }) = spends {
            hasher.update(transaction.to_string().as_bytes());
            hasher.update(index.to_string().as_bytes());
        }
        hasher.finalize().into()
    }
}

struct Writer {
    text: Vec<u8>,
    id: Range<usize>,
    fulfillments: Vec<Range<usize>>,
}

impl Writer {
    fn transaction(&mut self, members: &[(crate::json::Text<'_>, Value<'_>)]) {
        self.text.push(b'{');
        for (at, (key, value)) in members.iter().enumerate() {
            self.key(at, key);
            match (key.as_ref(), value) {
                ("id", value) => {
                    let start = self.text.len();
                    write_canonical(value, &mut self.text);
                    self.id = start..self.text.len();
                }
                ("inputs", Value::Array(inputs)) => self.inputs(inputs),
                (_, value) => write_canonical(value, &mut self.text),
            }
        }
        self.text.push(b'}');
    }

    fn inputs(&mut self, inputs: &[Value<'_>]) {
        self.text.push(b'[');
        for (at, input) in inputs.iter().enumerate() {
            if at > 0 {
                self.text.push(b',');
            }
            match input.as_object() {
                Some(members) => self.input(members),
                None => write_canonical(input, &mut self.text),
            }
        }
        self.text.push(b']');
    }

    fn input(&mut self, members: &[(crate::json::Text<'_>, Value<'_>)]) {
        self.text.push(b'{');
        for (at, (key, value)) in members.iter().enumerate() {
            self.key(at, key);
            let start = self.text.len();
            write_canonical(value, &mut self.text);
            if key == "fulfillment" {
                self.fulfillments.push(start..self.text.len());
            }
        }
        self.text.push(b'}');
    }

    fn key(&mut self, at: usize, key: &crate::json::Text<'_>) {
        if at > 0 {
            self.text.push(b',');
        }
        write_canonical_text(key, &mut self.text);
        self.text.push(b':');
    }
}
