//! The bytes of the journal file: header page, two slots, records.
//!
//! ```text
//! 0      header: magic, format, chain, consensus key, checksum
//! 4096   slot:   sequence, epoch, height, floor, attested, newest own signature of each kind, checksum
//! 8192   slot:   the same, written in turn
//! 12288  records of one height: length, checksum, epoch, height, synced, kind, payload
//! ```
//!
//! Every checksum is seeded with the chain and the key: a sector of another file, or of
//! this file's earlier life under another key, is not taken for ours. A record's checksum
//! covers its epoch: what an earlier height left behind the end is not taken for this one's.

use cairn_ledger::{
    encoding::{DecodeError, Reader, Writer},
    ids::{BlockId, ChainId, Height, PublicKey},
    limits::{BLOCK_BYTES_MAX, BLOCK_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX},
};

use super::{
    JournalError,
    guard::{Guard, OwnSignature},
};

/// Header and slots have a page each, so that tearing one cannot touch another.
pub(super) const PAGE_BYTES: u64 = 4096;
/// Where records begin.
pub(super) const AREA: u64 = 3 * PAGE_BYTES;
/// Records begin at multiples of this, which keeps looking for them cheap.
pub(super) const ALIGN: usize = 8;
/// Bytes of a record before its payload.
pub(super) const RECORD_HEADER: usize = 32;
/// Largest record: a full body, with a length in front of each transaction.
pub(super) const RECORD_BYTES_MAX: usize = BLOCK_BYTES_MAX + 4 * BLOCK_TRANSACTIONS_MAX + 4096;
/// The format that this program writes and reads.
pub(super) const FORMAT: u32 = 1;

const MAGIC: &[u8; 8] = b"CAIRNJRN";

/// Whose journal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) chain: ChainId,
    pub(super) key: PublicKey,
}

impl Owner {
    fn checksum(&self, parts: &[&[u8]]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.chain.0);
        hasher.update(&self.key.0);
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize()
    }

    fn page(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let checksum = self.checksum(&[&bytes]);
        bytes.extend_from_slice(&checksum.to_be_bytes());
        assert!(bytes.len() as u64 <= PAGE_BYTES, "header and slots fit a page");
        bytes.resize(usize::try_from(PAGE_BYTES).expect("a page fits memory"), 0);
        bytes
    }

    /// The header page.
    pub(super) fn header(&self) -> Vec<u8> {
        let mut writer = Writer::tagged(MAGIC);
        writer.u32(FORMAT).raw(&self.chain.0).raw(&self.key.0);
        self.page(writer.finish())
    }

    /// Whether the header page is ours, in a format that we read.
    pub(super) fn check_header(&self, page: &[u8]) -> Result<(), JournalError> {
        let corrupt = |_: DecodeError| JournalError::Corrupt { what: "the header" };
        let mut reader = Reader::new("journal header", page);
        if reader.raw(MAGIC.len()).map_err(corrupt)? != MAGIC {
            return Err(JournalError::Corrupt { what: "the header" });
        }
        // The format comes before the checksum: a later format may well check differently.
        let found = reader.u32().map_err(corrupt)?;
        let stored = Self {
            chain: ChainId(reader.array().map_err(corrupt)?),
            key: PublicKey(reader.array().map_err(corrupt)?),
        };
        if found > FORMAT {
            return Err(JournalError::TooNew { found, supported: FORMAT });
        }
        if stored.header() != page {
            return Err(JournalError::Corrupt { what: "the header" });
        }
        if stored.chain != self.chain {
            return Err(JournalError::ForeignChain { found: stored.chain, wanted: self.chain });
        }
        if stored.key != self.key {
            return Err(JournalError::ForeignKey { found: stored.key, wanted: self.key });
        }
        Ok(())
    }

    /// A slot's page.
    pub(super) fn slot(&self, slot: &Slot) -> Vec<u8> {
        let Slot { sequence, epoch, height, floor, attested, guard } = slot;
        let mut writer = Writer::default();
        writer.u64(*sequence).u64(*epoch).u64(height.0).u64(floor.0).u64(*attested);
        guard.encode(&mut writer);
        self.page(writer.finish())
    }

    /// Reads a slot; nothing if it is damaged.
    pub(super) fn read_slot(&self, page: &[u8]) -> Option<Slot> {
        let mut reader = Reader::new("journal slot", page);
        let read = |reader: &mut Reader<'_>| -> Result<Slot, DecodeError> {
            Ok(Slot {
                sequence: reader.u64()?,
                epoch: reader.u64()?,
                height: Height(reader.u64()?),
                floor: Height(reader.u64()?),
                attested: reader.u64()?,
                guard: Guard::decode(reader)?,
            })
        };
        let slot = read(&mut reader).ok()?;
        (self.slot(&slot) == page).then_some(slot)
    }

    /// Appends a record to a buffer; `fill` writes the payload.
    pub(super) fn write_record(
        &self,
        buffer: &mut Vec<u8>,
        stamp: Stamp,
        kind: u8,
        fill: impl FnOnce(&mut Writer),
    ) {
        let mut payload = Writer::default();
        fill(&mut payload);
        let payload = payload.finish();
        let length = u32::try_from(payload.len()).expect("limits keep a record below 4 GiB");
        let mut head = Writer::default();
        head.u32(length)
            .u64(stamp.epoch)
            .u64(stamp.height.0)
            .u64(stamp.synced << 8 | u64::from(kind));
        let head = head.finish();
        let checksum = self.checksum(&[&head, &payload]);
        buffer.extend_from_slice(&checksum.to_be_bytes());
        buffer.extend_from_slice(&head);
        buffer.extend_from_slice(&payload);
        buffer.resize(buffer.len().next_multiple_of(ALIGN), 0);
    }

    /// Reads the record that begins at `at`; nothing if there is no whole one.
    pub(super) fn read_record<'a>(&self, area: &'a [u8], at: usize) -> Option<RawRecord<'a>> {
        let mut reader = Reader::new("journal record", area.get(at..)?);
        let mut read = || -> Result<(u32, &[u8], &[u8]), DecodeError> {
            let checksum = reader.u32()?;
            let head = reader.raw(RECORD_HEADER - 4)?;
            let length = Reader::new("journal record", head).u32()? as usize;
            if length > RECORD_BYTES_MAX {
                return Err(reader.malformed());
            }
            Ok((checksum, head, reader.raw(length)?))
        };
        let (checksum, head, payload) = read().ok()?;
        if self.checksum(&[head, payload]) != checksum {
            return None;
        }
        let mut fields = Reader::new("journal record", &head[4..]);
        let (epoch, height) = (fields.u64().ok()?, Height(fields.u64().ok()?));
        let last = fields.u64().ok()?;
        let end = (at + RECORD_HEADER + payload.len()).next_multiple_of(ALIGN);
        let stamp = Stamp { epoch, height, synced: last >> 8 };
        Some(RawRecord { stamp, kind: u8::try_from(last & 0xff).ok()?, payload, end })
    }
}

