//! Pieces of a stored transaction, byte for byte: what was read as JSON once is not written
//! anew, or `1.50` would come out as `1.5` and a large number as another one.
//!
//! Only brackets and strings are looked at. That is enough for text that the ledger has read;
//! other text has no pieces, or odd ones, and does no harm.

/// The value under that key of an object.
pub(super) fn field<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut at = expect(object, skip_space(object, 0), b'{')?;
    loop {
        let key = skip_space(object, at);
        let key_end = string_end(object, key)?;
        let colon = skip_space(object, key_end);
        let value = skip_space(object, expect(object, colon, b':')?);
        let value_end = value_end(object, value)?;
        // A key may be spelled with escapes.
        let spelled: String = serde_json::from_slice(&object[key..key_end]).ok()?;
        if spelled == name {
            return Some(&object[value..value_end]);
        }
        at = expect(object, skip_space(object, value_end), b',')?;
    }
}

fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
        at += 1;
    }
    at
}

fn expect(bytes: &[u8], at: usize, wanted: u8) -> Option<usize> {
    (bytes.get(at) == Some(&wanted)).then_some(at + 1)
}

/// Where the string that begins there ends.
fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = expect(bytes, at, b'"')?;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Where the value that begins there ends.
fn value_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = start;
    loop {
        match bytes.get(at)? {
            b'"' => at = string_end(bytes, at)?,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' if depth > 0 => {
                depth -= 1;
                at += 1;
            }
            // A number or a word ends where something else begins.
            b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => return Some(at),
            _ => {
                at += 1;
                continue;
            }
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pieces_are_what_was_written() {
        #[rustfmt::skip]
        let table = [
            (r#"{"a":1.50}"#,                          Some("1.50"),          "a number as it was spelled"),
            (r#"{"a":123456789012345678901234567890}"#, Some("123456789012345678901234567890"), "one that no machine word holds"),
            (r#" { "b" : {"a":1} , "a" : "x" } "#,     Some(r#""x""#),        "inner keys are others"),
            (r#"{"b":"\"a\":2","a":null}"#,            Some("null"),          "nor are strings keys"),
            (r#"{"a":{"x":[1,{"y":"}]"}]}}"#,          Some(r#"{"x":[1,{"y":"}]"}]}"#), "brackets in strings are text"),
            (r#"{"\u0061":true}"#,                     Some("true"),          "a key in another spelling"),
            (r#"{"a":[ 1 , 2 ]}"#,                     Some("[ 1 , 2 ]"),     "spaces too"),
            (r#"{"b":1}"#,                             None,                  "not there"),
            ("{}",                                     None,                  "nothing there"),
            ("[1]",                                    None,                  "no object"),
            (r#"{"a":"#,                               None,                  "cut off"),
            ("",                                       None,                  "nothing at all"),
        ];
        for (text, wanted, why) in table {
            let found =
                field(text.as_bytes(), "a").map(|piece| std::str::from_utf8(piece).unwrap());
            assert_eq!(found, wanted, "{why}: {text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in r#"[{}\[\]",:\\ a1]{0,40}"#) {
            let _ = field(text.as_bytes(), "a");
        }
    }
}
