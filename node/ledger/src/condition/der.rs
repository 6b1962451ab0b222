//! The few forms of DER and base64url that conditions need.

pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const PRIMITIVE_0: u8 = 0x80;
pub(super) const PRIMITIVE_1: u8 = 0x81;
pub(super) const PRIMITIVE_2: u8 = 0x82;
pub(super) const CONSTRUCTED_0: u8 = 0xA0;
pub(super) const CONSTRUCTED_1: u8 = 0xA1;
/// The choice [2] of both Condition and Fulfillment.
pub(super) const THRESHOLD: u8 = 0xA2;
/// The choice [4] of both Condition and Fulfillment.
pub(super) const ED25519: u8 = 0xA4;
/// The bit string of subtypes with bit 4 (ed25519) alone: three unused bits, then the byte.
pub(super) const SUBTYPES_ED25519: [u8; 2] = [3, 0x08];

/// Appends tag, length and contents.
pub(super) fn put(out: &mut Vec<u8>, tag: u8, contents: &[u8]) {
    out.push(tag);
    let length = contents.len();
    if length < 0x80 {
        out.push(u8::try_from(length).expect("just compared"));
    } else {
        let bytes = length.to_be_bytes();
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        out.push(0x80 | u8::try_from(bytes.len() - zeros).expect("a length has eight bytes"));
        out.extend_from_slice(&bytes[zeros..]);
    }
    out.extend_from_slice(contents);
}

/// Appends a non-negative integer.
pub(super) fn put_integer(out: &mut Vec<u8>, tag: u8, value: u64) {
    // A leading zero keeps the sign bit clear; more zeros are not minimal.
    let mut bytes = [0; 9];
    bytes[1..].copy_from_slice(&value.to_be_bytes());
    let mut start = 0;
    while start < 8 && bytes[start] == 0 && bytes[start + 1] < 0x80 {
        start += 1;
    }
    put(out, tag, &bytes[start..]);
}

/// Takes one element off the front: its tag, its contents, all its bytes. Nothing unless
/// its length is spelled the shortest way and its contents are there.
pub(super) fn take<'a>(from: &mut &'a [u8]) -> Option<(u8, &'a [u8], &'a [u8])> {
    let whole = *from;
    let (&tag, rest) = whole.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        0x81 => {
            let (&byte, rest) = rest.split_first()?;
            (Some(usize::from(byte)).filter(|length| *length >= 0x80)?, rest)
        }
        0x82 => {
            let (bytes, rest) = rest.split_first_chunk::<2>()?;
            let length = usize::from(u16::from_be_bytes(*bytes));
            (Some(length).filter(|length| *length >= 0x100)?, rest)
        }
        // A transaction has at most 64 KiB, so nothing in it is longer.
        _ => return None,
    };
    let contents = rest.get(..length)?;
    *from = &rest[length..];
    Some((tag, contents, &whole[..whole.len() - from.len()]))
}

/// Takes one element of that tag and returns its contents.
pub(super) fn expect<'a>(from: &mut &'a [u8], wanted: u8) -> Option<&'a [u8]> {
    take(from).filter(|(tag, ..)| *tag == wanted).map(|(_, contents, _)| contents)
}

/// The value of a minimal non-negative integer's contents.
pub(super) fn integer(contents: &[u8]) -> Option<u64> {
    let minimal = match contents {
        [] => false,
        [first, ..] if *first >= 0x80 => false,
        [0, second, ..] => *second >= 0x80,
        _ => true,
    };
    let digits = contents.strip_prefix(&[0]).unwrap_or(contents);
    if !minimal || digits.len() > 8 {
        return None;
    }
    Some(digits.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

const NOT_A_DIGIT: u8 = 0xFF;

const DIGITS: [u8; 256] = {
    let mut digits = [NOT_A_DIGIT; 256];
    let mut value = 0;
    while value < 64 {
        digits[ALPHABET[value as usize] as usize] = value;
        value += 1;
    }
    digits
};

/// Base64url without padding (RFC 4648 §5).
pub(super) fn to_base64url(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = (0..3)
            .fold(0u32, |word, at| word << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        for at in 0..=chunk.len() {
            let digit = word >> (18 - 6 * at) & 63;
            text.push(char::from(ALPHABET[digit as usize]));
        }
    }
    text
}

/// Reads base64url without padding. Bits that are left over must be zero when `exact`:
/// else the same bytes would have many spellings, each another transaction.
pub(super) fn from_base64url(text: &[u8], exact: bool) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for chunk in text.chunks(4) {
        if chunk.len() == 1 {
            return None;
        }
        let mut word = 0;
        for at in 0..4 {
            let digit = chunk.get(at).map_or(0, |character| DIGITS[usize::from(*character)]);
            if digit == NOT_A_DIGIT {
                return None;
            }
            word = word << 6 | u32::from(digit);
        }
        let [_, decoded @ ..] = word.to_be_bytes();
        let (kept, left) = decoded.split_at(chunk.len() - 1);
        if exact && left.iter().any(|byte| *byte != 0) {
            return None;
        }
        bytes.extend_from_slice(kept);
    }
    Some(bytes)
}
