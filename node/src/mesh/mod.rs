//! Bytes between validators: TCP with mutual TLS, each side known by the member key in the
//! genesis record. What the bytes mean is the business of the services.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use cairn_ledger::{genesis::Genesis, signature::SigningKey};

/// A validator's index in the genesis record.
pub type Peer = u16;

/// Whom a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Channel {
    /// Proposals, votes, status: small, urgent, lossy.
    Chain = 1,
    /// Raft's own requests.
    Raft = 2,
    /// Certified blocks and bodies, on request.
    Blocks = 3,
}

/// The receiving end of a channel. Called by the connection's reader, which waits for it.
#[async_trait::async_trait]
pub trait Service: Send + Sync + 'static {
    /// A one-way message. Must not block: drop what cannot be queued, and count it.
    fn notify(&self, from: Peer, message: Bytes);

    /// A request; runs in a task of its own. An error's text goes to the asker.
    async fn answer(&self, from: Peer, request: Bytes) -> Result<Bytes, String>;
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// There is no connection: it was certainly not asked.
    #[error("validator {0} is not connected")]
    Disconnected(Peer),
    /// No answer came in time, or the connection broke meanwhile: it may have acted.
    #[error("validator {0} did not answer in time")]
    Silent(Peer),
    /// It answered that it will not.
    #[error("validator {peer} answered: {reason}")]
    Declined {
        /// Who.
        peer: Peer,
        /// Its words.
        reason: String,
    },
}

/// How a mesh is set up.
pub struct MeshConfig {
    /// Who may take part.
    pub genesis: Arc<Genesis>,
    /// This validator's index.
    pub me: Peer,
    /// This member's key.
    pub member_key: SigningKey,
    /// Where the others listen, as host:port; resolved again at each attempt.
    pub addresses: BTreeMap<Peer, String>,
}

/// The connections.
#[derive(Debug)]
pub struct Mesh {
    private: (),
}

impl Mesh {
    /// Sets up; nothing is connected before [`Mesh::start`].
    pub fn new(config: MeshConfig) -> Arc<Self> {
        let _ = config;
        todo!()
    }
    /// Who receives a channel's frames. Before `start`, once for each channel.
    pub fn serve(&self, channel: Channel, service: Arc<dyn Service>) {
        let _ = (channel, service);
        todo!()
    }
    /// Listens and connects, until [`Mesh::stop`].
    pub fn start(self: &Arc<Self>, listener: tokio::net::TcpListener) {
        let _ = listener;
        todo!()
    }
    /// Queues a one-way message; false when it is not connected or its queue is full.
    pub fn send(&self, to: Peer, channel: Channel, message: Bytes) -> bool {
        let _ = (to, channel, message);
        todo!()
    }
    /// Queues a one-way message to every other validator.
    pub fn broadcast(&self, channel: Channel, message: Bytes) {
        let _ = (channel, message);
        todo!()
    }
    /// Asks and waits for the answer.
    pub async fn ask(
        &self,
        to: Peer,
        channel: Channel,
        request: Bytes,
        within: Duration,
    ) -> Result<Bytes, AskError> {
        let _ = (to, channel, request, within);
        todo!()
    }
    /// Who is connected now.
    pub fn connected(&self) -> Vec<Peer> {
        todo!()
    }
    /// Closes everything.
    pub async fn stop(&self) {
        todo!()
    }
}
