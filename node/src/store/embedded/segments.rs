//! The block log: the one thing that is written and synced when a block is committed.
//!
//! Segments are files of a fixed size that are filled with zeros before they are used, so
//! that writing a block changes data and no metadata: one write, one fdatasync, and no space
//! to run out of in between. The next segment is made in the background.

use std::{
    fs::{self, File},
    io::{self, Write},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
};

use cairn_ledger::{
    ids::{ChainId, Height},
    limits::FRAME_BYTES_MAX,
};
use parking_lot::{Mutex, RwLock};

use super::record::{Framing, Head, SECTOR, Sector};
use crate::store::{
    StoreError,
    files::{corrupt, replace, sync_directory, trouble},
};

/// Bytes of a segment. Larger ones make a first start slower, smaller ones more files.
pub(super) const SEGMENT_BYTES: u64 = 32 * 1024 * 1024;

// A full block with its checksums fits into a segment.
const _: () = assert!(SEGMENT_BYTES as usize > FRAME_BYTES_MAX / 504 * 512 + 4096);

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) segment: u32,
    /// Its first sector.
    pub(super) sector: u32,
    pub(super) sectors: u32,
}

/// The block log of one chain.
#[derive(Debug)]
pub(super) struct Log {
    directory: PathBuf,
    framing: Framing,
    segment_bytes: u64,
    /// Of height 1 first.
    spans: RwLock<Vec<Span>>,
    tail: Mutex<Tail>,
}

#[derive(Debug)]
struct Tail {
    segment: u32,
    file: Arc<File>,
    /// Where the next record begins.
    sector: u32,
    /// The next segment, as it is being made.
    next: Option<JoinHandle<Result<(), StoreError>>>,
    poisoned: bool,
}

impl Log {
    /// Opens the log, and drops a last record that a crash cut short. `known` says where the
    /// first records lie, as far as that was written down; `indexed` is a height up to which
    /// blocks are known to have been committed.
    pub(super) fn open(
        directory: &Path,
        chain: &ChainId,
        segment_bytes: u64,
        known: Vec<Span>,
        indexed: Height,
    ) -> Result<Self, StoreError> {
        fs::create_dir_all(directory).map_err(trouble("making", directory))?;
        let framing = Framing::new(chain);
        let scan = Scan { directory, framing: &framing, segment_bytes };
        let (spans, segment, sector) = scan.run(known, indexed)?;
        let path = segment_path(directory, segment);
        let file = open_segment(&path, segment_bytes)?;
        let log = Self {
            directory: directory.to_owned(),
            framing,
            segment_bytes,
            spans: RwLock::new(spans),
            tail: Mutex::new(Tail {
                segment,
                file: Arc::new(file),
                sector,
                next: None,
                poisoned: false,
            }),
        };
        log.prepare_next(&mut log.tail.lock());
        Ok(log)
    }

    /// The last height.
    pub(super) fn height(&self) -> Height {
        Height(self.spans.read().len() as u64)
    }

    /// Where the records up to a height lie.
    pub(super) fn spans_to(&self, height: Height) -> Vec<Span> {
        let spans = self.spans.read();
        spans.iter().take(usize::try_from(height.0).unwrap_or(usize::MAX)).copied().collect()
    }

    /// Writes and syncs a record. After an error of the disk nothing more is taken: a page
    /// that could not be synced is marked clean, and would be believed.
    pub(super) fn append(&self, height: Height, payload: &[u8]) -> Result<(), StoreError> {
        let record = self.framing.frame(height, payload);
        let mut tail = self.tail.lock();
        let path = segment_path(&self.directory, tail.segment);
        if tail.poisoned {
            let source = io::Error::other("an earlier write or sync failed; start the node again");
            return Err(trouble("committing", &path)(source));
        }
        let sectors = u32::try_from(record.len() / SECTOR).expect("a record fits a segment");
        let capacity = self.segment_bytes / SECTOR as u64;
        if u64::from(tail.sector) + u64::from(sectors) > capacity {
            self.roll(&mut tail)?;
        }
        let path = segment_path(&self.directory, tail.segment);
        let at = u64::from(tail.sector) * SECTOR as u64;
        tail.poisoned = true;
        tail.file.write_all_at(&record, at).map_err(trouble("writing a block", &path))?;
        tail.file.sync_data().map_err(trouble("FSYNC_FAILED: syncing a block", &path))?;
        tail.poisoned = false;
        self.spans.write().push(Span { segment: tail.segment, sector: tail.sector, sectors });
        tail.sector += sectors;
        Ok(())
    }

