//! What the benchmark is asked for: flags, as people type them, and the plan that they amount to.

use std::{path::PathBuf, time::Duration};

use cairn_ledger::limits::VALIDATORS_MAX;
use clap::{Parser, ValueEnum};

use crate::{
    federation::Kinds,
    workload::{Size, Workload},
};

const EXAMPLES: &str = "\
Workloads:
  W1  CREATEs                    W4  W3 with 1 % spent twice and 1 % badly signed
  W2  half CREATE, half TRANSFER W5  TRANSFERs of four inputs, four signatures
  W3  TRANSFERs                  W6  one asset that moves on and on

Examples:
  cairn-bench                                     W1 and W3, 1 and 100 a request, some minutes
  cairn-bench --smoke                             everything, tiny: two minutes at most
  cairn-bench --full --report docs/bench          everything: half an hour at most; raw data and plots
  cairn-bench --workload W3,W5 --per-request 100 --loads '' --live-outputs 1000000
  cairn-bench --cairn ./new --against ./old --rounds 5 --workload W3 --per-request 100
  cairn-bench --grow validators,payload --workload ''
  cairn-bench --output json | jq '.windows[] | [.workload, .per_request, .rate, .latency.p99_ms]'

What it says: a transaction counts when its answer says committed; latency runs from the moment a
request was due; a window in which more than 3 % of a core's time was stolen by the host, or in
which the cores became faster or slower, is measured again. Ratios travel, absolute figures do not.

Exit status: 0 all was measured and every check passed; 1 something failed; 2 the flags are wrong;
130 interrupted (validators and data are removed).";

/// Measures federations of real validators on this machine.
#[derive(Parser, Clone, Debug)]
#[command(name = "cairn-bench", version, after_help = EXAMPLES)]
pub(crate) struct Flags {
    /// The cairn program to measure.
    #[arg(long, default_value = "target/release/cairn", value_name = "PROGRAM")]
    pub(crate) cairn: PathBuf,
    /// A program to compare it with: the two take turns, and the ratio is what counts.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) against: Option<PathBuf>,
    /// How often each takes its turn.
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// Everything, tiny, in two minutes at most: to see that it works.
    #[arg(long, conflicts_with = "full")]
    pub(crate) smoke: bool,
    /// All workloads, growth curves and peers, in half an hour at most.
    #[arg(long)]
    pub(crate) full: bool,
    /// Which workloads, with commas between [default: W1,W3; all with --smoke or --full].
    #[arg(long, value_name = "W1,...")]
    workload: Option<String>,
    /// Transactions in a request, with commas between [default: 1,100; 1,10,100 with --full].
    #[arg(long, value_name = "N,...")]
    per_request: Option<String>,
    /// Shares of the closed loop's rate, in percent, at which latency is measured, with one
    /// transaction in each request (or as few as there are) [default: 25,50,80; 50 with --against].
    #[arg(long, value_name = "PERCENT,...")]
    loads: Option<String>,
    /// Growth curves to measure: ledger, validators, payload, connections.
    #[arg(long, value_name = "WHAT,...")]
    grow: Option<String>,
    /// Transactions of the largest ledger on its growth curve [default: 100000; 1000000 with --full].
    #[arg(long, value_name = "N")]
    grow_ledger: Option<usize>,
    /// About how long a window takes [default: 5; 1 with --smoke, 8 with --full].
    #[arg(long)]
    seconds: Option<f64>,
    /// No window begins after so many minutes [default: 2 with --smoke, 30 otherwise].
    #[arg(long)]
    minutes: Option<f64>,
    /// How often a window that was disturbed is measured again.
    #[arg(long, default_value_t = 2)]
    pub(crate) again: usize,
    /// Latency as well with one validator killed, and while the leader of the log changes.
    #[arg(long)]
    faults: bool,
    /// How many validators.
    #[arg(long, default_value_t = 4)]
    pub(crate) validators: u16,
    /// So many outputs are made, at least, before each window of TRANSFERs; spends jump over all of them.
    #[arg(long, default_value_t = 0, value_name = "N")]
    live_outputs: usize,
    /// Bytes of payload in each CREATE.
    #[arg(long, default_value_t = 765, value_name = "BYTES")]
    payload: usize,
    /// Bytes of a TRANSFER.
    #[arg(long, default_value_t = 1100, value_name = "BYTES")]
    transfer_bytes: usize,
    /// Connections where many transactions are in a request.
    #[arg(long, default_value_t = 32, value_name = "N")]
    connections: usize,
    /// Connections where a request has one.
    #[arg(long, default_value_t = 256, value_name = "N")]
    single_connections: usize,
    /// Which log: raft or tikv.
    #[arg(long, default_value = "raft", value_parser = ["raft", "tikv"])]
    order: String,
    /// Which store: embedded or tikv.
    #[arg(long, default_value = "embedded", value_parser = ["embedded", "tikv"])]
    store: String,
    /// PD of the TiKV cluster for them (`make tikv` starts one).
    #[arg(long, value_name = "HOST:PORT")]
    pd: Option<String>,
    /// First port.
    #[arg(long, default_value_t = 29_984, value_name = "PORT")]
    pub(crate) base_port: u16,
    /// Where validators keep their data: a new directory, removed at the end [default: a temporary one].
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Measures other systems as well, with e2e/peers/run.sh, where that is.
    #[arg(long)]
    peers: bool,
    /// For people or for programs.
    #[arg(long, default_value = "table")]
    pub(crate) output: Output,
    /// Writes raw data (report.json) and plots (SVG) into this directory.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) report: Option<PathBuf>,
}

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// For programs: one JSON value.
    Json,
}

