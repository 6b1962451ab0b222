//! The binary form of messages, and the pieces of it that the write-ahead log uses too.
//!
//! Counts and indexes are checked against the number of validators before anything is
//! allocated or looked up: whoever decodes may be talking to an enemy.

use cairn_ledger::{
    block::Header,
    encoding::{DecodeError, Reader, Writer},
    ids::{BlockId, Height},
    limits::VALIDATORS_MAX,
    vote::VoteKind,
};

use super::{
    Message, PolkaCertificate, ROUND_MAX, RoundCertificate, RoundCertificateKind, RoundSignature,
    STATUS_ROUNDS_MAX, Seen, SignedProposal, SignedVote, Status,
};

// One bit of a `u128` for each validator.
const _: () = assert!(VALIDATORS_MAX <= 128);

impl Message {
    /// The binary form.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match self {
            Self::Proposal(proposal) => put_proposal(writer.u8(1), proposal),
            Self::Vote(vote) => put_vote(writer.u8(2), vote),
            Self::PolkaCertificate(certificate) => put_polka(writer.u8(3), certificate),
            Self::RoundCertificate(certificate) => put_round(writer.u8(4), certificate),
            Self::Status(status) => put_status(writer.u8(5), status),
        }
        writer.finish()
    }

    /// Reads the binary form; every count and index is checked against the number of
    /// validators before anything is allocated.
    ///
    /// # Errors
    /// When the bytes are not what [`Message::encode`] writes for a chain of that size.
    pub fn decode(bytes: &[u8], validators: usize) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("message", bytes);
        let message = match reader.u8()? {
            1 => Self::Proposal(Box::new(take_proposal(&mut reader, validators)?)),
            2 => Self::Vote(take_vote(&mut reader, validators)?),
            3 => Self::PolkaCertificate(take_polka(&mut reader, validators)?),
            4 => Self::RoundCertificate(take_round(&mut reader, validators)?),
            5 => Self::Status(take_status(&mut reader, validators)?),
            _ => return Err(reader.malformed()),
        };
        reader.finish()?;
        Ok(message)
    }
}

fn kind_byte(kind: VoteKind) -> u8 {
    match kind {
        VoteKind::Prevote => 1,
        VoteKind::Precommit => 2,
    }
}

fn take_kind(reader: &mut Reader<'_>) -> Result<VoteKind, DecodeError> {
    match reader.u8()? {
        1 => Ok(VoteKind::Prevote),
        2 => Ok(VoteKind::Precommit),
        _ => Err(reader.malformed()),
    }
}

pub(crate) fn take_flag(reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(reader.malformed()),
    }
}

/// An index that is some validator's.
pub(crate) fn take_validator(
    reader: &mut Reader<'_>,
    validators: usize,
) -> Result<u16, DecodeError> {
    let index = reader.u16()?;
    if usize::from(index) < validators { Ok(index) } else { Err(reader.malformed()) }
}

fn put_block(writer: &mut Writer, block: Option<BlockId>) {
    writer.u8(block.is_some().into());
    if let Some(block) = block {
        writer.raw(&block.0);
    }
}

fn take_block(reader: &mut Reader<'_>) -> Result<Option<BlockId>, DecodeError> {
    Ok(if take_flag(reader)? { Some(BlockId(reader.array()?)) } else { None })
}

pub(crate) fn put_round_option(writer: &mut Writer, round: Option<u32>) {
    writer.u8(round.is_some().into());
    if let Some(round) = round {
        writer.u32(round);
    }
}

/// A round's number, within the bound. Invariant: every round from outside and from the
/// disk is read here, so no sum of rounds overflows further in.
pub(crate) fn take_round_number(reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let round = reader.u32()?;
    if round <= ROUND_MAX { Ok(round) } else { Err(reader.malformed()) }
}

pub(crate) fn take_round_option(reader: &mut Reader<'_>) -> Result<Option<u32>, DecodeError> {
    Ok(if take_flag(reader)? { Some(take_round_number(reader)?) } else { None })
}

pub(crate) fn put_vote(writer: &mut Writer, vote: &SignedVote) {
    let SignedVote { kind, height, round, block, validator, signature } = vote;
    writer.u8(kind_byte(*kind)).u64(height.0).u32(*round);
    put_block(writer, *block);
    writer.u16(*validator).raw(signature);
}

pub(crate) fn take_vote(
    reader: &mut Reader<'_>,
    validators: usize,
) -> Result<SignedVote, DecodeError> {
    Ok(SignedVote {
        kind: take_kind(reader)?,
        height: Height(reader.u64()?),
        round: take_round_number(reader)?,
        block: take_block(reader)?,
        validator: take_validator(reader, validators)?,
        signature: reader.array()?,
    })
}

pub(crate) fn put_proposal(writer: &mut Writer, proposal: &SignedProposal) {
    let SignedProposal { header, round, valid_round, validator, signature } = proposal;
    writer.raw(&header.encode()).u32(*round);
    put_round_option(writer, *valid_round);
    writer.u16(*validator).raw(signature);
}

