//! `cairn-bench`: how many transactions a second a federation on this machine commits, and how
//! soon. Real processes, durable writes, signatures checked; the corpus is signed before the clock
//! starts; afterwards the ledger is read back from other validators, killed, restarted,
//! exported from all and checked from the first block to the last.
//!
//! Read on in `suite` (the story of one federation), `window` (one measurement), `workload` (what is
//! sent), `probe` (whether to believe it).

use std::{path::Path, process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use clap::{CommandFactory as _, Parser as _, error::ErrorKind};

mod check;
mod clock;
mod corpus;
mod faults;
mod federation;
mod flags;
mod growth;
mod http;
mod interrupt;
mod latency;
mod load;
mod machine;
mod pairing;
mod peers;
mod plot;
mod probe;
mod progress;
mod report;
mod suite;
mod usage;
mod verdict;
mod window;
mod workload;
mod yardstick;

use flags::{Flags, Output, Plan};
use machine::Machine;
use report::Report;
use suite::Suite;

/// Longest time that other systems may take.
const PEERS_TIME: Duration = Duration::from_secs(8 * 60);

fn main() -> ExitCode {
    let flags = Flags::parse();
    let plan = match flags.plan() {
        Ok(plan) => plan,
        Err(wrong) => Flags::command().error(ErrorKind::ValueValidation, wrong).exit(),
    };
    match start(&flags, plan) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cairn-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(flags: &Flags, plan: Plan) -> anyhow::Result<()> {
    for program in std::iter::once(&flags.cairn).chain(&flags.against) {
        if !program.is_file() {
            bail!("there is no program {}: `make bench` builds it", program.display());
        }
    }
    let data = flags.data.clone().unwrap_or_else(|| {
        std::env::temp_dir().join(format!("cairn-bench-{}", std::process::id()))
    });
    if data.exists() {
        bail!("{} exists; the benchmark wants a new directory", data.display());
    }
    std::fs::create_dir_all(&data).with_context(|| format!("making {}", data.display()))?;
    // One thread drives the load: it shares the cores with what it measures.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let result = runtime.block_on(async {
        interrupt::watch(data.clone())?;
        bench(flags, plan, &data).await
    });
    std::fs::remove_dir_all(&data).with_context(|| format!("removing {}", data.display()))?;
    let report = result?;
    if let Some(folder) = &flags.report {
        report.write(folder)?;
    }
    match flags.output {
        Output::Table => print!("{}", report.table()),
        Output::Json => println!("{}", report.json()?),
    }
    Ok(())
}

async fn bench(flags: &Flags, plan: Plan, data: &Path) -> anyhow::Result<Report> {
    let start = clock::now();
    let mut report = Report {
        machine: Machine::here(data)?,
        arguments: std::env::args().skip(1).collect(),
        yardstick: yardstick::signatures_per_second(),
        runs: Vec::new(),
        compared: Vec::new(),
        curves: Vec::new(),
        peers: Vec::new(),
        left_out: Vec::new(),
        seconds: 0.0,
    };
    let (grow, with_peers, rows) = (plan.grow.clone(), plan.peers, plan.rows());
    let mut suite = Suite::new(plan, data.to_owned(), flags.base_port);
    if let Some(against) = &flags.against {
        (report.runs, report.compared) =
            pairing::measure(&mut suite, &flags.cairn, against, flags.rounds).await?;
    } else if !rows.is_empty() {
        report.runs.push(suite.run(&flags.cairn, &rows).await?);
    }
    for one in grow {
        report.curves.push(growth::measure(&mut suite, &flags.cairn, one).await?);
    }
    if with_peers && suite.has_time("peers") {
        report.peers = peers::measure(PEERS_TIME).await?;
    }
    report.left_out = suite.left_out;
    report.seconds = start.elapsed().as_secs_f64();
    Ok(report)
}
