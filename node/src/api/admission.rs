//! The door: bytes become admitted transactions, or hear why not.
//!
//! Checking one signature alone costs almost three times what it costs in a batch, so
//! transactions that arrive one by one are gathered: whatever queued up while the last batch
//! was checked is the next batch. Nothing waits for company.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use cairn_ledger::{
    ids::{Height, TransactionId},
    json::Strictness,
    refusal::Refusal,
    transaction::{self, Admitted, Parsed},
};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{Frontier, error::Failure};
use crate::{
    clock::Stopwatch,
    metrics::Metrics,
    query::{Query, StoreError},
};

/// Most single transactions that are checked together. Batches of this size verify at the
/// best rate without making the first wait long for the last.
const GATHERED_MAX: usize = 256;

/// Most single transactions that wait at the door.
const QUEUE_MAX: usize = 8192;

/// Most batches that clients sent as such and that wait to be checked.
const BATCHES_MAX: usize = 64;

/// Most callers that wait until this validator is level with the others, for what they spend.
const LATE_MAX: usize = 1024;

/// A transaction that was turned away at the door.
#[derive(Clone, Debug)]
pub(super) struct Turned {
    /// Its id, as far as it was read.
    pub(super) id: Option<TransactionId>,
    pub(super) refusal: Refusal,
    pub(super) fault: Option<Fault>,
    /// What it spends and this validator does not know, when nothing else is wrong with it so far.
    missing: Option<TransactionId>,
}

/// What the refusal's text, which is upstream's, leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The first input whose signatures do not hold.
    Signature { input: usize },
    /// The first input that does not fulfil what it spends, because it has too few signatures.
    TooFewSignatures { input: usize, have: usize, need: usize },
    /// What it spends is not here, and may be elsewhere.
    Behind(Behind),
}

/// Why this validator cannot say that something is not in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behind {
    /// No quorum answers: others may decide without it.
    Alone,
    /// A quorum says that the chain is this high, or is about to be.
    Below(Height),
}

impl Turned {
    /// It is no transaction that stands by itself.
    fn outright(refusal: Refusal) -> Self {
        Self { id: None, refusal, fault: None, missing: None }
    }
}

impl From<Turned> for Failure {
    fn from(turned: Turned) -> Self {
        match turned {
            Turned { fault: Some(Fault::Signature { input }), .. } => Self::Unsigned { input },
            Turned { fault: Some(Fault::TooFewSignatures { input, have, need }), .. } => {
                Self::Unmet { input, have, need }
            }
            Turned { fault: Some(Fault::Behind(why)), .. } => Self::behind(why),
            Turned { refusal, fault: None, .. } => Self::Refused(refusal),
        }
    }
}

/// What the door says to one transaction.
pub(super) type Answer = Result<Arc<Admitted>, Turned>;

struct Caller {
    bytes: Arc<[u8]>,
    reply: oneshot::Sender<Result<Answer, Failure>>,
}

/// The door.
#[derive(Debug)]
pub(super) struct Admission {
    callers: mpsc::Sender<Caller>,
    query: Arc<Query>,
    metrics: Arc<Metrics>,
    /// One permit for each thread that may check at a time.
    threads: Arc<Semaphore>,
    batches: Arc<Semaphore>,
    late: Semaphore,
    frontier: Arc<dyn Frontier>,
    /// How long it waits to be level with the others.
    patience: Duration,
}

impl Admission {
    /// Opens it. Ends when it is dropped.
    pub(super) fn open(
        query: Arc<Query>,
        metrics: Arc<Metrics>,
        frontier: Arc<dyn Frontier>,
        patience: Duration,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = Arc::new(Semaphore::new(cores));
        let (callers, queue) = mpsc::channel(QUEUE_MAX);
        let checker = Checker { query: Arc::clone(&query), metrics: Arc::clone(&metrics) };
        tokio::spawn(gather(queue, checker, Arc::clone(&threads)));
        let batches = Arc::new(Semaphore::new(BATCHES_MAX));
        let late = Semaphore::new(LATE_MAX);
        Self { callers, query, metrics, threads, batches, late, frontier, patience }
    }

