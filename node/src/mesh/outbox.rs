//! What waits to be sent over one connection: two queues, bounded in frames and in bytes.
//! Votes and the log's traffic never wait behind blocks.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::{
    Channel,
    frame::{Frame, Kind, PAYLOAD_BYTES_MAX},
};

/// How much may wait.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    frames: usize,
    bytes: usize,
}

/// Chain and Raft: hundreds of rounds of votes, or dozens of batches.
const URGENT: Bounds = Bounds { frames: 8192, bytes: 32 << 20 };

/// Blocks: a handful of the largest.
const BULK: Bounds = Bounds { frames: 1024, bytes: 32 << 20 };

// Each queue takes at least two of the largest frames.
const _: () = assert!(2 * PAYLOAD_BYTES_MAX <= URGENT.bytes && 2 * PAYLOAD_BYTES_MAX <= BULK.bytes);

/// The queue is full, or the connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsent {
    Full,
    Closed,
}

#[derive(Debug)]
struct Queue {
    frames: VecDeque<Frame>,
    bytes: usize,
    bounds: Bounds,
}

impl Queue {
    fn new(bounds: Bounds) -> Self {
        Self { frames: VecDeque::new(), bytes: 0, bounds }
    }

    fn push(&mut self, frame: Frame) -> Result<(), Unsent> {
        let bytes = self.bytes + frame.wire_bytes();
        if self.frames.len() >= self.bounds.frames || bytes > self.bounds.bytes {
            return Err(Unsent::Full);
        }
        self.bytes = bytes;
        self.frames.push_back(frame);
        Ok(())
    }

    fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.wire_bytes();
        Some(frame)
    }
}

#[derive(Debug)]
struct Queues {
    urgent: Queue,
    bulk: Queue,
    closed: bool,
}

/// The two queues. Any number of tasks push, one takes.
#[derive(Debug)]
pub(super) struct Outbox {
    queues: Mutex<Queues>,
    changed: Notify,
    ended: watch::Sender<bool>,
}

impl Outbox {
    pub(super) fn new() -> Self {
        let (urgent, bulk) = (Queue::new(URGENT), Queue::new(BULK));
        Self {
            queues: Mutex::new(Queues { urgent, bulk, closed: false }),
            changed: Notify::new(),
            ended: watch::Sender::new(false),
        }
    }

    /// Queues a frame, or says at once why not.
    pub(super) fn push(&self, frame: Frame) -> Result<(), Unsent> {
        {
            let mut queues = self.queues.lock();
            if queues.closed {
                return Err(Unsent::Closed);
            }
            match frame.channel {
                Channel::Chain | Channel::Order => queues.urgent.push(frame)?,
                Channel::Blocks => queues.bulk.push(frame)?,
            }
        }
        self.changed.notify_one();
        Ok(())
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        let queues = self.queues.lock();
        queues.urgent.bytes + queues.bulk.bytes
    }

    /// The next frame to send, urgent ones first, if there is one now.
    pub(super) fn pop(&self) -> Option<Frame> {
        let mut queues = self.queues.lock();
        queues.urgent.pop().or_else(|| queues.bulk.pop())
    }

    /// The next frame to send; `None` when the outbox is closed.
    pub(super) async fn next(&self) -> Option<Frame> {
        loop {
            if self.queues.lock().closed {
                return None;
            }
            if let Some(frame) = self.pop() {
                return Some(frame);
            }
            // A push between the look and this wait is not lost: `notify_one` keeps a permit.
            self.changed.notified().await;
        }
    }

    /// Nothing goes in or out any more; what waits is let go.
    pub(super) fn close(&self) {
        {
            let mut queues = self.queues.lock();
            *queues = Queues { urgent: Queue::new(URGENT), bulk: Queue::new(BULK), closed: true };
        }
        self.changed.notify_one();
        self.ended.send_replace(true);
    }

    /// Waits until it is closed.
    pub(super) async fn closed(&self) {
        // The sender lives as long as `self`, so this ends only with `true`.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }
}

impl Frame {
    /// A frame of that kind, if its payload fits into one.
    pub(super) fn fitting(
        channel: Channel,
        kind: Kind,
        id: u64,
        payload: bytes::Bytes,
    ) -> Option<Self> {
        (payload.len() <= PAYLOAD_BYTES_MAX).then_some(Self { channel, kind, id, payload })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn frame(channel: Channel, id: u64, size: usize) -> Frame {
        Frame { channel, kind: Kind::OneWay, id, payload: Bytes::from(vec![0; size]) }
    }

    #[test]
    fn votes_and_the_log_overtake_blocks() {
        let outbox = Outbox::new();
        let order = [(Channel::Blocks, 1), (Channel::Chain, 2), (Channel::Order, 3)];
        for (channel, id) in order {
            outbox.push(frame(channel, id, 10)).unwrap();
        }
        let sent: Vec<u64> = std::iter::from_fn(|| outbox.pop()).map(|frame| frame.id).collect();
        assert_eq!(sent, [2, 3, 1]);
    }

    #[test]
    fn a_full_queue_says_so_and_has_room_again_afterwards() {
        #[rustfmt::skip]
        let table = [
            (Channel::Chain,  10,        URGENT.frames, "by frames"),
            (Channel::Order,   1 << 20,   31,            "by bytes: heads count too"),
            (Channel::Blocks, 4 << 20,   7,             "by bytes"),
        ];
        for (channel, size, fit, why) in table {
            let outbox = Outbox::new();
            let pushed = (0..).take_while(|n| outbox.push(frame(channel, *n, size)).is_ok());
            assert_eq!(pushed.count(), fit, "{why}");
            assert_eq!(outbox.push(frame(channel, 0, size)), Err(Unsent::Full), "{why}");
            outbox.pop().unwrap();
            assert_eq!(outbox.push(frame(channel, 0, size)), Ok(()), "{why}");
        }
    }

    #[test]
    fn blocks_that_wait_leave_room_for_votes() {
        let outbox = Outbox::new();
        while outbox.push(frame(Channel::Blocks, 0, 1 << 20)).is_ok() {}
        assert_eq!(outbox.push(frame(Channel::Chain, 1, 100)), Ok(()));
    }

    #[test]
    fn a_closed_outbox_takes_nothing_and_lets_go() {
        let outbox = Outbox::new();
        outbox.push(frame(Channel::Chain, 1, 10)).unwrap();
        outbox.close();
        assert_eq!(outbox.push(frame(Channel::Chain, 2, 10)), Err(Unsent::Closed));
        assert_eq!(outbox.pop(), None);
    }
}
