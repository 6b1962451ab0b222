//! Meshes on loopback: they meet, talk, and refuse whom they should. Waiting is by polling
//! with a generous deadline; nothing here asserts how long anything takes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use super::{hello::HelloError, *};
use crate::clock::Stopwatch;

const DEADLINE: Duration = Duration::from_secs(60);

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Remembers what it was told; answers with the request, reversed.
#[derive(Default)]
struct Echo {
    heard: Mutex<Vec<(Peer, Bytes)>>,
    asked: AtomicU64,
    /// Requests wait for this when it is there.
    gate: Option<Arc<Notify>>,
}

#[async_trait::async_trait]
impl Service for Echo {
    fn notify(&self, from: Peer, message: Bytes) {
        self.heard.lock().push((from, message));
    }

    async fn answer(&self, _from: Peer, request: Bytes) -> Result<Bytes, String> {
        self.asked.fetch_add(1, Relaxed);
        if let Some(gate) = &self.gate {
            gate.notified().await;
        }
        if &*request == b"no" {
            return Err("not today".to_owned());
        }
        Ok(request.iter().rev().copied().collect())
    }
}

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed([n + 1; 32])
}

fn members(count: u8, chain: u8) -> Members {
    Members {
        chain: ChainId([chain; 32]),
        keys: (0..count).map(|n| key(n).public()).collect(),
        names: (0..count).map(|n| format!("validator-{n}")).collect(),
    }
}

struct Node {
    mesh: Arc<Mesh>,
    echo: Arc<Echo>,
}

/// One validator of several, listening on `listener`.
fn node(
    members: Members,
    me: Peer,
    key: &SigningKey,
    listener: TcpListener,
    at: &[String],
) -> Node {
    let others = at.iter().cloned().enumerate().map(|(n, at)| (n as Peer, at));
    let mesh = Mesh::among(members, me, key, others.collect());
    let echo = Arc::new(Echo::default());
    mesh.serve(Channel::Chain, echo.clone());
    mesh.serve(Channel::Blocks, echo.clone());
    mesh.start(listener);
    Node { mesh, echo }
}

async fn listeners(count: usize) -> (Vec<TcpListener>, Vec<String>) {
    let mut listeners = Vec::new();
    for _ in 0..count {
        listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    let at = listeners.iter().map(|l| l.local_addr().unwrap().to_string()).collect();
    (listeners, at)
}

async fn connected(count: u8) -> (Vec<Node>, Vec<String>) {
    let (listeners, at) = listeners(count.into()).await;
    let nodes: Vec<Node> = (0..count)
        .zip(listeners)
        .map(|(n, listener)| node(members(count, 1), n.into(), &key(n), listener, &at))
        .collect();
    let all = || nodes.iter().all(|n| n.mesh.connected().len() == usize::from(count) - 1);
    eventually("all are connected", all).await;
    (nodes, at)
}

#[tokio::test]
async fn four_validators_meet_and_talk() {
    let (nodes, _) = connected(4).await;
    nodes[2].mesh.broadcast(Channel::Chain, Bytes::from_static(b"to all"));
    for other in [0, 1, 3] {
        let heard = &nodes[other].echo.heard;
        eventually("the broadcast", || *heard.lock() == [(2, Bytes::from_static(b"to all"))]).await;
    }
    for (from, to) in [(0, 3), (3, 0), (1, 2)] {
        let ask = |request: &'static [u8]| {
            nodes[from].mesh.ask(to, Channel::Blocks, Bytes::from_static(request), DEADLINE)
        };
        assert_eq!(ask(b"abc").await.unwrap(), "cba");
        let declined = AskError::Declined { peer: to, reason: "not today".to_owned() };
        assert_eq!(ask(b"no").await, Err(declined));
    }
    let unserved = nodes[0].mesh.ask(1, Channel::Order, Bytes::new(), DEADLINE).await;
    assert!(matches!(unserved, Err(AskError::Declined { peer: 1, .. })), "{unserved:?}");
    assert!(!nodes[1].mesh.send(1, Channel::Chain, Bytes::new()), "to itself");
    assert!(!nodes[1].mesh.send(99, Channel::Chain, Bytes::new()), "to nobody");
}

