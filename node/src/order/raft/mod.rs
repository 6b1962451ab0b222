//! The log on openraft: one group over the validators, its own storage and network.
//!
//! * An entry is a batch; its position is its index. Blank and membership entries are skipped.
//! * [`log`] keeps entries in recycled segment files, one sync for each append; [`slots`] keeps the vote.
//! * [`machine`] applies nothing but the position: the state is the chain's blocks. What blocks
//!   have is released; a follower that is behind that gets a pointer, and fetches blocks.
//! * openraft does not batch concurrent writes: each append is an entry and a sync of its own,
//!   so whoever appends should gather first. Followers learn of a commit at once: openraft
//!   sends it with the next entries, or in a message of its own when there are none.
//!
//! A node that lost its disk must not come back as a member: it could help elect a leader
//! without entries that it had acknowledged. It runs with `member: false`, appends through
//! the others and follows by blocks.

use std::{
    collections::BTreeMap,
    fs, io,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use cairn_ledger::ids::{ChainId, Position};
use cairn_metrics::Histogram;
use openraft::{
    Config, EmptyNode, SnapshotPolicy,
    error::{ClientWriteError, Fatal, InitializeError, RaftError},
};
use tokio::sync::watch;

use self::{
    log::{Log, Sizes},
    machine::Machine,
    network::{Network, Receiver},
    segments::{OpenError, sync_directory},
    types::{Data, Kind, Types},
};
use super::{
    AppendError, Batch, Lead, Order, Ordered, ReadError,
    forward::{APPEND_WITHIN, Forwarded, Forwarder, Transport},
};
use crate::mesh::{Peer, Service};

mod log;
mod machine;
mod network;
mod segments;
mod slots;
mod types;

#[cfg(test)]
mod tests;

/// Says that this directory was a member's: without its log it must not be one again.
const MARKER: &str = "member";

/// A leader whom no majority has answered for so long leads nobody: it does not step down by
/// itself, but the others have most likely elected another. Longer than a sync may stall.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);

/// A validator's id in the Raft group. 0 is openraft's default and nobody's.
pub(crate) fn node_of(peer: Peer) -> u64 {
    u64::from(peer) + 1
}

/// The validator behind an id, if it can be one.
pub(crate) fn peer_of(node: u64) -> Option<Peer> {
    Peer::try_from(node.checked_sub(1)?).ok()
}

/// How the log is set up.
pub struct RaftConfig {
    /// Where the log lives, for itself alone; made when it is not there.
    pub directory: PathBuf,
    /// Whose log it is: neither files nor requests of another chain are taken.
    pub chain: ChainId,
    /// This validator's index in the genesis record.
    pub me: Peer,
    /// How many validators the genesis record has. All are members.
    pub validators: u16,
    /// False on a node that lost its log: it appends through the others and reads blocks only.
    pub member: bool,
    /// Whether this node was a member before, so that its log must be there.
    pub expected: bool,
    /// How the others are reached.
    pub transport: Arc<dyn Transport>,
}

/// Why a log cannot be opened. None of these passes by itself.
#[derive(Debug, thiserror::Error)]
pub enum OrderOpenError {
    /// Synced data was changed or lost.
    #[error(transparent)]
    Corrupt(#[from] segments::Corrupt),
    /// The log of a member is gone, and with it what it acknowledged.
    #[error(
        "RAFT_LOG_MISSING: {0} has no log but this node was a member; restore the disk, or join again as a new validator"
    )]
    Missing(String),
    /// The disk said no.
    #[error("the log cannot be opened: {0}")]
    Io(#[from] io::Error),
    /// openraft said no.
    #[error("raft cannot start: {0}")]
    Raft(String),
}

impl From<OpenError> for OrderOpenError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Corrupt(corrupt) => Self::Corrupt(corrupt),
            OpenError::Io(error) => Self::Io(error),
        }
    }
}

/// What tests make smaller.
#[derive(Clone, Copy, Debug)]
struct Tuning {
    sizes: Sizes,
    /// Released bytes and entries after which the log is cut.
    cut_bytes: u64,
    cut_entries: u64,
    /// Released entries that are kept for followers that were away for a moment.
    keep_entries: u64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { sizes: Sizes::default(), cut_bytes: 64 << 20, cut_entries: 10_000, keep_entries: 64 }
    }
}

/// What a member has.
struct Member {
    raft: openraft::Raft<Types>,
    log: Log,
    machine: Machine,
}

/// The log on openraft.
pub struct Raft {
    forwarder: Forwarder,
    tuning: Tuning,
    member: Option<Member>,
    /// What a node that is no member says its end is.
    nothing: watch::Sender<Position>,
}

impl Raft {
    /// Opens the log, and takes part unless `member` is false. The service is for the mesh's
    /// [`crate::mesh::Channel::Order`]; hand it over before the mesh starts.
    pub async fn open(config: RaftConfig) -> Result<(Arc<Self>, Arc<dyn Service>), OrderOpenError> {
        let (raft, receiver) = Self::open_tuned(config, Tuning::default()).await?;
        Ok((raft, receiver))
    }

