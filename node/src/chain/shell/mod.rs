//! Runs what the machine decides: one thread that owns machine, executor and journal, and
//! takes one event after the other. Waiting for the log, for peers and for signatures happens
//! elsewhere and comes in as events.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::Duration,
};

use cairn_ledger::{
    block::{Block, Body, Header, Tip},
    genesis::Genesis,
    ids::{BlockId, Height},
    signature::SigningKey,
    vote::Certificate,
};
use tokio::{
    runtime::Handle,
    sync::{
        broadcast::{self, error::RecvError},
        watch,
    },
    task::JoinHandle,
};

use super::{
    executor::{CommitError, Executor, Prepared},
    journal::{self, Journal, JournalError, SignRefused},
    machine::{Effect, Input, Machine, Record, Timeouts, Timer, Verdict},
    message::Message,
};
use crate::{
    clock::Stopwatch,
    intake::Intake,
    mesh::{Channel, Mesh, Peer, PeerEvent},
    metrics::Metrics,
    order::Order,
    store::{Store, StoreError, patient::Patient},
    traces::Seen,
};

mod effects;
mod frontier;
mod mend;
mod peers;
mod reader;

pub use frontier::Frontier;

/// How long a proposal's body may still come through this node's own log before a peer is
/// asked for it: the log's news and the proposal race each other.
const LOG_GRACE: Duration = Duration::from_millis(150);

/// How long to wait before a decided block whose body is not here is looked for again.
const RETRY_AFTER: Duration = Duration::from_millis(300);

/// Something that happened outside of the chain's thread.
enum Event {
    /// A message from a peer, checked.
    Message { from: Peer, message: Message },
    /// A peer came or went.
    Peer(PeerEvent),
    /// The next slices of the log, checked.
    Prepared(Vec<Prepared>),
    /// A peer's answer about a body.
    Body { header: Header, body: Option<Body> },
    /// A peer's answer about blocks.
    Blocks { from: Peer, height: Height, blocks: Vec<Block> },
    /// End.
    Stop,
}

/// The way in. Never blocks; each source bounds what it puts in by itself.
#[derive(Clone)]
struct Inbox {
    sender: Sender<Event>,
    closed: Arc<AtomicBool>,
}

impl Inbox {
    fn put(&self, event: Event) {
        // After the end nobody listens, and nobody needs to.
        let _ = self.sender.send(event);
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

/// What the chain works with.
pub struct Parts {
    /// The founding record.
    pub genesis: Arc<Genesis>,
    /// This node's index in it.
    pub me: Peer,
    /// Signs, when this node may.
    pub signer: Option<SigningKey>,
    /// The first height at which it may.
    pub sign_from: Height,
    /// Remembers what was signed; nothing for a node that never signs.
    pub journal: Option<Journal>,
    /// What the journal has of the height after the tip.
    pub replay: Vec<journal::Record>,
    /// Decided blocks.
    pub store: Arc<dyn Store>,
    /// The log.
    pub order: Arc<dyn Order>,
    /// The others.
    pub mesh: Arc<Mesh>,
    /// Who waits for decisions.
    pub intake: Arc<Intake>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Where evidence is kept, one line each.
    pub evidence: PathBuf,
}

/// How the chain stands, for status pages and readiness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainStatus {
    /// The last decided block here.
    pub tip: Tip,
    /// The round of the height in progress; nothing while idle.
    pub round: Option<u32>,
    /// The best height that a peer has shown.
    pub best_peer: Height,
    /// Whether this node signs.
    pub signing: bool,
}

/// A running chain.
pub struct Shell {
    inbox: Inbox,
    status: watch::Receiver<ChainStatus>,
    thread: std::thread::JoinHandle<Result<(), Fatal>>,
    tasks: Vec<JoinHandle<()>>,
    store: Arc<Patient>,
}

/// Why the chain cannot go on in this process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fatal {
    /// There is no room on the disk; nothing was damaged.
    #[error("{0}")]
    DiskFull(String),
    /// A write or a sync failed: what is on the disk is known at the next start.
    #[error("{0}")]
    Storage(String),
    /// Something stored is not what was written: the next start looks at all of it.
    #[error("{0}")]
    Corrupt(String),
    /// Going on could break a promise of the chain: people must look.
    #[error("{0}")]
    Safety(String),
    /// The program is wrong.
    #[error("{0}")]
    Bug(String),
    /// The end was asked for while the chain waited for its store, which had not answered.
    #[error("{0}")]
    Interrupted(String),
}

