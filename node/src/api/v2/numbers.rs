//! Numbers in free-form data that do not mean the same to every reader: API v2 asks for strings.
//!
//! v1 takes what BigchainDB takes. Most transactions have no such number anywhere, which one
//! scan without a tree shows; only the others are read as JSON here.

use cairn_ledger::{
    json::{self, Strictness, Value},
    limits::TRANSACTION_BYTES_MAX,
};

use super::super::error::Failure;

/// Largest integer that a double holds, together with all below it (RFC 8259 §6).
const EXACT_MAX: u64 = (1 << 53) - 1;

/// Most bytes of a path that are told.
const PATH_BYTES_MAX: usize = 100;

/// Refuses the first float, exponent, `-0` or integer beyond ±(2^53-1) in `asset.data` and
/// `metadata`. What is no transaction passes: the door has its own reasons.
pub(super) fn check(bytes: &[u8]) -> Result<(), Failure> {
    if bytes.len() > TRANSACTION_BYTES_MAX || !may_be_inexact(bytes) {
        return Ok(());
    }
    let Ok(transaction) = json::parse(bytes, Strictness::Strict) else { return Ok(()) };
    let data = transaction.get("asset").and_then(|asset| asset.get("data"));
    for (name, value) in [("asset.data", data), ("metadata", transaction.get("metadata"))] {
        let mut path = name.to_owned();
        if value.is_some_and(|value| find(value, &mut path)) {
            let end = path.floor_char_boundary(PATH_BYTES_MAX);
            path.truncate(end);
            return Err(Failure::Number { path });
        }
    }
    Ok(())
}

/// Leaves `path` at the first number that is not exact, or as it was.
fn find(value: &Value<'_>, path: &mut String) -> bool {
    let length = path.len();
    match value {
        Value::Number(text) => return !is_exact(text),
        Value::Array(elements) => {
            for (at, element) in elements.iter().enumerate() {
                path.push_str(&format!("[{at}]"));
                if find(element, path) {
                    return true;
                }
                path.truncate(length);
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                path.push('.');
                path.push_str(key);
                if find(member, path) {
                    return true;
                }
                path.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
    false
}

fn is_exact(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    text != "-0" && digits.parse::<u64>().is_ok_and(|number| number <= EXACT_MAX)
}

/// Whether a number outside of strings is not exact.
fn may_be_inexact(bytes: &[u8]) -> bool {
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at += 1;
                while let Some(byte) = bytes.get(at).filter(|byte| **byte != b'"') {
                    at += if *byte == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let rest = &bytes[at..];
                let part =
                    |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                let end = rest.iter().position(|byte| !part(byte)).unwrap_or(rest.len());
                if !std::str::from_utf8(&rest[..end]).is_ok_and(is_exact) {
                    return true;
                }
                at += end;
            }
            _ => at += 1,
        }
    }
    false
}
