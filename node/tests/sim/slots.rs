//! The log of a run in a real TiKV: each validator has its own, opens it when it starts and
//! leaves it behind when it crashes, the one that writes like the others. A lease runs out in
//! real time, so that two runs of a seed may have their batches at other positions: what such a
//! run wrote is replayed on memory, and must lead to the same.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use cairn_ledger::ids::{ChainId, Position};
use cairn_node::{
    mesh::{AskError, Peer, Service},
    order::{
        AppendError, Batch, Order, Ordered,
        forward::Transport,
        tikv::{Tikv, TikvConfig},
    },
};
use cairn_tikv::Space;
use parking_lot::Mutex;
use tokio::runtime::Runtime;

use crate::log::{Keeper, Replayed};

/// What has not happened by then will not happen.
const DEADLINE: Duration = Duration::from_secs(60);

/// Carries messages between the validators of a run, as long as both run.
#[derive(Default)]
struct Router(Mutex<BTreeMap<Peer, Arc<dyn Service>>>);

struct Line {
    router: Arc<Router>,
    me: Peer,
}

#[async_trait::async_trait]
impl Transport for Line {
    async fn ask(&self, to: Peer, request: Bytes, within: Duration) -> Result<Bytes, AskError> {
        let service = self.router.0.lock().get(&to).cloned();
        let service = service.ok_or(AskError::Disconnected(to))?;
        match tokio::time::timeout(within, service.answer(self.me, request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(reason)) => Err(AskError::Declined { peer: to, reason }),
            Err(_) => Err(AskError::Silent(to)),
        }
    }

    fn tell(&self, message: Bytes) {
        for (_, service) in self.router.0.lock().iter().filter(|(to, _)| **to != self.me) {
            service.notify(self.me, message.clone());
        }
    }
}

pub(crate) struct Slots {
    runtime: Runtime,
    space: Space,
    chain: ChainId,
    validators: u16,
    router: Arc<Router>,
    open: RefCell<BTreeMap<Peer, Arc<Tikv>>>,
    ends: RefCell<Vec<u64>>,
}

impl Slots {
    pub(crate) fn new(space: Space, chain: ChainId, validators: u16) -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        let (router, open, ends) = Default::default();
        Self { runtime, space, chain, validators, router, open, ends }
    }

    /// The log as it is now, for another run.
    pub(crate) fn recorded(&self) -> Replayed {
        let ends = self.ends.borrow().clone();
        let who = *self.open.borrow().keys().next().expect("all run at the end");
        // As it began it does not read what blocks had then.
        self.crashes(who);
        self.starts(who, 0);
        let entries = self.read(who, 0, ends.last().copied().unwrap_or(0));
        Replayed { entries, ends, next: Cell::new(0) }
    }

    fn of(&self, who: Peer) -> Arc<Tikv> {
        Arc::clone(&self.open.borrow()[&who])
    }

    fn wait<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        let waited = async { tokio::time::timeout(DEADLINE, future).await };
        let waited = self.runtime.block_on(waited);
        waited.unwrap_or_else(|_| panic!("waited {DEADLINE:?} in vain: {what}"))
    }
}

impl Keeper for Slots {
    fn append(&self, at: Peer, batch: &Batch) -> u64 {
        let order = self.of(at);
        let end = self.wait("an append", async {
            loop {
                match order.append(batch).await {
                    Ok(position) => return position.0,
                    // It may be there twice then, which is the chain's business.
                    Err(AppendError::Unavailable(_) | AppendError::Unknown(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
        self.ends.borrow_mut().push(end);
        end
    }

    fn read(&self, who: Peer, after: u64, end: u64) -> Vec<Ordered> {
        if after >= end {
            return Vec::new();
        }
        let order = self.of(who);
        let mut entries = Vec::new();
        self.wait("a read", async {
            let mut ends = order.end();
            ends.wait_for(|there| there.0 >= end).await.unwrap();
            let mut next = after;
            while next < end {
                // A follower may be looking where the log goes on.
                let read = order.read(Position(next), usize::MAX).await.unwrap_or_default();
                let Some(last) = read.last() else {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    continue;
                };
                next = last.position.0;
                entries.extend(read);
            }
        });
        entries.retain(|entry| entry.position.0 <= end);
        entries
    }

    fn starts(&self, who: Peer, after: u64) {
        let _entered = self.runtime.enter();
        let (tikv, service) = Tikv::open(TikvConfig {
            space: self.space.clone(),
            chain: self.chain,
            me: who,
            validators: self.validators,
            after: Position(after),
            transport: Arc::new(Line { router: Arc::clone(&self.router), me: who }),
        });
        self.router.0.lock().insert(who, service);
        self.open.borrow_mut().insert(who, tikv);
    }

    fn crashes(&self, who: Peer) {
        self.router.0.lock().remove(&who);
        // Its tasks end with it, wherever they are.
        self.open.borrow_mut().remove(&who);
    }
}
