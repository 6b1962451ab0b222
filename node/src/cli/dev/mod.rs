//! `cairn dev`.
use clap::Args;
use super::{print::Printed, Output};
use crate::exit::Failure;
/// x
#[derive(Debug, Args)]
pub(super) struct Arguments {}
pub(super) fn run(_: &Arguments, _: Output) -> Result<Printed, Failure> { Ok(Printed::nothing()) }