    async fn open_tuned(
        config: RaftConfig,
        tuning: Tuning,
    ) -> Result<(Arc<Self>, Arc<Receiver>), OrderOpenError> {
        let receiver = Arc::new(Receiver {
            chain: config.chain,
            raft: OnceLock::new(),
            forward_within: APPEND_WITHIN,
        });
        let member = if config.member { Some(join(&config, tuning).await?) } else { None };
        if let Some(member) = &member {
            // A fresh cell; nobody else sets it.
            drop(receiver.raft.set(member.raft.clone()));
        }
        let RaftConfig { chain, me, validators, transport, .. } = config;
        let (nothing, _) = watch::channel(Position(0));
        let forwarder = Forwarder { chain, me, validators, transport };
        let raft = Self { forwarder, tuning, member, nothing };
        Ok((Arc::new(raft), receiver))
    }

    /// Counts the seconds of each sync of the log from now on.
    pub fn count_syncs(&self, syncs: Histogram) {
        if let Some(member) = &self.member {
            member.log.count_syncs(syncs);
        }
    }

    /// Waits until the log can go on no more, and says why: a write that failed is never tried
    /// again, the process must end. Never returns after [`Order::stop`], nor on a node that
    /// is no member.
    pub async fn failed(&self) -> String {
        if let Some(member) = &self.member {
            let mut metrics = member.raft.metrics();
            loop {
                match &metrics.borrow_and_update().running_state {
                    Ok(()) => {}
                    Err(Fatal::Stopped) => break,
                    Err(fatal) => return fatal.to_string(),
                }
                if metrics.changed().await.is_err() {
                    break;
                }
            }
        }
        std::future::pending().await
    }
}

/// Appends on this node, if it leads.
pub(crate) async fn write_here(
    raft: &openraft::Raft<Types>,
    batch: Bytes,
    within: Duration,
) -> Forwarded {
    let (led_before, running) = {
        let metrics = raft.metrics();
        let metrics = metrics.borrow();
        (metrics.current_leader == Some(metrics.id), metrics.running_state.is_ok())
    };
    if !running {
        return Forwarded::Unavailable;
    }
    // An isolated leader never answers and does not step down: only time tells.
    match tokio::time::timeout(within, raft.client_write(Data(batch))).await {
        Ok(Ok(written)) => Forwarded::In(written.data),
        Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(to)))) => {
            // A leader that was deposed says this too, of an entry that others may have.
            if led_before {
                Forwarded::Unknown
            } else {
                Forwarded::NotLeader(to.leader_id.and_then(peer_of))
            }
        }
        Ok(Err(_)) | Err(_) => Forwarded::Unknown,
    }
}

fn raft_config(tuning: &Tuning) -> Result<Arc<Config>, OrderOpenError> {
    let config = Config {
        cluster_name: "cairn".to_owned(),
        // Also how long one message of entries may take, the follower's sync included.
        heartbeat_interval: 400,
        // Without a leader for 1200 ms, and then 800 to 1200 more by lot, a follower stands:
        // SIGKILL heals within 3 s, and a sync may stall for almost 2 s without an election.
        election_timeout_min: 800,
        election_timeout_max: 1200,
        install_snapshot_timeout: 5_000,
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: tuning.keep_entries,
        ..Config::default()
    };
    let config = config.validate().map_err(|error| OrderOpenError::Raft(error.to_string()))?;
    Ok(Arc::new(config))
}

/// The directory, checked against what is known of its past.
fn prepare(config: &RaftConfig) -> Result<(), OrderOpenError> {
    let marker = config.directory.join(MARKER);
    let vote = config.directory.join("vote");
    let was_member = config.expected || marker.exists();
    if was_member && !vote.exists() {
        return Err(OrderOpenError::Missing(config.directory.display().to_string()));
    }
    fs::create_dir_all(&config.directory)?;
    Ok(())
}

async fn join(config: &RaftConfig, tuning: Tuning) -> Result<Member, OrderOpenError> {
    prepare(config)?;
    let raft_config = raft_config(&tuning)?;
    let (directory, chain) = (config.directory.clone(), config.chain);
    let opened = log::blocking(move || {
        let log = Log::open(&directory, chain, tuning.sizes)?;
        let marker = directory.join(MARKER);
        if !marker.exists() {
            fs::File::create(&marker)?.sync_all()?;
            sync_directory(&directory)?;
        }
        let machine = Machine::open(directory, chain, log.clone())?;
        Ok::<_, OpenError>((log, machine))
    });
    let (log, machine) = opened.await?;
    let network = Network { chain, transport: Arc::clone(&config.transport) };
    let failed = |error: &dyn std::fmt::Display| OrderOpenError::Raft(error.to_string());
    let id = node_of(config.me);
    let raft = openraft::Raft::new(id, raft_config, network, log.clone(), machine.clone())
        .await
        .map_err(|error| failed(&error))?;
    // Every member writes the same first entry, so that it does not matter who does first;
    // who already has entries is told so and goes on.
    let members: BTreeMap<u64, EmptyNode> =
        (0..config.validators).map(|peer| (node_of(peer), EmptyNode {})).collect();
    match raft.initialize(members).await {
        Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
        Err(error) => return Err(failed(&error)),
    }
    Ok(Member { raft, log, machine })
}

