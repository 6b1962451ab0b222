//! How a block lies on the disk: a run of 512-byte sectors, each with its own checksum.
//!
//! A disk writes a sector whole or not at all, and segments are zeros before they are
//! written. So each sector of a record tells by itself whether it was written (its mark is
//! not zero) and whether it still is what was written (its checksum, which also covers the
//! chain, the height and the sector's number: a sector in the wrong place is as bad as a
//! flipped bit). That is what tells a write that a crash cut short from damage to a block
//! that was there.
//!
//! ```text
//! sector  = piece (504 bytes) ‖ checksum (u32) ‖ mark "CRNs"
//! pieces  = "CRNb" ‖ length (u32) ‖ height (u64) ‖ payload ‖ zeros
//! ```

use std::ops::Range;

use cairn_ledger::ids::{ChainId, Height};

/// What a disk writes whole or not at all.
pub(super) const SECTOR: usize = 512;
const PIECE: usize = SECTOR - 8;
const MARK: [u8; 4] = *b"CRNs";
const MAGIC: [u8; 4] = *b"CRNb";
const HEAD: usize = 16;

/// What a sector turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sector {
    /// What was written.
    Whole,
    /// Its end was never written: a write was cut short.
    Unwritten,
    /// It was written, and is not any more what was written.
    Damaged,
    /// Nobody here wrote it.
    Foreign,
}

/// What the first sector of a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) height: Height,
    /// Bytes of payload.
    pub(super) length: usize,
}

impl Head {
    /// Sectors of the whole record.
    pub(super) fn sectors(&self) -> usize {
        (HEAD + self.length).div_ceil(PIECE)
    }

    /// What the first sector claims, its checksum apart.
    pub(super) fn claimed(sector: &[u8]) -> Option<Self> {
        let rest = sector.strip_prefix(&MAGIC)?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (height, _) = rest.split_first_chunk::<8>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        Some(Self { height: Height(u64::from_be_bytes(*height)), length })
    }
}

/// Writes and reads the records of one chain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Framing {
    seed: u32,
}

impl Framing {
    pub(super) fn new(chain: &ChainId) -> Self {
        Self { seed: crc32fast::hash(&chain.0) }
    }

    /// The record of a block's encoded form.
    ///
    /// # Panics
    /// When the payload has 4 GiB or more, which every limit forbids.
    pub(super) fn frame(&self, height: Height, payload: &[u8]) -> Vec<u8> {
        let head = Head { height, length: payload.len() };
        let mut content = Vec::with_capacity(head.sectors() * PIECE);
        content.extend(MAGIC);
        let length = u32::try_from(payload.len()).expect("limits keep a block below 4 GiB");
        content.extend(length.to_be_bytes());
        content.extend(height.0.to_be_bytes());
        content.extend(payload);
        content.resize(head.sectors() * PIECE, 0);
        let mut record = Vec::with_capacity(head.sectors() * SECTOR);
        for (number, piece) in content.chunks(PIECE).enumerate() {
            record.extend(piece);
            record.extend(self.checksum(height, number, piece).to_be_bytes());
            record.extend(MARK);
        }
        record
    }

    /// The sectors that hold some bytes of a payload.
    pub(super) fn sectors_of(part: &Range<usize>) -> Range<usize> {
        (HEAD + part.start) / PIECE..(HEAD + part.end).div_ceil(PIECE)
    }

    /// Some bytes of a payload from [`Framing::sectors_of`] them, or the number of the first
    /// sector that is not whole.
    pub(super) fn part(
        &self,
        height: Height,
        part: &Range<usize>,
        sectors: &[u8],
    ) -> Result<Vec<u8>, usize> {
        let numbers = Self::sectors_of(part);
        let mut content = Vec::with_capacity(sectors.len());
        for (number, sector) in numbers.clone().zip(sectors.chunks_exact(SECTOR)) {
            if self.judge(height, number, sector) != Sector::Whole {
                return Err(number);
            }
            content.extend(&sector[..PIECE]);
        }
        let skipped = HEAD + part.start - numbers.start * PIECE;
        content.drain(..skipped);
        content.truncate(part.len());
        Ok(content)
    }

    /// What a sector is, if it should be that one.
    pub(super) fn judge(&self, height: Height, number: usize, sector: &[u8]) -> Sector {
        let (piece, tail) = sector.split_at(PIECE);
        let (checksum, mark) = tail.split_at(4);
        let matches = checksum == self.checksum(height, number, piece).to_be_bytes();
        let flipped: u32 = mark.iter().zip(MARK).map(|(a, b)| (a ^ b).count_ones()).sum();
        match (matches, flipped) {
            (true, 0) => Sector::Whole,
            _ if mark.last() == Some(&0) => Sector::Unwritten,
            (true, _) | (false, 0..=2) => Sector::Damaged,
            _ => Sector::Foreign,
        }
    }

