//! What needs state: the rows that a transaction's check will read, then the check.

use std::collections::HashMap;

use crate::{
    condition::Fingerprint,
    election::{self, Electorate},
    ids::{OutputReference, PublicKey, TransactionId},
    json::Strictness,
    refusal::Refusal,
    transaction::{Operation, Parsed},
};

/// An output as the state holds it: what checking a spender needs and no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputRow {
    /// The asset it holds a share of.
    pub asset: TransactionId,
    /// How much.
    pub amount: u64,
    /// What a spender must fulfil.
    pub condition: Fingerprint,
    /// Who is listed as owner; a spender's `owners_before` must equal it (strict).
    pub owners: Box<[PublicKey]>,
}

/// Where an output stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputState {
    /// Never made, or made by a transaction that was refused.
    Unknown,
    /// Ready to be spent.
    Unspent(OutputRow),
    /// Spent by this transaction.
    Spent(TransactionId),
}

/// The rows that checking some transactions needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Is a transaction of this id committed? (Own ids; ids named by inputs.)
    pub transactions: Vec<TransactionId>,
    /// How do these outputs stand?
    pub outputs: Vec<OutputReference>,
}

/// The rows that were asked for, as of one height. Looking at a row that was not
/// asked for is a bug, and panics.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Whether a transaction of that id is committed.
    pub transactions: HashMap<TransactionId, bool>,
    /// How each output stands.
    pub outputs: HashMap<OutputReference, OutputState>,
}

/// Adds the rows that checking `transaction` needs.
pub fn reads(transaction: &Parsed, electorate: &Electorate, reads: &mut Reads) {
    reads.transactions.push(transaction.id());
    for spent in spent(transaction) {
        reads.transactions.push(spent.transaction);
        reads.outputs.push(spent);
    }
    if transaction.operation() == Operation::Vote {
        reads.outputs.extend(electorate.ballots(transaction.asset()));
    }
}

fn spent(transaction: &Parsed) -> impl Iterator<Item = OutputReference> + '_ {
    transaction.inputs().iter().filter_map(|input| input.spends)
}

impl View {
    fn is_committed(&self, id: &TransactionId) -> bool {
        *self.transactions.get(id).unwrap_or_else(|| panic!("the row of {id:?} was not asked for"))
    }

    pub(crate) fn output(&self, at: &OutputReference) -> &OutputState {
        self.outputs.get(at).unwrap_or_else(|| panic!("the row of {at:?} was not asked for"))
    }
}

/// Checks one transaction against the rows, `electorate` being the validators: upstream's checks in upstream's order with
/// upstream's texts, then Cairn's. Signatures are the caller's: theirs is the last say.
///
/// # Panics
/// When `view` lacks a row that [`reads`] names.
pub fn check(view: &View, transaction: &Parsed, electorate: &Electorate) -> Result<(), Refusal> {
    if view.is_committed(&transaction.id()) {
        return Err(Refusal::Duplicate(transaction.id()));
    }
    match transaction.operation() {
        Operation::Create => Ok(()),
        Operation::Transfer => check_transfer(view, transaction),
        Operation::ValidatorElection | Operation::ChainMigrationElection => {
            election::check_election(electorate, transaction)
        }
        Operation::Vote => {
            check_transfer(view, transaction)?;
            election::check_vote(electorate, view, transaction)
        }
    }
}

fn check_transfer(view: &View, transaction: &Parsed) -> Result<(), Refusal> {
    let rows = spent(transaction)
        .map(|spent| unspent(view, spent))
        .collect::<Result<Vec<&OutputRow>, Refusal>>()?;
    let mut references: Vec<OutputReference> = spent(transaction).collect();
    references.sort_unstable();
    if references.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Refusal::InputTwice(transaction.id()));
    }
    if rows.windows(2).any(|pair| pair[0].asset != pair[1].asset) {
        return Err(Refusal::AssetsMixed);
    }
    if rows.first().is_some_and(|row| row.asset != transaction.asset()) {
        return Err(Refusal::AssetMismatch);
    }
    // 256 amounts of 64 bits fit 128.
    let inputs: u128 = rows.iter().map(|row| u128::from(row.amount)).sum();
    let outputs: u128 = transaction.outputs().iter().map(|output| u128::from(output.amount)).sum();
    if inputs != outputs {
        return Err(Refusal::AmountMismatch { inputs, outputs });
    }
    for (at, (input, row)) in transaction.inputs().iter().zip(&rows).enumerate() {
        if input.fulfils != row.condition {
            return Err(Refusal::ConditionMismatch { input: at });
        }
    }
    if transaction.strictness() == Strictness::Strict {
        for (at, (input, row)) in transaction.inputs().iter().zip(&rows).enumerate() {
            if *input.owners_before != *row.owners {
                return Err(Refusal::InputOwners { input: at });
            }
        }
    }
    Ok(())
}

fn unspent(view: &View, spent: OutputReference) -> Result<&OutputRow, Refusal> {
    if !view.is_committed(&spent.transaction) {
        return Err(Refusal::InputUnknown(spent.transaction));
    }
    match view.output(&spent) {
        OutputState::Unspent(row) => Ok(row),
        OutputState::Spent(by) => Err(Refusal::DoubleSpend { spent: spent.transaction, by: *by }),
        // Upstream falls over its own list index here.
        OutputState::Unknown => {
            Err(Refusal::OutputUnknown { transaction: spent.transaction, index: spent.index })
        }
    }
}
