//! All peers, for ever: accepts those of lower index, dials those of higher index, and
//! dials again when a connection ends.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use cairn_ledger::signature::SigningKey;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, lookup_host},
    sync::broadcast,
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{
    EVENTS, Hello, Identity, Members, Peer, PeerEvent, Services,
    connection::Connection,
    count,
    counters::Tally,
    hello::{self, HelloError},
    tls,
};
use crate::clock::{self, Stopwatch};

/// From the TCP connection to the peer's hello. A network of bad days needs a few seconds;
/// whoever connects and says nothing holds a place no longer than this.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Most connections that are accepted and not yet known to be a member's. One more pushes out
/// the oldest: a member needs its place for a few round trips, an idler for all of [`HANDSHAKE`].
const STRANGERS_MAX: usize = 64;

/// Between two attempts to connect: doubled from the first to the second, with jitter.
const BACKOFF_MS: std::ops::RangeInclusive<u64> = 50..=2000;

/// A connection that lasted this long was a good one: the next attempt comes soon.
const GOOD: Duration = Duration::from_secs(5);

/// When the listener itself fails (out of file descriptors), it rests this long.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// The state that all connections share.
pub(super) struct Links {
    pub(super) me: Peer,
    pub(super) services: Arc<Services>,
    pub(super) tally: Arc<Tally>,
    pub(super) events: broadcast::Sender<PeerEvent>,
    members: Members,
    identity: Identity,
    hello: Hello,
    addresses: BTreeMap<Peer, String>,
    current: Mutex<BTreeMap<Peer, Arc<Connection>>>,
}

impl Links {
    pub(super) fn new(
        members: Members,
        me: Peer,
        member_key: &SigningKey,
        addresses: BTreeMap<Peer, String>,
    ) -> Arc<Self> {
        let tally = Arc::new(Tally::new());
        let incarnation = u64::from_be_bytes(clock::random());
        Arc::new(Self {
            me,
            services: Arc::default(),
            identity: Identity::new(member_key, Arc::clone(&tally)),
            hello: Hello { chain: members.chain, index: me, incarnation },
            tally,
            events: broadcast::Sender::new(EVENTS),
            members,
            addresses,
            current: Mutex::default(),
        })
    }

    pub(super) fn to(&self, peer: Peer) -> Option<Arc<Connection>> {
        self.current.lock().get(&peer).map(Arc::clone)
    }

    pub(super) fn all(&self) -> Vec<Arc<Connection>> {
        self.current.lock().values().map(Arc::clone).collect()
    }

    /// The newest connection is the one that counts: its dialler only dials when it has given
    /// up on the one before, whatever this side still believes.
    fn came(&self, connection: &Arc<Connection>) {
        let mut current = self.current.lock();
        let old = current.insert(connection.peer, Arc::clone(connection));
        if let Some(old) = old {
            old.close();
        }
        count(&self.tally.connects);
        // Under the lock, so that events are heard in the order in which they happened.
        let _ = self.events.send(PeerEvent::Connected(connection.peer));
    }

    pub(super) fn gone(&self, connection: &Arc<Connection>) {
        connection.close();
        let mut current = self.current.lock();
        let is_current =
            current.get(&connection.peer).is_some_and(|now| Arc::ptr_eq(now, connection));
        if is_current {
            current.remove(&connection.peer);
            let _ = self.events.send(PeerEvent::Disconnected(connection.peer));
        }
        drop(current);
    }

    fn name(&self, peer: Peer) -> &str {
        self.members.names.get(usize::from(peer)).map_or("?", String::as_str)
    }

    /// Serves an authenticated connection until it ends.
    async fn live(
        self: &Arc<Self>,
        theirs: Hello,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin,
    ) {
        let (services, tally) = (Arc::clone(&self.services), Arc::clone(&self.tally));
        let connection =
            Arc::new(Connection::new(theirs.index, theirs.incarnation, services, tally));
        // Also when this task is aborted.
        let _leave = Leave { links: self, connection: &connection };
        self.came(&connection);
        let name = self.name(theirs.index);
        tracing::info!(peer = name, incarnation = connection.incarnation, "connected");
        let ended = connection.run(stream).await;
        tracing::info!(peer = name, why = %ended, "disconnected");
    }

    async fn greet(
        &self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        known: Peer,
    ) -> Result<Hello, HandshakeError> {
        let theirs = hello::exchange(stream, &self.hello, known).await?;
        Ok(theirs)
    }

    fn failed(&self, subject: &str, error: &HandshakeError) {
        match error {
            HandshakeError::Hello(HelloError::Broken(_)) | HandshakeError::Io(_) => {
                count(&self.tally.handshakes_failed);
            }
            HandshakeError::Slow => count(&self.tally.handshakes_failed),
            HandshakeError::Hello(_) | HandshakeError::Direction(_) => {
                count(&self.tally.hellos_refused);
            }
        }
        self.tally.complain(error.code(), subject, &error.to_string());
    }
}

struct Leave<'a> {
    links: &'a Links,
    connection: &'a Arc<Connection>,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        count(&self.links.tally.disconnects);
        self.links.gone(self.connection);
    }
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
enum HandshakeError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Hello(#[from] HelloError),
    #[error("no hello within {} s", HANDSHAKE.as_secs())]
    Slow,
    #[error("validator {0} dialled a lower index; the lower one dials")]
    Direction(Peer),
}

