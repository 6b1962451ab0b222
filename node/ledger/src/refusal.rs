//! Every "no" that a client can hear: the client's to fix, and the same on every validator.

/// Why a transaction is turned away.
///
/// `Display` is upstream's text where BigchainDB 2.x has one; [`Refusal::class`] is the
/// class name that v1 puts before it; [`Refusal::code`] is v2's stable code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A transaction of this id is already part of the ledger.
    #[error("transaction `{0}` already exists")]
    Duplicate(crate::ids::TransactionId),
}

impl Refusal {
    /// Upstream's exception class, as in `Invalid transaction (DoubleSpend): …`.
    pub fn class(&self) -> &'static str {
        todo!()
    }
    /// The stable code of API v2 (`reliability` table A), for example `DOUBLE_SPEND`.
    pub fn code(&self) -> &'static str {
        todo!()
    }
    /// The stable number that a block records. Never reused.
    pub fn number(&self) -> u16 {
        todo!()
    }
    /// The form that a block records: number, and text cut to
    /// [`crate::limits::REFUSAL_BYTES_MAX`] at a character boundary.
    pub fn record(&self) -> Recorded {
        todo!()
    }
}

/// A refusal as a block records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// [`Refusal::number`].
    pub number: u16,
    /// `Class: text`, as v1 would say it.
    pub text: String,
}

impl Recorded {
    /// The stable code of that number; `UNKNOWN` for one from a newer version.
    pub fn code(&self) -> &'static str {
        todo!()
    }
}
