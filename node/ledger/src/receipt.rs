//! Proof, for anyone, offline, that a transaction was decided: the transaction, its Merkle
//! path, the header, the certificate. Made here; the crate `cairn-verifier`, which uses
//! nothing of this one, verifies it against a genesis and nothing else.
//!
//! The file form is pretty JSON (`docs/receipt.md` has it byte for byte):
//!
//! | field | what |
//! |---|---|
//! | `format` | 1 |
//! | `chain_id` | the chain, hexadecimal: says early which genesis to verify against |
//! | `transaction` | the transaction as it was received, byte for byte |
//! | `encoding` | how `transaction` is written: `text`, or `hex` when it is not UTF-8 (then it was refused) |
//! | `index` | its place in the block, from 0 |
//! | `outcome` | `"committed"`, or `{"refused": {"number": …, "text": …}}` |
//! | `path` | the hashes from the leaf's sibling to the root, hexadecimal |
//! | `header` | the block's header in its signed layout ([`Header::encode`]), hexadecimal |
//! | `certificate` | `round`, and `signatures`: each a `validator` (its name in the genesis) and a `signature` (hexadecimal), in the genesis's order |
//!
//! Nothing in it is trusted. The signatures prove the header; the header holds the root of
//! all transactions with their outcomes; the path leads from this transaction to that root.

use std::sync::Arc;

use crate::{
    block::{Block, Header},
    execution::Outcome,
    genesis::Genesis,
    ids::{ChainId, Hash},
    merkle,
};

/// The format of the file.
const FORMAT: u16 = 1;

/// The proof. Its file form is JSON; every field is needed and none is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    chain: ChainId,
    transaction: Arc<[u8]>,
    index: u32,
    outcome: Outcome,
    path: Vec<Hash>,
    header: Header,
    round: u32,
    /// Names, not indexes: whoever reads the file should see who signed.
    signatures: Vec<(String, [u8; 64])>,
}

impl Receipt {
    /// The proof for one transaction of a decided block. Nothing when the block has no such
    /// transaction, or is not of that genesis.
    pub fn of(block: &Block, index: u32, genesis: &Genesis) -> Option<Self> {
        let at = index as usize;
        if block.header.chain != genesis.chain() {
            return None;
        }
        let transaction = block.body.get(at)?.clone();
        let outcome = block.outcomes.get(at)?.clone();
        let mut signatures = Vec::with_capacity(block.certificate.signatures.len());
        for (signer, signature) in &block.certificate.signatures {
            let validator = genesis.validators().get(usize::from(*signer))?;
            signatures.push((validator.name.clone(), *signature));
        }
        Some(Self {
            chain: genesis.chain(),
            transaction,
            index,
            outcome,
            path: merkle::path(&block.leaves(), at),
            header: block.header.clone(),
            round: block.certificate.round,
            signatures,
        })
    }
    /// The file form, pretty, ending in a newline.
    pub fn to_json(&self) -> String {
        let file = file::Receipt::from(self);
        serde_json::to_string_pretty(&file).expect("plain fields always serialise") + "\n"
    }
}

/// The file form, field by field as the head of this file describes it.
mod file {
    use super::{ChainId, FORMAT, Hash, Outcome};
    use crate::refusal::Recorded;

    #[derive(serde::Serialize)]
    pub(super) struct Receipt<'a> {
        format: u16,
        chain_id: ChainId,
        transaction: String,
        encoding: Encoding,
        index: u32,
        outcome: Fate<'a>,
        path: &'a [Hash],
        header: String,
        certificate: Signed<'a>,
    }

    #[derive(serde::Serialize)]
    #[serde(rename_all = "lowercase")]
    enum Encoding {
        Text,
        Hex,
    }

    #[derive(serde::Serialize)]
    #[serde(rename_all = "lowercase")]
    enum Fate<'a> {
        Committed,
        Refused { number: u16, text: &'a str },
    }

    #[derive(serde::Serialize)]
    struct Signed<'a> {
        round: u32,
        signatures: Vec<Signature<'a>>,
    }

    #[derive(serde::Serialize)]
    struct Signature<'a> {
        validator: &'a str,
        signature: String,
    }

    impl<'a> From<&'a super::Receipt> for Receipt<'a> {
        fn from(receipt: &'a super::Receipt) -> Self {
            let (encoding, transaction) = match std::str::from_utf8(&receipt.transaction) {
                Ok(text) => (Encoding::Text, text.to_owned()),
                Err(_) => (Encoding::Hex, hex::encode(&receipt.transaction)),
            };
            let outcome = match &receipt.outcome {
                Outcome::Committed => Fate::Committed,
                Outcome::Refused(Recorded { number, text }) => {
                    Fate::Refused { number: *number, text }
                }
            };
            let signatures = receipt.signatures.iter().map(|(validator, signature)| Signature {
                validator,
                signature: hex::encode(signature),
            });
            Self {
                format: FORMAT,
                chain_id: receipt.chain,
                transaction,
                encoding,
                index: receipt.index,
                outcome,
                path: &receipt.path,
                header: hex::encode(receipt.header.encode()),
                certificate: Signed { round: receipt.round, signatures: signatures.collect() },
            }
        }
    }
}

#[cfg(test)]
mod tests;
