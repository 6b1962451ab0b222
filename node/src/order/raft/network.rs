//! What Raft's members say to one another, in a compact form of our own, and who may say it.

use std::{
    future::Future,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use cairn_ledger::{
    encoding::{DecodeError, Reader, Writer},
    ids::ChainId,
    limits::{BATCH_BYTES_MAX, FRAME_BYTES_MAX},
};
use openraft::{
    OptionalSend, RaftNetwork, RaftNetworkFactory,
    error::{Fatal, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable},
    network::{Backoff, RPCOption},
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
    },
};

use super::{
    super::forward::{FORWARD, Forwarded, Transport},
    types::{
        Entry, Kind, Pointer, RECORD_BYTES_MAX, Snapshot, Types, Vote, payload_bytes, payload_of,
        read_log_id, read_optional, read_vote, write_log_id, write_optional, write_vote,
    },
};
use crate::mesh::{AskError, Peer, Service};

/// Most entries in one message; openraft's own limit is below.
const ENTRIES_MAX: usize = 1024;
/// How long a peer that could not be reached is left alone.
const BACKOFF: Duration = Duration::from_millis(100);
/// A term that is this far ahead of ours was not reached by elections.
const TERM_JUMP_MAX: u64 = 1 << 32;

/// What one member asks another.
#[derive(Debug)]
pub(crate) enum Request {
    Append(AppendEntriesRequest<Types>),
    Vote(VoteRequest<u64>),
    Snapshot(Vote, Box<Snapshot>),
    /// A batch for the leader to append.
    Forward(Bytes),
}

impl Request {
    pub(crate) fn encode(&self, chain: &ChainId) -> Bytes {
        let mut writer = Writer::tagged(chain.as_bytes());
        match self {
            Self::Append(append) => {
                writer.u8(1);
                write_vote(&mut writer, &append.vote);
                write_optional(&mut writer, append.prev_log_id.as_ref());
                write_optional(&mut writer, append.leader_commit.as_ref());
                writer.u32(u32::try_from(append.entries.len()).expect("openraft caps entries"));
                for entry in &append.entries {
                    let (kind, payload) = payload_bytes(&entry.payload);
                    write_log_id(&mut writer, &entry.log_id);
                    writer.u8(kind as u8).bytes(&payload);
                }
            }
            Self::Vote(request) => {
                writer.u8(2);
                write_vote(&mut writer, &request.vote);
                write_optional(&mut writer, request.last_log_id.as_ref());
            }
            Self::Snapshot(vote, snapshot) => {
                writer.u8(3);
                write_vote(&mut writer, vote);
                let meta = serde_json::to_vec(&snapshot.meta).expect("a meta is plain data");
                writer.bytes(&meta);
            }
            Self::Forward(batch) => {
                writer.u8(FORWARD).bytes(batch);
            }
        }
        Bytes::from(writer.finish())
    }

    /// Nothing but a well-formed request of this chain.
    pub(crate) fn decode(chain: &ChainId, bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("raft request", bytes);
        if bytes.len() > FRAME_BYTES_MAX || &reader.array::<32>()? != chain.as_bytes() {
            return Err(reader.malformed());
        }
        let request = match reader.u8()? {
            1 => Self::Append(read_append(&mut reader)?),
            2 => {
                let vote = read_vote(&mut reader)?;
                Self::Vote(VoteRequest::new(vote, read_optional(&mut reader)?))
            }
            3 => {
                let vote = read_vote(&mut reader)?;
                let meta = serde_json::from_slice(reader.bytes(RECORD_BYTES_MAX)?)
                    .map_err(|_| reader.malformed())?;
                Self::Snapshot(vote, Box::new(Snapshot { meta, snapshot: Box::new(Pointer) }))
            }
            FORWARD => Self::Forward(Bytes::copy_from_slice(reader.bytes(BATCH_BYTES_MAX)?)),
            _ => return Err(reader.malformed()),
        };
        reader.finish()?;
        Ok(request)
    }
}

