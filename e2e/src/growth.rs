//! Growth curves: what a rate becomes when one thing grows and everything else stays.

use std::{path::Path, sync::Arc};

use anyhow::bail;
use serde::Serialize;

use crate::{
    check::Sample,
    corpus::{self, Label},
    federation::{Federation, Kinds},
    flags::Grow,
    load::{self, Pace},
    progress::say,
    suite::{Row, Suite},
    window::{self, Offered, Task, Window},
    workload::{self, Workload},
};

/// One curve.
#[derive(Debug, Serialize)]
pub(crate) struct Curve {
    /// What grows.
    pub(crate) what: &'static str,
    /// What is measured at each point.
    pub(crate) measured: String,
    /// The points.
    pub(crate) points: Vec<Point>,
}

/// One point of a curve.
#[derive(Debug, Serialize)]
pub(crate) struct Point {
    /// How much of what grows.
    pub(crate) at: usize,
    /// Committed transactions a second.
    pub(crate) rate: f64,
    /// The same times the number of validators: about constant, where all share the same cores.
    pub(crate) rate_times_validators: f64,
    /// The 99th percentile, in milliseconds.
    pub(crate) p99_ms: f64,
    /// committed × validators × signatures ÷ the yardstick.
    pub(crate) r1: f64,
    /// Microseconds of a core per transaction, of all validators together.
    pub(crate) validators_us: f64,
    /// Resident memory of a validator, in MiB.
    pub(crate) resident_mib: f64,
    /// Why the point cannot be believed, if it cannot.
    pub(crate) disturbed: Vec<&'static str>,
}

/// The growth of validators.
const VALIDATORS: [u16; 4] = [1, 2, 4, 7];

/// The growth of payloads: as large as a transaction may be, nearly.
const PAYLOADS: [usize; 5] = [256, 1024, 4096, 16 * 1024, 60 * 1024];

/// The growth of connections.
const CONNECTIONS: [usize; 6] = [1, 4, 16, 64, 256, 1024];

/// The smallest ledger; each is ten times the one before it.
const LEDGER: usize = 10_000;

/// Most bytes in a request: the interface takes four times as many.
const REQUEST_BYTES: usize = 1024 * 1024;

/// Transactions in a request, where they are not what grows.
const BATCH: usize = 100;

/// How many transactions fill the ledger in one go: they are in memory.
const FILLED_AT_ONCE: usize = 50_000;

/// Connections that fill it.
const FILLING: usize = 16;

/// Measures one curve.
pub(crate) async fn measure(suite: &mut Suite, cairn: &Path, grow: Grow) -> anyhow::Result<Curve> {
    say(&format!("growth: {}", grow.name()));
    let (row, points) = match grow {
        Grow::Ledger => ledger(suite, cairn).await?,
        Grow::Validators => validators(suite, cairn).await?,
        Grow::Payload => payloads(suite, cairn).await?,
        Grow::Connections => connections(suite, cairn).await?,
    };
    let measured = format!("{} with {} a request", row.0, row.1);
    Ok(Curve { what: grow.name(), measured, points })
}

async fn validators(suite: &mut Suite, cairn: &Path) -> anyhow::Result<(Row, Vec<Point>)> {
    let row = (Workload::Creates, BATCH);
    let mut points = Vec::new();
    for validators in VALIDATORS {
        if !suite.has_time(&format!("{validators} validators")) {
            break;
        }
        let kinds = Kinds { validators, ..suite.plan.kinds.clone() };
        let federation = suite.start(cairn, &kinds).await?;
        let task = sized(suite, &federation, row).await?;
        points.push(point(&federation, usize::from(validators), task).await?);
        ended(federation).await?;
    }
    Ok((row, points))
}

