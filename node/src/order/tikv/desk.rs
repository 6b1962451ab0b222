//! Where batches wait for the writer, on the node that writes.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::slot::{SLOT_BATCHES_MAX, SLOT_BYTES};
use crate::order::forward::Forwarded;

/// Most bytes that wait: beyond, whoever comes is told to come again.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// A batch, and who waits to hear of it. Dropped without an answer, it may be in.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) batch: Bytes,
    pub(super) answer: oneshot::Sender<Forwarded>,
}

#[derive(Debug, Default)]
struct Waiting {
    open: bool,
    appends: VecDeque<Append>,
    bytes: usize,
}

/// The queue. Open only while this node writes.
#[derive(Debug, Default)]
pub(super) struct Desk {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

impl Desk {
    /// Queues a batch, or says at once why not.
    pub(super) fn put(&self, batch: Bytes) -> Result<oneshot::Receiver<Forwarded>, Forwarded> {
        let mut waiting = self.waiting.lock();
        if !waiting.open {
            return Err(Forwarded::NotLeader(None));
        }
        if waiting.bytes + batch.len() > WAITING_BYTES_MAX {
            return Err(Forwarded::Unavailable);
        }
        let (answer, answered) = oneshot::channel();
        waiting.bytes += batch.len();
        waiting.appends.push_back(Append { batch, answer });
        drop(waiting);
        self.changed.notify_one();
        Ok(answered)
    }

    /// Takes batches from now on.
    pub(super) fn open(&self) {
        self.waiting.lock().open = true;
    }

    /// Takes no more; whoever waits hears that it is not in.
    pub(super) fn close(&self) {
        let appends = {
            let mut waiting = self.waiting.lock();
            waiting.open = false;
            waiting.bytes = 0;
            std::mem::take(&mut waiting.appends)
        };
        for append in appends {
            // Whoever went away was told "unknown", which is right too.
            let _ = append.answer.send(Forwarded::NotLeader(None));
        }
    }

    /// The batches for the next slot, once there is one.
    pub(super) async fn next(&self) -> Vec<Append> {
        loop {
            let group = self.group();
            if !group.is_empty() {
                return group;
            }
            self.changed.notified().await;
        }
    }

    fn group(&self) -> Vec<Append> {
        let mut waiting = self.waiting.lock();
        let mut group: Vec<Append> = Vec::new();
        let mut bytes = 0;
        while let Some(first) = waiting.appends.front() {
            let length = first.batch.len();
            let full = bytes + length > SLOT_BYTES || group.len() == SLOT_BATCHES_MAX;
            if full && !group.is_empty() {
                break;
            }
            waiting.bytes -= length;
            let append = waiting.appends.pop_front().expect("it is at the front");
            // Who waits no longer may append it again: better not to have it twice.
            if !append.answer.is_closed() {
                bytes += length;
                group.push(append);
            }
        }
        group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn groups_hold_what_fits_and_nobody_who_left() {
        let desk = Desk::default();
        assert_eq!(desk.put(Bytes::new()).unwrap_err(), Forwarded::NotLeader(None));
        desk.open();
        let half = Bytes::from(vec![1; SLOT_BYTES / 2]);
        let large = Bytes::from(vec![2; SLOT_BYTES * 2]);
        let mut answers = Vec::new();
        for batch in [&half, &half, &half, &large, &half] {
            answers.push(desk.put(batch.clone()).unwrap());
        }
        drop(answers.remove(1));
        let sizes = |group: &[Append]| group.iter().map(|it| it.batch.len()).collect::<Vec<_>>();
        assert_eq!(sizes(&desk.next().await), [half.len(), half.len()], "one has left");
        assert_eq!(sizes(&desk.next().await), [large.len()], "it goes alone");
        desk.close();
        let last = answers.pop().unwrap().await;
        assert_eq!(last, Ok(Forwarded::NotLeader(None)), "certainly not in");
        for answer in answers {
            assert!(answer.await.is_err(), "taken and not answered: nobody knows");
        }
    }

    #[test]
    fn what_waits_is_bounded() {
        let desk = Desk::default();
        desk.open();
        let batch = Bytes::from(vec![0; 1 << 20]);
        let answers: Vec<_> = (0..64).map(|_| desk.put(batch.clone()).unwrap()).collect();
        assert_eq!(desk.put(batch.clone()).unwrap_err(), Forwarded::Unavailable);
        drop(desk.group());
        assert!(desk.put(batch).is_ok(), "a batch was taken");
        drop(answers);
    }
}
