//! The one JSON reader, and the canonical form that is hashed and signed.

/// How strictly text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// The chain's own rules: what is ambiguous is refused (DESIGN.md §6).
    Strict,
    /// What BigchainDB 2.2.2 accepts, for importing its ledgers.
    Lenient,
}
