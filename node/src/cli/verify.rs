//! `cairn verify`: proofs, checked offline against a genesis and nothing else.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use cairn_verifier::{FILE_BYTES_MAX, Genesis, Invalid, Outcome, Proven};
use clap::Subcommand;
use serde_json::Value;

use super::{
    Output, ledger,
    print::{self, Printed},
};
use crate::exit::{ExitCode, Failure};

/// The last moment that the printed form of a time has room for.
const YEAR_9999_MS: u64 = 253_402_300_799_000;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check receipts: were these transactions decided by that federation?
    #[command(after_help = "Exit code 0 when all are proof, 1 when any is not.\n\n\
        Examples:\n  \
        curl -s http://127.0.0.1:9984/api/v2/transactions/ID/receipt > receipt.json\n  \
        cairn verify receipt receipt.json --genesis genesis.json\n  \
        cairn asset receipt ID | cairn verify receipt - --genesis genesis.json\n  \
        cairn verify receipt receipts/*.json --genesis genesis.json --output json")]
    Receipt {
        /// Receipt files; `-` reads one from stdin
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The genesis of the chain that you trust
        #[arg(long, value_name = "FILE")]
        genesis: PathBuf,
    },
    /// Check a whole exported ledger: every certificate, every signature, every rule
    #[command(after_help = "Example:\n  \
        cairn export --config validator-0/cairn.toml --out ledger.cairn\n  \
        cairn verify ledger ledger.cairn --genesis genesis.json")]
    Ledger {
        /// Exported ledger
        file: PathBuf,
        /// The genesis of the chain that you trust
        #[arg(long, value_name = "FILE")]
        genesis: PathBuf,
    },
}

pub(super) fn run(command: &Command, output: Output) -> Result<Printed, Failure> {
    match command {
        Command::Receipt { files, genesis } => receipts(files, genesis, output),
        Command::Ledger { file, genesis } => ledger::verify(file, genesis),
    }
}

fn receipts(files: &[PathBuf], genesis: &Path, output: Output) -> Result<Printed, Failure> {
    let unsound = |why: &dyn std::fmt::Display| {
        Failure::new(ExitCode::Genesis, format!("{}: {why}", genesis.display()))
    };
    let text = read(genesis).map_err(|why| unsound(&why))?;
    let genesis = Genesis::read(&text).map_err(|invalid| unsound(&invalid))?;
    let verdicts: Vec<Verdict> = files.iter().map(|file| Verdict::on(file, &genesis)).collect();
    let bad: Vec<String> = verdicts.iter().filter_map(Verdict::complaint).collect();
    let printed = print_all(&verdicts);
    if bad.is_empty() {
        return Ok(printed);
    }
    // What was found out is said, whatever the others are.
    if output == Output::Json || bad.len() < files.len() {
        print::out(&printed.text(output))?;
    }
    Err(Failure::general(bad.join("\ncairn: ")))
}

/// What is said of one file.
struct Verdict<'a> {
    file: &'a Path,
    answer: Result<Proven, Fault>,
}

/// Why a file proves nothing.
enum Fault {
    Unreadable(String),
    Invalid(Invalid),
}

impl<'a> Verdict<'a> {
    fn on(file: &'a Path, genesis: &Genesis) -> Self {
        let read = read(file).map_err(Fault::Unreadable);
        let verify = |text: Vec<u8>| cairn_verifier::verify(&text, genesis).map_err(Fault::Invalid);
        Self { file, answer: read.and_then(verify) }
    }

    fn complaint(&self) -> Option<String> {
        let file = self.file.display();
        match self.answer.as_ref().err()? {
            Fault::Unreadable(why) => Some(format!("{file}: {why}")),
            Fault::Invalid(invalid) => Some(format!("{file}: proves nothing: {invalid}")),
        }
    }

    fn json(&self) -> Value {
        let mut json = match &self.answer {
            Ok(proven) => proven.to_json(),
            Err(Fault::Invalid(invalid)) => invalid.to_json(),
            Err(Fault::Unreadable(why)) => {
                serde_json::json!({"valid": false, "field": "receipt", "reason": why})
            }
        };
        json["file"] = self.file.display().to_string().into();
        json
    }
}

/// One file gives one verdict, several give a list.
fn print_all(verdicts: &[Verdict<'_>]) -> Printed {
    let tables: Vec<String> = verdicts
        .iter()
        .filter_map(|verdict| Some((verdict.file, verdict.answer.as_ref().ok()?)))
        .map(|(file, proven)| table(file, proven, verdicts.len() > 1))
        .collect();
    let mut json: Vec<Value> = verdicts.iter().map(Verdict::json).collect();
    let json = if json.len() == 1 { json.pop() } else { Some(json.into()) };
    Printed { table: tables.join("\n"), json }
}

fn table(file: &Path, proven: &Proven, named: bool) -> String {
    let Proven { chain, chain_id: _, transaction_id, outcome, height, index, .. } = proven;
    let Proven { block_id: _, time_ms, signers, signed_power, total_power, .. } = proven;
    let mut fields = Vec::new();
    if named {
        fields.push(("receipt", file.display().to_string()));
    }
    fields.push(("proven", format!("the federation of {chain} decided this transaction")));
    let id = transaction_id.map_or_else(|| "without an id".to_owned(), hex::encode);
    fields.push(("transaction", id));
    match outcome {
        Outcome::Committed => fields.push(("outcome", "committed".to_owned())),
        Outcome::Refused { number: _, text } => {
            fields.push(("outcome", "refused".to_owned()));
            fields.push(("reason", text.clone()));
        }
    }
    fields.push(("block", format!("height {height}, index {index}")));
    let time =
        std::time::UNIX_EPOCH + std::time::Duration::from_millis((*time_ms).min(YEAR_9999_MS));
    fields.push(("time", httpdate::fmt_http_date(time)));
    let names = signers.join(", ");
    fields.push(("signed by", format!("{names} ({signed_power} of {total_power} voting power)")));
    Printed::fields(&fields, Value::Null).table
}

/// A whole file, or stdin, of at most what the verifier reads.
fn read(file: &Path) -> Result<Vec<u8>, String> {
    let fail = |error: std::io::Error| format!("cannot be read: {error}");
    let source: Box<dyn Read> = match file.to_str() {
        Some("-") => Box::new(std::io::stdin()),
        _ => Box::new(File::open(file).map_err(fail)?),
    };
    let mut text = Vec::new();
    // One byte more, so that the verifier sees that it is too large.
    source.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut text).map_err(fail)?;
    Ok(text)
}
