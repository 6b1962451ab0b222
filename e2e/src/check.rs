//! The independent checker: whatever the answers said, this looks for itself. Transactions are
//! read back from other validators than the ones they were sent to; all validators are killed and
//! come back; each exports its ledger, the exports are compared byte for byte, and one is verified
//! from the first block to the last, as a stranger would.

use std::{path::Path, time::Duration};

use anyhow::bail;
use cairn_ledger::ids::TransactionId;
use serde::Serialize;

use crate::{
    clock::now,
    federation::{Federation, Kinds, Verified},
    http::Connection,
    progress::say,
};

/// What was found right.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Checked {
    /// Transactions that were read back from another validator, of as many.
    pub(crate) read_back: usize,
    /// Transactions that had to be refused and are not in the ledger, of as many.
    pub(crate) absent: usize,
    /// From SIGKILL of all to all serving again.
    pub(crate) restart_seconds: f64,
    /// Size of each export; all are identical.
    pub(crate) export_bytes: usize,
    /// What `cairn verify ledger` counted: as many committed ones as were answered.
    pub(crate) verified: Verified,
    /// How long export and verification took.
    pub(crate) seconds: f64,
}

/// What should be in the ledger, and what should not: some of each.
#[derive(Default)]
pub(crate) struct Sample {
    /// Transactions whose commit was answered.
    pub(crate) committed: Vec<TransactionId>,
    /// Transactions that had to be refused.
    pub(crate) refused: Vec<TransactionId>,
    /// How many commits were answered.
    pub(crate) answered: usize,
    /// How many had no answer: they may be committed or not.
    pub(crate) undecided: usize,
}

/// Checks a federation, and ends it.
pub(crate) async fn check(
    federation: Federation,
    kinds: &Kinds,
    sample: &Sample,
) -> anyhow::Result<Checked> {
    say("reading back from every validator ...");
    let addresses = federation.addresses();
    for (ids, wanted) in [(&sample.committed, true), (&sample.refused, false)] {
        read_back(&addresses, ids, wanted).await?;
    }
    say("killing all, starting again ...");
    let mut federation = federation.restarted(kinds).await?;
    let restart_seconds = federation.ready_after.as_secs_f64();
    same_height(&federation.addresses()).await?;
    federation.stop().await?;

    say("exporting from all, checking every block ...");
    let start = now();
    let mut exports = Vec::new();
    for validator in 0..kinds.validators {
        exports.push(federation.export(validator).await?);
    }
    let export_bytes = identical(&exports)?;
    let verified = federation.verify(&exports[0]).await?;
    counted(sample, verified.committed)?;
    let seconds = start.elapsed().as_secs_f64();
    let (read_back, absent) = (sample.committed.len(), sample.refused.len());
    Ok(Checked { read_back, absent, restart_seconds, export_bytes, verified, seconds })
}

/// Whether as many are committed as were said to be.
fn counted(sample: &Sample, committed: usize) -> anyhow::Result<()> {
    let Sample { answered, undecided, .. } = *sample;
    if !(answered..=answered + undecided).contains(&committed) {
        bail!(
            "{committed} transactions are committed; {answered} were answered, {undecided} were not"
        );
    }
    Ok(())
}

/// The size of each of these files, which must all be the same.
fn identical<P: AsRef<Path>>(files: &[P]) -> anyhow::Result<usize> {
    let Some((first, others)) = files.split_first() else { bail!("nothing was exported") };
    let expected = std::fs::read(first)?;
    for other in others {
        if std::fs::read(other)? != expected {
            bail!("{} differs from {}", other.as_ref().display(), first.as_ref().display());
        }
    }
    Ok(expected.len())
}

/// Waits until every validator has every block that any of them has.
async fn same_height(addresses: &[String]) -> anyhow::Result<()> {
    for _ in 0..300 {
        let mut heights = Vec::new();
        for address in addresses {
            let mut connection = Connection::open(address).await?;
            heights.push(connection.get("/api/v1/validators").await?.height);
        }
        if heights.iter().all(|height| *height == heights[0]) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("the validators do not come to the same height")
}

/// Asks the validators, one after the other, for one transaction each: it is there, or it is not.
async fn read_back(
    addresses: &[String],
    ids: &[TransactionId],
    wanted: bool,
) -> anyhow::Result<()> {
    same_height(addresses).await?;
    let mut connections = Vec::new();
    for address in addresses {
        connections.push(Connection::open(address).await?);
    }
    for (index, id) in ids.iter().enumerate() {
        let at = index % connections.len();
        let answer = connections[at].get(&format!("/api/v2/transactions/{id}")).await?;
        let said = String::from_utf8_lossy(&answer.body);
        let there = answer.status == 200 && said.contains("\"status\":\"committed\"");
        if there != wanted {
            let should = if wanted { "should be" } else { "should not be" };
            bail!(
                "transaction {id} {should} committed, and {} says {} {said}",
                addresses[at],
                answer.status
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    #[test]
    fn exports_that_differ_in_one_byte_are_not_identical() -> anyhow::Result<()> {
        let directory = std::env::temp_dir().join(format!("cairn-check-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let write = |name: &str, text: &str| {
            let file = directory.join(name);
            std::fs::write(&file, text).map(|()| file)
        };
        let (one, same, other) = (write("a", "12")?, write("b", "12")?, write("c", "13")?);
        assert_eq!(identical(&[&one, &same])?, 2);
        assert!(identical(&[&one, &same, &other]).is_err());
        assert!(identical::<&Path>(&[]).is_err());
        std::fs::remove_dir_all(directory)?;
        Ok(())
    }

    #[test]
    fn as_many_are_committed_as_were_answered() {
        #[rustfmt::skip]
        let table = [ // answered, undecided, committed
            (10, 0, 10, true,  "the same"),
            (10, 0,  9, false, "one was lost"),
            (10, 0, 11, false, "one too many"),
            (10, 2, 12, true,  "those without an answer were committed"),
            (10, 2,  9, false, "one was lost"),
            (10, 2, 13, false, "one too many"),
        ];
        for (answered, undecided, committed, right, why) in table {
            let sample = Sample { answered, undecided, ..Sample::default() };
            assert_eq!(counted(&sample, committed).is_ok(), right, "{why}");
        }
    }

    /// A validator that says the same of everything.
    async fn stub(answer: &'static str) -> anyhow::Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut request = [0; 1024];
                    while stream.read(&mut request).await? > 0 {
                        stream.write_all(answer.as_bytes()).await?;
                    }
                    std::io::Result::Ok(())
                });
            }
        });
        Ok(address)
    }

    #[tokio::test]
    async fn what_is_missing_or_should_be_is_found_out() -> anyhow::Result<()> {
        const THERE: &str = "HTTP/1.1 200 OK\r\ncairn-height: 3\r\ncontent-length: 22\r\n\r\n{\"status\":\"committed\"}";
        const NOT: &str =
            "HTTP/1.1 404 Not Found\r\ncairn-height: 3\r\ncontent-length: 2\r\n\r\n{}";
        let ids = [TransactionId([7; 32])];
        for (answer, wanted, right) in
            [(THERE, true, true), (NOT, true, false), (THERE, false, false), (NOT, false, true)]
        {
            let found = read_back(&[stub(answer).await?], &ids, wanted).await;
            assert_eq!(found.is_ok(), right, "{answer} {wanted}");
        }
        Ok(())
    }
}
