use std::{
    collections::BTreeSet,
    os::unix::fs::FileExt,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

use super::{
    super::contract::{self, append, batch, reach, read_up_to},
    network::Request,
    types::{Entry, LogId, Vote, log_id},
    *,
};
use crate::{
    mesh::AskError,
    order::{contract::PATIENCE, forward::PAUSE},
};

const CHAIN: ChainId = ChainId([7; 32]);
const SMALL: Tuning = Tuning {
    sizes: Sizes { segment: 3 << 20, cache: 100_000, message: 200_000 },
    cut_bytes: u64::MAX,
    cut_entries: 1,
    keep_entries: 0,
};

/// A directory of its own, gone with the value.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("cairn-order-{}-{next}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Carries requests between nodes of one process, where nothing cuts them off.
#[derive(Default)]
struct Router {
    services: Mutex<BTreeMap<Peer, Arc<Receiver>>>,
    cut: Mutex<BTreeSet<Peer>>,
}

struct Line {
    router: Arc<Router>,
    me: Peer,
}

#[async_trait::async_trait]
impl Transport for Line {
    async fn ask(&self, to: Peer, request: Bytes, within: Duration) -> Result<Bytes, AskError> {
        let cut = |router: &Router| {
            let cut = router.cut.lock();
            cut.contains(&to) || cut.contains(&self.me)
        };
        let service = self.router.services.lock().get(&to).cloned();
        let Some(service) = service.filter(|_| !cut(&self.router)) else {
            return Err(AskError::Disconnected(to));
        };
        match tokio::time::timeout(within, service.answer(self.me, request)).await {
            Ok(Ok(answer)) if !cut(&self.router) => Ok(answer),
            Ok(Err(reason)) => Err(AskError::Declined { peer: to, reason }),
            _ => Err(AskError::Silent(to)),
        }
    }

    fn tell(&self, _message: Bytes) {}
}

struct Cluster {
    router: Arc<Router>,
    directories: Vec<Directory>,
    nodes: Vec<Option<Arc<Raft>>>,
}

impl Cluster {
    async fn new(count: u16) -> Self {
        let directories = (0..count).map(|_| Directory::new()).collect();
        let nodes = (0..count).map(|_| None).collect();
        let mut cluster = Self { router: Arc::default(), directories, nodes };
        for peer in 0..count {
            cluster.start(peer, false).await;
        }
        cluster
    }

    fn config(&self, me: Peer, expected: bool) -> RaftConfig {
        RaftConfig {
            directory: self.directories[usize::from(me)].0.join("raft"),
            chain: CHAIN,
            me,
            validators: u16::try_from(self.directories.len()).unwrap(),
            member: true,
            expected,
            transport: Arc::new(Line { router: Arc::clone(&self.router), me }),
        }
    }

    async fn start(&mut self, me: Peer, expected: bool) {
        let (raft, receiver) = Raft::open_tuned(self.config(me, expected), SMALL).await.unwrap();
        self.router.services.lock().insert(me, receiver);
        self.nodes[usize::from(me)] = Some(raft);
    }

    async fn kill(&mut self, me: Peer) {
        self.router.services.lock().remove(&me);
        self.nodes[usize::from(me)].take().unwrap().stop().await;
    }

    fn view(&self, me: Peer) -> Arc<dyn Order> {
        self.nodes[usize::from(me)].clone().unwrap()
    }

    async fn leader(&self) -> Peer {
        let node = self.nodes.iter().flatten().next().unwrap();
        let raft = &node.member.as_ref().unwrap().raft;
        let wait = raft.wait(Some(PATIENCE));
        let known = wait.metrics(|it| it.current_leader.is_some(), "leader").await.unwrap();
        peer_of(known.current_leader.unwrap()).unwrap()
    }

    async fn stop(mut self) {
        for node in self.nodes.iter_mut().filter_map(Option::take) {
            node.stop().await;
        }
    }
}

/// In again until it is acknowledged: while leaders change, an outcome may be unknown.
async fn append_surely(view: &Arc<dyn Order>, batch: &Batch) -> Position {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match view.append(batch).await {
            Ok(position) => return position,
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raft_keeps_the_promises() {
    contract::suite(async |count: usize| {
        let cluster = Cluster::new(u16::try_from(count).unwrap()).await;
        let views = cluster.nodes.iter().flatten().map(|node| node.clone() as Arc<dyn Order>);
        (views.collect(), cluster)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_leaders_and_restarts() {
    let mut cluster = Cluster::new(3).await;
    let mut acknowledged = Vec::new();
    for round in 0..3_u64 {
        let leader = cluster.leader().await;
        let other = (leader + 1) % 3;
        for seed in round * 100..round * 100 + 5 {
            let batch = batch(seed, 2, 500);
            let position = append_surely(&cluster.view(other), &batch).await;
            acknowledged.push(Ordered { position, batch });
        }
        cluster.kill(leader).await;
        let batch = batch(round * 100 + 50, 1, 100);
        let position = append_surely(&cluster.view(other), &batch).await;
        acknowledged.push(Ordered { position, batch });
        cluster.start(leader, true).await;
    }
    for peer in 0..3 {
        cluster.kill(peer).await;
    }
    for peer in 0..3 {
        cluster.start(peer, true).await;
    }
    let last = append_surely(&cluster.view(0), &batch(999, 1, 1)).await;
    assert!(acknowledged.is_sorted_by(|a, b| a.position < b.position));
    let first = read_up_to(&cluster.view(0), Position(0), last, usize::MAX).await;
    assert!(first.is_sorted_by(|a, b| a.position < b.position));
    for ordered in &acknowledged {
        assert!(first.contains(ordered), "lost {}", ordered.position);
    }
    for peer in 1..3 {
        assert_eq!(read_up_to(&cluster.view(peer), Position(0), last, 3_000).await, first);
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_behind_the_cut_gets_the_pointer_and_goes_on() {
    let cluster = Cluster::new(3).await;
    append(&cluster.view(0), &batch(1, 1, 1)).await;
    let leader = cluster.leader().await;
    let away = (leader + 1) % 3;
    cluster.router.cut.lock().insert(away);
    let mut last = Position(0);
    for seed in 2..12 {
        last = append_surely(&cluster.view(leader), &batch(seed, 1, 1_000)).await;
    }
    for peer in (0..3).filter(|peer| *peer != away) {
        reach(&cluster.view(peer), last).await;
        cluster.view(peer).release(last).await;
        let cut = async {
            while cluster.view(peer).read(Position(0), 1).await.is_ok() {
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::time::timeout(PATIENCE, cut).await.expect("the log is cut");
    }
    cluster.router.cut.lock().clear();
    let behind = cluster.view(away);
    reach(&behind, last).await;
    let next = append_surely(&behind, &batch(50, 1, 1)).await;
    assert!(
        matches!(behind.read(Position(0), 1).await, Err(ReadError::Released(at)) if at <= last)
    );
    let rest = read_up_to(&behind, last, next, usize::MAX).await;
    assert_eq!(rest.last().unwrap().batch, batch(50, 1, 1));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_its_log_is_no_member() {
    let mut cluster = Cluster::new(3).await;
    append(&cluster.view(0), &batch(1, 1, 1)).await;
    cluster.kill(2).await;
    fs::remove_dir_all(cluster.directories[2].0.join("raft")).unwrap();
    let refused = Raft::open(cluster.config(2, true)).await.err().unwrap();
    assert!(refused.to_string().starts_with("RAFT_LOG_MISSING"), "{refused}");
    let config = RaftConfig { member: false, ..cluster.config(2, true) };
    let (guest, receiver) = Raft::open_tuned(config, SMALL).await.unwrap();
    let guest: Arc<dyn Order> = guest;
    let position = append_surely(&guest, &batch(2, 1, 1)).await;
    let read = read_up_to(&cluster.view(0), Position(0), position, usize::MAX).await;
    assert_eq!(read.last().unwrap().batch, batch(2, 1, 1));
    assert!(matches!(guest.read(Position(0), 1).await, Err(ReadError::Unavailable(_))));
    assert_eq!((*guest.end().borrow(), guest.is_durable_here()), (Position(0), false));
    let vote = openraft::raft::VoteRequest::new(Vote::new(1, 1), None);
    assert!(receiver.answer(0, Request::Vote(vote).encode(&CHAIN)).await.is_err());
    cluster.stop().await;
}

#[tokio::test]
async fn strangers_and_nonsense_are_refused() {
    let cluster = Cluster::new(1).await;
    let service = cluster.router.services.lock()[&0].clone();
    let vote =
        |term, node| Request::Vote(openraft::raft::VoteRequest::new(Vote::new(term, node), None));
    let cases = [
        ("another chain", 1, vote(2, 2).encode(&ChainId([8; 32]))),
        ("for another", 1, vote(2, 1).encode(&CHAIN)),
        ("the last term", 1, vote(u64::MAX, 2).encode(&CHAIN)),
        ("a term too far", 1, vote(1 << 40, 2).encode(&CHAIN)),
        ("nothing", 1, Bytes::new()),
        ("a tag alone", 1, Bytes::copy_from_slice(CHAIN.as_bytes())),
    ];
    for (what, from, request) in cases {
        assert!(service.answer(from, request).await.is_err(), "{what}");
    }
    let whole = Request::Append(openraft::raft::AppendEntriesRequest {
        vote: Vote::new_committed(3, 2),
        prev_log_id: Some(log_id(1, 1, 4)),
        entries: vec![entry(log_id(3, 2, 5), b"batch")],
        leader_commit: None,
    });
    let whole = whole.encode(&CHAIN);
    assert!(Request::decode(&CHAIN, &whole).is_ok());
    for length in 0..whole.len() {
        assert!(Request::decode(&CHAIN, &whole.slice(..length)).is_err(), "{length} bytes");
    }
    for at in 0..whole.len() {
        let mut junk = whole.to_vec();
        junk[at] ^= 0xff;
        drop(Request::decode(&CHAIN, &Bytes::from(junk)));
    }
    cluster.stop().await;
}

fn entry(log_id: LogId, bytes: &[u8]) -> Entry {
    let data = Data(Bytes::copy_from_slice(bytes));
    Entry { log_id, payload: openraft::EntryPayload::Normal(data) }
}

const TINY: Sizes = Sizes { segment: 4_096, cache: 1_000, message: 1_000 };

fn open(directory: &Directory) -> Result<Log, OpenError> {
    Log::open(&directory.0, CHAIN, TINY)
}

fn put(log: &Log, indices: std::ops::Range<u64>, term: u64) {
    for index in indices {
        let payload = Bytes::from(vec![u8::try_from(index % 251).unwrap(); 300]);
        log.write(vec![(log_id(term, 1, index), Kind::Batch, payload)]).unwrap();
    }
}

fn read_all(log: &Log) -> Vec<(u64, u64, u8)> {
    let stored = log.entries(0, u64::MAX, usize::MAX).unwrap();
    stored.iter().map(|it| (it.id.index, it.id.leader_id.term, it.payload[0])).collect()
}

fn last_segment(directory: &Directory) -> PathBuf {
    let files = fs::read_dir(&directory.0).unwrap().map(|item| item.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|it| it == "log")).max().unwrap()
}

#[test]
fn segments_truncations_and_purges_read_back() {
    let directory = Directory::new();
    let log = open(&directory).unwrap();
    put(&log, 0..40, 1);
    log.write(vec![(log_id(1, 1, 25), Kind::Truncate, Bytes::new())]).unwrap();
    put(&log, 25..60, 2);
    let expected = read_all(&log);
    assert_eq!(expected.len(), 60);
    assert_eq!((expected[24].1, expected[25].1), (1, 2));
    drop(log);
    let log = open(&directory).unwrap();
    assert_eq!(read_all(&log), expected);
    for round in 0..5 {
        let up_to = 30 + round * 30;
        log.forget(log.id_at(up_to).unwrap()).unwrap();
        put(&log, 60 + round * 30..90 + round * 30, 3);
    }
    let expected = read_all(&log);
    assert_eq!(expected[0].0, 151);
    let files = fs::read_dir(&directory.0).unwrap().count();
    assert!(files < 20, "emptied files are used again, {files} are there");
    drop(log);
    let log = open(&directory).unwrap();
    assert_eq!(read_all(&log), expected);
    // Beyond the end, as when a pointer is installed.
    log.forget(log_id(4, 2, 500)).unwrap();
    assert_eq!(read_all(&log), vec![]);
    put(&log, 501..503, 4);
    drop(log);
    assert_eq!(read_all(&open(&directory).unwrap()).len(), 2);
}

#[test]
fn a_torn_tail_is_dropped_at_every_byte() {
    let directory = Directory::new();
    let log = open(&directory).unwrap();
    put(&log, 0..3, 1);
    drop(log);
    let path = last_segment(&directory);
    let whole = fs::read(&path).unwrap();
    let record = segments::RECORD_HEADER + 300;
    let last_at = segments::HEADER + 2 * record;
    for torn_at in last_at..last_at + record {
        let mut torn = whole.clone();
        torn[torn_at..last_at + record].fill(0xee);
        fs::write(&path, &torn).unwrap();
        let log = open(&directory).unwrap();
        assert_eq!(read_all(&log).len(), 2, "torn at {torn_at}");
        put(&log, 2..4, 2);
        drop(log);
        assert_eq!(read_all(&open(&directory).unwrap()).len(), 4, "torn at {torn_at}");
    }
}

#[test]
fn damage_to_synced_records_is_named_not_dropped() {
    let directory = Directory::new();
    let log = open(&directory).unwrap();
    put(&log, 0..30, 1);
    drop(log);
    let last = last_segment(&directory);
    let first = segments::segment_path(&directory.0, 1);
    assert_ne!(first, last);
    for (path, at) in [(&first, 200), (&first, 10), (&last, 100), (&last, 20)] {
        let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[!byte[0]], at).unwrap();
        let refused = open(&directory).err().map(|error| error.to_string());
        if (path, at) == (&first, 10) {
            // The first segment's own header says nothing that its records do not.
            assert_eq!(refused, None);
        } else {
            let refused = refused.unwrap_or_else(|| panic!("{path:?} at {at} was taken"));
            assert!(refused.starts_with("RAFT_LOG_CORRUPT") && refused.contains(".log at byte"));
        }
        file.write_all_at(&byte, at).unwrap();
    }
    assert_eq!(read_all(&open(&directory).unwrap()).len(), 30);
    fs::remove_file(segments::segment_path(&directory.0, 2)).unwrap();
    assert!(open(&directory).is_err(), "a missing segment is noticed");
}

#[test]
fn the_vote_survives_a_torn_write() {
    let directory = Directory::new();
    let slots = slots::Slots::open(&directory.0, &CHAIN).unwrap();
    for term in 1..5 {
        slots.save_vote(&Vote::new(term, 2)).unwrap();
    }
    drop(slots);
    let path = directory.0.join("vote");
    let mut bytes = fs::read(&path).unwrap();
    bytes[10] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let slots = slots::Slots::open(&directory.0, &CHAIN).unwrap();
    assert_eq!(slots.vote(), Some(Vote::new(3, 2)));
    drop(slots);
    bytes[4_096 + 10] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(slots::Slots::open(&directory.0, &CHAIN).is_err());
}
