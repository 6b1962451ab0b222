//! One key of the log and what it holds: a slot. Slots follow one another without gaps, each
//! takes as many positions as it holds batches, an empty one takes a single position. What its
//! head says can be read as it is; the batches are packed together.

use bytes::Bytes;
use cairn_ledger::{
    encoding::{DecodeError, Reader, Writer},
    ids::ChainId,
    limits::BATCH_BYTES_MAX,
};
use cairn_tikv::{pack, unpack};

use crate::mesh::Peer;

/// What a program that knows another layout would misread.
const VERSION: u8 = 2;
/// Batches are put together up to this many bytes; a larger one has a slot of its own.
pub(super) const SLOT_BYTES: usize = 256 << 10;
/// Most batches in one slot.
pub(super) const SLOT_BATCHES_MAX: usize = 1024;
/// Version, epoch, entry, first position, writer, count.
const HEAD_BYTES: usize = 1 + 8 + 16 + 8 + 2 + 4;
/// All batches of the largest slot, with their lengths.
const BODY_BYTES_MAX: usize = BATCH_BYTES_MAX + 4 * SLOT_BATCHES_MAX;
/// The largest slot: where nothing shrinks, packing adds a byte; and the checksum.
pub(super) const SLOT_BYTES_MAX: usize = HEAD_BYTES + 1 + BODY_BYTES_MAX + 4;
/// Positions and epochs above this are nobody's honest counting; adding to them must not overflow.
pub(super) const NUMBER_MAX: u64 = 1 << 56;

// TiKV's default takes entries of 8 MiB, and the client refuses values above 6 MiB.
const _: () = assert!(SLOT_BYTES_MAX <= 2 << 20);
const _: () = assert!(SLOT_BYTES <= BATCH_BYTES_MAX);

/// Batches that went into the log together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// Under whose lease it was written: grows from slot to slot.
    pub(super) epoch: u64,
    /// Tells two attempts at the same position apart.
    pub(super) entry: [u8; 16],
    /// The position of the first batch.
    pub(super) first: u64,
    /// Who wrote it.
    pub(super) writer: Peer,
    /// The batches, encoded. None in the slot by which a writer begins.
    pub(super) batches: Vec<Bytes>,
}

/// Why a key of the log cannot be what was written there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SlotError {
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    #[error("its checksum does not hold")]
    Checksum,
    #[error("it has version {0}, this program knows {VERSION}")]
    Version(u8),
    #[error("it says that it is slot {0}")]
    Elsewhere(u64),
}

impl Slot {
    /// The last position that it takes.
    pub(super) fn last(&self) -> u64 {
        self.first + (self.batches.len() as u64).max(1) - 1
    }

    /// How much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        HEAD_BYTES + self.batches.iter().map(|batch| batch.len() + 4).sum::<usize>()
    }

    /// Its key, in the log's own space.
    pub(super) fn key(&self) -> Vec<u8> {
        key(self.first)
    }

    /// The value of its key. The checksum is bound to the chain: another one's slot does not pass.
    pub(super) fn encode(&self, chain: &ChainId) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u8(VERSION).u64(self.epoch).raw(&self.entry).u64(self.first).u16(self.writer);
        writer.u32(u32::try_from(self.batches.len()).expect("SLOT_BATCHES_MAX is far below"));
        let mut body = Writer::default();
        for batch in &self.batches {
            body.bytes(batch);
        }
        writer.raw(&pack(&body.finish()));
        let mut value = writer.finish();
        value.extend(checksum(chain, &value).to_be_bytes());
        value
    }

    /// What a key at a position holds, checked.
    pub(super) fn decode(chain: &ChainId, first: u64, value: Vec<u8>) -> Result<Self, SlotError> {
        let Some((covered, sum)) = value.split_last_chunk::<4>().filter(|_| fits(&value)) else {
            return Err(Reader::new("slot", &value).malformed().into());
        };
        let mut reader = Reader::new("slot", covered);
        if checksum(chain, covered) != u32::from_be_bytes(*sum) {
            return Err(SlotError::Checksum);
        }
        let version = reader.u8()?;
        if version != VERSION {
            return Err(SlotError::Version(version));
        }
        let (epoch, entry) = (reader.u64()?, reader.array()?);
        let (found, writer) = (reader.u64()?, reader.u16()?);
        if found != first {
            return Err(SlotError::Elsewhere(found));
        }
        if epoch > NUMBER_MAX || first > NUMBER_MAX {
            return Err(reader.malformed().into());
        }
        let count = reader.count(SLOT_BATCHES_MAX)?;
        let body = unpack(&covered[HEAD_BYTES..], BODY_BYTES_MAX).ok_or(reader.malformed())?;
        let body = Bytes::from(body);
        let mut reader = Reader::new("batches of a slot", &body);
        let mut batches = Vec::with_capacity(count);
        for _ in 0..count {
            batches.push(body.slice_ref(reader.bytes(BATCH_BYTES_MAX)?));
        }
        reader.finish()?;
        Ok(Self { epoch, entry, first, writer, batches })
    }
}

