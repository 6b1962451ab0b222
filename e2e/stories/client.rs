//! Clients that keep creating and transferring assets through the Service while a story plays, and
//! remember what was acknowledged, and when.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use anyhow::bail;
use cairn_ledger::{
    ids::{OutputReference, TransactionId},
    json::Strictness,
    signature::SigningKey,
    transaction::{
        self,
        build::{self, Share, Spend},
    },
};

/// What one request may take; a client that hears nothing for so long asks again.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a connection may take: a pod whose node is gone refuses nothing, it is silent.
const PATIENCE_CONNECT: Duration = Duration::from_secs(1);

/// Between two transactions of a client: they watch a federation, they do not load it.
const PAUSE: Duration = Duration::from_millis(50);

/// What the clients saw.
#[derive(Default)]
pub(crate) struct Seen {
    /// Acknowledged as committed, and when.
    pub(crate) acknowledged: Vec<(TransactionId, Instant)>,
    /// How many requests had to be sent again.
    pub(crate) again: usize,
    /// Answers that no sound transaction should get.
    pub(crate) refused: Vec<String>,
}

/// Clients at work.
pub(crate) struct Client {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    begun: Instant,
    /// While nothing could be decided, as the story had it.
    excused: Mutex<Vec<(Instant, Instant)>>,
}

impl Client {
    /// Starts so many clients of an API at `http://host:port`.
    pub(crate) fn start(url: &str, clients: usize) -> Self {
        Self::with(url, clients, |_| ureq::Agent::config_builder())
    }

    /// Starts so many clients of an API at `https://host:port`, who trust nobody but whom these
    /// certificates (PEM) vouch for. Every other one makes a new connection for each request.
    pub(crate) fn trusting(url: &str, clients: usize, authority: &str) -> anyhow::Result<Self> {
        let mut roots = vec![];
        for item in ureq::tls::parse_pem(authority.as_bytes()) {
            if let ureq::tls::PemItem::Certificate(certificate) = item? {
                roots.push(certificate);
            }
        }
        let tls = ureq::tls::TlsConfig::builder();
        let tls = tls.root_certs(ureq::tls::RootCerts::from(roots.into_iter())).build();
        Ok(Self::with(url, clients, |at| {
            let idle = if at % 2 == 0 { 1 } else { 0 };
            let config = ureq::Agent::config_builder().tls_config(tls.clone());
            config.max_idle_connections(idle).max_idle_connections_per_host(idle)
        }))
    }

    fn with(
        url: &str,
        clients: usize,
        config: impl Fn(usize) -> ureq::config::ConfigBuilder<ureq::typestate::AgentScope>,
    ) -> Self {
        let (seen, stop) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
        let threads = (0..clients)
            .map(|at| {
                let (url, seen, stop) = (url.to_owned(), Arc::clone(&seen), Arc::clone(&stop));
                let config = config(at).http_status_as_error(false);
                let config =
                    config.timeout_global(Some(PATIENCE)).timeout_connect(Some(PATIENCE_CONNECT));
                let agent = config.build().new_agent();
                std::thread::spawn(move || work(&agent, &url, at, &seen, &stop))
            })
            .collect();
        Self { seen, stop, threads, begun: Instant::now(), excused: Mutex::default() }
    }

    /// How many transactions were acknowledged so far.
    pub(crate) fn count(&self) -> usize {
        self.seen.lock().expect("clients do not panic").acknowledged.len()
    }

    /// Those that were acknowledged since then.
    pub(crate) fn since(&self, then: Instant) -> Vec<TransactionId> {
        let seen = self.seen.lock().expect("clients do not panic");
        seen.acknowledged.iter().filter(|(_, at)| *at > then).map(|(id, _)| *id).collect()
    }

    /// The last that was acknowledged.
    pub(crate) fn latest(&self) -> Option<String> {
        let seen = self.seen.lock().expect("clients do not panic");
        seen.acknowledged.last().map(|(id, _)| id.to_string())
    }

