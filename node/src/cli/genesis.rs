//! `cairn genesis`: the record that founds a chain.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    str::FromStr,
};

use cairn_ledger::{
    genesis::{Genesis, Validator},
    ids::PublicKey,
};
use clap::Subcommand;
use serde_json::json;

use super::print::{Printed, table};
use crate::{
    clock,
    exit::{ExitCode, Failure},
};

const EXAMPLE: &str = "\
Each member makes a member key, and its node a consensus key; only public keys are exchanged:
  cairn genesis new --name bikes --out genesis.json \\
    --validator name=alice,consensus_key=4K9s…,member_key=3yfQ… \\
    --validator name=bob,consensus_key=Hwre…,member_key=9Yqp…,power=2";

/// Larger than the record of the most validators.
const GENESIS_FILE_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make the record
    #[command(after_help = EXAMPLE)]
    New {
        /// The chain's name
        #[arg(long)]
        name: String,
        /// A founding validator; once for each
        #[arg(
            long = "validator",
            required = true,
            value_name = "name=…,consensus_key=…,member_key=…[,power=1]"
        )]
        validators: Vec<Founder>,
        /// File to write; never overwritten
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Show a record
    Show {
        /// Genesis file
        file: PathBuf,
    },
    /// Check a record; exit code 11 when it is not sound
    Verify {
        /// Genesis file
        file: PathBuf,
    },
}

/// A validator as the command line names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Founder(Validator);

impl FromStr for Founder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut name, mut consensus, mut member, mut power) = (None, None, None, None);
        for part in text.split(',') {
            let (field, value) =
                part.split_once('=').ok_or_else(|| format!("{part:?} is not field=value"))?;
            let slot = match field.trim() {
                "name" => &mut name,
                "consensus_key" => &mut consensus,
                "member_key" => &mut member,
                "power" => &mut power,
                other => {
                    return Err(format!(
                        "no field {other:?}; name, consensus_key, member_key and power are fine"
                    ));
                }
            };
            if slot.replace(value.trim()).is_some() {
                return Err(format!("{} is given twice", field.trim()));
            }
        }
        let key = |field: &str, text: Option<&str>| {
            text.ok_or_else(|| format!("{field} is missing"))?
                .parse::<PublicKey>()
                .map_err(|error| format!("{field}: {error}"))
        };
        Ok(Self(Validator {
            name: name.ok_or("name is missing")?.to_owned(),
            consensus_key: key("consensus_key", consensus)?,
            member_key: key("member_key", member)?,
            power: match power {
                None => 1,
                Some(text) => {
                    text.parse().map_err(|_| format!("power: {text:?} is no whole number"))?
                }
            },
        }))
    }
}

pub(super) fn run(command: Command) -> Result<Printed, Failure> {
    match command {
        Command::New { name, validators, out } => {
            let validators = validators.into_iter().map(|Founder(validator)| validator).collect();
            let genesis = Genesis::new(name, clock::random(), validators).map_err(unsound)?;
            write_new(&out, &genesis)?;
            Ok(printed(&genesis))
        }
        Command::Show { file } => Ok(printed(&read(&file)?)),
        Command::Verify { file } => {
            let genesis = read(&file)?;
            let json = json!({ "sound": true, "chain_id": genesis.chain() });
            let said = format!("sound: chain {} ({})\n", genesis.chain(), genesis.name());
            Ok(Printed { table: said, json: Some(json) })
        }
    }
}

fn unsound(error: impl std::fmt::Display) -> Failure {
    Failure::new(ExitCode::Genesis, error)
}

/// Reads and checks a genesis file.
pub(super) fn read(path: &Path) -> Result<Genesis, Failure> {
    let fail = |why: String| unsound(format!("{}: {why}", path.display()));
    let size = fs::metadata(path).map_err(|error| fail(format!("cannot be read: {error}")))?.len();
    if size > GENESIS_FILE_BYTES_MAX {
        return Err(fail(format!(
            "{size} bytes are no genesis; at most {GENESIS_FILE_BYTES_MAX} are"
        )));
    }
    let text =
        fs::read_to_string(path).map_err(|error| fail(format!("cannot be read: {error}")))?;
    Genesis::from_json(&text).map_err(|error| fail(error.to_string()))
}

/// Writes a new genesis file, whole or not at all.
pub(super) fn write_new(path: &Path, genesis: &Genesis) -> Result<(), Failure> {
    let fail = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::general(format!(
            "{} exists; a genesis is never overwritten: choose another name",
            path.display()
        )),
        _ => Failure::general(format!("cannot write {}: {error}", path.display())),
    };
    let draft = path.with_extension("draft");
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&draft)?;
        file.write_all(genesis.to_json().as_bytes())?;
        file.sync_all()?;
        // Unlike a rename, a link does not replace what is there.
        fs::hard_link(&draft, path)
    };
    let written = write();
    let _ = fs::remove_file(&draft);
    written.map_err(fail)
}

fn printed(genesis: &Genesis) -> Printed {
    let mut rows =
        vec![["name", "power", "consensus key", "member key"].map(str::to_owned).to_vec()];
    rows.extend(genesis.validators().iter().map(|validator| {
        let Validator { name, consensus_key, member_key, power } = validator;
        vec![name.clone(), power.to_string(), consensus_key.to_string(), member_key.to_string()]
    }));
    let head = [
        vec!["chain".to_owned(), genesis.name().to_owned()],
        vec!["chain id".to_owned(), genesis.chain().to_string()],
    ];
    let json = serde_json::from_str(&genesis.to_json()).expect("a genesis writes JSON");
    Printed { table: format!("{}\n{}", table(&head), table(&rows)), json: Some(json) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_founder_is_read_field_by_field() {
        let key = "4K9sWUMFwTgaDGPfdynrbxWqWS6sWmKbZoTjxLtVUibD";
        let founder: Founder =
            format!("name=alice,consensus_key={key},member_key={key},power=3").parse().unwrap();
        assert_eq!((founder.0.name.as_str(), founder.0.power), ("alice", 3));
        let least: Founder =
            format!("member_key={key},name=bob,consensus_key={key}").parse().unwrap();
        assert_eq!(least.0.power, 1);
        #[rustfmt::skip]
        let table = [
            ("".to_owned(),                                                   "field=value",   "nothing"),
            (format!("consensus_key={key},member_key={key}"),                 "name",          "no name"),
            (format!("name=a,consensus_key={key}"),                           "member_key",    "no member key"),
            (format!("name=a,consensus_key=x,member_key={key}"),              "consensus_key", "no key"),
            (format!("name=a,consensus_key={key},member_key={key},power=-1"), "power",         "below zero"),
            (format!("name=a,name=b,consensus_key={key},member_key={key}"),   "twice",         "which?"),
            (format!("name=a,colour=red,consensus_key={key},member_key={key}"), "colour",      "unknown"),
        ];
        for (text, named, why) in table {
            let error = text.parse::<Founder>().unwrap_err();
            assert!(error.contains(named), "{why}: {error}");
        }
    }
}