    /// Reads a record back.
    pub(super) fn read(&self, height: Height) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(span) = self.span(height) else { return Ok(None) };
        let path = segment_path(&self.directory, span.segment);
        let file = File::open(&path).map_err(trouble("opening", &path))?;
        let at = u64::from(span.sector) * SECTOR as u64;
        let record = read_padded(&file, at, span.sectors as usize * SECTOR)
            .map_err(trouble("reading", &path))?;
        let payload = self.framing.payload(height, &record).map_err(|number| {
            let at = at + (number * SECTOR) as u64;
            corrupt(&path, at, format!("this is not what was written of block {height}"))
        })?;
        Ok(Some(payload))
    }

    /// Reads some bytes of a record back, and no more of it than they lie in.
    pub(super) fn read_part(
        &self,
        height: Height,
        part: Range<usize>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(span) = self.span(height) else { return Ok(None) };
        let numbers = Framing::sectors_of(&part);
        let path = segment_path(&self.directory, span.segment);
        let start = u64::from(span.sector) * SECTOR as u64;
        let damaged = |number: usize| {
            let at = start + (number * SECTOR) as u64;
            corrupt(&path, at, format!("this is not what was written of block {height}"))
        };
        if numbers.end > span.sectors as usize {
            return Err(damaged(span.sectors as usize));
        }
        let file = File::open(&path).map_err(trouble("opening", &path))?;
        let at = start + (numbers.start * SECTOR) as u64;
        let sectors =
            read_padded(&file, at, numbers.len() * SECTOR).map_err(trouble("reading", &path))?;
        self.framing.part(height, &part, &sectors).map(Some).map_err(damaged)
    }

    fn span(&self, height: Height) -> Option<Span> {
        let index = usize::try_from(height.0.checked_sub(1)?).ok()?;
        self.spans.read().get(index).copied()
    }

    /// Goes on in the next segment. An error leaves everything as it was.
    fn roll(&self, tail: &mut Tail) -> Result<(), StoreError> {
        let path = segment_path(&self.directory, tail.segment + 1);
        if let Some(making) = tail.next.take() {
            // Its error may be over: what counts is whether it works now.
            let _ = making.join().expect("making a segment does not panic");
        }
        make_segment(&path, self.segment_bytes)?;
        tail.file = Arc::new(open_segment(&path, self.segment_bytes)?);
        tail.segment += 1;
        tail.sector = 0;
        self.prepare_next(tail);
        Ok(())
    }

    fn prepare_next(&self, tail: &mut Tail) {
        let path = segment_path(&self.directory, tail.segment + 1);
        let bytes = self.segment_bytes;
        let make = move || make_segment(&path, bytes);
        // Without a thread it is made when it is needed.
        tail.next = thread::Builder::new().name("segment".to_owned()).spawn(make).ok();
    }
}

#[cfg(test)]
impl Log {
    /// From now on writing fails: the file is open for reading only.
    pub(super) fn break_disk(&self) {
        let mut tail = self.tail.lock();
        let path = segment_path(&self.directory, tail.segment);
        tail.file = Arc::new(File::open(path).unwrap());
    }

    /// Writing would work again.
    pub(super) fn mend_disk(&self) {
        let mut tail = self.tail.lock();
        let path = segment_path(&self.directory, tail.segment);
        tail.file = Arc::new(open_segment(&path, self.segment_bytes).unwrap());
    }

