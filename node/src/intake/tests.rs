//! What the waiting room promises, over a log that a test can stop, break and make lie.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use cairn_ledger::{
    block::{Block, Header},
    execution::Outcome,
    ids::{BlockId, Hash, Height, Position},
    json::Strictness,
    limits::{BATCH_BYTES_MAX, BATCH_TRANSACTIONS_MAX},
    refusal::Refusal,
    transaction,
    vote::Certificate,
};

use super::*;
use crate::{
    mesh::Peer,
    order::{Batch, Lead, Ordered, ReadError},
    testing::{Federation, create, key},
};

/// A log that keeps what it is given, answers as it was told to, and shows each append.
struct Log {
    entries: Mutex<Vec<Batch>>,
    answers: Mutex<VecDeque<AppendError>>,
    closed: AtomicBool,
    length: watch::Sender<usize>,
}

impl Log {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            entries: Mutex::default(),
            answers: Mutex::default(),
            closed: AtomicBool::new(false),
            length: watch::Sender::new(0),
        })
    }

    fn closed() -> Arc<Self> {
        let log = Self::new();
        log.closed.store(true, Ordering::SeqCst);
        log
    }

    fn answers_first(answers: impl IntoIterator<Item = AppendError>) -> Arc<Self> {
        let log = Self::new();
        log.answers.lock().extend(answers);
        log
    }

    /// Waits until that many batches are in.
    async fn reaches(&self, length: usize) -> Vec<Batch> {
        self.length.subscribe().wait_for(|have| *have >= length).await.unwrap();
        self.entries.lock().clone()
    }

    fn transactions(&self) -> Vec<Arc<[u8]>> {
        self.entries.lock().iter().flat_map(|batch| batch.transactions.clone()).collect()
    }
}

#[async_trait]
impl Order for Log {
    async fn append(&self, batch: &Batch) -> Result<Position, AppendError> {
        assert!(!batch.transactions.is_empty(), "an empty batch is not worth a place");
        assert!(batch.transactions.len() <= BATCH_TRANSACTIONS_MAX);
        assert!(batch.encode().len() <= BATCH_BYTES_MAX);
        if self.closed.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if let Some(answer) = self.answers.lock().pop_front() {
            return Err(answer);
        }
        let mut entries = self.entries.lock();
        entries.push(batch.clone());
        self.length.send_replace(entries.len());
        Ok(Position(entries.len() as u64))
    }
    async fn read(&self, _: Position, _: usize) -> Result<Vec<Ordered>, ReadError> {
        Ok(Vec::new())
    }
    fn end(&self) -> watch::Receiver<Position> {
        watch::Sender::new(Position(0)).subscribe()
    }
    async fn release(&self, _: Position) {}
    fn is_durable_here(&self) -> bool {
        true
    }
    fn lead(&self, _: &[Peer]) -> Lead {
        Lead::Here
    }
    fn describe(&self) -> String {
        "a log for tests".to_owned()
    }
    async fn stop(&self) {}
}

fn admitted_bytes(bytes: &[u8]) -> Arc<Admitted> {
    let parsed = transaction::parse(Arc::from(bytes), Strictness::Strict).unwrap();
    Arc::new(transaction::admit(vec![parsed]).pop().unwrap().unwrap())
}

fn one(note: &str) -> Arc<Admitted> {
    let owner = key(1);
    admitted_bytes(&create(&owner, note, &[(&[owner.public()], 1)]).bytes)
}

/// A block over the log up to `order_to` that says that of those transactions.
fn block(height: u64, order_to: u64, told: &[(&[u8], Outcome)]) -> Block {
    let header = Header {
        chain: Federation::new(1).genesis.chain(),
        height: Height(height),
        parent: BlockId::default(),
        time_ms: height,
        proposer: 0,
        order_from: Position(0),
        order_to: Position(order_to),
        transactions: 0,
        committed: 0,
        outcomes_root: Hash::default(),
        state_root: Hash::default(),
    };
    let certificate = Certificate {
        height: Height(height),
        round: 0,
        block: BlockId::default(),
        signatures: Vec::new(),
    };
    let (body, outcomes) =
        told.iter().map(|(bytes, outcome)| (Arc::from(*bytes), outcome.clone())).unzip();
    Block { header, body, outcomes, certificate }
}

