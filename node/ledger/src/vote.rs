//! What validators sign, and the certificate that more than two thirds of it make.

use crate::{
    encoding::{DecodeError, Reader, Writer},
    genesis::Genesis,
    ids::{BlockId, ChainId, Height},
    limits::VALIDATORS_MAX,
    signature::{self, Claim},
};

/// Domain tag of a vote.
const VOTE_TAG: &[u8] = b"cairn/vote/1";
/// Domain tag of a proposal.
const PROPOSAL_TAG: &[u8] = b"cairn/proposal/1";

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
    let mut writer = Writer::tagged(VOTE_TAG);
    writer.raw(&chain.0).u8(match kind {
        VoteKind::Prevote => 1,
        VoteKind::Precommit => 2,
    });
    // Nil has its own flag: a block whose hash is all zeros is still not nil.
    writer.u64(height.0).u32(round).u8(block.is_some().into());
    writer.raw(&block.unwrap_or_default().0);
    writer.finish()
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
    let mut writer = Writer::tagged(PROPOSAL_TAG);
    writer.raw(&chain.0).u64(height.0).u32(round);
    writer.u8(valid_round.is_some().into()).u32(valid_round.unwrap_or_default());
    writer.raw(&block.0);
    writer.finish()
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
    ///
    /// Signers first, then power, then the signatures: so the cheap reasons to say no come
    /// before the curve arithmetic, and no input costs more than one signature a validator.
    pub fn verify(&self, genesis: &Genesis) -> Result<(), CertificateError> {
        let validators = genesis.validators();
        let message = vote_sign_bytes(
            &genesis.chain(),
            VoteKind::Precommit,
            self.height,
            self.round,
            Some(self.block),
        );
        let mut claims = Vec::with_capacity(validators.len());
        let (mut have, mut previous) = (0, None);
        for &(index, signature) in &self.signatures {
            let validator =
                validators.get(usize::from(index)).ok_or(CertificateError::Signer(index))?;
            if previous.is_some_and(|previous| previous >= index) {
                return Err(CertificateError::Signer(index));
            }
            previous = Some(index);
            // No overflow: indexes ascend, so this is part of a total that genesis bounds.
            have += validator.power;
            claims.push(Claim { key: validator.consensus_key, message: &message, signature });
        }
        let total = genesis.total_power();
        if !is_quorum(have, total) {
            return Err(CertificateError::Quorum { have, total });
        }
        let fails = signature::all_hold(&claims).iter().position(|holds| !holds);
        fails.map_or(Ok(()), |at| Err(CertificateError::Signature(self.signatures[at].0)))
    }
    /// Binary form: height, round, block, bitmap with exactly one bit a validator (the first
    /// is the lowest bit of the first byte), signatures in index order.
    ///
    /// # Panics
    /// When a signer is not below `validators`, or indexes do not ascend: a certificate that
    /// verifies has neither.
    pub fn encode(&self, validators: usize) -> Vec<u8> {
        let mut bitmap = vec![0_u8; validators.div_ceil(8)];
        let mut next = 0;
        for (index, _) in &self.signatures {
            let index = usize::from(*index);
            assert!((next..validators).contains(&index), "signers ascend and are validators");
            next = index + 1;
            bitmap[index / 8] |= 1 << (index % 8);
        }
        let mut writer = Writer::default();
        writer.u64(self.height.0).u32(self.round).raw(&self.block.0).raw(&bitmap);
        for (_, signature) in &self.signatures {
            writer.raw(signature);
        }
        writer.finish()
    }
    /// Reads the binary form; a bitmap of another length, stray bits, surplus or missing
    /// signatures are malformed.
    ///
    /// # Panics
    /// When `validators` is more than [`VALIDATORS_MAX`], which no genesis has.
    pub fn decode(bytes: &[u8], validators: usize) -> Result<Self, DecodeError> {
        assert!(validators <= VALIDATORS_MAX, "a genesis has at most {VALIDATORS_MAX} validators");
        let mut reader = Reader::new("certificate", bytes);
        let (height, round) = (Height(reader.u64()?), reader.u32()?);
        let block = BlockId(reader.array()?);
        let bitmap = reader.raw(validators.div_ceil(8))?;
        let is_set = |index: usize| bitmap[index / 8] >> (index % 8) & 1 == 1;
        if (validators..8 * bitmap.len()).any(is_set) {
            return Err(reader.malformed());
        }
        let mut signatures = Vec::new();
        for index in (0..validators).filter(|index| is_set(*index)) {
            let index = u16::try_from(index).expect("validators are few");
            signatures.push((index, reader.array()?));
        }
        reader.finish()?;
        Ok(Self { height, round, block, signatures })
    }
}

/// Whether `have` of `total` is more than two thirds.
pub fn is_quorum(have: u64, total: u64) -> bool {
    u128::from(have) * 3 > u128::from(total) * 2
}

#[cfg(test)]
pub(crate) mod tests;
