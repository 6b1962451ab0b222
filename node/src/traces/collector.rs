//! The thread that sends what is over to a collector, and what it does when there is none.
//!
//! One request at a time, within a time; what came meanwhile is the next one. A request that is not taken is sent once
//! more after a pause, then dropped and counted: traces are worth nothing to the ledger.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    time::Duration,
};

use axum::http::{HeaderName, HeaderValue};
use parking_lot::{Condvar, Mutex};

use super::{
    Over, Shared, TraceSettings, otlp,
    spans::{self, Attribute, Span},
};
use crate::clock::Stopwatch;

/// Who vouches for a collector's certificate.
pub type Authorities = Vec<ureq::tls::Certificate<'static>>;

/// Most days of one request.
const DAYS_A_REQUEST: usize = 64;

/// How long a request may take.
const REQUEST_WITHIN: Duration = Duration::from_secs(5);

/// Before a request is sent once more.
const PAUSE: Duration = Duration::from_secs(1);

/// How often days are looked at that wait for searches.
const LOOK: Duration = Duration::from_secs(1);

/// How long the end may take.
const END_WITHIN: Duration = Duration::from_secs(2);

/// Largest answer that is read; it says nothing that is needed.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// The thread.
#[derive(Debug)]
pub(super) struct Collector {
    ending: Arc<Ending>,
    /// Closed when the thread has ended.
    ended: Mutex<Receiver<()>>,
}

/// Since when the end is near.
#[derive(Debug, Default)]
struct Ending {
    since: Mutex<Option<Stopwatch>>,
    changed: Condvar,
}

/// Why spans are not with the collector.
enum Lost {
    /// It may take them later.
    Unreachable(String),
    /// It will not.
    Refused(String),
}

impl Collector {
    pub(super) fn start(
        settings: TraceSettings,
        authorities: Option<Authorities>,
        resource: Vec<Attribute>,
        over: Receiver<Over>,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let ending = Arc::new(Ending::default());
        let (end, ended) = sync_channel(0);
        let sender = Sender {
            url: format!("{}/v1/traces", settings.endpoint.trim_end_matches('/')),
            headers: settings.headers,
            agent: agent(authorities),
            resource,
            shared,
            ending: Arc::clone(&ending),
            reachable: true,
        };
        let thread = std::thread::Builder::new().name("traces".to_owned());
        thread.spawn(move || {
            let _end = end;
            sender.run(&over);
        })?;
        Ok(Self { ending, ended: Mutex::new(ended) })
    }

    /// Waits until the thread has sent what there is, for as long as an end may take. It was told
    /// that nothing more comes.
    pub(super) fn wait(&self) {
        *self.ending.since.lock() = Some(Stopwatch::start());
        self.ending.changed.notify_all();
        // Nobody sends: it closes, or the time is over.
        let _ = self.ended.lock().recv_timeout(END_WITHIN);
    }
}

fn agent(authorities: Option<Authorities>) -> ureq::Agent {
    let mut tls = ureq::tls::TlsConfig::builder();
    if let Some(authorities) = authorities {
        tls = tls.root_certs(ureq::tls::RootCerts::new_with_certs(&authorities));
    }
    let config = ureq::Agent::config_builder()
        .user_agent(concat!("cairn/", env!("CARGO_PKG_VERSION")))
        .http_status_as_error(false)
        .max_redirects(0)
        .tls_config(tls.build())
        .build();
    config.into()
}

struct Sender {
    url: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    agent: ureq::Agent,
    resource: Vec<Attribute>,
    shared: Arc<Shared>,
    ending: Arc<Ending>,
    /// Whether the last request was answered.
    reachable: bool,
}

impl Sender {
    /// Until nothing more comes and all is sent, or the end has taken long enough.
    fn run(mut self, over: &Receiver<Over>) {
        let mut looked = Stopwatch::start();
        loop {
            if looked.elapsed() >= LOOK {
                self.shared.give_up_on_searches();
                looked = Stopwatch::start();
            }
            let first = match over.recv_timeout(LOOK) {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let spans: Vec<Span> = std::iter::once(first)
                .chain(over.try_iter().take(DAYS_A_REQUEST - 1))
                .flat_map(|over| spans::spans(&over))
                .collect();
            self.send(&spans);
        }
    }

    fn send(&mut self, spans: &[Span]) {
        let body = otlp::encode(&self.resource, spans);
        let mut sent = self.post(&body);
        if let Err(Lost::Unreachable(why)) = &sent {
            self.is_away(why);
            if self.pause() {
                sent = self.post(&body);
            }
        }
        match sent {
            Ok(()) => self.is_there(),
            Err(Lost::Unreachable(_)) => self.shared.dropped("unreachable", spans.len()),
            Err(Lost::Refused(why)) => {
                self.is_away(&why);
                self.shared.dropped("refused", spans.len());
            }
        }
    }

    fn post(&self, body: &[u8]) -> Result<(), Lost> {
        let within = self.ending.within();
        if within.is_zero() {
            return Err(Lost::Unreachable("there is no time left".to_owned()));
        }
        let mut request = self.agent.post(&self.url).content_type("application/x-protobuf");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.config().timeout_global(Some(within)).build();
        let away = |error: ureq::Error| Lost::Unreachable(error.to_string());
        let mut answer = request.send(body).map_err(away)?;
        let status = answer.status().as_u16();
        // Read, so that the connection can be used again.
        let _ = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let why = || format!("its answer was {status}");
        match status {
            200..300 => Ok(()),
            // What the protocol says may be sent again.
            429 | 502 | 503 | 504 => Err(Lost::Unreachable(why())),
            _ => Err(Lost::Refused(why())),
        }
    }

    fn is_away(&mut self, why: &str) {
        if std::mem::replace(&mut self.reachable, false) {
            tracing::warn!(url = self.url, why, "traces are not taken");
        }
    }

    fn is_there(&mut self) {
        if !std::mem::replace(&mut self.reachable, true) {
            tracing::info!(url = self.url, "traces are taken again");
        }
    }

    /// Whether there is time to go on after it.
    fn pause(&self) -> bool {
        let mut since = self.ending.since.lock();
        if since.is_none() {
            self.ending.changed.wait_for(&mut since, PAUSE);
        }
        since.is_none()
    }
}

impl Ending {
    /// How long a request may take that begins now.
    fn within(&self) -> Duration {
        match &*self.since.lock() {
            None => REQUEST_WITHIN,
            Some(since) => END_WITHIN.saturating_sub(since.elapsed()),
        }
    }
}
