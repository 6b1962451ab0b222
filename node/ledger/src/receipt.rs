//! Proof, for anyone, offline, that a transaction was decided: the transaction, its Merkle
//! path, the header, the certificate. Verified against a genesis and nothing else.
//!
//! The file form is pretty JSON:
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
//! The signatures *inside* the transaction are not checked again: more than two thirds of
//! the federation did, and that is what the certificate says.

use std::sync::Arc;

use crate::{
    block::{self, Block, Header, Place},
    execution::Outcome,
    genesis::Genesis,
    ids::{ChainId, Hash, TransactionId},
    json::Strictness,
    limits::{REFUSAL_BYTES_MAX, TRANSACTION_BYTES_MAX},
    merkle,
    refusal::Recorded,
    transaction,
    vote::Certificate,
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

/// What a verified receipt proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The transaction, computed from its bytes. Nothing when it was refused for being so
    /// malformed that it has no id: whatever id it claims is then not its own.
    pub id: Option<TransactionId>,
    /// Where it stands.
    pub place: Place,
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
    /// The text is not a receipt file.
    #[error("not a receipt file: {0}")]
    Syntax(String),
    /// A field is not what it must be; the text says what would be fine.
    #[error("{field}: {wanted}")]
    Field {
        /// Which.
        field: &'static str,
        /// What would be fine.
        wanted: &'static str,
    },
    /// It is about another chain.
    #[error(
        "the receipt is of chain {receipt}, the genesis of chain {genesis}: take the genesis of that chain"
    )]
    Chain {
        /// What it says.
        receipt: ChainId,
        /// What it was verified against.
        genesis: ChainId,
    },
    /// A signer that is not in the genesis.
    #[error("signer {0:?} is no validator of the genesis")]
    Signer(String),
    /// The certificate does not prove the header.
    #[error(transparent)]
    Certificate(#[from] crate::vote::CertificateError),
    /// The path does not lead from the transaction to the header's root.
    #[error("the transaction with this outcome is not in the block at that index")]
    NotInBlock,
    /// The block says committed, and yet the bytes are no transaction.
    #[error("committed, but not a transaction that this version can read: {0}")]
    Unreadable(String),
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
    /// Reads the file form. Unknown and missing fields are errors.
    pub fn from_json(text: &str) -> Result<Self, ReceiptError> {
        let file: file::Receipt =
            serde_json::from_str(text).map_err(|error| ReceiptError::Syntax(error.to_string()))?;
        file.try_into()
    }
    /// Checks everything; says what it proves.
    pub fn verify(&self, genesis: &Genesis) -> Result<Proven, ReceiptError> {
        let Self { chain, transaction, index, outcome, path, header, round, signatures } = self;
        for receipt in [*chain, header.chain] {
            if receipt != genesis.chain() {
                return Err(ReceiptError::Chain { receipt, genesis: genesis.chain() });
            }
        }
        let certificate = Certificate {
            height: header.height,
            round: *round,
            block: header.id(),
            signatures: indexed(signatures, genesis)?,
        };
        certificate.verify(genesis)?;

        let leaf = block::leaf(*index, transaction, outcome);
        let root = merkle::root_from_path(leaf, *index, header.transactions, path);
        if root != Some(header.outcomes_root) {
            return Err(ReceiptError::NotInBlock);
        }
        // Lenient: what the federation decided is not for this reader to refuse.
        let id = match (transaction::parse(transaction.clone(), Strictness::Lenient), outcome) {
            (Ok(parsed), _) => Some(parsed.id()),
            (Err(refusal), Outcome::Committed) => {
                return Err(ReceiptError::Unreadable(refusal.to_string()));
            }
            (Err(_), Outcome::Refused(_)) => None,
        };
        Ok(Proven {
            id,
            place: Place { height: header.height, index: *index },
            outcome: outcome.clone(),
            time_ms: header.time_ms,
            signers: signatures.iter().map(|(name, _)| name.clone()).collect(),
        })
    }
}

