//! The `cairn` command: one file for each subcommand. Each returns what it has to say, or a
//! [`Failure`]: printing and ending happen here.

mod asset;
mod client;
mod dev;
mod genesis;
mod interrupt;
mod key;
mod ledger;
mod manual;
mod node;
mod openapi;
mod pages;
mod print;
mod profile;
mod progress;
mod query;
mod status;
#[cfg(test)]
mod stub;
mod top;
mod transactions;
mod verify;
mod watch;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use self::{print::Printed, profile::Profile};
use crate::exit::{ExitCode, Failure};

const EXAMPLES: &str = "\
Try it:
  cairn dev                                     four validators on this machine, until Ctrl-C
  cairn key new --out alice.key                 a key for Alice
  cairn asset create --key alice.key --data '{\"bicycle\": {\"serial\": \"A-17\"}}'
  cairn asset transfer --key alice.key --asset ID --to PUBLICKEY
  cairn verify receipt receipt.json --genesis genesis.json

Exit codes: 0 it worked, 1 it did not, 2 the command line makes no sense, 10 configuration or profile,
11 genesis, 12 data directory foreign or in use, 13 port in use, 14 disk full, 15 corrupt record,
16 data of a later version, 17 storage failed, 18 key, 19 signing state in use, 20 safety violated,
130 Ctrl-C.";

/// A blockchain database that a federation runs together.
#[derive(Debug, Parser)]
#[command(name = "cairn", version, after_help = EXAMPLES, propagate_version = true)]
struct Cli {
    /// How results are printed [default: table]
    #[arg(long, global = true, value_enum, env = "CAIRN_OUTPUT", hide_env = true)]
    output: Option<Output>,
    /// The profile: what applies where no flag and no variable says otherwise; see cairn profile
    #[arg(long, global = true, value_name = "FILE", env = "CAIRN_PROFILE", hide_env = true)]
    profile: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For programs: one JSON value on stdout; of lists, one value a line.
    Json,
}

impl Output {
    /// The word that chooses it.
    fn word(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Json => "json",
        }
    }
}