fn fits(value: &[u8]) -> bool {
    value.len() <= SLOT_BYTES_MAX
}

fn checksum(chain: &ChainId, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(chain.as_bytes());
    hasher.update(body);
    hasher.finalize()
}

/// The key of the slot that begins at a position.
pub(super) fn key(first: u64) -> Vec<u8> {
    let mut key = b"s".to_vec();
    key.extend(first.to_be_bytes());
    key
}

/// The position in a slot's key.
pub(super) fn position(key: &[u8]) -> Option<u64> {
    let position = key.strip_prefix(b"s")?.try_into().ok()?;
    Some(u64::from_be_bytes(position))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: ChainId = ChainId([7; 32]);

    fn slot(batches: &[&'static [u8]]) -> Slot {
        let batches = batches.iter().map(|batch| Bytes::from_static(batch)).collect();
        Slot { epoch: 3, entry: [9; 16], first: 41, writer: 2, batches }
    }

    #[test]
    fn what_is_written_reads_back() {
        for (slot, last, why) in [
            (slot(&[]), 41, "an empty one takes a position"),
            (slot(&[b"one"]), 41, "one batch, one position"),
            (slot(&[b"one", b"", b"three"]), 43, "an empty batch is a batch"),
        ] {
            let value = slot.encode(&CHAIN);
            assert_eq!(Slot::decode(&CHAIN, 41, value), Ok(slot.clone()), "{why}");
            assert_eq!(slot.last(), last, "{why}");
            assert_eq!(position(&slot.key()), Some(41), "{why}");
        }
    }

    #[test]
    fn any_other_byte_is_noticed() {
        let value = slot(&[b"one", b"two"]).encode(&CHAIN);
        for at in 0..value.len() {
            for change in [1, 0x80, 0xff] {
                let mut changed = value.clone();
                changed[at] ^= change;
                assert!(Slot::decode(&CHAIN, 41, changed).is_err(), "byte {at} by {change}");
            }
            assert!(Slot::decode(&CHAIN, 41, value[..at].to_vec()).is_err(), "cut at {at}");
        }
        let longer = [&value[..], &[0]].concat();
        assert!(Slot::decode(&CHAIN, 41, longer).is_err());
    }

    #[test]
    fn one_that_ends_within_its_head_is_malformed_whatever_its_checksum() {
        let mut head = slot(&[]).encode(&CHAIN);
        for length in 0..HEAD_BYTES {
            head.truncate(HEAD_BYTES);
            // Some checksums read as the rest of a count that would be fine.
            for entry in 0..2000_u32 {
                head[9..13].copy_from_slice(&entry.to_be_bytes());
                let sum = checksum(&CHAIN, &head[..length]).to_be_bytes();
                let value = [&head[..length], &sum].concat();
                let decoded = Slot::decode(&CHAIN, 41, value);
                assert!(matches!(decoded, Err(SlotError::Malformed(_))), "{length} bytes");
            }
        }
    }

    #[test]
    fn a_slot_of_another_place_chain_or_version_is_told_apart() {
        let value = slot(&[b"one"]).encode(&CHAIN);
        let elsewhere = Slot::decode(&CHAIN, 42, value.clone());
        assert_eq!(elsewhere, Err(SlotError::Elsewhere(41)));
        let foreign = Slot::decode(&ChainId([8; 32]), 41, value.clone());
        assert_eq!(foreign, Err(SlotError::Checksum));
        let mut newer = value[..value.len() - 4].to_vec();
        newer[0] = 3;
        newer.extend(checksum(&CHAIN, &newer).to_be_bytes());
        assert_eq!(Slot::decode(&CHAIN, 41, newer), Err(SlotError::Version(3)));
    }

    #[test]
    fn what_claims_more_than_it_has_takes_no_memory() {
        let mut body = slot(&[]).encode(&CHAIN);
        let rest = body.split_off(HEAD_BYTES - 4);
        for (count, why) in [
            (u32::MAX, "more than a slot may hold"),
            (SLOT_BATCHES_MAX as u32, "more than there is"),
        ] {
            let mut value = [&body[..], &count.to_be_bytes(), &rest[4..rest.len() - 4]].concat();
            value.extend(checksum(&CHAIN, &value).to_be_bytes());
            assert!(
                matches!(Slot::decode(&CHAIN, 41, value), Err(SlotError::Malformed(_))),
                "{why}"
            );
        }
    }
}