/// Entries follow one another, none is of a later term than its leader: openraft relies on it.
fn read_append(reader: &mut Reader<'_>) -> Result<AppendEntriesRequest<Types>, DecodeError> {
    let vote = read_vote(reader)?;
    let prev_log_id = read_optional(reader)?;
    let leader_commit = read_optional(reader)?;
    let count = reader.count(ENTRIES_MAX)?;
    let mut entries: Vec<Entry> = Vec::new();
    // A peer may say anything, also that its entries begin at the end of all numbers.
    let first = prev_log_id.map_or(0, |id| id.index.saturating_add(1));
    for expected in (first..).take(count) {
        let log_id = read_log_id(reader)?;
        let kind = Kind::from_byte(reader.u8()?).ok_or_else(|| reader.malformed())?;
        let payload = Bytes::copy_from_slice(reader.bytes(kind.most_bytes())?);
        let payload = payload_of(kind, payload).ok_or_else(|| reader.malformed())?;
        if log_id.index != expected || log_id.leader_id > vote.leader_id {
            return Err(reader.malformed());
        }
        entries.push(Entry { log_id, payload });
    }
    Ok(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit })
}

fn encode_append_answer(answer: &AppendEntriesResponse<u64>) -> Bytes {
    let mut writer = Writer::default();
    match answer {
        AppendEntriesResponse::Success => {
            writer.u8(0);
        }
        AppendEntriesResponse::PartialSuccess(matching) => {
            writer.u8(1);
            write_optional(&mut writer, matching.as_ref());
        }
        AppendEntriesResponse::Conflict => {
            writer.u8(2);
        }
        AppendEntriesResponse::HigherVote(vote) => {
            writer.u8(3);
            write_vote(&mut writer, vote);
        }
    }
    Bytes::from(writer.finish())
}

fn decode_append_answer(bytes: &[u8]) -> Result<AppendEntriesResponse<u64>, DecodeError> {
    let mut reader = Reader::new("raft answer", bytes);
    let answer = match reader.u8()? {
        0 => AppendEntriesResponse::Success,
        1 => AppendEntriesResponse::PartialSuccess(read_optional(&mut reader)?),
        2 => AppendEntriesResponse::Conflict,
        3 => AppendEntriesResponse::HigherVote(read_vote(&mut reader)?),
        _ => return Err(reader.malformed()),
    };
    reader.finish()?;
    Ok(answer)
}

fn encode_vote_answer(answer: &VoteResponse<u64>) -> Bytes {
    let mut writer = Writer::default();
    write_vote(&mut writer, &answer.vote);
    writer.u8(u8::from(answer.vote_granted));
    write_optional(&mut writer, answer.last_log_id.as_ref());
    Bytes::from(writer.finish())
}

fn decode_vote_answer(bytes: &[u8]) -> Result<VoteResponse<u64>, DecodeError> {
    let mut reader = Reader::new("raft answer", bytes);
    let vote = read_vote(&mut reader)?;
    let granted = reader.u8()? == 1;
    let last = read_optional(&mut reader)?;
    reader.finish()?;
    Ok(VoteResponse::new(vote, last, granted))
}

/// Makes clients of other members.
pub(crate) struct Network {
    pub(crate) chain: ChainId,
    pub(crate) transport: Arc<dyn Transport>,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: u64, _node: &openraft::EmptyNode) -> Client {
        let transport = Arc::clone(&self.transport);
        Client { chain: self.chain, transport, target: super::peer_of(target) }
    }
}

/// Asks one other member.
pub(crate) struct Client {
    chain: ChainId,
    transport: Arc<dyn Transport>,
    target: Option<Peer>,
}

