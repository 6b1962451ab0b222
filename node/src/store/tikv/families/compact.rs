//! Numbers in as few bytes as they need: every byte of a row is stored as often as TiKV has
//! replicas, by every validator.

use cairn_ledger::{
    block::Place,
    encoding::{DecodeError, Reader, Writer},
    ids::Height,
};

/// Bits of a byte that carry the number; the first one says that more bytes follow.
const BITS: u32 = 7;
const MORE: u8 = 1 << BITS;

/// Writes a number, its lowest bits first.
pub(super) fn put(writer: &mut Writer, number: impl Into<u64>) {
    let mut rest = number.into();
    while rest >= u64::from(MORE) {
        writer.u8(rest as u8 | MORE);
        rest >>= BITS;
    }
    writer.u8(rest as u8);
}

/// Writes a count.
pub(super) fn put_count(writer: &mut Writer, count: usize) {
    put(writer, count as u64);
}

/// Reads a number back. There is one way to write each.
pub(super) fn take(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(BITS as usize) {
        let malformed = reader.malformed();
        let byte = reader.u8()?;
        let part = u64::from(byte & !MORE);
        let is_whole = part << shift >> shift == part;
        let is_last = byte < MORE;
        if !is_whole || (is_last && byte == 0 && shift > 0) {
            return Err(malformed);
        }
        number |= part << shift;
        if is_last {
            return Ok(number);
        }
    }
    Err(reader.malformed())
}

/// Reads a number of 32 bits.
pub(super) fn take_u32(reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let malformed = reader.malformed();
    u32::try_from(take(reader)?).map_err(|_| malformed)
}

/// Reads a count of at most `most`.
pub(super) fn take_count(reader: &mut Reader<'_>, most: usize) -> Result<usize, DecodeError> {
    let malformed = reader.malformed();
    let count = usize::try_from(take(reader)?).ok().filter(|count| *count <= most);
    count.ok_or(malformed)
}

/// Writes where a transaction stands.
pub(super) fn put_place(writer: &mut Writer, place: Place) {
    put(writer, place.height.0);
    put(writer, place.index);
}

/// Reads it back.
pub(super) fn take_place(reader: &mut Reader<'_>) -> Result<Place, DecodeError> {
    Ok(Place { height: Height(take(reader)?), index: take_u32(reader)? })
}

/// Writes a number so that numbers sort: how many bytes it has, then these, the highest first.
pub(super) fn put_sorted(writer: &mut Writer, number: impl Into<u64>) {
    let bytes = number.into().to_be_bytes();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    writer.u8((bytes.len() - zeros) as u8).raw(&bytes[zeros..]);
}

/// Reads it back.
pub(super) fn take_sorted(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    let malformed = reader.malformed();
    let length = usize::from(reader.u8()?);
    let mut bytes = [0; 8];
    let zeros = bytes.len().checked_sub(length).ok_or_else(|| malformed.clone())?;
    bytes[zeros..].copy_from_slice(reader.raw(length)?);
    if length > 0 && bytes[zeros] == 0 {
        return Err(malformed);
    }
    Ok(u64::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERS: [u64; 12] =
        [0, 1, 127, 128, 255, 256, 16_383, 16_384, 65_536, 1 << 32, u64::MAX - 1, u64::MAX];

    #[test]
    fn numbers_come_back_and_nothing_shorter_or_longer_does() {
        for number in NUMBERS {
            let mut writer = Writer::default();
            put(&mut writer, number);
            let bytes = writer.finish();
            let mut reader = Reader::new("number", &bytes);
            assert_eq!(take(&mut reader), Ok(number));
            assert_eq!(reader.finish(), Ok(()));
            for cut in 0..bytes.len() {
                assert!(take(&mut Reader::new("number", &bytes[..cut])).is_err());
            }
            let small = take_u32(&mut Reader::new("number", &bytes));
            assert_eq!(small.ok(), u32::try_from(number).ok());
        }
        let others: [&[u8]; 3] = [&[0x80, 0], &[0xFF; 11], &[0xFF; 9]];
        for bytes in others {
            assert!(take(&mut Reader::new("number", bytes)).is_err());
        }
        let beyond = [&[0xFF; 9][..], &[2]].concat();
        assert!(take(&mut Reader::new("number", &beyond)).is_err());
    }

    #[test]
    fn sorted_numbers_sort_and_come_back() {
        let written = NUMBERS.map(|number| {
            let mut writer = Writer::default();
            put_sorted(&mut writer, number);
            writer.finish()
        });
        assert!(written.is_sorted());
        for (number, bytes) in NUMBERS.iter().zip(&written) {
            assert_eq!(take_sorted(&mut Reader::new("number", bytes)), Ok(*number));
            assert!(take_sorted(&mut Reader::new("number", &bytes[..bytes.len() - 1])).is_err());
        }
        for bytes in [&[9, 1, 1, 1, 1, 1, 1, 1, 1, 1][..], &[1, 0]] {
            assert!(take_sorted(&mut Reader::new("number", bytes)).is_err());
        }
    }
}
