//! `cairn-load`: a federation in use, for those who watch it. Assets are made, moved and spent twice, searched and
//! read, events are followed: a little of everything, more and less in turn, until standard input ends.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use cairn_ledger::{
    ids::{OutputReference, TransactionId},
    json::Strictness,
    signature::SigningKey,
    transaction::{
        build::{Share, Spend, create, transfer},
        parse,
    },
};
use clap::Parser;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[path = "../src/http.rs"]
#[expect(dead_code, reason = "the benchmark uses more of it")]
mod http;

use http::Connection;

/// Uses a federation until standard input ends.
#[derive(Parser)]
#[command(after_help = "Example: cairn-load 127.0.0.1:9984 127.0.0.1:9994 --rate 40 </dev/tty")]
struct Flags {
    /// API addresses of validators, each used alike.
    #[arg(required = true, value_name = "HOST:PORT")]
    addresses: Vec<String>,
    /// Transactions a second, on the average.
    #[arg(long, default_value_t = 40)]
    rate: u32,
}

/// How long load takes from much to little and back.
const WAVE: Duration = Duration::from_secs(180);

/// After a request that was not answered: the validator may be down on purpose.
const PAUSE: Duration = Duration::from_secs(1);

/// What all workers know.
struct World {
    /// Ids of transactions that were sent lately.
    lately: Mutex<Vec<TransactionId>>,
    made: AtomicU64,
    run: u32,
    begun: tokio::time::Instant,
    /// Between two transactions of one worker, on the average.
    between: Duration,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Flags { addresses, rate } = Flags::parse();
    let workers = u32::try_from(addresses.len()).context("fewer addresses")?;
    let world = Arc::new(World {
        lately: Mutex::default(),
        made: AtomicU64::default(),
        run: std::process::id(),
        begun: tokio::time::Instant::now(),
        between: Duration::from_secs(1) * workers / rate.max(1),
    });
    for (index, address) in addresses.iter().enumerate() {
        tokio::spawn(again(address.clone(), world.clone(), writes));
        tokio::spawn(again(address.clone(), world.clone(), reads));
        if index < 2 {
            tokio::spawn(again(address.clone(), world.clone(), follows));
        }
    }
    let mut ignored = vec![];
    tokio::io::stdin().read_to_end(&mut ignored).await?;
    println!("{} transactions were sent", world.made.load(Ordering::Relaxed));
    Ok(())
}

/// Works at one validator for ever; begins anew where it was cut off.
async fn again<F>(address: String, world: Arc<World>, work: impl Fn(String, Arc<World>) -> F + Send)
where
    F: Future<Output = anyhow::Result<()>> + Send,
{
    loop {
        if let Err(error) = work(address.clone(), world.clone()).await {
            eprintln!("{address}: {error:#}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl World {
    /// Until the next transaction is due: between a third and three times the average, in waves.
    async fn breath(&self) {
        let phase = self.begun.elapsed().as_secs_f64() / WAVE.as_secs_f64();
        let much = 3f64.powf((phase * std::f64::consts::TAU).sin());
        tokio::time::sleep(self.between.div_f64(much)).await;
    }

    fn remember(&self, id: TransactionId) {
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        lately.push(id);
        let many = lately.len().saturating_sub(100);
        lately.drain(..many);
    }

    fn one_of_lately(&self, number: usize) -> Option<TransactionId> {
        let lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        lately.get(number % lately.len().max(1)).copied()
    }
}

/// Makes assets; moves every third, and spends some of those a second time, which is refused.
async fn writes(address: String, world: Arc<World>) -> anyhow::Result<()> {
    let mut connection = Connection::open(&address).await?;
    loop {
        world.breath().await;
        let number = world.made.fetch_add(1, Ordering::Relaxed);
        let (alice, bob) = (key(number), key(number + 1));
        let bicycle = format!(
            r#"{{"bicycle":{{"serial":"{}-{number}","price":{}}}}}"#,
            world.run,
            number * 37 % 500
        );
        let made = create(&bicycle, "null", &[Share::to(alice.public(), 1)], &alice)?;
        let asset = send(&mut connection, made, &world).await?;
        if number % 20 == 7 {
            // Not his: turned away at the door.
            let spend = Spend::of(bob.public(), OutputReference { transaction: asset, index: 0 });
            let stolen = transfer(asset, "null", &[spend], &[Share::to(bob.public(), 1)], &[&bob])?;
            send(&mut connection, stolen, &world).await?;
        }
        let moves = match number % 12 {
            0 => 2,
            3 | 6 | 9 => 1,
            _ => 0,
        };
        for time in 0..moves {
            let spend = Spend::of(alice.public(), OutputReference { transaction: asset, index: 0 });
            let note = format!(r#"{{"note":"move {time} of {number}"}}"#);
            let moved = transfer(asset, &note, &[spend], &[Share::to(bob.public(), 1)], &[&alice])?;
            send(&mut connection, moved, &world).await?;
        }
    }
}

/// Posts a transaction and waits for its block, whatever becomes of it there.
async fn send(
    connection: &mut Connection,
    bytes: Vec<u8>,
    world: &World,
) -> anyhow::Result<TransactionId> {
    let id = parse(bytes.clone().into(), Strictness::Strict)
        .expect("what was built by the rules parses by the rules")
        .id();
    let request = http::post("/api/v2/transactions?wait=committed", &bytes);
    connection.send(&request).await?;
    world.remember(id);
    Ok(id)
}

/// Asks for what was written lately, and for some of all there is.
async fn reads(address: String, world: Arc<World>) -> anyhow::Result<()> {
    let mut connection = Connection::open(&address).await?;
    for number in 0.. {
        world.breath().await;
        let path = match (number % 5, world.one_of_lately(number * 7)) {
            (0 | 1, Some(id)) => format!("/api/v2/transactions/{id}"),
            (2, Some(id)) => format!("/api/v2/transactions/{id}/receipt"),
            (3, _) => "/api/v2/assets?filter=asset.bicycle.price%20%3C%2020&limit=10".into(),
            _ => "/api/v2/status".into(),
        };
        connection.get(&path).await?;
    }
    Ok(())
}

/// Follows what is decided.
async fn follows(address: String, _: Arc<World>) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(&address).await?;
    let head = format!(
        "GET /api/v2/stream HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let mut heard = vec![0; 16 * 1024];
    while stream.read(&mut heard).await? > 0 {}
    anyhow::bail!("the stream ended")
}

/// One of a thousand keys.
fn key(number: u64) -> SigningKey {
    let mut seed = [11; 32];
    seed[..8].copy_from_slice(&(number % 1000).to_be_bytes());
    SigningKey::from_seed(seed)
}
