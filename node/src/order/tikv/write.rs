//! Writes the log while this node holds the lease: one slot at a time, each under a key that
//! nobody wrote before.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use cairn_tikv::{Inserted, Write};
use parking_lot::Mutex;
use tokio::{sync::watch, task::JoinSet, time::Instant};

use super::{
    Inner,
    desk::Append,
    follow::Taken,
    lease::{self, Lease},
    read::damaged,
    slot::Slot,
    tend,
};
use crate::{
    clock,
    order::forward::{APPEND_WITHIN, Forwarded},
};

/// Between two attempts to insert the same slot.
const PAUSE: Duration = Duration::from_millis(50);

/// One time of holding the lease.
struct Term {
    inner: Arc<Inner>,
    epoch: u64,
    /// When the last renewal that went well began.
    renewed: Mutex<Instant>,
    began: watch::Sender<u64>,
    over: watch::Sender<bool>,
}

impl Term {
    /// Whether nobody can have taken the lease since.
    fn holds(&self) -> bool {
        !*self.over.borrow() && self.renewed.lock().elapsed() < self.inner.tuning.lease
    }

    /// Ends it: what waits here is certainly not in.
    fn end(&self, why: &str) {
        if !self.over.send_replace(true) {
            tracing::info!(epoch = self.epoch, why, "writes the log no more");
        }
        self.inner.desk.close();
    }
}

/// Writes until the lease is lost or the node stops.
pub(super) async fn lead(inner: &Arc<Inner>, (lease, since): Taken) {
    let term = Arc::new(Term {
        inner: Arc::clone(inner),
        epoch: lease.epoch,
        renewed: Mutex::new(since),
        began: watch::Sender::new(0),
        over: watch::Sender::new(false),
    });
    tracing::info!(epoch = lease.epoch, "writes the log");
    inner.know(lease.holder, lease.epoch, true);
    // Ends with this function, however that ends.
    let mut keeping = JoinSet::new();
    keeping.spawn(keep(Arc::clone(&term), lease));
    write(&term).await;
    term.end("stopped or deposed");
    inner.know(None, term.epoch, false);
    // A lease that is given back is free at once.
    if *inner.stopping.borrow() {
        while keeping.join_next().await.is_some() {}
    }
}

/// Renews the lease until it is lost, over, or given back.
async fn keep(term: Arc<Term>, mut lease: Lease) {
    let Inner { keys, tuning, .. } = &*term.inner;
    let mut over = term.over.subscribe();
    let mut began = term.began.subscribe();
    let mut there = lease.encode();
    loop {
        let done = tokio::select! {
            biased;
            _ = over.wait_for(|over| *over) => true,
            // The others should know where it began.
            _ = began.changed() => false,
            () = tokio::time::sleep(tuning.renew) => false,
        };
        lease.renewals += 1;
        lease.began = *term.began.borrow();
        if done {
            lease.holder = None;
        }
        let (renewing, value) = (Instant::now(), lease.encode());
        let asked = keys.replace(lease::KEY.to_vec(), Some(there.clone()), value.clone());
        if done {
            // Given back if that is easy: otherwise time does it.
            let _ = asked.await;
            return;
        }
        let until = *term.renewed.lock() + tuning.lease;
        // When there is no answer, what is there tells next time.
        if let Ok(Ok(answer)) =
            tokio::time::timeout_at(until, asked).await.map(|it| term.inner.heard(it))
        {
            match answer {
                Ok(()) => (there, *term.renewed.lock()) = (value, renewing),
                Err(Some(other)) if is_of(&other, &lease) => there = other,
                Err(_) => return term.end("another took the lease"),
            }
        }
        if !term.holds() {
            return term.end("the lease could not be renewed");
        }
        term.inner.tell(term.epoch);
    }
}

/// Whether a record is that of this very term, by a renewal of which no answer came.
fn is_of(record: &[u8], lease: &Lease) -> bool {
    Lease::decode(record).is_ok_and(|other| other.life == lease.life)
}

