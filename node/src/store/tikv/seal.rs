//! The tip as it is stored: what makes a block part of the store, as one key.

use cairn_ledger::{
    block::Tip,
    encoding::{DecodeError, Reader, Writer},
    ids::{BlockId, ChainId, Height, Position},
    state::StateHash,
};

/// The layout below. Another one is read by a newer program.
const LAYOUT: u8 = 1;

/// The last block, the state after it, and which process wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) tip: Tip,
    pub(super) state: StateHash,
    /// Drawn anew by each process that opens the store: an older one notices.
    pub(super) writer: [u8; 16],
}

impl Seal {
    /// Before the first block.
    pub(super) fn genesis(chain: ChainId) -> Self {
        Self { tip: Tip::genesis(chain), state: StateHash::default(), writer: [0; 16] }
    }

    /// Whether both are of the same block, whoever wrote them.
    pub(super) fn is_at(&self, other: &Self) -> bool {
        self.tip == other.tip
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let Tip { chain, height, block, time_ms, order, state_root: _ } = &self.tip;
        let mut writer = Writer::default();
        writer.u8(LAYOUT).raw(&chain.0).u64(height.0).raw(&block.0).u64(*time_ms).u64(order.0);
        writer.raw(&self.state.to_bytes()).raw(&self.writer);
        writer.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("tip of the store", bytes);
        let malformed = reader.malformed();
        if reader.u8()? != LAYOUT {
            return Err(malformed);
        }
        let (chain, height) = (ChainId(reader.array()?), Height(reader.u64()?));
        let (block, time_ms) = (BlockId(reader.array()?), reader.u64()?);
        let order = Position(reader.u64()?);
        let state = StateHash::from_bytes(reader.raw(StateHash::BYTES)?).ok_or(malformed)?;
        let writer = reader.array()?;
        reader.finish()?;
        let tip = Tip { chain, height, block, time_ms, order, state_root: state.root() };
        Ok(Self { tip, state, writer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_comes_back_and_nothing_shorter_does() {
        let genesis = Seal::genesis(ChainId([3; 32]));
        let tip = Tip { height: Height(7), time_ms: 9, order: Position(11), ..genesis.tip };
        let seal = Seal { tip, writer: [5; 16], ..genesis };
        let bytes = seal.encode();
        assert_eq!(Seal::decode(&bytes), Ok(seal));
        assert!(Seal::decode(&bytes[..bytes.len() - 1]).is_err());
        assert!(Seal::decode(&[&bytes[..], &[0]].concat()).is_err());
    }
}
