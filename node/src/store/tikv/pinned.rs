//! The tip on the validator's own volume: what an administrator of TiKV cannot roll back.
//!
//! One file with two slots, written in turn and synced after each block. A slot that a crash
//! cut short has the wrong checksum, and the other one counts.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::PathBuf,
};

use cairn_ledger::encoding::{DecodeError, Reader, Writer};

use super::seal::Seal;
use crate::store::{
    StoreError,
    files::{replace, trouble},
};

/// Room for a tip, and whole pages.
const SLOT_BYTES: usize = 4096;
/// First bytes of a slot.
const MAGIC: &[u8; 8] = b"CRNpin/1";

/// The file, open.
pub(super) struct Pinned {
    path: PathBuf,
    file: File,
    /// How often it was written; says which slot is the newer one.
    writes: u64,
    seal: Option<Seal>,
}

impl Pinned {
    /// Opens the file, which is made when it is not there.
    pub(super) fn open(path: PathBuf) -> Result<Self, StoreError> {
        if !path.exists() {
            replace(&path, |file| file.write_all_at(&[0; 2 * SLOT_BYTES], 0))?;
        }
        let bytes = fs::read(&path).map_err(trouble("reading", &path))?;
        let newest = bytes
            .chunks_exact(SLOT_BYTES)
            .filter_map(|slot| decode(slot).ok())
            .max_by_key(|(writes, _)| *writes);
        let (writes, seal) = newest.map_or((0, None), |(writes, seal)| (writes, Some(seal)));
        let file = File::options().write(true).open(&path).map_err(trouble("opening", &path))?;
        Ok(Self { path, file, writes, seal })
    }

    /// What was pinned last.
    pub(super) fn seal(&self) -> Option<&Seal> {
        self.seal.as_ref()
    }

    /// Pins a tip: when this returns, a crash does not lose it.
    pub(super) fn pin(&mut self, seal: &Seal) -> Result<(), StoreError> {
        let writes = self.writes + 1;
        let at = writes % 2 * SLOT_BYTES as u64;
        self.file
            .write_all_at(&encode(writes, seal), at)
            .and_then(|()| self.file.sync_data())
            .map_err(trouble("pinning the tip in", &self.path))?;
        self.writes = writes;
        self.seal = Some(seal.clone());
        Ok(())
    }
}

fn encode(writes: u64, seal: &Seal) -> Vec<u8> {
    let mut writer = Writer::tagged(MAGIC);
    writer.u64(writes).bytes(&seal.encode());
    let mut slot = writer.finish();
    slot.extend(blake3::hash(&slot).as_bytes());
    assert!(slot.len() <= SLOT_BYTES, "a tip fits into its slot");
    slot
}

fn decode(slot: &[u8]) -> Result<(u64, Seal), DecodeError> {
    let mut reader = Reader::new("pinned tip", slot);
    let malformed = reader.malformed();
    if reader.raw(MAGIC.len())? != MAGIC {
        return Err(malformed);
    }
    let writes = reader.u64()?;
    let seal = reader.bytes(SLOT_BYTES)?;
    let covered = MAGIC.len() + 8 + 4 + seal.len();
    if blake3::hash(&slot[..covered]).as_bytes()[..] != *reader.raw(32)? {
        return Err(malformed);
    }
    Ok((writes, Seal::decode(seal)?))
}

#[cfg(test)]
mod tests {
    use cairn_ledger::{
        block::Tip,
        ids::{ChainId, Height},
    };

    use super::*;

    fn seal(height: u64) -> Seal {
        let genesis = Seal::genesis(ChainId([1; 32]));
        Seal { tip: Tip { height: Height(height), ..genesis.tip.clone() }, ..genesis }
    }

    #[test]
    fn the_last_pin_comes_back_and_a_torn_one_leaves_the_one_before() {
        let name = format!("cairn-pin-{}", hex::encode(crate::clock::random::<8>()));
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("tip.pinned");
        let mut pinned = Pinned::open(path.clone()).unwrap();
        assert_eq!(pinned.seal(), None);
        // Down as well: a tip may be rolled back on purpose.
        for height in [1, 2, 3, 2, 5] {
            let before = fs::read(&path).unwrap();
            let last = pinned.seal().cloned();
            pinned.pin(&seal(height)).unwrap();
            assert_eq!(Pinned::open(path.clone()).unwrap().seal(), Some(&seal(height)));
            let after = fs::read(&path).unwrap();
            for cut in (0..after.len()).step_by(97) {
                // The bytes up to the cut are new, the rest is old.
                let torn = [&after[..cut], &before[cut..]].concat();
                fs::write(&path, &torn).unwrap();
                let found = Pinned::open(path.clone()).unwrap().seal().cloned();
                assert!(found == last || found.as_ref() == Some(&seal(height)), "cut at {cut}");
            }
            fs::write(&path, &after).unwrap();
        }
        fs::remove_dir_all(&directory).unwrap();
    }
}
