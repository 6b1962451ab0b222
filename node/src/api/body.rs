//! Reading a request's body: bounded in size, in time, and over all requests together.

use std::{pin::Pin, sync::Arc, time::Duration};

use axum::{
    body::{Body, HttpBody},
    http::{header, request::Parts},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::Failure;

/// How long a body may take, where the server that read its head did not say.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the body of a request may take; the server leaves it in the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyTimeout(pub(super) Duration);

/// What all bodies that are held at a time may take together.
const ALL_BODIES_KIB: usize = 256 * 1024;

/// Memory for bodies, shared by all requests.
#[derive(Clone, Debug)]
pub(super) struct BodyBudget {
    kib: Arc<Semaphore>,
    /// What no body may be larger than, whatever its route takes.
    most: usize,
}

impl Default for BodyBudget {
    fn default() -> Self {
        Self::of(usize::MAX)
    }
}

/// A whole body; its memory counts until it is dropped.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) bytes: Vec<u8>,
    memory: Option<OwnedSemaphorePermit>,
}

impl BodyBudget {
    /// For bodies of at most so many bytes each.
    pub(super) fn of(most: usize) -> Self {
        Self { kib: Arc::new(Semaphore::new(ALL_BODIES_KIB)), most }
    }

    /// Reads the body of at most `most` bytes that follows that head.
    pub(super) async fn read(
        &self,
        head: &Parts,
        body: Body,
        most: usize,
    ) -> Result<Received, Failure> {
        let most = most.min(self.most);
        let said = head.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        let said = said.and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
        if said > most as u64 {
            return Err(Failure::BodyTooLarge(most));
        }
        let patience = head.extensions.get().map_or(BODY_TIMEOUT, |BodyTimeout(said)| *said);
        let timeout = Failure::BodyTimeout(patience.as_secs());
        tokio::time::timeout(patience, self.gather(body, most)).await.unwrap_or(Err(timeout))
    }

    async fn gather(&self, mut body: Body, most: usize) -> Result<Received, Failure> {
        let mut received = Received { bytes: Vec::new(), memory: None };
        loop {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            let Some(frame) = frame else { return Ok(received) };
            let frame = frame.map_err(|_| Failure::BodyBroken)?;
            // Trailers say nothing that anyone here asks.
            let Ok(data) = frame.into_data() else { continue };
            if received.bytes.len() + data.len() > most {
                return Err(Failure::BodyTooLarge(most));
            }
            received.bytes.extend_from_slice(&data);
            self.account(&mut received)?;
        }
    }

    fn account(&self, received: &mut Received) -> Result<(), Failure> {
        let have = received.memory.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = received.bytes.len().div_ceil(1024).saturating_sub(have);
        let Ok(more) = u32::try_from(more) else { return Err(Failure::Overloaded) };
        let permit = Arc::clone(&self.kib).try_acquire_many_owned(more);
        let permit = permit.map_err(|_| Failure::Overloaded)?;
        match &mut received.memory {
            Some(memory) => memory.merge(permit),
            none => *none = Some(permit),
        }
        Ok(())
    }
}
