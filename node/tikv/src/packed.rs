//! Large values, compressed: each byte that goes to TiKV is written there about six times over (a
//! log and a table in each of three stores), and transactions are text.

use std::{cell::RefCell, io};

use zstd::bulk::{Compressor, Decompressor};

/// The fastest that still has an entropy coder: hexadecimal and Base58 shrink by that alone.
const LEVEL: i32 = 1;
/// Shorter ones are not worth a frame.
const WORTH_BYTES: usize = 128;
/// First byte: the value as it is; or its length and a Zstandard frame (RFC 8878).
const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

thread_local! {
    // A context takes hundreds of KiB; a new one for each value would cost more than its work.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// A value in fewer bytes, or at least in not more than one more.
pub fn pack(value: &[u8]) -> Vec<u8> {
    if value.len() >= WORTH_BYTES
        && let (Ok(length), Ok(frame)) = (u32::try_from(value.len()), compressed(value))
        && frame.len() + 4 < value.len()
    {
        return [&[ZSTD], &length.to_be_bytes()[..], &frame].concat();
    }
    [&[PLAIN], value].concat()
}

/// What [`pack`] was given; nothing for other bytes, or for what would be longer than `most`.
/// Takes no more memory than that.
pub fn unpack(packed: &[u8], most: usize) -> Option<Vec<u8>> {
    match packed.split_first()? {
        (&PLAIN, value) => (value.len() <= most).then(|| value.to_vec()),
        (&ZSTD, rest) => {
            let (length, frame) = rest.split_first_chunk()?;
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            let value =
                if length <= most { decompressed(frame, length).ok()? } else { return None };
            (value.len() == length).then_some(value)
        }
        _ => None,
    }
}

fn compressed(value: &[u8]) -> io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|compressor| {
        if compressor.is_none() {
            *compressor = Some(Compressor::new(LEVEL)?);
        }
        compressor.as_mut().expect("it was just made").compress(value)
    })
}

fn decompressed(frame: &[u8], length: usize) -> io::Result<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|decompressor| {
        if decompressor.is_none() {
            *decompressor = Some(Decompressor::new()?);
        }
        decompressor.as_mut().expect("it was just made").decompress(frame, length)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes without a pattern, so that nothing shrinks them.
    fn noise(bytes: usize) -> Vec<u8> {
        let mut state = 7_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        (0..bytes).map(|_| next()).collect()
    }

    #[test]
    fn values_of_every_kind_come_back() {
        let text = br#"{"asset":{"data":{"kind":"bicycle"}},"#.repeat(3000);
        for (value, most, why) in [
            (Vec::new(), 1, "nothing is a value too"),
            (b"short".to_vec(), 6, "not worth a frame"),
            (noise(100_000), 100_001, "noise stays as it is"),
            (text, 10_000, "text shrinks"),
        ] {
            let packed = pack(&value);
            assert!(packed.len() <= most, "{why}: {}", packed.len());
            assert_eq!(unpack(&packed, value.len()), Some(value), "{why}");
        }
    }

    #[test]
    fn what_nobody_packed_or_what_is_too_long_is_nothing() {
        let value = vec![b'a'; 1 << 20];
        let packed = pack(&value);
        assert!(packed.len() < 1000);
        assert_eq!(unpack(&packed, value.len() - 1), None, "longer than was allowed");
        for length in [0, value.len() - 1, value.len() + 1] {
            let length = (length as u32).to_be_bytes();
            let lying = [&packed[..1], &length, &packed[5..]].concat();
            assert_eq!(unpack(&lying, usize::MAX), None, "a frame of another length");
        }
        for cut in 0..packed.len() {
            assert_eq!(unpack(&packed[..cut], value.len()), None, "cut at {cut}");
        }
        assert_eq!(unpack(&[PLAIN, 1, 2], 1), None);
        assert_eq!(unpack(&[2, 1, 2], 10), None, "no kind of ours");
    }
}
