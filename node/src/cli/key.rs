//! `cairn key`: new keys, and what a key file holds.

use std::path::PathBuf;

use cairn_ledger::signature::SigningKey;
use clap::Subcommand;
use serde_json::json;

use super::print::Printed;
use crate::{api::access, exit::Failure, keys};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key; without --out both halves are printed and nothing is stored
    #[command(after_help = "Example:\n  cairn key new --out alice.key")]
    New {
        /// File to write, readable by you alone; never overwritten
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Show the public half of a key
    #[command(after_help = "Example:\n  cairn key show alice.key")]
    Show {
        /// Key file
        file: PathBuf,
        /// Show the private half too
        #[arg(long)]
        private: bool,
    },
    /// Make a key for the HTTP API: what its user shows, and the line for the file of keys
    #[command(after_help = "Example:\n  cairn key api --name alice --output json")]
    Api {
        /// Whose it will be: letters, digits, - and _
        #[arg(long)]
        name: String,
    },
}

pub(super) fn run(command: Command) -> Result<Printed, Failure> {
    match command {
        Command::New { out: None } => Ok(printed(&keys::generate(), true)),
        Command::New { out: Some(file) } => {
            let key = keys::generate();
            keys::write_new(&file, &key)?;
            let public = key.public().to_string();
            let file = file.display().to_string();
            Ok(Printed::fields(
                &[("public key", public.clone()), ("file", file.clone())],
                json!({ "public_key": public, "file": file }),
            ))
        }
        Command::Api { name } => api(&name),
        Command::Show { file, private } => Ok(printed(&keys::read(&file)?, private)),
    }
}

fn api(name: &str) -> Result<Printed, Failure> {
    if !access::is_name(name) {
        return Err(Failure::general(format!(
            "{name:?} is no name; 1 to 64 letters, digits, - and _ are fine"
        )));
    }
    let (key, line) = access::generate(name);
    let json = json!({ "key": key, "line": line });
    Ok(Printed::fields(&[("key", key), ("line for the file of api.keys", line)], json))
}

fn printed(key: &SigningKey, private: bool) -> Printed {
    let public = key.public().to_string();
    if !private {
        let json = json!({ "public_key": public });
        return Printed::fields(&[("public key", public)], json);
    }
    let secret = keys::private_text(key);
    let json = json!({ "public_key": public, "private_key": secret });
    Printed::fields(&[("public key", public), ("private key", secret)], json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_key_comes_with_the_line_that_makes_it_good() {
        let printed = api("alice").unwrap().json.unwrap();
        let (key, line) = (printed["key"].as_str().unwrap(), printed["line"].as_str().unwrap());
        assert!(key.starts_with("cairn_") && line.starts_with("alice = "), "{printed}");
        assert!(!line.contains(key), "the file tells no key");
        for name in ["", "a b", "a\n", "é", &"a".repeat(65)] {
            assert!(api(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_private_half_is_shown_on_demand_only() {
        let key = SigningKey::from_seed([7; 32]);
        let secret = keys::private_text(&key);
        for (private, shown) in [(false, false), (true, true)] {
            let printed = printed(&key, private);
            assert_eq!(printed.table.contains(&secret), shown);
            assert_eq!(printed.json.unwrap().to_string().contains(&secret), shown);
        }
    }
}
