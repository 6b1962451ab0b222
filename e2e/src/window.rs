//! One window: a workload, sent at a pace, with everything that says whether to believe it.

use std::{sync::Arc, time::Duration};

use anyhow::bail;
use rustix::process::Pid;
use serde::Serialize;

use crate::{
    check::Sample,
    federation::Federation,
    latency::Percentiles,
    load::{self, Measured, Pace},
    probe::{Probe, Stolen},
    progress::say,
    usage::{Shares, Usage},
    workload::{self, Script, Size, Workload},
    yardstick,
};

/// What is to be measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task {
    /// Which transactions.
    pub(crate) workload: Workload,
    /// How many, how large.
    pub(crate) size: Size,
    /// Over how many connections.
    pub(crate) connections: usize,
    /// How fast.
    pub(crate) offered: Offered,
    /// How often a window that cannot be believed is measured again.
    pub(crate) again: usize,
}

/// How fast requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Offered {
    /// As fast as answers come.
    Most,
    /// A share of the most, which was so many requests a second.
    Share(f64, f64),
}

/// A window that was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Window {
    /// W1 to W6.
    pub(crate) workload: String,
    /// What that is.
    pub(crate) what: &'static str,
    /// Transactions in a request.
    pub(crate) per_request: usize,
    /// Connections.
    pub(crate) connections: usize,
    /// The share of the closed loop's rate; nothing for the closed loop.
    pub(crate) offered: Option<f64>,
    /// Committed transactions.
    pub(crate) committed: usize,
    /// Transactions that were refused, as they had to be.
    pub(crate) refused: usize,
    /// Requests that were sent again, because a validator said that it was behind.
    pub(crate) resent: usize,
    /// Committed transactions a second.
    pub(crate) rate: f64,
    /// From due to answered, of each request.
    pub(crate) latency: Percentiles,
    /// From due to sent, at the 99th percentile, in milliseconds: how late the generator was itself.
    pub(crate) late_p99_ms: f64,
    /// How long it took.
    pub(crate) seconds: f64,
    /// committed × validators × signatures ÷ the yardstick.
    pub(crate) r1: f64,
    /// The yardstick just before and just after, in signatures a second.
    pub(crate) yardstick: (f64, f64),
    /// What the host took away.
    pub(crate) stolen: Stolen,
    /// Where the cores' time went.
    pub(crate) shares: Shares,
    /// Microseconds of a core per committed transaction, of all validators together.
    pub(crate) validators_us: f64,
    /// The same of the load generator.
    pub(crate) generator_us: f64,
    /// What the validators used after the last answer, until they had nothing more to do: indexes and
    /// snapshots follow behind.
    pub(crate) behind_us: f64,
    /// Windows before this one that were thrown away.
    pub(crate) discarded: usize,
    /// Why this one cannot be believed either: it was kept since no better one came.
    pub(crate) disturbed: Vec<&'static str>,
}

impl Window {
    /// How much was taken from it, for comparison with others.
    fn disturbance(&self) -> f64 {
        self.stolen.share + self.shares.others
    }

    /// What it is, in a few words.
    pub(crate) fn name(&self) -> String {
        let pace = self
            .offered
            .map_or("closed loop".to_owned(), |share| format!("{:.0} % load", share * 100.0));
        format!("{} {} a request, {pace}", self.workload, self.per_request)
    }
}

/// Other programs of this machine may use this share of the cores. What the kernel does for the
/// validators, writing back what they wrote, is among it.
const OTHERS_MAX: f64 = 0.1;

/// The yardstick may change by this share from before a window to after it.
const YARDSTICK_DRIFT_MAX: f64 = 0.15;

/// Connections that make what is spent later.
const PREPARING: usize = 16;

/// Measures; again, where the machine was disturbed. What was sent is in the sample.
pub(crate) async fn measure(
    federation: &Federation,
    task: Task,
    sample: &mut Sample,
) -> anyhow::Result<Window> {
    let mut best: Option<Window> = None;
    for discarded in 0..=task.again {
        let mut window = once(federation, task, sample).await?;
        window.discarded = discarded;
        say(&format!("  {}", line(&window)));
        if window.disturbed.is_empty() {
            return Ok(window);
        }
        if best.as_ref().is_none_or(|best| window.disturbance() < best.disturbance()) {
            best = Some(window);
        }
    }
    match best {
        Some(best) => Ok(Window { discarded: task.again, ..best }),
        None => bail!("no window was measured"),
    }
}

async fn once(federation: &Federation, task: Task, sample: &mut Sample) -> anyhow::Result<Window> {
    let Script { prepare, measured, committed, refused } =
        workload::script(task.workload, task.size);
    let addresses = federation.addresses();
    sample.answered +=
        prepared(load::run(&addresses, PREPARING, Arc::new(prepare), Pace::Closed).await?)?;

    let pace = match task.offered {
        Offered::Most => Pace::Closed,
        Offered::Share(share, most) => Pace::Open(share * most),
    };
    let processes = federation.processes();
    settled(&processes).await;
    let before = yardstick::signatures_per_second();
    let (probe, usage) = (Probe::start(), Usage::now(&processes));
    let seen = load::run(&addresses, task.connections, Arc::new(measured), pace).await?;
    let shares = Usage::now(&processes).since(&usage);
    let stolen = probe.end();
    let behind_s = settled(&processes).await;
    let after = yardstick::signatures_per_second();
    if seen.wrong > 0 {
        let first = seen.first_wrong.unwrap_or_default();
        bail!(
            "{} transactions of {} heard what they should not, first: {first}",
            seen.wrong,
            task.workload
        );
    }
    sample.answered += seen.committed;
    sample.committed.extend(committed);
    sample.refused.extend(refused);
    let validators = processes.len();
    let window = window(task, &seen, validators, (before, after), stolen, shares);
    Ok(Window { behind_us: each(behind_s, &seen), ..window })
}

