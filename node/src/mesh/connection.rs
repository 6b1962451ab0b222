//! One authenticated connection: reads frames and hands them to the services, writes what
//! its outbox holds, and ends when either side falls silent.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter},
    sync::{Semaphore, oneshot},
    time::timeout,
};

use super::{
    AskError, Channel, Peer, Service, Services,
    counters::{Tally, count},
    frame::{self, Frame, FrameError, Kind, PAYLOAD_BYTES_MAX},
    outbox::{Outbox, Unsent},
};
use crate::clock::Stopwatch;

/// An idle side says this often that it lives.
const PING_EVERY: Duration = Duration::from_secs(3);

/// A side from which not a byte came for this long is gone. Bytes count, not frames: a large
/// frame over a thin line takes its time.
const SILENCE: Duration = Duration::from_secs(10);

/// Small frames are gathered up to this size before they are written.
const WRITE_BUFFER_BYTES: usize = 64 * 1024;

/// What one peer's requests may cost at once: a share for each request, and one for each
/// [`SHARE_BYTES`] of it. At most 128 requests, at most 64 MiB.
const SHARES: usize = 128;
const SHARE_BYTES: usize = 512 * 1024;

// The largest request alone must fit.
const _: () = assert!(PAYLOAD_BYTES_MAX / SHARE_BYTES < SHARES);

/// Longest reason of a declined request, in bytes.
const REASON_BYTES_MAX: usize = 1024;

type Reply = Result<Bytes, AskError>;

/// One connection to one peer.
pub(super) struct Connection {
    pub(super) peer: Peer,
    /// Of the peer's process.
    pub(super) incarnation: u64,
    outbox: Outbox,
    asked: Mutex<HashMap<u64, oneshot::Sender<Reply>>>,
    next_id: AtomicU64,
    shares: Arc<Semaphore>,
    services: Arc<Services>,
    tally: Arc<Tally>,
    /// Since the last byte came.
    quiet: Mutex<Stopwatch>,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("{}", broken(.0))]
    Broken(#[from] io::Error),
    #[error("{0}")]
    Malformed(#[from] FrameError),
    #[error("nothing came for {} s", SILENCE.as_secs())]
    Silent,
    #[error("closed by this side")]
    Closed,
}

/// A process that ends says no goodbye, of which TLS speaks at length.
fn broken(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "closed by the other side".to_owned(),
        _ => error.to_string(),
    }
}

