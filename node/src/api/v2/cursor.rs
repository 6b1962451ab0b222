//! Where the next page begins.
//!
//! A cursor carries the height that all pages are true at and the last row of the page before;
//! so it survives new blocks, restarts, and going on at another validator. It is sealed with a
//! hash over the chain, the question and itself. That keeps no secret and proves no origin: it
//! tells damage, and a cursor that was given to another question, before anything is read.

use cairn_ledger::ids::{ChainId, Height};
use sha2::{Digest, Sha256};

use super::{super::error::Failure, question::Question};

/// Domain tag of the seal; another layout needs another tag.
const TAG: &[u8] = b"cairn/cursor/1";

const SEAL_BYTES: usize = 16;

/// Longest text that is looked at. What a page ends with is shorter by far.
const TEXT_BYTES_MAX: usize = 8 * 1024;

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The height that the pages are true at.
    pub(super) as_of: Height,
    /// The last row, in the words of whoever made the page.
    pub(super) mark: Vec<u8>,
}

/// What a cursor belongs to.
#[derive(Clone, Debug)]
pub(super) struct Belonging(Sha256);

impl Belonging {
    /// To that question on that path of that chain.
    pub(super) fn to(chain: ChainId, path: &str, question: &Question) -> Self {
        let mut hash = Sha256::new().chain_update(TAG).chain_update(chain.0);
        let mut part = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        };
        part(path);
        for (name, value) in question.identity() {
            part(name);
            part(value);
        }
        Self(hash)
    }

    fn seal(&self, content: &[u8]) -> [u8; SEAL_BYTES] {
        let hash: [u8; 32] = self.0.clone().chain_update(content).finalize().into();
        *hash.first_chunk().expect("32 bytes begin with 16")
    }
}

impl Cursor {
    /// As clients carry it.
    pub(super) fn text(&self, of: &Belonging) -> String {
        let mut bytes = self.as_of.0.to_be_bytes().to_vec();
        bytes.extend(&self.mark);
        bytes.extend(of.seal(&bytes));
        to_base64url(&bytes)
    }

    /// From what a client brought.
    pub(super) fn read(text: &str, of: &Belonging) -> Result<Self, Failure> {
        Self::open(text, of).ok_or(Failure::Cursor)
    }

    fn open(text: &str, of: &Belonging) -> Option<Self> {
        let bytes = from_base64url(text)?;
        let (content, seal) = bytes.split_last_chunk::<SEAL_BYTES>()?;
        if *seal != of.seal(content) {
            return None;
        }
        let (as_of, mark) = content.split_first_chunk()?;
        Some(Self { as_of: Height(u64::from_be_bytes(*as_of)), mark: mark.to_vec() })
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// RFC 4648 §5, without padding.
fn to_base64url(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0, |word, at| word << 8 | u32::from(*chunk.get(at).unwrap_or(&0)));
        for at in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(word >> (18 - 6 * at) & 63) as usize]));
        }
    }
    text
}

/// Only the one spelling that [`to_base64url`] gives.
fn from_base64url(text: &str) -> Option<Vec<u8>> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut word, mut bits) = (0_u32, 0);
    for byte in text.bytes() {
        let digit = ALPHABET.iter().position(|digit| *digit == byte)?;
        word = word << 6 | u32::try_from(digit).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits & 0xFF) as u8);
        }
    }
    // What is left over are zeros, and fewer than a digit has.
    (bits < 6 && word & ((1 << bits) - 1) == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn belonging(chain: u8, query: &str) -> Belonging {
        let uri = format!("/assets?{query}").parse().unwrap();
        let question = Question::of(&uri, &["filter", "sort", "limit", "cursor"]).unwrap();
        Belonging::to(ChainId([chain; 32]), "/assets", &question)
    }

    #[test]
    fn a_cursor_opens_for_its_own_question_only() {
        for length in 0..40 {
            let cursor = Cursor { as_of: Height(7 << 40), mark: vec![0xA5; length] };
            let own = belonging(1, "filter=a&sort=b");
            let text = cursor.text(&own);
            assert_eq!(Cursor::read(&text, &own), Ok(cursor));
            let same = belonging(1, &format!("sort=b&limit=7&filter=a&cursor={text}"));
            assert!(Cursor::read(&text, &same).is_ok(), "in any order, with any limit");
            for other in [
                belonging(2, "filter=a&sort=b"),
                belonging(1, "filter=a"),
                belonging(1, "filter=asort&sort=b"),
            ] {
                assert_eq!(Cursor::read(&text, &other), Err(Failure::Cursor));
            }
        }
    }

    #[test]
    fn a_cursor_that_was_changed_anywhere_is_none() {
        let own = belonging(1, "");
        let text = Cursor { as_of: Height(9), mark: b"a mark".to_vec() }.text(&own);
        for at in 0..text.len() {
            for digit in ALPHABET.iter().map(|digit| char::from(*digit)).chain(['=', '+', 'é']) {
                let changed = format!("{}{digit}{}", &text[..at], &text[at + 1..]);
                let read = Cursor::read(&changed, &own);
                assert_eq!(read.is_ok(), changed == text, "{at} {digit}");
            }
            assert!(Cursor::read(&text[..at], &own).is_err());
            assert!(Cursor::read(&text[at + 1..], &own).is_err());
        }
        assert!(Cursor::read(&"A".repeat(TEXT_BYTES_MAX + 1), &own).is_err());
        assert!(Cursor::read("", &own).is_err());
    }
}