impl HandshakeError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io(_) => "PEER_UNREACHABLE",
            Self::Hello(error) => error.code(),
            Self::Slow => "HANDSHAKE_TIMEOUT",
            Self::Direction(_) => "HELLO_DIRECTION",
        }
    }
}

/// Starts to listen and to dial.
pub(super) fn start(links: &Arc<Links>, tasks: &Tasks, listener: TcpListener) {
    let below = &links.members.keys[..usize::from(links.me)];
    let acceptor = TlsAcceptor::from(links.identity.server(below.to_vec()));
    tasks.spawn(accept(Arc::clone(links), tasks.clone(), listener, acceptor));
    for (at, key) in links.members.keys.iter().enumerate().skip(usize::from(links.me) + 1) {
        let Ok(peer) = Peer::try_from(at) else { break };
        let Some(address) = links.addresses.get(&peer) else {
            tracing::warn!(peer = links.name(peer), "no address is known: it cannot be dialled");
            continue;
        };
        let connector = TlsConnector::from(links.identity.client(*key));
        tasks.spawn(dial(Arc::clone(links), peer, address.clone(), connector));
    }
}

async fn accept(links: Arc<Links>, tasks: Tasks, listener: TcpListener, acceptor: TlsAcceptor) {
    let mut strangers: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                links.tally.complain("MESH_ACCEPT", "listener", &error.to_string());
                sleep(ACCEPT_REST).await;
                continue;
            }
        };
        strangers.retain(|stranger| !stranger.is_finished());
        if strangers.len() >= STRANGERS_MAX
            && let Some(oldest) = strangers.pop_front()
        {
            count(&links.tally.handshakes_failed);
            oldest.abort();
        }
        let welcome = welcome(Arc::clone(&links), tasks.clone(), stream, from, acceptor.clone());
        strangers.extend(tasks.spawn(welcome));
    }
}

/// From an accepted TCP connection to a peer, within the time for it. A peer's connection then
/// lives in a task of its own, so that it no longer counts as a stranger's.
async fn welcome(
    links: Arc<Links>,
    tasks: Tasks,
    stream: TcpStream,
    from: SocketAddr,
    acceptor: TlsAcceptor,
) {
    let shake = async {
        stream.set_nodelay(true)?;
        let mut stream = acceptor.accept(stream).await?;
        let known = tls::peer_of(stream.get_ref().1, &links.members.keys)
            .ok_or_else(|| io::Error::other("the handshake ended without a member's key"))?;
        if known >= links.me {
            return Err(HandshakeError::Direction(known));
        }
        let theirs = links.greet(&mut stream, known).await?;
        Ok((theirs, stream))
    };
    let shaken = timeout(HANDSHAKE, shake).await.unwrap_or(Err(HandshakeError::Slow));
    match shaken {
        Ok((theirs, stream)) => {
            tasks.spawn(async move { links.live(theirs, stream).await });
        }
        // Without the port: it differs each time.
        Err(error) => links.failed(&from.ip().to_string(), &error),
    }
}

async fn dial(links: Arc<Links>, peer: Peer, address: String, connector: TlsConnector) {
    let mut backoff = *BACKOFF_MS.start();
    loop {
        let shaken = match look_up(&address).await {
            Ok(found) => {
                let shake = async {
                    let stream = TcpStream::connect(&found[..]).await?;
                    stream.set_nodelay(true)?;
                    let mut stream = connector.connect(tls::any_name(), stream).await?;
                    let theirs = links.greet(&mut stream, peer).await?;
                    Ok((theirs, stream))
                };
                timeout(HANDSHAKE, shake).await.unwrap_or(Err(HandshakeError::Slow))
            }
            Err(error) => Err(error.into()),
        };
        match shaken {
            Ok((theirs, stream)) => {
                let lasted = Stopwatch::start();
                links.live(theirs, stream).await;
                if lasted.elapsed() >= GOOD {
                    backoff = *BACKOFF_MS.start();
                }
            }
            Err(error) => links.failed(links.name(peer), &error),
        }
        sleep(with_jitter(backoff)).await;
        backoff = (backoff * 2).min(*BACKOFF_MS.end());
    }
}

/// Where a name leads now: a validator that moves keeps its name. Not within the handshake's time:
/// nobody can call a look-up off, and one at a time is enough for a name server in trouble.
async fn look_up(address: &str) -> io::Result<Vec<SocketAddr>> {
    Ok(lookup_host(address).await?.collect())
}

/// Half to all of it, so that those who lost a peer together do not come back together.
fn with_jitter(milliseconds: u64) -> Duration {
    let half = milliseconds / 2;
    let dice = u64::from(u16::from_be_bytes(clock::random()));
    Duration::from_millis(half + half * dice / u64::from(u16::MAX))
}

/// The tasks of one mesh; they end together.
#[derive(Clone, Default)]
pub(super) struct Tasks(Arc<Mutex<Running>>);

#[derive(Default)]
struct Running {
    tasks: JoinSet<()>,
    stopped: bool,
}

impl Tasks {
    /// Starts a task; nothing after [`Tasks::stop`].
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Option<AbortHandle> {
        let mut running = self.0.lock();
        if running.stopped {
            return None;
        }
        while running.tasks.try_join_next().is_some() {}
        Some(running.tasks.spawn(task))
    }

    /// Ends all tasks and waits until they have ended.
    pub(super) async fn stop(&self) {
        let mut tasks = {
            let mut running = self.0.lock();
            running.stopped = true;
            std::mem::take(&mut running.tasks)
        };
        tasks.shutdown().await;
    }
}