    /// Asks for one transaction.
    ///
    /// One that spends what is not here may only be early: another validator told the client that it
    /// is committed, and the next request came here, as requests do behind one Service. Before it is
    /// refused for that, this validator is level with a quorum; if it cannot be, it says so instead.
    pub(super) async fn one(&self, bytes: Arc<[u8]>) -> Result<Answer, Failure> {
        let looked_at = self.query.height();
        let mut answer = self.ask(Arc::clone(&bytes)).await?;
        if missing(&answer).is_some() {
            match self.level().await? {
                Ok(()) if self.query.height() > looked_at => answer = self.ask(bytes).await?,
                Ok(()) => (),
                Err(why) => doubt(&mut answer, why),
            }
        }
        self.count(&answer);
        Ok(answer)
    }

    async fn ask(&self, bytes: Arc<[u8]>) -> Result<Answer, Failure> {
        let (reply, answer) = oneshot::channel();
        self.callers.try_send(Caller { bytes, reply }).map_err(|_| Failure::Overloaded)?;
        answer.await.map_err(|_| Failure::Stopping)?
    }

    /// Waits until every block is here that anybody may have been told of before.
    async fn level(&self) -> Result<Result<(), Behind>, Failure> {
        let Ok(_place) = self.late.try_acquire() else { return Err(Failure::Overloaded) };
        let Some(highest) = self.frontier.find().await else { return Ok(Err(Behind::Alone)) };
        let reached = self.query.reaches(highest, self.patience).await;
        Ok(if reached { Ok(()) } else { Err(Behind::Below(highest)) })
    }

    /// Asks for many at once; answers in the order given.
    pub(super) async fn many(&self, items: Vec<Arc<[u8]>>) -> Result<Vec<Answer>, Failure> {
        let Ok(_place) = self.batches.try_acquire() else { return Err(Failure::Overloaded) };
        let looked_at = self.query.height();
        let mut answers = self.ask_many(items.clone()).await?;
        // Nobody told the client that a part of this very batch is committed.
        let among = |id: &TransactionId| answers.iter().any(|other| id_of(other) == Some(*id));
        let late: Vec<usize> = (0..answers.len())
            .filter(|at| missing(&answers[*at]).is_some_and(|id| !among(&id)))
            .collect();
        if !late.is_empty() {
            match self.level().await? {
                Ok(()) if self.query.height() > looked_at => {
                    let again = late.iter().map(|at| Arc::clone(&items[*at])).collect();
                    for (at, answer) in late.iter().zip(self.ask_many(again).await?) {
                        answers[*at] = answer;
                    }
                }
                Ok(()) => (),
                Err(why) => late.iter().for_each(|at| doubt(&mut answers[*at], why)),
            }
        }
        for answer in &answers {
            self.count(answer);
        }
        Ok(answers)
    }

    async fn ask_many(&self, items: Vec<Arc<[u8]>>) -> Result<Vec<Answer>, Failure> {
        let _thread = self.threads.acquire().await.map_err(|_| Failure::Stopping)?;
        let checker =
            Checker { query: Arc::clone(&self.query), metrics: Arc::clone(&self.metrics) };
        let examined = tokio::task::spawn_blocking(move || checker.examine(items)).await;
        Ok(examined.map_err(|_| Failure::Stopping)??)
    }

    fn count(&self, answer: &Answer) {
        if let Err(turned) = answer
            && !matches!(turned.fault, Some(Fault::Behind(_)))
        {
            self.metrics.refused.with_label_values(&[turned.refusal.code()]).inc();
        }
    }
}

async fn gather(mut queue: mpsc::Receiver<Caller>, checker: Checker, threads: Arc<Semaphore>) {
    loop {
        let Ok(thread) = Arc::clone(&threads).acquire_owned().await else { return };
        let mut callers = Vec::new();
        if queue.recv_many(&mut callers, GATHERED_MAX).await == 0 {
            return;
        }
        let checker = checker.clone();
        tokio::task::spawn_blocking(move || {
            let _thread = thread;
            let (items, replies): (Vec<_>, Vec<_>) =
                callers.into_iter().map(|caller| (caller.bytes, caller.reply)).unzip();
            match checker.examine(items) {
                Ok(answers) => {
                    for (reply, answer) in replies.into_iter().zip(answers) {
                        let _ = reply.send(Ok(answer));
                    }
                }
                Err(trouble) => {
                    let what = trouble.to_string();
                    for reply in replies {
                        let _ = reply.send(Err(Failure::Trouble(what.clone())));
                    }
                }
            }
        });
    }
}

