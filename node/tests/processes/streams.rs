//! Readers of event streams whose connections are cut at any byte, and who go on elsewhere,
//! while validators die: they miss nothing.
//!
//! `CAIRN_STREAM_TRANSACTIONS=100000` makes it long, `CAIRN_STREAM_SEED` repeats where it cut.

use std::{
    collections::HashSet,
    io::{self, BufRead as _, BufReader, Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use cairn_ledger::signature::SigningKey;
use cairn_node::clock::{self, Stopwatch};
use serde_json::Value;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client::client};

use super::{
    client::{Client, asset},
    federation::{Federation, Node, until},
};

/// Transactions of one request.
const BATCH: usize = 250;

/// A stream says something at least every 15 s.
const QUIET: Duration = Duration::from_secs(40);

/// Splitmix64: which byte is the last that a connection brings.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// A connection that breaks after so many bytes.
struct Fragile {
    stream: TcpStream,
    left: usize,
}

impl Fragile {
    fn connect(port: u16, left: usize) -> Option<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(QUIET)).ok()?;
        Some(Self { stream, left })
    }
}

impl Read for Fragile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(self.left);
        if most == 0 {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let read = self.stream.read(&mut buffer[..most]);
        if let Err(error) = &read {
            let waited =
                matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
            assert!(!waited, "nothing came for {QUIET:?}");
        }
        let read = read?;
        self.left -= read;
        Ok(read)
    }
}

impl Write for Fragile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// One connection's events, as long as it brings some.
enum Connection {
    Sse(BufReader<Fragile>),
    WebSocket(Box<WebSocket<Fragile>>),
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Sse,
    WebSocket,
}

impl Connection {
    /// Goes on behind the last event.
    fn open(kind: Kind, mut through: Fragile, last: Option<&str>) -> Option<Self> {
        match kind {
            Kind::Sse => {
                let resume = last.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
                let head = format!("GET /api/v2/stream?from=1 HTTP/1.0\r\n{resume}\r\n");
                through.write_all(head.as_bytes()).ok()?;
                let mut lines = BufReader::new(through);
                let mut line = String::new();
                lines.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
                // The very first line may be cut short as well.
                let whole = line.ends_with('\n');
                assert!(!whole || line.starts_with("HTTP/1.0 200 "), "{line}");
                while line != "\r\n" {
                    line.clear();
                    lines.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
                }
                Some(Self::Sse(lines))
            }
            Kind::WebSocket => {
                let from = last.unwrap_or("1");
                let url = format!("ws://127.0.0.1/api/v2/stream?from={from}");
                let (socket, _) = client(url, through).ok()?;
                Some(Self::WebSocket(Box::new(socket)))
            }
        }
    }

    /// The next event: its id, and what it says when it says something. Nothing when the
    /// connection is gone, and half an event with it.
    fn next(&mut self) -> Option<(String, Option<Value>)> {
        match self {
            Self::Sse(lines) => {
                let (mut id, mut data) = (None, None);
                loop {
                    let mut line = String::new();
                    lines.read_line(&mut line).ok()?;
                    let line = line.strip_suffix('\n')?;
                    match line.split_once(": ") {
                        Some(("id", text)) => id = Some(text.to_owned()),
                        Some(("data", text)) => data = Some(serde_json::from_str(text).unwrap()),
                        _ if line.is_empty() => return Some((id.expect("each has one"), data)),
                        _ => {}
                    }
                }
            }
            Self::WebSocket(socket) => loop {
                let Message::Text(text) = socket.read().ok()? else { continue };
                let event: Value = serde_json::from_str(text.as_str()).unwrap();
                let id = event["event_id"].as_str().unwrap().to_owned();
                return Some((id, (event["event"] != "progress").then_some(event)));
            },
        }
    }
}

/// A transaction's place and id.
type Event = (u64, String);

/// What a reader saw.
#[derive(Default)]
struct Sight {
    events: Vec<Event>,
    again: usize,
    connections: usize,
}

struct Reader {
    kind: Kind,
    ports: Vec<u16>,
    dice: Dice,
    /// Most bytes of one connection.
    most: u64,
    /// Where the chain ends, once nothing is added; before that, far away.
    end: Arc<AtomicU64>,
}

