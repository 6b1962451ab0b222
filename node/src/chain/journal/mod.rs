//! Sign once, and remember votes across a crash: the signing state and the write-ahead log
//! in one file, so that one fdatasync covers both.
//!
//! The chain appends what the voting rules heard, each own signature together with the
//! input that led to it, and calls [`Journal::sync`] before anything leaves the process.
//! After a crash [`Journal::open`] gives the inputs back, to be replayed, and the
//! [guard](SignRefused) remembers what was signed.
//!
//! Read next: `guard` for the rule, `layout` for the bytes, `scan` for what a crash leaves,
//! `disk` for what may go wrong.
//!
//! # Why losing what was not synced is safe
//!
//! Nothing that was not synced was sent. So a crash may keep or lose any part of it, and
//! [`Journal::open`] may drop it. What *was* synced is told apart from that in two ways:
//! every record says how far the area was synced when it was written, and after each sync
//! a slot says it too (the slot itself rides with the next sync). If records are missing
//! that were synced by either word, they were damaged, not torn: the votes of that height
//! are not known for certain, and the node does not sign there any more.
//!
//! # Why `reset` need not sync
//!
//! The records of height h are overwritten only once block h is durable in the store, and
//! nothing is ever signed at or below the store's tip. If the slot that begins height h + 1 is
//! lost in a crash, the older slot is found, speaking of h: all of its guard lies at or below the
//! tip. If the slot made it and the records did not, they were not synced, so nothing of
//! h + 1 was sent. The slot that a crash finds whole is there in any case, because the other one is
//! not written again before a sync.

use std::{io, path::Path};

use cairn_ledger::{
    block::Body,
    encoding::Writer,
    ids::{BlockId, ChainId, Height, PublicKey},
};

mod disk;
mod guard;
mod layout;
mod scan;
#[cfg(test)]
mod tests;

use self::{
    disk::FileDisk,
    guard::Guard,
    layout::{AREA, KIND_BODY, KIND_INPUT, KIND_SIGNED_INPUT, Owner, PAGE_BYTES, Slot, Stamp},
    scan::{Found, read_all, scan},
};
pub use self::{
    disk::{Disk, Operation, SECTOR_BYTES, SimulatedDisk},
    guard::{OwnSignature, SignKind, SignRefused},
    layout::Record,
};

/// By how much the file grows, in bytes: written as zeros ahead of time, so that a sync
/// rarely has to write metadata, and a full disk is met here and not at a vote.
const GROW_BYTES: u64 = 1 << 20;

/// Why there is no journal to sign with. Each begins with a stable word.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// There is no file.
    #[error("SIGN_STATE_MISSING: {path} is not there; {NEW_KEY}")]
    Missing {
        /// Where it should be.
        path: String,
    },
    /// It cannot be told what was signed.
    #[error("SIGN_STATE_CORRUPT: {what} of the signing state is damaged; {NEW_KEY}")]
    Corrupt {
        /// Which part.
        what: &'static str,
    },
    /// Another process has it.
    #[error(
        "SIGN_STATE_LOCKED: another process signs with {path}; stop it first, and never copy the file"
    )]
    Locked {
        /// Which file.
        path: String,
    },
    /// A later version of Cairn wrote it.
    #[error(
        "FORMAT_TOO_NEW: the signing state has format {found}, {supported} is the newest that is read here; run the version that wrote it"
    )]
    TooNew {
        /// Its format.
        found: u32,
        /// Ours.
        supported: u32,
    },
    /// It belongs to another chain.
    #[error(
        "SIGN_STATE_FOREIGN_CHAIN: the signing state is of chain {found}, not {wanted}; give this chain its own data directory, or {NEW_KEY}"
    )]
    ForeignChain {
        /// Whose it is.
        found: ChainId,
        /// Ours.
        wanted: ChainId,
    },
    /// It belongs to another key.
    #[error(
        "SIGN_STATE_FOREIGN_KEY: the signing state is of key {found}, not {wanted}; bring back the key that belongs to it, or {NEW_KEY}"
    )]
    ForeignKey {
        /// Whose it is.
        found: PublicKey,
        /// Ours.
        wanted: PublicKey,
    },
    /// The disk failed. The process must end: what is durable now is not known.
    #[error("{word}: {doing} of the signing state failed: {source}")]
    Disk {
        /// `FSYNC_FAILED` or `SIGN_STATE_IO`.
        word: &'static str,
        /// What was being done.
        doing: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
}