async fn write(term: &Term) {
    let inner = &*term.inner;
    let mut over = term.over.subscribe();
    let mut stopping = inner.stopping.subscribe();
    let Placed::At(first) = place(term, Vec::new()).await else { return };
    term.began.send_replace(first);
    inner.tell(term.epoch);
    inner.desk.open();
    loop {
        let group = tokio::select! {
            biased;
            _ = over.wait_for(|over| *over) => return,
            _ = stopping.wait_for(|stopping| *stopping) => return,
            group = inner.desk.next() => group,
        };
        if !put_in(term, group).await {
            return;
        }
    }
}

/// Puts batches in and says so to whoever waits. False when this node writes no more.
async fn put_in(term: &Term, group: Vec<Append>) -> bool {
    let batches = group.iter().map(|append| append.batch.clone()).collect();
    let placed = place(term, batches).await;
    for (index, append) in (0..).zip(group) {
        let answer = match placed {
            Placed::At(first) => Forwarded::In(first + index),
            Placed::Out => Forwarded::NotLeader(None),
            Placed::Unknown => Forwarded::Unknown,
        };
        // Whoever went away was told "unknown".
        let _ = append.answer.send(answer);
    }
    matches!(placed, Placed::At(_))
}

/// What became of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placed {
    At(u64),
    /// Certainly nowhere, and this node writes no more.
    Out,
    Unknown,
}

/// Puts batches into the first free slot.
async fn place(term: &Term, batches: Vec<Bytes>) -> Placed {
    let inner = &*term.inner;
    loop {
        let slot = Slot {
            epoch: term.epoch,
            entry: clock::random(),
            first: inner.view.next(),
            writer: inner.me(),
            batches: batches.clone(),
        };
        let there = match settle(term, &slot).await {
            Settled::Ours(value) => {
                let first = slot.first;
                if !inner.view.take(slot) {
                    return Placed::Unknown;
                }
                inner.send(first, &value);
                return Placed::At(first);
            }
            Settled::Taken(there) => there,
            Settled::NotAsked => return Placed::Out,
            Settled::Unknown => return Placed::Unknown,
        };
        match Slot::decode(inner.chain(), slot.first, there) {
            Ok(other) => {
                let newer = other.epoch >= term.epoch;
                inner.view.take(other);
                if newer {
                    return Placed::Out;
                }
                // The last word of a writer before: this one comes after it.
            }
            Err(error) => {
                inner.alarm(damaged(slot.first, &error));
                return Placed::Out;
            }
        }
    }
}

/// What became of an insert.
enum Settled {
    /// Under its key there is this value.
    Ours(Vec<u8>),
    Taken(Vec<u8>),
    NotAsked,
    Unknown,
}

/// Inserts a slot and asks until it is known what its key holds.
async fn settle(term: &Term, slot: &Slot) -> Settled {
    let inner = &*term.inner;
    // Before the lease is looked at: from here on, time that passes unnoticed is noticed below.
    let begun = Instant::now();
    if !term.holds() {
        return Settled::NotAsked;
    }
    let (key, value) = (slot.key(), slot.encode(inner.chain()));
    loop {
        match inner.heard(inner.keys.insert(key.clone(), value.clone()).await) {
            Ok(Inserted::Yes) => break,
            Ok(Inserted::Taken(there)) => return Settled::Taken(there),
            // Nobody waits any more, and somebody else will find out.
            Err(_) if !term.holds() && begun.elapsed() >= APPEND_WITHIN => {
                return Settled::Unknown;
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
    if begun.elapsed() < inner.tuning.sure {
        return Settled::Ours(value);
    }
    // After so long, another's slot may have stood there and have been deleted again.
    match inner.heard(tend::floor(&*inner.keys).await) {
        Ok(floor) if floor < slot.first => Settled::Ours(value),
        Ok(_) => {
            // Nobody reads it there; left alone it would be taken for one of the log's last.
            let _ = inner.heard(inner.keys.write(vec![Write::Delete(key)]).await);
            Settled::Unknown
        }
        Err(_) => Settled::Unknown,
    }
}
