//! Real sockets: what slow, greedy and vanished clients cost, and that others are served.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use axum::{
    extract::Request,
    response::IntoResponse,
    routing::{get, post},
};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_rustls::TlsConnector;

use super::*;
use crate::{api::body::BodyBudget, testing::openssl};

/// Far longer than anything here takes: a test that waits for this has failed.
const FOREVER: Duration = Duration::from_secs(60);

struct Running {
    at: SocketAddr,
    metrics: Arc<Metrics>,
    /// Requests whose body was begun to be read.
    reading: Arc<AtomicUsize>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

async fn start(limits: ServerLimits) -> Running {
    start_with(limits, None).await
}

async fn start_with(limits: ServerLimits, tls: Option<Arc<Tls>>) -> Running {
    let bodies = BodyBudget::default();
    let reading = Arc::new(AtomicUsize::new(0));
    let begun = Arc::clone(&reading);
    let read = async move |request: Request| {
        begun.fetch_add(1, Ordering::SeqCst);
        let (head, body) = request.into_parts();
        match bodies.read(&head, body, 1024).await {
            Ok(received) => format!("{} bytes", received.bytes.len()).into_response(),
            Err(failure) => failure.v2(),
        }
    };
    let large = "a".repeat(32 << 20);
    let router = Router::new()
        .route("/", get(async || "hello"))
        .route("/large", get(async move || large.clone()))
        .route("/body", post(read));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let metrics = Arc::new(Metrics::new());
    let (stop, stopped) = watch::channel(false);
    let serving = Serving { tls, ..Serving::plain(limits, Arc::clone(&metrics)) };
    let task = tokio::spawn(serve(listener, router, serving, stopped));
    Running { at, metrics, reading, stop, task }
}

/// Reads up to a text that must come.
async fn read_until(stream: &mut (impl AsyncRead + Unpin), text: &str) {
    let mut read = Vec::new();
    while !read.windows(text.len()).any(|window| window == text.as_bytes()) {
        let next = tokio::time::timeout(FOREVER, stream.read_u8()).await.expect("it comes");
        read.push(next.expect("the connection stays open until then"));
    }
}

impl Running {
    async fn say(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// What comes until the server closes.
    async fn hear(&self, mut stream: TcpStream) -> String {
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(FOREVER, stream.read_to_end(&mut bytes)).await;
        // A reset after the answer is an end too.
        let _ = read.expect("the server closes the connection");
        String::from_utf8(bytes).unwrap()
    }

    async fn ask(&self, head: &str) -> String {
        let stream = self.say(head).await;
        self.hear(stream).await
    }

    async fn until(&self, holds: impl Fn(&Self) -> bool) {
        let wait = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(FOREVER, wait).await.expect("it comes true");
    }

    async fn until_all_gone(&self) {
        self.until(|server| server.metrics.http_connections.get() == 0).await;
    }
}

const HELLO: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_head_is_bounded_in_bytes_and_in_fields() {
    let server = start(ServerLimits::default()).await;
    let long = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(17 * 1024));
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(200));
    for head in [long, many] {
        let answer = server.ask(&head).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    let few = "X: y\r\n".repeat(50);
    let fine = HELLO.replace("Connection", &format!("{few}Connection"));
    assert!(server.ask(&fine).await.ends_with("hello"));
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up_and_the_connection_closed() {
    let limits =
        ServerLimits { body_timeout: Duration::from_millis(200), ..ServerLimits::default() };
    let server = start(limits).await;
    let head = "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n";
    let answer = server.ask(&format!("{head}a")).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("BODY_TIMEOUT"), "{answer}");
    server.until_all_gone().await;
}

#[tokio::test]
async fn a_body_is_bounded_whether_or_not_it_says_its_length() {
    let server = start(ServerLimits::default()).await;
    let said = "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n".to_owned();
    let chunk = format!("800\r\n{}\r\n", "a".repeat(0x800));
    let chunked = "POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    for request in [said, chunked + &chunk] {
        // Neither body is ever whole: the answer comes all the same.
        let answer = server.ask(&request).await;
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("BODY_TOO_LARGE"));
    }
}