const NEW_KEY: &str =
    "this node follows the chain without signing until a new consensus key is registered for it";

impl JournalError {
    /// Whether the node may go on as an observer, which never signs with this key.
    pub fn may_observe(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::Corrupt { .. } | Self::ForeignKey { .. } => true,
            Self::Locked { .. }
            | Self::TooNew { .. }
            | Self::ForeignChain { .. }
            | Self::Disk { .. } => false,
        }
    }

    fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Disk { word: "SIGN_STATE_IO", doing, source }
    }
}

/// What [`Journal::open`] found.
#[derive(Debug)]
pub struct Recovered {
    /// The first height at which this node may sign. Later than the tip's successor when
    /// what was signed there is not known for certain.
    pub may_sign_from: Height,
    /// The last block that was in the store once, as far as the journal knows.
    pub stood: Height,
    /// What was written down for the height after the tip, to be replayed in order.
    pub records: Vec<Record>,
    /// What people should hear about: damage that was survived.
    pub warnings: Vec<String>,
}

/// The journal of one validator. One owner; every call may block on the disk.
pub struct Journal {
    disk: Box<dyn Disk>,
    owner: Owner,
    slot: Slot,
    /// Which of the two slot pages was written last.
    page: u64,
    /// Whether that page was written since the last sync: then it is the one to write again,
    /// because the other is the one that a crash is certain to find.
    page_is_dirty: bool,
    /// Records that were appended and not written yet.
    pending: Vec<u8>,
    /// How far the area is written, and synced: the same outside of [`Journal::sync`].
    synced: u64,
    grow: u64,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Journal({:?}, {} bytes synced)", self.slot, self.synced)
    }
}