    /// Waits until so many more are acknowledged.
    ///
    /// # Errors
    ///
    /// When they are not within `limit`: the federation does not decide.
    pub(crate) fn further(&self, more: usize, limit: Duration) -> anyhow::Result<()> {
        let (from, begun) = (self.count(), Instant::now());
        while self.count() < from + more {
            if begun.elapsed() > limit {
                bail!("{} of {more} acknowledged within {limit:?}", self.count() - from);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Ends the clients before nobody is there to answer; adds what they saw, and tells the longest time
    /// without an acknowledgement.
    pub(crate) fn rests(self, all: &mut Seen) -> Duration {
        let (seen, longest) = self.stop();
        all.acknowledged.extend(seen.acknowledged);
        all.again += seen.again;
        all.refused.extend(seen.refused);
        longest
    }

    /// From then to now a story left no quorum: that is no silence to be told of.
    pub(crate) fn excuse(&self, since: Instant) {
        self.excused.lock().expect("nobody panics").push((since, Instant::now()));
    }

    /// The longest time without an acknowledgement since then, the time until now included.
    pub(crate) fn silence(&self, since: Instant) -> Duration {
        let seen = self.seen.lock().expect("clients do not panic");
        let heard = seen.acknowledged.iter().map(|(_, at)| *at).filter(|at| *at > since);
        let mut times: Vec<Instant> = heard.chain([since, Instant::now()]).collect();
        times.sort_unstable();
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    /// Ends the clients; what they saw, and the longest time without an acknowledgement that was not excused.
    pub(crate) fn stop(self) -> (Seen, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("clients do not panic");
        }
        let seen = std::mem::take(&mut *self.seen.lock().expect("clients do not panic"));
        let mut times: Vec<Instant> = seen.acknowledged.iter().map(|(_, at)| *at).collect();
        times.push(self.begun);
        times.sort_unstable();
        let excused = self.excused.into_inner().expect("nobody panics");
        let silence = |pair: &[Instant]| {
            let both = |(from, to): &(Instant, Instant)| {
                (*to).min(pair[1]).saturating_duration_since((*from).max(pair[0]))
            };
            (pair[1] - pair[0]).saturating_sub(excused.iter().map(both).sum())
        };
        let longest = times.windows(2).map(silence).max().unwrap_or_default();
        (seen, longest)
    }
}

/// Creates an asset, moves it, and so on, until told to stop. What was begun is brought to an end.
fn work(agent: &ureq::Agent, url: &str, at: usize, seen: &Mutex<Seen>, stop: &AtomicBool) {
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let [create, transfer] = asset_and_transfer(at, number);
        number += 1;
        for bytes in [create, transfer] {
            if !commits(agent, url, &bytes, seen, stop) {
                break;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// Sends one until its fate is known; whether it is committed. A client that is told to stop stops
/// asking again after a minute.
fn commits(
    agent: &ureq::Agent,
    url: &str,
    bytes: &[u8],
    seen: &Mutex<Seen>,
    stop: &AtomicBool,
) -> bool {
    let id = transaction::parse(Arc::from(bytes), Strictness::Strict).expect("made here").id();
    let mut stopping: Option<Instant> = None;
    loop {
        let post = agent
            .post(format!("{url}/api/v1/transactions?mode=commit"))
            .header("content-type", "application/json")
            .send(bytes);
        let status = post.as_ref().ok().map(|answer| answer.status().as_u16());
        let there = || {
            let got = agent.get(format!("{url}/api/v1/transactions/{id}")).call();
            got.is_ok_and(|answer| answer.status() == 200)
        };
        // A second sending of what is in the ledger already is refused: as it should be.
        if status == Some(202) || (status == Some(400) && there()) {
            seen.lock().expect("clients do not panic").acknowledged.push((id, Instant::now()));
            return true;
        }
        if let (Some(400..=428 | 430..=499), Ok(mut answer)) = (status, post) {
            let text = answer.body_mut().read_to_string().unwrap_or_default();
            // A duplicate was sent before and is decided: who was asked for it is a moment behind.
            if !text.contains("DuplicateTransaction") {
                let refusal = format!("{} {text}", answer.status());
                seen.lock().expect("clients do not panic").refused.push(refusal);
                return false;
            }
        }
        seen.lock().expect("clients do not panic").again += 1;
        if stop.load(Ordering::Relaxed)
            && stopping.get_or_insert_with(Instant::now).elapsed() > Duration::from_secs(60)
        {
            return false;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// An asset that nobody else makes, and its transfer to another key.
fn asset_and_transfer(at: usize, number: u64) -> [Vec<u8>; 2] {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut seed = [at as u8; 32];
    seed[..16].copy_from_slice(&now.as_nanos().to_be_bytes());
    seed[16..24].copy_from_slice(&number.to_be_bytes());
    let (from, to) = (SigningKey::from_seed(seed), SigningKey::from_seed([9; 32]));
    let data = format!(r#"{{"number":"{number}"}}"#);
    let create = build::create(&data, "null", &[Share::to(from.public(), 1)], &from);
    let create = create.expect("sound arguments");
    let asset =
        transaction::parse(Arc::from(&*create), Strictness::Strict).expect("made here").id();
    let spend = Spend::of(from.public(), OutputReference { transaction: asset, index: 0 });
    let transfer = build::transfer(asset, "null", &[spend], &[Share::to(to.public(), 1)], &[&from]);
    [create, transfer.expect("sound arguments")]
}
