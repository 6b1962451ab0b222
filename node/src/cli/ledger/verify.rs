//! `cairn verify ledger`.

use std::{path::Path, sync::Arc};

use super::{printed, records::Source, walk};
use crate::{
    cli::{genesis, interrupt::Interrupt, print::Printed, progress::Progress},
    clock::Stopwatch,
    exit::Failure,
};

/// Checks an exported ledger against a genesis: every certificate, signature and rule.
pub(in crate::cli) fn verify(path: &Path, genesis: &Path) -> Result<Printed, Failure> {
    let genesis = Arc::new(genesis::read(genesis)?);
    let mut source = Source::open(path, &genesis)?;
    let watch = Stopwatch::start();
    let progress = Progress::bytes("verifying", source.size()).alone();
    // There is nothing to put away: signals end it where it stands.
    let audit = walk(&mut source, &genesis, &Interrupt::default(), &progress, |_, _| Ok(()))?;
    progress.done();
    Ok(printed("verified", &audit, &genesis, watch.seconds()))
}
