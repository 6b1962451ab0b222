//! The waiting room: admitted transactions on their way into the log, and the reply that
//! their submitters wait for. Bounded; the only way in.

use std::{sync::Arc, time::Duration};

use cairn_ledger::{
    block::{Block, Place},
    ids::TransactionId,
    refusal::Recorded,
    transaction::Admitted,
};

use crate::order::Order;

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub struct IntakeLimits {
    /// Transactions waiting for a decision.
    pub transactions: usize,
    /// Their bytes together.
    pub bytes: usize,
    /// After this long without a decision a transaction is given up: its fate is then unknown,
    /// and its id tells.
    pub patience: Duration,
}

impl Default for IntakeLimits {
    fn default() -> Self {
        Self { transactions: 50_000, bytes: 64 << 20, patience: Duration::from_secs(120) }
    }
}

/// What became of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Decided: part of the ledger.
    Committed(Place),
    /// Decided: refused, and why.
    Refused(Place, Recorded),
    /// Given up waiting: it may still come in.
    Unknown,
}

/// No room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{waiting} transactions wait for a decision, the most that fit; try again in {retry_after_s} s"
)]
pub struct Busy {
    /// How many wait.
    pub waiting: usize,
    /// When trying again makes sense, in seconds.
    pub retry_after_s: u64,
}

/// The waiting room.
#[derive(Debug)]
pub struct Intake {
    private: (),
}

impl Intake {
    /// Opens it; batches go to `order` until [`Intake::stop`].
    pub fn start(order: Arc<dyn Order>, limits: IntakeLimits) -> Arc<Self> {
        let _ = (order, limits);
        todo!()
    }
    /// Takes a transaction in. The receiver gets exactly one [`Fate`]. The same id twice shares
    /// one place in the log: both receivers hear.
    pub fn submit(
        &self,
        transaction: Arc<Admitted>,
    ) -> Result<tokio::sync::oneshot::Receiver<Fate>, Busy> {
        let _ = transaction;
        todo!()
    }
    /// Like [`Intake::submit`] for many, all or nothing, without replies.
    pub fn submit_all(&self, transactions: Vec<Arc<Admitted>>) -> Result<(), Busy> {
        let _ = transactions;
        todo!()
    }
    /// Whether that id waits here for a decision.
    pub fn is_pending(&self, id: &TransactionId) -> bool {
        let _ = id;
        todo!()
    }
    /// A transaction that was admitted here, found by its exact bytes: so that what was checked
    /// at the door is not checked again when it comes back in the log.
    pub fn admitted(&self, bytes: &[u8]) -> Option<Arc<Admitted>> {
        let _ = bytes;
        todo!()
    }
    /// A block was stored: answers those who wait for its transactions. What was appended at or
    /// before the block's `order_to` and is not in it is appended again: a lying log delays, no more.
    pub fn decided(&self, block: &Block, ids: &[Option<TransactionId>]) {
        let _ = (block, ids);
        todo!()
    }
    /// How many wait.
    pub fn waiting(&self) -> usize {
        todo!()
    }
    /// Gives up all that wait, as [`Fate::Unknown`], and ends.
    pub async fn stop(&self) {
        todo!()
    }
}
