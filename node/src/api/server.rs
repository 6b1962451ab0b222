//! The doors themselves: sockets, connections, and what they may cost.
//!
//! `axum::serve` would do less work here, and leave Nagle's algorithm on, which makes small
//! answers wait 40 ms, and nothing bounded.

use std::{convert::Infallible, io, pin::pin, sync::Arc, time::Duration};

use axum::{Extension, Router, extract::FromRequestParts, http::request::Parts};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::JoinSet,
    time::sleep,
};

use super::body::BodyTimeout;
use crate::metrics::Metrics;

/// What connections may cost.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Most connections at a time; more wait in the kernel's queue.
    pub connections: usize,
    /// Most bytes of a request's head; also how much is read ahead of a body.
    pub head_bytes: usize,
    /// Most header fields.
    pub headers: usize,
    /// How long a request's head may take, idling between requests included.
    pub head_timeout: Duration,
    /// How long a request's body may take after its head.
    pub body_timeout: Duration,
    /// How long answers under way are waited for when stopping.
    pub goodbye: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            head_bytes: 16 * 1024,
            headers: 100,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(10),
            goodbye: Duration::from_secs(5),
        }
    }
}

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
    limits: ServerLimits,
    metrics: Arc<Metrics>,
    mut stop: watch::Receiver<bool>,
) {
    let (open, mut lasting) = mpsc::channel(1);
    let doors = Arc::new(Doors { stop: stop.clone(), _open: open });
    let router = router
        .layer(Extension(BodyTimeout(limits.body_timeout)))
        .layer(Extension(Lasting(Some(doors))));
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = told(&mut stop) => break,
        };
        // Those that ended are forgotten here, or the set would grow with every connection.
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, place)) => {
                let (router, metrics, stop) = (router.clone(), Arc::clone(&metrics), stop.clone());
                connections.spawn(async move {
                    metrics.http_connections.inc();
                    converse(stream, router, limits, stop).await;
                    metrics.http_connections.dec();
                    drop(place);
                });
            }
            Err(error) => {
                // Out of file descriptors, mostly: some come back when connections end.
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop((listener, router));
    let all_gone = async {
        while connections.join_next().await.is_some() {}
        lasting.recv().await
    };
    let _ = tokio::time::timeout(limits.goodbye, all_gone).await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.expect("nobody closes the semaphore");
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

/// Returns when it is time to stop; who can no longer say so has stopped already.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn converse(
    stream: TcpStream,
    router: Router,
    limits: ServerLimits,
    mut stop: watch::Receiver<bool>,
) {
    // A socket that cannot be set up is one whose other end is gone already.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_headers(limits.headers)
        .max_buf_size(limits.head_bytes)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = told(&mut stop) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests;
