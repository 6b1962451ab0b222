//! Sign once: what was signed last, and whether a new signature may leave.

use cairn_ledger::{
    encoding::{DecodeError, Reader, Writer},
    ids::{BlockId, Height},
};

use crate::chain::machine::{Signed, SignedKind};

/// What kind of message was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignKind {
    /// A proposal.
    Proposal,
    /// A vote of the first phase.
    Prevote,
    /// A vote of the second phase.
    Precommit,
}

impl SignKind {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Proposal, Self::Prevote, Self::Precommit];
}

/// A signature of this validator's consensus key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnSignature {
    /// Over what kind of message.
    pub kind: SignKind,
    /// For which height.
    pub height: Height,
    /// In which round.
    pub round: u32,
    /// For which block; nothing for nil.
    pub value: Option<BlockId>,
    /// The signature. It is a function of the message, so equal signatures mean equal messages.
    pub signature: [u8; 64],
}

impl OwnSignature {
    /// Bytes of the fixed layout.
    pub(super) const BYTES: usize = 1 + 8 + 4 + 1 + 32 + 64;

    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.u8(self.kind as u8).u64(self.height.0).u32(self.round);
        writer.u8(u8::from(self.value.is_some())).raw(&self.value.unwrap_or_default().0);
        writer.raw(&self.signature);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = *SignKind::ALL.get(usize::from(reader.u8()?)).ok_or(reader.malformed())?;
        let (height, round) = (Height(reader.u64()?), reader.u32()?);
        let present = reader.u8()?;
        let block = BlockId(reader.array()?);
        if present > 1 {
            return Err(reader.malformed());
        }
        let value = (present == 1).then_some(block);
        Ok(Self { kind, height, round, value, signature: reader.array()? })
    }
}

impl From<Signed> for OwnSignature {
    fn from(signed: Signed) -> Self {
        let Signed { kind, height, round, block, valid_round: _, signature } = signed;
        let kind = match kind {
            SignedKind::Proposal => SignKind::Proposal,
            SignedKind::Prevote => SignKind::Prevote,
            SignedKind::Precommit => SignKind::Precommit,
        };
        Self { kind, height, round, value: block, signature }
    }
}

/// Why a signature may not leave. [`SignRefused::is_alarm`] tells the ones that mean that
/// something is badly wrong: two processes with one key, a rolled back disk, or a bug.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignRefused {
    /// Another message of the same kind, height and round was signed.
    #[error(
        "a {kind:?} for {asked:?} at height {height} round {round} would be a second one: {signed:?} was signed"
    )]
    Conflict {
        /// Which kind.
        kind: SignKind,
        /// Where.
        height: Height,
        /// Where.
        round: u32,
        /// What was signed.
        signed: Option<BlockId>,
        /// What was asked for.
        asked: Option<BlockId>,
    },
    /// A later one was signed already.
    #[error(
        "a {kind:?} at height {height} round {round} would come after one of height {last_height} round {last_round}"
    )]
    Older {
        /// Which kind.
        kind: SignKind,
        /// Where.
        height: Height,
        /// Where.
        round: u32,
        /// The newest that was signed.
        last_height: Height,
        /// The newest that was signed.
        last_round: u32,
    },
    /// The height is decided, or what was signed there is not known for certain.
    #[error("height {height} may not be signed at, the first that may is {first}")]
    Settled {
        /// Where.
        height: Height,
        /// Where signing may begin.
        first: Height,
    },
    /// The journal is at another height: the caller forgot to reset it.
    #[error("height {height} may not be signed at while the journal is at height {journal}")]
    NotThisHeight {
        /// Where.
        height: Height,
        /// Where the journal is.
        journal: Height,
    },
}

impl SignRefused {
    /// Whether people must be told at once.
    pub fn is_alarm(&self) -> bool {
        match self {
            Self::Conflict { .. } | Self::Older { .. } | Self::NotThisHeight { .. } => true,
            Self::Settled { .. } => false,
        }
    }
}

/// The newest own signature of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Guard([Option<OwnSignature>; 3]);

impl Guard {
    pub(super) fn last(&self, kind: SignKind) -> Option<&OwnSignature> {
        self.0[kind as usize].as_ref()
    }

    /// Whether `asked` may be signed: later than all of its kind, or the very same again.
    pub(super) fn check(&self, asked: &OwnSignature) -> Result<(), SignRefused> {
        let Some(last) = self.last(asked.kind) else { return Ok(()) };
        let OwnSignature { kind, height, round, value, signature } = *asked;
        match (height, round).cmp(&(last.height, last.round)) {
            std::cmp::Ordering::Greater => Ok(()),
            std::cmp::Ordering::Equal if value == last.value && signature == last.signature => {
                Ok(())
            }
            std::cmp::Ordering::Equal => {
                Err(SignRefused::Conflict { kind, height, round, signed: last.value, asked: value })
            }
            std::cmp::Ordering::Less => Err(SignRefused::Older {
                kind,
                height,
                round,
                last_height: last.height,
                last_round: last.round,
            }),
        }
    }

    /// Remembers a signature, unless a later one is known.
    pub(super) fn remember(&mut self, signed: OwnSignature) {
        let last = &mut self.0[signed.kind as usize];
        if last.is_none_or(|last| (last.height, last.round) <= (signed.height, signed.round)) {
            *last = Some(signed);
        }
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        for last in &self.0 {
            writer.u8(u8::from(last.is_some()));
            match last {
                Some(signed) => signed.encode(writer),
                None => {
                    writer.raw(&[0; OwnSignature::BYTES]);
                }
            }
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut guard = Self::default();
        for kind in SignKind::ALL {
            if reader.u8()? == 0 {
                reader.raw(OwnSignature::BYTES)?;
                continue;
            }
            let signed = OwnSignature::decode(reader)?;
            if signed.kind != kind {
                return Err(reader.malformed());
            }
            guard.remember(signed);
        }
        Ok(guard)
    }
}
