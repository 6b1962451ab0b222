//! What the journal is written through: a file, or a simulated disk that loses and tears
//! what was not synced. Small on purpose: everything that can go wrong with a disk passes
//! through these four calls.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
};

use parking_lot::Mutex;
use rustix::fs::{FlockOperation, flock};

/// Bytes that are written as one: a crash keeps or loses each sector by itself.
pub const SECTOR_BYTES: usize = 512;

/// A flat range of bytes with one owner.
pub trait Disk: Send {
    /// Fills `bytes` from `at`. Reading past the end is an error.
    fn read_at(&self, at: u64, bytes: &mut [u8]) -> io::Result<()>;
    /// Writes, extending where needed. Durable only after [`Disk::sync`].
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes every write so far durable. An error is final: the kernel forgets which pages
    /// did not make it, so a second call would lie.
    fn sync(&mut self) -> io::Result<()>;
    /// How many bytes there are.
    fn len(&self) -> io::Result<u64>;
    /// Whether there are none.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// A file, locked against other processes while it is open.
#[derive(Debug)]
pub(super) struct FileDisk(File);

impl FileDisk {
    /// Makes a new file that only its owner may read; one that is there is an error.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        Self::lock(file)
    }

    /// Opens a file that is there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::lock(OpenOptions::new().read(true).write(true).open(path)?)
    }

    /// `ErrorKind::WouldBlock` when another process holds it.
    fn lock(file: File) -> io::Result<Self> {
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self(file))
    }
}

impl Disk for FileDisk {
    fn read_at(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(bytes, at)
    }
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, at)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

/// What was done to a simulated disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Bytes were written there.
    Write(u64, Vec<u8>),
    /// Everything so far was made durable.
    Sync,
}

/// A disk in memory, for tests and simulation. Clones share the bytes, so that a test can
/// pull the plug while the journal holds its half.
#[derive(Clone, Debug, Default)]
pub struct SimulatedDisk(Arc<Mutex<Platter>>);

#[derive(Debug, Default)]
struct Platter {
    /// What a crash leaves for certain.
    durable: Vec<u8>,
    /// What reads see.
    cached: Vec<u8>,
    /// Written since the last sync, in order.
    unsynced: Vec<(u64, Vec<u8>)>,
    /// Everything since the disk was made, when a test asked for it.
    history: Option<Vec<Operation>>,
    syncs: u64,
    fail_syncs: bool,
}

impl SimulatedDisk {
    /// A disk that already holds `bytes`, durably.
    pub fn holding(bytes: Vec<u8>) -> Self {
        let platter = Platter { durable: bytes.clone(), cached: bytes, ..Platter::default() };
        Self(Arc::new(Mutex::new(platter)))
    }
    /// A disk that remembers what was done to it.
    pub fn recording() -> Self {
        let platter = Platter { history: Some(Vec::new()), ..Platter::default() };
        Self(Arc::new(Mutex::new(platter)))
    }
    /// What was done to it, if it was made by [`SimulatedDisk::recording`].
    pub fn history(&self) -> Vec<Operation> {
        self.0.lock().history.clone().unwrap_or_default()
    }
    /// How often it was synced.
    pub fn syncs(&self) -> u64 {
        self.0.lock().syncs
    }
    /// From now on every sync fails.
    pub fn fail_syncs(&self) {
        self.0.lock().fail_syncs = true;
    }
    /// What reads see now.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().cached.clone()
    }
    /// Pulls the plug: of each sector that was written since the last sync, `keep` says
    /// whether it made it. Returns how many sectors were at stake.
    pub fn crash(&self, mut keep: impl FnMut() -> bool) -> usize {
        let mut platter = self.0.lock();
        let mut at_stake = 0;
        for (at, bytes) in std::mem::take(&mut platter.unsynced) {
            for (at, sector) in sectors(at, &bytes) {
                at_stake += 1;
                if keep() {
                    put(&mut platter.durable, at, sector);
                }
            }
        }
        platter.cached = platter.durable.clone();
        at_stake
    }
}

/// A write, cut where the disk may tear it.
pub(super) fn sectors(at: u64, bytes: &[u8]) -> Vec<(u64, &[u8])> {
    let mut cuts = Vec::new();
    let (mut at, mut rest) = (at, bytes);
    while !rest.is_empty() {
        let room = SECTOR_BYTES - usize::try_from(at).expect("fits memory") % SECTOR_BYTES;
        let (sector, after) = rest.split_at(room.min(rest.len()));
        cuts.push((at, sector));
        at += sector.len() as u64;
        rest = after;
    }
    cuts
}

/// Writes into a growing image; a hole reads as zeros.
pub(super) fn put(image: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let at = usize::try_from(at).expect("a simulated disk fits memory");
    let end = at + bytes.len();
    if image.len() < end {
        image.resize(end, 0);
    }
    image[at..end].copy_from_slice(bytes);
}

impl Disk for SimulatedDisk {
    fn read_at(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        let platter = self.0.lock();
        let at = usize::try_from(at).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let end = at.checked_add(bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        let from = platter.cached.get(at..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(from);
        Ok(())
    }
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut platter = self.0.lock();
        put(&mut platter.cached, at, bytes);
        platter.unsynced.push((at, bytes.to_vec()));
        if let Some(history) = &mut platter.history {
            history.push(Operation::Write(at, bytes.to_vec()));
        }
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        let mut platter = self.0.lock();
        if platter.fail_syncs {
            return Err(io::Error::other("simulated fault"));
        }
        for (at, bytes) in std::mem::take(&mut platter.unsynced) {
            put(&mut platter.durable, at, &bytes);
        }
        platter.syncs += 1;
        if let Some(history) = &mut platter.history {
            history.push(Operation::Sync);
        }
        Ok(())
    }
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().cached.len() as u64)
    }
}