    /// The background is done.
    pub(super) fn finish_preparing(&self) {
        if let Some(making) = self.tail.lock().next.take() {
            making.join().unwrap().unwrap();
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(making) = self.tail.get_mut().next.take() {
            // Nobody is left to tell; the next start makes it again.
            let _ = making.join();
        }
    }
}

fn segment_path(directory: &Path, segment: u32) -> PathBuf {
    directory.join(format!("{segment:08}.seg"))
}

/// Makes a segment of zeros, if it is not there.
fn make_segment(path: &Path, bytes: u64) -> Result<(), StoreError> {
    if path.exists() {
        return Ok(());
    }
    replace(path, |file| fill(file, 0, bytes))
}

/// Zeros that are written, not holes: a hole would cost a change of metadata later.
fn fill(file: &mut File, from: u64, to: u64) -> io::Result<()> {
    io::Seek::seek(file, io::SeekFrom::Start(from))?;
    let zeros = vec![0; 256 * 1024];
    let mut left = to.saturating_sub(from);
    while left > 0 {
        let some = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
        file.write_all(&zeros[..some])?;
        // Piece by piece: a file system that keeps data in order would otherwise write all of it
        // inside somebody else's sync, and a vote would wait for 32 MiB of zeros.
        file.sync_data()?;
        left -= some as u64;
    }
    Ok(())
}

/// Opens a segment to write to; makes it or fills it up where it is too short.
fn open_segment(path: &Path, bytes: u64) -> Result<File, StoreError> {
    make_segment(path, bytes)?;
    let mut file =
        File::options().read(true).write(true).open(path).map_err(trouble("opening", path))?;
    let length = file.metadata().map_err(trouble("looking at", path))?.len();
    if length < bytes {
        fill(&mut file, length, bytes)
            .and_then(|()| file.sync_all())
            .map_err(trouble("filling up", path))?;
    }
    Ok(file)
}

/// Reads bytes; what lies beyond the end of the file is zero, as if it had been made longer.
fn read_padded(file: &File, at: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut have = 0;
    while have < length {
        match file.read_at(&mut bytes[have..], at + have as u64) {
            Ok(0) => break,
            Ok(some) => have += some,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// Finding the records of a log that was closed or left by a crash.
struct Scan<'a> {
    directory: &'a Path,
    framing: &'a Framing,
    segment_bytes: u64,
}

impl Scan<'_> {
    /// The spans, and where the next record goes.
    fn run(&self, known: Vec<Span>, indexed: Height) -> Result<(Vec<Span>, u32, u32), StoreError> {
        let segments = self.segments()?;
        let mut spans = known;
        let (mut segment, mut sector) =
            spans.last().map_or((0, 0), |last| (last.segment, last.sector + last.sectors));
        while segment < segments {
            let path = segment_path(self.directory, segment);
            let file = File::open(&path).map_err(trouble("opening", &path))?;
            sector = self.walk(&file, segment, sector, &mut spans)?;
            let last_used = segment + 1 >= segments || self.is_fresh(segment + 1)?;
            let committed = indexed.0 > spans.len() as u64;
            if last_used {
                let dropped = self.settle(&path, &file, sector, &spans, committed)?;
                if let Some(sectors) = dropped {
                    self.wipe(&path, sector, sectors)?;
                }
                let committed = indexed.0 >= spans.len() as u64;
                if let Some(before) = self.check_last(&spans, committed)? {
                    // The last record has a head, but not all of its body.
                    spans.pop();
                    sector = before.sector;
                    segment = before.segment;
                    self.wipe(&segment_path(self.directory, segment), sector, before.sectors)?;
                }
                return Ok((spans, segment, sector));
            }
            self.must_end(&path, &file, sector)?;
            segment += 1;
            sector = 0;
        }
        if indexed.0 > 0 || !spans.is_empty() {
            let path = segment_path(self.directory, segment);
            return Err(corrupt(&path, 0, "the segment is missing"));
        }
        Ok((spans, segment, sector))
    }

    /// How many segments there are; their numbers must have no gap.
    fn segments(&self) -> Result<u32, StoreError> {
        let entries = fs::read_dir(self.directory).map_err(trouble("listing", self.directory))?;
        let mut numbers = Vec::new();
        for entry in entries {
            let entry = entry.map_err(trouble("listing", self.directory))?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".seg")?.parse().ok());
            numbers.extend::<Option<u32>>(number);
        }
        numbers.sort_unstable();
        match (0..).zip(&numbers).find(|(expected, found)| expected != *found) {
            Some((missing, _)) => {
                Err(corrupt(&segment_path(self.directory, missing), 0, "the segment is missing"))
            }
            None => Ok(u32::try_from(numbers.len()).expect("segments are numbered by u32")),
        }
    }

    /// Follows records by their heads until there is none that fits.
    fn walk(
        &self,
        file: &File,
        segment: u32,
        mut sector: u32,
        spans: &mut Vec<Span>,
    ) -> Result<u32, StoreError> {
        let path = segment_path(self.directory, segment);
        loop {
            let at = u64::from(sector) * SECTOR as u64;
            if at >= self.segment_bytes {
                return Ok(sector);
            }
            let first = read_padded(file, at, SECTOR).map_err(trouble("reading", &path))?;
            let Some(head) = self.framing.head(&first) else { return Ok(sector) };
            let sectors = u32::try_from(head.sectors()).unwrap_or(u32::MAX);
            let end = u64::from(sector) + u64::from(sectors);
            let next = spans.len() as u64 + 1;
            if head.height.0 != next || end * SECTOR as u64 > self.segment_bytes {
                let what = format!("block {} lies where block {next} should", head.height);
                return Err(corrupt(&path, at, what));
            }
            spans.push(Span { segment, sector, sectors });
            sector += sectors;
        }
    }

