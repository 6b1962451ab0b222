//! One line a request, and the name by which it is found again.
//!
//! The line says the route, never the path or its query: what people ask for is theirs. Keys
//! are told by name, tokens by subject; bodies not at all. Of transactions it says how many the
//! request brought, and where they were decided when the client waited for that.

use std::{
    net::IpAddr,
    sync::{
        Arc, LazyLock, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, Method},
    response::Response,
};
use cairn_ledger::ids::Height;

use super::{
    super::witness::{Witness, watched},
    Who,
};
use crate::{
    clock::{self, Stopwatch},
    metrics::Metrics,
    traces::Day,
};

/// Where a request's name is, on the way in and on the way out.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest name that a client may give to a request.
const ID_BYTES_MAX: usize = 64;

/// Most of a token's subject that a line shows.
const SUBJECT_BYTES_MAX: usize = 64;

tokio::task_local! {
    static CURRENT: Arc<Current>;
}

/// A request that is being answered: its name, and what whoever answers it has to say of it.
#[derive(Debug)]
pub(in super::super) struct Current {
    id: Arc<str>,
    route: &'static str,
    since: Stopwatch,
    transactions: AtomicUsize,
    /// 0 while none is known.
    height: AtomicU64,
    day: OnceLock<Arc<Day>>,
}

impl Current {
    fn of(id: Arc<str>, route: &'static str) -> Arc<Self> {
        Arc::new(Self {
            id,
            route,
            since: Stopwatch::start(),
            transactions: AtomicUsize::new(0),
            height: AtomicU64::new(0),
            day: OnceLock::new(),
        })
    }

    /// What it is called.
    pub(in super::super) fn id(&self) -> Arc<str> {
        Arc::clone(&self.id)
    }

    /// The label of its route.
    pub(in super::super) fn route(&self) -> &'static str {
        self.route
    }

    /// Since when it is there.
    pub(in super::super) fn since(&self) -> Stopwatch {
        self.since
    }

    /// It brings so many transactions.
    pub(in super::super) fn brings(&self, transactions: usize) {
        self.transactions.store(transactions, Relaxed);
    }

    /// A block decided one of them.
    pub(in super::super) fn decided(&self, height: Height) {
        self.height.fetch_max(height.0, Relaxed);
    }

    /// The day of one of them is followed.
    pub(in super::super) fn is_followed(&self, day: &Arc<Day>) {
        let _ = self.day.set(Arc::clone(day));
    }
}

/// The request that is being answered; a new one where none is.
pub(in super::super) fn current() -> Arc<Current> {
    CURRENT.try_with(Arc::clone).unwrap_or_else(|_| Current::of(new_id(), ""))
}

/// Its name.
pub(in super::super) fn request_id() -> Arc<str> {
    CURRENT.try_with(|current| current.id()).unwrap_or_else(|_| new_id())
}

/// Whatever is answered by this work is answered to that request.
pub(in super::super) async fn within<T>(current: Arc<Current>, work: impl Future<Output = T>) -> T {
    CURRENT.scope(current, work).await
}

/// Unlike any other of this process, and most likely of any.
fn new_id() -> Arc<str> {
    static NEXT: LazyLock<AtomicU64> =
        LazyLock::new(|| AtomicU64::new(u64::from_be_bytes(clock::random())));
    format!("{:016x}", NEXT.fetch_add(1, Relaxed)).into()
}

/// The client's name for its request, when it is short and harmless wherever it is shown.
fn given_id(request: &Request) -> Option<Arc<str>> {
    let given = request.headers().get(REQUEST_ID)?.to_str().ok()?;
    let clean = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let fine = (1..=ID_BYTES_MAX).contains(&given.len()) && given.bytes().all(clean);
    fine.then(|| given.into())
}

/// One request, from its head to the last byte of its answer.
pub(in super::super) struct Visit {
    current: Arc<Current>,
    method: Method,
    address: Option<IpAddr>,
    who: String,
    /// 0 while there is none: who goes away before gets none.
    status: u16,
    bytes: u64,
    /// Whether all of the answer was given to the connection.
    whole: bool,
    log: bool,
}

impl Visit {
    /// Begins, by a route's label; whether it will be logged.
    pub(in super::super) fn begin(request: &Request, route: &'static str, log: bool) -> Self {
        Self {
            current: Current::of(given_id(request).unwrap_or_else(new_id), route),
            method: request.method().clone(),
            address: None,
            who: String::new(),
            status: 0,
            bytes: 0,
            whole: false,
            log,
        }
    }

    pub(super) fn from(&mut self, address: Option<IpAddr>) {
        self.address = address;
    }

    pub(super) fn is(&mut self, who: &Who) {
        self.who = match who {
            Who::Anyone => String::new(),
            Who::Key(owner) => owner.name.clone(),
            Who::Token { subject, .. } => {
                let shown = subject.chars().filter(|c| c.is_ascii_graphic());
                shown.take(SUBJECT_BYTES_MAX).collect()
            }
        };
    }

    /// For whoever answers it.
    pub(in super::super) fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current)
    }

    /// Counts the answer and names it; writes the line once it is out.
    pub(in super::super) fn end(mut self, mut response: Response, metrics: &Metrics) -> Response {
        let status = response.status();
        let Current { id, route, since, day, .. } = &*self.current;
        metrics.http_requests.with_label_values(&[*route, status.as_str()]).inc();
        metrics.http_request.with_label_values(&[*route]).observe(since.seconds());
        // It is made of characters that a header may have.
        if let Ok(id) = HeaderValue::from_str(id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        if !self.log && day.get().is_none() {
            return response;
        }
        self.status = status.as_u16();
        // To a HEAD nothing is sent, which is all of it.
        self.whole = self.method == Method::HEAD;
        response.map(|body: Body| watched(body, self))
    }
}

impl Witness for Visit {
    fn sent(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }
    fn whole(&mut self) {
        self.whole = true;
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let Current { id, route, since, transactions, height, day } = &*self.current;
        if let Some(day) = day.get() {
            day.answered(self.status);
        }
        if !self.log {
            return;
        }
        let client = self.address.map_or_else(String::new, |address| address.to_string());
        let (transactions, height) = (transactions.load(Relaxed), height.load(Relaxed));
        tracing::info!(
            target: "cairn::access",
            method = self.method.as_str(),
            route,
            status = self.status,
            bytes = self.bytes,
            whole = self.whole,
            ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
            client,
            key = self.who,
            request_id = &**id,
            // Left out where they say nothing.
            transactions = (transactions > 0).then_some(transactions),
            height = (height > 0).then_some(height),
            trace_id = day.get().map(|day| day.trace_id()),
            "request"
        );
    }
}
