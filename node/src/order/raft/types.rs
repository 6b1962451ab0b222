//! The words openraft is given, and their compact binary form.

use bytes::Bytes;
use cairn_ledger::{
    encoding::{DecodeError, Reader, Writer},
    limits::BATCH_BYTES_MAX,
};
use openraft::{CommittedLeaderId, EmptyNode, EntryPayload, LeaderId};

openraft::declare_raft_types!(
    /// One entry is one encoded batch; the answer to it is its index.
    pub(crate) Types:
        D = Data,
        R = u64,
        NodeId = u64,
        Node = EmptyNode,
        SnapshotData = Pointer,
);

pub(crate) type Entry = openraft::Entry<Types>;
pub(crate) type LogId = openraft::LogId<u64>;
pub(crate) type Vote = openraft::Vote<u64>;
pub(crate) type StoredMembership = openraft::StoredMembership<u64, EmptyNode>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<u64, EmptyNode>;
pub(crate) type Snapshot = openraft::Snapshot<Types>;
pub(crate) type StorageError = openraft::StorageError<u64>;

/// Largest membership or snapshot record, as JSON: 128 members need a tenth of it.
pub(crate) const RECORD_BYTES_MAX: usize = 64 * 1024;

/// Terms and indices above this are nobody's honest counting; adding to them must not overflow.
pub(crate) const NUMBER_MAX: u64 = 1 << 56;

/// An encoded batch. Serde is what openraft asks of it; our own formats never use it.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Data(pub(crate) Bytes);

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Data({} bytes)", self.0.len())
    }
}

impl serde::Serialize for Data {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Data {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(|bytes| Self(Bytes::from(bytes)))
    }
}

/// A snapshot holds nothing: its meta says up to where the blocks have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pointer;

/// What an entry holds, on disk and on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Blank = 0,
    Batch = 1,
    Membership = 2,
    /// On disk only: entries from this index on are dropped.
    Truncate = 3,
    /// On disk only: entries up to this one are dropped.
    Purge = 4,
}

impl Kind {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Blank,
            1 => Self::Batch,
            2 => Self::Membership,
            3 => Self::Truncate,
            4 => Self::Purge,
            _ => return None,
        })
    }

    pub(crate) fn most_bytes(self) -> usize {
        match self {
            Self::Batch => BATCH_BYTES_MAX,
            Self::Membership => RECORD_BYTES_MAX,
            Self::Blank | Self::Truncate | Self::Purge => 0,
        }
    }
}

/// An entry's payload as bytes.
pub(crate) fn payload_bytes(payload: &EntryPayload<Types>) -> (Kind, Bytes) {
    match payload {
        EntryPayload::Blank => (Kind::Blank, Bytes::new()),
        EntryPayload::Normal(data) => (Kind::Batch, data.0.clone()),
        EntryPayload::Membership(membership) => {
            let json = serde_json::to_vec(membership).expect("a membership is plain data");
            (Kind::Membership, Bytes::from(json))
        }
    }
}

/// The payload back from bytes; nothing when they are not one.
pub(crate) fn payload_of(kind: Kind, bytes: Bytes) -> Option<EntryPayload<Types>> {
    match kind {
        Kind::Blank => bytes.is_empty().then_some(EntryPayload::Blank),
        Kind::Batch => Some(EntryPayload::Normal(Data(bytes))),
        Kind::Membership => serde_json::from_slice(&bytes).ok().map(EntryPayload::Membership),
        Kind::Truncate | Kind::Purge => None,
    }
}

pub(crate) fn log_id(term: u64, node: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term, node), index)
}

pub(crate) fn write_log_id(writer: &mut Writer, id: &LogId) {
    writer.u64(id.leader_id.term).u64(id.leader_id.node_id).u64(id.index);
}

pub(crate) fn read_log_id(reader: &mut Reader<'_>) -> Result<LogId, DecodeError> {
    let (term, node, index) = (reader.u64()?, reader.u64()?, reader.u64()?);
    if term.max(node).max(index) > NUMBER_MAX {
        return Err(reader.malformed());
    }
    Ok(log_id(term, node, index))
}

pub(crate) fn write_optional(writer: &mut Writer, id: Option<&LogId>) {
    writer.u8(u8::from(id.is_some()));
    if let Some(id) = id {
        write_log_id(writer, id);
    }
}

pub(crate) fn read_optional(reader: &mut Reader<'_>) -> Result<Option<LogId>, DecodeError> {
    match reader.u8()? {
        0 => Ok(None),
        1 => read_log_id(reader).map(Some),
        _ => Err(reader.malformed()),
    }
}

pub(crate) fn write_vote(writer: &mut Writer, vote: &Vote) {
    writer.u64(vote.leader_id.term).u64(vote.leader_id.node_id).u8(u8::from(vote.committed));
}

pub(crate) fn read_vote(reader: &mut Reader<'_>) -> Result<Vote, DecodeError> {
    let (term, node, committed) = (reader.u64()?, reader.u64()?, reader.u8()?);
    if term.max(node) > NUMBER_MAX || committed > 1 {
        return Err(reader.malformed());
    }
    Ok(Vote { leader_id: LeaderId::new(term, node), committed: committed == 1 })
}
