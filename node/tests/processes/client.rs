//! A small blocking client, and clients that keep a federation busy and remember what it
//! promised them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use cairn_ledger::{
    ids::{OutputReference, TransactionId},
    json::Strictness,
    signature::SigningKey,
    transaction::{
        self,
        build::{self, Share, Spend},
    },
};
use cairn_node::clock;
use parking_lot::Mutex;
use serde_json::Value;

/// Longer than any answer from a healthy federation takes on a busy machine; what is not
/// answered by then counts as not acknowledged.
const PATIENCE: Duration = Duration::from_secs(8);

/// Asks over HTTP.
#[derive(Clone)]
pub(crate) struct Client(ureq::Agent);

impl Client {
    pub(crate) fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build();
        Self(config.into())
    }

    /// Status and body; nothing when nobody answers.
    pub(crate) fn get(&self, port: u16, path: &str) -> Option<(u16, String)> {
        let url = format!("http://127.0.0.1:{port}{path}");
        // A connection that was kept may have been closed just now; asking twice does no harm.
        read(self.0.get(&url).call()).or_else(|| read(self.0.get(&url).call()))
    }

    /// A JSON body, when the answer is 200.
    pub(crate) fn json(&self, port: u16, path: &str) -> Option<Value> {
        let (status, text) = self.get(port, path)?;
        (status == 200).then(|| serde_json::from_str(&text).expect("an API answers JSON"))
    }

    /// Posts a transaction and waits for its fate.
    pub(crate) fn commit(&self, port: u16, transaction: &[u8]) -> Option<(u16, String)> {
        self.post(port, "/api/v1/transactions?mode=commit", transaction)
    }

    /// Posts many at once and waits for the fate of all.
    pub(crate) fn commit_many(&self, port: u16, transactions: &[Vec<u8>]) -> Option<String> {
        let list = [b"[", transactions.join(&b","[..]).as_slice(), b"]"].concat();
        let (status, text) = self.post(port, "/api/v2/transactions?wait=committed", &list)?;
        (status == 200).then_some(text)
    }

    fn post(&self, port: u16, path: &str, transaction: &[u8]) -> Option<(u16, String)> {
        let url = format!("http://127.0.0.1:{port}{path}");
        read(self.0.post(url).header("content-type", "application/json").send(transaction))
    }
}

fn read(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Option<(u16, String)> {
    let mut answer = answer.ok()?;
    let text = answer.body_mut().with_config().limit(64 << 20).read_to_string().ok()?;
    Some((answer.status().as_u16(), text))
}

/// The id of a transaction that was made here.
pub(crate) fn id_of(bytes: &[u8]) -> TransactionId {
    transaction::parse(Arc::from(bytes), Strictness::Strict).expect("made by the library").id()
}

/// An asset that nobody else makes, and its transfer to another key.
pub(crate) fn asset_and_transfer(number: usize) -> [Vec<u8>; 2] {
    let (from, to) = (SigningKey::from_seed(clock::random()), SigningKey::from_seed([9; 32]));
    let create = asset(number, &from, 400);
    let asset = id_of(&create);
    let output = OutputReference { transaction: asset, index: 0 };
    let spend = Spend::of(from.public(), output);
    let transfer = build::transfer(asset, "null", &[spend], &[Share::to(to.public(), 1)], &[&from])
        .expect("sound arguments");
    [create, transfer]
}

/// An asset with so many bytes of data.
pub(crate) fn asset(number: usize, owner: &SigningKey, bytes: usize) -> Vec<u8> {
    let data = format!(r#"{{"number":"{number}","filler":"{}"}}"#, "x".repeat(bytes));
    let shares = [Share::to(owner.public(), 1)];
    build::create(&data, "null", &shares, owner).expect("sound arguments")
}

/// What the clients saw.
#[derive(Default)]
pub(crate) struct Seen {
    /// Answered `mode=commit` with 202.
    pub(crate) acknowledged: Mutex<Vec<TransactionId>>,
    /// How often each other answer came; 0 is no answer.
    others: Mutex<BTreeMap<u16, usize>>,
    /// Refusals: every transaction of these clients is sound.
    refused: Mutex<Vec<String>>,
    stop: AtomicBool,
    made: AtomicUsize,
}

impl Seen {
    pub(crate) fn count(&self) -> usize {
        self.acknowledged.lock().len()
    }
}

/// Clients at work until [`Load::stop`].
pub(crate) struct Load {
    pub(crate) seen: Arc<Seen>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Some clients, each with a validator that it asks first; when that one does not answer
    /// well, the next asset goes to the next one.
    pub(crate) fn start(ports: &[u16], clients: usize) -> Self {
        let seen = Arc::new(Seen::default());
        let threads = (0..clients)
            .map(|at| {
                let (seen, ports) = (Arc::clone(&seen), ports.to_vec());
                std::thread::spawn(move || work(&seen, &ports, at))
            })
            .collect();
        Self { seen, threads }
    }

    /// Ends the clients; what was acknowledged.
    pub(crate) fn stop(self) -> Vec<TransactionId> {
        self.seen.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("clients do not panic");
        }
        let refused = self.seen.refused.lock();
        assert!(refused.is_empty(), "sound transactions were refused: {refused:?}");
        eprintln!(
            "{} acknowledged, other answers {:?}",
            self.seen.count(),
            self.seen.others.lock()
        );
        self.seen.acknowledged.lock().clone()
    }
}

fn work(seen: &Seen, ports: &[u16], first: usize) {
    let client = Client::new();
    let mut at = first;
    while !seen.stop.load(Ordering::Relaxed) {
        let number = seen.made.fetch_add(1, Ordering::Relaxed);
        for transaction in asset_and_transfer(number) {
            let answer = client.commit(ports[at % ports.len()], &transaction);
            match answer {
                Some((202, _)) => seen.acknowledged.lock().push(id_of(&transaction)),
                Some((400, why)) => seen.refused.lock().push(why),
                other => {
                    if let Some((500, why)) = &other {
                        eprintln!("a validator has trouble: {why}");
                    }
                    let code = other.map_or(0, |(code, _)| code);
                    *seen.others.lock().entry(code).or_default() += 1;
                    at += 1;
                    // Somebody who is refused a connection comes back, but not at once.
                    std::thread::sleep(Duration::from_millis(20));
                    break;
                }
            }
        }
    }
}
