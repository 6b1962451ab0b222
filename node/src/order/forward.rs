//! A batch on its way to the one validator that writes the log now, and what became of it.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use cairn_ledger::{
    encoding::{DecodeError, Reader, Writer},
    ids::{ChainId, Position},
};

use super::{AppendError, Batch, check_size};
use crate::mesh::{AskError, Channel, Mesh, Peer};

/// How long an append is tried before its outcome is given up on.
pub(super) const APPEND_WITHIN: Duration = Duration::from_secs(5);
/// Between two attempts while there is no leader.
pub(super) const PAUSE: Duration = Duration::from_millis(50);
/// Says of a request that it is a batch to append.
pub(super) const FORWARD: u8 = 4;

/// How those who keep the log reach one another.
#[async_trait::async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Asks the other's [`crate::mesh::Service`] and waits for its answer.
    async fn ask(&self, to: Peer, request: Bytes, within: Duration) -> Result<Bytes, AskError>;

    /// Tells everybody who is connected, once; it may be lost.
    fn tell(&self, message: Bytes);
}

#[async_trait::async_trait]
impl Transport for Mesh {
    async fn ask(&self, to: Peer, request: Bytes, within: Duration) -> Result<Bytes, AskError> {
        Mesh::ask(self, to, Channel::Order, request, within).await
    }

    fn tell(&self, message: Bytes) {
        self.broadcast(Channel::Order, message);
    }
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Forwarded {
    In(u64),
    /// Certainly not in: ask the leader, if one is known.
    NotLeader(Option<Peer>),
    Unavailable,
    Unknown,
}

impl Forwarded {
    pub(crate) fn encode(&self) -> Bytes {
        let mut writer = Writer::default();
        match self {
            Self::In(index) => writer.u8(0).u64(*index),
            // 0 is nobody.
            Self::NotLeader(leader) => writer.u8(1).u64(leader.map_or(0, |it| u64::from(it) + 1)),
            Self::Unavailable => writer.u8(2),
            Self::Unknown => writer.u8(3),
        };
        Bytes::from(writer.finish())
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("answer to a batch", bytes);
        let forwarded = match reader.u8()? {
            0 => Self::In(reader.u64()?),
            1 => Self::NotLeader(reader.u64()?.checked_sub(1).and_then(|it| it.try_into().ok())),
            2 => Self::Unavailable,
            3 => Self::Unknown,
            _ => return Err(reader.malformed()),
        };
        reader.finish()?;
        Ok(forwarded)
    }
}

/// The request to append an encoded batch.
pub(crate) fn request(chain: &ChainId, batch: &[u8]) -> Bytes {
    let mut writer = Writer::tagged(chain.as_bytes());
    writer.u8(FORWARD).bytes(batch);
    Bytes::from(writer.finish())
}

/// Knows the way.
pub(crate) struct Forwarder {
    pub(crate) chain: ChainId,
    pub(crate) me: Peer,
    pub(crate) validators: u16,
    pub(crate) transport: Arc<dyn Transport>,
}

impl Forwarder {
    /// Appends here, or wherever the leader is. `here` tries it on this node; without it, this
    /// node never leads.
    pub(crate) async fn append<F>(
        &self,
        batch: &Batch,
        here: Option<impl Fn(Bytes, Duration) -> F + Send + Sync>,
    ) -> Result<Position, AppendError>
    where
        F: Future<Output = Forwarded> + Send,
    {
        let encoded = Bytes::from(check_size(batch)?);
        let deadline = tokio::time::Instant::now() + APPEND_WITHIN;
        match self.append_until(&encoded, here, deadline).await {
            Forwarded::In(index) => Ok(Position(index)),
            Forwarded::NotLeader(_) | Forwarded::Unavailable => {
                Err(AppendError::Unavailable("no leader could be reached".to_owned()))
            }
            Forwarded::Unknown => {
                Err(AppendError::Unknown("the leader fell silent or was replaced".to_owned()))
            }
        }
    }

    /// Tries until it is in, or may be in.
    async fn append_until<F>(
        &self,
        batch: &Bytes,
        here: Option<impl Fn(Bytes, Duration) -> F + Send + Sync>,
        deadline: tokio::time::Instant,
    ) -> Forwarded
    where
        F: Future<Output = Forwarded> + Send,
    {
        let mut attempt = 0;
        let mut leader = None;
        loop {
            let within = deadline.saturating_duration_since(tokio::time::Instant::now());
            let outcome = match &here {
                Some(here) if leader.is_none_or(|leader| leader == self.me) => {
                    here(batch.clone(), within).await
                }
                _ => {
                    let to = self.whom(attempt, leader);
                    attempt = attempt.wrapping_add(1);
                    // Alone and no member: there is nobody to ask.
                    if to == self.me {
                        Forwarded::Unavailable
                    } else {
                        self.forward(to, batch, within).await
                    }
                }
            };
            leader = match outcome {
                Forwarded::In(_) | Forwarded::Unknown => return outcome,
                Forwarded::NotLeader(next) => next.filter(|_| leader.is_none()),
                Forwarded::Unavailable => None,
            };
            if leader.is_none_or(|leader| leader == self.me || leader >= self.validators) {
                leader = None;
                if tokio::time::Instant::now() + PAUSE >= deadline {
                    return Forwarded::Unavailable;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Whom to ask to append: the leader if one is known, otherwise everybody in turn.
    fn whom(&self, attempt: u16, leader: Option<Peer>) -> Peer {
        leader.unwrap_or_else(|| (self.me + 1 + attempt % self.validators) % self.validators)
    }

    async fn forward(&self, to: Peer, batch: &[u8], within: Duration) -> Forwarded {
        let request = request(&self.chain, batch);
        match self.transport.ask(to, request, within).await {
            Ok(answer) => Forwarded::decode(&answer).unwrap_or(Forwarded::Unknown),
            Err(AskError::Silent(_)) => Forwarded::Unknown,
            Err(AskError::Disconnected(_) | AskError::Declined { .. }) => Forwarded::Unavailable,
        }
    }
}