impl From<StoreError> for Fatal {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Full { .. } => Self::DiskFull(error.to_string()),
            StoreError::Io { .. } | StoreError::Foreign(_) => Self::Storage(error.to_string()),
            StoreError::Corrupt { .. } => Self::Corrupt(error.to_string()),
            // The chain's store is patient: this comes only after the end was asked for.
            StoreError::Unreachable(_) => Self::Interrupted(error.to_string()),
        }
    }
}

impl From<JournalError> for Fatal {
    fn from(error: JournalError) -> Self {
        Self::Storage(error.to_string())
    }
}

impl From<SignRefused> for Fatal {
    fn from(error: SignRefused) -> Self {
        Self::Safety(error.to_string())
    }
}

impl From<CommitError> for Fatal {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Store(error) => error.into(),
            CommitError::BodyMissing(_) | CommitError::Diverged { .. } => {
                Self::Safety(error.to_string())
            }
        }
    }
}

impl Shell {
    /// Starts the chain's thread and the tasks that feed it, and serves its channels of the
    /// mesh (which must not have started yet).
    pub fn start(parts: Parts, runtime: &Handle) -> Self {
        let (sender, receiver) = channel();
        let inbox = Inbox { sender, closed: Arc::default() };
        let tip = parts.store.tip().0;
        let (tip_sender, tip_receiver) = watch::channel(tip.clone());
        let status =
            ChainStatus { tip, round: None, best_peer: Height(0), signing: parts.signer.is_some() };
        let (status_sender, status) = watch::channel(status);
        let waiting = Arc::new(AtomicUsize::new(0));
        let ahead = reader::Ahead::default();

        let messages = peers::Messages {
            genesis: parts.genesis.clone(),
            inbox: inbox.clone(),
            waiting: waiting.clone(),
            metrics: parts.metrics.clone(),
        };
        parts.mesh.serve(Channel::Chain, Arc::new(messages));
        let store = Arc::new(Patient::new(parts.store.clone()));
        let executor = Executor::new(store.clone(), &parts.genesis, parts.me);
        let bodies = peers::Bodies::default();
        let blocks = peers::Blocks {
            genesis: parts.genesis.clone(),
            store: parts.store.clone(),
            bodies: bodies.clone(),
            status: status.clone(),
        };
        parts.mesh.serve(Channel::Blocks, Arc::new(blocks));

        let reader = reader::Reader {
            order: parts.order.clone(),
            intake: parts.intake.clone(),
            tip: tip_receiver,
            inbox: inbox.clone(),
            ahead: ahead.clone(),
            metrics: parts.metrics.clone(),
        };
        let tasks = vec![
            runtime.spawn(reader.run()),
            runtime.spawn(watch_peers(parts.mesh.clone(), parts.mesh.events(), inbox.clone())),
            runtime.spawn(mend::run(
                parts.mesh.clone(),
                parts.store.clone(),
                parts.genesis.clone(),
            )),
        ];
        let outside = Outside {
            inbox: inbox.clone(),
            runtime: runtime.clone(),
            tip: tip_sender,
            status: status_sender,
            waiting,
            ahead,
            bodies,
        };
        let chain = Chain::new(parts, executor, outside);
        let closed = inbox.closed.clone();
        let thread = std::thread::Builder::new()
            .name("chain".to_owned())
            .spawn(move || {
                let ended = chain.run(&receiver);
                closed.store(true, Ordering::Relaxed);
                ended
            })
            .expect("the operating system starts a thread");
        Self { inbox, status, thread, tasks, store }
    }

    /// How the chain stands; wakes at every change.
    pub fn status(&self) -> watch::Receiver<ChainStatus> {
        self.status.clone()
    }

    /// Whether the chain's thread has ended, which it does by itself only when it must not go on.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends, after the event in progress; says why it had ended before, if it had.
    pub fn stop(self) -> Result<(), Fatal> {
        self.inbox.put(Event::Stop);
        self.store.interrupt();
        let ended = self.thread.join();
        for task in self.tasks {
            task.abort();
        }
        match ended {
            Ok(Err(Fatal::Interrupted(_))) => Ok(()),
            Ok(ended) => ended,
            Err(_) => Err(Fatal::Bug("the chain's thread panicked, which is a bug".to_owned())),
        }
    }
}