impl Client {
    /// Every failure counts as unreachable, which makes openraft pause before it asks again.
    async fn ask<T>(
        &self,
        request: Request,
        option: &RPCOption,
        decode: impl FnOnce(&[u8]) -> Result<T, DecodeError>,
    ) -> Result<T, Unreachable> {
        let Some(target) = self.target else {
            return Err(Unreachable::new(&AskError::Disconnected(Peer::MAX)));
        };
        let request = request.encode(&self.chain);
        let asked = self.transport.ask(target, request, option.hard_ttl()).await;
        let answer = asked.map_err(|error| Unreachable::new(&error))?;
        decode(&answer).map_err(|error| Unreachable::new(&error))
    }
}

impl RaftNetwork<Types> for Client {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RPCError<u64, openraft::EmptyNode, RaftError<u64>>>
    {
        Ok(self.ask(Request::Append(request), &option, decode_append_answer).await?)
    }

    async fn vote(
        &mut self,
        request: VoteRequest<u64>,
        option: RPCOption,
    ) -> Result<VoteResponse<u64>, RPCError<u64, openraft::EmptyNode, RaftError<u64>>> {
        Ok(self.ask(Request::Vote(request), &option, decode_vote_answer).await?)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<Types, Fatal<u64>>> {
        let request = Request::Snapshot(vote, Box::new(snapshot));
        let decode = |bytes: &[u8]| read_vote(&mut Reader::new("raft answer", bytes));
        tokio::select! {
            closed = cancel => Err(closed.into()),
            asked = self.ask(request, &option, decode) => Ok(SnapshotResponse::new(asked?)),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(BACKOFF))
    }
}

/// The receiving side of [`crate::mesh::Channel::Order`].
pub(crate) struct Receiver {
    pub(crate) chain: ChainId,
    /// Empty on a node that is no member, and until the log is open.
    pub(crate) raft: OnceLock<openraft::Raft<Types>>,
    pub(crate) forward_within: Duration,
}

impl Receiver {
    /// A leader speaks, and a candidate asks, for itself only; a term out of reach is refused,
    /// since taking it would leave no room for the next.
    fn vouch(&self, from: Peer, vote: &Vote, current: u64) -> Result<(), String> {
        if vote.leader_id.node_id != super::node_of(from) {
            return Err(format!("validator {from} speaks for another"));
        }
        if vote.leader_id.term > current.saturating_add(TERM_JUMP_MAX) {
            tracing::error!(
                from,
                term = vote.leader_id.term,
                current,
                "a term out of reach was refused"
            );
            return Err("the term is out of reach".to_owned());
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Service for Receiver {
    fn notify(&self, from: Peer, _message: Bytes) {
        tracing::debug!(from, "raft has no one-way messages");
    }

    async fn answer(&self, from: Peer, request: Bytes) -> Result<Bytes, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let request = Request::decode(&self.chain, &request).map_err(|error| text(&error))?;
        let Some(raft) = self.raft.get() else {
            if matches!(request, Request::Forward(_)) {
                return Ok(Forwarded::NotLeader(None).encode());
            }
            return Err("not a raft member".to_owned());
        };
        let current = raft.metrics().borrow().current_term;
        match request {
            Request::Append(request) => {
                self.vouch(from, &request.vote, current)?;
                let answer = raft.append_entries(request).await.map_err(|error| text(&error))?;
                Ok(encode_append_answer(&answer))
            }
            Request::Vote(request) => {
                self.vouch(from, &request.vote, current)?;
                let answer = raft.vote(request).await.map_err(|error| text(&error))?;
                Ok(encode_vote_answer(&answer))
            }
            Request::Snapshot(vote, snapshot) => {
                self.vouch(from, &vote, current)?;
                let answer = raft.install_full_snapshot(vote, *snapshot).await;
                let mut writer = Writer::default();
                write_vote(&mut writer, &answer.map_err(|error| text(&error))?.vote);
                Ok(Bytes::from(writer.finish()))
            }
            Request::Forward(batch) => {
                Ok(super::write_here(raft, batch, self.forward_within).await.encode())
            }
        }
    }
}
