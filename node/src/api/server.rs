//! The doors themselves: sockets, connections, and what they may cost.
//!
//! `axum::serve` would do less work here, and leave Nagle's algorithm on, which makes small
//! answers wait 40 ms, and nothing bounded. `places` says who goes when there are too many
//! connections, `socket` is one connection's bytes, `tls` what protects them, `descriptors`
//! what the operating system allows.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use axum::{
    Extension, Router,
    body::Body,
    extract::{FromRequestParts, Request},
    http::{StatusCode, request::Parts},
    response::Response,
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tower::Service as _;

use super::{
    body::BodyTimeout,
    witness::{Witness, watched},
};
use crate::metrics::Metrics;

mod certificate;
pub mod descriptors;
mod places;
mod socket;
mod tls;

pub use places::Places;
pub use tls::{Tls, TlsFiles};

use places::{Place, UnderWay};
use socket::{Socket, Wire};

/// What connections may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Most connections at a time, over all ports of the API.
    pub connections: usize,
    /// Most bytes of a request's head; also how much is read ahead of a body.
    pub head_bytes: usize,
    /// Most header fields.
    pub headers: usize,
    /// How long a request's head may take, idling between requests included. A TLS handshake
    /// may take as long.
    pub head_timeout: Duration,
    /// How long a request's body may take after its head.
    pub body_timeout: Duration,
    /// How long the other side may read nothing of its answer.
    pub write_timeout: Duration,
    /// How long answers under way are waited for when stopping.
    pub goodbye: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            head_bytes: 16 * 1024,
            headers: 100,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            goodbye: Duration::from_secs(5),
        }
    }
}

/// How a port is served.
#[derive(Clone, Debug)]
pub struct Serving {
    /// What a connection may cost.
    pub limits: ServerLimits,
    /// Where it is counted; ports may share them.
    pub places: Arc<Places>,
    /// Whether it is under TLS.
    pub tls: Option<Arc<Tls>>,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

impl Serving {
    /// In the clear, with places of its own.
    pub fn plain(limits: ServerLimits, metrics: Arc<Metrics>) -> Self {
        let places = Places::new(limits.connections, Arc::clone(&metrics));
        Self { limits, places, tls: None, metrics }
    }
}

/// Who is on the other end of the connection that a request came by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller(pub(super) SocketAddr);

/// What an answer that lasts must know: when to end. The server waits for those that hold one,
/// also for connections that became something else.
#[derive(Clone, Debug)]
pub(super) struct Lasting(Option<Arc<Doors>>);

#[derive(Debug)]
struct Doors {
    stop: watch::Receiver<bool>,
    /// Never sends: that it is gone is what is heard.
    _open: mpsc::Sender<Infallible>,
}

impl Lasting {
    /// Returns when it is time to end.
    pub(super) async fn over(&self) {
        match &self.0 {
            Some(doors) => told(&mut doors.stop.clone()).await,
            None => std::future::pending().await,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Lasting {
    type Rejection = Infallible;
    /// What is asked without a server, as tests do, lasts as long as it is wanted.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or(Self(None)))
    }
}

/// Serves `router` on `listener` until `stop` says true or its sender is gone; then ends each
/// connection after the answer it is giving.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    serving: Serving,
    mut stop: watch::Receiver<bool>,
) {
    let (open, mut lasting) = mpsc::channel(1);
    let doors = Arc::new(Doors { stop: stop.clone(), _open: open });
    let router = router.layer(Extension(Lasting(Some(doors))));
    let mut connections = JoinSet::new();
    let mut said = false;
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &serving.places) => accepted,
            () = told(&mut stop) => break,
        };
        // Those that ended are forgotten here, or the set would grow with every connection.
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, caller, place)) => {
                said = false;
                let (router, serving, stop) = (router.clone(), serving.clone(), stop.clone());
                connections.spawn(async move {
                    let visit = Visit { caller, place, serving, stop };
                    visit.take(stream, router).await;
                });
            }
            Err(error) => {
                // Out of file descriptors, mostly: some come back when connections end.
                if !std::mem::replace(&mut said, true) {
                    tracing::warn!(%error, "connections cannot be accepted");
                }
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop((listener, router));
    let all_gone = async {
        while connections.join_next().await.is_some() {}
        lasting.recv().await
    };
    let _ = timeout(serving.limits.goodbye, all_gone).await;
}