impl Reader {
    /// Reads from the beginning to the end, over as many connections as that takes.
    fn read_all(mut self) -> Sight {
        let mut sight = Sight::default();
        let mut known = HashSet::new();
        let mut last: Option<String> = None;
        loop {
            let port = self.ports[self.dice.below(self.ports.len() as u64) as usize];
            let bytes = self.dice.below(self.most) as usize;
            let through = Fragile::connect(port, bytes);
            let opened =
                through.and_then(|through| Connection::open(self.kind, through, last.as_deref()));
            let Some(mut connection) = opened else {
                // It may be dead: somebody else is not.
                std::thread::sleep(Duration::from_millis(2));
                continue;
            };
            sight.connections += 1;
            while let Some((id, event)) = connection.next() {
                last = Some(id);
                let Some(event) = event else { continue };
                let height = event["height"].as_u64().unwrap();
                if event["event"] == "block" {
                    if height >= self.end.load(Ordering::SeqCst) {
                        return sight;
                    }
                    // Most connections that break have told all there was, and wait.
                    if self.dice.below(4) == 0 {
                        break;
                    }
                    continue;
                }
                let id = event["id"].as_str().unwrap().to_owned();
                if known.insert(id.clone()) {
                    sight.events.push((height, id));
                } else {
                    sight.again += 1;
                }
            }
        }
    }
}