#[tokio::test]
async fn the_largest_frame_passes_and_a_larger_one_is_not_sent() {
    let (nodes, _) = connected(2).await;
    let largest = Bytes::from(vec![7; PAYLOAD_BYTES_MAX]);
    let answer = nodes[0].mesh.ask(1, Channel::Blocks, largest.clone(), DEADLINE).await.unwrap();
    assert!(answer == largest, "the answer is as large");
    let larger = Bytes::from(vec![7; PAYLOAD_BYTES_MAX + 1]);
    assert!(!nodes[0].mesh.send(1, Channel::Blocks, larger.clone()));
    let declined = nodes[0].mesh.ask(1, Channel::Blocks, larger, DEADLINE).await;
    assert!(matches!(declined, Err(AskError::Declined { peer: 1, .. })), "{declined:?}");
    assert_eq!(nodes[0].mesh.connected(), [1], "the connection is none the worse");
}

#[tokio::test]
async fn a_full_queue_drops_and_does_not_wait() {
    let (nodes, _) = connected(2).await;
    // On this one thread nothing is written while the loop runs, so the queue must fill.
    let message = Bytes::from(vec![0; 4 << 20]);
    let sent = (0..100).filter(|_| nodes[0].mesh.send(1, Channel::Blocks, message.clone())).count();
    assert!((1..20).contains(&sent), "{sent} of 100 messages of 4 MiB were queued");
    assert_eq!(nodes[0].mesh.counters().dropped, 100 - sent as u64);
    let asked = nodes[0].mesh.ask(1, Channel::Blocks, message, DEADLINE).await;
    assert_eq!(asked, Err(AskError::Disconnected(1)), "a full queue asks nobody");
    assert!(nodes[0].mesh.send(1, Channel::Chain, Bytes::from_static(b"vote")), "votes have room");
    let heard = &nodes[1].echo.heard;
    eventually("all that was queued arrives", || heard.lock().len() == sent + 1).await;
}

#[tokio::test]
async fn too_many_requests_at_once_are_declined() {
    let (mut listeners, at) = listeners(2).await;
    let gate = Arc::new(Notify::new());
    let second = Mesh::among(members(2, 1), 1, &key(1), BTreeMap::new());
    let echo = Arc::new(Echo { gate: Some(gate.clone()), ..Echo::default() });
    second.serve(Channel::Blocks, echo.clone());
    second.start(listeners.pop().unwrap());
    let first = node(members(2, 1), 0, &key(0), listeners.pop().unwrap(), &at);
    eventually("connected", || first.mesh.connected() == [1]).await;

    let ask = || {
        let mesh = first.mesh.clone();
        tokio::spawn(async move { mesh.ask(1, Channel::Blocks, Bytes::new(), DEADLINE).await })
    };
    let waiting: Vec<_> = (0..128).map(|_| ask()).collect();
    eventually("all are being answered", || echo.asked.load(Relaxed) == 128).await;
    let one_more = ask().await.unwrap();
    assert!(matches!(one_more, Err(AskError::Declined { .. })), "{one_more:?}");
    assert_eq!(second.counters().overloaded, 1);
    gate.notify_waiters();
    for asked in waiting {
        assert_eq!(asked.await.unwrap(), Ok(Bytes::new()));
    }
}

