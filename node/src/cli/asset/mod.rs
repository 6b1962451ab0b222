//! `cairn asset`: make assets, give them on, and see what became of them.

mod create;
mod history;
mod recipient;
mod show;
mod transfer;

use std::path::Path;

use cairn_ledger::{ids::TransactionId, signature::SigningKey};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

pub(super) use self::show::owners;
use super::{
    Context,
    client::{Answer, Client, Kind},
    print::Printed,
    profile::{Connection, Signer},
};
use crate::{exit::Failure, keys};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create an asset and wait until the federation has decided it
    #[command(after_help = "Examples:\n  \
        cairn asset create --key alice.key --data '{\"bicycle\": {\"serial\": \"A-17\"}}'\n  \
        cairn asset create --key alice.key --data @car.json --metadata '{\"km\": 0}'\n  \
        cairn asset create --key mint.key --data '{\"token\": \"T\"}' --to ALICE:70 --to BOB:30\n  \
        cairn asset create --key alice.key --data '{}' --to ALICE+BOB    both must sign to spend it\n  \
        cairn asset create --key alice.key --data '{}' --dry-run > signed.json; cairn tx send signed.json")]
    Create(create::Arguments),
    /// Give an asset, or a part of it, to other keys
    #[command(after_help = "Examples:\n  \
        cairn asset transfer --key alice.key --asset ID --to BOB               all of it\n  \
        cairn asset transfer --key alice.key --asset ID --to BOB:3 --to CAROL:2\n  \
        cairn asset transfer --key alice.key --key bob.key --asset ID --to CAROL   what both own\n  \
        cairn asset transfer --key alice.key --asset ID --spend TX:0 --to BOB    exactly that output\n\n\
        What is left over goes back to the owners of what was spent.")]
    Transfer(transfer::Arguments),
    /// Show an asset: its data, where it was made, and who holds it now
    #[command(after_help = "Example:\n  cairn asset show ID")]
    Show {
        /// The asset's id: that of the transaction that created it
        id: TransactionId,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show everything that happened to an asset, oldest first
    #[command(after_help = "Examples:\n  \
        cairn asset history ID\n  \
        cairn asset history ID --output json | jq .metadata")]
    History(history::Arguments),
    /// List what a key holds
    #[command(after_help = "Examples:\n  \
        cairn asset list --key alice.key\n  \
        cairn asset list --owner PUBLICKEY --output json")]
    List(history::ListArguments),
    /// Fetch the receipt of a transaction: proof, for anyone, that the federation decided it
    #[command(after_help = "Example:\n  \
        cairn asset receipt ID > receipt.json\n  \
        cairn verify receipt receipt.json --genesis genesis.json")]
    Receipt {
        /// The transaction's id
        id: TransactionId,
        #[command(flatten)]
        connection: Connection,
    },
}

/// What a command waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Wait {
    /// The validator has taken it in: it will be decided.
    Accepted,
    /// The federation has decided it.
    #[default]
    Committed,
}

impl Wait {
    /// The word of the API.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Committed => "committed",
        }
    }
}

