//! The `cairn` command: one file for each subcommand. Each returns what it has to say, or a
//! [`Failure`]: printing and ending happen here.

mod asset;
mod dev;
mod genesis;
mod key;
mod ledger;
mod node;
mod print;
mod verify;

use clap::{Parser, Subcommand, ValueEnum};

use self::print::Printed;
use crate::exit::{ExitCode, Failure};

const EXAMPLES: &str = "\
Try it:
  cairn dev                                     four validators on this machine, until Ctrl-C
  cairn key new --out alice.key                 a key for Alice
  cairn asset create --key alice.key --data '{\"bicycle\": {\"serial\": \"A-17\"}}'
  cairn asset transfer --key alice.key --asset ID --to PUBLICKEY
  cairn verify receipt receipt.json --genesis genesis.json

Exit codes: 0 it worked, 1 it did not, 2 the command line makes no sense, 10 configuration,
11 genesis, 12 data directory foreign or in use, 13 port in use, 14 disk full, 15 corrupt record,
16 data of a later version, 17 storage failed, 18 key, 19 signing state in use, 20 safety violated.";

/// A blockchain database that a federation runs together.
#[derive(Debug, Parser)]
#[command(name = "cairn", version, after_help = EXAMPLES, propagate_version = true)]
struct Cli {
    /// How results are printed
    #[arg(long, global = true, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For programs: one JSON value on stdout.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one validator
    Node(node::Arguments),
    /// Run a whole federation on this machine, to try things out
    Dev(dev::Arguments),
    /// Make and show keys
    #[command(subcommand)]
    Key(key::Command),
    /// Show how far a validator is
    Status(asset::Status),
    /// Write a stopped validator's whole ledger into a file
    Export(ledger::Export),
    /// Make, show and check the record that founds a chain
    #[command(subcommand)]
    Genesis(genesis::Command),
    /// Create, transfer and show assets
    #[command(subcommand)]
    Asset(asset::Command),
    /// Check proofs offline
    #[command(subcommand)]
    Verify(verify::Command),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` are such errors too, and no failure.
            let code = if error.use_stderr() { ExitCode::Usage } else { ExitCode::Ok };
            let _ = error.print();
            return code;
        }
    };
    match run(cli.command, cli.output) {
        Ok(printed) => {
            print::out(&printed.text(cli.output));
            ExitCode::Ok
        }
        Err(failure) => {
            eprintln!("cairn: {failure}");
            failure.code
        }
    }
}

fn run(command: Command, output: Output) -> Result<Printed, Failure> {
    match command {
        Command::Node(arguments) => node::run(&arguments),
        Command::Dev(arguments) => dev::run(&arguments, output),
        Command::Key(command) => key::run(command),
        Command::Genesis(command) => genesis::run(command),
        Command::Asset(command) => asset::run(command),
        Command::Status(arguments) => asset::status(&arguments),
        Command::Export(arguments) => ledger::export(&arguments),
        Command::Verify(command) => verify::run(&command),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn command_lines_parse_or_are_refused() {
        #[rustfmt::skip]
        let table = [
            ("cairn dev",                                                        true,  "all defaults"),
            ("cairn dev --validators 7 --data d --base-port 1 --order memory",   true,  "all flags"),
            ("cairn dev --validators 0",                                         false, "nobody"),
            ("cairn dev --validators 129",                                       false, "too many"),
            ("cairn node --config c.toml --log debug --api 127.0.0.1:1",         true,  "flags over the file"),
            ("cairn node",                                                       false, "no configuration"),
            ("cairn key new --output json",                                      true,  "the format after the command"),
            ("cairn --output yaml key new",                                      false, "no such format"),
            ("cairn key show a.key --private",                                   true,  "the private half on demand"),
            ("cairn key api --name alice",                                       true,  "a key for the API"),
            ("cairn genesis new --name n --validator name=a,consensus_key=x,member_key=y --out g", false, "keys that are none"),
            ("cairn asset create --key k --data {}",                             true,  "the least"),
            ("cairn asset create --key k",                                       false, "no data"),
            ("cairn asset transfer --key k --asset zz --to x",                   false, "no id"),
            ("cairn verify receipt r.json --genesis g.json",                     true,  "offline"),
            ("cairn verify receipt r.json",                                      false, "against what?"),
            ("cairn",                                                            false, "nothing to do"),
        ];
        for (line, fine, why) in table {
            let parsed = Cli::try_parse_from(line.split(' '));
            assert_eq!(parsed.is_ok(), fine, "{why}: {line}");
        }
    }
}
