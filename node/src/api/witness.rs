//! Bodies of answers that tell how they go: how much went out, and when it is over.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

/// Who is told. It is dropped when the body is over, sent or not.
pub(super) trait Witness: Send + Unpin + 'static {
    /// So many bytes more are on their way.
    fn sent(&mut self, _bytes: usize) {}
    /// There is nothing more to send.
    fn whole(&mut self) {}
}

/// The same body, watched.
pub(super) fn watched<W: Witness>(body: Body, mut witness: W) -> Body {
    if body.is_end_stream() {
        witness.whole();
    }
    Body::new(Watched { body, witness })
}

struct Watched<W> {
    body: Body,
    witness: W,
}

impl<W: Witness> HttpBody for Watched<W> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { body, witness } = self.get_mut();
        let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            witness.sent(frame.data_ref().map_or(0, Bytes::len));
        }
        // Who knows the length asks no further than that.
        if frame.is_none() || body.is_end_stream() {
            witness.whole();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
