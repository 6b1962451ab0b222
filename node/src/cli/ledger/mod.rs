//! `cairn export`, `cairn import` and `cairn verify ledger`: a whole ledger as a file that
//! anyone can check.
//!
//! Two forms, told apart by their first line. Each begins with that line and the chain id (32
//! bytes), and has every block in height order as records: a length (u32, big-endian), then so
//! many bytes.
//!
//! *Apart*, in two files. `FILE` is the chain: blocks without their certificates. Every
//! validator exports the same bytes, up to the height that it has. `FILE.certificates`, of the same
//! form, is the proof: each validator keeps the first quorum of votes that it saw, so these differ
//! and any of them will do.
//!
//! *A stream*, for pipes: after each block its certificate. The end is a record of no bytes and
//! the height of the last block (u64, big-endian): a stream that was cut short shows.

mod export;
mod import;
mod records;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::Arc;

use cairn_ledger::{
    audit::{Audit, Totals},
    block::Block,
    genesis::Genesis,
    state::Changes,
};
use serde_json::json;

use self::records::Source;
pub(super) use self::{
    export::{Export, export},
    import::{Import, import},
    verify::verify,
};
use super::{interrupt::Interrupt, print::Printed, progress::Progress};
use crate::exit::Failure;

/// Checks a ledger from the first block to the last, and hands on each block that holds.
fn walk(
    source: &mut Source,
    genesis: &Arc<Genesis>,
    interrupt: &Interrupt,
    progress: &Progress,
    mut each: impl FnMut(Block, Changes) -> Result<(), Failure>,
) -> Result<Audit, Failure> {
    let mut audit = Audit::new(Arc::clone(genesis));
    loop {
        interrupt.check()?;
        let height = audit.tip().height.next();
        let whole = source.next(height).map_err(|why| source.fail(&why))?;
        let Some(whole) = whole else { return Ok(audit) };
        let (block, changes) = audit
            .check(&whole)
            .map_err(|error| source.fail(&format!("block {height} does not hold: {error}")))?;
        each(block, changes)?;
        progress.at(source.bytes());
    }
}

/// What an audit has to say.
fn printed(did: &'static str, audit: &Audit, genesis: &Genesis, seconds: f64) -> Printed {
    let Totals { blocks, committed, refused, signatures } = audit.totals();
    let tip = audit.tip();
    let rate = (committed + refused) as f64 / seconds.max(1e-9);
    let fields = [
        (did, format!("{blocks} blocks of {}, every certificate and every rule", genesis.name())),
        (
            "transactions",
            format!("{committed} committed, {refused} refused, {signatures} signatures checked"),
        ),
        ("state root", tip.state_root.to_string()),
        ("took", format!("{seconds:.2} s, {rate:.0} transactions a second")),
    ];
    let json = json!({
        "blocks": blocks, "committed": committed, "refused": refused, "signatures": signatures,
        "block": tip.block, "state_root": tip.state_root, "seconds": seconds,
    });
    Printed::fields(&fields, json)
}
