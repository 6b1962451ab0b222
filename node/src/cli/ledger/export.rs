//! `cairn export`: out of a stopped validator's data directory.

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use cairn_ledger::{block::Block, genesis::Genesis, ids::Height};
use clap::Args;
use serde_json::json;

use super::records::{Draft, Output, certificates_of, unwritable};
use crate::{
    cli::{interrupt::Interrupt, print::Printed, progress::Progress},
    config::{Config, Overrides},
    exit::{ExitCode, Failure},
    node::{genesis_of, open_store, store_failure},
    store::Store,
};

/// Write the whole ledger of a validator, which must not be running, into a file
#[derive(Debug, Args)]
#[command(after_help = "\
Every certificate is checked on the way. FILE is the same on every validator, byte for byte, up
to the height that each has; FILE.certificates differs, since each keeps the first quorum of votes that
it saw, and any of them proves the chain. A stream (--out -) has both in one. Nothing is left behind by
an export that does not end well.

Examples:
  cairn export --config validator-0/cairn.toml --out ledger.cairn
  cairn verify ledger ledger.cairn --genesis genesis.json
  cairn export --config validator-0/cairn.toml --out - | zstd > ledger.zst
  zstd -dc ledger.zst | cairn import - --genesis genesis.json --data ./data")]
pub(in crate::cli) struct Export {
    /// Configuration file of the validator
    #[arg(long, env = "CAIRN_CONFIG", value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    overrides: Overrides,
    /// Where to write the chain; its certificates go beside it, into FILE.certificates. A file
    /// that is there is not overwritten; - is stdout
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(in crate::cli) fn export(arguments: &Export) -> Result<Printed, Failure> {
    let config = Config::load(&arguments.config, &arguments.overrides)?;
    let genesis = Arc::new(genesis_of(&config)?);
    if !config.data.join("store.json").exists() {
        let data = config.data.display();
        return Err(Failure::new(ExitCode::DataDirectory, format!("{data} holds no ledger")));
    }
    let store = open_store(&config, &genesis)?;
    let progress = Progress::blocks("exporting", store.tip().0.height.0).alone();
    let interrupt = Interrupt::listen()?;
    let blocks = Blocks { store: &*store, genesis: &genesis, interrupt, progress };
    let printed = if arguments.out == Path::new("-") {
        to_stdout(&blocks)
    } else {
        to_files(&blocks, &arguments.out)
    };
    blocks.progress.done();
    store.stop();
    printed
}

/// What is exported.
pub(super) struct Blocks<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) genesis: &'a Genesis,
    pub(super) interrupt: Interrupt,
    pub(super) progress: Progress,
}

impl Blocks<'_> {
    /// Hands on every block, its certificate checked; how many there were, and transactions.
    fn each(
        &self,
        mut take: impl FnMut(&[u8], &[u8]) -> Result<(), Failure>,
    ) -> Result<(Height, u64), Failure> {
        let (mut last, mut transactions) = (Height(0), 0);
        while let Some(block) = self.store.block(last.next()).map_err(store_failure)? {
            self.interrupt.check()?;
            let height = last.next();
            block.certificate.verify(self.genesis).map_err(|error| {
                let why = format!("the certificate of block {height}: {error}");
                Failure::new(ExitCode::Corrupt, why)
            })?;
            let (chain, certificate) = Block::encode_apart(&block, self.genesis.validators().len());
            take(&chain, &certificate)?;
            transactions += u64::from(block.header.transactions);
            last = height;
            self.progress.at(height.0);
        }
        Ok((last, transactions))
    }

    /// Writes a stream.
    pub(super) fn stream(&self, to: impl Write) -> Result<(Height, u64, u64, String), Failure> {
        let fail = |error: io::Error| unwritable(Path::new("the stream"), &error);
        let mut output = Output::stream(to, self.genesis).map_err(fail)?;
        let (last, transactions) = self.each(|chain, certificate| {
            output.put_record(chain).and_then(|()| output.put_record(certificate)).map_err(fail)
        })?;
        output.put_end(last).map_err(fail)?;
        let (mut to, bytes, sha256) = output.finish().map_err(fail)?;
        to.flush().map_err(fail)?;
        Ok((last, transactions, bytes, sha256))
    }
}

fn to_stdout(blocks: &Blocks<'_>) -> Result<Printed, Failure> {
    let stdout = io::stdout().lock();
    if stdout.is_terminal() {
        return Err(Failure::general("a ledger is no text: send it into a file or a pipe"));
    }
    let (last, transactions, bytes, sha256) = blocks.stream(stdout)?;
    // Stdout has another use.
    eprintln!(
        "exported {last} blocks, {transactions} transactions, {bytes} bytes, sha-256 {sha256}"
    );
    Ok(Printed::nothing())
}

pub(super) fn to_files(blocks: &Blocks<'_>, out: &Path) -> Result<Printed, Failure> {
    let proof = certificates_of(out);
    let (chain_draft, proof_draft) = (Draft::new(out)?, Draft::new(&proof)?);
    let fail = |error: io::Error| unwritable(out, &error);
    let mut chain = Output::apart(&chain_draft.file, blocks.genesis).map_err(fail)?;
    let mut certificates = Output::apart(&proof_draft.file, blocks.genesis).map_err(fail)?;
    let (last, transactions) = blocks.each(|block, certificate| {
        chain.put_record(block).and_then(|()| certificates.put_record(certificate)).map_err(fail)
    })?;
    let (_, bytes, sha256) = chain.finish().map_err(fail)?;
    certificates.finish().map_err(fail)?;
    // The chain last: once it is there, everything is.
    proof_draft.publish()?;
    if let Err(failure) = chain_draft.publish() {
        let _ = std::fs::remove_file(&proof);
        return Err(failure);
    }
    let fields = [
        ("exported", format!("{last} blocks, {transactions} transactions, {bytes} bytes")),
        ("sha-256", sha256.clone()),
        ("chain", out.display().to_string()),
        ("certificates", proof.display().to_string()),
    ];
    let json = json!({
        "blocks": last, "transactions": transactions, "bytes": bytes, "sha256": sha256,
        "file": out, "certificates": proof,
    });
    Ok(Printed::fields(&fields, json))
}
