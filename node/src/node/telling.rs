//! Keeps what a validator says about itself true, a few times a second.

use std::{sync::Arc, time::Duration};

use cairn_ledger::{genesis::Genesis, ids::Height};
use tokio::sync::watch;

use super::quorum::{self, Sight};
use crate::{
    api::{NodeStatus, Phase},
    chain::shell::ChainStatus,
    clock::Stopwatch,
    intake::Intake,
    mesh::{Mesh, Peer},
    metrics::{Metrics, bring_up, value_of},
    order::{Lead, Order},
    store::{Scrubbed, Store},
};

/// A node that is further behind the best that a peer has shown is not ready.
const READY_WITHIN_BLOCKS: u64 = 3;

/// How long a starting node waits to hear from a peer how far the chain is, before it calls
/// itself ready all the same: the others may be down, and reading is still worth it.
const PEERS_WITHIN: Duration = Duration::from_secs(3);

/// Who has said nothing for so long, though an idle peer pings every three seconds, is cut off, or
/// does not live.
const LATELY: Duration = Duration::from_secs(5);

/// How often the status is looked at when nothing changes.
pub(super) const LOOK: Duration = Duration::from_millis(200);

/// Keeps the status that the API shows.
pub(super) struct Telling {
    pub(super) genesis: Arc<Genesis>,
    pub(super) me: Peer,
    pub(super) not_voting_because: Option<String>,
    /// The ledger was so high here once.
    pub(super) stood: Height,
    pub(super) mesh: Arc<Mesh>,
    pub(super) order: Arc<dyn Order>,
    pub(super) store: Arc<dyn Store>,
    pub(super) intake: Arc<Intake>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) since: Stopwatch,
}

/// What was told last, so that only what has changed is told.
#[derive(Default)]
struct Before {
    leads: bool,
    /// Nothing until it was told once.
    quorum: Option<bool>,
}

impl Before {
    /// `settled` is whether peers had time to answer.
    fn tell(&mut self, now: &NodeStatus, settled: bool) {
        if now.leads != self.leads {
            self.leads = now.leads;
            let order = &now.order;
            match now.leads {
                true => tracing::info!(order, "leads the log"),
                false => tracing::info!(order, "leads the log no more"),
            }
        }
        if self.quorum != Some(now.quorum) && (settled || now.quorum) {
            self.quorum = Some(now.quorum);
            match &now.no_quorum_because {
                None => tracing::info!("sees a quorum"),
                Some(why) => tracing::warn!(why, "sees no quorum: nothing can be decided"),
            }
        }
    }
}

impl Telling {
    pub(super) async fn keep_telling(
        self,
        mut chain: watch::Receiver<ChainStatus>,
        status: watch::Sender<NodeStatus>,
    ) {
        let (mut before, mut leader) = (Before::default(), None);
        loop {
            let now = self.status(&chain.borrow_and_update());
            before.tell(&now, self.since.elapsed() > PEERS_WITHIN);
            self.count(&now);
            leader = self.count_leaders(leader);
            status.send_if_modified(|old| {
                let changed = *old != now;
                *old = now;
                changed
            });
            if status.is_closed() {
                return;
            }
            match tokio::time::timeout(LOOK, chain.changed()).await {
                Ok(Err(_)) => return,
                // At most as often as somebody could look.
                Ok(Ok(())) => tokio::time::sleep(LOOK / 10).await,
                Err(_) => {}
            }
        }
    }