#[async_trait::async_trait]
impl Order for Raft {
    async fn append(&self, batch: &Batch) -> Result<Position, AppendError> {
        let here = self
            .member
            .as_ref()
            .map(|member| |batch: Bytes, within: Duration| write_here(&member.raft, batch, within));
        self.forwarder.append(batch, here).await
    }

    async fn read(&self, after: Position, most_bytes: usize) -> Result<Vec<Ordered>, ReadError> {
        let Some(member) = &self.member else {
            return Err(ReadError::Unavailable("this node is no raft member".to_owned()));
        };
        let before = member.machine.applied().saturating_add(1);
        let mut from = after.0.saturating_add(1);
        loop {
            let read = member.log.read(from, before, most_bytes).await;
            // Asked afterwards: a purge may have come in between.
            if let Some(purged) = member.log.purged().filter(|purged| purged.index > after.0) {
                return Err(ReadError::Released(Position(purged.index)));
            }
            let stored = read.map_err(|error| ReadError::Unavailable(error.to_string()))?;
            let Some(last) = stored.last() else { return Ok(Vec::new()) };
            from = last.id.index + 1;
            let batches: Vec<_> = stored
                .iter()
                .filter(|entry| entry.kind == Kind::Batch)
                .map(|entry| Ordered {
                    position: Position(entry.id.index),
                    batch: Batch::decode(&entry.payload).unwrap_or_default(),
                })
                .collect();
            if !batches.is_empty() {
                return Ok(batches);
            }
        }
    }

    fn end(&self) -> watch::Receiver<Position> {
        self.member.as_ref().map_or_else(|| self.nothing.subscribe(), |it| it.machine.end())
    }

    async fn release(&self, up_to: Position) {
        let Some(member) = &self.member else { return };
        if !member.machine.release(up_to.0) {
            return;
        }
        let (released, pointed) = member.machine.released();
        let enough = released - pointed >= self.tuning.cut_entries
            || member.log.bytes_between(pointed, released) >= self.tuning.cut_bytes;
        if enough && let Err(fatal) = member.raft.trigger().snapshot().await {
            tracing::warn!(error = %fatal, "the log cannot be cut");
        }
    }

    fn is_durable_here(&self) -> bool {
        // Entries are synced before they are acknowledged, and applied after that.
        self.member.is_some()
    }

    fn lead(&self, reachable: &[Peer]) -> Lead {
        let Some(member) = &self.member else {
            return Lead::Nobody(
                "this node is no member of the log, and sees no leader".to_owned(),
            );
        };
        let (all, here) = (usize::from(self.forwarder.validators), reachable.len() + 1);
        if here <= all / 2 {
            return Lead::Nobody(format!("{here} of {all} validators are no majority for the log"));
        }
        let metrics = member.raft.metrics();
        let metrics = metrics.borrow();
        match metrics.current_leader {
            Some(leader) if leader == metrics.id => {
                // Looked at anew at each heartbeat, answered or not.
                let answered = metrics.millis_since_quorum_ack.map(Duration::from_millis);
                if answered.is_some_and(|since| since < ANSWERED_WITHIN) {
                    Lead::Here
                } else {
                    Lead::Nobody("this node leads the log, and no majority answers it".to_owned())
                }
            }
            leader => leader
                .and_then(peer_of)
                .map_or_else(|| Lead::Nobody("the log has no leader".to_owned()), Lead::There),
        }
    }

    fn term(&self) -> u64 {
        self.member.as_ref().map_or(0, |member| member.raft.metrics().borrow().current_term)
    }

    fn describe(&self) -> String {
        let Some(member) = &self.member else {
            return "no raft member, appends through the others".to_owned();
        };
        let metrics = member.raft.metrics();
        let metrics = metrics.borrow();
        let leader = match metrics.current_leader.and_then(peer_of) {
            None => "unknown".to_owned(),
            Some(leader) => format!("validator {leader}"),
        };
        let last = metrics.last_log_index.unwrap_or(0);
        let state = format!("{:?}", metrics.state).to_lowercase();
        format!("raft {state}, leader {leader}, term {}, last index {last}", metrics.current_term)
    }

    async fn stop(&self) {
        if let Some(member) = &self.member {
            if let Err(error) = member.raft.shutdown().await {
                tracing::warn!(%error, "raft did not stop in order");
            }
            member.log.quiet().await;
        }
    }
}
