//! `cairn verify`: proofs, checked offline against a genesis and nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
};

use cairn_ledger::{
    execution::Outcome,
    receipt::{Proven, Receipt},
};
use clap::Subcommand;
use serde_json::json;

use super::{genesis, ledger, print::Printed};
use crate::exit::Failure;

/// Larger than the receipt of the largest transaction.
const RECEIPT_FILE_BYTES_MAX: u64 = 4 << 20;

/// The last moment that the printed form of a time has room for.
const YEAR_9999_MS: u64 = 253_402_300_799_000;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check a receipt: was this transaction decided by that federation?
    #[command(after_help = "Example:\n  \
        curl -s http://127.0.0.1:9984/api/v2/transactions/ID/receipt > receipt.json\n  \
        cairn verify receipt receipt.json --genesis genesis.json")]
    Receipt {
        /// Receipt file
        file: PathBuf,
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

pub(super) fn run(command: &Command) -> Result<Printed, Failure> {
    match command {
        Command::Receipt { file, genesis } => receipt(file, genesis),
        Command::Ledger { file, genesis } => ledger::verify(file, genesis),
    }
}

fn receipt(file: &Path, genesis: &Path) -> Result<Printed, Failure> {
    let genesis = genesis::read(genesis)?;
    let fail = |why: String| Failure::general(format!("{}: {why}", file.display()));
    let size = fs::metadata(file).map_err(|error| fail(format!("cannot be read: {error}")))?.len();
    if size > RECEIPT_FILE_BYTES_MAX {
        return Err(fail(format!(
            "{size} bytes are no receipt; at most {RECEIPT_FILE_BYTES_MAX} are"
        )));
    }
    let text =
        fs::read_to_string(file).map_err(|error| fail(format!("cannot be read: {error}")))?;
    let proven = Receipt::from_json(&text)
        .and_then(|receipt| receipt.verify(&genesis))
        .map_err(|error| fail(format!("proves nothing: {error}")))?;
    Ok(printed(&proven, genesis.name()))
}

fn printed(proven: &Proven, chain: &str) -> Printed {
    let Proven { id, place, outcome, time_ms, signers } = proven;
    let (word, reason) = match outcome {
        Outcome::Committed => ("committed", None),
        Outcome::Refused(recorded) => ("refused", Some(recorded.text.clone())),
    };
    let mut fields = vec![
        ("proven", format!("the federation of {chain} decided this transaction")),
        ("transaction", id.map_or_else(|| "without an id".to_owned(), |id| id.to_string())),
        ("outcome", word.to_owned()),
    ];
    fields.extend(reason.clone().map(|reason| ("reason", reason)));
    fields.push(("block", format!("height {}, index {}", place.height, place.index)));
    let time =
        std::time::UNIX_EPOCH + std::time::Duration::from_millis((*time_ms).min(YEAR_9999_MS));
    fields.push(("time", httpdate::fmt_http_date(time)));
    fields.push(("signed by", signers.join(", ")));
    let json = json!({
        "chain": chain, "transaction_id": id, "outcome": word, "reason": reason,
        "height": place.height, "index": place.index, "time_ms": time_ms, "signers": signers,
    });
    Printed::fields(&fields, json)
}
