//! The log in TiKV: slots in a keyspace of its own, written by one validator at a time.
//!
//! * [`slot`]: what a key holds. Slots follow one another without gaps: only who has seen or
//!   written every slot before knows the key of the next.
//! * [`lease`]: who writes. [`write`]: the writer gathers what waits at its [`desk`] into a slot
//!   and inserts it under the next key, one at a time. A key is written once, so a writer that
//!   was deposed and does not know it finds the key taken: the slots are the fence.
//! * [`follow`]: everybody else gets the slots from the writer as it puts them in, and reads what
//!   did not come: the next key when the writer hints at it, and by polling. Whoever finds the
//!   lease free takes it.
//! * [`view`]: what is known here. [`read`]: slices of it, older ones from TiKV.
//! * [`tend`]: each validator says up to where its blocks have the log; what is not needed any
//!   more is deleted.
//!
//! TiKV is trusted to keep what it acknowledged, its administrator is not: what was changed is
//! noticed and named, and what a block holds is decided by votes all the same.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use cairn_ledger::{
    encoding::{DecodeError, Reader, Writer},
    ids::{ChainId, Position},
    limits::BATCH_BYTES_MAX,
};
use cairn_tikv::{Space, Trouble};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::Instant,
};

use self::{
    desk::Desk,
    keys::Keys,
    slot::{NUMBER_MAX, SLOT_BYTES_MAX, Slot, SlotError},
    view::View,
};
use super::{
    AppendError, Batch, Lead, Order, Ordered, ReadError,
    forward::{FORWARD, Forwarded, Forwarder, Transport},
};
use crate::mesh::{Peer, Service};

mod desk;
mod follow;
mod keys;
mod lease;
mod read;
mod slot;
mod tend;
mod view;
mod write;

#[cfg(test)]
mod tests;

/// Says of a message that it is a hint: tells the log's end.
const HINT: u8 = 5;
/// Says of a message that it is a slot that was just put in.
const SLOT: u8 = 6;
/// How long an ending node waits for its lease to be given back.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// How the log is set up.
pub struct TikvConfig {
    /// The chain's keys; the log has a part of its own.
    pub space: Space,
    /// Whose log it is: neither slots nor requests of another chain are taken.
    pub chain: ChainId,
    /// This validator's index in the genesis record.
    pub me: Peer,
    /// How many validators the genesis record has.
    pub validators: u16,
    /// Up to here this node's blocks have the log already.
    pub after: Position,
    /// How the others are reached.
    pub transport: Arc<dyn Transport>,
}

/// What tests make smaller.
#[derive(Clone, Copy, Debug)]
struct Tuning {
    /// A lease that was not renewed for so long is free; who cannot renew it for so long stops.
    lease: Duration,
    renew: Duration,
    /// How often marks are written and slots deleted.
    tend: Duration,
    /// Nothing younger is deleted.
    age: Duration,
    /// A slot that took longer than this to insert is acknowledged only above the floor.
    sure: Duration,
    /// More than this is kept only until most validators have it in blocks.
    retained_bytes: usize,
    retained_positions: u64,
    pace: Pace,
}

/// How often a follower looks at TiKV.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// While the log grows and nobody hints.
    short: Duration,
    /// While it does not grow and nobody hints.
    long: Duration,
    /// While the writer would hint, or something is wrong.
    idle: Duration,
    /// A log that grew within this time is likely to grow again.
    lively: Duration,
    /// A writer hints with each renewal at least: silent for longer, it is gone or cut off.
    silent: Duration,
    /// Between two looks at the lease.
    look: Duration,
    /// So that not all who follow grasp at a free lease at once.
    stagger: Duration,
}

// Between the last time that a writer was known to hold the lease and the end of an insert that
// it believes in without a second look, nobody may have deleted the slot that stood there.
const _: () = assert!(TUNING.lease.as_secs() + TUNING.sure.as_secs() < TUNING.age.as_secs() / 2);
const TUNING: Tuning = Tuning {
    lease: Duration::from_secs(3),
    renew: Duration::from_millis(750),
    tend: Duration::from_secs(1),
    age: Duration::from_secs(60),
    sure: Duration::from_secs(10),
    retained_bytes: 512 << 20,
    retained_positions: 1 << 16,
    pace: Pace {
        short: Duration::from_millis(5),
        long: Duration::from_millis(100),
        idle: Duration::from_secs(1),
        lively: Duration::from_secs(1),
        silent: Duration::from_secs(2),
        look: Duration::from_secs(1),
        stagger: Duration::from_millis(40),
    },
};

/// What a peer said last of the log's end.
#[derive(Clone, Copy, Debug, Default)]
struct Hint {
    epoch: u64,
    end: u64,
    at: Option<Instant>,
}

/// Who writes, as far as this node knows.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    holder: Option<Peer>,
    epoch: u64,
    leading: bool,
}

