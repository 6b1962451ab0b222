//! Which paths have a column. A column holds the numbers and strings of one path for all
//! documents, so that ranges are looked up and rows sorted without reading the documents.
//!
//! Columns cost memory whenever the index is written, and whoever sends transactions
//! chooses paths: so there are only so many, for paths that were seen in several documents.
//! Documents whose values are not in a column say so with a term, and are read when asked.

use std::collections::HashMap;

use super::schema::Name;

/// Most columns.
pub(super) const COLUMNS_MAX: usize = 256;
/// In so many documents a path must be seen before it gets a column.
const SEEN_MIN: u8 = 4;
/// So many paths that have none are remembered.
const WAITING_MAX: usize = 16 * 1024;

/// The columns, and paths that may get one.
#[derive(Debug, Default)]
pub(super) struct Columns {
    numbers: HashMap<Name, usize>,
    waiting: HashMap<Name, u8>,
}

/// The columns as of a commit, for readers.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(HashMap<Name, usize>);

impl Columns {
    /// As they were written down.
    pub(super) fn read(names: &[String]) -> Option<Self> {
        let mut numbers = HashMap::new();
        for (number, text) in names.iter().enumerate().take(COLUMNS_MAX) {
            let mut name = Name::default();
            hex::decode_to_slice(text, &mut name).ok()?;
            numbers.insert(name, number);
        }
        (numbers.len() == names.len()).then_some(Self { numbers, waiting: HashMap::new() })
    }

    /// To be written down.
    pub(super) fn write(&self) -> Vec<String> {
        let mut names: Vec<_> = self.numbers.iter().collect();
        names.sort_by_key(|(_, number)| **number);
        names.into_iter().map(|(name, _)| hex::encode(name)).collect()
    }

    pub(super) fn known(&self) -> Known {
        Known(self.numbers.clone())
    }

    /// The column of a path that was seen in one more document, if it has one.
    pub(super) fn seen(&mut self, path: &Name) -> Option<String> {
        if let Some(number) = self.numbers.get(path) {
            return Some(column_name(*number));
        }
        if self.numbers.len() >= COLUMNS_MAX {
            return None;
        }
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.clear();
        }
        let seen = self.waiting.entry(*path).or_default();
        *seen += 1;
        if *seen < SEEN_MIN {
            return None;
        }
        self.waiting.remove(path);
        let number = self.numbers.len();
        self.numbers.insert(*path, number);
        Some(column_name(number))
    }
}

impl Known {
    /// The column of a path.
    pub(super) fn column(&self, path: &Name) -> Option<String> {
        self.0.get(path).map(|number| column_name(*number))
    }
}

fn column_name(number: usize) -> String {
    format!("c{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_gets_a_column_when_it_was_seen_and_there_is_room() {
        let mut columns = Columns::default();
        let name = |number: usize| {
            let mut name = Name::default();
            name[..8].copy_from_slice(&number.to_be_bytes());
            name
        };
        for _ in 1..SEEN_MIN {
            assert_eq!(columns.seen(&name(0)), None);
        }
        assert_eq!(columns.seen(&name(0)), Some("c0".to_owned()));
        for path in 1..10 * WAITING_MAX {
            let _ = columns.seen(&name(path));
        }
        assert!(columns.waiting.len() <= WAITING_MAX);
        for path in 1..2 * COLUMNS_MAX {
            for _ in 0..SEEN_MIN {
                let _ = columns.seen(&name(path));
            }
        }
        assert_eq!(columns.numbers.len(), COLUMNS_MAX);
        let again = Columns::read(&columns.write()).unwrap();
        assert_eq!(again.numbers, columns.numbers);
        assert_eq!(again.known().column(&name(0)), Some("c0".to_owned()));
        assert!(Columns::read(&["xy".to_owned()]).is_none());
    }
}
