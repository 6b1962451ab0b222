//! What validators sign, and the certificate that more than two thirds of it make.

use crate::{
    encoding::DecodeError,
    genesis::Genesis,
    ids::{BlockId, ChainId, Height},
};

/// What kind of vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VoteKind {
    /// First phase.
    Prevote,
    /// Second phase.
    Precommit,
}

/// The bytes that a vote's signature covers: fixed layout, domain tag, chain id. No
/// timestamp, so that signing again gives the same bytes. `block` is nothing for nil.
pub fn vote_sign_bytes(
    chain: &ChainId,
    kind: VoteKind,
    height: Height,
    round: u32,
    block: Option<BlockId>,
) -> Vec<u8> {
    let _ = (chain, kind, height, round, block);
    todo!()
}

/// The bytes that a proposal's signature covers. `valid_round` is the round in which the
/// proposer saw two thirds of prevotes for the block, if it proposes again.
pub fn proposal_sign_bytes(
    chain: &ChainId,
    height: Height,
    round: u32,
    valid_round: Option<u32>,
    block: BlockId,
) -> Vec<u8> {
    let _ = (chain, height, round, valid_round, block);
    todo!()
}

/// Proof that more than two thirds of the voting power precommitted one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The block's height.
    pub height: Height,
    /// The round in which it was decided.
    pub round: u32,
    /// The block.
    pub block: BlockId,
    /// Index of each signer in the validator set with its precommit's signature, indexes ascending.
    pub signatures: Vec<(u16, [u8; 64])>,
}

/// Why a certificate proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// A bit is set for a validator that is not there, or out of order.
    #[error("signer {0} is not in the validator set, or not in ascending order")]
    Signer(u16),
    /// More than two thirds of the power must sign.
    #[error("signers hold {have} of {total} voting power, more than two thirds are needed")]
    Quorum {
        /// What the signers hold.
        have: u64,
        /// What all hold.
        total: u64,
    },
    /// Every signature must hold: no early stop after the quorum.
    #[error("the signature of validator {0} does not hold")]
    Signature(u16),
}

impl Certificate {
    /// Whether it proves the decision, for the chain of `genesis`.
    pub fn verify(&self, genesis: &Genesis) -> Result<(), CertificateError> {
        let _ = genesis;
        todo!()
    }
    /// Binary form: height, round, block, bitmap with exactly one bit a validator,
    /// signatures in index order.
    pub fn encode(&self, validators: usize) -> Vec<u8> {
        let _ = validators;
        todo!()
    }
    /// Reads the binary form; a bitmap of another length, stray bits, surplus or missing
    /// signatures are malformed.
    pub fn decode(bytes: &[u8], validators: usize) -> Result<Self, DecodeError> {
        let _ = (bytes, validators);
        todo!()
    }
}

/// Whether `have` of `total` is more than two thirds.
pub fn is_quorum(have: u64, total: u64) -> bool {
    u128::from(have) * 3 > u128::from(total) * 2
}
