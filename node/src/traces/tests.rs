//! What a collector reads of a day, and what happens when there is none.

use cairn_ledger::{
    block::Place,
    ids::{Position, TransactionId},
};
use opentelemetry_proto::tonic::trace::v1::{
    SpanFlags, Status, span::SpanKind, status::StatusCode,
};

use super::*;
use crate::testing::collector::{Receiver, attribute, traces as traces_of};

const PLACE: Place = Place { height: Height(1), index: 0 };

fn settings(endpoint: &str, sample: f64) -> TraceSettings {
    let (endpoint, callers, headers) = (endpoint.to_owned(), true, Vec::new());
    TraceSettings { endpoint, sample, callers, headers, ca_file: None }
}

fn open(settings: TraceSettings) -> (Arc<Traces>, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new());
    let chain = ChainId([7; 32]);
    let traces = Traces::open(settings, None, "alice", &chain, Arc::clone(&metrics)).unwrap();
    (traces, metrics)
}

fn begin(traces: &Traces, traceparent: Option<&str>) -> Option<Arc<Day>> {
    let mut headers = HeaderMap::new();
    if let Some(text) = traceparent {
        headers.insert("traceparent", HeaderValue::from_str(text).unwrap());
    }
    traces.begin(&headers, Stopwatch::start(), "v2/transactions", &"mine".into())
}

fn dropped(metrics: &Metrics, reason: &str) -> u64 {
    metrics.spans_dropped.with_label_values(&[reason]).get()
}