/// What grows on a growth curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grow {
    /// Transactions in the ledger of one validator.
    Ledger,
    /// Validators.
    Validators,
    /// Bytes in each transaction.
    Payload,
    /// Connections of clients.
    Connections,
}

impl Grow {
    const ALL: [(&str, Self); 4] = [
        ("ledger", Self::Ledger),
        ("validators", Self::Validators),
        ("payload", Self::Payload),
        ("connections", Self::Connections),
    ];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, one)| *one == self).map_or("", |(name, _)| name)
    }
}

/// What is measured; every choice made.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Which workloads.
    pub(crate) workloads: Vec<Workload>,
    /// Transactions in a request.
    pub(crate) per_request: Vec<usize>,
    /// Shares of the most, between 0 and 1.
    pub(crate) loads: Vec<f64>,
    /// Growth curves.
    pub(crate) grow: Vec<Grow>,
    /// The largest ledger of them.
    pub(crate) grow_ledger: usize,
    /// About how long a window takes.
    pub(crate) seconds: f64,
    /// Whether a first, short window of each row is all there is of its closed loop.
    pub(crate) first_look_only: bool,
    /// No window begins after this time.
    pub(crate) time: Duration,
    /// How often a disturbed window is measured again.
    pub(crate) again: usize,
    /// Whether latency is measured under faults.
    pub(crate) faults: bool,
    /// Whether peers are measured.
    pub(crate) peers: bool,
    /// What a federation is made of.
    pub(crate) kinds: Kinds,
    /// Sizes that are the same in each window.
    size: Size,
    connections: usize,
    single_connections: usize,
}

impl Flags {
    /// One of three, by how much is to be measured.
    fn by_mode<T>(&self, usual: T, smoke: T, full: T) -> T {
        match (self.smoke, self.full) {
            (true, _) => smoke,
            (_, true) => full,
            _ => usual,
        }
    }

    /// The plan, or what is wrong with the flags.
    pub(crate) fn plan(&self) -> Result<Plan, String> {
        let grow: Vec<String> = list(self.grow.as_deref().unwrap_or(self.by_mode(
            "",
            "validators",
            "ledger,validators,payload,connections",
        )))?;
        let usual_loads = if self.against.is_some() { "50" } else { "25,50,80" };
        let loads: Vec<f64> =
            list(self.loads.as_deref().unwrap_or(self.by_mode(usual_loads, "50", "25,50,80")))?;
        if let Some(load) = loads.iter().find(|load| !(1.0..=100.0).contains(*load)) {
            return Err(format!("--loads: {load} is not between 1 and 100 percent"));
        }
        let per_request: Vec<usize> = list(
            self.per_request.as_deref().unwrap_or(self.by_mode("1,100", "1,100", "1,10,100")),
        )?;
        if let Some(number) = per_request.iter().find(|number| !(1..=1000).contains(*number)) {
            return Err(format!("--per-request: {number} is not between 1 and 1000"));
        }
        let all = "W1,W2,W3,W4,W5,W6";
        let seconds = self.seconds.unwrap_or(self.by_mode(5.0, 0.5, 8.0));
        let minutes = self.minutes.unwrap_or(self.by_mode(30.0, 2.0, 30.0));
        let (seconds_fit, minutes_fit) =
            ((0.1..=600.0).contains(&seconds), (0.0..=600.0).contains(&minutes));
        if !seconds_fit || !minutes_fit {
            return Err("--seconds is between 0.1 and 600, --minutes between 0 and 600".to_owned());
        }
        for (flag, number) in [
            ("--connections", self.connections),
            ("--single-connections", self.single_connections),
            ("--rounds", self.rounds),
        ] {
            if !(1..=10_000).contains(&number) {
                return Err(format!("{flag}: {number} is not between 1 and 10000"));
            }
        }
        if !(1..=VALIDATORS_MAX).contains(&usize::from(self.validators)) {
            let number = self.validators;
            return Err(format!("--validators: {number} is not between 1 and {VALIDATORS_MAX}"));
        }
        Ok(Plan {
            workloads: list(self.workload.as_deref().unwrap_or(self.by_mode("W1,W3", all, all)))?,
            per_request,
            loads: loads.into_iter().map(|percent| percent / 100.0).collect(),
            grow: grow.iter().map(|name| grown(name)).collect::<Result<_, _>>()?,
            grow_ledger: self.grow_ledger.unwrap_or(self.by_mode(100_000, 10_000, 1_000_000)),
            seconds,
            first_look_only: self.smoke,
            time: Duration::from_secs_f64(minutes * 60.0),
            again: self.by_mode(self.again, 0, self.again),
            faults: self.faults || self.full || self.smoke,
            peers: self.peers || self.full,
            kinds: Kinds {
                validators: self.validators,
                order: self.order.clone(),
                store: self.store.clone(),
                pd: self.pd.clone(),
            },
            size: Size {
                transactions: 0,
                per_request: 1,
                live_outputs: self.live_outputs,
                payload: self.payload,
                transfer_bytes: self.transfer_bytes,
            },
            connections: self.connections,
            single_connections: self.single_connections,
        })
    }
}