pub(crate) fn take_proposal(
    reader: &mut Reader<'_>,
    validators: usize,
) -> Result<SignedProposal, DecodeError> {
    Ok(SignedProposal {
        header: Header::decode(reader.raw(Header::BYTES)?)?,
        round: take_round_number(reader)?,
        valid_round: take_round_option(reader)?,
        validator: take_validator(reader, validators)?,
        signature: reader.array()?,
    })
}

pub(crate) fn put_polka(writer: &mut Writer, certificate: &PolkaCertificate) {
    let PolkaCertificate { height, round, block, signatures } = certificate;
    writer.u64(height.0).u32(*round).raw(&block.0);
    put_count(writer, signatures.len());
    for (validator, signature) in signatures {
        writer.u16(*validator).raw(signature);
    }
}

pub(crate) fn take_polka(
    reader: &mut Reader<'_>,
    validators: usize,
) -> Result<PolkaCertificate, DecodeError> {
    let (height, round) = (Height(reader.u64()?), take_round_number(reader)?);
    let block = BlockId(reader.array()?);
    let count = reader.count(validators)?;
    let mut signatures: Vec<(u16, [u8; 64])> = Vec::with_capacity(count);
    for _ in 0..count {
        let validator = take_validator(reader, validators)?;
        if signatures.last().is_some_and(|(previous, _)| *previous >= validator) {
            return Err(reader.malformed());
        }
        signatures.push((validator, reader.array()?));
    }
    Ok(PolkaCertificate { height, round, block, signatures })
}

fn put_round(writer: &mut Writer, certificate: &RoundCertificate) {
    let RoundCertificate { height, round, kind, signatures } = certificate;
    writer.u64(height.0).u32(*round).u8(match kind {
        RoundCertificateKind::Precommit => 1,
        RoundCertificateKind::Skip => 2,
    });
    put_count(writer, signatures.len());
    for RoundSignature { validator, kind, block, signature } in signatures {
        writer.u16(*validator).u8(kind_byte(*kind));
        put_block(writer, *block);
        writer.raw(signature);
    }
}

fn take_round(reader: &mut Reader<'_>, validators: usize) -> Result<RoundCertificate, DecodeError> {
    let (height, round) = (Height(reader.u64()?), take_round_number(reader)?);
    let kind = match reader.u8()? {
        1 => RoundCertificateKind::Precommit,
        2 => RoundCertificateKind::Skip,
        _ => return Err(reader.malformed()),
    };
    // One vote a validator, whatever its kind: that is how they are made.
    let count = reader.count(validators)?;
    let mut signatures: Vec<RoundSignature> = Vec::with_capacity(count);
    for _ in 0..count {
        let validator = take_validator(reader, validators)?;
        if signatures.last().is_some_and(|previous| previous.validator >= validator) {
            return Err(reader.malformed());
        }
        let kind = take_kind(reader)?;
        let block = take_block(reader)?;
        signatures.push(RoundSignature { validator, kind, block, signature: reader.array()? });
    }
    Ok(RoundCertificate { height, round, kind, signatures })
}

fn put_status(writer: &mut Writer, status: &Status) {
    let Status { height, block, round, seen } = status;
    writer.u64(height.0).raw(&block.0);
    put_round_option(writer, *round);
    put_count(writer, seen.len());
    for Seen { round, proposal, prevotes, precommits } in seen {
        writer.u32(*round).u8((*proposal).into());
        writer.raw(&prevotes.to_be_bytes()).raw(&precommits.to_be_bytes());
    }
}

fn take_status(reader: &mut Reader<'_>, validators: usize) -> Result<Status, DecodeError> {
    let (height, block) = (Height(reader.u64()?), BlockId(reader.array()?));
    let round = take_round_option(reader)?;
    let count = reader.count(STATUS_ROUNDS_MAX)?;
    let mut seen: Vec<Seen> = Vec::with_capacity(count);
    for _ in 0..count {
        let (round, proposal) = (take_round_number(reader)?, take_flag(reader)?);
        let prevotes = take_bitmap(reader, validators)?;
        let precommits = take_bitmap(reader, validators)?;
        if seen.last().is_some_and(|previous| previous.round >= round) {
            return Err(reader.malformed());
        }
        seen.push(Seen { round, proposal, prevotes, precommits });
    }
    Ok(Status { height, block, round, seen })
}

/// A bit each for that many validators, and no other.
fn take_bitmap(reader: &mut Reader<'_>, validators: usize) -> Result<u128, DecodeError> {
    let bits = u128::from_be_bytes(reader.array()?);
    let stray = u32::try_from(validators).ok().and_then(|n| bits.checked_shr(n)).unwrap_or(0);
    if stray == 0 { Ok(bits) } else { Err(reader.malformed()) }
}

fn put_count(writer: &mut Writer, count: usize) {
    writer.u32(u32::try_from(count).expect("bounded by the number of validators"));
}