/// What the tasks share.
struct Inner {
    keys: Box<dyn Keys>,
    tuning: Tuning,
    forwarder: Forwarder,
    view: View,
    desk: Desk,
    known: Mutex<Known>,
    hint: Mutex<Hint>,
    hinted: Notify,
    trouble: Mutex<Option<String>>,
    stopping: watch::Sender<bool>,
}

impl Inner {
    fn me(&self) -> Peer {
        self.forwarder.me
    }

    fn chain(&self) -> &ChainId {
        &self.forwarder.chain
    }

    /// Takes note of who writes.
    fn know(&self, holder: Option<Peer>, epoch: u64, leading: bool) {
        *self.known.lock() = Known { holder, epoch, leading };
    }

    /// Takes note of how a call went, aloud when that has changed.
    fn heard<T>(&self, result: Result<T, Trouble>) -> Result<T, Trouble> {
        let mut trouble = self.trouble.lock();
        match &result {
            Ok(_) => {
                if trouble.take().is_some() {
                    tracing::info!("the log's TiKV answers again");
                }
            }
            Err(error) => {
                if trouble.is_none() {
                    tracing::warn!(%error, "the log waits for TiKV");
                }
                *trouble = Some(error.to_string());
            }
        }
        result
    }

    /// The log cannot be read on, and people must know why.
    fn alarm(&self, what: String) {
        if self.view.raise(what.clone()) {
            tracing::error!(alarm = what, "the log in TiKV is not what was written");
        }
    }

    /// What is wrong now, in a sentence.
    fn wrong(&self) -> Option<String> {
        self.view.alarm().or_else(|| self.trouble.lock().clone())
    }

    /// Tells the others where the log ends.
    fn tell(&self, epoch: u64) {
        let mut writer = Writer::tagged(self.chain().as_bytes());
        writer.u8(HINT).u64(epoch).u64(self.view.end().borrow().0);
        self.forwarder.transport.tell(Bytes::from(writer.finish()));
    }

    /// Gives the others a slot that is in, so that they need not read it.
    fn send(&self, first: u64, value: &[u8]) {
        let mut writer = Writer::tagged(self.chain().as_bytes());
        writer.u8(SLOT).u64(first).bytes(value);
        self.forwarder.transport.tell(Bytes::from(writer.finish()));
    }

    /// Appends on this node, if it writes.
    async fn write_here(&self, batch: Bytes, within: Duration) -> Forwarded {
        let known = *self.known.lock();
        let elsewhere = known.holder.filter(|holder| *holder != self.me());
        match self.desk.put(batch) {
            Err(Forwarded::NotLeader(_)) => Forwarded::NotLeader(elsewhere),
            Err(refused) => refused,
            Ok(answered) => match tokio::time::timeout(within, answered).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) | Err(_) => Forwarded::Unknown,
            },
        }
    }
}

/// The log in TiKV.
pub struct Tikv {
    inner: Arc<Inner>,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

impl Tikv {
    /// Begins to follow the log, and to write it when nobody else does. The service is for the
    /// mesh's [`crate::mesh::Channel::Order`]; hand it over before the mesh starts. TiKV may be
    /// away meanwhile.
    pub fn open(config: TikvConfig) -> (Arc<Self>, Arc<dyn Service>) {
        let keys = Box::new(config.space.below("log"));
        let TikvConfig { space: _, chain, me, validators, after, transport } = config;
        let forwarder = Forwarder { chain, me, validators, transport };
        let (tikv, receiver) = Self::open_tuned(keys, forwarder, after, TUNING);
        (tikv, receiver)
    }