fn committed(transaction: &Admitted) -> (&[u8], Outcome) {
    (transaction.bytes(), Outcome::Committed)
}

fn refused<'a>(transaction: &'a Admitted, why: &Refusal) -> (&'a [u8], Outcome) {
    (transaction.bytes(), Outcome::Refused(why.record()))
}

const FIRST: Place = Place { height: Height(1), index: 0 };

fn with_lookup(log: &Arc<Log>, lookup: Lookup) -> Arc<Intake> {
    let order = Arc::clone(log) as Arc<dyn Order>;
    Intake::start_with(order, IntakeLimits::default(), Arc::new(Metrics::new()), lookup)
}

fn limited(log: &Arc<Log>, limits: IntakeLimits) -> Arc<Intake> {
    Intake::start(Arc::clone(log) as Arc<dyn Order>, limits)
}

fn open(log: &Arc<Log>) -> Arc<Intake> {
    limited(log, IntakeLimits::default())
}

#[tokio::test]
async fn who_submits_hears_where_it_was_committed() {
    let log = Log::new();
    let intake = open(&log);
    let transaction = one("a");
    let fate = intake.submit(Arc::clone(&transaction), None).unwrap();
    assert!(intake.is_pending(&transaction.id()));
    log.reaches(1).await;
    assert_eq!(log.transactions(), [Arc::clone(transaction.bytes())]);
    intake.decided(
        &block(1, 1, &[committed(&transaction)]),
        &[Some(transaction.id())],
        &Seen::default(),
    );
    assert_eq!(fate.await, Ok(Fate::Committed(FIRST)));
    assert!(!intake.is_pending(&transaction.id()));
    assert_eq!((intake.waiting(), intake.waiting_bytes()), (0, 0));
}

#[tokio::test]
async fn who_submits_hears_why_it_was_refused() {
    let log = Log::new();
    let intake = open(&log);
    let transaction = one("a");
    let fate = intake.submit(Arc::clone(&transaction), None).unwrap();
    let why = Refusal::AssetMismatch;
    intake.decided(
        &block(1, 1, &[refused(&transaction, &why)]),
        &[Some(transaction.id())],
        &Seen::default(),
    );
    assert_eq!(fate.await, Ok(Fate::Refused(FIRST, why.record())));
}

#[tokio::test]
async fn the_same_id_twice_shares_a_place_and_both_hear() {
    let log = Log::new();
    let intake = open(&log);
    let transaction = one("a");
    let first = intake.submit(Arc::clone(&transaction), None).unwrap();
    log.reaches(1).await;
    let second = intake.submit(Arc::clone(&transaction), None).unwrap();
    let other = one("b");
    let other_fate = intake.submit(Arc::clone(&other), None).unwrap();
    log.reaches(2).await;
    assert_eq!(log.transactions().len(), 2, "the second copy went nowhere");
    let told = [committed(&transaction), committed(&other)];
    intake.decided(
        &block(1, 2, &told),
        &[Some(transaction.id()), Some(other.id())],
        &Seen::default(),
    );
    assert_eq!(first.await, Ok(Fate::Committed(FIRST)));
    assert_eq!(second.await, Ok(Fate::Committed(FIRST)));
    assert_eq!(other_fate.await, Ok(Fate::Committed(Place { index: 1, ..FIRST })));
}