/// Tells the chain who comes and goes.
async fn watch_peers(mesh: Arc<Mesh>, mut events: broadcast::Receiver<PeerEvent>, inbox: Inbox) {
    while !inbox.is_closed() {
        match events.recv().await {
            Ok(event) => inbox.put(Event::Peer(event)),
            Err(RecvError::Lagged(_)) => {
                for peer in mesh.connected() {
                    inbox.put(Event::Peer(PeerEvent::Connected(peer)));
                }
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// What connects the chain's thread with the rest.
struct Outside {
    inbox: Inbox,
    runtime: Handle,
    tip: watch::Sender<Tip>,
    status: watch::Sender<ChainStatus>,
    waiting: Arc<AtomicUsize>,
    ahead: reader::Ahead,
    bodies: peers::Bodies,
}

/// The chain's thread.
struct Chain {
    genesis: Arc<Genesis>,
    me: Peer,
    /// Kept back until the first height at which this node may sign.
    signer: Option<(SigningKey, Height)>,
    signing: bool,
    machine: Machine,
    executor: Executor,
    journal: Option<Journal>,
    order: Arc<dyn Order>,
    mesh: Arc<Mesh>,
    intake: Arc<Intake>,
    metrics: Arc<Metrics>,
    evidence: PathBuf,
    inbox: Inbox,
    runtime: Handle,
    tip: watch::Sender<Tip>,
    status: watch::Sender<ChainStatus>,
    waiting: Arc<AtomicUsize>,
    ahead: reader::Ahead,
    /// What the machine has not heard yet.
    inputs: VecDeque<Input>,
    replay: Vec<Record>,
    connected: BTreeSet<Peer>,
    best_peer: Height,
    timers: BTreeMap<(Duration, u64), Timer>,
    timer_places: HashMap<Timer, (Duration, u64)>,
    timers_made: u64,
    watch: Stopwatch,
    /// Headers whose body is not here yet, and until when the log may still bring it.
    expected: Vec<(Header, Duration)>,
    /// Certified blocks from a peer, in height order, not yet given to the machine.
    synced: VecDeque<(Peer, Block)>,
    /// The one that the machine was given.
    offered: Option<(BlockId, Block)>,
    bodies: peers::Bodies,
    /// Blocks of which a peer gave the body.
    fetched: HashSet<BlockId>,
    /// Decided by votes, and not stored yet because its body is not here.
    decided: Option<(Header, Certificate)>,
    retry_at: Option<Duration>,
    retries: usize,
    last_block: Option<Stopwatch>,
    /// The proposals of the height in progress, and when each was first seen.
    proposed: HashMap<BlockId, Stopwatch>,
    /// What else was seen of that height, and when.
    seen: Seen,
}

impl Chain {
    fn new(parts: Parts, mut executor: Executor, outside: Outside) -> Self {
        let start = parts.store.tip().0;
        let Parts {
            genesis,
            me,
            signer,
            sign_from,
            journal,
            replay,
            store: _,
            order,
            mesh,
            intake,
            metrics,
            evidence,
        } = parts;
        let Outside { inbox, runtime, tip, status, waiting, ahead, bodies } = outside;
        let validators = genesis.validators().len();
        let replay = replay
            .into_iter()
            .filter_map(|record| match record {
                journal::Record::Input(bytes) => Record::decode(&bytes, validators).ok(),
                journal::Record::Body { block, transactions } => {
                    executor.offer_body(block, transactions);
                    None
                }
            })
            .collect();
        let may_sign = sign_from <= start.height.next();
        let (signer, later) = if may_sign { (signer, None) } else { (None, signer) };
        let signing = signer.is_some();
        Self {
            machine: effects::new_machine(&genesis, me, signer, start),
            signer: later.map(|signer| (signer, sign_from)),
            signing,
            bodies,
            fetched: HashSet::new(),
            genesis,
            me,
            executor,
            journal,
            order,
            mesh,
            intake,
            metrics,
            evidence,
            inbox,
            runtime,
            tip,
            status,
            waiting,
            ahead,
            inputs: VecDeque::new(),
            replay,
            connected: BTreeSet::new(),
            best_peer: Height(0),
            timers: BTreeMap::new(),
            timer_places: HashMap::new(),
            timers_made: 0,
            watch: Stopwatch::start(),
            expected: Vec::new(),
            synced: VecDeque::new(),
            offered: None,
            decided: None,
            retry_at: None,
            retries: 0,
            last_block: None,
            proposed: HashMap::new(),
            seen: Seen::default(),
        }
    }
}
