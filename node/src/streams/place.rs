//! Where a stream stands in the chain: the names of events, and which one comes next.

use std::{fmt, str::FromStr};

use cairn_ledger::ids::Height;

/// Highest height that is taken from outside: what JSON's numbers hold exactly, and more
/// blocks than any chain will have.
const HEIGHT_MAX: u64 = (1 << 53) - 1;

/// Names an event, the same on every validator: `height:index` a transaction, `height` its
/// block, which is told after its transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    /// The block.
    pub height: Height,
    /// The transaction in it; none for the block itself.
    pub index: Option<u32>,
}

/// Text that names no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a height or an event id is wanted, as in 1042 or 1042:7")]
pub struct NoEventId;

impl EventId {
    /// The block of that height.
    pub fn block(height: Height) -> Self {
        Self { height, index: None }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "{}:{index}", self.height),
            None => write!(f, "{}", self.height),
        }
    }
}

impl FromStr for EventId {
    type Err = NoEventId;

    fn from_str(text: &str) -> Result<Self, NoEventId> {
        let (height, index) = match text.split_once(':') {
            Some((height, index)) => (height, Some(index)),
            None => (text, None),
        };
        let height = number(height).filter(|height| *height <= HEIGHT_MAX).ok_or(NoEventId)?;
        let index = index.map(|text| number(text).ok_or(NoEventId)).transpose()?;
        let index = index.map(u32::try_from).transpose().map_err(|_| NoEventId)?;
        Ok(Self { height: Height(height), index })
    }
}

/// Digits and nothing else: `+1` and ` 1` name nothing.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// The event that is told next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// Of this block.
    pub(super) height: Height,
    /// Its so-manieth event, from 0; the last one is the block itself.
    pub(super) event: usize,
}

impl Next {
    /// The first event of a block. There is no block 0: it is the beginning too.
    pub fn of(height: Height) -> Self {
        Self { height: Height(height.0.max(1)), event: 0 }
    }

    /// What comes behind an event.
    pub fn behind(id: EventId) -> Self {
        match id.index {
            // There is no block 0, whatever one would be behind in it.
            _ if id.height == Height(0) => Self::of(Height(1)),
            Some(index) => Self { height: id.height, event: index as usize + 1 },
            None => Self::of(id.height.next()),
        }
    }

    /// The event that was passed last, wanted or not: to go on behind it is to go on here.
    pub fn passed(&self) -> EventId {
        match self.event.checked_sub(1) {
            Some(last) => EventId { height: self.height, index: u32::try_from(last).ok() },
            None => EventId::block(Height(self.height.0 - 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written_and_nothing_else_is() {
        for text in ["0", "7", "7:0", "7:4095", "9007199254740991", "1:4294967295"] {
            assert_eq!(text.parse::<EventId>().unwrap().to_string(), text);
        }
        #[rustfmt::skip]
        let table = [
            ("",                     "nothing"),
            ("x",                    "no number"),
            ("+7",                   "a sign"),
            (" 7",                   "a space"),
            ("7:",                   "an index was promised"),
            (":7",                   "no height"),
            ("7:1:2",                "too many parts"),
            ("-1",                   "before the beginning"),
            ("9007199254740992",     "a height beyond any chain"),
            ("99999999999999999999", "more than 64 bits"),
            ("1:4294967296",         "an index beyond any block"),
        ];
        for (text, why) in table {
            assert_eq!(text.parse::<EventId>(), Err(NoEventId), "{why}: {text:?}");
        }
    }

    #[test]
    fn behind_what_was_passed_is_where_one_stands() {
        for text in ["0", "1", "1:0", "7:3", "7"] {
            let id: EventId = text.parse().unwrap();
            assert_eq!(Next::behind(id).passed(), id, "{text}");
        }
        assert_eq!(Next::of(Height(0)), Next::of(Height(1)), "both are the beginning");
        assert_eq!(Next::behind("0:5".parse().unwrap()), Next::of(Height(1)));
    }
}