impl Journal {
    /// Makes the journal of a new key, for a chain of which nothing is stored yet or of which this key
    /// certainly signed nothing. A crash in between leaves no file, or a whole one.
    pub fn create(path: &Path, chain: ChainId, key: PublicKey) -> Result<Self, JournalError> {
        let new = path.with_extension("new");
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(JournalError::io("clearing what an earlier start left")(error));
            }
            _ => {}
        }
        let disk = FileDisk::create(&new).map_err(JournalError::io("making"))?;
        let journal = Self::create_sized(Box::new(disk), chain, key, GROW_BYTES)?;
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        rustix::fs::renameat_with(rustix::fs::CWD, &new, rustix::fs::CWD, path, flags)
            .map_err(|error| JournalError::io("naming")(error.into()))?;
        let directory = path.parent().filter(|p| !p.as_os_str().is_empty());
        std::fs::File::open(directory.unwrap_or(Path::new(".")))
            .and_then(|directory| directory.sync_all())
            .map_err(JournalError::io("syncing the directory"))?;
        Ok(journal)
    }

    /// [`Journal::create`] on any disk.
    pub fn create_on(
        disk: Box<dyn Disk>,
        chain: ChainId,
        key: PublicKey,
    ) -> Result<Self, JournalError> {
        Self::create_sized(disk, chain, key, 0)
    }

    fn create_sized(
        disk: Box<dyn Disk>,
        chain: ChainId,
        key: PublicKey,
        grow: u64,
    ) -> Result<Self, JournalError> {
        let first = Height(1);
        let slot = Slot {
            sequence: 1,
            epoch: 1,
            height: first,
            floor: first,
            attested: 0,
            guard: Guard::default(),
        };
        let owner = Owner { chain, key };
        let (page, page_is_dirty, pending, synced) = (0, true, Vec::new(), 0);
        let mut journal = Self { disk, owner, slot, page, page_is_dirty, pending, synced, grow };
        journal.write(0, &journal.owner.header())?;
        journal.write(PAGE_BYTES, &journal.owner.slot(&journal.slot))?;
        journal.write(2 * PAGE_BYTES, &journal.owner.slot(&journal.slot))?;
        journal.make_room(1)?;
        journal.sync_disk()?;
        Ok(journal)
    }

    /// Opens a journal. `tip` is the height of the last block in the store: nothing at or below it is
    /// ever signed again. What is returned was synced first: a process that was killed may
    /// have left it in the kernel's memory only.
    pub fn open(
        path: &Path,
        chain: ChainId,
        key: PublicKey,
        tip: Height,
    ) -> Result<(Self, Recovered), JournalError> {
        let disk = FileDisk::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => JournalError::Missing { path: path.display().to_string() },
            io::ErrorKind::WouldBlock => JournalError::Locked { path: path.display().to_string() },
            _ => JournalError::io("opening")(error),
        })?;
        let (mut journal, recovered) = Self::open_on(Box::new(disk), chain, key, tip)?;
        journal.grow = GROW_BYTES;
        Ok((journal, recovered))
    }

    /// [`Journal::open`] on any disk.
    pub fn open_on(
        disk: Box<dyn Disk>,
        chain: ChainId,
        key: PublicKey,
        tip: Height,
    ) -> Result<(Self, Recovered), JournalError> {
        let owner = Owner { chain, key };
        let image = read_all(disk.as_ref())?;
        let mut warnings = Vec::new();
        let found = scan(&owner, &image, &mut warnings)?;
        let Found { mut slot, page, records, end, stale_end, damaged } = found;
        let mut floor = slot.floor.max(tip.next());
        let stood = Height(slot.height.0.saturating_sub(1)).max(tip);
        if damaged {
            warnings.push(format!(
                "SIGN_STATE_CORRUPT: records of height {} are damaged; nothing is signed at that height",
                slot.height
            ));
            floor = floor.max(slot.height.next());
        }
        if slot.height > tip.next() {
            warnings.push(format!(
                "STORE_ROLLBACK: the store ends at height {tip}, but block {} was stored once; nothing is signed before height {}",
                stood,
                slot.height.next()
            ));
            floor = floor.max(slot.height.next());
        }
        // What is known of a height without signing there is not worth replaying: half of it is lost.
        let replay = slot.height == tip.next() && floor <= slot.height;
        slot.floor = floor;
        let mut journal = Self {
            disk,
            owner,
            slot,
            page,
            page_is_dirty: false,
            pending: Vec::new(),
            synced: end,
            grow: 0,
        };
        // What was read may be in the kernel's memory only. It must not be built upon, and its
        // slot not be trusted to survive the writing of the other, before it is durable.
        journal.sync_disk()?;
        if !replay {
            // The new life carries the floor: that nothing may be signed here must outlive
            // the damage that says so, which the new life writes over.
            let height = journal.slot.height.max(tip.next());
            journal.begin(height)?;
        } else if stale_end > end {
            // Torn away from their beginning, but whole: were they left, a record that is
            // written next could end exactly where one of them starts.
            let gap = usize::try_from(stale_end - end).expect("the area fits memory");
            journal.write(AREA + end, &vec![0; gap])?;
        }
        journal.sync_disk()?;
        journal.attest()?;
        let records = if replay { records } else { Vec::new() };
        Ok((journal, Recovered { may_sign_from: floor, stood, records, warnings }))
    }

    /// The height whose records are written now.
    pub fn height(&self) -> Height {
        self.slot.height
    }

    /// The first height at which this node may sign.
    pub fn may_sign_from(&self) -> Height {
        self.slot.floor
    }

    /// The newest own signature of a kind, as far as it is remembered.
    pub fn last(&self, kind: SignKind) -> Option<&OwnSignature> {
        self.slot.guard.last(kind)
    }

    /// Whether a signature may leave. Asks without writing anything down.
    pub fn check(&self, signature: &OwnSignature) -> Result<(), SignRefused> {
        let height = signature.height;
        if height < self.slot.floor {
            return Err(SignRefused::Settled { height, first: self.slot.floor });
        }
        if height != self.slot.height {
            return Err(SignRefused::NotThisHeight { height, journal: self.slot.height });
        }
        self.slot.guard.check(signature)
    }

    /// Writes down an input of the voting rules, and the own signature that is part of it, to be
    /// durable at the next [`Journal::sync`]. A refusal writes nothing.
    pub fn append(
        &mut self,
        input: &[u8],
        signature: Option<OwnSignature>,
    ) -> Result<(), SignRefused> {
        let Some(signature) = signature else {
            self.record(KIND_INPUT, |writer| {
                writer.raw(input);
            });
            return Ok(());
        };
        self.check(&signature)?;
        self.slot.guard.remember(signature);
        self.record(KIND_SIGNED_INPUT, |writer| {
            signature.encode(writer);
            writer.raw(input);
        });
        Ok(())
    }

    /// Writes down a body that came from a peer, so that it is on this disk before it is
    /// voted for.
    pub fn append_body(&mut self, block: BlockId, transactions: &Body) {
        self.record(KIND_BODY, |writer| {
            let count = u32::try_from(transactions.len()).expect("limits keep a body far below");
            writer.raw(&block.0).u32(count);
            for transaction in transactions {
                writer.bytes(transaction);
            }
        });
    }

    fn record(&mut self, kind: u8, fill: impl FnOnce(&mut Writer)) {
        let Slot { epoch, height, .. } = self.slot;
        let stamp = Stamp { epoch, height, synced: self.synced };
        self.owner.write_record(&mut self.pending, stamp, kind, fill);
    }

    /// Whether [`Journal::sync`] would have something to do.
    pub fn has_unsynced(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Makes everything that was appended durable, with one fdatasync, or none if there is
    /// nothing. After an error the process must end: what is on the disk is not known, and asking
    /// again would not tell.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let end = self.synced + self.pending.len() as u64;
        self.make_room(end)?;
        let pending = std::mem::take(&mut self.pending);
        self.write(AREA + self.synced, &pending)?;
        self.pending = pending;
        self.pending.clear();
        self.sync_disk()?;
        self.synced = end;
        self.attest()
    }

    /// Begins a height: its predecessor is durable in the store. What was written down for
    /// earlier heights is given up. A height that is not new changes nothing.
    pub fn reset(&mut self, height: Height) -> Result<(), JournalError> {
        if height <= self.slot.height {
            return Ok(());
        }
        self.begin(height)
    }

    fn begin(&mut self, height: Height) -> Result<(), JournalError> {
        self.pending.clear();
        self.synced = 0;
        self.slot.epoch += 1;
        self.slot.height = height;
        self.slot.floor = self.slot.floor.max(height);
        self.slot.attested = 0;
        self.write_slot()
    }

    /// Says in a slot how far the records are synced. It is durable with the next sync, or
    /// when the kernel likes: a power loss in between leaves the records to speak for themselves.
    fn attest(&mut self) -> Result<(), JournalError> {
        self.slot.attested = self.synced;
        self.write_slot()
    }

    fn write_slot(&mut self) -> Result<(), JournalError> {
        if !self.page_is_dirty {
            self.page ^= 1;
            self.page_is_dirty = true;
        }
        self.slot.sequence += 1;
        self.write(PAGE_BYTES * (1 + self.page), &self.owner.slot(&self.slot))
    }

    fn make_room(&mut self, end: u64) -> Result<(), JournalError> {
        let length = self.disk.len().map_err(JournalError::io("measuring"))?;
        if self.grow == 0 || AREA + end <= length {
            return Ok(());
        }
        let wanted = (AREA + end).next_multiple_of(self.grow);
        let zeros = vec![0; usize::try_from(wanted - length).expect("the area fits memory")];
        self.write(length, &zeros)
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), JournalError> {
        self.disk.write_at(at, bytes).map_err(JournalError::io("writing"))
    }

    fn sync_disk(&mut self) -> Result<(), JournalError> {
        let failed = |source| JournalError::Disk { word: "FSYNC_FAILED", doing: "syncing", source };
        self.disk.sync().map_err(failed)?;
        self.page_is_dirty = false;
        Ok(())
    }
}