/// Waits until so many spans were dropped for that reason.
fn until_dropped(metrics: &Metrics, reason: &str, spans: u64) {
    let watch = Stopwatch::start();
    while dropped(metrics, reason) < spans {
        assert!(watch.elapsed() < Duration::from_secs(60), "in vain: {spans} spans, {reason}");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(dropped(metrics, reason), spans, "{reason}");
}

/// A transaction that goes all the way.
fn whole_day(day: &Arc<Day>) {
    day.reach(Step::Received);
    day.reach(Step::Checked);
    day.is_of(TransactionId([9; 32]), 3);
    day.reach(Step::Admitted);
    day.taken(1);
    day.appended(Position(12));
    day.reach(Step::Read);
    let now = || Some(Stopwatch::start());
    let (proposed, prevoted, precommitted, decided) = (now(), now(), now(), now());
    let place = Place { height: Height(5), index: 2 };
    day.stored(place, 1, &Seen { proposed, prevoted, precommitted, decided });
    day.committed(place);
    day.answered(200);
}

#[test]
fn a_collector_reads_the_whole_day_as_it_was() {
    let receiver = Receiver::start();
    let mut chosen = settings(&format!("{}/", receiver.endpoint), 1.0);
    let mut token = HeaderValue::from_static("a token");
    token.set_sensitive(true);
    chosen.headers.push((HeaderName::from_static("x-token"), token));
    assert!(!format!("{chosen:?}").contains("a token"), "{chosen:?}");
    let (traces, metrics) = open(chosen);
    let (trace, parent) = ("ab".repeat(16), "cd".repeat(8));
    let day = begin(&traces, Some(&format!("00-{trace}-{parent}-01"))).unwrap();
    assert_eq!(day.trace_id(), trace);
    whole_day(&day);
    drop(day);
    traces.searchable(Height(5));
    let spans = receiver.traces(1).remove(0);

    let [whole, parts @ ..] = &*spans else { panic!("no span") };
    assert_eq!((hex::encode(&whole.trace_id), hex::encode(&whole.parent_span_id)), (trace, parent));
    assert_eq!((whole.name.as_str(), whole.kind()), ("transaction", SpanKind::Server));
    assert_ne!(whole.flags & SpanFlags::ContextIsRemoteMask as u32, 0, "its parent is elsewhere");
    let id = "09".repeat(32);
    #[rustfmt::skip]
    let said = [
        ("cairn.transaction", id.as_str()), ("cairn.request_id", "mine"), ("cairn.outcome", "committed"),
        ("cairn.height", "5"), ("cairn.index", "2"), ("cairn.round", "1"), ("cairn.position", "12"),
        ("cairn.transactions", "3"), ("cairn.appends", "1"), ("cairn.code", ""),
    ];
    for (name, value) in said {
        assert_eq!(attribute(&whole.attributes, name), value, "{name}");
    }
    let names: Vec<_> = parts.iter().map(|span| span.name.as_str()).collect();
    #[rustfmt::skip]
    let steps = ["request", "receive", "check", "admit", "wait", "append", "read", "propose", "vote", "store"];
    assert_eq!(names, steps);
    let mut before = whole.start_time_unix_nano;
    for span in &parts[1..] {
        assert_eq!(span.start_time_unix_nano, before, "{} begins where the last ended", span.name);
        before = span.end_time_unix_nano;
    }
    let answered = parts[0].end_time_unix_nano;
    assert_eq!(before.max(answered), whole.end_time_unix_nano, "the whole ends with the last");
    assert!(!attribute(&whole.attributes, "cairn.searchable_after_ms").is_empty());
    assert!(parts.iter().all(|span| span.parent_span_id == whole.span_id));
    assert!(parts.iter().all(|span| span.kind() == SpanKind::Internal));
    assert_eq!(attribute(&parts[0].attributes, "http.route"), "/api/v2/transactions");
    assert_eq!(attribute(&parts[0].attributes, "http.response.status_code"), "200");
    let vote = parts.iter().find(|span| span.name == "vote").unwrap();
    let events: Vec<_> = vote.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(events, ["prevoted", "precommitted"]);
    let within = vote.start_time_unix_nano..=vote.end_time_unix_nano;
    assert!(vote.events.iter().all(|event| within.contains(&event.time_unix_nano)));

    let asked = &receiver.asked()[0];
    assert!(asked.head.starts_with("post /v1/traces "), "{}", asked.head);
    assert!(asked.head.contains("x-token: a token"), "{}", asked.head);
    let resource = &asked.request.resource_spans[0].resource.as_ref().unwrap().attributes;
    assert_eq!(attribute(resource, "service.name"), "cairn");
    assert_eq!(attribute(resource, "cairn.validator"), "alice");
    assert_eq!(attribute(resource, "cairn.chain"), "07".repeat(32));
    traces.stop();
    for reason in ["busy", "queue_full", "unreachable", "refused"] {
        assert_eq!(dropped(&metrics, reason), 0, "{reason}");
    }
}

/// The log may give a batch back before it has said that it has it, a step may be missing, and a
/// failure ends a day anywhere.
#[test]
fn steps_never_overlap_whatever_came_when() {
    type Tell = fn(&Arc<Day>);
    #[rustfmt::skip]
    let table: [(Tell, &[&str], &str, bool, &str); 6] = [
        (|day| { day.reach(Step::Read); day.appended(Position(1)); },
            &["append", "read"],            "pending",     false, "the log was faster than its answer"),
        (|day| { day.stored(PLACE, 0, &Seen::default()); day.refused(PLACE, "DOUBLE_SPEND"); },
            &["store"],                     "refused",     false, "a block from a peer"),
        (|day| { day.reach(Step::Received); day.failed("JSON_SYNTAX"); },
            &["receive"],                   "turned_away", false, "at the door"),
        (|day| { day.reach(Step::Admitted); day.failed("NO_QUORUM"); },
            &["admit"],                     "unknown",     true,  "no decision in time"),
        (|day| { day.reach(Step::Admitted); day.failed("NO_QUORUM"); day.committed(PLACE); },
            &["admit"],                     "committed",   false, "a decision, after all"),
        (|day| { day.joins(); },
            &[],                            "joined",      false, "another request brought it"),
    ];
    let receiver = Receiver::start();
    let (traces, _) = open(settings(&receiver.endpoint, 1.0));
    traces.searchable(PLACE.height);
    for (tell, steps, outcome, failed, why) in table {
        let day = begin(&traces, None).unwrap();
        let trace = day.trace_id();
        tell(&day);
        drop(day);
        let spans = receiver.until(why, |asked| {
            let mut traces = traces_of(asked).into_iter();
            traces.find(|spans| hex::encode(&spans[0].trace_id) == trace)
        });
        let [whole, parts @ ..] = &*spans else { panic!("no span") };
        let names: Vec<_> = parts.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(names, steps, "{why}");
        assert_eq!(attribute(&whole.attributes, "cairn.outcome"), outcome, "{why}");
        let status = whole.status.as_ref().map(Status::code);
        assert_eq!(status == Some(StatusCode::Error), failed, "{why}");
        assert!(whole.parent_span_id.is_empty(), "nobody asked");
        let mut before = whole.start_time_unix_nano;
        for span in parts {
            assert_eq!(span.start_time_unix_nano, before, "{why}: {}", span.name);
            assert!(span.end_time_unix_nano >= before, "{why}: {}", span.name);
            before = span.end_time_unix_nano;
        }
    }
    traces.stop();
}

#[test]
fn the_callers_word_counts_and_then_the_share() {
    let parent = |flags| format!("00-{}-{}-{flags}", "ab".repeat(16), "cd".repeat(8));
    let (asks, declines) = (parent("01"), parent("00"));
    #[rustfmt::skip]
    let table = [
        (0.0, None,                    false, "nobody"),
        (0.0, Some(asks.as_str()),     true,  "who asks"),
        (1.0, None,                    true,  "everybody"),
        (1.0, Some(declines.as_str()), false, "but for who declines"),
        (1.0, Some("nonsense"),        true,  "nonsense says nothing"),
    ];
    let receiver = Receiver::start();
    for (share, said, followed, why) in table {
        let (traces, _) = open(settings(&receiver.endpoint, share));
        assert_eq!(begin(&traces, said).is_some(), followed, "{why}");
        traces.stop();
    }
    let deaf = TraceSettings { callers: false, ..settings(&receiver.endpoint, 0.0) };
    let (traces, _) = open(deaf);
    assert!(begin(&traces, Some(&asks)).is_none(), "callers may be nobody to listen to");
    assert!(begin(&Traces::off(), Some(&asks)).is_none(), "without a collector, nobody");
    let half = Chance::of(0.5);
    let fallen = (0..10_000).filter(|_| half.falls()).count();
    assert!((4000..6000).contains(&fallen), "{fallen} of 10000");
}

#[test]
fn only_so_many_are_followed_at_a_time() {
    let receiver = Receiver::start();
    let (traces, metrics) = open(settings(&receiver.endpoint, 1.0));
    let mut days: Vec<_> = (0..DAYS_MAX).map(|_| begin(&traces, None).unwrap()).collect();
    assert!(begin(&traces, None).is_none(), "no place");
    assert_eq!(dropped(&metrics, "busy"), 1);
    days.pop();
    assert!(begin(&traces, None).is_some(), "a place is free again");
    traces.stop();
}

#[test]
fn what_no_collector_takes_is_counted_and_forgotten() {
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let (traces, metrics) = open(settings(&nobody, 1.0));
    whole_day(&begin(&traces, None).unwrap());
    traces.searchable(Height(5));
    until_dropped(&metrics, "unreachable", 11);
    traces.stop();
    drop(begin(&traces, None).unwrap());
    assert_eq!(dropped(&metrics, "queue_full"), 1, "nobody sends after the end");
}

#[test]
fn a_collector_that_is_away_for_a_moment_loses_nothing() {
    let receiver = Receiver::start();
    let (traces, metrics) = open(settings(&receiver.endpoint, 1.0));
    receiver.answers(&[503]);
    let day = begin(&traces, None).unwrap();
    let first = day.trace_id();
    drop(day);
    let came = receiver.traces(1);
    assert_eq!(hex::encode(&came[0][0].trace_id), first, "it was sent again");
    receiver.answers(&[400]);
    drop(begin(&traces, None).unwrap());
    until_dropped(&metrics, "refused", 1);
    // What is refused once is refused for ever: the next one comes, and it does not.
    let third = begin(&traces, None).unwrap();
    let trace = third.trace_id();
    traces.stop();
    drop(third);
    assert_eq!(dropped(&metrics, "refused"), 1, "once");
    assert_eq!(dropped(&metrics, "queue_full"), 1);
    let came = traces_of(&receiver.asked());
    assert!(came.iter().all(|spans| hex::encode(&spans[0].trace_id) != trace));
    assert_eq!(came.len(), 1);
}

/// A collector that takes connections and says nothing must not keep a validator from ending.
#[test]
fn a_collector_that_never_answers_does_not_keep_the_end() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (traces, _) = open(settings(&format!("http://{}", silent.local_addr().unwrap()), 1.0));
    drop(begin(&traces, None).unwrap());
    // The request is under way.
    let (_held, _) = silent.accept().unwrap();
    traces.stop();
}