/// Microseconds of a core per committed transaction.
fn each(seconds: f64, seen: &Measured) -> f64 {
    seconds * 1e6 / seen.committed.max(1) as f64
}

/// Validators that use less of a core than this have nothing to do.
const IDLE: f64 = 0.1;

/// How long that is watched, and how often at most.
const LOOK: Duration = Duration::from_millis(200);
const LOOKS_MAX: usize = 50;

/// Waits until the validators have nothing more to do; the seconds of a core that they used
/// until then. What they still do would make the yardstick shorter.
async fn settled(validators: &[Pid]) -> f64 {
    let start = Usage::now(validators);
    let mut before = Usage::now(validators);
    for _ in 0..LOOKS_MAX {
        tokio::time::sleep(LOOK).await;
        let now = Usage::now(validators);
        if now.since(&before).validators_s < IDLE * LOOK.as_secs_f64() {
            break;
        }
        before = now;
    }
    Usage::now(validators).since(&start).validators_s
}

fn prepared(made: Measured) -> anyhow::Result<usize> {
    match made.first_wrong {
        Some(wrong) => bail!("what is spent later could not be made: {wrong}"),
        None => Ok(made.committed),
    }
}

fn window(
    task: Task,
    seen: &Measured,
    validators: usize,
    yardstick: (f64, f64),
    stolen: Stolen,
    shares: Shares,
) -> Window {
    let Task { workload, size, connections, offered, again: _ } = task;
    let (before, after) = yardstick;
    let checks = seen.rate() * (validators * workload.signatures()) as f64;
    Window {
        workload: workload.to_string(),
        what: workload.what(),
        per_request: size.per_request,
        connections,
        offered: match offered {
            Offered::Most => None,
            Offered::Share(share, _) => Some(share),
        },
        committed: seen.committed,
        refused: seen.refused,
        resent: seen.resent,
        rate: seen.rate(),
        latency: seen.latencies.percentiles(),
        late_p99_ms: seen.delays.at(0.99).unwrap_or(0.0),
        seconds: seen.took.as_secs_f64(),
        r1: checks / f64::midpoint(before, after),
        yardstick,
        disturbed: disturbed(&stolen, &shares, yardstick),
        stolen,
        validators_us: each(shares.validators_s, seen),
        generator_us: each(shares.generator_s, seen),
        behind_us: 0.0,
        shares,
        discarded: 0,
    }
}

/// Why a window cannot be believed, if it cannot.
fn disturbed(stolen: &Stolen, shares: &Shares, yardstick: (f64, f64)) -> Vec<&'static str> {
    let (before, after) = yardstick;
    let drift = (before - after).abs() / before.max(after);
    let reasons = [
        (stolen.is_too_much(), "time was stolen"),
        (shares.others > OTHERS_MAX, "other programs were busy"),
        (drift > YARDSTICK_DRIFT_MAX, "the cores became faster or slower"),
    ];
    reasons.into_iter().filter(|(holds, _)| *holds).map(|(_, reason)| reason).collect()
}

fn line(window: &Window) -> String {
    let Window { rate, latency, r1, stolen, shares, .. } = window;
    format!(
        "{}: {rate:.0} /s, p50 {:.1} ms, p99 {:.1} ms, R1 {r1:.2}; stolen {:.1} %, others {:.1} %{}",
        window.name(),
        latency.p50_ms,
        latency.p99_ms,
        stolen.share * 100.0,
        shares.others * 100.0,
        window.disturbed.iter().map(|reason| format!("; {reason}")).collect::<String>(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_believed_when_nothing_disturbed_it() {
        let (taken, busy, faster) =
            ("time was stolen", "other programs were busy", "the cores became faster or slower");
        #[rustfmt::skip]
        let table = [ // stolen, used by others, yardsticks
            (0.01, 0.02, (100.0, 100.0), vec![],                    "quiet"),
            (0.01, 0.02, (100.0,  86.0), vec![],                    "a little slower"),
            (0.01, 0.02, (100.0,  84.0), vec![faster],              "slower"),
            (0.01, 0.02, ( 84.0, 100.0), vec![faster],              "faster"),
            (0.04, 0.02, (100.0, 100.0), vec![taken],               "stolen"),
            (0.01, 0.11, (100.0, 100.0), vec![busy],                "a compiler beside it"),
            (0.04, 0.11, (100.0,  50.0), vec![taken, busy, faster], "everything"),
        ];
        for (share, others, yardstick, expected, why) in table {
            let (longest_ms, gaps, work_us, said_by_host) = (0.0, 0, 0.0, 0.0);
            let stolen = Stolen { first: true, share, longest_ms, gaps, work_us, said_by_host };
            let shares = Shares { validators_s: 1.0, generator_s: 0.1, others, idle: 0.0 };
            assert_eq!(disturbed(&stolen, &shares, yardstick), expected, "{why}");
        }
    }
}