async fn payloads(suite: &mut Suite, cairn: &Path) -> anyhow::Result<(Row, Vec<Point>)> {
    let row = (Workload::Creates, BATCH);
    let kinds = suite.plan.kinds.clone();
    let federation = suite.start(cairn, &kinds).await?;
    let base = sized(suite, &federation, row).await?;
    let usual = base.size.payload;
    let mut points = Vec::new();
    for payload in PAYLOADS {
        if !suite.has_time(&format!("payload of {payload} bytes")) {
            break;
        }
        let mut task = base;
        task.size.payload = payload;
        task.size.per_request = BATCH.min(REQUEST_BYTES / payload).max(1);
        // About as many bytes each time, so about as long.
        let bytes = base.size.transactions * (usual + 700);
        let requests = (bytes / (payload + 700) / task.size.per_request).max(20);
        task.size.transactions = requests * task.size.per_request;
        points.push(point(&federation, payload, task).await?);
    }
    ended(federation).await?;
    Ok((row, points))
}

async fn connections(suite: &mut Suite, cairn: &Path) -> anyhow::Result<(Row, Vec<Point>)> {
    let row = (Workload::Transfers, 1);
    let kinds = suite.plan.kinds.clone();
    let federation = suite.start(cairn, &kinds).await?;
    let base = sized(suite, &federation, row).await?;
    let mut points = Vec::new();
    for connections in CONNECTIONS {
        if !suite.has_time(&format!("{connections} connections")) {
            break;
        }
        let mut task = Task { connections, ..base };
        // A few connections commit a few at a time: a full window would take minutes.
        let usual = base.connections.max(connections);
        task.size.transactions = (base.size.transactions * connections / usual).max(100);
        points.push(point(&federation, connections, task).await?);
    }
    ended(federation).await?;
    Ok((row, points))
}

/// One validator, whose ledger grows tenfold from point to point.
async fn ledger(suite: &mut Suite, cairn: &Path) -> anyhow::Result<(Row, Vec<Point>)> {
    let row = (Workload::Transfers, BATCH);
    let kinds = Kinds { validators: 1, ..suite.plan.kinds.clone() };
    let federation = suite.start(cairn, &kinds).await?;
    let task = sized(suite, &federation, row).await?;
    let (mut points, mut filled, mut size) = (Vec::new(), 0, LEDGER);
    'growing: while size <= suite.plan.grow_ledger {
        while filled < size {
            if !suite.has_time(&format!("a ledger of {size} transactions")) {
                break 'growing;
            }
            let more = (size - filled).min(FILLED_AT_ONCE);
            fill(&federation, more).await?;
            filled += more;
            say(&format!("  {filled} transactions"));
        }
        points.push(point(&federation, size, task).await?);
        size *= 10;
    }
    ended(federation).await?;
    Ok((row, points))
}

async fn fill(federation: &Federation, count: usize) -> anyhow::Result<()> {
    let made = corpus::creates(&Label::next(), count, 64);
    let requests = Arc::new(workload::good_requests(made, BATCH));
    let seen = load::run(&federation.addresses(), FILLING, requests, Pace::Closed).await?;
    match seen.first_wrong {
        Some(wrong) => bail!("the ledger could not be filled: {wrong}"),
        None => Ok(()),
    }
}

async fn point(federation: &Federation, at: usize, task: Task) -> anyhow::Result<Point> {
    let window = window::measure(federation, task, &mut Sample::default()).await?;
    let resident = federation.resident_mib();
    let validators = resident.len().max(1) as f64;
    let Window { rate, latency, r1, validators_us, disturbed, .. } = window;
    Ok(Point {
        at,
        rate,
        rate_times_validators: rate * validators,
        p99_ms: latency.p99_ms,
        r1,
        validators_us,
        resident_mib: resident.iter().sum::<f64>() / validators,
        disturbed,
    })
}

/// Ends a federation, and removes what it left.
async fn ended(mut federation: Federation) -> anyhow::Result<()> {
    federation.stop().await?;
    let (home, _) = federation.home();
    Ok(std::fs::remove_dir_all(home)?)
}

/// How large the windows of a row are on a federation of its own, by a first look.
async fn sized(suite: &Suite, federation: &Federation, row: Row) -> anyhow::Result<Task> {
    let first = suite.first_look(federation, row, &mut Sample::default()).await?;
    Ok(suite.task(row, first.rate, Offered::Most))
}