/// Nobody is asked to leave before somebody has come.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Places>,
) -> io::Result<(TcpStream, Caller, Arc<Place>)> {
    let (stream, from) = listener.accept().await?;
    Ok((stream, Caller(from), places.take().await))
}

/// Returns when it is time to stop; who can no longer say so has stopped already.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// One connection.
struct Visit {
    caller: Caller,
    place: Arc<Place>,
    serving: Serving,
    stop: watch::Receiver<bool>,
}

impl Visit {
    async fn take(mut self, stream: TcpStream, router: Router) {
        let limits = self.serving.limits;
        // A socket that cannot be set up is one whose other end is gone already.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        // Who says nothing costs no buffers. Peeking asks the socket itself: that it is readable
        // would only be a hint, and was seen to be a wrong one.
        let mut first = [0];
        let spoken = tokio::select! {
            spoken = timeout(limits.head_timeout, stream.peek(&mut first)) => spoken.is_ok(),
            () = self.place.asked_to_leave() => false,
            () = told(&mut self.stop) => false,
        };
        if spoken {
            self.conversation(stream, router).await;
        }
    }

    /// On the heap, and made by a function of its own: else its room would be part of every
    /// connection from the start.
    fn conversation(
        self,
        stream: TcpStream,
        router: Router,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.converse(stream, router))
    }

    async fn converse(mut self, stream: TcpStream, router: Router) {
        let limits = self.serving.limits;
        let wire = match &self.serving.tls {
            None => Wire::Plain(stream),
            Some(tls) => {
                let handshake = TlsAcceptor::from(tls.config()).accept(stream);
                let shaken = tokio::select! {
                    shaken = timeout(limits.head_timeout, handshake) => shaken,
                    () = self.place.asked_to_leave() => return,
                    () = told(&mut self.stop) => return,
                };
                match shaken {
                    Ok(Ok(stream)) => Wire::Tls(Box::new(stream)),
                    Ok(Err(error)) => return tracing::trace!(%error, "a TLS handshake failed"),
                    Err(_) => return,
                }
            }
        };
        let (place, caller) = (Arc::clone(&self.place), self.caller);
        let serve = service_fn(move |request| {
            answer(router.clone(), request, caller, limits, place.begin())
        });
        let socket = Socket::new(wire, limits.write_timeout, Arc::clone(&self.place));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_timeout)
            .max_headers(limits.headers)
            .max_buf_size(limits.head_bytes)
            .serve_connection(TokioIo::new(socket), serve)
            .with_upgrades();
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = told(&mut self.stop) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = self.place.asked_to_leave() => {
                if !self.place.is_busy() {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            self.count(&error);
        }
    }

    /// What hyper answered, or did not, without asking the routes.
    fn count(&self, error: &hyper::Error) {
        let status = if error.is_parse_too_large() {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
        } else if error.is_parse() {
            StatusCode::BAD_REQUEST
        } else {
            return tracing::trace!(%error, "a connection ended early");
        };
        self.serving.metrics.http_requests.with_label_values(&["other", status.as_str()]).inc();
    }
}

async fn answer(
    mut router: Router,
    request: hyper::Request<Incoming>,
    caller: Caller,
    limits: ServerLimits,
    under_way: UnderWay,
) -> Result<Response, Infallible> {
    let mut request: Request = request.map(Body::new);
    request.extensions_mut().insert(caller);
    request.extensions_mut().insert(BodyTimeout(limits.body_timeout));
    let response = router.call(request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        // From here on it is no HTTP: whoever took it over ends it.
        under_way.for_good();
        return Ok(response);
    }
    Ok(response.map(|body| watched(body, under_way)))
}

impl Witness for UnderWay {}

#[cfg(test)]
mod tests;
