//! How a stream talks over a WebSocket (RFC 6455): one text message an event, pings when the
//! reader is silent, and a word before it is sent away.
//!
//! What readers say is read, since pings and goodbyes are among it, and otherwise ignored.

use std::{pin::Pin, time::Duration};

use axum::{
    extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code},
    response::Response,
};
use bytes::Bytes;
use futures_util::SinkExt as _;
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::server::Lasting;
use crate::streams::{Dropped, Follower, News, Portion, StreamLimits, events};

/// Largest message that a reader may send: a control frame, mostly.
const HEARD_BYTES_MAX: usize = 4 * 1024;

/// What is written before the other end is given the chance to take it.
const WRITE_BUFFER_BYTES: usize = 8 * 1024;

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// How a stream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// As BigchainDB 2.2.2: transactions only, and a reader that is too far behind goes.
    V1,
    /// Every event, and where the reader stands when it is told none.
    V2,
}

impl Dialect {
    fn messages(self, portion: &Portion) -> Vec<Bytes> {
        match self {
            Self::V1 => portion.frames().collect(),
            Self::V2 => portion.json().collect(),
        }
    }
}

/// Takes the connection over, and tells what the follower finds until one of them ends.
pub(super) fn tell(
    upgrade: WebSocketUpgrade,
    follower: Follower,
    dialect: Dialect,
    lasting: Lasting,
) -> Response {
    let bounded = upgrade
        .read_buffer_size(HEARD_BYTES_MAX)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(HEARD_BYTES_MAX)
        .max_frame_size(HEARD_BYTES_MAX);
    bounded.on_upgrade(move |socket| async move {
        let limits = follower.limits();
        Telling { socket, dialect, limits, silence: Silence::begin(limits.silence) }
            .until_the_end(follower, lasting)
            .await;
    })
}

/// Why a stream ended.
enum End {
    /// Its reader said so, or is gone.
    Left,
    /// This validator is stopping.
    Stopping,
    /// It was sent away.
    Dropped(Dropped),
    /// It said what nobody may say.
    Unheard,
}

struct Telling {
    socket: WebSocket,
    dialect: Dialect,
    limits: StreamLimits,
    silence: Silence,
}

impl Telling {
    async fn until_the_end(mut self, mut follower: Follower, lasting: Lasting) {
        let end = self.tell_all(&mut follower, &lasting).await;
        match end {
            End::Left => {
                // The other side's goodbye is answered; after that it is gone or was never there.
                drop(follower);
                let _ = timeout(GOODBYE, self.socket.close()).await;
            }
            End::Stopping => {
                self.goodbye(close_code::AWAY, "this validator is stopping").await;
            }
            End::Unheard => {
                let why = "small messages, as RFC 6455 has them, are heard here";
                self.goodbye(close_code::PROTOCOL, why).await;
            }
            End::Dropped(why) => {
                follower.end(why);
                let (code, text) = match why {
                    Dropped::Slow => (close_code::POLICY, "too slow: what was sent was not read"),
                    Dropped::Behind => (close_code::POLICY, "too slow: too many blocks behind"),
                    Dropped::Silent => (close_code::POLICY, "no answer to a ping"),
                    Dropped::Trouble => (close_code::ERROR, "a block could not be read"),
                };
                self.goodbye(code, text).await;
            }
        }
    }

    async fn tell_all(&mut self, follower: &mut Follower, lasting: &Lasting) -> End {
        if self.dialect == Dialect::V2 {
            let here = events::progress_json(follower.passed());
            if let Err(end) = self.send(vec![here]).await {
                return end;
            }
        }
        loop {
            let said = tokio::select! {
                biased;
                () = lasting.over() => Err(End::Stopping),
                heard = self.socket.recv() => match heard {
                    Some(Ok(Message::Close(_))) | None => Err(End::Left),
                    Some(Ok(_)) => {
                        self.silence.broken();
                        Ok(())
                    }
                    Some(Err(_)) => Err(End::Unheard),
                },
                () = self.silence.is_too_long() => self.ping().await,
                news = follower.news() => match news {
                    Ok(news) => self.tell_of(news, follower).await,
                    Err(trouble) => {
                        tracing::warn!(error = %trouble, "a stream ended");
                        Err(End::Dropped(Dropped::Trouble))
                    }
                },
            };
            if let Err(end) = said {
                return end;
            }
        }
    }

    async fn tell_of(&mut self, news: News, follower: &Follower) -> Result<(), End> {
        match (news, self.dialect) {
            (News::Events(_), Dialect::V1) if follower.behind() > self.limits.behind => {
                Err(End::Dropped(Dropped::Behind))
            }
            (News::Events(portion), dialect) => self.send(dialect.messages(&portion)).await,
            (News::Quiet(at), Dialect::V2) => self.send(vec![events::progress_json(at)]).await,
            (News::Quiet(_), Dialect::V1) => Ok(()),
        }
    }

    async fn ping(&mut self) -> Result<(), End> {
        if self.silence.pinged {
            return Err(End::Dropped(Dropped::Silent));
        }
        self.silence.pinging();
        self.written(async |socket: &mut WebSocket| socket.send(Message::Ping(Bytes::new())).await)
            .await
    }

    async fn send(&mut self, messages: Vec<Bytes>) -> Result<(), End> {
        self.written(async |socket: &mut WebSocket| {
            for message in messages {
                let text = Utf8Bytes::try_from(message).map_err(axum::Error::new)?;
                socket.feed(Message::Text(text)).await?;
            }
            socket.flush().await
        })
        .await
    }

    /// Writes, unless the other end does not read.
    async fn written(
        &mut self,
        write: impl AsyncFnOnce(&mut WebSocket) -> Result<(), axum::Error>,
    ) -> Result<(), End> {
        match timeout(self.limits.patience, write(&mut self.socket)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Left),
            Err(_) => Err(End::Dropped(Dropped::Slow)),
        }
    }

    /// Says why, and hears the other end's goodbye if it comes soon.
    async fn goodbye(&mut self, code: u16, why: &'static str) {
        let frame = CloseFrame { code, reason: Utf8Bytes::from_static(why) };
        let both = async {
            self.socket.send(Message::Close(Some(frame))).await?;
            while let Some(Ok(_)) = self.socket.recv().await {}
            Ok::<(), axum::Error>(())
        };
        let _ = timeout(GOODBYE, both).await;
    }
}

/// Since when nothing was heard.
struct Silence {
    most: Duration,
    pinged: bool,
    over: Pin<Box<Sleep>>,
}

impl Silence {
    fn begin(most: Duration) -> Self {
        Self { most, pinged: false, over: Box::pin(sleep(most)) }
    }

    fn broken(&mut self) {
        self.pinged = false;
        self.over.as_mut().reset(Instant::now() + self.most);
    }

    fn pinging(&mut self) {
        self.broken();
        self.pinged = true;
    }

    async fn is_too_long(&mut self) {
        self.over.as_mut().await;
    }
}