/// What applies to every command.
struct Context {
    output: Output,
    profile: Profile,
    /// The profile that was named, though it may not be there yet.
    profile_flag: Option<PathBuf>,
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
    /// Create, transfer and show assets
    #[command(subcommand)]
    Asset(asset::Command),
    /// Send transactions, and see what became of them
    #[command(name = "tx", subcommand)]
    Transactions(transactions::Command),
    /// Find assets and outputs by what they say
    #[command(subcommand)]
    Query(query::Command),
    /// Follow what the federation decides, as it decides it
    Watch(watch::Arguments),
    /// Show how far validators are
    Status(status::Arguments),
    /// Show a federation on one screen: who votes, how fast, what is in the way
    Top(top::Arguments),
    /// Write a stopped validator's whole ledger into a file
    Export(ledger::Export),
    /// Make a validator's data directory out of an exported ledger
    Import(ledger::Import),
    /// Make, show and check the record that founds a chain
    #[command(subcommand)]
    Genesis(genesis::Command),
    /// Check proofs offline
    #[command(subcommand)]
    Verify(verify::Command),
    /// Print the OpenAPI document of API v2
    #[command(after_help = "Example:\n  cairn openapi > openapi.json")]
    Openapi,
    /// Keep URLs, key and format in a file instead of typing them
    #[command(subcommand)]
    Profile(profile::Command),
    /// Print the completions for a shell
    Completions(manual::Completions),
    /// Write the manual pages
    Man(manual::Man),
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
    match run(cli) {
        Ok(()) => ExitCode::Ok,
        Err(failure) => {
            eprintln!("cairn: {failure}");
            failure.code
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let Cli { output, profile: profile_flag, command } = cli;
    // A validator is configured by its own file; what a person keeps for himself must not stop it.
    let profile = match &command {
        Command::Node(_)
        | Command::Dev(_)
        | Command::Completions(_)
        | Command::Man(_)
        | Command::Profile(profile::Command::Init { .. }) => Profile::default(),
        _ => Profile::load(profile_flag.as_deref())?,
    };
    let output = output.or(profile.output()).unwrap_or(Output::Table);
    let context = Context { output, profile, profile_flag };
    let printed = carry_out(command, &context)?;
    print::out(&printed.text(output)).map(|_| ())
}

fn carry_out(command: Command, context: &Context) -> Result<Printed, Failure> {
    match command {
        Command::Node(arguments) => node::run(&arguments),
        Command::Dev(arguments) => dev::run(&arguments, context.output),
        Command::Key(command) => key::run(command),
        Command::Genesis(command) => genesis::run(command),
        Command::Asset(command) => asset::run(command, context),
        Command::Transactions(command) => transactions::run(&command, context),
        Command::Status(arguments) => status::run(&arguments, context),
        Command::Top(arguments) => top::run(&arguments, context),
        Command::Query(command) => query::run(&command, context),
        Command::Watch(arguments) => watch::run(&arguments, context),
        Command::Export(arguments) => ledger::export(&arguments),
        Command::Import(arguments) => ledger::import(&arguments),
        Command::Verify(command) => verify::run(&command, context.output),
        Command::Profile(command) => profile::run(&command, context),
        Command::Completions(arguments) => Ok(manual::completions(&arguments)),
        Command::Man(arguments) => manual::man(&arguments),
        Command::Openapi => Ok(openapi::run()),
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
            ("cairn node --config c.toml --create-keys --log-format json",       true,  "in Kubernetes"),
            ("cairn node --config c.toml --create-keys=false",                   true,  "a flag against the file"),
            ("cairn node --config c.toml --log-format xml",                      false, "no such format"),
            ("cairn node",                                                       false, "no configuration"),
            ("cairn key new --output json",                                      true,  "the format after the command"),
            ("cairn --output yaml key new",                                      false, "no such format"),
            ("cairn key show a.key --private",                                   true,  "the private half on demand"),
            ("cairn key api --name alice",                                       true,  "a key for the API"),
            ("cairn genesis new --name n --validator name=a,consensus_key=x,member_key=y --out g", false, "keys that are none"),
            ("cairn asset create --key k --data {}",                             true,  "the least"),
            ("cairn asset create --key k",                                       false, "no data"),
            ("cairn asset create --data {}",                                     true,  "the key is the profile's"),
            ("cairn asset transfer --key k --asset zz --to x",                   false, "no id"),
            ("cairn verify receipt r.json --genesis g.json",                     true,  "offline"),
            ("cairn verify receipt r.json",                                      false, "against what?"),
            ("cairn verify receipt a.json b.json - --genesis g.json",            true,  "several, one of them piped"),
            ("cairn verify receipt --genesis g.json",                            false, "no receipt"),
            ("cairn asset transfer --key k --asset 0101010101010101010101010101010101010101010101010101010101010101", false, "to nobody"),
            ("cairn asset list",                                                 true,  "what the profile's key holds"),
            ("cairn tx send - --wait accepted --batch 10",                       true,  "from a pipe"),
            ("cairn tx send f --batch 1001",                                     false, "more than the API takes"),
            ("cairn tx send f --wait forever",                                   false, "no such thing to wait for"),
            ("cairn tx list",                                                    false, "of what?"),
            ("cairn query assets --sort -asset.price --limit 5 --as-of 7 --explain", true, "all flags"),
            ("cairn query assets --all --limit 5",                               false, "all, or five"),
            ("cairn query outputs --spent --unspent",                            false, "neither, or both"),
            ("cairn query text assets words",                                    true,  "by words"),
            ("cairn query text blocks words",                                    false, "blocks have none"),
            ("cairn watch --from 3:1 --operation create --operation TRANSFER",   true,  "two kinds"),
            ("cairn watch --events votes",                                       false, "no such events"),
            ("cairn status --url http://a --url http://b --ca c.pem --api-key k", true, "several"),
            ("cairn top --admin 127.0.0.1:9986,[::1]:1 --admin http://a:2/ --interval 0.5", true, "three of them"),
            ("cairn top --once --output json",                                   true,  "those of cairn dev"),
            ("cairn top --admin localhost",                                      false, "at which port?"),
            ("cairn top --interval 0",                                           false, "all the time"),
            ("cairn top --interval 3601",                                        false, "never"),
            ("cairn top --interval NaN",                                         false, "when?"),
            ("cairn export --config c --out -",                                  true,  "into a pipe"),
            ("cairn import f --genesis g --data d",                              true,  "the least"),
            ("cairn import f --data d",                                          false, "whom to trust?"),
            ("cairn profile init --url https://a",                               true,  "one URL"),
            ("cairn completions fish",                                           true,  "a shell"),
            ("cairn completions cmd",                                            false, "no shell"),
            ("cairn man d",                                                      true,  "a directory"),
            ("cairn",                                                            false, "nothing to do"),
        ];
        for (line, fine, why) in table {
            let parsed = Cli::try_parse_from(line.split(' '));
            assert_eq!(parsed.is_ok(), fine, "{why}: {line}");
        }
    }
}
