//! `cairn-bench`: how many transactions a second a federation on this machine commits, and how
//! soon. Real processes, durable writes, signatures checked; the corpus is signed before the clock
//! starts; afterwards the ledger is read back from other validators, killed, restarted,
//! exported from all and checked from the first block to the last.

use std::{path::PathBuf, sync::Arc, time::Instant};

use anyhow::{Context, bail};
use clap::Parser;
use serde_json::json;

mod corpus;
mod federation;
mod http;
mod load;
mod yardstick;

use federation::Federation;
use load::{Measured, Work};

/// Measures a federation of real validators on this machine.
#[derive(Parser)]
#[command(
    after_help = "Example: cairn-bench --cairn target/release/cairn --transactions 100000 --output json"
)]
struct Flags {
    /// The cairn program to measure.
    #[arg(long, default_value = "target/release/cairn")]
    cairn: PathBuf,
    /// How many validators.
    #[arg(long, default_value_t = 4)]
    validators: u16,
    /// How many transactions in the batched run.
    #[arg(long, default_value_t = 100_000)]
    transactions: usize,
    /// How many transactions in the runs with one a request.
    #[arg(long, default_value_t = 30_000)]
    singles: usize,
    /// How many TRANSFERs, each of what the one before it made.
    #[arg(long, default_value_t = 30_000)]
    transfers: usize,
    /// Bytes of a TRANSFER.
    #[arg(long, default_value_t = 1100)]
    transfer_bytes: usize,
    /// So many outputs are there already when the TRANSFERs begin.
    #[arg(long, default_value_t = 0)]
    live_outputs: usize,
    /// Bytes of payload in each CREATE.
    #[arg(long, default_value_t = 765)]
    payload: usize,
    /// Transactions in one request of the batched run.
    #[arg(long, default_value_t = 100)]
    batch: usize,
    /// Connections in the batched run.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Connections in the runs with one a request.
    #[arg(long, default_value_t = 256)]
    single_connections: usize,
    /// Which log: raft or tikv.
    #[arg(long, default_value = "raft")]
    order: String,
    /// Which store: embedded or tikv.
    #[arg(long, default_value = "embedded")]
    store: String,
    /// PD of the TiKV cluster for them (`make tikv` starts one).
    #[arg(long, value_name = "HOST:PORT")]
    pd: Option<String>,
    /// First port.
    #[arg(long, default_value_t = 29_984)]
    base_port: u16,
    /// Where the validators keep their data (a new directory; removed at the end).
    #[arg(long)]
    data: Option<PathBuf>,
    /// For people or for programs.
    #[arg(long, default_value = "table", value_parser = ["table", "json"])]
    output: String,
}

/// Transactions in a request of those that fill the ledger; each is large.
const FILL_BATCH: usize = 10;

impl Flags {
    /// What the federation is made of.
    fn kinds(&self) -> federation::Kinds {
        let Self { validators, order, store, pd, .. } = self;
        federation::Kinds {
            validators: *validators,
            order: order.clone(),
            store: store.clone(),
            pd: pd.clone(),
        }
    }
}

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(bench(flags))
}

async fn bench(flags: Flags) -> anyhow::Result<()> {
    let data = flags.data.clone().unwrap_or_else(|| {
        std::env::temp_dir().join(format!("cairn-bench-{}", std::process::id()))
    });
    if data.exists() {
        bail!("{} exists; the benchmark wants a new directory", data.display());
    }
    std::fs::create_dir_all(&data)?;
    let result = measure(&flags, &data).await;
    std::fs::remove_dir_all(&data).with_context(|| format!("removing {}", data.display()))?;
    result
}

