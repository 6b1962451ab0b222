//! Wires the rooms together: opens, starts, and ends in order.

use crate::{
    config::Config,
    exit::{ExitCode, Failure},
};

/// Runs one validator until it is asked to end.
///
/// # Errors
/// What kept it from starting, or ended it.
pub fn run(config: Config) -> Result<(), Failure> {
    Err(Failure::new(
        ExitCode::Failed,
        format!("{} cannot run: this build has the command line only", config.name),
    ))
}
