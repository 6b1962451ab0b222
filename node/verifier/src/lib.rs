//! Checks a receipt: proof, for anyone, offline, that a federation decided a transaction.
//!
//! This is the whole verifier, and the only one: the `cairn` command, the API and the
//! WebAssembly module all call [`verify`]. It uses nothing else of Cairn, so that an auditor
//! can read it in one sitting, beside `docs/receipt.md`, which says the same in words.
//!
//! Read in this order:
//!
//! 1. [`verify`]: what is checked, in five steps.
//! 2. `receipt`: the file, field by field.
//! 3. `header`: the block's header in its signed layout.
//! 4. `merkle`: from the transaction to the root in the header.
//! 5. `certificate`: the signatures under the header.
//! 6. `genesis`: who may sign.
//! 7. `json`: text in, each field once and none unknown.
//!
//! Nothing in a receipt is trusted. The genesis is: whoever verifies brings it along. The
//! signatures *inside* the transaction are not checked again: more than two thirds of the
//! federation did, and that is what the certificate says.

mod certificate;
mod genesis;
mod header;
mod json;
mod merkle;
mod receipt;
mod verdict;

pub use genesis::Genesis;
pub use receipt::Outcome;
pub use verdict::{Proven, verdict};

/// Largest receipt or genesis file that is read. The receipt of the largest transaction,
/// every byte of it escaped, signed by the most validators, is about half as large.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// Why a receipt proves nothing, or a genesis is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The text is not JSON.
    #[error("{file}: not JSON: {why}")]
    Syntax {
        /// `receipt` or `genesis`.
        file: &'static str,
        /// Where and what.
        why: String,
    },
    /// A field is not what it must be.
    #[error("{field}: {wanted}")]
    Field {
        /// Which, as in `receipt.certificate.signatures[1].signature`.
        field: String,
        /// What is wrong, and what would be fine.
        wanted: String,
    },
}

impl Invalid {
    fn field(field: &str, wanted: impl Into<String>) -> Self {
        Self::Field { field: field.to_owned(), wanted: wanted.into() }
    }
}

/// Checks everything in a receipt file; says what it proves to whoever trusts that genesis.
///
/// # Errors
/// When any part of the file is not as the federation signed it: then it proves nothing.
pub fn verify(receipt: &[u8], genesis: &Genesis) -> Result<Proven, Invalid> {
    // 1. The file has each field once, of the right form, and no other.
    let receipt = receipt::Receipt::read(receipt)?;
    let header = header::Header::read(&receipt.header)?;

    // 2. It is about the chain of this genesis.
    for (field, chain) in
        [("receipt.chain_id", receipt.chain_id), ("receipt.header", header.chain_id)]
    {
        if chain != genesis.chain_id() {
            let (theirs, ours) = (hex::encode(chain), hex::encode(genesis.chain_id()));
            let wanted = format!(
                "of chain {theirs}, and the genesis is of chain {ours}: take the genesis of that chain"
            );
            return Err(Invalid::field(field, wanted));
        }
    }

    // 3. The transaction, with this outcome, at this place, leads to the root in the header.
    let leaf = merkle::leaf(receipt.index, &receipt.transaction, &receipt.outcome);
    let root = merkle::root_from_path(leaf, receipt.index, header.transactions, &receipt.path);
    if root != Some(header.outcomes_root) {
        let wanted = "the transaction with this outcome is not in the block at that index";
        return Err(Invalid::field("receipt.path", wanted));
    }

    // 4. More than two thirds of the voting power signed the header.
    let signed = certificate::check(&receipt.certificate, &header, genesis)?;

    // 5. The id is the one that the federation checked.
    let transaction_id = receipt::checked_id(&receipt.transaction, &receipt.outcome)?;
    Ok(Proven {
        chain: genesis.name().to_owned(),
        chain_id: genesis.chain_id(),
        transaction_id,
        outcome: receipt.outcome,
        height: header.height,
        index: receipt.index,
        block_id: header.id,
        time_ms: header.time_ms,
        signers: signed.names,
        signed_power: signed.power,
        total_power: genesis.total_power(),
    })
}
