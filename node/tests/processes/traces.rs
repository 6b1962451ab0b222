//! The day of a transaction through a whole federation, as a collector reads it; and a federation whose collector
//! is not there.

use std::{fs, time::Duration};

use cairn_ledger::{ids::TransactionId, signature::SigningKey};
use opentelemetry_proto::tonic::trace::v1::Span;

use super::{
    client::{asset, id_of},
    collector::{Receiver, attribute, traces},
    federation::{Federation, Node, until},
};

/// What a whole day holds.
const STEPS: [&str; 9] =
    ["receive", "check", "admit", "wait", "append", "read", "propose", "vote", "store"];

/// Has one new transaction committed, as a part of the caller's trace; its id, if it was.
fn commit(
    node: &Node,
    number: usize,
    traceparent: Option<&str>,
) -> Option<(TransactionId, Vec<u8>)> {
    let bytes = asset(number, &SigningKey::from_seed([77; 32]), 300);
    let url = format!("http://127.0.0.1:{}/api/v2/transactions?wait=committed", node.api);
    let mut request = ureq::post(&url).header("content-type", "application/json");
    if let Some(text) = traceparent {
        request = request.header("traceparent", text);
    }
    let request = request.config().timeout_global(Some(Duration::from_secs(40))).build();
    let answer = request.send(&bytes[..]).ok()?;
    (answer.status() == 200).then(|| (id_of(&bytes), bytes))
}

fn add_to(node: &Node, more: &str) {
    let config = fs::read_to_string(node.config()).unwrap();
    fs::write(node.config(), format!("{config}\n{more}\n")).unwrap();
}

/// The whole, and its steps: in order, within it, as long together as it is up to the last of them.
fn holds_together(spans: &[Span]) -> Vec<String> {
    let [whole, request, steps @ ..] = spans else { panic!("{spans:?}") };
    assert_eq!((whole.name.as_str(), request.name.as_str()), ("transaction", "request"));
    let (start, end) = (whole.start_time_unix_nano, whole.end_time_unix_nano);
    assert!(request.start_time_unix_nano == start && request.end_time_unix_nano <= end);
    let mut before = start;
    for step in steps {
        assert_eq!(step.parent_span_id, whole.span_id, "{}", step.name);
        assert_eq!(step.start_time_unix_nano, before, "{}", step.name);
        assert!(step.end_time_unix_nano >= before, "{}", step.name);
        before = step.end_time_unix_nano;
    }
    assert_eq!(end, before.max(request.end_time_unix_nano));
    steps.iter().map(|step| step.name.clone()).collect()
}

#[test]
fn the_day_of_a_transaction_is_one_trace_of_its_caller() {
    let receiver = Receiver::start();
    let mut federation = Federation::found("followed", 4);
    let followed = format!("[traces]\nendpoint = \"{}\"\nsample = 0\n", receiver.endpoint);
    add_to(&federation.nodes[0], &format!("{followed}[traces.headers]\nx-secret = \"hush\"\n"));
    federation.start_all();
    let node = &federation.nodes[0];
    let mut acknowledged = Vec::new();
    let mut bodies = Vec::new();
    // A validator that is late gets a block from its peers, without having seen the votes: the whole day is
    // one in which it was not.
    let (spans, id) = until("a day with all its steps", || {
        let number = acknowledged.len();
        let trace = format!("{:032x}", number + 1);
        let (id, bytes) = commit(node, number, Some(&format!("00-{trace}-{}-01", "ab".repeat(8))))?;
        acknowledged.push(id);
        bodies.push(bytes);
        let spans = receiver.until("its trace", |asked| {
            traces(asked).into_iter().find(|spans| hex::encode(&spans[0].trace_id) == trace)
        });
        let steps = holds_together(&spans);
        (steps == STEPS).then_some((spans, id))
    });
    let whole = &spans[0];
    assert_eq!(hex::encode(&whole.parent_span_id), "ab".repeat(8));
    let said = |name| attribute(&whole.attributes, name);
    assert_eq!(
        (said("cairn.transaction"), said("cairn.outcome")),
        (id.to_string(), "committed".into())
    );
    for name in ["height", "position", "round", "request_id", "searchable_after_ms"] {
        assert!(!attribute(&whole.attributes, &format!("cairn.{name}")).is_empty(), "{name}");
    }
    let vote = spans.iter().find(|span| span.name == "vote").unwrap();
    let events: Vec<_> = vote.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(events, ["prevoted", "precommitted"]);

    // Nobody else's day, and nothing of what a transaction says.
    let (id, bytes) = until("one that nobody follows", || commit(node, 1000, None));
    acknowledged.push(id);
    bodies.push(bytes);
    federation.agrees_on(&acknowledged);
    assert!(federation.nodes[0].stop().success());
    let asked = receiver.asked();
    assert_eq!(traces(&asked).len(), acknowledged.len() - 1);
    let resource = asked[0].request.resource_spans[0].resource.as_ref().unwrap();
    assert_eq!(attribute(&resource.attributes, "cairn.validator"), federation.nodes[0].name);
    assert!(asked.iter().all(|asked| asked.head.contains("x-secret: hush")));
    let body = std::str::from_utf8(&bodies[0]).unwrap();
    let signature = &body[body.find("pGSA").unwrap()..][..40];
    let owner = SigningKey::from_seed([77; 32]).public().to_string();
    for secret in ["xxxxxxxx", signature, &owner, "public_key"] {
        assert!(body.contains(secret), "{secret} is in {body}");
        let found =
            |bytes: &[u8]| bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!asked.iter().any(|asked| found(&asked.bytes)), "{secret} is in a trace");
    }
    for node in &federation.nodes {
        assert!(!node.logged().contains("hush"), "{}", node.logged());
    }
}

#[test]
fn without_its_collector_a_validator_serves_and_ends_as_ever() {
    let mut federation = Federation::found("unfollowed", 1);
    // A port that was free a moment ago.
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    add_to(
        &federation.nodes[0],
        &format!("[traces]\nendpoint = \"http://{nobody}\"\nsample = 1\n"),
    );
    federation.start_all();
    let node = &federation.nodes[0];
    let acknowledged = vec![node.commits(), node.commits(), node.commits()];
    until("that is counted", || {
        let (_, page) = node.asks(node.admin, "/metrics")?;
        let lost = "cairn_spans_dropped_total{reason=\"unreachable\"} ";
        let line = page.lines().find_map(|line| line.strip_prefix(lost))?;
        (line.trim() != "0").then_some(())
    });
    assert!(node.logged().contains("traces are not taken"), "{}", node.logged());
    federation.agrees_on(&acknowledged);
    assert!(federation.nodes[0].stop().success());
}
