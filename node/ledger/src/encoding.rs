//! Reading and writing the fixed binary layouts: big-endian, length-prefixed, bounded.

/// Bytes that are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {what} at byte {at}")]
pub struct DecodeError {
    /// What was being read.
    pub what: &'static str,
    /// Where it went wrong.
    pub at: usize,
}

/// Writes fields one after the other.
#[derive(Clone, Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Starts with a domain tag.
    pub fn tagged(tag: &[u8]) -> Self {
        Self(tag.to_vec())
    }
    /// One byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }
    /// Two bytes, big-endian.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }
    /// Four bytes, big-endian.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }
    /// Eight bytes, big-endian.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }
    /// Bytes whose length the layout fixes.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }
    /// Bytes with their length in front, as u32.
    ///
    /// # Panics
    /// When they are 4 GiB or more, which every limit forbids.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.u32(u32::try_from(bytes.len()).expect("limits keep every field below 4 GiB"));
        self.raw(bytes)
    }
    /// What was written.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
    /// How much was written.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Reads fields one after the other; every length is checked before anything is taken.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    what: &'static str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`; `what` names them in errors.
    pub fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, bytes, at: 0 }
    }
    /// The error for here.
    pub fn malformed(&self) -> DecodeError {
        DecodeError { what: self.what, at: self.at }
    }
    /// That many bytes.
    pub fn raw(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(length).ok_or_else(|| self.malformed())?;
        let taken = self.bytes.get(self.at..end).ok_or_else(|| self.malformed())?;
        self.at = end;
        Ok(taken)
    }
    /// An array of fixed size.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.raw(N)?);
        Ok(array)
    }
    /// One byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }
    /// Two bytes, big-endian.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array()?))
    }
    /// Four bytes, big-endian.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }
    /// Eight bytes, big-endian.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array()?))
    }
    /// A length (u32) of at most `most`, then that many bytes.
    pub fn bytes(&mut self, most: usize) -> Result<&'a [u8], DecodeError> {
        let length = self.u32()? as usize;
        if length > most {
            return Err(self.malformed());
        }
        self.raw(length)
    }
    /// A count (u32) of at most `most`.
    pub fn count(&mut self, most: usize) -> Result<usize, DecodeError> {
        let count = self.u32()? as usize;
        if count > most { Err(self.malformed()) } else { Ok(count) }
    }
    /// Whether all was read.
    pub fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }
    /// Nothing may be left.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.is_done() { Ok(()) } else { Err(self.malformed()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let mut writer = Writer::tagged(b"tag");
        writer.u8(1).u16(0x0203).u32(0x0405_0607).u64(0x0809_0a0b_0c0d_0e0f);
        writer.raw(&[0x10, 0x11]).bytes(b"xy");
        assert_eq!(writer.len(), 3 + 15 + 2 + 4 + 2);
        let bytes = writer.finish();
        assert_eq!(
            hex::encode(&bytes),
            "7461670102030405060708090a0b0c0d0e0f10110000000278 79".replace(' ', "")
        );

        let mut reader = Reader::new("test", &bytes);
        assert_eq!(reader.raw(3), Ok(&b"tag"[..]));
        assert_eq!(reader.u8(), Ok(1));
        assert_eq!(reader.u16(), Ok(0x0203));
        assert_eq!(reader.u32(), Ok(0x0405_0607));
        assert_eq!(reader.u64(), Ok(0x0809_0a0b_0c0d_0e0f));
        assert_eq!(reader.array(), Ok([0x10, 0x11]));
        assert!(!reader.is_done());
        assert_eq!(reader.bytes(2), Ok(&b"xy"[..]));
        assert!(reader.is_done());
        assert_eq!(reader.finish(), Ok(()));
    }

    /// W3 of the threat table: lengths that lie.
    #[test]
    fn lengths_that_lie_are_malformed_where_they_stand() {
        let huge = [0xff; 8];
        let at = |at| DecodeError { what: "test", at };
        assert_eq!(Reader::new("test", &huge).raw(9), Err(at(0)));
        assert_eq!(Reader::new("test", &huge).raw(usize::MAX), Err(at(0)));
        assert_eq!(Reader::new("test", &huge).bytes(usize::MAX), Err(at(4)));
        assert_eq!(Reader::new("test", &huge).bytes(3), Err(at(4)));
        assert_eq!(Reader::new("test", &huge).count(3), Err(at(4)));
        assert_eq!(Reader::new("test", &[0, 0, 0, 3]).count(3), Ok(3));
        assert_eq!(Reader::new("test", &[]).u8(), Err(at(0)));
        let mut reader = Reader::new("test", &huge);
        reader.u32().unwrap();
        reader.raw(usize::MAX).unwrap_err();
        assert_eq!(reader.clone().finish(), Err(at(4)));
        assert_eq!(reader.malformed().to_string(), "malformed test at byte 4");
    }
}
