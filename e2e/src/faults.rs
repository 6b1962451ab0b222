//! Latency while something falls: with one validator killed, and while the leader of the log changes.
//! Half of what the closed loop reached is offered, on schedule, to the validators that stay.

use std::{sync::Arc, time::Duration};

use anyhow::bail;
use serde::Serialize;

use crate::{
    check::Sample,
    federation::Federation,
    http::Connection,
    latency::Percentiles,
    load::{self, Measured, Pace},
    progress::say,
    suite::{Row, Suite},
    window::Offered,
    workload::{self, Workload},
};

/// What was measured while something fell.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Faulted {
    /// What fell.
    pub(crate) what: &'static str,
    /// Requests a second that were offered.
    pub(crate) offered: f64,
    /// Committed transactions.
    pub(crate) committed: usize,
    /// Requests that had no decision in time, or heard that there is none: to be asked again.
    pub(crate) undecided: usize,
    /// From due to answered, of each request.
    pub(crate) latency: Percentiles,
}

/// Independent of each other: one that has no answer spoils none after it.
const ROW: Row = (Workload::Creates, 1);

/// The share of the closed loop's rate that is offered.
const LOAD: f64 = 0.5;

/// Requests are under way for so long before the leader falls.
const BEFORE: Duration = Duration::from_millis(500);

/// Measures both; afterwards all validators run again.
pub(crate) async fn measure(
    suite: &mut Suite,
    federation: Federation,
    sample: &mut Sample,
) -> anyhow::Result<(Federation, Vec<Faulted>)> {
    let validators = suite.plan.kinds.validators;
    // Of fewer, the others are no quorum.
    if validators < 4 {
        return Ok((federation, Vec::new()));
    }
    let rate = suite.about(&federation, ROW, sample).await? * LOAD;
    let leader = leader(&federation).await?;
    let bystander = (leader + 1) % validators;

    say("latency with one validator killed ...");
    federation.kill_one(bystander)?;
    let one = offer(suite, &federation, bystander, rate, sample, None).await?;
    let federation = federation.restarted(&suite.plan.kinds).await?;
    let leader = self::leader(&federation).await?;

    say("latency while the leader of the log changes ...");
    let change = offer(suite, &federation, leader, rate, sample, Some(leader)).await?;
    let federation = federation.restarted(&suite.plan.kinds).await?;
    let told = |what, seen: &Measured| Faulted {
        what,
        offered: rate,
        committed: seen.committed,
        undecided: seen.wrong,
        latency: seen.latencies.percentiles(),
    };
    let faulted =
        vec![told("one validator killed", &one), told("leader of the log killed", &change)];
    for Faulted { what, committed, undecided, latency, .. } in &faulted {
        say(&format!(
            "  {what}: {committed} committed, {undecided} undecided, p50 {:.1} ms, p99 {:.1} ms, at most {:.0} ms",
            latency.p50_ms, latency.p99_ms, latency.most_ms
        ));
    }
    Ok((federation, faulted))
}

/// Sends to all but one validator; kills one of them on the way, where that is asked for.
async fn offer(
    suite: &Suite,
    federation: &Federation,
    without: u16,
    rate: f64,
    sample: &mut Sample,
    kill: Option<u16>,
) -> anyhow::Result<Measured> {
    let task = suite.task(ROW, rate, Offered::Most);
    let script = workload::script(task.workload, task.size);
    let mut addresses = federation.addresses();
    addresses.remove(usize::from(without));
    let requests = Arc::new(script.measured);
    let sending = load::run(&addresses, task.connections, requests, Pace::Open(rate));
    let killing = async {
        if let Some(validator) = kill {
            tokio::time::sleep(BEFORE).await;
            federation.kill_one(validator)?;
        }
        anyhow::Ok(())
    };
    let (seen, killed) = tokio::join!(sending, killing);
    killed?;
    let seen = seen?;
    sample.answered += seen.committed;
    sample.undecided += seen.wrong;
    if seen.wrong == 0 {
        sample.committed.extend(script.committed);
    }
    Ok(seen)
}

/// How often somebody is asked who leads, with so long between: after a restart, nobody does at first.
const LOOKS_MAX: usize = 100;
const LOOK: Duration = Duration::from_millis(100);

/// The number of the validator that leads the log.
async fn leader(federation: &Federation) -> anyhow::Result<u16> {
    for _ in 0..LOOKS_MAX {
        for (number, address) in (0..).zip(federation.admin_addresses()) {
            let answer = Connection::open(&address).await?.get("/metrics").await?;
            if leads(&String::from_utf8_lossy(&answer.body)) {
                return Ok(number);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    bail!("no validator leads the log")
}

fn leads(metrics: &str) -> bool {
    let value = metrics.lines().find_map(|line| line.strip_prefix("cairn_order_leader "));
    value.is_some_and(|value| value.trim() == "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leads_says_so() {
        #[rustfmt::skip]
        let table = [
            ("# TYPE cairn_order_leader gauge\ncairn_order_leader 1\n", true),
            ("cairn_order_leader 0\ncairn_order_leader_changes_total 1\n", false),
            ("", false),
        ];
        for (metrics, expected) in table {
            assert_eq!(leads(metrics), expected, "{metrics}");
        }
    }
}
