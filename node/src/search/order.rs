//! In which order rows come, and the marks at which pages end.

use std::cmp::Ordering;

use cairn_ledger::{
    block::Place,
    encoding::{DecodeError, Reader, Writer},
    ids::Height,
    json::Value,
};

use super::{
    Mark, SearchError, SortBy,
    document::Document,
    filter::{self, Path},
};

/// So much of a string counts when rows are sorted by it.
pub(super) const KEY_BYTES_MAX: usize = 256;

/// By what a row is sorted, after the order that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Key {
    /// Never NaN, never minus zero.
    Number(f64),
    Text(String),
    /// No number or string there, or nothing was asked for: the last, in either direction.
    None,
}

impl Key {
    /// The key of a document: the first value that the path leads to.
    pub(super) fn of(path: &Path, document: &Document<'_>) -> Self {
        path.values(document).first().map_or(Self::None, |value| Self::of_value(value))
    }

    pub(super) fn of_value(value: &Value<'_>) -> Self {
        match value {
            Value::String(text) => Self::Text(cut(text).to_owned()),
            value => filter::number(value).map_or(Self::None, Self::Number),
        }
    }

    fn compare(&self, other: &Self, descending: bool) -> Ordering {
        let turn = |order: Ordering| if descending { order.reverse() } else { order };
        match (self, other) {
            (Self::None, Self::None) => Ordering::Equal,
            (Self::None, _) => Ordering::Greater,
            (_, Self::None) => Ordering::Less,
            (Self::Number(a), Self::Number(b)) => turn(a.total_cmp(b)),
            (Self::Text(a), Self::Text(b)) => turn(a.cmp(b)),
            (Self::Number(_), Self::Text(_)) => turn(Ordering::Less),
            (Self::Text(_), Self::Number(_)) => turn(Ordering::Greater),
        }
    }
}

/// The part of a string that is sorted by.
pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(KEY_BYTES_MAX)]
}

/// Where a row stands among the others.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Position {
    pub(super) key: Key,
    pub(super) place: Place,
    /// 0 for assets.
    pub(super) output: u32,
}

/// The order that was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order<'s> {
    pub(super) sort: &'s SortBy,
    pub(super) descending: bool,
}

impl Order<'_> {
    /// Which of two rows comes first. Rows that are alike come in chain order, whatever the
    /// direction; it is turned only when it is the order that was asked for.
    pub(super) fn compare(&self, a: &Position, b: &Position) -> Ordering {
        let chain = |row: &Position| (row.place.height, row.place.index, row.output);
        match self.sort {
            SortBy::Chain if self.descending => chain(b).cmp(&chain(a)),
            SortBy::Chain => chain(a).cmp(&chain(b)),
            SortBy::Field(_) => {
                a.key.compare(&b.key, self.descending).then_with(|| chain(a).cmp(&chain(b)))
            }
        }
    }

    /// The key of a row in this order.
    pub(super) fn key(&self, document: &Document<'_>) -> Key {
        match self.sort {
            SortBy::Chain => Key::None,
            SortBy::Field(path) => Key::of(path, document),
        }
    }
}

const NONE: u8 = 0;
const NUMBER: u8 = 1;
const TEXT: u8 = 2;

impl Position {
    /// The mark of a page that ends with this row: sort key, place and output.
    pub(super) fn mark(&self) -> Mark {
        let mut writer = Writer::default();
        writer.u64(self.place.height.0).u32(self.place.index).u32(self.output);
        match &self.key {
            Key::None => writer.u8(NONE),
            Key::Number(number) => writer.u8(NUMBER).u64(number.to_bits()),
            Key::Text(text) => writer.u8(TEXT).bytes(text.as_bytes()),
        };
        Mark(writer.finish())
    }