/// What a slot says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// Grows with each writing; the higher of two is the newer.
    pub(super) sequence: u64,
    /// Which life of the records area it speaks of.
    pub(super) epoch: u64,
    /// The height that this life is for.
    pub(super) height: Height,
    /// Nothing is signed below this height.
    pub(super) floor: Height,
    /// Records up to here, in bytes from the area's start, were synced: if they cannot be
    /// read, they were damaged, not torn.
    pub(super) attested: u64,
    /// The newest own signatures.
    pub(super) guard: Guard,
}

/// When a record was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) epoch: u64,
    pub(super) height: Height,
    /// How far the area was synced when this record was written.
    pub(super) synced: u64,
}

/// A record as found, its checksum right.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawRecord<'a> {
    pub(super) stamp: Stamp,
    pub(super) kind: u8,
    pub(super) payload: &'a [u8],
    /// Where the next one begins.
    pub(super) end: usize,
}

/// Record kinds. Never reused.
pub(super) const KIND_INPUT: u8 = 1;
pub(super) const KIND_SIGNED_INPUT: u8 = 2;
pub(super) const KIND_BODY: u8 = 3;

/// What the chain wrote down, in the order in which it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An input of the voting rules, as their codec wrote it.
    Input(Vec<u8>),
    /// A body that came from a peer, not from the log.
    Body {
        /// The block it is said to belong to; whether it does is checked again.
        block: BlockId,
        /// The transactions.
        transactions: cairn_ledger::block::Body,
    },
}

/// What a record's payload means, and the signature that it carries.
pub(super) fn interpret(
    raw: &RawRecord<'_>,
) -> Result<(Record, Option<OwnSignature>), DecodeError> {
    let mut reader = Reader::new("journal record", raw.payload);
    match raw.kind {
        KIND_INPUT => Ok((Record::Input(raw.payload.to_vec()), None)),
        KIND_SIGNED_INPUT => {
            let signature = OwnSignature::decode(&mut reader)?;
            let input = raw.payload[OwnSignature::BYTES..].to_vec();
            Ok((Record::Input(input), Some(signature)))
        }
        KIND_BODY => {
            let block = BlockId(reader.array()?);
            let count = reader.count(BLOCK_TRANSACTIONS_MAX)?;
            let mut transactions = Vec::with_capacity(count);
            for _ in 0..count {
                transactions.push(reader.bytes(TRANSACTION_BYTES_MAX)?.into());
            }
            reader.finish()?;
            Ok((Record::Body { block, transactions }, None))
        }
        _ => Err(reader.malformed()),
    }
}