/// Has so many assets made, through whichever validator answers.
fn load(ports: &[u16], made: &AtomicUsize, wanted: usize) {
    let client = Client::new();
    let owner = SigningKey::from_seed(clock::random());
    let mut at = usize::from(owner.public().0[0]);
    for number in 0.. {
        if made.load(Ordering::SeqCst) >= wanted {
            return;
        }
        let batch: Vec<_> = (0..BATCH).map(|i| asset(number * BATCH + i, &owner, 0)).collect();
        match client.commit_many(ports[at % ports.len()], &batch) {
            Some(text) => {
                made.fetch_add(text.matches("\"committed\"").count(), Ordering::SeqCst);
            }
            None => {
                at += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// What was decided, by the blocks of one validator.
fn decided(node: &Node, end: u64) -> Vec<Event> {
    let mut events = Vec::new();
    for height in 1..=end {
        let text = node.block(height).expect("below the tip");
        let block: Value = serde_json::from_str(&text).unwrap();
        let transactions = block["transactions"].as_array().unwrap().iter();
        events.extend(transactions.map(|one| (height, one["id"].as_str().unwrap().to_owned())));
    }
    events
}

fn readers_miss_nothing(name: &str, kind: Kind, wanted: usize, most: u64) {
    let seed = from_environment("CAIRN_STREAM_SEED", u64::from_be_bytes(clock::random()));
    eprintln!("{name}: CAIRN_STREAM_SEED={seed}");
    let mut federation = Federation::start(name, 4);
    let ports = federation.ports();
    let end = Arc::new(AtomicU64::new(u64::MAX));
    let reader =
        Reader { kind, ports: ports.clone(), dice: Dice(seed), most, end: Arc::clone(&end) };
    let reader = std::thread::spawn(move || reader.read_all());
    let made = Arc::new(AtomicUsize::new(0));
    let watch = Stopwatch::start();
    let loads: Vec<_> = (0..3)
        .map(|_| {
            let (ports, made) = (ports.clone(), Arc::clone(&made));
            std::thread::spawn(move || load(&ports, &made, wanted))
        })
        .collect();
    let reached = |part: usize| {
        let mut before = 0;
        while made.load(Ordering::SeqCst) < part {
            let goal = part.min(before + 1);
            until("the load gets on", || (made.load(Ordering::SeqCst) >= goal).then_some(()));
            before = made.load(Ordering::SeqCst);
        }
    };
    let victim = (seed % 4) as usize;
    reached(wanted / 3);
    federation.nodes[victim].kill();
    reached(wanted / 2);
    federation.nodes[victim].start_and_serve();
    reached(wanted);
    for load in loads {
        load.join().expect("clients do not panic");
    }
    let seconds = watch.seconds();
    // One more block for each, so that the end is one that comes after everything else.
    let last = federation.nodes[victim].commits();
    let node = &federation.nodes[victim];
    until("the last one is there", || node.has(&last).then_some(()));
    let tip = node.end().unwrap();
    end.store(tip, Ordering::SeqCst);
    federation.nodes[(victim + 1) % 4].commits();
    let sight = reader.join().expect("readers do not panic");
    let told = sight.events;
    let decided = decided(node, tip);
    assert!(decided.len() >= wanted, "{} of {wanted}", decided.len());
    let told: Vec<_> = told.into_iter().filter(|(height, _)| *height <= tip).collect();
    let differs = decided.iter().zip(&told).find(|(one, other)| one != other);
    assert_eq!(differs, None, "in another order");
    assert_eq!(told.len(), decided.len(), "missed, or told of what never was");
    eprintln!(
        "{name}: {} transactions in {seconds:.1} s, {tip} blocks, over {} connections, {} told again",
        told.len(),
        sight.connections,
        sight.again
    );
    federation.nothing_alarming();
}

#[test]
fn a_reader_cut_off_at_any_byte_misses_nothing() {
    let wanted = from_environment("CAIRN_STREAM_TRANSACTIONS", 5000);
    readers_miss_nothing("stream-sse", Kind::Sse, wanted as usize, 64 * 1024);
}

#[test]
fn a_reader_over_a_web_socket_misses_nothing_either() {
    let wanted = from_environment("CAIRN_STREAM_TRANSACTIONS", 5000) / 4;
    readers_miss_nothing("stream-socket", Kind::WebSocket, wanted as usize, 64 * 1024);
}

/// Memory of a validator that is resident.
fn resident(node: &Node) -> u64 {
    let (_, page) = Client::new().get(node.admin, "/metrics").expect("it serves");
    let line = page.lines().find(|line| line.starts_with("process_resident_memory_bytes "));
    line.and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("it says so")
}

/// Asks, and reads until something was said so often.
fn listen(port: u16, head: &str, word: &'static str, times: usize) -> std::thread::JoinHandle<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream.set_read_timeout(Some(QUIET)).unwrap();
    let read = move || {
        let (mut text, mut heard) = (String::new(), 0);
        let mut bytes = [0; 4096];
        while heard < times {
            let read = stream.read(&mut bytes).expect("something comes");
            assert!(read > 0, "it ended");
            text.push_str(&String::from_utf8_lossy(&bytes[..read]));
            heard += text.matches(word).count();
            // What may be the beginning of another one stays.
            let rest = text.rfind(word).map_or(0, |at| at + word.len());
            text.drain(..rest);
        }
    };
    std::thread::Builder::new().stack_size(128 * 1024).spawn(read).unwrap()
}

#[test]
fn five_hundred_streams_are_all_told_and_cost_little() {
    const STREAMS: usize = 500;
    let federation = Federation::start("many-streams", 1);
    let node = &federation.nodes[0];
    node.commits();
    let before = resident(node);
    let sse = "GET /api/v2/stream HTTP/1.1\r\nHost: x\r\n\r\n".to_owned();
    let socket = "GET /api/v1/streams/valid_transactions HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".to_owned();
    let readers: Vec<_> = (0..STREAMS)
        .map(|at| match at % 2 {
            0 => listen(node.api, &sse, "\"committed\"}", 2 * BATCH),
            _ => listen(node.events, &socket, "\"transaction_id\"", 2 * BATCH),
        })
        .collect();
    until("all follow", || {
        let (_, page) = Client::new().get(node.admin, "/metrics")?;
        let open = |kind| format!("cairn_streams{{kind=\"{kind}\"}} {}", STREAMS / 2);
        (page.contains(&open("sse")) && page.contains(&open("v1"))).then_some(())
    });
    let idle = resident(node);
    let made = AtomicUsize::new(0);
    load(&[node.api], &made, 2 * BATCH);
    for reader in readers {
        reader.join().expect("readers do not panic");
    }
    let busy = resident(node);
    let kib = |bytes: u64| bytes.saturating_sub(before) / 1024 / STREAMS as u64;
    eprintln!(
        "{STREAMS} streams: {} KiB each while idle, {} KiB after a load",
        kib(idle),
        kib(busy)
    );
    assert!(kib(busy) < 64, "{busy} bytes, {before} before");
    federation.nothing_alarming();
}