    fn open_tuned(
        keys: Box<dyn Keys>,
        forwarder: Forwarder,
        after: Position,
        tuning: Tuning,
    ) -> (Arc<Self>, Arc<Receiver>) {
        let inner = Arc::new(Inner {
            keys,
            tuning,
            forwarder,
            view: View::after(after.0),
            desk: Desk::default(),
            known: Mutex::default(),
            hint: Mutex::default(),
            hinted: Notify::new(),
            trouble: Mutex::default(),
            stopping: watch::channel(false).0,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(run(Arc::clone(&inner)));
        tasks.spawn(tend::run(Arc::clone(&inner)));
        let receiver = Arc::new(Receiver(Arc::clone(&inner)));
        (Arc::new(Self { inner, tasks: tokio::sync::Mutex::new(tasks) }), receiver)
    }
}

/// Follows until it may write, writes until it may not.
async fn run(inner: Arc<Inner>) {
    while let Some(lease) = follow::until_free(&inner).await {
        write::lead(&inner, lease).await;
    }
}

#[async_trait::async_trait]
impl Order for Tikv {
    async fn append(&self, batch: &Batch) -> Result<Position, AppendError> {
        let here = |batch: Bytes, within: Duration| self.inner.write_here(batch, within);
        self.inner.forwarder.append(batch, Some(here)).await
    }

    async fn read(&self, after: Position, most_bytes: usize) -> Result<Vec<Ordered>, ReadError> {
        self.inner.read(after, most_bytes).await
    }

    fn end(&self) -> watch::Receiver<Position> {
        self.inner.view.end().subscribe()
    }

    async fn release(&self, up_to: Position) {
        self.inner.view.release(up_to.0);
    }

    fn is_durable_here(&self) -> bool {
        false
    }

    fn lead(&self, _reachable: &[Peer]) -> Lead {
        if let Some(why) = self.inner.wrong() {
            return Lead::Nobody(why);
        }
        let known = *self.inner.known.lock();
        // A writer tells where the log ends with each renewal of its lease.
        let lease = self.inner.tuning.lease;
        let told = self.inner.hint.lock().at.is_some_and(|at| at.elapsed() < lease);
        match known.holder {
            Some(_) if known.leading => Lead::Here,
            Some(holder) if told && holder != self.inner.me() => Lead::There(holder),
            _ => Lead::Nobody("nobody is known to write the log".to_owned()),
        }
    }

    fn term(&self) -> u64 {
        self.inner.known.lock().epoch
    }

    fn describe(&self) -> String {
        let known = *self.inner.known.lock();
        let role = if known.leading { "writes" } else { "follows" };
        let holder = match known.holder {
            None => "unknown".to_owned(),
            Some(holder) => format!("validator {holder}"),
        };
        let end = *self.inner.view.end().borrow();
        let line =
            format!("tikv {role}, writer {holder}, epoch {}, last position {end}", known.epoch);
        match self.inner.wrong() {
            None => line,
            Some(trouble) => format!("{line}; {trouble}"),
        }
    }

    async fn stop(&self) {
        self.inner.stopping.send_replace(true);
        let mut tasks = self.tasks.lock().await;
        let ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(LEAVE_WITHIN, ended).await.is_err() {
            tasks.shutdown().await;
        }
        self.inner.desk.close();
    }
}

/// The receiving side of [`crate::mesh::Channel::Order`].
struct Receiver(Arc<Inner>);

impl Receiver {
    fn reader<'a>(&self, bytes: &'a [u8]) -> Result<Reader<'a>, DecodeError> {
        let mut reader = Reader::new("log message", bytes);
        if &reader.array::<32>()? == self.0.chain().as_bytes() {
            Ok(reader)
        } else {
            Err(reader.malformed())
        }
    }

    fn told(&self, from: Peer, bytes: &[u8]) -> Result<Hint, SlotError> {
        let mut reader = self.reader(bytes)?;
        let malformed = reader.malformed();
        match reader.u8()? {
            HINT => {
                let (epoch, end) = (reader.u64()?, reader.u64()?);
                reader.finish()?;
                if epoch > NUMBER_MAX || end > NUMBER_MAX {
                    return Err(malformed.into());
                }
                Ok(Hint { epoch, end, at: Some(Instant::now()) })
            }
            SLOT => {
                let (first, value) = (reader.u64()?, reader.bytes(SLOT_BYTES_MAX)?);
                reader.finish()?;
                Ok(self.sent(from, Slot::decode(self.0.chain(), first, value.to_vec())?))
            }
            _ => Err(malformed.into()),
        }
    }

    /// Takes a slot from the writer itself, if it is the next of its epoch; the first of an epoch
    /// is always read, and so it is known that it had the lease. A writer that lies gains nothing
    /// that silence would not give it: what blocks hold is decided by votes, and whoever writes
    /// next begins where the log in TiKV ends.
    fn sent(&self, from: Peer, slot: Slot) -> Hint {
        let Inner { known, view, .. } = &*self.0;
        let (epoch, end) = (slot.epoch, slot.last());
        let known = *known.lock();
        let by_the_writer = known.holder == Some(from) && slot.writer == from && !known.leading;
        if by_the_writer && known.epoch == epoch && view.epoch() == epoch {
            view.take(slot);
        }
        Hint { epoch, end, at: Some(Instant::now()) }
    }

    fn batch(&self, request: &Bytes) -> Result<Bytes, DecodeError> {
        let mut reader = self.reader(request)?;
        if reader.u8()? != FORWARD {
            return Err(reader.malformed());
        }
        let batch = Bytes::copy_from_slice(reader.bytes(BATCH_BYTES_MAX)?);
        reader.finish()?;
        Ok(batch)
    }
}

#[async_trait::async_trait]
impl Service for Receiver {
    /// What is not taken makes this node look; it is believed in nothing.
    fn notify(&self, from: Peer, message: Bytes) {
        match self.told(from, &message) {
            Ok(hint) => {
                let known = *self.0.known.lock();
                // Only the writer knows the end; a new one says so first.
                if known.holder != Some(from) && hint.epoch <= known.epoch {
                    return;
                }
                *self.0.hint.lock() = hint;
                self.0.hinted.notify_one();
            }
            Err(error) => tracing::debug!(from, %error, "a hint makes no sense"),
        }
    }

    async fn answer(&self, _from: Peer, request: Bytes) -> Result<Bytes, String> {
        let batch = self.batch(&request).map_err(|error| error.to_string())?;
        Ok(self.0.write_here(batch, super::forward::APPEND_WITHIN).await.encode())
    }
}
