//! `cairn-operator`: the controller, and what belongs to its installation.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs ledgers of BlockchainCluster objects.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the CRDs as YAML
    Crds,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Crds => {
            print!("{}", cairn_operator::crd::definition::yaml());
            ExitCode::SUCCESS
        }
    }
}
