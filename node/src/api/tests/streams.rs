//! Event streams over real sockets: what is said byte for byte, who is sent away, and that
//! streams end when the validator does.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinHandle,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, protocol::CloseFrame},
};

use super::*;
use crate::api::{ServerLimits, Serving, serve};

/// Far longer than anything here takes: a test that waits for this has failed.
const FOREVER: Duration = Duration::from_secs(60);

type WebSocket = WebSocketStream<TcpStream>;

/// A validator's two ports.
struct Served {
    world: World,
    api: SocketAddr,
    events: SocketAddr,
    stop: watch::Sender<bool>,
    servers: Vec<JoinHandle<()>>,
}

impl Served {
    async fn start(streams: StreamLimits, limits: ServerLimits) -> Self {
        let world = World::streaming(streams);
        let stop = watch::Sender::new(false);
        let (mut at, mut servers) = (Vec::new(), Vec::new());
        for router in [world.router.clone(), world.api.events_router()] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            at.push(listener.local_addr().unwrap());
            let metrics = Arc::clone(&world.api.metrics);
            let serving = Serving::plain(limits, metrics);
            servers.push(tokio::spawn(serve(listener, router, serving, stop.subscribe())));
        }
        Self { world, api: at[0], events: at[1], stop, servers }
    }

    async fn usual() -> Self {
        Self::start(StreamLimits::default(), ServerLimits::default()).await
    }

    /// Decides a block.
    fn decide(&self, transactions: &[&Signed]) {
        let bytes: Vec<_> = transactions.iter().map(|signed| Arc::clone(&signed.bytes)).collect();
        self.world.order.federation.commit(&*self.world.store, &bytes);
    }

    async fn socket(&self, at: SocketAddr, path: &str) -> WebSocket {
        let stream = TcpStream::connect(at).await.unwrap();
        client_async(format!("ws://{at}{path}"), stream).await.unwrap().0
    }

    /// Asks in plain HTTP and leaves the connection open.
    async fn ask(&self, at: SocketAddr, path: &str, more: &str) -> TcpStream {
        let mut stream = TcpStream::connect(at).await.unwrap();
        // HTTP/1.0, so that the stream comes as it is and not in chunks.
        let head = format!("GET {path} HTTP/1.0\r\nHost: x\r\n{more}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    /// Until nobody follows.
    async fn until_nobody_follows(&self) {
        let open = |kind| self.world.api.metrics.streams.with_label_values(&[kind]).get();
        let gone = async {
            while ["v1", "sse", "websocket"].into_iter().any(|kind| open(kind) > 0) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(FOREVER, gone).await.expect("every stream ends");
    }

    fn dropped(&self, reason: &str) -> u64 {
        self.world.api.metrics.stream_readers_dropped.with_label_values(&[reason]).get()
    }
}

async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    let read =
        async {
            while !text.ends_with(end.as_bytes()) {
                text.push(stream.read_u8().await.unwrap_or_else(|_| {
                    panic!("it ended early: {}", String::from_utf8_lossy(&text))
                }));
            }
        };
    tokio::time::timeout(FOREVER, read).await.expect("it comes");
    String::from_utf8(text).unwrap()
}

async fn to_the_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(FOREVER, stream.read_to_end(&mut bytes)).await;
    let _ = read.expect("the server closes the connection");
    String::from_utf8(bytes).unwrap()
}

async fn text_of(socket: &mut WebSocket) -> String {
    let message = tokio::time::timeout(FOREVER, socket.next()).await.expect("a message comes");
    match message {
        Some(Ok(Message::Text(text))) => text.as_str().to_owned(),
        other => panic!("a text was expected: {other:?}"),
    }
}

/// The other end's last word.
async fn closed(socket: &mut WebSocket) -> Option<CloseFrame> {
    loop {
        match tokio::time::timeout(FOREVER, socket.next()).await.expect("it is closed") {
            Some(Ok(Message::Close(frame))) => return frame,
            Some(Ok(_)) => {}
            None | Some(Err(_)) => return None,
        }
    }
}

const V1: &str = "/api/v1/streams/valid_transactions";

fn frame(height: u64, asset: &Signed, transaction: &Signed) -> String {
    format!(
        r#"{{"height": {height}, "asset_id": "{}", "transaction_id": "{}"}}"#,
        asset.id, transaction.id
    )
}

