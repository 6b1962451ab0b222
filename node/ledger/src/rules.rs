//! What needs state: the rows that a transaction's check will read, then the check.

use std::collections::HashMap;

use crate::{
    condition::Fingerprint,
    ids::{OutputReference, PublicKey, TransactionId},
    refusal::Refusal,
    transaction::Parsed,
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
pub fn reads(transaction: &Parsed, reads: &mut Reads) {
    let _ = (transaction, reads);
    todo!()
}

/// Checks one transaction against the rows: upstream's checks in upstream's order with
/// upstream's texts, then Cairn's.
pub fn check(view: &View, transaction: &Parsed) -> Result<(), Refusal> {
    let _ = (view, transaction);
    todo!()
}
