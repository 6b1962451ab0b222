//! What a whole run shares: the plan, the time that is left, where federations live; and the story of
//! one federation from its start to its check.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Instant,
};

use serde::Serialize;

use crate::{
    check::{self, Checked, Sample},
    clock::now,
    faults::{self, Faulted},
    federation::{Federation, Kinds},
    flags::Plan,
    machine,
    progress::say,
    window::{self, Offered, Task, Window},
    workload::Workload,
};

/// A workload, and transactions in a request.
pub(crate) type Row = (Workload, usize);

/// A run of the benchmark.
pub(crate) struct Suite {
    /// What is measured.
    pub(crate) plan: Plan,
    /// What there was no time for.
    pub(crate) left_out: Vec<String>,
    root: PathBuf,
    base_port: u16,
    until: Instant,
    /// How many transactions a second there were about, of each row: how much is enough for a window.
    known: BTreeMap<Row, f64>,
    /// Requests a second that the first closed loop of each row reached: shares are shares of this, so
    /// that two programs are offered the same.
    most: BTreeMap<Row, f64>,
    federations: usize,
}

/// What was measured of one federation.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    /// What the program says that it is.
    pub(crate) program: String,
    /// Validators.
    pub(crate) validators: u16,
    /// Resident memory of each validator, idle, in MiB.
    pub(crate) idle_mib: Vec<f64>,
    /// The same after the load.
    pub(crate) loaded_mib: Vec<f64>,
    /// Windows.
    pub(crate) windows: Vec<Window>,
    /// Windows during which something fell.
    pub(crate) faulted: Vec<Faulted>,
    /// What the independent checker found.
    pub(crate) checked: Checked,
}

/// Transactions of the first, short window of a row, which says how many are enough.
const FIRST: usize = 3000;
const FIRST_SINGLES: usize = 1500;
const FIRST_SEQUENTIAL: usize = 20;

/// A window has so many requests at least: fewer say nothing about a percentile.
const REQUESTS_MIN: f64 = 20.0;

/// A window has so many transactions at most: they are in memory, twice.
const TRANSACTIONS_MAX: f64 = 600_000.0;

impl Suite {
    /// One that keeps its federations below a directory.
    pub(crate) fn new(plan: Plan, root: PathBuf, base_port: u16) -> Self {
        let until = now() + plan.time;
        let (left_out, known, most) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        Self { plan, left_out, root, base_port, until, known, most, federations: 0 }
    }

    /// Whether there is time for one more; what there is no time for is noted.
    pub(crate) fn has_time(&mut self, what: &str) -> bool {
        let has = now() < self.until;
        if !has {
            self.left_out.push(what.to_owned());
        }
        has
    }

    /// A federation in a directory of its own.
    pub(crate) async fn start(
        &mut self,
        cairn: &Path,
        kinds: &Kinds,
    ) -> anyhow::Result<Federation> {
        self.federations += 1;
        let home = self.root.join(format!("federation-{}", self.federations));
        say(&format!("starting {} validators ...", kinds.validators));
        Federation::start(cairn, &home, self.base_port, kinds).await
    }

    /// Measures all rows of one program, and checks what it left behind.
    pub(crate) async fn run(&mut self, cairn: &Path, rows: &[Row]) -> anyhow::Result<Run> {
        let kinds = self.plan.kinds.clone();
        let federation = self.start(cairn, &kinds).await?;
        let (home, _) = federation.home();
        let idle_mib = federation.resident_mib();
        let (mut windows, mut sample) = (Vec::new(), Sample::default());
        for row in rows {
            if self.has_time(&format!("{} with {} a request", row.0, row.1)) {
                windows.extend(self.row(&federation, *row, &mut sample).await?);
            }
        }
        let loaded_mib = federation.resident_mib();
        let (federation, faulted) = match self.plan.faults && self.has_time("faults") {
            true => faults::measure(self, federation, &mut sample).await?,
            false => (federation, Vec::new()),
        };
        let checked = check::check(federation, &kinds, &sample).await?;
        std::fs::remove_dir_all(home)?;
        let program = machine::said(&cairn.to_string_lossy(), &["--version"]);
        let validators = kinds.validators;
        Ok(Run { program, validators, idle_mib, loaded_mib, windows, faulted, checked })
    }

