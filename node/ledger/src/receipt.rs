//! Proof, for anyone, offline, that a transaction was decided: the transaction, its Merkle
//! path, the header, the certificate. Verified against a genesis and nothing else.

use crate::{block::Block, execution::Outcome, genesis::Genesis, ids::TransactionId};

/// The proof. Its file form is JSON; every field is needed and none is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    private: (),
}

/// What a verified receipt proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The transaction.
    pub id: TransactionId,
    /// Where it stands, and what became of it.
    pub place: crate::block::Place,
    /// Committed, or refused and why.
    pub outcome: Outcome,
    /// The block's time, Unix milliseconds.
    pub time_ms: u64,
    /// The names of the validators that signed.
    pub signers: Vec<String>,
}

/// Why a receipt proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Filled in by whoever builds this file.
    #[error("{0}")]
    Invalid(String),
}

impl Receipt {
    /// The proof for one transaction of a decided block.
    pub fn of(block: &Block, index: u32, genesis: &Genesis) -> Option<Self> {
        let _ = (block, index, genesis);
        todo!()
    }
    /// The file form.
    pub fn to_json(&self) -> String {
        todo!()
    }
    /// Reads the file form. Unknown and missing fields are errors.
    pub fn from_json(text: &str) -> Result<Self, ReceiptError> {
        let _ = text;
        todo!()
    }
    /// Checks everything; says what it proves.
    pub fn verify(&self, genesis: &Genesis) -> Result<Proven, ReceiptError> {
        let _ = genesis;
        todo!()
    }
}