impl Plan {
    /// Sizes of a window.
    pub(crate) fn size(&self, transactions: usize, per_request: usize) -> Size {
        Size { transactions, per_request, ..self.size }
    }

    /// Connections of a window.
    pub(crate) fn connections(&self, workload: Workload, per_request: usize) -> usize {
        match (workload.is_sequential(), per_request) {
            (true, _) => 1,
            (false, 1) => self.single_connections,
            (false, _) => self.connections,
        }
    }

    /// What is measured in closed loops: which workload, how many in a request.
    pub(crate) fn rows(&self) -> Vec<(Workload, usize)> {
        let pairs = |workload: &Workload| {
            let workload = *workload;
            let fits = self.per_request.iter().filter(move |each| workload.fits(**each));
            fits.map(move |each| (workload, *each)).collect::<Vec<_>>()
        };
        self.workloads.iter().flat_map(pairs).collect()
    }

    /// Whether latency at shares of the most is measured of such a row.
    pub(crate) fn has_loads(&self, (workload, per_request): (Workload, usize)) -> bool {
        self.per_request.iter().min() == Some(&per_request) && !workload.is_sequential()
    }
}

fn grown(name: &str) -> Result<Grow, String> {
    let known = Grow::ALL.iter().find(|(known, _)| *known == name);
    known.map(|(_, grow)| *grow).ok_or_else(|| {
        format!("--grow: {name:?} is none of ledger, validators, payload, connections")
    })
}

/// Values with commas between; none where there is no text.
fn list<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<Vec<T>, String> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    words.map(|word| word.parse().map_err(|error| format!("{word:?}: {error}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(flags: &[&str]) -> Result<Plan, String> {
        let flags = [&["cairn-bench"], flags].concat();
        Flags::try_parse_from(flags).map_err(|error| error.to_string())?.plan()
    }

    #[test]
    fn flags_are_valid() {
        use clap::CommandFactory as _;
        Flags::command().debug_assert();
    }

    #[test]
    fn rows_are_what_was_asked_for() {
        #[rustfmt::skip]
        let table: [(&[&str], &str); 5] = [
            (&[],                                             "W1/1 W1/100 W3/1 W3/100"),
            (&["--workload", "w3", "--per-request", "10"],    "W3/10"),
            (&["--workload", "W6, W1"],                       "W6/1 W1/1 W1/100"),
            (&["--workload", ""],                             ""),
            (&["--smoke", "--per-request", "10"],             "W1/10 W2/10 W3/10 W4/10 W5/10"),
        ];
        for (flags, expected) in table {
            let rows = plan(flags).unwrap().rows();
            let rows: Vec<String> =
                rows.iter().map(|(what, each)| format!("{what}/{each}")).collect();
            assert_eq!(rows.join(" "), expected, "{flags:?}");
        }
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        #[rustfmt::skip]
        let table: [(&[&str], &str); 9] = [
            (&["--validators", "129"],        "between 1 and 128"),
            (&["--workload", "W7"],           "W7"),
            (&["--per-request", "0"],         "between 1 and 1000"),
            (&["--per-request", "ten"],       "invalid digit"),
            (&["--loads", "150"],             "between 1 and 100"),
            (&["--loads", "nan"],             "between 1 and 100"),
            (&["--grow", "beard"],            "beard"),
            (&["--connections", "0"],         "--connections"),
            (&["--smoke", "--full"],          "cannot be used with"),
        ];
        for (flags, expected) in table {
            let error = plan(flags).unwrap_err();
            assert!(error.contains(expected), "{flags:?}: {error}");
        }
    }
}
