//! `cairn node`: one validator, in the foreground.

use std::path::PathBuf;

use clap::Args;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use super::print::Printed;
use crate::{
    config::{Config, LogFormat, Overrides},
    exit::Failure,
};

/// Run one validator until SIGTERM or Ctrl-C.
#[derive(Debug, Args)]
#[command(after_help = "Flags win over CAIRN_* variables, which win over the file.\n\
    docs/configuration.md has every field of the file.\n\n\
    Example:\n  cairn node --config /etc/cairn/cairn.toml --log debug")]
pub(super) struct Arguments {
    /// Configuration file
    #[arg(long, env = "CAIRN_CONFIG", value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    overrides: Overrides,
    /// End when the process of this id, which started this one, ends
    #[arg(long, hide = true, value_name = "PID")]
    end_with_parent: Option<i32>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Printed, Failure> {
    if let Some(parent) = arguments.end_with_parent {
        end_with(parent)?;
    }
    let config = Config::load(&arguments.config, &arguments.overrides)?;
    // Checked when the configuration was read; logs go to stderr, results to stdout.
    let filter = tracing_subscriber::EnvFilter::new(filter(&config.log));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = match config.log_format {
        LogFormat::Text => {
            lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init()
        }
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    crate::node::run(config)?;
    Ok(Printed::nothing())
}

/// The libraries underneath speak at length about every vote; what matters of it the node says itself.
const QUIET: &str = "arc_malachitebft_core_consensus=warn,openraft=off,fjall=warn,lsm_tree=warn";

fn filter(log: &str) -> String {
    // Of two directives for one library the later wins: naming it makes it speak again.
    format!("{QUIET},{log}")
}

fn end_with(parent: i32) -> Result<(), Failure> {
    set_parent_process_death_signal(Some(Signal::TERM))
        .map_err(|error| Failure::general(format!("cannot follow the parent process: {error}")))?;
    // It may have ended before the line above.
    if getppid() != Pid::from_raw(parent) {
        return Err(Failure::general("the process that started this one has ended"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_speaks_only_when_it_is_named() {
        #[rustfmt::skip]
        let table = [
            ("info",                      "openraft=off", "quiet"),
            ("info,cairn::requests=debug", "openraft=off", "quiet, though something else is named"),
            ("debug,openraft=info",       "openraft=info", "named"),
        ];
        for (log, raft, why) in table {
            let said = tracing_subscriber::EnvFilter::new(filter(log)).to_string();
            let words: Vec<_> =
                said.split(',').filter(|word| word.starts_with("openraft")).collect();
            assert_eq!(words, [raft], "{why}: {said}");
        }
    }
}
