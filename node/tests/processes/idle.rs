//! Ten thousand clients that say nothing, or half of something: what they cost a validator, and
//! that everyone else is served.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::federation::{Federation, Node, until};

const CLIENTS: usize = 10_000;

/// Whether this process, and then the validator, may have that many connections.
fn may_connect() -> bool {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    maximum.is_none_or(|most| most >= CLIENTS as u64 + 2048)
}

fn resident_bytes(node: &Node) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", node.process())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

fn connections(node: &Node) -> usize {
    let (_, page) = node.asks(node.admin, "/metrics").unwrap();
    let value = page.lines().find_map(|line| line.strip_prefix("cairn_http_connections "));
    value.unwrap().parse().unwrap()
}

/// So many connections, each of which has said that much.
fn connect(node: &Node, count: usize, text: &str) -> Vec<TcpStream> {
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream =
            until("a connection is taken", || TcpStream::connect(("127.0.0.1", node.api)).ok());
        stream.write_all(text.as_bytes()).unwrap();
        streams.push(stream);
    }
    streams
}

#[test]
fn ten_thousand_idle_connections_cost_little_and_nobody_else() {
    if !may_connect() {
        eprintln!("skipped: `ulimit -Hn` allows too few files for {CLIENTS} connections");
        return;
    }
    let mut federation = Federation::found("idle", 1);
    let node = &mut federation.nodes[0];
    // Else the first are gone before the last come.
    let config = fs::read_to_string(node.config()).unwrap();
    let patient = format!("{config}\n[api.limits]\nhead_timeout_s = 600\n");
    fs::write(node.config(), patient).unwrap();
    node.start_and_serve();
    node.commits();
    let request = "GET /api/v1/ HTTP/1.1\r\nHost: x\r\n\r\n";
    // What was freed is used again: each kind says what it needs beyond the kind before.
    for (text, most, kind) in [
        ("", 8 * 1024, "said nothing"),
        ("GET /api/v1/ HT", 32 * 1024, "said half of a request"),
        (request, 16 * 1024, "had an answer"),
    ] {
        let before = resident_bytes(node);
        let mut streams = connect(node, CLIENTS, text);
        until("all are counted", || (connections(node) >= CLIENTS).then_some(()));
        if text == request {
            for stream in &mut streams {
                let mut head = [0; 15];
                stream.read_exact(&mut head).unwrap();
                assert_eq!(&head, b"HTTP/1.1 200 OK");
            }
        }
        node.commits();
        let each = resident_bytes(node).saturating_sub(before) / CLIENTS as u64;
        eprintln!("{CLIENTS} connections that {kind}: {each} bytes each");
        assert!(each <= most, "{each} bytes for each connection that {kind}");
        drop(streams);
        until("all are gone", || (connections(node) < 100).then_some(()));
    }
    node.commits();
    assert!(node.stop().success());
}

#[test]
fn when_all_places_are_taken_newcomers_are_served_all_the_same() {
    let mut federation = Federation::found("places", 1);
    let node = &mut federation.nodes[0];
    let config = fs::read_to_string(node.config()).unwrap();
    fs::write(node.config(), format!("{config}\n[api.limits]\nconnections = 50\n")).unwrap();
    node.start_and_serve();
    let streams = connect(node, 200, "GET / HT");
    node.commits();
    assert!(connections(node) <= 50 + 1, "the admin port's own is counted too");
    drop(streams);
    assert!(node.stop().success());
}