    /// Nothing was ever written to it.
    fn is_fresh(&self, segment: u32) -> Result<bool, StoreError> {
        let path = segment_path(self.directory, segment);
        let file = File::open(&path).map_err(trouble("opening", &path))?;
        let first = read_padded(&file, 0, SECTOR).map_err(trouble("reading", &path))?;
        Ok(first.iter().all(|byte| *byte == 0))
    }

    /// A segment that is not the last has nothing after its last record.
    fn must_end(&self, path: &Path, file: &File, sector: u32) -> Result<(), StoreError> {
        let at = u64::from(sector) * SECTOR as u64;
        let length = usize::try_from(self.segment_bytes - at).expect("a segment fits memory");
        let rest = read_padded(file, at, length).map_err(trouble("reading", path))?;
        if rest.iter().any(|byte| *byte != 0) {
            return Err(corrupt(path, at, "no block begins here, and later ones are there"));
        }
        Ok(())
    }

    /// What stands where no record begins: nothing, what a crash left (its sectors are
    /// answered, to be wiped), or damage.
    fn settle(
        &self,
        path: &Path,
        file: &File,
        sector: u32,
        spans: &[Span],
        committed: bool,
    ) -> Result<Option<u32>, StoreError> {
        let at = u64::from(sector) * SECTOR as u64;
        let height = Height(spans.len() as u64 + 1);
        let length =
            usize::try_from(self.segment_bytes.saturating_sub(at)).expect("a segment fits memory");
        let rest = read_padded(file, at, length).map_err(trouble("reading", path))?;
        if committed {
            return Err(corrupt(path, at, format!("block {height} was here, and is not")));
        }
        let written = rest.chunks(SECTOR).rposition(|sector| sector.iter().any(|byte| *byte != 0));
        let Some(last) = written else { return Ok(None) };
        let later = rest
            .chunks_exact(SECTOR)
            .skip(1)
            .any(|sector| self.framing.head(sector).is_some_and(|head| head.height > height));
        let first = self.framing.judge(height, 0, &rest[..SECTOR.min(rest.len())]);
        let ours = Head::claimed(&rest).is_some() && first != Sector::Unwritten;
        if later || first == Sector::Damaged || ours {
            return Err(corrupt(path, at, format!("block {height} is damaged")));
        }
        Ok(Some(u32::try_from(last + 1).expect("a segment has fewer sectors")))
    }

    /// The last record, if a crash cut it short after its first sector.
    fn check_last(&self, spans: &[Span], committed: bool) -> Result<Option<Span>, StoreError> {
        let Some(last) = spans.last() else { return Ok(None) };
        let path = segment_path(self.directory, last.segment);
        let file = File::open(&path).map_err(trouble("opening", &path))?;
        let at = u64::from(last.sector) * SECTOR as u64;
        let record = read_padded(&file, at, last.sectors as usize * SECTOR)
            .map_err(trouble("reading", &path))?;
        let height = Height(spans.len() as u64);
        let judged = record.chunks(SECTOR).enumerate();
        let judged = judged.map(|(number, sector)| self.framing.judge(height, number, sector));
        let mut torn = false;
        for (number, sector) in judged.enumerate() {
            match sector {
                Sector::Whole => {}
                Sector::Unwritten if !committed => torn = true,
                Sector::Unwritten | Sector::Damaged | Sector::Foreign => {
                    let at = at + (number * SECTOR) as u64;
                    return Err(corrupt(&path, at, format!("block {height} is damaged")));
                }
            }
        }
        Ok(torn.then_some(*last))
    }

    /// Makes zeros of what a crash left, so that the next record is written over zeros.
    fn wipe(&self, path: &Path, sector: u32, sectors: u32) -> Result<(), StoreError> {
        tracing::warn!(path = %path.display(), sector, sectors, "drops a block that was cut short");
        let at = u64::from(sector) * SECTOR as u64;
        File::options()
            .write(true)
            .open(path)
            .and_then(|file| {
                file.write_all_at(&vec![0; sectors as usize * SECTOR], at)?;
                file.sync_all()
            })
            .map_err(trouble("wiping", path))?;
        sync_directory(self.directory)
    }
}
