//! Load, closed loop (as fast as answers come) and open loop (on a schedule, latency
//! counted from the moment that a request was due).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::task::JoinSet;

use crate::{clock::now, http::Connection, latency::Latencies, verdict, workload::Request};

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// Each connection its next as soon as it has an answer.
    Closed,
    /// So many requests a second, on schedule whatever the answers do.
    Open(f64),
}

/// What was measured.
pub(crate) struct Measured {
    /// Transactions whose commit was answered.
    pub(crate) committed: usize,
    /// Transactions that were refused, as they had to be.
    pub(crate) refused: usize,
    /// Transactions that heard anything else.
    pub(crate) wrong: usize,
    /// Requests that were sent again, because a validator said that it was behind.
    pub(crate) resent: usize,
    /// The first answer that was wrong, for people.
    pub(crate) first_wrong: Option<String>,
    /// From the first byte sent to the last answer.
    pub(crate) took: Duration,
    /// Of each request: from the moment it was due to its answer.
    pub(crate) latencies: Latencies,
    /// Of each request: from the moment it was due to the moment it was sent.
    pub(crate) delays: Latencies,
}

impl Measured {
    /// Committed transactions a second.
    pub(crate) fn rate(&self) -> f64 {
        self.committed as f64 / self.took.as_secs_f64()
    }
}

/// What the connections share.
struct Shared {
    requests: Arc<Vec<Request>>,
    answered: Vec<AtomicBool>,
    next: AtomicUsize,
    pace: Pace,
    start: Instant,
}

/// What one connection saw.
#[derive(Default)]
struct Seen {
    committed: usize,
    refused: usize,
    wrong: usize,
    resent: usize,
    first_wrong: Option<String>,
    latencies: Vec<Duration>,
    delays: Vec<Duration>,
}

/// Until it is asked again whether what a request needs was answered.
const LOOK_AGAIN: Duration = Duration::from_micros(500);

/// A request is sent again so often at most, and so long after its answer; all of it counts as latency.
const RESENT_MAX: usize = 20;
const BEFORE_RESENDING: Duration = Duration::from_millis(50);

/// Sends all requests, in order, over so many connections, which are spread over the addresses.
pub(crate) async fn run(
    addresses: &[String],
    connections: usize,
    requests: Arc<Vec<Request>>,
    pace: Pace,
) -> anyhow::Result<Measured> {
    let mut opened = Vec::new();
    for index in 0..connections.min(requests.len()) {
        opened.push(Connection::open(&addresses[index % addresses.len()]).await?);
    }
    let answered = requests.iter().map(|_| AtomicBool::new(false)).collect();
    let (next, start) = (AtomicUsize::new(0), now());
    let shared = Arc::new(Shared { requests, answered, next, pace, start });
    let mut tasks: JoinSet<_> =
        opened.into_iter().map(|connection| work(connection, Arc::clone(&shared))).collect();
    let mut all = Seen::default();
    // The first that fails ends all: others may wait for an answer that will not come.
    while let Some(seen) = tasks.join_next().await {
        all.add(seen??);
    }
    let took = start.elapsed();
    let Seen { committed, refused, wrong, resent, first_wrong, latencies, delays } = all;
    let (latencies, delays) = (Latencies::of(latencies), Latencies::of(delays));
    Ok(Measured { committed, refused, wrong, resent, first_wrong, took, latencies, delays })
}