impl Connection {
    pub(super) fn new(
        peer: Peer,
        incarnation: u64,
        services: Arc<Services>,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            peer,
            incarnation,
            outbox: Outbox::new(),
            asked: Mutex::new(HashMap::new()),
            next_id: AtomicU64::new(1),
            shares: Arc::new(Semaphore::new(SHARES)),
            services,
            tally,
            quiet: Mutex::new(Stopwatch::start()),
        }
    }

    /// For how long nothing has come.
    pub(super) fn quiet(&self) -> Duration {
        self.quiet.lock().elapsed()
    }

    /// Bytes that wait to be sent.
    pub(super) fn queued_bytes(&self) -> usize {
        self.outbox.bytes()
    }

    /// Queues a one-way message; false when there is no room for it.
    pub(super) fn send(&self, channel: Channel, message: Bytes) -> bool {
        let Some(frame) = Frame::fitting(channel, Kind::OneWay, 0, message) else {
            let channel = channel as u8;
            tracing::error!(channel, "a message larger than a frame was not sent");
            count(&self.tally.dropped);
            return false;
        };
        self.push(frame).is_ok()
    }

    fn push(&self, frame: Frame) -> Result<(), Unsent> {
        self.outbox.push(frame).inspect_err(|why| {
            if *why == Unsent::Full {
                count(&self.tally.dropped);
            }
        })
    }

    /// Asks and waits.
    pub(super) async fn ask(&self, channel: Channel, request: Bytes, within: Duration) -> Reply {
        let (peer, size) = (self.peer, request.len());
        let id = self.next_id.fetch_add(1, Relaxed);
        let Some(frame) = Frame::fitting(channel, Kind::Request, id, request) else {
            let reason = format!("a request of {size} bytes; at most {PAYLOAD_BYTES_MAX} fit");
            return Err(AskError::Declined { peer, reason });
        };
        let (reply, answered) = oneshot::channel();
        self.asked.lock().insert(id, reply);
        // Forgotten when the asker goes away, however it goes.
        let _forget = Forget { asked: &self.asked, id };
        if self.push(frame).is_err() {
            return Err(AskError::Disconnected(peer));
        }
        match timeout(within, answered).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) | Err(_) => Err(AskError::Silent(peer)),
        }
    }

    /// Ends it from this side.
    pub(super) fn close(&self) {
        self.outbox.close();
    }

    /// Reads and writes until it ends.
    pub(super) async fn run(
        self: &Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin,
    ) -> Ended {
        let (reader, writer) = tokio::io::split(stream);
        let ended = tokio::select! {
            Err(ended) = self.read(reader) => ended,
            ended = self.write(writer) => ended.err().unwrap_or(Ended::Closed),
        };
        self.outbox.close();
        // Dropping the senders tells every waiting asker.
        self.asked.lock().clear();
        if let Ended::Malformed(what) = &ended {
            count(&self.tally.frames_malformed);
            let subject = format!("validator {}", self.peer);
            let code = match what {
                FrameError::Length(_) => "FRAME_LENGTH",
                FrameError::Kind { .. } => "FRAME_KIND",
            };
            self.tally.complain(code, &subject, &what.to_string());
        }
        ended
    }

    async fn write(&self, writer: impl AsyncWrite + Unpin) -> Result<(), Ended> {
        let mut writer = BufWriter::with_capacity(WRITE_BUFFER_BYTES, writer);
        loop {
            let frame = match timeout(PING_EVERY, self.outbox.next()).await {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_idle) => Frame::ping(),
            };
            let mut next = Some(frame);
            while let Some(frame) = next {
                writer.write_all(&frame.head()).await?;
                writer.write_all(&frame.payload).await?;
                count(&self.tally.frames_sent);
                let bytes = u64::try_from(frame.wire_bytes()).unwrap_or(u64::MAX);
                self.tally.bytes_sent.fetch_add(bytes, Relaxed);
                next = self.outbox.pop();
            }
            writer.flush().await?;
        }
        // A clean goodbye is a courtesy: whoever does not take it must not hold us up.
        let _ = timeout(Duration::from_millis(200), writer.shutdown()).await;
        Ok(())
    }

    async fn read(
        self: &Arc<Self>,
        mut reader: impl AsyncRead + Unpin,
    ) -> Result<std::convert::Infallible, Ended> {
        let mut arrived = BytesMut::with_capacity(WRITE_BUFFER_BYTES);
        loop {
            while let Some(frame) = frame::take(&mut arrived)? {
                count(&self.tally.frames_received);
                self.receive(frame);
            }
            arrived.reserve(WRITE_BUFFER_BYTES / 4);
            let got = timeout(SILENCE, reader.read_buf(&mut arrived))
                .await
                .map_err(|_| Ended::Silent)??;
            if got == 0 {
                return Err(Ended::Broken(io::ErrorKind::UnexpectedEof.into()));
            }
            *self.quiet.lock() = Stopwatch::start();
            self.tally.bytes_received.fetch_add(u64::try_from(got).unwrap_or(u64::MAX), Relaxed);
        }
    }

    fn receive(self: &Arc<Self>, frame: Frame) {
        match frame.kind {
            Kind::Ping => {}
            Kind::OneWay => match self.services.of(frame.channel) {
                Some(service) => service.notify(self.peer, frame.payload),
                None => count(&self.tally.dropped),
            },
            Kind::Request => self.serve(frame),
            Kind::Answer => self.answered(frame.id, Ok(frame.payload)),
            Kind::Declined => {
                let said = &frame.payload[..frame.payload.len().min(REASON_BYTES_MAX)];
                let reason = String::from_utf8_lossy(said).into_owned();
                self.answered(frame.id, Err(AskError::Declined { peer: self.peer, reason }));
            }
        }
    }

    /// An answer that nobody waits for any more is let go.
    fn answered(&self, id: u64, reply: Reply) {
        if let Some(asker) = self.asked.lock().remove(&id) {
            let _ = asker.send(reply);
        }
    }

    fn serve(self: &Arc<Self>, frame: Frame) {
        let Frame { channel, id, payload, .. } = frame;
        let Some(service) = self.services.of(channel) else {
            return self.decline(channel, id, "nobody here answers on that channel");
        };
        let shares = u32::try_from(1 + payload.len() / SHARE_BYTES).unwrap_or(u32::MAX);
        let Ok(share) = Arc::clone(&self.shares).try_acquire_many_owned(shares) else {
            count(&self.tally.overloaded);
            return self.decline(channel, id, "too many requests at once; ask again later");
        };
        let (this, service) = (Arc::clone(self), Arc::clone(service));
        tokio::spawn(async move {
            // Whoever asked may be gone before the answer is there: then it stops.
            let answer = tokio::select! {
                answer = answer(&*service, this.peer, payload) => answer,
                () = this.outbox.closed() => return,
            };
            this.reply(channel, id, answer);
            drop(share);
        });
    }

    fn reply(&self, channel: Channel, id: u64, answer: Result<Bytes, String>) {
        match answer {
            Ok(answer) => {
                let size = answer.len();
                match Frame::fitting(channel, Kind::Answer, id, answer) {
                    // A full queue counts the drop; the asker's patience ends by itself.
                    Some(frame) => drop(self.push(frame)),
                    None => {
                        let reason =
                            format!("the answer has {size} bytes; at most {PAYLOAD_BYTES_MAX} fit");
                        self.decline(channel, id, &reason);
                    }
                }
            }
            Err(reason) => self.decline(channel, id, &reason),
        }
    }

    fn decline(&self, channel: Channel, id: u64, reason: &str) {
        let said = &reason.as_bytes()[..reason.len().min(REASON_BYTES_MAX)];
        let payload = Bytes::copy_from_slice(said);
        let _ = self.push(Frame { channel, kind: Kind::Declined, id, payload });
    }
}

async fn answer(service: &dyn Service, from: Peer, request: Bytes) -> Result<Bytes, String> {
    service.answer(from, request).await
}

struct Forget<'a> {
    asked: &'a Mutex<HashMap<u64, oneshot::Sender<Reply>>>,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.asked.lock().remove(&self.id);
    }
}
