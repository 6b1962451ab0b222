//! The chain's ends of the mesh: messages that come in, blocks and bodies that are asked for.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use cairn_ledger::{
    block::{Block, Body, Header},
    encoding::{DecodeError, Reader, Writer},
    genesis::Genesis,
    ids::{BlockId, Height},
    limits::{BLOCK_BYTES_MAX, BLOCK_TRANSACTIONS_MAX, FRAME_BYTES_MAX, TRANSACTION_BYTES_MAX},
};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::{ChainStatus, Event, Inbox, frontier};
use crate::{
    chain::message,
    mesh::{Channel, Mesh, Peer, Service},
    metrics::Metrics,
    store::Store,
};

/// Most messages from peers that wait for the chain's thread. Signatures were checked, so
/// only validators can fill it; what does not fit is sent again by the status exchange.
const WAITING_MESSAGES_MAX: usize = 8192;

/// How long a peer may take to answer with blocks or a body.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Bytes of blocks in one answer: as many blocks as fit, at least one.
const ANSWER_BYTES: usize = BLOCK_BYTES_MAX;

/// Receives proposals, votes and statuses.
pub(super) struct Messages {
    pub(super) genesis: Arc<Genesis>,
    pub(super) inbox: Inbox,
    pub(super) waiting: Arc<AtomicUsize>,
    pub(super) metrics: Arc<Metrics>,
}

#[async_trait::async_trait]
impl Service for Messages {
    fn notify(&self, from: Peer, bytes: Bytes) {
        let drop = |why: &'static str| {
            tracing::debug!(from, why, "a message was dropped");
            self.metrics.frames_dropped.with_label_values(&[why]).inc();
        };
        let Ok(message) = message::Message::decode(&bytes, self.genesis.validators().len()) else {
            return drop("malformed");
        };
        if let Err(why) = message::verify(&self.genesis, &message, from) {
            return drop(why);
        }
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MESSAGES_MAX {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return drop("full");
        }
        self.inbox.put(Event::Message { from, message });
    }

    async fn answer(&self, _from: Peer, _request: Bytes) -> Result<Bytes, String> {
        Err("this channel answers no requests".to_owned())
    }
}

/// What a validator asks of a peer about blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Decided blocks from a height on.
    BlocksFrom(Height),
    /// The body of a block that is being voted on.
    Body(BlockId),
    /// How far the chain is, as far as the peer knows.
    Frontier,
}

impl Request {
    pub(super) fn encode(self) -> Bytes {
        let mut writer = Writer::default();
        match self {
            Self::BlocksFrom(height) => writer.u8(0).u64(height.0),
            Self::Body(block) => writer.u8(1).raw(&block.0),
            Self::Frontier => writer.u8(2),
        };
        writer.finish().into()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("block request", bytes);
        let request = match reader.u8()? {
            0 => Self::BlocksFrom(Height(reader.u64()?)),
            1 => Self::Body(BlockId(reader.array()?)),
            2 => Self::Frontier,
            _ => return Err(reader.malformed()),
        };
        reader.finish()?;
        Ok(request)
    }
}

/// The bodies of blocks in the making, for peers that lack one.
#[derive(Clone, Default)]
pub(super) struct Bodies(Arc<Mutex<HashMap<BlockId, Body>>>);

/// Most bodies that are kept for peers: one a round is what honest proposers make.
const BODIES_MAX: usize = 8;

impl Bodies {
    pub(super) fn put(&self, block: BlockId, body: Body) {
        let mut bodies = self.0.lock();
        if bodies.len() < BODIES_MAX {
            bodies.insert(block, body);
        }
    }

    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }

    fn get(&self, block: &BlockId) -> Option<Body> {
        self.0.lock().get(block).cloned()
    }
}

/// Serves decided blocks and the bodies of blocks in the making, and says how far the chain is.
pub(super) struct Blocks {
    pub(super) genesis: Arc<Genesis>,
    pub(super) store: Arc<dyn Store>,
    pub(super) bodies: Bodies,
    pub(super) status: watch::Receiver<ChainStatus>,
}

#[async_trait::async_trait]
impl Service for Blocks {
    fn notify(&self, _from: Peer, _message: Bytes) {}

    async fn answer(&self, _from: Peer, request: Bytes) -> Result<Bytes, String> {
        match Request::decode(&request).map_err(|error| error.to_string())? {
            Request::BlocksFrom(height) => {
                let (store, validators) = (self.store.clone(), self.genesis.validators().len());
                tokio::task::spawn_blocking(move || blocks_from(store.as_ref(), height, validators))
                    .await
                    .map_err(|_| "reading blocks failed".to_owned())?
            }
            Request::Body(block) => {
                let body = self.bodies.get(&block).ok_or("that body is not here")?;
                Ok(encode_body(&body))
            }
            Request::Frontier => frontier::answer(&self.status.borrow()),
        }
    }
}

