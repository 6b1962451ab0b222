//! Transactions out of a file or a pipe: one object, an array of them, or one after the other
//! (as in NDJSON). Read as they come, so that there may be any number.

use std::io::{self, BufRead};

use cairn_ledger::limits::TRANSACTION_BYTES_MAX;

/// A transaction without its needless white space; the validator says exactly what is too large.
const ITEM_BYTES_MAX: usize = TRANSACTION_BYTES_MAX + 4096;

/// Where the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Begin,
    /// In an array, before an item or its end.
    Array,
    /// In an array, behind an item.
    Behind,
    /// One after the other.
    Lines,
    End,
}

/// Takes a text apart.
pub(super) struct Items<R> {
    reader: R,
    place: Place,
    /// Bytes read so far.
    pub(super) bytes: u64,
    /// Items found so far.
    pub(super) found: u64,
}

/// Why there is no next item.
#[derive(Debug, thiserror::Error)]
pub(super) enum ItemError {
    #[error("cannot be read: {0}")]
    Read(#[source] io::Error),
    #[error("at byte {at}, after {found} transactions: {what}")]
    Shape { at: u64, found: u64, what: &'static str },
}

impl<R: BufRead> Items<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, place: Place::Begin, bytes: 0, found: 0 }
    }

    /// The next transaction on one line; nothing at the end.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, ItemError> {
        loop {
            let Some(byte) = self.byte()? else {
                return match self.place {
                    Place::Begin | Place::Lines | Place::End => Ok(None),
                    Place::Array | Place::Behind => {
                        Err(self.wrong("the array has no end: the file was cut short"))
                    }
                };
            };
            self.place = match (self.place, byte) {
                (place, b' ' | b'\t' | b'\r' | b'\n') => place,
                (Place::Begin, b'[') => Place::Array,
                (Place::Begin | Place::Lines, b'{') => {
                    self.place = Place::Lines;
                    return self.object().map(Some);
                }
                (Place::Array, b'{') => {
                    self.place = Place::Behind;
                    return self.object().map(Some);
                }
                (Place::Behind, b',') => Place::Array,
                (Place::Array | Place::Behind, b']') => Place::End,
                (Place::End, _) => return Err(self.wrong("something follows the array")),
                (Place::Behind, _) => {
                    return Err(self.wrong("a comma or the array's end would be fine"));
                }
                _ => return Err(self.wrong("no transaction begins here: { would be fine")),
            };
        }
    }

    /// The rest of an object, up to the bracket that closes it.
    fn object(&mut self) -> Result<Vec<u8>, ItemError> {
        let mut item = vec![b'{'];
        let (mut depth, mut quoted, mut escaped) = (1_usize, false, false);
        while depth > 0 {
            let Some(byte) = self.byte()? else {
                return Err(self.wrong("the transaction has no end: the file was cut short"));
            };
            if quoted {
                match byte {
                    b'\n' | b'\r' => return Err(self.wrong("a text does not end on its line")),
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'"' => quoted = false,
                    _ => {}
                }
            } else {
                match byte {
                    b' ' | b'\t' | b'\r' | b'\n' => continue,
                    b'"' => quoted = true,
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
            }
            if item.len() == ITEM_BYTES_MAX {
                return Err(self.wrong("the transaction is larger than any can be"));
            }
            item.push(byte);
        }
        self.found += 1;
        Ok(item)
    }

    fn byte(&mut self) -> Result<Option<u8>, ItemError> {
        let byte = loop {
            match self.reader.fill_buf() {
                Ok(buffer) => break buffer.first().copied(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ItemError::Read(error)),
            }
        };
        if byte.is_some() {
            self.reader.consume(1);
            self.bytes += 1;
        }
        Ok(byte)
    }

    fn wrong(&self, what: &'static str) -> ItemError {
        ItemError::Shape { at: self.bytes, found: self.found, what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<Vec<String>, String> {
        let mut items = Items::new(text.as_bytes());
        let mut found = Vec::new();
        while let Some(item) = items.next().map_err(|error| error.to_string())? {
            found.push(String::from_utf8(item).unwrap());
        }
        Ok(found)
    }

    #[test]
    fn one_many_and_many_lines_are_taken_apart() {
        #[rustfmt::skip]
        let table: [(&str, &[&str], &str); 9] = [
            ("",                              &[],                     "nothing"),
            (" \n ",                          &[],                     "nothing but space"),
            ("{}",                            &["{}"],                 "one"),
            ("{\n  \"a\": [1, 2]\n}\n",       &[r#"{"a":[1,2]}"#],     "one on many lines"),
            ("[]",                            &[],                     "an array of none"),
            ("[{},\n {\"b\":\"]}\"}]\n",      &["{}", r#"{"b":"]}"}"#], "an array; brackets in texts are text"),
            ("{}\n{\"a\":\"\\\"}\"}\n\n{}",   &["{}", r#"{"a":"\"}"}"#, "{}"], "one a line; quotes in texts too"),
            ("{}{}",                          &["{}", "{}"],           "one after the other"),
            ("[{},]",                         &["{}"],                 "a comma too many is no harm"),
        ];
        for (text, expected, why) in table {
            assert_eq!(all(text).unwrap(), expected, "{why}");
        }
    }

    #[test]
    fn what_is_cut_short_or_no_transaction_is_said_with_its_place() {
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(ITEM_BYTES_MAX));
        #[rustfmt::skip]
        let table = [
            ("{\"a\":1",      "byte 6, after 0",  "cut in an object"),
            ("[{}",           "byte 3, after 1",  "cut in an array"),
            ("{}\nx",         "byte 4, after 1",  "no object"),
            ("\"text\"",      "byte 1, after 0",  "a text"),
            ("[{} {}]",       "byte 5, after 1",  "no comma"),
            ("[{}] {}",       "byte 6, after 1",  "more behind the array"),
            ("{\"a\n\":1}",   "byte 4",           "a line break in a text"),
            (&large,          "larger",           "without end"),
        ];
        for (text, named, why) in table {
            let error = all(text).unwrap_err();
            assert!(error.contains(named), "{why}: {error}");
        }
    }
}
