//! Real sockets: what slow, greedy and vanished clients cost, and that others are served.

use std::{net::SocketAddr, time::Duration};

use axum::{
    extract::Request,
    response::IntoResponse,
    routing::{get, post},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

use super::*;
use crate::api::body::BodyBudget;

/// Far longer than anything here takes: a test that waits for this has failed.
const FOREVER: Duration = Duration::from_secs(60);

struct Running {
    at: SocketAddr,
    metrics: Arc<Metrics>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

async fn start(limits: ServerLimits) -> Running {
    let bodies = BodyBudget::default();
    let read = async move |request: Request| {
        let (head, body) = request.into_parts();
        match bodies.read(&head, body, 1024).await {
            Ok(received) => format!("{} bytes", received.bytes.len()).into_response(),
            Err(failure) => failure.v2(),
        }
    };
    let router = Router::new().route("/", get(async || "hello")).route("/body", post(read));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let metrics = Arc::new(Metrics::new());
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(serve(listener, router, limits, Arc::clone(&metrics), stopped));
    Running { at, metrics, stop, task }
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

    async fn until_all_gone(&self) {
        let gone = async {
            while self.metrics.http_connections.get() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(FOREVER, gone).await.expect("every connection ends");
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