fn blocks_from(store: &dyn Store, from: Height, validators: usize) -> Result<Bytes, String> {
    let mut writer = Writer::default();
    let mut height = from;
    while let Some(block) = store.block(height).map_err(|error| error.to_string())? {
        let bytes = block.encode(validators);
        if !writer.is_empty() && writer.len() + bytes.len() > ANSWER_BYTES {
            break;
        }
        writer.bytes(&bytes);
        height = height.next();
    }
    if writer.is_empty() {
        Err(format!("there is no block {from} here"))
    } else {
        Ok(writer.finish().into())
    }
}

fn decode_blocks(bytes: &[u8], validators: usize) -> Result<Vec<Block>, DecodeError> {
    let mut reader = Reader::new("blocks", bytes);
    let mut blocks = Vec::new();
    while !reader.is_done() {
        blocks.push(Block::decode(reader.bytes(FRAME_BYTES_MAX)?, validators)?);
    }
    Ok(blocks)
}

fn encode_body(body: &Body) -> Bytes {
    let mut writer = Writer::default();
    writer.u32(u32::try_from(body.len()).expect("a body is far below 2^32"));
    for transaction in body {
        writer.bytes(transaction);
    }
    writer.finish().into()
}

fn decode_body(bytes: &[u8]) -> Result<Body, DecodeError> {
    let mut reader = Reader::new("body", bytes);
    let count = reader.count(BLOCK_TRANSACTIONS_MAX)?;
    let mut body = Vec::with_capacity(count);
    for _ in 0..count {
        body.push(Arc::from(reader.bytes(TRANSACTION_BYTES_MAX)?));
    }
    reader.finish()?;
    Ok(body)
}

/// Asks a peer for a body, and puts what it answers into the inbox.
pub(super) async fn fetch_body(mesh: Arc<Mesh>, inbox: Inbox, header: Header, from: Peer) {
    let request = Request::Body(header.id()).encode();
    let body = match mesh.ask(from, Channel::Blocks, request, ANSWER_WITHIN).await {
        Ok(bytes) => decode_body(&bytes).ok(),
        Err(error) => {
            tracing::debug!(%error, from, block = %header.id(), "a body did not come");
            None
        }
    };
    inbox.put(Event::Body { header, body });
}

/// Asks a peer for decided blocks, and puts what it answers into the inbox.
pub(super) async fn fetch_blocks(
    mesh: Arc<Mesh>,
    inbox: Inbox,
    genesis: Arc<Genesis>,
    height: Height,
    from: Peer,
) {
    let blocks = ask_blocks(&mesh, genesis, height, from).await;
    inbox.put(Event::Blocks { from, height, blocks });
}

/// Asks a peer for decided blocks from a height on; none come when it has none.
pub(super) async fn ask_blocks(
    mesh: &Mesh,
    genesis: Arc<Genesis>,
    height: Height,
    from: Peer,
) -> Vec<Block> {
    let request = Request::BlocksFrom(height).encode();
    match mesh.ask(from, Channel::Blocks, request, ANSWER_WITHIN).await {
        Ok(bytes) => {
            let decoded = tokio::task::spawn_blocking(move || {
                decode_blocks(&bytes, genesis.validators().len())
            });
            decoded.await.ok().and_then(Result::ok).unwrap_or_default()
        }
        Err(error) => {
            tracing::debug!(%error, from, height = height.0, "blocks did not come");
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_survive_the_wire_and_junk_is_malformed() {
        for request in
            [Request::BlocksFrom(Height(7)), Request::Body(BlockId([9; 32])), Request::Frontier]
        {
            let bytes = request.encode();
            assert_eq!(Request::decode(&bytes), Ok(request));
            for end in 0..bytes.len() {
                assert!(Request::decode(&bytes[..end]).is_err(), "cut at {end}");
            }
        }
        assert!(Request::decode(&[2; 9]).is_err(), "an unknown kind");
    }

    #[test]
    fn bodies_survive_the_wire_and_counts_are_bounded() {
        let body: Body = vec![Arc::from(&b"one"[..]), Arc::from(&b""[..])];
        let bytes = encode_body(&body);
        assert_eq!(decode_body(&bytes), Ok(body));
        assert!(decode_body(&u32::MAX.to_be_bytes()).is_err(), "more than fit in a block");
    }
}
