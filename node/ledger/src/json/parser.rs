//! Reading JSON (RFC 8259) into a borrowed tree: bounded depth, exact number text, no
//! lone surrogates, nothing after the value.

use std::borrow::Cow;

use super::{JsonError, Strictness, Text, Value, cut, is_float};
use crate::limits::JSON_DEPTH_MAX;

/// Most bytes of a path that an error carries.
const PATH_BYTES_MAX: usize = 100;

/// Reads one JSON value that is all of `bytes`. A key that is there twice is an error
/// when strict; else the last one wins, as in BigchainDB.
pub fn parse(bytes: &[u8], strictness: Strictness) -> Result<Value<'_>, JsonError> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return Err(syntax_at(bytes, error.valid_up_to(), "text must be UTF-8")),
    };
    let mut parser = Parser { text, bytes, at: 0, depth: 0, strictness };
    parser.space();
    if parser.at == bytes.len() {
        return Err(JsonError::Empty);
    }
    let value = parser.value().map_err(|fault| fault.report(bytes))?;
    parser.space();
    if parser.at < bytes.len() {
        return Err(syntax_at(bytes, parser.at, "nothing may follow the value"));
    }
    Ok(value)
}

/// What went wrong, before its place is worked out.
enum Fault {
    Syntax { at: usize, expected: &'static str },
    // The path from the inside out: each level adds its step on the way up.
    Duplicate { steps: Vec<Step> },
}

enum Step {
    Key(String),
    Index(usize),
}

impl Fault {
    fn report(self, bytes: &[u8]) -> JsonError {
        match self {
            Fault::Syntax { at, expected } => syntax_at(bytes, at, expected),
            Fault::Duplicate { steps } => {
                let mut path = String::new();
                for step in steps.into_iter().rev() {
                    match step {
                        Step::Key(key) if path.is_empty() => path.push_str(&key),
                        Step::Key(key) => {
                            path.push('.');
                            path.push_str(&key);
                        }
                        Step::Index(index) => path.push_str(&format!("[{index}]")),
                    }
                }
                JsonError::DuplicateKey { path: cut(&path, PATH_BYTES_MAX).to_owned() }
            }
        }
    }