/// What becomes of a transaction that was made here.
#[derive(Debug, Args)]
struct Sending {
    /// What to wait for
    #[arg(long, value_enum, default_value_t = Wait::Committed)]
    wait: Wait,
    /// Print the signed transaction instead of sending it; cairn tx send sends it
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(command: Command, context: &Context) -> Result<Printed, Failure> {
    match command {
        Command::Create(arguments) => create::run(&arguments, context),
        Command::Transfer(arguments) => transfer::run(&arguments, context),
        Command::Show { id, connection } => {
            show::run(&Client::new(&connection, context)?, &id, context)
        }
        Command::History(arguments) => history::run(&arguments, context),
        Command::List(arguments) => history::list(&arguments, context),
        Command::Receipt { id, connection } => receipt(&Client::new(&connection, context)?, &id),
    }
}

/// The receipt as the validator gave it, in either form of output: it is a file's content.
pub(super) fn receipt(client: &Client, id: &TransactionId) -> Result<Printed, Failure> {
    let answer = client.get(&format!("/api/v2/transactions/{id}/receipt"))?;
    let receipt = answer.json()?;
    Ok(Printed { table: format!("{receipt:#}\n"), json: Some(receipt) })
}

/// The keys that sign, the first of which is the issuer or the one who gets what is left.
fn signers(signer: &Signer, context: &Context) -> Result<Vec<SigningKey>, Failure> {
    context.profile.keys(signer)?.iter().map(|file| keys::read(file)).collect()
}

/// JSON from a flag: the text itself, or what is in the file after an `@`.
fn json_text(flag: &str, value: &str) -> Result<String, Failure> {
    let Some(path) = value.strip_prefix('@') else { return Ok(value.to_owned()) };
    let fail = |why: String| Failure::general(format!("{flag} {value}: {why}"));
    let size = std::fs::metadata(Path::new(path))
        .map_err(|error| fail(format!("cannot be read: {error}")))?
        .len();
    let most = cairn_ledger::limits::TRANSACTION_BYTES_MAX as u64;
    if size > most {
        return Err(fail(format!("{size} bytes do not fit in a transaction; at most {most} do")));
    }
    std::fs::read_to_string(path).map_err(|error| fail(format!("cannot be read: {error}")))
}

/// Sends a transaction that was made here, or shows it.
fn send(client: &Client, transaction: &[u8], sending: &Sending) -> Result<Printed, Failure> {
    let text = String::from_utf8_lossy(transaction);
    if sending.dry_run {
        // Byte for byte: the id is a hash of the text.
        return Ok(Printed { table: format!("{text}\n"), json: None });
    }
    let made: Value = serde_json::from_slice(transaction).map_err(Failure::general)?;
    let path = format!("/api/v2/transactions?wait={}", sending.wait.word());
    let unsure = |failure: Failure| {
        let id = made["id"].as_str().unwrap_or_default();
        let advice = "sending it again does no harm, cairn tx show says what became of it";
        Failure { message: format!("{failure}; it is transaction {id}: {advice}"), ..failure }
    };
    let answer = client.post(&path, Kind::Json, transaction).map_err(unsure)?;
    if answer.status >= 500 {
        return Err(unsure(answer.said()));
    }
    sent(&answer.well()?, &made)
}

fn sent(answer: &Answer, made: &Value) -> Result<Printed, Failure> {
    let report = answer.json()?;
    let id = made["id"].as_str().unwrap_or_default().to_owned();
    let asset = asset_of(made).unwrap_or_default().to_owned();
    let outcome = match report["status"].as_str() {
        Some("committed") => "committed",
        Some("pending") => "accepted",
        _ => return Err(Failure::general(format!("{} answered {report}", answer.url))),
    };
    let mut fields = vec![(outcome, id.clone()), ("asset", asset.clone())];
    if let Some(height) = report["height"].as_u64() {
        fields.push(("block", height.to_string()));
    }
    let json = json!({
        "outcome": outcome, "transaction_id": id, "asset_id": asset,
        "height": report["height"], "index": report["index"],
    });
    Ok(Printed::fields(&fields, json))
}

/// The asset that a transaction makes or moves.
pub(super) fn asset_of(transaction: &Value) -> Option<&str> {
    match &transaction["asset"]["id"] {
        Value::String(id) => Some(id),
        _ => transaction["id"].as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asset_is_that_of_the_transaction_or_the_transaction_itself() {
        let create = json!({ "id": "a", "operation": "CREATE", "asset": { "data": null } });
        let transfer = json!({ "id": "b", "operation": "TRANSFER", "asset": { "id": "a" } });
        assert_eq!((asset_of(&create), asset_of(&transfer)), (Some("a"), Some("a")));
    }

    #[test]
    fn json_comes_from_the_flag_or_from_a_file() {
        assert_eq!(json_text("--data", "{}").unwrap(), "{}");
        let path = std::env::temp_dir().join(format!("cairn-json-{}", std::process::id()));
        std::fs::write(&path, "{\"a\": 1}").unwrap();
        assert_eq!(json_text("--data", &format!("@{}", path.display())).unwrap(), "{\"a\": 1}");
        std::fs::write(&path, vec![b' '; 70_000]).unwrap();
        let error = json_text("--data", &format!("@{}", path.display())).unwrap_err();
        assert!(error.message.contains("at most"), "{error}");
        std::fs::remove_file(&path).unwrap();
        assert!(json_text("--data", "@/nowhere").unwrap_err().message.contains("--data @/nowhere"));
    }
}
