//! `cairn export` and `cairn verify ledger`: a whole ledger as a file that anyone can check.
//!
//! Two files. `FILE` is the chain: a magic line, the chain id (32 bytes), then every block in
//! height order without its certificate, each with its length (u32, big-endian) in front. Every
//! validator exports the same bytes, up to the height that it has. `FILE.certificates`, of the same
//! form, is the proof: each validator keeps the first quorum of votes that it saw, so these differ
//! and any of them will do.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, IsTerminal, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use cairn_ledger::{
    audit::{Audit, Totals},
    block::Block,
    genesis::Genesis,
    ids::Height,
    limits::FRAME_BYTES_MAX,
};
use clap::Args;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{genesis, print::Printed};
use crate::{
    clock::Stopwatch,
    config::{Config, Overrides},
    exit::{ExitCode, Failure},
    node::store_failure,
    store::{Store, embedded::Embedded},
};

const MAGIC: &[u8] = b"cairn ledger export 1\n";

/// Write the whole ledger of a validator, which must not be running, into a file
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    cairn export --config validator-0/cairn.toml --out ledger.cairn\n  \
    cairn verify ledger ledger.cairn --genesis genesis.json")]
pub(super) struct Export {
    /// Configuration file of the validator
    #[arg(long, env = "CAIRN_CONFIG", value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    overrides: Overrides,
    /// Where to write the chain; its certificates go beside it, into FILE.certificates. A file
    /// that is there is not overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) fn export(arguments: &Export) -> Result<Printed, Failure> {
    let config = Config::load(&arguments.config, &arguments.overrides)?;
    let genesis = Arc::new(genesis::read(&config.genesis)?);
    if !config.data.join("store.json").exists() {
        let data = config.data.display();
        return Err(Failure::new(ExitCode::DataDirectory, format!("{data} holds no ledger")));
    }
    let store = Embedded::open(&config.data, Arc::clone(&genesis)).map_err(store_failure)?;
    let fail = |error: io::Error| {
        Failure::general(format!("{} cannot be written: {error}", arguments.out.display()))
    };
    let proof = certificates_of(&arguments.out);
    let mut chain = Output::create(&arguments.out, &genesis).map_err(fail)?;
    let mut certificates = Output::create(&proof, &genesis).map_err(fail)?;

    let tip = store.tip().0.height;
    let mut progress = Progress::new(tip.0);
    let mut transactions = 0;
    let mut height = Height(1);
    while let Some(block) = store.block(height).map_err(store_failure)? {
        block.certificate.verify(&genesis).map_err(|error| {
            Failure::new(ExitCode::Corrupt, format!("the certificate of block {height}: {error}"))
        })?;
        let (block_bytes, certificate) = block.encode_apart(genesis.validators().len());
        chain.put_record(&block_bytes).map_err(fail)?;
        certificates.put_record(&certificate).map_err(fail)?;
        transactions += u64::from(block.header.transactions);
        progress.at(height.0);
        height = height.next();
    }
    progress.done();
    store.stop();
    certificates.finish().map_err(fail)?;
    let bytes = chain.bytes;
    let sha256 = chain.finish().map_err(fail)?;
    let fields = [
        ("exported", format!("{tip} blocks, {transactions} transactions, {bytes} bytes")),
        ("sha-256", sha256.clone()),
        ("chain", arguments.out.display().to_string()),
        ("certificates", proof.display().to_string()),
    ];
    let json = json!({
        "blocks": tip, "transactions": transactions, "bytes": bytes, "sha256": sha256, "file": arguments.out, "certificates": proof,
    });
    Ok(Printed::fields(&fields, json))
}

/// Checks an exported ledger against a genesis: every certificate, signature and rule.
pub(super) fn verify(path: &Path, genesis: &Path) -> Result<Printed, Failure> {
    let genesis = Arc::new(genesis::read(genesis)?);
    let fail = |why: String| Failure::general(format!("{}: {why}", path.display()));
    let size =
        std::fs::metadata(path).map_err(|error| fail(format!("cannot be read: {error}")))?.len();
    let mut chain = open(path, &genesis)?;
    let mut certificates = open(&certificates_of(path), &genesis)?;
    let watch = Stopwatch::start();
    let mut audit = Audit::new(Arc::clone(&genesis));
    let mut progress = Progress::new(size);
    let mut read = 0;
    while let Some(bytes) = next_record(&mut chain).map_err(&fail)? {
        read += 4 + bytes.len() as u64;
        let height = audit.tip().height.next();
        let certificate = next_record(&mut certificates)
            .map_err(&fail)?
            .ok_or_else(|| fail(format!("the certificate of block {height} is missing")))?;
        let whole = Block::join(&bytes, &certificate).map_err(|error| fail(error.to_string()))?;
        audit.check(&whole).map_err(|error| {
            let after = audit.tip().height;
            fail(format!("does not hold after block {after}: {error}"))
        })?;
        progress.at(read);
    }
    progress.done();
    if next_record(&mut certificates).map_err(&fail)?.is_some() {
        return Err(fail("ends before its certificates do: blocks are missing".to_owned()));
    }
    Ok(verified(&audit, &genesis, watch.seconds()))
}