fn indexed(
    signatures: &[(String, [u8; 64])],
    genesis: &Genesis,
) -> Result<Vec<(u16, [u8; 64])>, ReceiptError> {
    let index_of = |name: &String| {
        let at = genesis.validators().iter().position(|validator| validator.name == *name)?;
        u16::try_from(at).ok()
    };
    signatures
        .iter()
        .map(|(name, signature)| match index_of(name) {
            Some(index) => Ok((index, *signature)),
            None => Err(ReceiptError::Signer(name.clone())),
        })
        .collect()
}

/// The file form, field by field as the head of this file describes it.
mod file {
    use super::{Arc, FORMAT, Hash, Header, Outcome, ReceiptError, Recorded};
    use super::{ChainId, REFUSAL_BYTES_MAX, TRANSACTION_BYTES_MAX};

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Receipt {
        format: u16,
        chain_id: ChainId,
        transaction: String,
        encoding: Encoding,
        index: u32,
        outcome: Fate,
        path: Vec<Hash>,
        header: String,
        certificate: Signed,
    }

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Encoding {
        Text,
        Hex,
    }

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Fate {
        Committed,
        Refused(Refused),
    }

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Refused {
        number: u16,
        text: String,
    }

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Signed {
        round: u32,
        signatures: Vec<Signature>,
    }

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Signature {
        validator: String,
        signature: String,
    }

    impl From<&super::Receipt> for Receipt {
        fn from(receipt: &super::Receipt) -> Self {
            let (encoding, transaction) = match std::str::from_utf8(&receipt.transaction) {
                Ok(text) => (Encoding::Text, text.to_owned()),
                Err(_) => (Encoding::Hex, hex::encode(&receipt.transaction)),
            };
            let outcome = match &receipt.outcome {
                Outcome::Committed => Fate::Committed,
                Outcome::Refused(Recorded { number, text }) => {
                    Fate::Refused(Refused { number: *number, text: text.clone() })
                }
            };
            let signatures = receipt.signatures.iter().map(|(validator, signature)| Signature {
                validator: validator.clone(),
                signature: hex::encode(signature),
            });
            Self {
                format: FORMAT,
                chain_id: receipt.chain,
                transaction,
                encoding,
                index: receipt.index,
                outcome,
                path: receipt.path.clone(),
                header: hex::encode(receipt.header.encode()),
                certificate: Signed { round: receipt.round, signatures: signatures.collect() },
            }
        }
    }

    impl TryFrom<Receipt> for super::Receipt {
        type Error = ReceiptError;

        fn try_from(file: Receipt) -> Result<Self, ReceiptError> {
            let wrong = |field, wanted| ReceiptError::Field { field, wanted };
            if file.format != FORMAT {
                return Err(wrong("format", "this version reads format 1"));
            }
            let transaction = match file.encoding {
                Encoding::Text => file.transaction.into_bytes(),
                Encoding::Hex => hex::decode(&file.transaction)
                    .map_err(|_| wrong("transaction", "hexadecimal digits, as encoding says"))?,
            };
            // More cannot be in a block, and is not worth hashing.
            if transaction.len() > TRANSACTION_BYTES_MAX {
                return Err(wrong("transaction", "65536 bytes are the most that a block takes"));
            }
            let outcome = match file.outcome {
                Fate::Committed => Outcome::Committed,
                Fate::Refused(Refused { number, text }) if text.len() <= REFUSAL_BYTES_MAX => {
                    Outcome::Refused(Recorded { number, text })
                }
                Fate::Refused(_) => {
                    return Err(wrong("outcome", "512 bytes are the most that a block records"));
                }
            };
            let header = hex::decode(&file.header).ok().and_then(|b| Header::decode(&b).ok());
            let mut signatures = Vec::with_capacity(file.certificate.signatures.len());
            for Signature { validator, signature } in file.certificate.signatures {
                let mut bytes = [0; 64];
                hex::decode_to_slice(&signature, &mut bytes)
                    .map_err(|_| wrong("signature", "128 hexadecimal digits are one"))?;
                signatures.push((validator, bytes));
            }
            Ok(Self {
                chain: file.chain_id,
                transaction: Arc::from(transaction),
                index: file.index,
                outcome,
                path: file.path,
                header: header
                    .ok_or_else(|| wrong("header", "the signed layout in hexadecimal is one"))?,
                round: file.certificate.round,
                signatures,
            })
        }
    }
}

#[cfg(test)]
mod tests;
