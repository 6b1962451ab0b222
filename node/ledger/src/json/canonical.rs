//! The canonical form, byte for byte as python-rapidjson 0.9.1 writes it with
//! `sort_keys=True, ensure_ascii=False`.

use std::borrow::Cow;

use super::{Text, Value, is_float};

/// Appends the canonical form of `value`.
pub fn write_canonical(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(text) => write_number(text, out),
        Value::String(text) => write_canonical_text(text, out),
        Value::Array(elements) => {
            let mut before = b'[';
            for element in elements {
                out.push(before);
                before = b',';
                write_canonical(element, out);
            }
            if elements.is_empty() {
                out.push(b'[');
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let mut before = b'{';
            for (key, value) in members {
                out.push(before);
                before = b',';
                write_canonical_text(key, out);
                out.push(b':');
                write_canonical(value, out);
            }
            if members.is_empty() {
                out.push(b'{');
            }
            out.push(b'}');
        }
    }
}

/// Appends a string in quotes, escaped where needed.
pub fn write_canonical_text(text: &Text<'_>, out: &mut Vec<u8>) {
    out.push(b'"');
    match text {
        // Borrowed text was spelled without escapes, so it needs none.
        Cow::Borrowed(plain) => out.extend_from_slice(plain.as_bytes()),
        Cow::Owned(text) => write_escaped(text, out),
    }
    out.push(b'"');
}

fn write_escaped(text: &str, out: &mut Vec<u8>) {
    const UPPER: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0C => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x00..=0x1F => {
                out.extend_from_slice(b"\\u00");
                out.push(UPPER[usize::from(byte >> 4)]);
                out.push(UPPER[usize::from(byte & 15)]);
            }
            _ => out.push(byte),
        }
    }
}

fn write_number(text: &str, out: &mut Vec<u8>) {
    if is_float(text) {
        let value = text.parse().expect("the parser took only numbers that fit a double");
        write_float(value, out);
    } else if text == "-0" {
        // Python's integers have no negative zero.
        out.push(b'0');
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

/// Python's `repr` of a finite float: the shortest digits that read back the same, with an
/// exponent from 1e16 up and below 1e-4.
fn write_float(value: f64, out: &mut Vec<u8>) {
    // Rust finds the same shortest digits; only the layout differs.
    let scientific = format!("{value:e}");
    let (mantissa, exponent) =
        scientific.split_once('e').expect("the `e` format always has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent of a double is a small integer");
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    out.extend_from_slice(sign.as_bytes());
    if !(-4..16).contains(&exponent) {
        out.extend_from_slice(mantissa.as_bytes());
        let sign = if exponent < 0 { '-' } else { '+' };
        out.extend_from_slice(format!("e{sign}{:02}", exponent.unsigned_abs()).as_bytes());
        return;
    }
    let digits: Vec<u8> = mantissa.bytes().filter(|byte| *byte != b'.').collect();
    if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', exponent.unsigned_abs() as usize - 1));
        out.extend_from_slice(&digits);
        return;
    }
    let whole = exponent.unsigned_abs() as usize + 1;
    if digits.len() <= whole {
        out.extend_from_slice(&digits);
        out.extend(std::iter::repeat_n(b'0', whole - digits.len()));
        out.extend_from_slice(b".0");
    } else {
        out.extend_from_slice(&digits[..whole]);
        out.push(b'.');
        out.extend_from_slice(&digits[whole..]);
    }
}