#[tokio::test]
async fn a_duplicate_of_what_an_earlier_block_has_was_committed_there() {
    let log = Log::new();
    let earlier = Place { height: Height(7), index: 3 };
    let transaction = one("a");
    let id = transaction.id();
    let intake = with_lookup(&log, Box::new(move |asked| (*asked == id).then_some(earlier)));
    let fate = intake.submit(Arc::clone(&transaction), None).unwrap();
    let why = Refusal::Duplicate(id);
    intake.decided(&block(9, 1, &[refused(&transaction, &why)]), &[Some(id)], &Seen::default());
    assert_eq!(fate.await, Ok(Fate::Committed(earlier)));
    assert_eq!(intake.waiting(), 0);
}

#[tokio::test]
async fn bytes_that_only_claim_an_id_answer_nobody() {
    let log = Log::new();
    let intake = open(&log);
    let transaction = one("a");
    let fate = intake.submit(Arc::clone(&transaction), None).unwrap();
    log.reaches(1).await;
    let why = Outcome::Refused(Refusal::SignatureInvalid.record());
    intake.decided(
        &block(1, 0, &[(b"{\"id\":\"a lie\"}", why)]),
        &[Some(transaction.id())],
        &Seen::default(),
    );
    assert!(intake.is_pending(&transaction.id()));
    intake.decided(
        &block(2, 1, &[committed(&transaction)]),
        &[Some(transaction.id())],
        &Seen::default(),
    );
    assert_eq!(fate.await, Ok(Fate::Committed(Place { height: Height(2), index: 0 })));
}

#[tokio::test]
async fn what_a_block_passes_by_is_appended_again_and_at_last_given_up() {
    let log = Log::new();
    let intake = open(&log);
    let transaction = one("a");
    let fate = intake.submit(Arc::clone(&transaction), None).unwrap();
    for height in 1..=8 {
        log.reaches(usize::try_from(height).unwrap()).await;
        // The append that the log has shown may not have answered yet; both orders are right.
        intake.decided(&block(height, height, &[]), &[], &Seen::default());
    }
    assert_eq!(fate.await, Ok(Fate::Unknown));
    assert_eq!(log.transactions().len(), 8);
}

#[tokio::test]
async fn what_a_block_does_not_reach_is_not_appended_again() {
    let log = Log::new();
    let intake = open(&log);
    let (first, second) = (one("a"), one("b"));
    let _first = intake.submit(Arc::clone(&first), None).unwrap();
    log.reaches(1).await;
    let _second = intake.submit(Arc::clone(&second), None).unwrap();
    log.reaches(2).await;
    intake.decided(&block(1, 1, &[committed(&first)]), &[Some(first.id())], &Seen::default());
    let _third = intake.submit(one("c"), None).unwrap();
    log.reaches(3).await;
    let notes: std::collections::BTreeSet<_> = log.transactions().into_iter().collect();
    assert_eq!(notes.len(), 3, "three transactions, each once");
    assert_eq!(log.transactions().len(), 3);
}

#[tokio::test]
async fn a_log_that_says_no_or_nothing_is_asked_again() {
    let log = Log::answers_first([
        AppendError::Unavailable("an election".to_owned()),
        AppendError::Unknown("no answer".to_owned()),
    ]);
    let intake = open(&log);
    let transaction = one("a");
    let fate = intake.submit(Arc::clone(&transaction), None).unwrap();
    log.reaches(1).await;
    intake.decided(
        &block(1, 1, &[committed(&transaction)]),
        &[Some(transaction.id())],
        &Seen::default(),
    );
    assert_eq!(fate.await, Ok(Fate::Committed(FIRST)));
}

#[tokio::test]
async fn what_gathers_while_appends_are_under_way_goes_in_full_batches() {
    let log = Log::closed();
    let intake = open(&log);
    let many: Vec<_> = (0..2500).map(|at| one(&format!("{at}"))).collect();
    intake.submit_all(many, None).unwrap();
    // All permits are taken by appends that never answer; what is left waits.
    tokio::task::yield_now().await;
    assert_eq!(intake.waiting(), 2500);
    intake.stop().await;
    assert_eq!(intake.waiting(), 0);

    let log = Log::new();
    let intake = open(&log);
    let many: Vec<_> = (0..2500).map(|at| one(&format!("{at}"))).collect();
    intake.submit_all(many.clone(), None).unwrap();
    let batches = log.reaches(3).await;
    let mut sent: Vec<_> = batches.iter().flat_map(|b| b.transactions.clone()).collect();
    let mut wanted: Vec<_> = many.iter().map(|t| Arc::clone(t.bytes())).collect();
    sent.sort();
    wanted.sort();
    assert_eq!(sent, wanted);
    let sizes: Vec<_> = batches.iter().map(|b| b.transactions.len()).collect();
    assert_eq!(sizes.iter().max(), Some(&BATCH_TRANSACTIONS_MAX));
}