    /// Reads a mark of pages in this order.
    pub(super) fn read(mark: &Mark, order: &Order<'_>) -> Result<Self, SearchError> {
        let read = Self::decode(&mark.0).map_err(|_| SearchError::Mark)?;
        match (order.sort, &read.key) {
            (SortBy::Chain, Key::Number(_) | Key::Text(_)) => Err(SearchError::Mark),
            (SortBy::Chain, Key::None) | (SortBy::Field(_), _) => Ok(read),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("mark of a page", bytes);
        let malformed = reader.malformed();
        let place = Place { height: Height(reader.u64()?), index: reader.u32()? };
        let output = reader.u32()?;
        let key = match reader.u8()? {
            NONE => Key::None,
            NUMBER => {
                let number = f64::from_bits(reader.u64()?);
                if number.is_nan() || number.to_bits() == (-0.0_f64).to_bits() {
                    return Err(malformed);
                }
                Key::Number(number)
            }
            TEXT => {
                let text = std::str::from_utf8(reader.bytes(KEY_BYTES_MAX)?);
                Key::Text(text.map_err(|_| malformed)?.to_owned())
            }
            _ => return Err(malformed),
        };
        reader.finish()?;
        Ok(Self { key, place, output })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Position> {
        let place = |height, index| Place { height: Height(height), index };
        let text = |text: &str| Key::Text(text.to_owned());
        [
            (Key::Number(f64::NEG_INFINITY), place(9, 0), 0),
            (Key::Number(-1.5), place(8, 0), 0),
            (Key::Number(0.0), place(1, 70_000), 3),
            (Key::Number(2.0), place(1, 1), 0),
            (Key::Number(2.0), place(1, 1), 1),
            (text(""), place(3, 0), 0),
            (text("Z"), place(2, 0), 0),
            (text("a"), place(1, 0), 0),
            (text(&"é".repeat(128)), place(1, 0), 0),
            (Key::None, place(1, 0), 0),
            (Key::None, place(u64::MAX, u32::MAX), u32::MAX),
        ]
        .map(|(key, place, output)| Position { key, place, output })
        .to_vec()
    }

    #[test]
    fn numbers_come_before_strings_and_what_has_neither_is_last() {
        let sort = SortBy::Field(Path::parse("asset.a").unwrap());
        let up = Order { sort: &sort, descending: false };
        assert!(rows().is_sorted_by(|a, b| up.compare(a, b) == Ordering::Less));
        let down = Order { sort: &sort, descending: true };
        let mut turned = rows();
        turned.sort_by(|a, b| down.compare(a, b));
        let at = |wanted: usize| turned.iter().position(|row| *row == rows()[wanted]).unwrap();
        assert_eq!([8, 7, 6, 5, 3, 4, 2, 1, 0, 9, 10].map(at), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn marks_come_back_and_others_are_refused() {
        let sort = SortBy::Field(Path::parse("asset.a").unwrap());
        let order = Order { sort: &sort, descending: false };
        for row in rows() {
            let mark = row.mark();
            assert_eq!(Position::read(&mark, &order).unwrap(), row);
            let chain = Order { sort: &SortBy::Chain, descending: false };
            assert_eq!(Position::read(&mark, &chain).is_ok(), row.key == Key::None);
            for cut in 0..mark.0.len() {
                let cut = Mark(mark.0[..cut].to_vec());
                assert!(matches!(Position::read(&cut, &order), Err(SearchError::Mark)));
            }
            let longer = Mark([&mark.0[..], &[0]].concat());
            assert!(matches!(Position::read(&longer, &order), Err(SearchError::Mark)));
        }
        let nan = Position { key: Key::Number(f64::NAN), ..rows().remove(0) };
        assert!(Position::read(&nan.mark(), &order).is_err());
    }

    #[test]
    fn long_strings_are_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&"a".repeat(300)).len(), KEY_BYTES_MAX);
        assert_eq!(cut(&format!("a{}", "é".repeat(300))).len(), KEY_BYTES_MAX - 1);
    }
}