    fn count(&self, now: &NodeStatus) {
        let metrics = &self.metrics;
        metrics.voting.set(i64::from(now.voting));
        metrics.ready.set(i64::from(now.ready));
        metrics.quorum.set(i64::from(now.quorum));
        metrics.order_leader.set(i64::from(now.leads));
        metrics.order_term.set(value_of(self.order.term()));
        metrics.pending_transactions.set(value_of(self.intake.waiting()));
        metrics.pending_bytes.set(value_of(self.intake.waiting_bytes()));
        let Scrubbed { blocks, damaged } = self.store.scrubbed();
        bring_up(&metrics.store_scrubbed, blocks);
        bring_up(&metrics.store_damaged, damaged);
        let mesh = self.mesh.counters();
        bring_up(&metrics.mesh_connects, mesh.connects);
        bring_up(&metrics.mesh_sent_bytes, mesh.bytes_sent);
        bring_up(&metrics.mesh_received_bytes, mesh.bytes_received);
        metrics.mesh_queue_bytes.set(value_of(self.mesh.queued_bytes()));
        for (reason, all) in [
            ("queue_full", mesh.dropped),
            ("malformed", mesh.frames_malformed),
            ("overloaded", mesh.overloaded),
            ("unauthenticated", mesh.unauthenticated),
        ] {
            bring_up(&metrics.frames_dropped.with_label_values(&[reason]), all);
        }
    }

    /// Who leads the log, as far as it was known before, and as it is now.
    fn count_leaders(&self, before: Option<Peer>) -> Option<Peer> {
        let now = match self.order.lead(&self.mesh.heard(LATELY)) {
            Lead::Here => Some(self.me),
            Lead::There(peer) => Some(peer),
            Lead::Nobody(_) => None,
        };
        self.metrics.order_has_leader.set(i64::from(now.is_some()));
        // The first is no change, and nobody for a while neither.
        if before.is_some() && now.is_some() && before != now {
            self.metrics.order_leader_changes.inc();
        }
        now.or(before)
    }

    pub(super) fn status(&self, chain: &ChainStatus) -> NodeStatus {
        let peers = self.mesh.connected();
        let behind = chain.best_peer.0.saturating_sub(chain.tip.height.0);
        let alone = self.genesis.validators().len() == 1;
        let trouble = self.store.trouble();
        self.metrics.store_reachable.set(i64::from(trouble.is_none()));
        let (reachable, voting) = (self.mesh.heard(LATELY), chain.signing);
        let lead = self.order.lead(&reachable);
        let sight = Sight {
            genesis: &self.genesis,
            me: self.me,
            voting,
            reachable: &reachable,
            lead: &lead,
            trouble: trouble.as_deref(),
        };
        let no_quorum_because = quorum::missing(&sight);
        self.metrics.quorum_margin.set(quorum::margin(&sight));
        self.metrics.voting_power_reachable.set(value_of(quorum::power(&sight)));
        self.metrics.voting_power.set(value_of(self.genesis.total_power()));
        self.metrics.validators.set(value_of(self.genesis.validators().len()));
        let end = self.order.end().borrow().0;
        self.metrics.order_backlog.set(value_of(end.saturating_sub(chain.tip.order.0)));
        let not_ready_because = if let Some(why) = trouble {
            Some(format!("the store cannot be reached: {why}"))
        } else if chain.tip.height < self.stood {
            let (stands, stood) = (chain.tip.height, self.stood);
            Some(format!("it has {stands} blocks of the {stood} that it had once"))
        } else if behind > READY_WITHIN_BLOCKS {
            Some(format!("{behind} blocks behind the best peer"))
        } else if !alone && peers.is_empty() && self.since.elapsed() < PEERS_WITHIN {
            Some("no peer has answered yet".to_owned())
        } else {
            None
        };
        let name = |peer: Peer| self.genesis.validators()[usize::from(peer)].name.clone();
        NodeStatus {
            phase: Phase::Running,
            chain_id: self.genesis.chain().to_string(),
            validator: name(self.me),
            height: chain.tip.height.0,
            block: chain.tip.block.to_string(),
            round: chain.round.unwrap_or(0),
            voting,
            not_voting_because: self.not_voting_because.clone(),
            ready: not_ready_because.is_none(),
            not_ready_because,
            peers: peers.into_iter().map(name).collect(),
            best_peer: chain.best_peer.0,
            quorum: no_quorum_because.is_none(),
            no_quorum_because,
            leads: lead == Lead::Here,
            order: self.order.describe(),
            certificate_expiry: self.metrics.tls_certificate_expiry.get(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}