#[expect(clippy::too_many_lines, reason = "the story of a run, told once from top to bottom")]
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
async fn measure(flags: &Flags, data: &std::path::Path) -> anyhow::Result<()> {
    let total = flags.transactions + 2 * flags.singles;
    eprintln!("signing {total} transactions ...");
    let corpus = corpus::sign(total, flags.payload);
    let yardstick = yardstick::signatures_per_second();

    eprintln!("starting {} validators ...", flags.validators);
    let mut federation =
        Federation::start(&flags.cairn, data, flags.base_port, &flags.kinds()).await?;
    let addresses = federation.addresses();
    let idle = federation.resident_mib()?;

    let (batched, rest) = corpus.split_at(flags.transactions);
    let (closed, open) = rest.split_at(flags.singles);
    eprintln!("closed loop, {} a request ...", flags.batch);
    let fast =
        load::closed(&addresses, flags.connections, &batches(batched.chunks(flags.batch))).await?;
    say(&fast);

    let single = |transactions: &[corpus::Signed]| Work {
        bodies: Arc::new(transactions.iter().map(|signed| signed.bytes.clone()).collect()),
        each: 1,
        path: "/api/v1/transactions?mode=commit",
        good: |answer, _| answer.status == 202,
    };
    eprintln!("closed loop, one a request ...");
    let ones = load::closed(&addresses, flags.single_connections, &single(closed)).await?;
    say(&ones);
    eprintln!("open loop at half of that ...");
    let half =
        load::open(&addresses, flags.single_connections, &single(open), ones.rate() / 2.0).await?;
    say(&half);
    let moved = transfers(flags, &addresses).await?;
    say(&moved);
    let loaded = federation.resident_mib()?;

    eprintln!("reading back from other validators ...");
    let committed = fast.committed + ones.committed + half.committed + moved.committed;
    let read_back = read_back(&addresses, &corpus).await?;

    eprintln!("killing all, starting again ...");
    federation.kill().await?;
    let mut federation =
        Federation::start(&flags.cairn, data, flags.base_port, &flags.kinds()).await?;
    let restart = federation.ready_after;
    same_height(&federation.addresses()).await?;
    federation.stop().await?;

    eprintln!("exporting from all, checking every block ...");
    let checking = Instant::now();
    let mut exports = Vec::new();
    for validator in 0..flags.validators {
        exports.push(federation.export(validator).await?);
    }
    let first = std::fs::read(&exports[0])?;
    for export in &exports[1..] {
        if std::fs::read(export)? != first {
            bail!("{} differs from {}", export.display(), exports[0].display());
        }
    }
    let verified = federation.verify(&exports[0]).await?;
    let checking = checking.elapsed();

    let ratio = |measured: &Measured| measured.rate() * f64::from(flags.validators) / yardstick;
    let report = json!({
        "validators": flags.validators, "order": flags.order, "store": flags.store, "payload_bytes": flags.payload, "committed": committed,
        "batched": {"per_request": flags.batch, "rate": fast.rate(), "p50_ms": fast.latency_ms(0.5), "p99_ms": fast.latency_ms(0.99), "failed": fast.failed, "r1": ratio(&fast)},
        "single": {"rate": ones.rate(), "p50_ms": ones.latency_ms(0.5), "p99_ms": ones.latency_ms(0.99), "failed": ones.failed, "r1": ratio(&ones)},
        "transfers": {"per_request": flags.batch, "live_outputs": flags.live_outputs, "rate": moved.rate(), "p50_ms": moved.latency_ms(0.5), "p99_ms": moved.latency_ms(0.99), "failed": moved.failed, "r1": ratio(&moved)},
        "half_load": {"rate": half.rate(), "p50_ms": half.latency_ms(0.5), "p99_ms": half.latency_ms(0.99), "p999_ms": half.latency_ms(0.999), "failed": half.failed},
        "signatures_per_second_batch_1024": yardstick,
        "resident_mib": {"idle": idle, "after_load": loaded},
        "read_back": read_back, "restart_seconds": restart.as_secs_f64(),
        "check": {"said": verified, "seconds": checking.as_secs_f64(), "export_bytes": first.len()},
    });
    if flags.output == "json" {
        println!("{report:#}");
        return Ok(());
    }
    println!(
        "committed transactions a second, {} validators, order {}, store {}, CREATEs with {} bytes of payload:",
        flags.validators, flags.order, flags.store, flags.payload
    );
    let row = |name: &str, m: &Measured| {
        println!(
            "  {name:<26} {:>8.0} /s   p50 {:>6.1} ms   p99 {:>6.1} ms   R1 {:.2}   failed {}",
            m.rate(),
            m.latency_ms(0.5),
            m.latency_ms(0.99),
            ratio(m),
            m.failed
        );
    };
    row(&format!("{} a request, closed loop", flags.batch), &fast);
    row("1 a request, closed loop", &ones);
    row("1 a request, half load", &half);
    row(&format!("{} TRANSFERs a request", flags.batch), &moved);
    println!("  yardstick: {yardstick:.0} signatures/s in batches of 1024 on these cores");
    println!("  memory: idle {} MiB, after load {} MiB", mib(&idle), mib(&loaded));
    println!(
        "  restart of all after SIGKILL to serving: {:.2} s with {committed} transactions",
        restart.as_secs_f64()
    );
    println!(
        "  read back from another validator: {read_back} of {read_back}; exports of all identical ({} bytes)",
        first.len()
    );
    println!("  {verified}");
    Ok(())
}

