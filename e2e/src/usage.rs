//! Who used the cores: the validators, the load generator, others on this machine, the host.

use rustix::process::Pid;
use serde::Serialize;

/// Ticks of a processor's time in /proc: Linux shows programs a hundred a second on every machine.
const TICKS_PER_SECOND: f64 = 100.0;

/// What all cores did since the machine started, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SystemUsage {
    busy: u64,
    idle: u64,
    stolen: u64,
}

impl SystemUsage {
    /// Until this moment.
    pub(crate) fn now() -> Self {
        Self::read(&std::fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    /// user nice system idle iowait irq softirq steal ...
    fn read(stat: &str) -> Self {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu ")).unwrap_or_default();
        let ticks: Vec<u64> = line.split_whitespace().map_while(|n| n.parse().ok()).collect();
        let at = |index: usize| ticks.get(index).copied().unwrap_or(0);
        let busy = at(0) + at(1) + at(2) + at(5) + at(6);
        Self { busy, idle: at(3) + at(4), stolen: at(7) }
    }

    /// What happened since then.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            busy: self.busy.saturating_sub(before.busy),
            idle: self.idle.saturating_sub(before.idle),
            stolen: self.stolen.saturating_sub(before.stolen),
        }
    }

    /// What the host says it took.
    pub(crate) fn stolen_share(&self) -> f64 {
        let all = self.busy + self.idle + self.stolen;
        if all == 0 { 0.0 } else { self.stolen as f64 / all as f64 }
    }
}

/// Processor time so far.
pub(crate) struct Usage {
    system: SystemUsage,
    validators: u64,
    own: u64,
}

/// Where the cores' time went in a window.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shares {
    /// Seconds of a core that all validators used together.
    pub(crate) validators_s: f64,
    /// Seconds of a core that the load generator and the probe used.
    pub(crate) generator_s: f64,
    /// The share of all cores' time that other programs of this machine used.
    pub(crate) others: f64,
    /// The share that nobody used.
    pub(crate) idle: f64,
}

impl Usage {
    /// Until this moment.
    pub(crate) fn now(validators: &[Pid]) -> Self {
        let of = |pid: &Pid| ticks_of(&format!("/proc/{}/stat", pid.as_raw_nonzero()));
        let validators = validators.iter().map(of).sum();
        Self { system: SystemUsage::now(), validators, own: ticks_of("/proc/self/stat") }
    }

    /// What happened since then.
    pub(crate) fn since(&self, before: &Self) -> Shares {
        let system = self.system.since(&before.system);
        let validators = self.validators.saturating_sub(before.validators);
        let own = self.own.saturating_sub(before.own);
        let all = ((system.busy + system.idle + system.stolen) as f64).max(1.0);
        Shares {
            validators_s: validators as f64 / TICKS_PER_SECOND,
            generator_s: own as f64 / TICKS_PER_SECOND,
            others: system.busy.saturating_sub(validators + own) as f64 / all,
            idle: system.idle as f64 / all,
        }
    }
}

fn ticks_of(path: &str) -> u64 {
    process_ticks(&std::fs::read_to_string(path).unwrap_or_default()).unwrap_or(0)
}

/// Fields 14 and 15, user and system. The name, in parentheses, may hold anything.
fn process_ticks(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

/// Resident memory of a process, in MiB.
pub(crate) fn resident_mib(process: Pid) -> Option<f64> {
    let path = format!("/proc/{}/status", process.as_raw_nonzero());
    let status = std::fs::read_to_string(path).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_read() {
        let before = SystemUsage::read("cpu  10 1 5 100 4 0 2 3 0 0\ncpu0 1 1 1 1\n");
        assert_eq!(before, SystemUsage { busy: 18, idle: 104, stolen: 3 });
        let after = SystemUsage::read("cpu  60 1 5 140 4 0 2 13 0 0\n");
        assert_eq!(after.since(&before).stolen_share(), 0.1);
        assert_eq!(SystemUsage::read(""), SystemUsage::default());
        assert_eq!(before.since(&before).stolen_share(), 0.0, "no time has passed");
    }

    #[test]
    fn a_process_may_be_called_anything() {
        #[rustfmt::skip]
        let table = [
            ("7 (cairn) S 1 2 3 4 5 6 7 8 9 10 40 2 0 0 20", Some(42)),
            ("7 (a) b) S 1 2 3 4 5 6 7 8 9 10 40 2 0 0 20",  Some(42)),
            ("7 (cairn) S 1 2",                              None),
            ("",                                             None),
        ];
        for (stat, expected) in table {
            assert_eq!(process_ticks(stat), expected, "{stat}");
        }
    }
}