    /// The head that a whole first sector carries.
    pub(super) fn head(&self, sector: &[u8]) -> Option<Head> {
        let head = Head::claimed(sector)?;
        (self.judge(head.height, 0, sector) == Sector::Whole).then_some(head)
    }

    /// The payload of a whole record, or the number of the first sector that is not.
    pub(super) fn payload(&self, height: Height, record: &[u8]) -> Result<Vec<u8>, usize> {
        let mut content = Vec::with_capacity(record.len());
        for (number, sector) in record.chunks(SECTOR).enumerate() {
            if sector.len() < SECTOR || self.judge(height, number, sector) != Sector::Whole {
                return Err(number);
            }
            content.extend(&sector[..PIECE]);
        }
        let head = Head::claimed(&content).ok_or(0_usize)?;
        if head.height != height || head.sectors() * SECTOR != record.len() {
            return Err(0);
        }
        content.truncate(HEAD + head.length);
        content.drain(..HEAD);
        Ok(content)
    }

    fn checksum(&self, height: Height, number: usize, piece: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.seed);
        hasher.update(&height.0.to_be_bytes());
        hasher.update(&(number as u64).to_be_bytes());
        hasher.update(piece);
        hasher.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEIGHT: Height = Height(7);

    fn framing() -> Framing {
        Framing::new(&ChainId([1; 32]))
    }

    #[test]
    fn payloads_of_every_length_come_back() {
        for length in [0, 1, 487, 488, 489, 991, 992, 993, 5000] {
            let payload: Vec<_> = (0..length).map(|at| (at * 31 % 251) as u8).collect();
            let record = framing().frame(HEIGHT, &payload);
            assert_eq!(record.len() % SECTOR, 0);
            let head = framing().head(&record[..SECTOR]).unwrap();
            assert_eq!((head.height, head.length), (HEIGHT, length));
            assert_eq!(head.sectors() * SECTOR, record.len());
            assert_eq!(framing().payload(HEIGHT, &record), Ok(payload));
        }
    }

    #[test]
    fn every_part_of_a_payload_can_be_read_alone() {
        let payload: Vec<_> = (0..1600).map(|at| (at * 31 % 251) as u8).collect();
        let record = framing().frame(HEIGHT, &payload);
        for start in (0..1600).step_by(7) {
            for end in [start, start + 1, (start + 488).min(1600), 1600] {
                let part = start..end;
                let numbers = Framing::sectors_of(&part);
                let sectors = &record[numbers.start * SECTOR..numbers.end * SECTOR];
                let read = framing().part(HEIGHT, &part, sectors);
                assert_eq!(read.as_deref(), Ok(&payload[part]), "{start}..{end}");
                let mut damaged = sectors.to_vec();
                if let Some(last) = damaged.last_mut() {
                    *last ^= 1;
                    let read = framing().part(HEIGHT, &(start..end), &damaged);
                    assert_eq!(read, Err(numbers.end - 1), "{start}..{end}");
                }
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_damage_and_no_torn_write() {
        let record = framing().frame(HEIGHT, &[b'x'; 600]);
        for bit in 0..record.len() * 8 {
            let mut flipped = record.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let number = bit / 8 / SECTOR;
            assert_eq!(framing().payload(HEIGHT, &flipped), Err(number), "bit {bit}");
            let sector = &flipped[number * SECTOR..][..SECTOR];
            assert_eq!(framing().judge(HEIGHT, number, sector), Sector::Damaged, "bit {bit}");
        }
    }

    #[test]
    fn a_cut_is_an_unwritten_sector() {
        let record = framing().frame(HEIGHT, &[b'x'; 600]);
        for cut in 0..record.len() {
            let mut torn = record.clone();
            torn[cut..].fill(0);
            let number = cut / SECTOR;
            let sector = &torn[number * SECTOR..][..SECTOR];
            assert_eq!(framing().judge(HEIGHT, number, sector), Sector::Unwritten, "cut {cut}");
        }
    }

    #[test]
    fn a_sector_in_the_wrong_place_is_noticed() {
        let record = framing().frame(HEIGHT, &[b'x'; 1200]);
        let second = &record[SECTOR..2 * SECTOR];
        assert_eq!(framing().judge(HEIGHT, 1, second), Sector::Whole);
        assert_eq!(framing().judge(HEIGHT, 2, second), Sector::Damaged);
        assert_eq!(framing().judge(Height(8), 1, second), Sector::Damaged);
        let other = Framing::new(&ChainId([2; 32]));
        assert_eq!(other.judge(HEIGHT, 1, second), Sector::Damaged);
        assert_eq!(framing().judge(HEIGHT, 0, &[0xFF; SECTOR]), Sector::Foreign);
    }
}
