//! A collector of traces on this machine, for tests: takes OTLP over HTTP, reads it with OpenTelemetry's
//! own types, and answers what it is told to.

#![allow(dead_code, reason = "who includes it uses what it needs")]

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, atomic::AtomicBool, atomic::Ordering},
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use parking_lot::{Condvar, Mutex};
use prost::Message;

/// What has not come by then will not come.
const DEADLINE: Duration = Duration::from_secs(60);

/// One that listens until it is dropped.
pub(crate) struct Receiver {
    pub(crate) endpoint: String,
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    asked: Mutex<Vec<Asked>>,
    came: Condvar,
    /// What the next requests are answered; 200 when there is nothing left.
    answers: Mutex<VecDeque<u16>>,
    ended: AtomicBool,
}

/// A request as it came.
#[derive(Clone)]
pub(crate) struct Asked {
    /// The first line and the headers, in lower case.
    pub(crate) head: String,
    pub(crate) request: ExportTraceServiceRequest,
    /// All of it, where a test looks for what must not be there.
    pub(crate) bytes: Vec<u8>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Inner::default());
        let serving = Arc::clone(&inner);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.ended.load(Ordering::SeqCst) {
                    return;
                }
                let serving = Arc::clone(&serving);
                std::thread::spawn(move || stream.map(|stream| serving.converse(stream)));
            }
        });
        Self { endpoint, inner }
    }

    /// What the next requests are answered.
    pub(crate) fn answers(&self, statuses: &[u16]) {
        self.inner.answers.lock().extend(statuses);
    }

    /// Waits until what came is enough.
    pub(crate) fn until<T>(&self, what: &str, found: impl Fn(&[Asked]) -> Option<T>) -> T {
        let mut asked = self.inner.asked.lock();
        loop {
            if let Some(found) = found(&asked) {
                return found;
            }
            let waited = self.inner.came.wait_for(&mut asked, DEADLINE);
            assert!(!waited.timed_out(), "in vain: {what}; {} requests came", asked.len());
        }
    }

    /// Waits for the spans of that many traces; the first of each is the whole.
    pub(crate) fn traces(&self, count: usize) -> Vec<Vec<Span>> {
        self.until(&format!("{count} traces"), |asked| {
            let traces = traces(asked);
            (traces.len() >= count).then_some(traces)
        })
    }

    /// All that came so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.inner.asked.lock().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.inner.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that listens.
        let _ = TcpStream::connect(self.endpoint.trim_start_matches("http://"));
    }
}

/// The spans of each trace, in the order in which they came.
pub(crate) fn traces(asked: &[Asked]) -> Vec<Vec<Span>> {
    let mut traces: Vec<Vec<Span>> = Vec::new();
    let all = asked.iter().flat_map(|asked| &asked.request.resource_spans);
    for span in all.flat_map(|spans| &spans.scope_spans).flat_map(|scope| &scope.spans) {
        match traces.iter_mut().find(|trace| trace[0].trace_id == span.trace_id) {
            Some(trace) => trace.push(span.clone()),
            None => traces.push(vec![span.clone()]),
        }
    }
    traces
}

/// An attribute as text; empty when there is none.
pub(crate) fn attribute(attributes: &[KeyValue], name: &str) -> String {
    let found = attributes.iter().find(|pair| pair.key == name);
    match found.and_then(|pair| pair.value.clone()).and_then(|any| any.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(other) => panic!("{name} is {other:?}"),
        None => String::new(),
    }
}

impl Inner {
    fn converse(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut writer = stream.try_clone()?;
        let mut reader = BufReader::new(stream);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head)? == 0 {
                    return Ok(());
                }
            }
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length = length.expect("a length").trim().parse().expect("a number");
            let mut bytes = vec![0; length];
            reader.read_exact(&mut bytes)?;
            let request = ExportTraceServiceRequest::decode(&*bytes).expect("it is sound");
            let status = self.answers.lock().pop_front().unwrap_or(200);
            if status == 200 {
                self.asked.lock().push(Asked { head, request, bytes });
                self.came.notify_all();
            }
            let answer = format!("HTTP/1.1 {status} -\r\ncontent-length: 0\r\n\r\n");
            writer.write_all(answer.as_bytes())?;
        }
    }
}
