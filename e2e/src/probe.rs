//! What the host takes away: a probe on each core that notices when the core stood still.
//!
//! A probe that spins would be pushed aside by the very load that is measured, and would call
//! that stolen. These sleep, wake a thousand times a second, and run before everything else
//! (SCHED_FIFO): when one wakes later than it usually does, no thread of this machine can have been
//! the reason, and the time counts as stolen. In between each runs a small fixed piece of work, and
//! counts what that took longer than usual: time taken within it, and cores made slower by
//! neighbours. It sees steals of more than a millisecond whole, shorter ones in part; it does not
//! see slower memory or disks. What the kernel does with preemption off looks like a steal as well.
//!
//! Without permission to run first, late wakes say nothing, and no window is judged by them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use rustix::thread::{CpuSet, gettid, sched_setaffinity};
use serde::Serialize;

use crate::{clock::now, latency::median, usage::SystemUsage};

/// Between two wakes.
const PERIOD: Duration = Duration::from_millis(1);

/// Later than usual by less than this is no gap.
const GAP: Duration = Duration::from_micros(30);

/// A window of which more than this share was stolen is measured again.
pub(crate) const STOLEN_MAX: f64 = 0.03;

/// Steps of the fixed piece of work: some microseconds.
const WORK_STEPS: u64 = 4000;

/// One wake.
#[derive(Clone, Copy, Debug)]
struct Wake {
    /// From the moment it should have woken.
    late: Duration,
    /// What the piece of work took.
    worked: Duration,
}

/// What was seen during a window.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Stolen {
    /// Whether the probe ran before everything else; only then `share` means anything.
    pub(crate) first: bool,
    /// The share of the time that a core stood still, of the core that did most.
    pub(crate) share: f64,
    /// The longest gap, in milliseconds.
    pub(crate) longest_ms: f64,
    /// Gaps, on all cores.
    pub(crate) gaps: usize,
    /// How long the fixed piece of work usually took, in microseconds, on the slowest core.
    pub(crate) work_us: f64,
    /// What the host itself says that it took (`steal` of /proc/stat), as a share of all cores.
    pub(crate) said_by_host: f64,
}

impl Stolen {
    /// Whether the window cannot be believed.
    pub(crate) fn is_too_much(&self) -> bool {
        (self.first && self.share > STOLEN_MAX) || self.said_by_host > STOLEN_MAX
    }
}

/// Probes that run, one on each core.
pub(crate) struct Probe {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Core>>,
    before: SystemUsage,
}

/// What one core saw.
struct Core {
    first: bool,
    wakes: Vec<Wake>,
}

impl Probe {
    /// Starts one on each core.
    pub(crate) fn start() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..cores)
            .map(|core| {
                let stop = Arc::clone(&stop);
                std::thread::spawn(move || watch(core, &stop))
            })
            .collect();
        Self { stop, threads, before: SystemUsage::now() }
    }

    /// Ends them, and says what they saw.
    pub(crate) fn end(self) -> Stolen {
        let said_by_host = SystemUsage::now().since(&self.before).stolen_share();
        self.stop.store(true, Ordering::Relaxed);
        let cores = self.threads.into_iter().map(|thread| thread.join());
        let cores: Vec<Core> = cores.map(|core| core.expect("probes do not panic")).collect();
        sum(&cores, said_by_host)
    }
}

fn watch(core: usize, stop: &AtomicBool) -> Core {
    let mut here = CpuSet::new();
    here.set(core);
    let first = sched_setaffinity(None, &here).is_ok() && run_first();
    let mut wakes = Vec::with_capacity(64 * 1024);
    let mut due = now();
    while !stop.load(Ordering::Relaxed) {
        // Where it is late, what was missed is in that wake: the next is due from here.
        due = (due + PERIOD).max(now());
        std::thread::sleep(due.saturating_duration_since(now()));
        let woke = now();
        work();
        wakes.push(Wake { late: woke.saturating_duration_since(due), worked: woke.elapsed() });
    }
    Core { first, wakes }
}

/// Asks for this thread to run before all others; whether that was granted.
fn run_first() -> bool {
    let thread = gettid().as_raw_nonzero().to_string();
    let asked = std::process::Command::new("chrt")
        .args(["--fifo", "--pid", "1", &thread])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status();
    asked.is_ok_and(|status| status.success())
}