async fn work(mut connection: Connection, shared: Arc<Shared>) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    loop {
        let at = shared.next.fetch_add(1, Ordering::Relaxed);
        let Some(request) = shared.requests.get(at) else { return Ok(seen) };
        let due = due(shared.pace, shared.start, at);
        if let Some(due) = due {
            tokio::time::sleep_until(due.into()).await;
        }
        if let Some(after) = request.after {
            while !shared.answered[after].load(Ordering::Acquire) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
        let sent = now();
        let mut answer = connection.send(&request.bytes).await.context("sending a request")?;
        for _ in 0..RESENT_MAX {
            if !verdict::asks_again(&answer) {
                break;
            }
            seen.resent += 1;
            tokio::time::sleep(BEFORE_RESENDING).await;
            answer = connection.send(&request.bytes).await.context("sending a request again")?;
        }
        shared.answered[at].store(true, Ordering::Release);
        let due = due.unwrap_or(sent);
        seen.latencies.push(due.elapsed());
        seen.delays.push(sent.saturating_duration_since(due));
        let heard = verdict::read(&answer, &request.expected);
        seen.committed += heard.committed;
        seen.refused += heard.refused;
        seen.wrong += heard.wrong;
        seen.first_wrong = seen.first_wrong.or(heard.first_wrong);
    }
}

/// When a request is to be sent, if there is a schedule.
fn due(pace: Pace, start: Instant, at: usize) -> Option<Instant> {
    match pace {
        Pace::Closed => None,
        Pace::Open(rate) => Some(start + Duration::from_secs_f64(at as f64 / rate)),
    }
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.committed += other.committed;
        self.refused += other.refused;
        self.wrong += other.wrong;
        self.resent += other.resent;
        self.first_wrong = self.first_wrong.take().or(other.first_wrong);
        self.latencies.extend(other.latencies);
        self.delays.extend(other.delays);
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::{http, workload::Expected};

    #[test]
    fn the_schedule_does_not_depend_on_answers() {
        let start = now();
        #[rustfmt::skip]
        let table = [
            (Pace::Closed,      7, None),
            (Pace::Open(10.0),  0, Some(0)),
            (Pace::Open(10.0),  7, Some(700)),
            (Pace::Open(0.5),   3, Some(6000)),
        ];
        for (pace, at, expected) in table {
            let expected = expected.map(|ms| start + Duration::from_millis(ms));
            assert_eq!(due(pace, start, at), expected, "{pace:?} {at}");
        }
    }

    /// A server that answers each request 50 ms after it came, on one connection at a time.
    async fn slow_server() -> anyhow::Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            let mut request = vec![0; 4096];
            while stream.read(&mut request).await? > 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await?;
            }
            anyhow::Ok(())
        });
        Ok(address)
    }

    #[tokio::test]
    async fn latency_counts_from_the_moment_that_a_request_was_due() -> anyhow::Result<()> {
        let request = || Request {
            bytes: http::post("/", b"{}"),
            expected: vec![Expected::Committed],
            after: None,
        };
        let requests = || Arc::new((0..5).map(|_| request()).collect());
        // One connection answers 20 a second, 100 are due: the fifth waits for the four before it.
        for (pace, least) in [(Pace::Closed, 45.0), (Pace::Open(100.0), 5.0 * 50.0 - 4.0 * 10.0)] {
            let measured = run(&[slow_server().await?], 1, requests(), pace).await?;
            assert_eq!((measured.committed, measured.wrong), (5, 0));
            let last = measured.latencies.at(1.0).context("five")?;
            assert!(last >= least, "{pace:?}: {last}");
            let most = if matches!(pace, Pace::Closed) { 0.0 } else { least - 60.0 };
            assert!(measured.delays.at(1.0).context("five")? >= most, "{pace:?}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_connection_that_ends_ends_all_though_others_wait_for_its_answer()
    -> anyhow::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        // Both connections are taken; both are kept until something comes on the second, which then ends.
        tokio::spawn(async move {
            let (first, _) = listener.accept().await?;
            let (mut second, _) = listener.accept().await?;
            second.read_u8().await?;
            drop(second);
            std::future::pending::<()>().await;
            drop(first);
            anyhow::Ok(())
        });
        let request = |after| Request {
            bytes: http::post("/", b"{}"),
            expected: vec![Expected::Committed],
            after,
        };
        let requests = Arc::new(vec![request(Some(1)), request(None)]);
        let run = run(std::slice::from_ref(&address), 2, requests, Pace::Closed);
        let ended = tokio::time::timeout(Duration::from_secs(30), run).await;
        assert!(ended.context("it waits for ever")?.is_err());
        Ok(())
    }
}