#[tokio::test]
async fn a_batch_is_cut_at_its_bytes_too() {
    let log = Log::new();
    let intake = open(&log);
    let many: Vec<_> = (0..40).map(|at| one(&format!("{at}{}", "x".repeat(50_000)))).collect();
    intake.submit_all(many, None).unwrap();
    // `append` asserts that each fits.
    let batches = log.reaches(2).await;
    assert_eq!(batches.iter().map(|b| b.transactions.len()).sum::<usize>(), 40);
}

#[tokio::test]
async fn more_than_fit_are_busy_all_or_none() {
    let limits = IntakeLimits { transactions: 3, ..IntakeLimits::default() };
    let intake = limited(&Log::closed(), limits);
    let _a = intake.submit(one("a"), None).unwrap();
    let three = vec![one("b"), one("c"), one("d")];
    let busy = Busy { waiting: 1, retry_after_s: 1 };
    assert_eq!(intake.submit_all(three, None), Err(busy));
    assert_eq!(intake.waiting(), 1, "none of them came in");
    intake.submit_all(vec![one("b"), one("c")], None).unwrap();
    assert!(intake.submit(one("d"), None).is_err());
    assert!(intake.submit(one("a"), None).is_ok(), "what is in already takes no room");

    let limits = IntakeLimits { bytes: 2 * one("a").bytes().len(), ..IntakeLimits::default() };
    let intake = limited(&Log::closed(), limits);
    intake.submit_all(vec![one("a"), one("b")], None).unwrap();
    assert!(intake.submit(one("c"), None).is_err(), "their bytes are bounded too");
}

#[tokio::test]
async fn patience_ends_in_an_unknown_fate() {
    let limits = IntakeLimits { patience: Duration::from_millis(20), ..IntakeLimits::default() };
    let intake = limited(&Log::closed(), limits);
    let fate = intake.submit(one("a"), None).unwrap();
    assert_eq!(fate.await, Ok(Fate::Unknown));
    assert_eq!((intake.waiting(), intake.waiting_bytes()), (0, 0));
}

#[tokio::test]
async fn stopping_answers_all_and_later_ones_at_once() {
    let intake = open(&Log::closed());
    let fate = intake.submit(one("a"), None).unwrap();
    intake.stop().await;
    assert_eq!(fate.await, Ok(Fate::Unknown));
    assert_eq!(intake.submit(one("b"), None).unwrap().await, Ok(Fate::Unknown));
    assert_eq!(intake.waiting(), 0);
}

#[tokio::test]
async fn what_was_admitted_is_found_by_its_exact_bytes_and_no_others() {
    let intake = open(&Log::closed());
    let transaction = one("a");
    assert!(intake.admitted(transaction.bytes()).is_none());
    intake.submit_all(vec![Arc::clone(&transaction)], None).unwrap();
    let found = intake.admitted(transaction.bytes()).unwrap();
    assert_eq!(found.id(), transaction.id());
    let mut spelled_otherwise = transaction.bytes().to_vec();
    spelled_otherwise.push(b' ');
    assert!(intake.admitted(&spelled_otherwise).is_none());
    intake.decided(
        &block(1, 1, &[committed(&transaction)]),
        &[Some(transaction.id())],
        &Seen::default(),
    );
    assert!(intake.admitted(transaction.bytes()).is_none(), "what left is not kept");
}