#[tokio::test]
async fn v1_tells_what_is_committed_from_now_on_as_upstream_does_on_both_ports() {
    let served = Served::usual().await;
    let made = asset("a");
    served.decide(&[&asset("before")]);
    let slash = format!("{V1}/");
    let mut sockets = Vec::new();
    for (at, path) in
        [(served.api, V1), (served.api, &slash), (served.events, V1), (served.events, &slash)]
    {
        sockets.push(served.socket(at, path).await);
    }
    served.decide(&[&made]);
    // One of them is refused: upstream tells nothing of it.
    let (moved, again) = (given(&made, 2), given(&made, 3));
    served.decide(&[&moved, &again, &asset("b")]);
    for socket in &mut sockets {
        assert_eq!(text_of(socket).await, frame(2, &made, &made));
        assert_eq!(text_of(socket).await, frame(3, &made, &moved));
        assert_eq!(text_of(socket).await, frame(3, &asset("b"), &asset("b")));
        socket.send(Message::text("hello?")).await.unwrap();
        socket.send(Message::Ping("now".into())).await.unwrap();
        let answer = tokio::time::timeout(FOREVER, socket.next()).await.unwrap();
        assert_eq!(answer.unwrap().unwrap(), Message::Pong("now".into()));
        socket.close(None).await.unwrap();
        assert_eq!(closed(socket).await, None, "a goodbye is answered in kind");
    }
    served.until_nobody_follows().await;
}

#[tokio::test]
async fn the_second_port_has_the_stream_and_nothing_else() {
    let served = Served::usual().await;
    let not_found = format!("\r\n\r\n{NO_SUCH}");
    for path in ["/", "/api/v1", "/api/v1/transactions", "/api/v1/streams", "/metrics"] {
        let answer = to_the_end(&mut served.ask(served.events, path, "").await).await;
        assert!(
            answer.starts_with("HTTP/1.0 404 ") && answer.ends_with(&not_found),
            "{path}: {answer}"
        );
    }
    for at in [served.api, served.events] {
        let answer = to_the_end(&mut served.ask(at, V1, "").await).await;
        assert!(answer.starts_with("HTTP/1.0 426 "), "{answer}");
        assert!(answer.contains("upgrade: websocket\r\n"), "{answer}");
        assert!(answer.ends_with(",\"status\":426}"), "{answer}");
    }
    served.until_nobody_follows().await;
}

