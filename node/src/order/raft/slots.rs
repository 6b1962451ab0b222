//! The vote, the committed position and the snapshot pointer: small, overwritten in place or
//! replaced by rename.
//!
//! The vote has two slots that take turns, so the one before survives a torn write. The
//! committed position is in a file of its own that is never synced: it must not be able to
//! take the vote with it.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use cairn_ledger::{
    encoding::{Reader, Writer},
    ids::ChainId,
};
use parking_lot::Mutex;

use super::{
    segments::{Corrupt, OpenError, sync_directory},
    types::{
        LogId, RECORD_BYTES_MAX, SnapshotMeta, Vote, read_log_id, read_vote, write_log_id,
        write_vote,
    },
};

/// Slots lie a disk page apart: one write tears one of them at most.
const SLOT: usize = 4096;

/// The small durable facts beside the log.
#[derive(Debug)]
pub(crate) struct Slots {
    chain: ChainId,
    votes: File,
    committed: File,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    turn: u64,
    vote: Option<Vote>,
    committed: Option<LogId>,
    failed: bool,
}

fn seal(chain: &ChainId, body: &[u8]) -> Vec<u8> {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(chain.as_bytes());
    hasher.update(body);
    let mut writer = Writer::default();
    writer.u32(hasher.finalize()).bytes(body);
    writer.finish()
}

fn unseal<'a>(chain: &ChainId, bytes: &'a [u8], most: usize) -> Option<&'a [u8]> {
    let mut reader = Reader::new("sealed record", bytes);
    let sum = reader.u32().ok()?;
    let body = reader.bytes(most).ok()?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(chain.as_bytes());
    hasher.update(body);
    (hasher.finalize() == sum).then_some(body)
}

fn slot_file(path: &Path, bytes: usize) -> io::Result<(File, Vec<u8>)> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
    let mut content = fs::read(path)?;
    if content.len() < bytes {
        content.resize(bytes, 0);
        file.write_all_at(&content, 0)?;
        file.sync_all()?;
    }
    Ok((file, content))
}

fn decode_vote(bytes: &[u8]) -> Option<(u64, Vote)> {
    let mut reader = Reader::new("vote", bytes);
    let turn = reader.u64().ok()?;
    let vote = read_vote(&mut reader).ok()?;
    reader.finish().ok()?;
    Some((turn, vote))
}

impl Slots {
    pub(crate) fn open(directory: &Path, chain: &ChainId) -> Result<Self, OpenError> {
        let path = directory.join("vote");
        let (votes, content) = slot_file(&path, 2 * SLOT)?;
        let newest = content
            .chunks(SLOT)
            .filter_map(|slot| decode_vote(unseal(chain, slot, SLOT)?))
            .max_by_key(|(turn, _)| *turn);
        // The very first vote may be torn while the other slot is still empty; but when both
        // hold something, one of them was synced.
        if newest.is_none() && content.chunks(SLOT).all(|slot| slot.iter().any(|byte| *byte != 0)) {
            let what = "neither vote is whole".to_owned();
            return Err(Corrupt { file: path.display().to_string(), at: 0, what }.into());
        }
        let (committed, content) = slot_file(&directory.join("committed"), 64)?;
        let known = unseal(chain, &content, 64)
            .and_then(|body| read_log_id(&mut Reader::new("committed", body)).ok());
        sync_directory(directory)?;
        let state = State {
            turn: newest.map_or(0, |(turn, _)| turn),
            vote: newest.map(|(_, vote)| vote),
            committed: known,
            failed: false,
        };
        let state = Mutex::new(state);
        Ok(Self { chain: *chain, votes, committed, state })
    }

    pub(crate) fn vote(&self) -> Option<Vote> {
        self.state.lock().vote
    }

    /// Synced when it returns.
    pub(crate) fn save_vote(&self, vote: &Vote) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.failed {
            return Err(io::Error::other("an earlier vote could not be written"));
        }
        let turn = state.turn + 1;
        let mut writer = Writer::default();
        writer.u64(turn);
        write_vote(&mut writer, vote);
        let at = (turn % 2) * SLOT as u64;
        let written = self
            .votes
            .write_all_at(&seal(&self.chain, &writer.finish()), at)
            .and_then(|()| self.votes.sync_data());
        state.failed = written.is_err();
        if written.is_ok() {
            state.turn = turn;
            state.vote = Some(*vote);
        }
        written
    }

    pub(crate) fn committed(&self) -> Option<LogId> {
        self.state.lock().committed
    }

    pub(crate) fn save_committed(&self, id: &LogId) -> io::Result<()> {
        let mut writer = Writer::default();
        write_log_id(&mut writer, id);
        self.committed.write_all_at(&seal(&self.chain, &writer.finish()), 0)?;
        self.state.lock().committed = Some(*id);
        Ok(())
    }
}

fn pointer_path(directory: &Path) -> PathBuf {
    directory.join("pointer")
}

/// The snapshot pointer, if there is one.
pub(crate) fn read_pointer(
    directory: &Path,
    chain: &ChainId,
) -> Result<Option<SnapshotMeta>, OpenError> {
    let path = pointer_path(directory);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let meta = unseal(chain, &bytes, RECORD_BYTES_MAX)
        .and_then(|body| serde_json::from_slice(body).ok())
        .ok_or_else(|| Corrupt {
            file: path.display().to_string(),
            at: 0,
            what: "the snapshot pointer is damaged".to_owned(),
        })?;
    Ok(Some(meta))
}

/// Replaces the snapshot pointer, durably.
pub(crate) fn write_pointer(
    directory: &Path,
    chain: &ChainId,
    meta: &SnapshotMeta,
) -> io::Result<()> {
    let body = serde_json::to_vec(meta)?;
    let path = pointer_path(directory);
    let making = path.with_extension("making");
    let file = File::create(&making)?;
    file.write_all_at(&seal(chain, &body), 0)?;
    file.sync_all()?;
    fs::rename(making, path)?;
    sync_directory(directory)
}