/// What one batch is checked with.
#[derive(Clone)]
struct Checker {
    query: Arc<Query>,
    metrics: Arc<Metrics>,
}

impl Checker {
    fn examine(&self, items: Vec<Arc<[u8]>>) -> Result<Vec<Answer>, StoreError> {
        let (watch, count) = (Stopwatch::start(), items.len());
        let answers = examine(&self.query, items);
        self.metrics.checked("door", count, watch.seconds());
        answers
    }
}

/// Parse, signatures, state: each once, for all together. Upstream names a missing input or a
/// double spend before it names a bad signature, so the state is asked for all.
#[expect(clippy::result_large_err, reason = "a refusal is the rare case, and is moved once")]
fn examine(query: &Query, items: Vec<Arc<[u8]>>) -> Result<Vec<Answer>, StoreError> {
    let mut refused = Vec::new();
    let mut parsed = Vec::new();
    let mut at_of_parsed = Vec::new();
    let count = items.len();
    for (at, bytes) in items.into_iter().enumerate() {
        match transaction::parse(bytes, Strictness::Strict) {
            Ok(transaction) => {
                parsed.push(transaction);
                at_of_parsed.push(at);
            }
            Err(refusal) => refused.push((at, Turned::outright(refusal))),
        }
    }
    let admitted = transaction::admit(parsed);
    let checked = query.check(admitted.iter().map(either))?;
    let mut answers: Vec<Option<Answer>> = (0..count).map(|_| None).collect();
    for (at, turned) in refused {
        answers[at] = Some(Err(turned));
    }
    for ((at, admitted), checked) in at_of_parsed.into_iter().zip(admitted).zip(checked) {
        let id = Some(either(&admitted).id());
        answers[at] = Some(match (checked, admitted) {
            (Err(refusal), asked) => {
                let missing = match refusal {
                    Refusal::InputUnknown(missing) if asked.is_ok() => Some(missing),
                    _ => None,
                };
                let asked = either(&asked);
                let fault = match refusal {
                    Refusal::SignatureInvalid => {
                        asked.unsigned_input().map(|input| Fault::Signature { input })
                    }
                    _ => too_few_signatures(query, asked, &refusal),
                };
                Err(Turned { id, refusal, fault, missing })
            }
            (Ok(()), Err(parsed)) => {
                let fault = parsed.unsigned_input().map(|input| Fault::Signature { input });
                Err(Turned { id, refusal: Refusal::SignatureInvalid, fault, missing: None })
            }
            (Ok(()), Ok(admitted)) => Ok(Arc::new(admitted)),
        });
    }
    Ok(answers.into_iter().map(|answer| answer.expect("each was refused or parsed")).collect())
}

/// It is not refused: who can tell may take it.
fn doubt(answer: &mut Answer, why: Behind) {
    if let Err(turned) = answer {
        turned.fault = Some(Fault::Behind(why));
    }
}

/// What a transaction spends that is not here, when nothing else is wrong with it.
fn missing(answer: &Answer) -> Option<TransactionId> {
    answer.as_ref().err()?.missing
}

fn id_of(answer: &Answer) -> Option<TransactionId> {
    match answer {
        Ok(admitted) => Some(admitted.id()),
        Err(turned) => turned.id,
    }
}

/// Whether an input does not fulfil its output for lack of signatures. The state knows the
/// condition's fingerprint only; its text is in the transaction that made the output.
fn too_few_signatures(query: &Query, spender: &Parsed, refusal: &Refusal) -> Option<Fault> {
    let Refusal::ConditionMismatch { input } = *refusal else { return None };
    let spent = spender.inputs().get(input)?.spends?;
    let bytes = query.transaction(&spent.transaction).ok()?.found?;
    let made = transaction::parse(bytes, Strictness::Lenient).ok()?;
    let condition = &made.outputs().get(usize::try_from(spent.index).ok()?)?.condition;
    let keys = condition.keys();
    let signers: BTreeSet<_> = spender.signers(input).filter(|key| keys.contains(key)).collect();
    let (have, need) = (signers.len(), condition.signatures_needed());
    // Who has none of them is somebody else.
    (0 < have && have < need).then_some(Fault::TooFewSignatures { input, have, need })
}

fn either(admitted: &Result<Admitted, Parsed>) -> &Parsed {
    match admitted {
        Ok(admitted) => admitted,
        Err(parsed) => parsed,
    }
}