#[tokio::test]
async fn v2_tells_server_sent_events_byte_for_byte_and_goes_on_behind_an_id() {
    let served = Served::usual().await;
    let made = asset("a");
    served.decide(&[&made]);
    let block = served.world.store.block(Height(1)).unwrap().unwrap();
    let mut stream = served.ask(served.api, "/api/v2/stream?from=1", "").await;
    let head = until(&mut stream, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.0 200 OK\r\n"), "{head}");
    assert!(head.contains("content-type: text/event-stream\r\n"), "{head}");
    assert!(head.contains("cache-control: no-store\r\n"), "{head}");
    assert!(head.contains("access-control-allow-origin: *\r\n"), "{head}");
    assert_eq!(until(&mut stream, "\n\n").await, "retry: 1000\n: still here\nid: 0\n\n");
    let id = made.id;
    let created = format!(
        "id: 1:0\nevent: transaction\ndata: {{\"event\":\"transaction\",\"event_id\":\"1:0\",\"height\":1,\"index\":0,\"id\":\"{id}\",\"asset_id\":\"{id}\",\"operation\":\"CREATE\",\"status\":\"committed\"}}\n\n"
    );
    assert_eq!(until(&mut stream, "\n\n").await, created);
    let decided = format!(
        "id: 1\nevent: block\ndata: {{\"event\":\"block\",\"event_id\":\"1\",\"height\":1,\"id\":\"{}\",\"time_ms\":{},\"transactions\":1,\"committed\":1}}\n\n",
        block.header.id(),
        block.header.time_ms
    );
    assert_eq!(until(&mut stream, "\n\n").await, decided);
    drop(stream);
    // The header says where the client was; the address where it had begun.
    let more = "Last-Event-ID: 1:0\r\n";
    let mut resumed = served.ask(served.api, "/api/v2/stream?from=1", more).await;
    until(&mut resumed, "\r\n\r\n").await;
    assert_eq!(until(&mut resumed, "\n\n").await, "retry: 1000\n: still here\nid: 1:0\n\n");
    assert_eq!(until(&mut resumed, "\n\n").await, decided);
    drop(resumed);
    served.until_nobody_follows().await;
}

#[tokio::test]
async fn v2_tells_the_same_over_a_web_socket() {
    let served = Served::usual().await;
    served.decide(&[&asset("a")]);
    let mut socket = served.socket(served.api, "/api/v2/stream?from=0&events=transaction").await;
    assert_eq!(text_of(&mut socket).await, r#"{"event":"progress","event_id":"0"}"#);
    let told: Value = serde_json::from_str(&text_of(&mut socket).await).unwrap();
    assert_eq!((&told["event_id"], &told["id"]), (&json!("1:0"), &json!(asset("a").id)));
    served.decide(&[&asset("b")]);
    let told: Value = serde_json::from_str(&text_of(&mut socket).await).unwrap();
    assert_eq!((&told["event"], &told["event_id"]), (&json!("transaction"), &json!("2:0")));
}

#[tokio::test]
async fn what_is_asked_wrongly_is_told_what_would_be_right() {
    let served = Served::usual().await;
    let many = "operation=CREATE&".repeat(65);
    #[rustfmt::skip]
    let table = [
        ("?from=x", "", "PARAM_INVALID", "no number"),
        ("?from=-1", "", "PARAM_INVALID", "before the beginning"),
        ("?from=99999999999999999999", "", "PARAM_INVALID", "absurd"),
        ("?from=1:", "", "PARAM_INVALID", "half an id"),
        ("", "Last-Event-ID: now\r\n", "PARAM_INVALID", "no id"),
        ("", "Last-Event-ID: \u{e9}\r\n", "PARAM_INVALID", "no text"),
        ("?asset_id=12", "", "PARAM_INVALID", "no hash"),
        ("?operation=create", "", "PARAM_INVALID", "upper case is wanted"),
        ("?public_key=0OIl", "", "PARAM_INVALID", "no base58"),
        ("?events=header", "", "PARAM_INVALID", "no such kind"),
        ("?refused=1", "", "PARAM_INVALID", "no boolean"),
        ("?asset=1", "", "PARAM_UNKNOWN", "a name that is not known"),
        (&format!("?{many}"), "", "PARAM_INVALID", "too much to compare with"),
        ("", "Upgrade: websocket\r\n", "UPGRADE_REQUIRED", "half a handshake"),
    ];
    for (query, more, code, why) in table {
        let path = format!("/api/v2/stream{query}");
        let answer = to_the_end(&mut served.ask(served.api, &path, more).await).await;
        let status = if code == "UPGRADE_REQUIRED" { 426 } else { 400 };
        assert!(answer.starts_with(&format!("HTTP/1.0 {status} ")), "{why}: {answer}");
        assert!(answer.contains("content-type: application/problem+json\r\n"), "{why}: {answer}");
        assert!(answer.contains(&format!("\"code\":\"{code}\"")), "{why}: {answer}");
    }
    let post = served.world.post("/api/v2/stream", "").await;
    assert_eq!(post.status, StatusCode::METHOD_NOT_ALLOWED);
    served.until_nobody_follows().await;
}

#[tokio::test]
async fn when_all_places_are_taken_who_comes_is_told_when_to_come_back() {
    let served = Served::start(
        StreamLimits { streams: 1, ..StreamLimits::default() },
        ServerLimits::default(),
    )
    .await;
    let mut first = served.ask(served.api, "/api/v2/stream", "").await;
    until(&mut first, "\n\n").await;
    let answer = to_the_end(&mut served.ask(served.api, "/api/v2/stream", "").await).await;
    assert!(answer.starts_with("HTTP/1.0 503 ") && answer.contains("STREAMS_FULL"), "{answer}");
    assert!(answer.contains("retry-after: 10\r\n"), "{answer}");
    let refused = client_async(
        format!("ws://{}{V1}", served.events),
        TcpStream::connect(served.events).await.unwrap(),
    )
    .await;
    assert!(refused.unwrap_err().to_string().contains("503"));
    drop(first);
    served.until_nobody_follows().await;
    served.socket(served.events, V1).await;
}

#[tokio::test]
async fn a_stream_outlives_the_time_limits_of_requests_and_says_that_it_is_there() {
    let short = Duration::from_millis(50);
    let limits =
        ServerLimits { head_timeout: short, body_timeout: short, ..ServerLimits::default() };
    let served =
        Served::start(StreamLimits { quiet: short, ..StreamLimits::default() }, limits).await;
    let mut events = served.ask(served.api, "/api/v2/stream?events=transaction", "").await;
    let mut socket = served.socket(served.api, "/api/v2/stream?events=transaction").await;
    until(&mut events, "retry: 1000\n: still here\nid: 0\n\n").await;
    assert_eq!(text_of(&mut socket).await, r#"{"event":"progress","event_id":"0"}"#);
    for _ in 0..4 {
        assert_eq!(until(&mut events, "\n\n").await, ": still here\nid: 0\n\n");
        assert_eq!(text_of(&mut socket).await, r#"{"event":"progress","event_id":"0"}"#);
    }
    served.decide(&[&asset("a")]);
    while !until(&mut events, "\n\n").await.starts_with("id: 1:0\n") {}
}

#[tokio::test]
async fn stopping_ends_every_stream_with_a_word_and_at_once() {
    let served = Served::start(
        StreamLimits::default(),
        ServerLimits { goodbye: FOREVER, ..ServerLimits::default() },
    )
    .await;
    let mut events = served.ask(served.api, "/api/v2/stream", "").await;
    until(&mut events, "\n\n").await;
    let mut v2 = served.socket(served.api, "/api/v2/stream").await;
    let mut v1 = served.socket(served.events, V1).await;
    served.stop.send_replace(true);
    let ended = async {
        for server in served.servers {
            server.await.unwrap();
        }
    };
    tokio::time::timeout(FOREVER, ended).await.expect("the servers end");
    // They waited for what became of their connections too.
    for kind in ["v1", "sse", "websocket"] {
        assert_eq!(served.world.api.metrics.streams.with_label_values(&[kind]).get(), 0, "{kind}");
    }
    assert_eq!(to_the_end(&mut events).await, "", "it ends, and is not broken off");
    for socket in [&mut v1, &mut v2] {
        let last = closed(socket).await.expect("it is closed with a word");
        assert_eq!(u16::from(last.code), 1001, "{last}");
    }
}

#[tokio::test]
async fn who_vanishes_leaves_nothing_behind() {
    let served = Served::usual().await;
    for round in 0..3 {
        let mut there = Vec::new();
        for _ in 0..20 {
            there.push(served.ask(served.api, "/api/v2/stream?from=0", "").await);
            let stream = TcpStream::connect(served.events).await.unwrap();
            let (socket, _) =
                client_async(format!("ws://{}{V1}", served.events), stream).await.unwrap();
            there.push(socket.into_inner());
        }
        // Some are gone while nothing happens, some while they are being told.
        let later = there.split_off(20);
        drop(there);
        served.decide(&[&asset(&round.to_string())]);
        drop(later);
        served.until_nobody_follows().await;
    }
    let gone = async {
        while served.world.api.metrics.http_connections.get() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(FOREVER, gone).await.expect("every connection ends");
}

#[tokio::test]
async fn who_does_not_answer_a_ping_or_shouts_is_sent_away() {
    let limits = StreamLimits { silence: Duration::from_millis(50), ..StreamLimits::default() };
    let served = Served::start(limits, ServerLimits::default()).await;
    // A client of this library answers pings when it reads, and does not when it does not.
    let mut reads = served.socket(served.api, V1).await;
    let mut silent = served.socket(served.api, V1).await;
    let read = async { while let Some(Ok(_)) = reads.next().await {} };
    let gone = async {
        while served.dropped("silent") == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = read => panic!("who answers stays"),
        gone = tokio::time::timeout(FOREVER, gone) => gone.expect("it is sent away"),
    }
    assert_eq!(closed(&mut silent).await.map(|last| u16::from(last.code)), Some(1008));

    let served = Served::usual().await;
    let mut shouts = served.socket(served.api, V1).await;
    shouts.send(Message::text("x".repeat(5000))).await.unwrap();
    assert_eq!(closed(&mut shouts).await.map(|last| u16::from(last.code)), Some(1002));
    served.until_nobody_follows().await;
}

/// A connection that can hold little, so that who does not read is noticed soon.
async fn narrow(at: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(at).await.unwrap()
}

#[tokio::test]
async fn who_does_not_read_is_sent_away_and_nobody_else_notices() {
    let limits = StreamLimits { patience: Duration::from_millis(300), ..StreamLimits::default() };
    let served = Served::start(limits, ServerLimits::default()).await;
    let mut reads = served.socket(served.events, V1).await;
    let url = format!("ws://{}/api/v2/stream?refused=true&from=0", served.api);
    let (stuck, _) = client_async(url, narrow(served.api).await).await.unwrap();
    let (mut told, mut height) = (0, 0);
    // What is refused costs nothing to make, and is told to who asks for it.
    let nonsense = Signed { id: asset("a").id, bytes: Arc::from(&b"{"[..]) };
    let many = vec![&nonsense; 1000];
    while served.dropped("slow") < 1 {
        assert!(height < 300, "nobody noticed");
        let fresh = asset(&height.to_string());
        served.decide(&[&[&fresh], many.as_slice()].concat());
        height += 1;
        let wanted = frame(height, &fresh, &fresh);
        while told < height {
            let text = text_of(&mut reads).await;
            if text == wanted {
                told = height;
            }
        }
    }
    drop((stuck, reads));
    served.until_nobody_follows().await;
}

#[tokio::test]
async fn who_is_too_many_blocks_behind_hears_so() {
    let limits = StreamLimits { behind: 3, ..StreamLimits::default() };
    let served = Served::start(limits, ServerLimits::default()).await;
    let mut socket = served.socket(served.events, V1).await;
    // All of them before its task runs: there is one thread, and no wait in between.
    for number in 0..5 {
        served.decide(&[&asset(&number.to_string())]);
    }
    let last = closed(&mut socket).await.expect("it hears why");
    assert_eq!(
        (u16::from(last.code), last.reason.as_str()),
        (1008, "too slow: too many blocks behind")
    );
    assert_eq!(served.dropped("behind"), 1);
}