/// The fixed piece of work: each step needs the one before it.
fn work() {
    let mut state = std::hint::black_box(88_172_645_463_325_252_u64);
    for _ in 0..WORK_STEPS {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    std::hint::black_box(state);
}

fn sum(cores: &[Core], said_by_host: f64) -> Stolen {
    let seen: Vec<Gaps> = cores.iter().map(|core| gaps(&core.wakes)).collect();
    let most = |of: fn(&Gaps) -> f64| seen.iter().map(of).fold(0.0, f64::max);
    Stolen {
        first: !cores.is_empty() && cores.iter().all(|core| core.first),
        share: most(|gaps| gaps.share),
        longest_ms: most(|gaps| gaps.longest.as_secs_f64() * 1e3),
        gaps: seen.iter().map(|gaps| gaps.count).sum(),
        work_us: most(|gaps| gaps.work.as_secs_f64() * 1e6),
        said_by_host,
    }
}

/// What the wakes of one core amount to.
struct Gaps {
    share: f64,
    longest: Duration,
    count: usize,
    work: Duration,
}

fn gaps(wakes: &[Wake]) -> Gaps {
    let usual = |of: fn(&Wake) -> Duration| {
        let all: Vec<f64> = wakes.iter().map(|wake| of(wake).as_secs_f64()).collect();
        Duration::from_secs_f64(median(&all).unwrap_or(0.0))
    };
    let (late, work) = (usual(|wake| wake.late), usual(|wake| wake.worked));
    let mut seen = Gaps { share: 0.0, longest: Duration::ZERO, count: 0, work };
    let (mut stolen, mut watched) = (Duration::ZERO, Duration::ZERO);
    for wake in wakes {
        watched += PERIOD + wake.late.saturating_sub(late);
        for (took, usual) in [(wake.late, late), (wake.worked, work)] {
            let gap = took.saturating_sub(usual);
            if gap > GAP {
                stolen += gap;
                seen.count += 1;
                seen.longest = seen.longest.max(gap);
            }
        }
    }
    if !watched.is_zero() {
        seen.share = stolen.as_secs_f64() / watched.as_secs_f64();
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    #[test]
    fn a_gap_is_what_is_longer_than_usual_by_thirty_microseconds() {
        #[rustfmt::skip]
        let table = [ // usual lateness, usual work, then one wake: late, worked; gaps, stolen share of 100 ms
            (50,  5,    50,    5, 0, 0.0,   "nothing happened"),
            (50,  5,    79,    5, 0, 0.0,   "less than a gap"),
            (50,  5,    90,    5, 1, 0.0004, "woken late"),
            (50,  5,    50,  105, 1, 0.001, "held while it worked"),
            (50,  5, 10_050,   5, 1, 0.091, "ten milliseconds, seen whole"),
            (500, 5,   520,    5, 0, 0.0,   "slow timers are not stolen time"),
        ];
        for (late, worked, once_late, once_worked, count, share, why) in table {
            let usual = Wake { late: micros(late), worked: micros(worked) };
            let mut wakes = vec![usual; 99];
            wakes.push(Wake { late: micros(once_late), worked: micros(once_worked) });
            let seen = gaps(&wakes);
            assert_eq!(seen.count, count, "{why}");
            assert!((seen.share - share).abs() < 0.0005, "{why}: {}", seen.share);
        }
        assert_eq!(gaps(&[]).count, 0, "a window that was too short for a wake");
    }

    #[test]
    fn windows_are_discarded_for_what_was_surely_stolen() {
        #[rustfmt::skip]
        let table = [ // ran first, share, said by the host
            (true,  0.0,   0.0,  false, "quiet"),
            (true,  0.03,  0.0,  false, "as much as is borne"),
            (true,  0.031, 0.0,  true,  "more"),
            (false, 0.5,   0.0,  false, "it was pushed aside by the load: that says nothing"),
            (false, 0.0,   0.04, true,  "the host says so itself"),
        ];
        for (first, share, said_by_host, again, why) in table {
            let (longest_ms, gaps, work_us) = (0.0, 0, 0.0);
            let stolen = Stolen { first, share, longest_ms, gaps, work_us, said_by_host };
            assert_eq!(stolen.is_too_much(), again, "{why}");
        }
    }

    #[test]
    fn it_runs_and_ends() {
        let probe = Probe::start();
        std::thread::sleep(Duration::from_millis(50));
        let stolen = probe.end();
        assert!((0.0..=1.0).contains(&stolen.share), "{stolen:?}");
    }
}