/// Requests with these transactions each.
fn batches<'a>(chunks: impl Iterator<Item = &'a [corpus::Signed]>) -> Work {
    let mut each = 0;
    let bodies = chunks.map(|chunk| {
        each = each.max(chunk.len());
        corpus::array(chunk)
    });
    let bodies = Arc::new(bodies.collect());
    Work { bodies, each, path: "/api/v2/transactions?wait=committed", good: all_committed }
}

/// Moves assets on and on, as many at a time as there are connections with a batch each.
async fn transfers(flags: &Flags, addresses: &[String]) -> anyhow::Result<Measured> {
    let (each, connections) = (flags.batch, flags.connections);
    let moves = flags.transfers.div_ceil(each * connections);
    eprintln!("signing and making what is transferred ...");
    let corpus::Chains { created, rounds } =
        corpus::chains(each * connections, moves, flags.transfer_bytes);
    let filling = corpus::fill(flags.live_outputs);
    for (made, each) in [(&filling, FILL_BATCH), (&created, each)] {
        let whole = made.len() / each * each;
        let work = batches(made[..whole].chunks(each));
        let made = load::closed(addresses, connections, &work).await?;
        if let Some(failure) = made.first_failure {
            bail!("what is transferred could not be made: {failure}");
        }
    }
    eprintln!("closed loop, {each} TRANSFERs a request ...");
    let work = batches(rounds.iter().flat_map(|round| round.chunks(each)));
    load::closed_in_turns(addresses, connections, &work).await
}

fn mib(values: &[f64]) -> String {
    values.iter().map(|v| format!("{v:.0}")).collect::<Vec<_>>().join(" ")
}

fn say(measured: &Measured) {
    eprintln!(
        "  {:.0} /s, p50 {:.1} ms, p99 {:.1} ms",
        measured.rate(),
        measured.latency_ms(0.5),
        measured.latency_ms(0.99)
    );
    if let Some(failure) = &measured.first_failure {
        eprintln!("  {} requests failed, the first with: {failure}", measured.failed);
    }
}

/// Whether every item of a batch's answer is committed.
fn all_committed(answer: &http::Answer, each: usize) -> bool {
    let text = String::from_utf8_lossy(&answer.body);
    answer.status == 200 && text.matches("\"committed\"").count() == each
}

/// Waits until every validator has every block that any of them has.
async fn same_height(addresses: &[String]) -> anyhow::Result<()> {
    for _ in 0..300 {
        let mut heights = Vec::new();
        for address in addresses {
            let mut connection = http::Connection::open(address).await?;
            heights.push(connection.get("/api/v1/validators").await?.height);
        }
        if heights.iter().all(|height| *height == heights[0]) {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    bail!("the validators do not come to the same height")
}

/// Reads a sample back from validators that were not the ones it was sent to.
async fn read_back(addresses: &[String], corpus: &[corpus::Signed]) -> anyhow::Result<usize> {
    let mut connections = Vec::new();
    for address in addresses {
        connections.push(http::Connection::open(address).await?);
    }
    let step = (corpus.len() / 1000).max(1);
    let mut read = 0;
    for (index, signed) in corpus.iter().enumerate().step_by(step) {
        let at = (index / step) % connections.len();
        let answer = connections[at].get(&format!("/api/v1/transactions/{}", signed.id)).await?;
        if answer.status != 200 {
            bail!("transaction {} is not on {}: {}", signed.id, addresses[at], answer.status);
        }
        read += 1;
    }
    Ok(read)
}
