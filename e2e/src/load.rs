//! Load, closed loop (as fast as answers come) and open loop (on a schedule, latency
//! counted from the moment that a request was due).

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;

use crate::http::{Answer, Connection};

/// What is sent: bodies of requests, each with this many transactions.
#[derive(Clone)]
pub(crate) struct Work {
    /// One a request.
    pub(crate) bodies: Arc<Vec<Vec<u8>>>,
    /// Transactions in each body.
    pub(crate) each: usize,
    /// Where to.
    pub(crate) path: &'static str,
    /// Which answers are good, given status and body.
    pub(crate) good: fn(&Answer, usize) -> bool,
}

/// What was measured.
pub(crate) struct Measured {
    /// Transactions whose commit was answered.
    pub(crate) committed: usize,
    /// Requests with any other answer, and the first of those.
    pub(crate) failed: usize,
    /// The first failure, for people.
    pub(crate) first_failure: Option<String>,
    /// From the first byte sent to the last answer.
    pub(crate) took: Duration,
    /// POST to commit of each request, sorted.
    pub(crate) latencies: Vec<Duration>,
}

impl Measured {
    /// Committed transactions a second.
    pub(crate) fn rate(&self) -> f64 {
        self.committed as f64 / self.took.as_secs_f64()
    }

    /// The latency below which this share of requests stayed, in milliseconds.
    pub(crate) fn latency_ms(&self, share: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let at = ((self.latencies.len() as f64 * share) as usize).min(last);
        self.latencies.get(at).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
    }
}

/// Sends all bodies over `connections` connections, each its next as soon as it has an answer.
pub(crate) async fn closed(
    addresses: &[String],
    connections: usize,
    work: &Work,
) -> anyhow::Result<Measured> {
    let next = Arc::new(AtomicUsize::new(0));
    run(addresses, connections, work, move |_| next.fetch_add(1, Ordering::Relaxed), None).await
}

/// The same, where the body of a round needs the one before it: each connection sends every so
/// manieth body, in order.
pub(crate) async fn closed_in_turns(
    addresses: &[String],
    connections: usize,
    work: &Work,
) -> anyhow::Result<Measured> {
    let turns: Arc<Vec<_>> = Arc::new((0..connections).map(AtomicUsize::new).collect());
    let next = move |index: usize| turns[index].fetch_add(connections, Ordering::Relaxed);
    run(addresses, connections, work, next, None).await
}

/// Sends all bodies at `rate` requests a second, on schedule whatever the answers do.
pub(crate) async fn open(
    addresses: &[String],
    connections: usize,
    work: &Work,
    rate: f64,
) -> anyhow::Result<Measured> {
    let next = Arc::new(AtomicUsize::new(0));
    run(addresses, connections, work, move |_| next.fetch_add(1, Ordering::Relaxed), Some(rate))
        .await
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
async fn run(
    addresses: &[String],
    connections: usize,
    work: &Work,
    next: impl Fn(usize) -> usize + Clone + Send + 'static,
    rate: Option<f64>,
) -> anyhow::Result<Measured> {
    let mut opened = Vec::new();
    for index in 0..connections {
        opened.push(Connection::open(&addresses[index % addresses.len()]).await?);
    }
    let start = Instant::now();
    let mut tasks = Vec::new();
    for (index, mut connection) in opened.into_iter().enumerate() {
        let (work, next) = (work.clone(), next.clone());
        tasks.push(tokio::spawn(async move {
            let mut mine = Measured {
                committed: 0,
                failed: 0,
                first_failure: None,
                took: Duration::ZERO,
                latencies: Vec::new(),
            };
            loop {
                let at = next(index);
                let Some(body) = work.bodies.get(at) else { return anyhow::Ok(mine) };
                let due = match rate {
                    Some(rate) => start + Duration::from_secs_f64(at as f64 / rate),
                    None => Instant::now(),
                };
                tokio::time::sleep_until(due.into()).await;
                let answer = connection.post(work.path, body).await.context("posting")?;
                mine.latencies.push(due.elapsed());
                if (work.good)(&answer, work.each) {
                    mine.committed += work.each;
                } else {
                    mine.failed += 1;
                    mine.first_failure.get_or_insert_with(|| {
                        let body = String::from_utf8_lossy(&answer.body);
                        format!("{} {}", answer.status, body.chars().take(300).collect::<String>())
                    });
                }
            }
        }));
    }
    let mut all = Measured {
        committed: 0,
        failed: 0,
        first_failure: None,
        took: Duration::ZERO,
        latencies: Vec::new(),
    };
    for task in tasks {
        let one = task.await??;
        all.committed += one.committed;
        all.failed += one.failed;
        all.first_failure = all.first_failure.or(one.first_failure);
        all.latencies.extend(one.latencies);
    }
    all.took = start.elapsed();
    all.latencies.sort_unstable();
    Ok(all)
}