/// The file beside an exported chain.
fn certificates_of(chain: &Path) -> PathBuf {
    let mut name = chain.as_os_str().to_owned();
    name.push(".certificates");
    name.into()
}

/// Opens one of the two files, past its head.
fn open(path: &Path, genesis: &Genesis) -> Result<BufReader<File>, Failure> {
    let fail = |why: String| Failure::general(format!("{}: {why}", path.display()));
    let file = File::open(path).map_err(|error| fail(format!("cannot be read: {error}")))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut head = [0; MAGIC.len() + 32];
    reader.read_exact(&mut head).map_err(|_| fail("is no exported ledger".to_owned()))?;
    if head[..MAGIC.len()] != *MAGIC {
        return Err(fail("is no exported ledger of a version that this one reads".to_owned()));
    }
    if head[MAGIC.len()..] != genesis.chain().0 {
        let chain = hex::encode(&head[MAGIC.len()..]);
        return Err(fail(format!("is of chain {chain}, the genesis is of {}", genesis.chain())));
    }
    Ok(reader)
}

fn verified(audit: &Audit, genesis: &Genesis, seconds: f64) -> Printed {
    let Totals { blocks, committed, refused, signatures } = audit.totals();
    let tip = audit.tip();
    let rate = (committed + refused) as f64 / seconds.max(1e-9);
    let fields = [
        (
            "verified",
            format!("{blocks} blocks of {}, every certificate and every rule", genesis.name()),
        ),
        (
            "transactions",
            format!("{committed} committed, {refused} refused, {signatures} signatures checked"),
        ),
        ("state root", tip.state_root.to_string()),
        ("took", format!("{seconds:.2} s, {rate:.0} transactions a second")),
    ];
    let json = json!({
        "blocks": blocks, "committed": committed, "refused": refused, "signatures": signatures,
        "block": tip.block, "state_root": tip.state_root, "seconds": seconds,
    });
    Printed::fields(&fields, json)
}

/// The next record's bytes; nothing at the end of the file.
fn next_record(reader: &mut impl Read) -> Result<Option<Vec<u8>>, String> {
    let mut length = [0; 4];
    let mut got = 0;
    while got < length.len() {
        match reader.read(&mut length[got..]).map_err(|error| error.to_string())? {
            0 if got == 0 => return Ok(None),
            0 => return Err("ends in the middle of a block".to_owned()),
            more => got += more,
        }
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(format!("holds a record of {length} bytes; at most {FRAME_BYTES_MAX} fit"));
    }
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).map_err(|_| "ends in the middle of a block".to_owned())?;
    Ok(Some(bytes))
}

/// A file in the making.
struct Output {
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

impl Output {
    fn create(path: &Path, genesis: &Genesis) -> io::Result<Self> {
        let file = BufWriter::new(File::create_new(path)?);
        let mut output = Self { file, hash: Sha256::new(), bytes: 0 };
        output.put(MAGIC)?;
        output.put(&genesis.chain().0)?;
        Ok(output)
    }

    fn put_record(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).expect("a block is one frame");
        self.put(&length.to_be_bytes())?;
        self.put(bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    /// Syncs it; answers its SHA-256.
    fn finish(self) -> io::Result<String> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(hex::encode(self.hash.finalize()))
    }
}

/// A line on a terminal that says how far it is.
struct Progress {
    of: u64,
    percent: u64,
    shown: bool,
}

impl Progress {
    fn new(of: u64) -> Self {
        Self { of: of.max(1), percent: 0, shown: io::stderr().is_terminal() }
    }

    fn at(&mut self, now: u64) {
        let percent = (now * 100 / self.of).min(100);
        if self.shown && percent != self.percent {
            self.percent = percent;
            let bar = "#".repeat(usize::try_from(percent / 4).expect("a percentage is small"));
            eprint!("\r  [{bar:<25}] {percent:>3} %");
        }
    }

    fn done(&self) {
        if self.shown && self.percent > 0 {
            eprint!("\r{:40}\r", "");
        }
    }
}
