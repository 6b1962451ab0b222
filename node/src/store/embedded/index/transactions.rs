//! What became of a transaction: `id → kind ‖ height ‖ index`.

use cairn_ledger::encoding::{DecodeError, Reader, Writer};

use super::{Fate, put_place, take_place};

const REFUSED: u8 = 0;
const TRANSFERRED: u8 = 1;
const CREATED: u8 = 2;

impl Fate {
    pub(super) fn encode(&self) -> Vec<u8> {
        let (kind, place) = match *self {
            Self::Refused { place } => (REFUSED, place),
            Self::Committed { place, created: false } => (TRANSFERRED, place),
            Self::Committed { place, created: true } => (CREATED, place),
        };
        let mut writer = Writer::default();
        put_place(writer.u8(kind), place);
        writer.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("fate of a transaction", bytes);
        let malformed = reader.malformed();
        let kind = reader.u8()?;
        let place = take_place(&mut reader)?;
        reader.finish()?;
        match kind {
            REFUSED => Ok(Self::Refused { place }),
            TRANSFERRED => Ok(Self::Committed { place, created: false }),
            CREATED => Ok(Self::Committed { place, created: true }),
            _ => Err(malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use cairn_ledger::{block::Place, ids::Height};

    use super::*;

    #[test]
    fn every_fate_comes_back() {
        let place = Place { height: Height(u64::MAX - 1), index: 70_000 };
        for fate in [
            Fate::Refused { place },
            Fate::Committed { place, created: false },
            Fate::Committed { place, created: true },
        ] {
            let bytes = fate.encode();
            assert_eq!(Fate::decode(&bytes), Ok(fate));
            assert!(Fate::decode(&bytes[..bytes.len() - 1]).is_err());
            assert!(Fate::decode(&[&bytes[..], &[0]].concat()).is_err());
        }
        assert!(Fate::decode(&[3; 13]).is_err());
    }
}