    /// A closed loop, and shares of what it reached.
    async fn row(
        &mut self,
        federation: &Federation,
        row: Row,
        sample: &mut Sample,
    ) -> anyhow::Result<Vec<Window>> {
        let closed = self.closed(federation, row, sample).await?;
        let most = *self.most.entry(row).or_insert(closed.rate / row.1 as f64);
        let mut windows = vec![closed];
        let loads = if self.plan.has_loads(row) { self.plan.loads.clone() } else { Vec::new() };
        for share in loads {
            if self.has_time(&format!("{} at {:.0} % load", row.0, share * 100.0)) {
                windows.push(self.open(federation, row, (share, most), sample).await?);
            }
        }
        Ok(windows)
    }

    /// A closed loop.
    pub(crate) async fn closed(
        &mut self,
        federation: &Federation,
        row: Row,
        sample: &mut Sample,
    ) -> anyhow::Result<Window> {
        if self.plan.first_look_only {
            let window = self.first_look(federation, row, sample).await?;
            self.known.insert(row, window.rate);
            return Ok(window);
        }
        let rate = self.about(federation, row, sample).await?;
        window::measure(federation, self.task(row, rate, Offered::Most), sample).await
    }

    /// A share of so many requests a second.
    pub(crate) async fn open(
        &self,
        federation: &Federation,
        row: Row,
        (share, most): (f64, f64),
        sample: &mut Sample,
    ) -> anyhow::Result<Window> {
        let rate = share * most * row.1 as f64;
        window::measure(federation, self.task(row, rate, Offered::Share(share, most)), sample).await
    }

    /// About how many transactions of a row there are in a second.
    pub(crate) async fn about(
        &mut self,
        federation: &Federation,
        row: Row,
        sample: &mut Sample,
    ) -> anyhow::Result<f64> {
        if let Some(rate) = self.known.get(&row) {
            return Ok(*rate);
        }
        let rate = self.first_look(federation, row, sample).await?.rate;
        self.known.insert(row, rate);
        Ok(rate)
    }

    /// A first, short window, which warms up as well.
    pub(crate) async fn first_look(
        &self,
        federation: &Federation,
        row: Row,
        sample: &mut Sample,
    ) -> anyhow::Result<Window> {
        let transactions = match row {
            (workload, _) if workload.is_sequential() => FIRST_SEQUENTIAL,
            (_, 1) => FIRST_SINGLES,
            _ => FIRST,
        };
        let task = self.task(row, 0.0, Offered::Most);
        let size = self.plan.size(transactions.next_multiple_of(row.1), row.1);
        say(&format!("{} with {} a request: a first look ...", row.0, row.1));
        window::measure(federation, Task { size, again: 0, ..task }, sample).await
    }

    /// A window at about so many transactions a second.
    pub(crate) fn task(&self, (workload, per_request): Row, rate: f64, offered: Offered) -> Task {
        let transactions = enough(rate, self.plan.seconds, per_request);
        Task {
            workload,
            size: self.plan.size(transactions, per_request),
            connections: self.plan.connections(workload, per_request),
            offered,
            again: self.plan.again,
        }
    }
}

/// How many transactions are enough for so many seconds at that rate: whole requests.
fn enough(rate: f64, seconds: f64, per_request: usize) -> usize {
    let requests = rate * seconds / per_request as f64;
    let most = (TRANSACTIONS_MAX / per_request as f64).max(REQUESTS_MIN);
    requests.clamp(REQUESTS_MIN, most).ceil() as usize * per_request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_neither_too_short_nor_too_long() {
        #[rustfmt::skip]
        let table = [ // a second, seconds, in a request; transactions
            (10_000.0, 5.0, 100,  50_000, "as long as wanted"),
            (    40.0, 5.0,   1,     200, "slow"),
            (     0.0, 5.0, 100,   2_000, "too slow: some requests"),
            ( 1_111.0, 1.0, 100,   2_000, "whole requests"),
            (     1e9, 9.0, 100, 600_000, "too fast: what fits"),
        ];
        for (rate, seconds, per_request, expected, why) in table {
            assert_eq!(enough(rate, seconds, per_request), expected, "{why}");
        }
    }
}
