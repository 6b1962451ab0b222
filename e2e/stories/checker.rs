//! What must hold after every story: what was acknowledged is on every validator, all tell the same
//! chain, byte by byte, and nothing is in it twice.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::{
    client::{Client, Seen},
    federation::Federation,
    stage::Stage,
};

/// What was checked, for the report.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    /// Transactions acknowledged, and found on every validator.
    pub(crate) transactions: usize,
    /// Blocks compared on every validator.
    pub(crate) blocks: u64,
    /// The longest time without an acknowledgement, of all clients together.
    pub(crate) longest_silence: Duration,
    /// Requests that had to be sent again.
    pub(crate) again: usize,
}

impl Stage<'_> {
    /// Ends the clients and checks the ledger on every validator.
    ///
    /// # Errors
    ///
    /// When something acknowledged is missing, told differently, or there twice; when a sound
    /// transaction was refused.
    pub(crate) fn check(&mut self, federation: &Federation, client: Client) -> anyhow::Result<()> {
        let (seen, longest_silence) = client.stop();
        self.check_seen(federation, &seen, longest_silence)
    }

    /// Checks the ledger on every validator against what clients saw that have ended.
    ///
    /// # Errors
    ///
    /// As [`Stage::check`].
    pub(crate) fn check_seen(
        &mut self,
        federation: &Federation,
        seen: &Seen,
        longest_silence: Duration,
    ) -> anyhow::Result<()> {
        ensure!(seen.refused.is_empty(), "sound transactions were refused: {:?}", seen.refused);
        ensure!(!seen.acknowledged.is_empty(), "nothing was acknowledged");
        let mut urls = vec![];
        for validator in &federation.validators {
            urls.push((validator.as_str(), federation.address(self, validator)?));
        }
        let height = self.until("all validators are level", || level(&urls))?;
        let blocks = compare(&urls, height, seen)?;
        let checked = Checked {
            transactions: seen.acknowledged.len(),
            blocks,
            longest_silence,
            again: seen.again,
        };
        self.say(format!(
            "checked: {} acknowledged transactions are on all {} validators, once, in the same {} blocks; \
             longest silence {:.1} s, {} requests sent again",
            checked.transactions,
            urls.len(),
            checked.blocks,
            longest_silence.as_secs_f64(),
            checked.again,
        ));
        self.checked.push(checked);
        Ok(())
    }
}

/// The height that all are at.
fn level(urls: &[(&str, String)]) -> anyhow::Result<u64> {
    let mut heights = HashSet::new();
    for (validator, url) in urls {
        let page: Value = serde_json::from_str(&get(&format!("{url}/api/v2/blocks?limit=1"))?)?;
        let height = page["items"][0]["height"].as_u64();
        heights.insert(height.with_context(|| format!("{validator} has no block: {page}"))?);
    }
    ensure!(heights.len() == 1, "they are at {heights:?}");
    Ok(heights.into_iter().next().unwrap_or_default())
}

/// Every block on every validator, against the first one's and against what was acknowledged.
fn compare(urls: &[(&str, String)], height: u64, seen: &Seen) -> anyhow::Result<u64> {
    let chains: Vec<anyhow::Result<Vec<String>>> = std::thread::scope(|scope| {
        let read = |url: &str| (1..=height).map(|at| block(url, at)).collect();
        let readers: Vec<_> = urls.iter().map(|(_, url)| scope.spawn(move || read(url))).collect();
        readers.into_iter().map(|reader| reader.join().expect("reads do not panic")).collect()
    });
    let mut first: Option<Vec<String>> = None;
    for ((validator, _), chain) in urls.iter().zip(chains) {
        let chain = chain.with_context(|| format!("reading the chain of {validator}"))?;
        match &first {
            None => first = Some(chain),
            Some(first) => {
                let differs = first.iter().zip(&chain).position(|(one, other)| one != other);
                if let Some(at) = differs {
                    bail!(
                        "{validator} tells block {} differently: {} and {}",
                        at + 1,
                        first[at],
                        chain[at]
                    );
                }
            }
        }
    }
    let mut stored = HashSet::new();
    for text in first.unwrap_or_default() {
        let block: Value = serde_json::from_str(&text)?;
        for transaction in block["transactions"].as_array().context("a block has transactions")? {
            let id = transaction["id"].as_str().context("a transaction has an id")?;
            ensure!(stored.insert(id.to_owned()), "twice in the chain: {id}");
        }
    }
    for (id, _) in &seen.acknowledged {
        ensure!(stored.contains(&id.to_string()), "acknowledged, and in no block: {id}");
    }
    Ok(height)
}

fn block(url: &str, height: u64) -> anyhow::Result<String> {
    get(&format!("{url}/api/v1/blocks/{height}"))
}

/// Fetches, and tries again for a while: a validator may just have been restarted.
fn get(url: &str) -> anyhow::Result<String> {
    let begun = Instant::now();
    loop {
        let got = ureq::get(url)
            .config()
            .timeout_global(Some(Duration::from_secs(10)))
            // What is compared here is what each tells; that clients trust it is for clients to check.
            .tls_config(ureq::tls::TlsConfig::builder().disable_verification(true).build())
            .build()
            .call()
            .and_then(|mut answer| {
                answer.body_mut().with_config().limit(64 << 20).read_to_string()
            });
        match got {
            Ok(text) => return Ok(text),
            Err(error) if begun.elapsed() > Duration::from_secs(20) => {
                return Err(error).with_context(|| url.to_owned());
            }
            Err(_) => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}
