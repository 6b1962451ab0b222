//! The unspent outputs on disk, so that opening need not replay the chain.
//!
//! A snapshot is copied shard by shard while blocks go on being committed, so each shard is
//! as of its own height, which is written beside it; opening replays onto each shard the
//! blocks that it has not seen. A snapshot that is missing or damaged costs time, no more.
//!
//! ```text
//! file    = section of the head ‖ 256 sections of shards ‖ section of the end
//! section = length (u32) ‖ CRC-32 over chain, section's number and bytes (u32) ‖ bytes
//! ```

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use cairn_ledger::{
    encoding::{DecodeError, Reader, Writer},
    ids::{BlockId, ChainId, Height},
    state::StateHash,
};

use super::{
    outputs::{Outputs, SHARDS},
    segments::Span,
};
use crate::store::{
    StoreError,
    files::{replace, trouble},
};

/// Names the file's layout.
const HEAD: &[u8] = b"cairn/snapshot/1";
/// No section is larger: what a damaged length may ask for.
const SECTION_BYTES_MAX: u32 = u32::MAX / 2;

/// What opening finds.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) outputs: Outputs,
    /// As of which height each shard is.
    pub(super) shards: Vec<Height>,
    pub(super) end: End,
}

/// What is known about the height of the last shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) height: Height,
    pub(super) block: BlockId,
    pub(super) state: StateHash,
    /// Where the blocks up to it lie.
    pub(super) spans: Vec<Span>,
}

impl End {
    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u64(self.height.0).raw(&self.block.0).raw(&self.state.to_bytes());
        for Span { segment, sector, sectors } in &self.spans {
            writer.u32(*segment).u32(*sector).u32(*sectors);
        }
        writer.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("end of a snapshot", bytes);
        let (height, block) = (Height(reader.u64()?), BlockId(reader.array()?));
        let state = StateHash::from_bytes(reader.raw(StateHash::BYTES)?);
        let state = state.ok_or_else(|| reader.malformed())?;
        let mut spans = Vec::new();
        while !reader.is_done() {
            let (segment, sector, sectors) = (reader.u32()?, reader.u32()?, reader.u32()?);
            spans.push(Span { segment, sector, sectors });
        }
        if spans.len() as u64 != height.0 {
            return Err(reader.malformed());
        }
        Ok(Self { height, block, state, spans })
    }
}

fn path(directory: &Path) -> PathBuf {
    directory.join("outputs.snapshot")
}

/// A shard as it is at some height.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) height: Height,
    pub(super) rows: Vec<u8>,
    /// Known at the moment when the last shard is copied, and only asked for then.
    pub(super) end: Option<End>,
}

/// Writes a snapshot in place of the one before, and says as of which height it is. `copy`
/// copies one shard after the other.
pub(super) fn write(
    directory: &Path,
    chain: &ChainId,
    mut copy: impl FnMut(usize) -> Copy,
) -> Result<Height, StoreError> {
    fs::create_dir_all(directory).map_err(trouble("making", directory))?;
    let mut reached = Height(0);
    replace(&path(directory), |file| {
        let mut sections = Sections { chain, number: 0, file: BufWriter::new(file) };
        sections.write(HEAD)?;
        for number in 0..SHARDS {
            let Copy { height, rows, end } = copy(number);
            let mut bytes = height.0.to_be_bytes().to_vec();
            bytes.extend(rows);
            sections.write(&bytes)?;
            if let Some(end) = end {
                sections.write(&end.encode())?;
            }
            reached = height;
        }
        sections.file.flush()
    })?;
    Ok(reached)
}

/// Reads the snapshot; nothing when there is none that holds together.
pub(super) fn read(directory: &Path, chain: &ChainId, seed: [u64; 2]) -> Option<Snapshot> {
    let path = path(directory);
    let file = File::open(&path).ok()?;
    let sections = Sections { chain, number: 0, file: BufReader::with_capacity(1 << 20, file) };
    match read_sections(sections, seed) {
        Ok(snapshot) => Some(snapshot),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "leaves a damaged snapshot aside");
            None
        }
    }
}

fn read_sections(
    mut sections: Sections<'_, BufReader<File>>,
    seed: [u64; 2],
) -> io::Result<Snapshot> {
    let malformed = |error: DecodeError| io::Error::new(io::ErrorKind::InvalidData, error);
    if sections.read()? != HEAD {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "another layout"));
    }
    let mut outputs = Outputs::new(seed);
    let mut shards = Vec::with_capacity(SHARDS);
    for number in 0..SHARDS {
        let bytes = sections.read()?;
        let (height, rows) = bytes.split_first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
        shards.push(Height(u64::from_be_bytes(*height)));
        outputs.decode_shard(number, rows).map_err(malformed)?;
    }
    let end = End::decode(&sections.read()?).map_err(malformed)?;
    if !shards.is_sorted() || shards.last() != Some(&end.height) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "heights out of order"));
    }
    Ok(Snapshot { outputs, shards, end })
}

struct Sections<'a, F> {
    chain: &'a ChainId,
    number: u32,
    file: F,
}

impl<F> Sections<'_, F> {
    fn checksum(&mut self, bytes: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.chain.0);
        hasher.update(&self.number.to_be_bytes());
        hasher.update(bytes);
        self.number += 1;
        hasher.finalize()
    }
}

impl<F: Write> Sections<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).ok().filter(|length| *length < SECTION_BYTES_MAX);
        let length = length.ok_or(io::ErrorKind::FileTooLarge)?;
        let checksum = self.checksum(bytes);
        self.file.write_all(&length.to_be_bytes())?;
        self.file.write_all(&checksum.to_be_bytes())?;
        self.file.write_all(bytes)
    }
}

impl<F: Read> Sections<'_, F> {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut front = [0; 8];
        self.file.read_exact(&mut front)?;
        let [a, b, c, d, checksum @ ..] = front;
        let length = u32::from_be_bytes([a, b, c, d]);
        let mut bytes = Vec::new();
        // Grows with what is there, not with what a damaged length says.
        (&mut self.file).take(length.into()).read_to_end(&mut bytes)?;
        if bytes.len() != length as usize || self.checksum(&bytes) != u32::from_be_bytes(checksum) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a checksum does not match"));
        }
        Ok(bytes)
    }
}