#[tokio::test]
async fn a_key_that_the_genesis_does_not_name_is_refused() {
    let (mut listeners, at) = listeners(2).await;
    let honest = node(members(2, 1), 1, &key(1), listeners.pop().unwrap(), &at);
    let mut forged = members(2, 1);
    forged.keys[0] = key(66).public();
    let stranger = node(forged, 0, &key(66), listeners.pop().unwrap(), &at);
    eventually("refused", || honest.mesh.counters().unauthenticated > 0).await;
    eventually("the stranger hears", || stranger.mesh.counters().handshakes_failed > 0).await;
    assert!(honest.mesh.connected().is_empty());
    assert_eq!(honest.mesh.counters().connects, 0);

    // The other way round: who answers at a validator's address must be that validator.
    let (mut listeners, at) = self::listeners(2).await;
    let mut forged = members(2, 1);
    forged.keys[1] = key(66).public();
    let impostor = node(forged, 1, &key(66), listeners.pop().unwrap(), &at);
    let honest = node(members(2, 1), 0, &key(0), listeners.pop().unwrap(), &at);
    eventually("refused", || honest.mesh.counters().unauthenticated > 0).await;
    assert!(honest.mesh.connected().is_empty() && impostor.mesh.connected().is_empty());
}

#[tokio::test]
async fn another_chain_of_the_same_members_is_refused() {
    let (mut listeners, at) = listeners(2).await;
    let second = node(members(2, 1), 1, &key(1), listeners.pop().unwrap(), &at);
    let first = node(members(2, 2), 0, &key(0), listeners.pop().unwrap(), &at);
    eventually("both refuse", || {
        second.mesh.counters().hellos_refused > 0 && first.mesh.counters().hellos_refused > 0
    })
    .await;
    assert_eq!((first.mesh.counters().connects, second.mesh.counters().connects), (0, 0));
    let ours = ChainId([1; 32]);
    assert_eq!(HelloError::Chain { theirs: ours, ours }.code(), "HELLO_CHAIN_ID");
}

#[tokio::test]
async fn bytes_that_are_no_tls_and_silence_hurt_nobody() {
    let (nodes, at) = connected(2).await;
    for junk in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4096], &[0x16, 3, 1, 0xff, 0xff], b""] {
        let mut stream = TcpStream::connect(&at[1]).await.unwrap();
        let _ = stream.write_all(junk).await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    eventually("counted", || nodes[1].mesh.counters().handshakes_failed >= 4).await;
    // More idlers than there are places: a member still gets in.
    let mut idlers = Vec::new();
    for _ in 0..200 {
        idlers.push(TcpStream::connect(&at[1]).await.unwrap());
    }
    nodes[0].mesh.links.to(1).unwrap().close();
    eventually("connected again", || nodes[0].mesh.counters().connects == 2).await;
    eventually("connected again", || nodes[0].mesh.connected() == [1]).await;
    assert_eq!(nodes[1].mesh.counters().unauthenticated, 0);
}

/// A member that speaks TLS and hello properly, then writes `bytes`: is it cut off?
async fn cut_off_after(bytes: &[u8]) -> Counters {
    let (mut listeners, at) = listeners(2).await;
    let honest = node(members(2, 1), 1, &key(1), listeners.pop().unwrap(), &at);
    let identity = Identity::new(&key(0), Arc::new(counters::Tally::new()));
    let connector = tokio_rustls::TlsConnector::from(identity.client(key(1).public()));
    let stream = TcpStream::connect(&at[1]).await.unwrap();
    let mut stream = connector.connect(tls::any_name(), stream).await.unwrap();
    let mine = Hello { chain: ChainId([1; 32]), index: 0, incarnation: 1 };
    hello::exchange(&mut stream, &mine, 1).await.unwrap();
    eventually("known", || honest.mesh.connected() == [0]).await;
    stream.write_all(bytes).await.unwrap();
    stream.flush().await.unwrap();
    eventually("cut off", || honest.mesh.connected().is_empty()).await;
    honest.mesh.counters()
}

#[tokio::test]
async fn a_member_that_sends_what_is_no_frame_is_cut_off() {
    #[rustfmt::skip]
    let table: [(&[u8], &str); 5] = [
        (&[0, 0, 0, 0],                                   "length 0"),
        (&[0, 0, 0, 9, 1, 1, 0, 0, 0, 0, 0, 0, 0],        "shorter than a head"),
        (&[0xff; 64],                                     "length 2^32-1"),
        (&[0, 0x80, 0, 1, 1, 1],                          "one more than fits"),
        (&[0, 0, 0, 10, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0],    "unknown channel and kind"),
    ];
    for (bytes, why) in table {
        assert_eq!(cut_off_after(bytes).await.frames_malformed, 1, "{why}");
    }
}

