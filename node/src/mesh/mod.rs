//! Bytes between validators: TCP with mutual TLS, each side known by the member key in the
//! genesis record. What the bytes mean is the business of the services.

//!
//! Each pair of validators shares one connection: the lower index dials, the higher one
//! accepts, so there is never a tie to break. Everything here is lossy by design: a message is
//! queued or dropped, a request is answered or not, and whoever needs certainty asks again.
//!
//! Read in this order: `tls` (who is it), `hello` (of which chain), `frame` (bytes as
//! messages), `outbox` (what waits), `connection` (one peer, while it lasts), `links`
//! (all peers, for ever).

mod connection;
mod counters;
mod frame;
mod hello;
mod links;
mod outbox;
#[cfg(test)]
mod tests;
mod tls;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use cairn_ledger::{
    genesis::Genesis,
    ids::{ChainId, PublicKey},
    signature::SigningKey,
};
use tokio::sync::broadcast;

pub use self::{counters::Counters, frame::PAYLOAD_BYTES_MAX};
use self::{
    counters::count,
    hello::Hello,
    links::{Links, Tasks},
    tls::Identity,
};

/// A validator's index in the genesis record.
pub type Peer = u16;

/// Whom a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Channel {
    /// Proposals, votes, status: small, urgent, lossy.
    Chain = 1,
    /// Between those who keep the log: Raft's own requests, batches for whoever writes it.
    Order = 2,
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

/// Someone came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerEvent {
    /// A connection stands, and is of this chain. Said again when a new connection takes the
    /// place of one that was not yet known to be dead: what was sent before may be lost.
    Connected(Peer),
    /// There is no connection any more.
    Disconnected(Peer),
}

/// Most events that a slow listener may fall behind; then it hears that it lagged, and
/// looks at [`Mesh::connected`].
const EVENTS: usize = 1024;

/// Who receives each channel's frames.
#[derive(Default)]
struct Services([OnceLock<Arc<dyn Service>>; 3]);

impl Services {
    fn slot(&self, channel: Channel) -> &OnceLock<Arc<dyn Service>> {
        match channel {
            Channel::Chain => &self.0[0],
            Channel::Order => &self.0[1],
            Channel::Blocks => &self.0[2],
        }
    }

    fn of(&self, channel: Channel) -> Option<&Arc<dyn Service>> {
        self.slot(channel).get()
    }
}

/// What the mesh takes from the genesis record: the chain, and whose key has which index.
struct Members {
    chain: ChainId,
    keys: Vec<PublicKey>,
    names: Vec<String>,
}

/// The connections.
pub struct Mesh {
    links: Arc<Links>,
    tasks: Tasks,
}

impl fmt::Debug for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mesh")
            .field("me", &self.links.me)
            .field("connected", &self.connected())
            .finish()
    }
}

impl Mesh {
    /// Sets up; nothing is connected before [`Mesh::start`].
    ///
    /// # Panics
    /// When `member_key` is not the key that the genesis record has for `me`: whoever reads
    /// the key file checks that.
    pub fn new(config: MeshConfig) -> Arc<Self> {
        let MeshConfig { genesis, me, member_key, addresses } = config;
        let members = Members {
            chain: genesis.chain(),
            keys: genesis.validators().iter().map(|v| v.member_key).collect(),
            names: genesis.validators().iter().map(|v| v.name.clone()).collect(),
        };
        Self::among(members, me, &member_key, addresses)
    }

    fn among(
        members: Members,
        me: Peer,
        member_key: &SigningKey,
        addresses: BTreeMap<Peer, String>,
    ) -> Arc<Self> {
        assert_eq!(
            members.keys.get(usize::from(me)),
            Some(&member_key.public()),
            "the member key is that of validator {me}"
        );
        Arc::new(Self {
            links: Links::new(members, me, member_key, addresses),
            tasks: Tasks::default(),
        })
    }

    /// Who receives a channel's frames. Before `start`, once for each channel.
    ///
    /// # Panics
    /// When the channel has a receiver already.
    pub fn serve(&self, channel: Channel, service: Arc<dyn Service>) {
        let free = self.links.services.slot(channel).set(service).is_ok();
        assert!(free, "{channel:?} is served once");
    }

    /// Listens and connects, until [`Mesh::stop`].
    pub fn start(self: &Arc<Self>, listener: tokio::net::TcpListener) {
        links::start(&self.links, &self.tasks, listener);
    }

    /// Queues a one-way message; false when it is not connected or its queue is full.
    pub fn send(&self, to: Peer, channel: Channel, message: Bytes) -> bool {
        self.links.to(to).is_some_and(|connection| connection.send(channel, message))
    }

    /// Queues a one-way message to every other validator.
    pub fn broadcast(&self, channel: Channel, message: Bytes) {
        for connection in self.links.all() {
            connection.send(channel, message.clone());
        }
    }

    /// Asks and waits for the answer.
    pub async fn ask(
        &self,
        to: Peer,
        channel: Channel,
        request: Bytes,
        within: Duration,
    ) -> Result<Bytes, AskError> {
        let connection = self.links.to(to).ok_or(AskError::Disconnected(to))?;
        connection.ask(channel, request, within).await
    }

    /// Who is connected now.
    pub fn connected(&self) -> Vec<Peer> {
        self.links.all().iter().map(|connection| connection.peer).collect()
    }

    /// Who is connected and was heard so lately. An idle peer pings every three seconds; a
    /// connection over which nothing comes is given up much later.
    pub fn heard(&self, lately: Duration) -> Vec<Peer> {
        let connections = self.links.all();
        let heard = connections.iter().filter(|connection| connection.quiet() < lately);
        heard.map(|connection| connection.peer).collect()
    }

    /// Who comes and goes from now on.
    pub fn events(&self) -> broadcast::Receiver<PeerEvent> {
        self.links.events.subscribe()
    }

    /// Bytes that wait to be sent, to all peers together.
    pub fn queued_bytes(&self) -> usize {
        self.links.all().iter().map(|connection| connection.queued_bytes()).sum()
    }

    /// What happened since the start.
    pub fn counters(&self) -> Counters {
        self.links.tally.read()
    }

    /// Closes everything; nothing is sent or received afterwards.
    pub async fn stop(&self) {
        self.tasks.stop().await;
        for connection in self.links.all() {
            self.links.gone(&connection);
        }
    }
}