#[tokio::test]
async fn idle_and_vanished_clients_cost_others_nothing() {
    let server = start(ServerLimits::default()).await;
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(server.say("GET / HT").await);
    }
    for _ in 0..20 {
        let head = "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc";
        drop(server.say(head).await);
    }
    assert!(server.ask(HELLO).await.ends_with("hello"));
    drop(idle);
    server.until_all_gone().await;
}

#[tokio::test]
async fn stopping_ends_what_idles_and_finishes_what_is_under_way() {
    let server = start(ServerLimits { goodbye: FOREVER, ..ServerLimits::default() }).await;
    let head = "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na";
    let mut under_way = server.say(head).await;
    while server.metrics.http_connections.get() == 0 {
        tokio::task::yield_now().await;
    }
    // Its head is read before the stop, or it would count as idle.
    assert!(server.ask(HELLO).await.ends_with("hello"));
    server.stop.send_replace(true);
    under_way.write_all(b"bc").await.unwrap();
    let answer = server.hear(under_way).await;
    assert!(answer.ends_with("3 bytes"), "{answer}");
    tokio::time::timeout(FOREVER, server.task).await.expect("serve returns").unwrap();
}

#[tokio::test]
async fn when_all_places_are_taken_who_idles_longest_makes_room() {
    let server = start(ServerLimits { connections: 3, ..ServerLimits::default() }).await;
    let half = server.say("GET / HT").await;
    server.until(|server| server.metrics.http_connections.get() == 1).await;
    let mut kept = server.say("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    read_until(&mut kept, "hello").await;
    let head = "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na";
    let mut busy = server.say(head).await;
    server.until(|server| server.reading.load(Ordering::SeqCst) == 1).await;

    assert!(server.ask(HELLO).await.ends_with("hello"));
    assert_eq!(server.hear(half).await, "", "it is over for half a head");
    server.until(|server| server.metrics.http_connections.get() == 2).await;
    let _newer = server.say("").await;
    server.until(|server| server.metrics.http_connections.get() == 3).await;
    assert!(server.ask(HELLO).await.ends_with("hello"));
    assert_eq!(server.hear(kept).await, "", "and then for who has had an answer");
    assert_eq!(server.metrics.http_connections_evicted.get(), 2);
    busy.write_all(b"bc").await.unwrap();
    read_until(&mut busy, "3 bytes").await;
}

#[tokio::test]
async fn who_does_not_read_its_answer_or_leaves_in_the_middle_is_given_up() {
    let limits =
        ServerLimits { write_timeout: Duration::from_millis(200), ..ServerLimits::default() };
    let server = start(limits).await;
    let large = "GET /large HTTP/1.1\r\nHost: x\r\n\r\n";
    let deaf = server.say(large).await;
    for _ in 0..10 {
        let mut leaves = server.say(large).await;
        read_until(&mut leaves, "aaaa").await;
    }
    assert!(server.ask(HELLO).await.ends_with("hello"));
    server.until_all_gone().await;
    drop(deaf);
}

#[tokio::test]
async fn what_is_no_http_is_counted_among_the_answers() {
    let server = start(ServerLimits::default()).await;
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(17 * 1024));
    for (text, status) in [("nonsense\r\n\r\n", "400"), (long.as_str(), "431")] {
        let answer = server.ask(text).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        let count = server.metrics.http_requests.with_label_values(&["other", status]);
        server.until(|_| count.get() == 1).await;
    }
}

/// A certificate for localhost and its key.
struct Certificate {
    files: TlsFiles,
    der: CertificateDer<'static>,
}

