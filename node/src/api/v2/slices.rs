//! Where one transaction ends and the next begins: one scan over a body, no tree.
//!
//! Only brackets and strings are looked at; whether an item is a transaction is for the
//! ledger's own reader to say, which sees exactly the bytes that the client sent.

use std::ops::Range;

/// What keeps a body from being a list, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotAList {
    pub(super) what: &'static str,
    pub(super) at: usize,
}

/// How a body holds its items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `{…}`: one.
    Object,
    /// `[{…},{…}]`.
    Array,
    /// `{…}\n{…}\n`.
    Lines,
}

/// The form of a body by its first character; whether lines were meant, Content-Type says.
pub(super) fn form(bytes: &[u8], lines: bool) -> Form {
    match bytes.get(skip_space(bytes, 0)) {
        Some(b'[') => Form::Array,
        _ if lines => Form::Lines,
        _ => Form::Object,
    }
}

/// The items of an array of objects, at most one more than `most`, so that too many shows.
pub(super) fn array(bytes: &[u8], most: usize) -> Result<Vec<Range<usize>>, NotAList> {
    let mut items = Vec::new();
    let mut at = skip_space(bytes, 0);
    at = expect(bytes, at, b'[', "`[` was expected")?;
    at = skip_space(bytes, at);
    if bytes.get(at) == Some(&b']') {
        ends(bytes, at + 1)?;
        return Ok(items);
    }
    loop {
        let end = object_end(bytes, at)?;
        items.push(at..end);
        if items.len() > most {
            return Ok(items);
        }
        at = skip_space(bytes, end);
        match bytes.get(at) {
            Some(b',') => at = skip_space(bytes, at + 1),
            Some(b']') => break,
            _ => return Err(NotAList { what: "`,` or `]` was expected", at }),
        }
    }
    ends(bytes, at + 1)?;
    Ok(items)
}

/// The lines that are not blank, at most one more than `most`.
pub(super) fn lines(bytes: &[u8], most: usize) -> Vec<Range<usize>> {
    let mut items = Vec::new();
    let mut start = 0;
    for line in bytes.split(|byte| *byte == b'\n') {
        let end = start + line.len();
        if skip_space(line, 0) < line.len() {
            items.push(start..end);
        }
        if items.len() > most {
            break;
        }
        start = end + 1;
    }
    items
}

fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
        at += 1;
    }
    at
}

fn expect(bytes: &[u8], at: usize, byte: u8, what: &'static str) -> Result<usize, NotAList> {
    if bytes.get(at) == Some(&byte) { Ok(at + 1) } else { Err(NotAList { what, at }) }
}

fn ends(bytes: &[u8], at: usize) -> Result<(), NotAList> {
    let at = skip_space(bytes, at);
    if at == bytes.len() { Ok(()) } else { Err(NotAList { what: "the end was expected", at }) }
}

/// One past the bracket that closes the object at `start`.
fn object_end(bytes: &[u8], start: usize) -> Result<usize, NotAList> {
    let mut at = expect(bytes, start, b'{', "an object was expected")?;
    let mut depth = 1_usize;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => at = string_end(bytes, at)?,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Ok(at);
                }
            }
            _ => {}
        }
    }
    Err(NotAList { what: "an object has no end", at: start })
}

/// One past the quote that closes the string whose text begins at `at`.
fn string_end(bytes: &[u8], start: usize) -> Result<usize, NotAList> {
    let mut at = start;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return Ok(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    Err(NotAList { what: "a string has no end", at: start })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(body: &str) -> Result<Vec<&str>, usize> {
        match array(body.as_bytes(), 100) {
            Ok(items) => Ok(items.into_iter().map(|item| &body[item]).collect()),
            Err(not) => Err(not.at),
        }
    }

    #[test]
    fn an_array_is_cut_between_its_objects() {
        #[rustfmt::skip]
        type Row = (&'static str, Result<Vec<&'static str>, usize>, &'static str);
        let table: [Row; 13] = [
            ("[]", Ok(vec![]), "nothing is a list too"),
            (" [ {} ] ", Ok(vec!["{}"]), "space around is no part of it"),
            (r#"[{"a":1},{"b":[2]}]"#, Ok(vec![r#"{"a":1}"#, r#"{"b":[2]}"#]), "two"),
            (r#"[{"a":"}]"}]"#, Ok(vec![r#"{"a":"}]"}"#]), "brackets in strings are text"),
            (r#"[{"a":"\"}"}]"#, Ok(vec![r#"{"a":"\"}"}"#]), "so are escaped quotes"),
            (r#"[{"a":"\\"}]"#, Ok(vec![r#"{"a":"\\"}"#]), "an escaped backslash escapes nothing"),
            ("[{},]", Err(4), "a comma promises another"),
            ("[{} {}]", Err(4), "a comma is missing"),
            ("[1]", Err(1), "a number is no transaction"),
            ("[{}] x", Err(5), "nothing follows a list"),
            ("[{", Err(1), "the object has no end"),
            (r#"[{"a\"#, Err(3), "the string ends in its escape"),
            ("", Err(0), "no list at all"),
        ];
        for (body, wanted, why) in table {
            assert_eq!(texts(body), wanted, "{why}: {body}");
        }
    }

    #[test]
    fn blank_lines_hold_nothing() {
        let body = b"{\"a\":1}\n\n  \r\n{\"b\":2}";
        let items = lines(body, 100);
        let texts: Vec<&[u8]> = items.into_iter().map(|item| &body[item]).collect();
        assert_eq!(texts, [&b"{\"a\":1}"[..], b"{\"b\":2}"]);
    }

    #[test]
    fn one_too_many_shows_and_no_more_are_cut() {
        assert_eq!(array(b"[{},{},{},{},{}]", 2).unwrap().len(), 3);
        assert_eq!(lines(b"{}\n{}\n{}\n{}\n{}", 2).len(), 3);
    }

    proptest! {
        #[test]
        fn any_bytes_are_cut_within_their_bounds_or_refused(bytes: Vec<u8>) {
            for item in array(&bytes, 10).unwrap_or_default().into_iter().chain(lines(&bytes, 10)) {
                prop_assert!(item.start <= item.end && item.end <= bytes.len());
            }
        }

        #[test]
        fn what_was_joined_is_cut_where_it_was_joined(
            items in prop::collection::vec(r#"\{"[a-z\[\]{}]{0,5}":("x\\\\"|"\\""|1|\[\{\}\])\}"#, 0..5),
        ) {
            let body = format!("[{}]", items.join(" ,\n"));
            prop_assert_eq!(texts(&body).unwrap(), items);
        }
    }
}