#[tokio::test]
async fn a_validator_that_was_killed_is_met_again() {
    let (mut nodes, at) = connected(3).await;
    let mut events = nodes[0].mesh.events();
    let gone = nodes.pop().unwrap();
    gone.mesh.stop().await;
    assert!(gone.mesh.connected().is_empty());
    eventually("missed", || nodes.iter().all(|n| n.mesh.connected().len() == 1)).await;
    assert_eq!(events.recv().await, Ok(PeerEvent::Disconnected(2)));
    let asked = nodes[0].mesh.ask(2, Channel::Blocks, Bytes::new(), DEADLINE).await;
    assert_eq!(asked, Err(AskError::Disconnected(2)));
    assert!(!nodes[0].mesh.send(2, Channel::Chain, Bytes::new()));

    drop(gone);
    let listener = TcpListener::bind(&at[2]).await.unwrap();
    let back = node(members(3, 1), 2, &key(2), listener, &at);
    eventually("met again", || nodes.iter().all(|n| n.mesh.connected().len() == 2)).await;
    assert_eq!(events.recv().await, Ok(PeerEvent::Connected(2)));
    nodes[0].mesh.send(2, Channel::Chain, Bytes::from_static(b"welcome back"));
    eventually("heard", || back.echo.heard.lock().len() == 1).await;
}

#[tokio::test]
async fn who_is_connected_and_quiet_is_not_heard() {
    let (nodes, _) = connected(3).await;
    let mesh = &nodes[1].mesh;
    assert_eq!(mesh.heard(DEADLINE), [0, 2]);
    assert!(mesh.heard(Duration::ZERO).is_empty(), "nobody is heard all the time");
    assert_eq!(mesh.connected().len(), 2);
    // A word starts the time anew.
    let since = Stopwatch::start();
    nodes[0].mesh.send(1, Channel::Chain, Bytes::from_static(b"here"));
    let just_now = || mesh.heard(since.elapsed()).contains(&0);
    eventually("heard since", just_now).await;
}

#[tokio::test]
async fn a_peer_is_found_by_its_name() {
    let (listeners, at) = listeners(2).await;
    let names: Vec<_> = at.iter().map(|at| at.replace("127.0.0.1", "localhost")).collect();
    let node = |(n, listener): (u8, _)| node(members(2, 1), n.into(), &key(n), listener, &names);
    let nodes: Vec<Node> = (0..).zip(listeners).map(node).collect();
    eventually("connected", || nodes[0].mesh.connected() == [1]).await;
}

#[tokio::test]
async fn who_does_not_answer_or_dies_meanwhile_is_silent() {
    let (mut listeners, at) = listeners(2).await;
    let second = Mesh::among(members(2, 1), 1, &key(1), BTreeMap::new());
    let echo = Arc::new(Echo { gate: Some(Arc::default()), ..Echo::default() });
    second.serve(Channel::Blocks, echo.clone());
    second.start(listeners.pop().unwrap());
    let first = node(members(2, 1), 0, &key(0), listeners.pop().unwrap(), &at);
    eventually("connected", || first.mesh.connected() == [1]).await;

    let soon = Duration::from_millis(10);
    let asked = first.mesh.ask(1, Channel::Blocks, Bytes::new(), soon).await;
    assert_eq!(asked, Err(AskError::Silent(1)), "no answer in time");
    let before = echo.asked.load(Relaxed);
    let (asked, ()) =
        tokio::join!(first.mesh.ask(1, Channel::Blocks, Bytes::new(), DEADLINE), async {
            eventually("asked", || echo.asked.load(Relaxed) > before).await;
            second.stop().await;
        });
    assert_eq!(asked, Err(AskError::Silent(1)), "it may have acted before it died");
}
