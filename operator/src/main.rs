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
    Run(cairn_operator::run::command::Arguments),
    /// Print the CRDs as YAML
    Crds,
    /// Print every object that would be written for a cluster
    Render(cairn_operator::render::Arguments),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(arguments) => arguments.run(),
        Command::Render(arguments) => match arguments.run() {
            Ok(text) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            Err(sentence) => {
                eprintln!("{sentence}");
                ExitCode::FAILURE
            }
        },
        Command::Crds => {
            print!("{}", cairn_operator::crd::definition::yaml());
            ExitCode::SUCCESS
        }
    }
}