impl Certificate {
    fn new(name: &str, days: &str) -> Self {
        let path = |kind: &str| {
            let file = format!("cairn-tls-{name}-{}.{kind}", std::process::id());
            std::env::temp_dir().join(file)
        };
        let files = TlsFiles { certificates: path("crt"), key: path("key") };
        let text = |path: &PathBuf| path.display().to_string();
        #[rustfmt::skip]
        openssl(&[
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-days", days, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
            "-addext", "basicConstraints=critical,CA:FALSE",
            "-out", &text(&files.certificates), "-keyout", &text(&files.key),
        ]);
        let der = CertificateDer::from_pem_file(&files.certificates).unwrap();
        Self { files, der }
    }

    /// As if it had been issued anew.
    fn replace(&mut self, by: &Self) {
        std::fs::copy(&by.files.certificates, &self.files.certificates).unwrap();
        std::fs::copy(&by.files.key, &self.files.key).unwrap();
        self.der = by.der.clone();
    }

    /// Who trusts this certificate and no other, and speaks only that version.
    fn client(&self, version: &'static SupportedProtocolVersion) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsConnector::from(Arc::new(config))
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.files.certificates);
        let _ = std::fs::remove_file(&self.files.key);
    }
}

async fn connect(
    server: &Running,
    connector: TlsConnector,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    connector.connect(name, TcpStream::connect(server.at).await.unwrap()).await
}

#[tokio::test]
async fn a_certificate_is_replaced_and_nobody_is_cut_off() {
    let (mut shown, newer) = (Certificate::new("shown", "30"), Certificate::new("newer", "90"));
    let metrics = Arc::new(Metrics::new());
    let tls = Tls::open(shown.files.clone(), Arc::clone(&metrics)).unwrap();
    let ends = metrics.tls_certificate_expiry.get();
    let in_days = (ends - i64::try_from(crate::clock::unix_ms() / 1000).unwrap()) / 86_400;
    assert!((29..=30).contains(&in_days), "{ends}");
    let server = start_with(ServerLimits::default(), Some(Arc::clone(&tls))).await;

    let mut before = connect(&server, shown.client(&TLS13)).await.unwrap();
    assert_eq!(before.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let again = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    before.write_all(again.as_bytes()).await.unwrap();
    read_until(&mut before, "hello").await;

    let old = shown.client(&TLS12);
    shown.replace(&newer);
    tls.reload();
    assert!(metrics.tls_certificate_expiry.get() > ends);
    assert!(connect(&server, old).await.is_err(), "it is another certificate");
    let mut after = connect(&server, shown.client(&TLS12)).await.unwrap();
    for stream in [&mut before, &mut after] {
        stream.write_all(again.as_bytes()).await.unwrap();
        read_until(stream, "hello").await;
    }

    // Half of a replacement, and then nonsense: what was fine goes on.
    let other = Certificate::new("other", "1");
    std::fs::copy(&other.files.key, &shown.files.key).unwrap();
    tls.reload();
    std::fs::write(&shown.files.certificates, "nonsense").unwrap();
    tls.reload();
    assert!(connect(&server, shown.client(&TLS13)).await.is_ok());

    // Who speaks no TLS is no client here, and costs nobody anything.
    assert!(!server.ask(HELLO).await.contains("hello"));
    let error = Tls::open(shown.files.clone(), metrics).unwrap_err();
    assert!(error.contains("holds no certificate"), "{error}");
}

#[tokio::test]
async fn a_connection_that_says_nothing_needs_little_room() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let serving = Serving::plain(ServerLimits::default(), Arc::new(Metrics::new()));
    let place = serving.places.take().await;
    let caller = Caller(stream.local_addr().unwrap());
    let visit = Visit { caller, place, serving, stop: watch::channel(false).1 };
    let waiting = size_of_val(&visit.take(stream, Router::new()));
    assert!(waiting <= 2048, "{waiting} bytes for each connection that says nothing");
}
