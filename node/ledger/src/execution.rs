//! Executing a block's transactions on top of a state: outcomes and changes, nothing stored.

use crate::{
    ids::TransactionId,
    refusal::Refusal,
    rules::View,
    state::{Changes, StateHash},
    transaction::Admitted,
};

/// What became of one transaction of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is part of the ledger.
    Committed,
    /// It is not, and every validator says why in the same words.
    Refused(crate::refusal::Recorded),
}

/// What executing a block's transactions gives.
#[derive(Clone, Debug)]
pub struct Execution {
    /// One for each transaction, in order.
    pub outcomes: Vec<Outcome>,
    /// What storing the block changes.
    pub changes: Changes,
}

/// Executes transactions in order on top of `view`: a later one sees what an earlier one
/// did. `state` is the hash of the state that `view` was read from.
pub fn execute(view: View, state: &StateHash, transactions: &[Candidate]) -> Execution {
    let _ = (view, state, transactions);
    todo!()
}

/// A transaction of a block under construction: admitted, or refused before state was asked.
#[derive(Clone, Debug)]
pub enum Candidate {
    /// Everything it shows by itself holds.
    Admitted(std::sync::Arc<Admitted>),
    /// Its bytes are in the block, with the reason why they do nothing.
    Refused {
        /// As they were ordered.
        bytes: std::sync::Arc<[u8]>,
        /// Its id, as far as it could be read: so that its submitter can be told.
        claimed_id: Option<TransactionId>,
        /// Why.
        refusal: Refusal,
    },
}
