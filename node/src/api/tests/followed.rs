//! What of a request that brings transactions is found again: in the access log, in two lines at level debug, and
//! in a trace.

use std::io;

use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use super::*;
use crate::{
    api::access::{AccessSettings, Rights},
    testing::collector::{Receiver, attribute, traces as traces_of},
    traces::{TraceSettings, Traces},
};

/// What was logged.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }

    fn all(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Those of a target, as they are now.
    fn of(&self, target: &str) -> Vec<Value> {
        let mut lines = self.all();
        lines.retain(|line| line["target"] == target);
        lines.into_iter().map(|mut line| line["fields"].take()).collect()
    }

    /// Waits until that many are there.
    async fn until(&self, target: &str, count: usize) -> Vec<Value> {
        let enough = async {
            while self.of(target).len() < count {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), enough).await;
        assert!(waited.is_ok(), "{count} lines of {target} in {}", self.text());
        self.of(target)
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Logs what those directives let pass, on this thread, for as long as the guard lives.
fn listen(directives: &str) -> (Lines, tracing::subscriber::DefaultGuard) {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_env_filter(EnvFilter::new(directives))
        .with_writer(lines.clone());
    (lines.clone(), tracing::subscriber::set_default(subscriber.finish()))
}

fn logging() -> ApiSettings {
    let settings = AccessSettings { log: true, ..AccessSettings::default() };
    ApiSettings { access: Access::open(settings).unwrap(), ..ApiSettings::default() }
}

async fn post(world: &World, path: &str, headers: &[(&str, &str)], body: String) -> Reply {
    let mut request = Request::builder().method("POST").uri(path);
    for (name, value) in [("content-type", "application/json")].iter().chain(headers) {
        request = request.header(*name, *value);
    }
    ask(&world.router, request.body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn a_line_of_the_access_log_says_what_a_request_brought_and_where_it_was_decided() {
    let (lines, _here) = listen("info");
    let world = World::of(IntakeLimits::default(), logging());
    let list = |notes: &[&str]| {
        let all: Vec<_> = notes.iter().map(|note| text(&asset(note))).collect();
        format!("[{}]", all.join(","))
    };
    let (none, one, two, three) = (json!(null), json!(1), json!(2), json!(3));
    #[rustfmt::skip]
    let table = [
        ("/api/v1/transactions?mode=commit",      text(&asset("a")),       &one,  &one,   "waited for"),
        ("/api/v2/transactions?wait=committed",   text(&asset("b")),       &one,  &two,   "waited for"),
        ("/api/v2/transactions?wait=committed",   list(&["c", "d"]),       &two,  &three, "a list"),
        ("/api/v1/transactions",                  text(&asset("e")),       &one,  &none,  "nobody waits"),
        ("/api/v2/transactions",                  list(&["f", "g", "h"]),  &three, &none, "nobody waits"),
        ("/api/v2/transactions",                  "{}".to_owned(),         &none, &none,  "nothing is taken in"),
    ];
    for (at, (path, body, transactions, height, why)) in table.into_iter().enumerate() {
        post(&world, path, &[], body).await;
        let said = lines.until("cairn::access", at + 1).await.remove(at);
        assert_eq!((&said["transactions"], &said["height"]), (transactions, height), "{why}");
        assert_eq!(said["trace_id"], none, "{why}");
    }
    assert_eq!(lines.of("cairn::requests"), Vec::<Value>::new(), "nobody asked for these");
}

#[tokio::test]
async fn a_request_is_followed_to_its_blocks_by_two_lines_when_somebody_listens() {
    let (lines, _here) = listen("cairn::requests=debug");
    let world = World::new();
    let (one, two, lost) = (asset("a"), asset("b"), asset("lost"));
    let first = post(&world, "/api/v1/transactions?mode=commit", &[], text(&asset("before"))).await;
    assert_eq!(first.status, StatusCode::ACCEPTED);
    let already = lines.until("cairn::requests", 2).await.len();
    let list = format!("[{},{{}},{}]", text(&one), text(&two));
    #[rustfmt::skip]
    let table = [
        ("/api/v2/transactions?wait=committed", list,                            2, &one,  "a list that is waited for"),
        ("/api/v2/transactions",                text(&asset("c")),               1, &asset("c"), "one that is not"),
        ("/api/v2/transactions",                format!("[{}]", text(&lost)),    1, &lost, "a list that is not"),
        ("/api/v1/transactions",                text(&asset("d")),               1, &asset("d"), "v1"),
        ("/api/v1/transactions?mode=commit",    text(&asset("e")),               1, &asset("e"), "v1, waited for"),
    ];
    for (at, (path, body, count, first, why)) in table.into_iter().enumerate() {
        post(&world, path, &[("x-request-id", &format!("mine-{at}"))], body).await;
        let said = lines.until("cairn::requests", already + 2 * at + 2).await;
        let [.., taken, decided] = &*said else { panic!("two lines: {why}") };
        let id = json!(format!("mine-{at}"));
        let wanted = json!({
            "message": "taken in", "request_id": id, "transactions": count,
            "first": first.id.to_string(),
        });
        assert_eq!(taken, &wanted, "{why}");
        let wanted = json!({
            "message": "decided", "request_id": id, "committed": count, "refused": 0,
            "unknown": 0, "height": at + 2, "ms": decided["ms"],
        });
        assert_eq!(decided, &wanted, "{why}");
    }
}

fn follow(receiver: &Receiver, sample: f64) -> Arc<Traces> {
    let settings = TraceSettings {
        endpoint: receiver.endpoint.clone(),
        sample,
        callers: true,
        headers: Vec::new(),
        ca_file: None,
    };
    let chain = Federation::new(4).genesis.chain();
    let traces = Traces::open(settings, None, "validator-000", &chain, Arc::default()).unwrap();
    // Whatever is stored is found: there is no index here that follows behind.
    traces.searchable(Height(u64::MAX));
    traces
}

/// The spans of one trace, once they are there.
fn trace(receiver: &Receiver, id: &str) -> Vec<Span> {
    receiver.until(&format!("trace {id}"), |asked| {
        traces_of(asked).into_iter().find(|spans| hex::encode(&spans[0].trace_id) == id)
    })
}

/// Path, body; outcome, code, status of the answer, steps; why.
type Row<'a> = (&'a str, String, &'a str, &'a str, &'a str, &'a [&'a str], &'a str);

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_whose_day_is_followed_is_a_trace_that_holds_no_secret() {
    let receiver = Receiver::start();
    let traces = follow(&receiver, 0.0);
    let world = World::traced(IntakeLimits::default(), logging(), Arc::clone(&traces));
    let diary = "what nobody else is to read";
    let (made, listed) = (asset(diary), asset("listed"));
    let unsigned = spoiled(&asset("unsigned"));
    let whole = ["receive", "check", "admit", "wait", "store"];
    #[rustfmt::skip]
    let table: [Row<'_>; 8] = [
        ("v1/transactions?mode=commit",    text(&made),                  "committed",   "",                  "202", &whole,       "v1, waited for"),
        ("v2/transactions?wait=committed", text(&given(&made, 2)),       "committed",   "",                  "200", &whole,       "v2, waited for"),
        ("v2/transactions",                text(&asset("later")),        "committed",   "",                  "202", &whole,       "answered before it is decided"),
        ("v2/transactions?wait=committed", format!("[{{}},{}]", text(&listed)), "committed", "",             "200", &whole,       "the first sound one of a list"),
        ("v2/transactions",                "[{}]".to_owned(),            "turned_away", "",                  "200", &["receive", "check"], "none of a list"),
        ("v2/transactions",                unsigned.clone(),             "turned_away", "SIG_INVALID",       "400", &["receive", "check"], "at the door"),
        ("v1/transactions",                text(&given(&made, 3)),       "turned_away", "DOUBLE_SPEND",      "400", &["receive", "check"], "at the door"),
        ("v2/transactions",                text(&listed),                "joined",      "",                  "200", &["receive", "check"], "known already"),
    ];
    for (at, (path, body, outcome, code, status, steps, why)) in table.into_iter().enumerate() {
        let (id, parent) = (format!("{:032x}", at + 1), "ab".repeat(8));
        let headers = [
            ("traceparent", &*format!("00-{id}-{parent}-01")),
            ("x-request-id", &*format!("mine-{at}")),
        ];
        post(&world, &format!("/api/{path}"), &headers, body).await;
        let spans = trace(&receiver, &id);
        let [whole, request, parts @ ..] = &*spans else { panic!("{why}: {spans:?}") };
        assert_eq!(hex::encode(&whole.parent_span_id), parent, "{why}");
        let said = |name| attribute(&whole.attributes, name);
        assert_eq!(
            (said("cairn.outcome"), said("cairn.code")),
            (outcome.into(), code.into()),
            "{why}"
        );
        assert_eq!(said("cairn.request_id"), format!("mine-{at}"), "{why}");
        for known in ["cairn.height", "cairn.searchable_after_ms"] {
            assert_eq!(said(known).is_empty(), outcome != "committed", "{known}: {why}");
        }
        let route = path.split('?').next().unwrap();
        assert_eq!(attribute(&request.attributes, "http.route"), format!("/api/{route}"), "{why}");
        assert_eq!(attribute(&request.attributes, "http.response.status_code"), status, "{why}");
        let names: Vec<_> = parts.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(names, steps, "{why}");
        let within = whole.start_time_unix_nano..=whole.end_time_unix_nano;
        let inside = |span: &Span| {
            within.contains(&span.start_time_unix_nano) && within.contains(&span.end_time_unix_nano)
        };
        assert!(spans.iter().all(inside), "{why}: {spans:?}");
    }
    post(&world, "/api/v1/transactions?mode=commit", &[], text(&asset("alone"))).await;
    traces.stop();
    let asked = receiver.asked();
    assert_eq!(traces_of(&asked).len(), 8, "and nobody else's");
    // Nothing of what a transaction says: neither data nor keys nor signatures.
    let owner = key(1).public().to_string();
    let body = text(&made);
    let signature = &body[body.find("pGSA").unwrap()..][..40];
    for secret in [diary, &owner, signature, "public_key", "fulfillment", "CREATE"] {
        let found =
            |bytes: &[u8]| bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(found(body.as_bytes()), "{secret} is in the transaction");
        assert!(!asked.iter().any(|asked| found(&asked.bytes)), "{secret} is in a trace");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn by_the_share_everybody_is_followed_and_who_may_not_come_in_is_not() {
    let receiver = Receiver::start();
    let traces = follow(&receiver, 1.0);
    let nobody = AccessSettings { anonymous: Rights::NONE, ..AccessSettings::default() };
    let settings = ApiSettings { access: Access::open(nobody).unwrap(), ..ApiSettings::default() };
    let closed = World::traced(IntakeLimits::default(), settings, Arc::clone(&traces));
    let path = "/api/v1/transactions?mode=commit";
    assert_eq!(post(&closed, path, &[], text(&asset("a"))).await.status, 401);
    let open = World::traced(IntakeLimits::default(), logging(), Arc::clone(&traces));
    assert_eq!(post(&open, path, &[], text(&asset("a"))).await.status, 202);
    let spans = receiver.traces(1).remove(0);
    assert_eq!(attribute(&spans[0].attributes, "cairn.outcome"), "committed");
    assert!(spans[0].parent_span_id.is_empty(), "it begins here");
    traces.stop();
    assert_eq!(traces_of(&receiver.asked()).len(), 1, "a stranger's request is nobody's day");
}

#[tokio::test]
async fn the_access_log_names_the_trace() {
    let (lines, _here) = listen("info");
    let receiver = Receiver::start();
    let traces = follow(&receiver, 0.0);
    let world = World::traced(IntakeLimits::default(), logging(), Arc::clone(&traces));
    let id = "cd".repeat(16);
    let parent = format!("00-{id}-{}-01", "ab".repeat(8));
    let path = "/api/v1/transactions?mode=commit";
    post(&world, path, &[("traceparent", &parent)], text(&asset("a"))).await;
    let said = lines.until("cairn::access", 1).await.remove(0);
    assert_eq!(said["trace_id"], id);
    traces.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_joins_another_says_so_and_the_first_has_the_whole_day() {
    let receiver = Receiver::start();
    let traces = follow(&receiver, 0.0);
    let world = World::traced(IntakeLimits::default(), logging(), Arc::clone(&traces));
    world.order.stuck.store(true, Ordering::SeqCst);
    let body = text(&asset("twice"));
    let [first, second] = ["1a".repeat(16), "2b".repeat(16)];
    for id in [&first, &second] {
        let parent = format!("00-{id}-{}-01", "ab".repeat(8));
        let path = "/api/v1/transactions";
        let reply = post(&world, path, &[("traceparent", &parent)], body.clone()).await;
        assert_eq!(reply.status, StatusCode::ACCEPTED);
    }
    let said = |spans: &[Span]| attribute(&spans[0].attributes, "cairn.outcome");
    assert_eq!(said(&trace(&receiver, &second)), "joined");
    let known = traces_of(&receiver.asked());
    assert!(known.iter().all(|spans| hex::encode(&spans[0].trace_id) != first), "it goes on");
    world.order.stuck.store(false, Ordering::SeqCst);
    assert_eq!(said(&trace(&receiver, &first)), "committed");
    traces.stop();
}
