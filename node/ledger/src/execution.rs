//! Executing a block's transactions on top of a state: outcomes and changes, nothing stored.

use std::{collections::HashSet, sync::Arc};

use crate::{
    election::Electorate,
    ids::{OutputReference, TransactionId},
    json::Strictness,
    refusal::{Recorded, Refusal},
    rules::{self, OutputRow, OutputState, Reads, View},
    state::{Changes, StateHash},
    transaction::{Admitted, Output, admit, claimed_id, parse},
};

/// What became of one transaction of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is part of the ledger.
    Committed,
    /// It is not, and every validator says why in the same words.
    Refused(Recorded),
}

/// What executing a block's transactions gives.
#[derive(Clone, Debug)]
pub struct Execution {
    /// One for each transaction, in order.
    pub outcomes: Vec<Outcome>,
    /// What storing the block changes.
    pub changes: Changes,
}

/// Checks a body's transactions by themselves, by the strict rules, all signatures in one
/// go. What `known` returns for a transaction's exact bytes was admitted before and is not checked again:
/// every validator comes to the same result.
pub fn candidates(
    body: &[Arc<[u8]>],
    known: impl Fn(&[u8]) -> Option<Arc<Admitted>>,
) -> Vec<Candidate> {
    let refuse = |bytes: &Arc<[u8]>, refusal| Candidate::Refused {
        bytes: Arc::clone(bytes),
        claimed_id: claimed_id(bytes),
        refusal,
    };
    let mut unchecked = Vec::with_capacity(body.len());
    let answers: Vec<Option<Candidate>> = body
        .iter()
        .map(|bytes| {
            if let Some(admitted) = known(bytes) {
                return Some(Candidate::Admitted(admitted));
            }
            match parse(Arc::clone(bytes), Strictness::Strict) {
                Ok(parsed) => {
                    unchecked.push(parsed);
                    None
                }
                Err(refusal) => Some(refuse(bytes, refusal)),
            }
        })
        .collect();
    let mut checked = admit(unchecked).into_iter().map(|answer| match answer {
        Ok(transaction) => Candidate::Admitted(Arc::new(transaction)),
        Err(parsed) => Candidate::Refused {
            bytes: Arc::clone(parsed.bytes()),
            claimed_id: Some(parsed.id()),
            refusal: Refusal::SignatureInvalid,
        },
    });
    let mut next = || checked.next().expect("each parsed transaction is answered");
    answers.into_iter().map(|answer| answer.unwrap_or_else(&mut next)).collect()
}

/// Executes transactions in order on top of `view`: a later one sees what an earlier one
/// did. `state` is the hash of the state that `view` was read from, `electorate` the validators.
///
/// # Panics
/// When `view` lacks a row of [`reads_of`].
pub fn execute(
    view: View,
    state: &StateHash,
    electorate: &Electorate,
    transactions: &[Candidate],
) -> Execution {
    let mut building = Building {
        view,
        here: HashSet::new(),
        removed: Vec::new(),
        changes: Changes::none(state.clone()),
    };
    let outcomes = (0..)
        .zip(transactions)
        .map(|(index, candidate)| match candidate {
            Candidate::Refused { refusal, .. } => Outcome::Refused(refusal.record()),
            Candidate::Admitted(transaction) => {
                match rules::check(&building.view, transaction, electorate) {
                    Ok(()) => {
                        building.commit(transaction, index);
                        Outcome::Committed
                    }
                    Err(refusal) => Outcome::Refused(refusal.record()),
                }
            }
        })
        .collect();
    Execution { outcomes, changes: building.finish() }
}

/// The rows that executing these transactions needs, each once. Outputs that one of them
/// makes for another are asked for too: before the block nobody knows them.
pub fn reads_of(transactions: &[Candidate], electorate: &Electorate) -> Reads {
    let mut reads = Reads::default();
    for candidate in transactions {
        if let Candidate::Admitted(transaction) = candidate {
            rules::reads(transaction, electorate, &mut reads);
        }
    }
    reads.transactions.sort_unstable();
    reads.transactions.dedup();
    reads.outputs.sort_unstable();
    reads.outputs.dedup();
    reads
}

/// A block's effects so far.
struct Building {
    /// The rows as the next transaction must see them.
    view: View,
    /// What this block has committed.
    here: HashSet<TransactionId>,
    /// Rows of the parent's state that are spent: the state's hash loses them.
    removed: Vec<(OutputReference, OutputRow)>,
    changes: Changes,
}

impl Building {
    fn commit(&mut self, transaction: &Admitted, index: u32) {
        let id = transaction.id();
        self.view.transactions.insert(id, true);
        self.here.insert(id);
        self.changes.committed.push((id, index));
        for at in transaction.inputs().iter().filter_map(|input| input.spends) {
            match self.view.outputs.insert(at, OutputState::Spent(id)) {
                Some(OutputState::Unspent(row)) if !self.here.contains(&at.transaction) => {
                    self.removed.push((at, row));
                }
                // Made and spent here: the state's hash never hears of it.
                Some(OutputState::Unspent(_)) => {}
                other => panic!("the rules let {id} spend {at:?}, which is {other:?}"),
            }
            self.changes.spent.push((at, id));
        }
        for (index, output) in (0..).zip(transaction.outputs()) {
            let at = OutputReference { transaction: id, index };
            let row = row_of(transaction.asset(), output);
            self.view.outputs.insert(at, OutputState::Unspent(row.clone()));
            self.changes.created.push((at, row));
        }
    }

    /// The state's hash loses and gains the difference only: what the block made and spent
    /// itself would cost two expansions to come out as nothing.
    fn finish(self) -> Changes {
        let Self { view, here: _, removed, mut changes } = self;
        for (at, row) in &removed {
            changes.state.remove(at, row);
        }
        for (at, row) in &changes.created {
            if let Some(OutputState::Unspent(_)) = view.outputs.get(at) {
                changes.state.add(at, row);
            }
        }
        changes
    }
}

/// What the state keeps of an output.
pub fn row_of(asset: TransactionId, output: &Output) -> OutputRow {
    OutputRow {
        asset,
        amount: output.amount,
        condition: output.condition.fingerprint(),
        owners: output.public_keys.as_slice().into(),
    }
}

/// A transaction of a block under construction: admitted, or refused before state was asked.
#[derive(Clone, Debug)]
pub enum Candidate {
    /// Everything it shows by itself holds.
    Admitted(Arc<Admitted>),
    /// Its bytes are in the block, with the reason why they do nothing.
    Refused {
        /// As they were ordered.
        bytes: Arc<[u8]>,
        /// Its id, as far as it could be read: so that its submitter can be told.
        claimed_id: Option<TransactionId>,
        /// Why.
        refusal: Refusal,
    },
}

impl Candidate {
    /// Its bytes as they were ordered.
    pub fn bytes(&self) -> &Arc<[u8]> {
        match self {
            Self::Admitted(transaction) => transaction.bytes(),
            Self::Refused { bytes, .. } => bytes,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