    fn under(mut self, step: impl FnOnce() -> Step) -> Self {
        if let Fault::Duplicate { steps } = &mut self {
            steps.push(step());
        }
        self
    }
}

fn syntax_at(bytes: &[u8], at: usize, expected: &'static str) -> JsonError {
    let before = &bytes[..at.min(bytes.len())];
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    JsonError::Syntax { line, column: before.len() - start + 1, expected }
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    strictness: Strictness,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn syntax<T>(&self, expected: &'static str) -> Result<T, Fault> {
        Err(Fault::Syntax { at: self.at, expected })
    }

    fn value(&mut self) -> Result<Value<'a>, Fault> {
        match self.peek() {
            Some(b'"') => self.string().map(Value::String),
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'n') => self.word("null", Value::Null),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            _ => self.syntax("a JSON value was expected"),
        }
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, Fault> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(value);
        }
        self.syntax("a JSON value was expected")
    }

    fn nested(
        &mut self,
        read: fn(&mut Self) -> Result<Value<'a>, Fault>,
    ) -> Result<Value<'a>, Fault> {
        if self.depth == JSON_DEPTH_MAX {
            return self.syntax("values may be nested 64 deep");
        }
        self.depth += 1;
        self.at += 1;
        self.space();
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    /// After the `[`.
    fn array(&mut self) -> Result<Value<'a>, Fault> {
        let mut elements = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(elements));
        }
        loop {
            self.space();
            let value = self.value();
            elements.push(value.map_err(|fault| fault.under(|| Step::Index(elements.len())))?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return self.syntax("`,` or `]` was expected"),
            }
        }
        self.at += 1;
        Ok(Value::Array(elements))
    }

    /// After the `{`.
    fn object(&mut self) -> Result<Value<'a>, Fault> {
        let mut members: Vec<(Text<'a>, Value<'a>)> = Vec::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(members));
        }
        // Text that is canonical already has its keys in order: then there is nothing to
        // sort, and no key is there twice.
        let mut ascending = true;
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return self.syntax("a key in double quotes was expected");
            }
            let key = self.string()?;
            self.space();
            if self.peek() != Some(b':') {
                return self.syntax("`:` was expected");
            }
            self.at += 1;
            self.space();
            let value = self.value().map_err(|fault| fault.under(|| Step::Key(short(&key))))?;
            if let Some((last, _)) = members.last() {
                ascending &= last.as_bytes() < key.as_bytes();
            } else {
                members.reserve_exact(4);
            }
            members.push((key, value));
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return self.syntax("`,` or `}` was expected"),
            }
        }
        self.at += 1;
        if !ascending {
            members = self.in_order(members)?;
        }
        Ok(Value::Object(members))
    }

    fn in_order(
        &self,
        mut members: Vec<(Text<'a>, Value<'a>)>,
    ) -> Result<Vec<(Text<'a>, Value<'a>)>, Fault> {
        // Stable: of equal keys the last in the text stays the last.
        members.sort_by(|(left, _), (right, _)| left.as_bytes().cmp(right.as_bytes()));
        if let Some(twice) = members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            if self.strictness == Strictness::Strict {
                return Err(Fault::Duplicate { steps: vec![Step::Key(short(&twice[0].0))] });
            }
            let mut once: Vec<(Text<'a>, Value<'a>)> = Vec::with_capacity(members.len());
            for member in members {
                if once.last().is_some_and(|(key, _)| *key == member.0) {
                    once.pop();
                }
                once.push(member);
            }
            return Ok(once);
        }
        Ok(members)
    }

    fn number(&mut self) -> Result<Value<'a>, Fault> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return self.syntax("a digit was expected"),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let number = &self.text[start..self.at];
        if is_float(number) && !number.parse::<f64>().is_ok_and(f64::is_finite) {
            return Err(Fault::Syntax { at: start, expected: "a number must fit a double" });
        }
        Ok(Value::Number(number))
    }

    fn digits(&mut self) -> Result<(), Fault> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return self.syntax("a digit was expected");
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    /// From the opening quote to after the closing one.
    fn string(&mut self) -> Result<Text<'a>, Fault> {
        self.at += 1;
        let start = self.at;
        self.at += plain_bytes(&self.bytes[start..]);
        if self.peek() == Some(b'"') {
            let text = &self.text[start..self.at];
            self.at += 1;
            return Ok(Cow::Borrowed(text));
        }
        let mut owned = self.text[start..self.at].to_owned();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(owned));
                }
                Some(b'\\') => owned.push(self.escape()?),
                Some(_) => {
                    return self.syntax("control characters in strings must be escaped");
                }
                None => return self.syntax("the string must end with a double quote"),
            }
            let from = self.at;
            self.at += plain_bytes(&self.bytes[from..]);
            owned.push_str(&self.text[from..self.at]);
        }
    }

    /// From the backslash to after the escape.
    fn escape(&mut self) -> Result<char, Fault> {
        self.at += 1;
        let character = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.escaped_unit(),
            _ => return self.syntax(r#"one of "\/bfnrtu was expected after the backslash"#),
        };
        self.at += 1;
        Ok(character)
    }

    /// From the `u`; a pair of surrogates is one character, a lone one is none.
    fn escaped_unit(&mut self) -> Result<char, Fault> {
        const LONE: &str = "surrogates must come in pairs";
        let at = self.at;
        let lone = Err(Fault::Syntax { at, expected: LONE });
        let unit = self.four_digits()?;
        if !(0xD800..0xDC00).contains(&unit) {
            return char::from_u32(unit).map_or(lone, Ok);
        }
        if !self.bytes[self.at..].starts_with(b"\\u") {
            return lone;
        }
        self.at += 1;
        let low = self.four_digits()?;
        if !(0xDC00..0xE000).contains(&low) {
            return lone;
        }
        let code = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
        char::from_u32(code).map_or(lone, Ok)
    }

    fn four_digits(&mut self) -> Result<u32, Fault> {
        self.at += 1;
        let mut unit = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(16)) else {
                return self.syntax("four hexadecimal digits were expected");
            };
            unit = unit * 16 + digit;
            self.at += 1;
        }
        Ok(unit)
    }
}

/// A key as a path shows it.
fn short(key: &str) -> String {
    cut(key, PATH_BYTES_MAX).to_owned()
}

/// How many bytes there are before the first quote, backslash or control character: eight
/// at a time, because most of a transaction is the inside of strings.
fn plain_bytes(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut count = 0;
    while let Some(chunk) = bytes.get(count..count + 8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("the chunk has eight bytes"));
        let quote = word ^ (ONES * u64::from(b'"'));
        let backslash = word ^ (ONES * u64::from(b'\\'));
        // The high bit of a byte is set where it is zero, or below 0x20; a borrow may set
        // it in a later byte too, so only the first one counts.
        let special = (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        let special = special & HIGH;
        if special != 0 {
            return count + special.trailing_zeros() as usize / 8;
        }
        count += 8;
    }
    count
        + bytes[count..]
            .iter()
            .take_while(|byte| **byte >= 0x20 && !matches!(byte, b'"' | b'\\'))
            .count()
}
