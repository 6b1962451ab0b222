//! The log's entries: an index over the segments, a bounded cache of the newest, and what
//! openraft asks of a log.
//!
//! Two locks: the writer's is held over a sync, the index's never, so readers and replication
//! go on while a disk is slow. Truncations and purges are records like any other: a crash
//! between two writes leaves the log as it was before the second.

use std::{
    collections::VecDeque,
    fmt::Debug,
    fs, io,
    ops::{Bound, RangeBounds},
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use cairn_ledger::ids::ChainId;
use cairn_metrics::Histogram;
use openraft::{
    EntryPayload, ErrorSubject, ErrorVerb, LogState, OptionalSend, RaftLogReader,
    storage::{LogFlushed, RaftLogStorage},
};
use parking_lot::Mutex;

use super::{
    segments::{
        HEADER, OpenError, RECORD_HEADER, Record, Segment, preallocate, segment_path,
        sync_directory,
    },
    slots::Slots,
    types::{Entry, Kind, LogId, StorageError, Types, Vote, payload_bytes, payload_of},
};
use crate::clock::Stopwatch;

/// Sizes; tests use smaller ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Of one segment file; a record of the largest batch must fit.
    pub(crate) segment: usize,
    /// Of the newest entries that are kept in memory.
    pub(crate) cache: usize,
    /// Most that is replicated in one message, but at least one entry.
    pub(crate) message: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { segment: 8 << 20, cache: 16 << 20, message: 3 << 19 }
    }
}

/// How many emptied files wait to be used again; more are deleted.
const SPARES: usize = 4;

/// Where an entry is.
#[derive(Clone, Debug)]
struct Place {
    id: LogId,
    kind: Kind,
    segment: Arc<Segment>,
    at: usize,
    length: usize,
    cached: Option<Bytes>,
}

/// Every entry that is there, in order, without holes.
#[derive(Debug, Default)]
struct Index {
    purged: Option<LogId>,
    places: VecDeque<Place>,
    cached_bytes: usize,
    /// Places before this one are not cached.
    uncached: usize,
}

impl Index {
    fn last(&self) -> Option<LogId> {
        self.places.back().map(|place| place.id).or(self.purged)
    }

    fn next_index(&self) -> Option<u64> {
        self.last().map(|last| last.index + 1)
    }

    fn first_index(&self) -> Option<u64> {
        self.places.front().map(|place| place.id.index)
    }

    fn push(&mut self, place: Place, cache: usize) {
        self.cached_bytes += place.cached.as_ref().map_or(0, Bytes::len);
        self.places.push_back(place);
        while self.cached_bytes > cache && self.uncached < self.places.len() {
            if let Some(bytes) = self.places[self.uncached].cached.take() {
                self.cached_bytes -= bytes.len();
            }
            self.uncached += 1;
        }
    }

    fn truncate(&mut self, from: u64) {
        while self.places.back().is_some_and(|place| place.id.index >= from) {
            let place = self.places.pop_back().expect("there is a last one");
            self.cached_bytes -= place.cached.map_or(0, |bytes| bytes.len());
        }
        self.uncached = self.uncached.min(self.places.len());
    }

    fn purge(&mut self, up_to: LogId) {
        while self.places.front().is_some_and(|place| place.id.index <= up_to.index) {
            let place = self.places.pop_front().expect("there is a first one");
            self.cached_bytes -= place.cached.map_or(0, |bytes| bytes.len());
            self.uncached = self.uncached.saturating_sub(1);
        }
        self.purged = self.purged.max(Some(up_to));
    }

    /// What a record did, done again.
    fn replay(&mut self, segment: &Arc<Segment>, record: &Record, cache: usize) -> bool {
        match record.kind {
            Kind::Truncate => self.truncate(record.id.index),
            Kind::Purge => self.purge(record.id),
            Kind::Blank | Kind::Batch | Kind::Membership => {
                if self.next_index().is_some_and(|next| next != record.id.index) {
                    return false;
                }
                let place = Place {
                    id: record.id,
                    kind: record.kind,
                    segment: Arc::clone(segment),
                    at: record.at,
                    length: record.payload.len(),
                    cached: Some(record.payload.clone()),
                };
                self.push(place, cache);
            }
        }
        true
    }
}

/// The files that are written to.
#[derive(Debug)]
struct Files {
    segments: VecDeque<Arc<Segment>>,
    /// Where the next record goes in the last segment, and up to where that is synced.
    at: usize,
    synced: usize,
    spares: Vec<PathBuf>,
    next_spare: u64,
    /// An earlier write failed: nothing after it may be believed.
    failed: Option<String>,
}

/// An entry as it is read.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) id: LogId,
    pub(crate) kind: Kind,
    pub(crate) payload: Bytes,
}

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    chain: ChainId,
    sizes: Sizes,
    index: Mutex<Index>,
    files: Mutex<Files>,
    slots: Slots,
    making_spare: AtomicBool,
    /// Where the time of each sync is counted.
    syncs: OnceLock<Histogram>,
}

/// The log. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Log(Arc<Inner>);

/// The numbers of the segments in a directory, in order, and the spare files.
fn list(directory: &Path) -> io::Result<(Vec<u64>, Vec<PathBuf>)> {
    let (mut numbers, mut spares) = (Vec::new(), Vec::new());
    for item in fs::read_dir(directory)? {
        let path = item?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("log") => numbers.extend(u64::from_str_radix(stem, 16).ok()),
            Some("spare") => spares.push(path),
            // Left by a crash while it was made.
            Some("making") => fs::remove_file(&path)?,
            _ => {}
        }
    }
    numbers.sort_unstable();
    Ok((numbers, spares))
}

impl Log {
    pub(crate) fn open(directory: &Path, chain: ChainId, sizes: Sizes) -> Result<Self, OpenError> {
        let slots = Slots::open(directory, &chain)?;
        let (numbers, spares) = list(directory)?;
        let mut segments = VecDeque::new();
        for number in numbers {
            segments.push_back(Segment::open(segment_path(directory, number), &chain, number)?);
        }
        let mut index = Index::default();
        let at = read_all(&mut segments, &mut index, sizes)?;
        let numbered = spares.iter().filter_map(|path| path.file_stem()?.to_str());
        let numbered = numbered.filter_map(|stem| u64::from_str_radix(stem, 16).ok());
        let files = Files {
            segments,
            at,
            synced: at,
            next_spare: numbered.max().unwrap_or(0),
            spares,
            failed: None,
        };
        let log = Self(Arc::new(Inner {
            directory: directory.to_owned(),
            chain,
            sizes,
            index: Mutex::new(index),
            files: Mutex::new(files),
            slots,
            making_spare: AtomicBool::new(false),
            syncs: OnceLock::new(),
        }));
        {
            let mut files = log.0.files.lock();
            if files.segments.is_empty() {
                log.0.rotate(&mut files)?;
            }
        }
        Ok(log)
    }

    /// Counts the seconds of each sync from now on.
    pub(crate) fn count_syncs(&self, syncs: Histogram) {
        drop(self.0.syncs.set(syncs));
    }

    /// Entries from an index on, as many as fit but at least one when it is there.
    #[cfg(test)]
    pub(crate) fn entries(
        &self,
        from: u64,
        before: u64,
        most_bytes: usize,
    ) -> io::Result<Vec<Stored>> {
        let places = self.places(from, before, most_bytes);
        places.into_iter().map(|place| self.fetch(&place)).collect::<io::Result<Vec<_>>>()
    }

    /// The same, off the runtime's threads when a disk has to be read.
    pub(crate) async fn read(
        &self,
        from: u64,
        before: u64,
        most_bytes: usize,
    ) -> io::Result<Vec<Stored>> {
        let places = self.places(from, before, most_bytes);
        let cached = places.iter().all(|place| place.cached.is_some());
        let log = self.clone();
        let fetch = move || places.iter().map(|place| log.fetch(place)).collect();
        if cached { fetch() } else { blocking(fetch).await }
    }

    fn places(&self, from: u64, before: u64, most_bytes: usize) -> Vec<Place> {
        let index = self.0.index.lock();
        let Some(first) = index.first_index() else { return Vec::new() };
        let skip = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
        let mut bytes = 0_usize;
        let mut taken = Vec::new();
        for place in index.places.iter().skip(skip).take_while(|place| place.id.index < before) {
            bytes = bytes.saturating_add(place.length);
            if bytes > most_bytes && !taken.is_empty() {
                break;
            }
            taken.push(place.clone());
        }
        taken
    }

    fn fetch(&self, place: &Place) -> io::Result<Stored> {
        if let Some(payload) = &place.cached {
            return Ok(Stored { id: place.id, kind: place.kind, payload: payload.clone() });
        }
        match place.segment.read(place.at, place.length)? {
            Some(Record { id, kind, payload, .. }) if id == place.id => {
                Ok(Stored { id, kind, payload })
            }
            _ => {
                let damaged = place.segment.corrupt(place.at, "an entry is not what was written");
                Err(io::Error::new(io::ErrorKind::InvalidData, damaged))
            }
        }
    }

    /// The last entry that was forgotten.
    pub(crate) fn purged(&self) -> Option<LogId> {
        self.0.index.lock().purged
    }

    /// The full id of an entry.
    pub(crate) fn id_at(&self, index: u64) -> Option<LogId> {
        self.places(index, index + 1, 0).first().map(|place| place.id)
    }

    /// Bytes of the entries after one index, up to another.
    pub(crate) fn bytes_between(&self, after: u64, up_to: u64) -> u64 {
        let all = self.0.index.lock();
        let there = all.places.iter().skip_while(|place| place.id.index <= after);
        let there = there.take_while(|place| place.id.index <= up_to);
        there.map(|place| (place.length + RECORD_HEADER) as u64).sum()
    }

    /// Waits for writes that are under way.
    pub(crate) async fn quiet(&self) {
        let log = self.clone();
        blocking(move || drop(log.0.files.lock())).await;
    }

    /// Writes records, one sync for all of them (two where a segment ends).
    pub(crate) fn write(&self, records: Vec<(LogId, Kind, Bytes)>) -> io::Result<()> {
        let inner = &self.0;
        let mut files = inner.files.lock();
        if let Some(reason) = &files.failed {
            return Err(io::Error::other(format!("an earlier write failed: {reason}")));
        }
        let written = inner.write(&mut files, records);
        if let Err(error) = &written {
            files.failed = Some(error.to_string());
        }
        written
    }

    pub(crate) fn forget(&self, up_to: LogId) -> io::Result<()> {
        self.write(vec![(up_to, Kind::Purge, Bytes::new())])?;
        let inner = &self.0;
        let mut files = inner.files.lock();
        let oldest = inner.index.lock().places.front().map(|place| place.segment.number);
        // The last segment is being written; without entries it is the only one that stays.
        let keep_from = oldest.unwrap_or(u64::MAX);
        while files.segments.len() > 1 && files.segments[0].number < keep_from {
            let emptied = files.segments.pop_front().expect("there is more than one");
            inner.recycle(&mut files, &emptied)?;
        }
        sync_directory(&inner.directory)
    }

    /// Makes a spare file ahead of need, once at a time.
    fn prepare_spare(&self) {
        let inner = &self.0;
        let wanted = inner.files.lock().spares.is_empty();
        if !wanted || inner.making_spare.swap(true, Ordering::AcqRel) {
            return;
        }
        let log = self.clone();
        // Failing is not fatal here: the next rotation makes one itself, or fails.
        drop(tokio::task::spawn_blocking(move || {
            let inner = &log.0;
            let number = {
                let mut files = inner.files.lock();
                files.next_spare += 1;
                files.next_spare
            };
            if let Ok(path) = inner.make_spare(number) {
                inner.files.lock().spares.push(path);
            }
            inner.making_spare.store(false, Ordering::Release);
        }));
    }
}

impl Inner {
    fn write(&self, files: &mut Files, records: Vec<(LogId, Kind, Bytes)>) -> io::Result<()> {
        let mut buffer = Vec::new();
        for (id, kind, payload) in records {
            if files.at + buffer.len() + RECORD_HEADER + payload.len() > self.sizes.segment {
                self.flush(files, &mut buffer)?;
                self.rotate(files)?;
            }
            let segment = Arc::clone(files.segments.back().expect("a log has a segment"));
            let at = files.at + buffer.len();
            segment.encode(&mut buffer, files.synced, &id, kind, &payload);
            let record = Record { id, kind, at, synced: files.synced, payload };
            let fits = self.index.lock().replay(&segment, &record, self.sizes.cache);
            assert!(fits, "the log was given a hole before {id}");
        }
        self.flush(files, &mut buffer)
    }

    fn flush(&self, files: &mut Files, buffer: &mut Vec<u8>) -> io::Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        let segment = files.segments.back().expect("a log has a segment");
        std::os::unix::fs::FileExt::write_all_at(&segment.file, buffer, files.at as u64)?;
        let watch = Stopwatch::start();
        segment.file.sync_data()?;
        if let Some(syncs) = self.syncs.get() {
            syncs.observe(watch.seconds());
        }
        files.at += buffer.len();
        files.synced = files.at;
        buffer.clear();
        Ok(())
    }

    fn rotate(&self, files: &mut Files) -> io::Result<()> {
        let number = files.segments.back().map_or(1, |last| last.number + 1);
        let spare = match files.spares.pop() {
            Some(path) => path,
            None => {
                files.next_spare += 1;
                self.make_spare(files.next_spare)?
            }
        };
        let path = segment_path(&self.directory, number);
        fs::rename(spare, &path)?;
        sync_directory(&self.directory)?;
        let segment = Segment::open(path, &self.chain, number)?;
        segment.begin(files.at)?;
        files.segments.push_back(segment);
        files.at = HEADER;
        files.synced = HEADER;
        Ok(())
    }

    fn make_spare(&self, number: u64) -> io::Result<PathBuf> {
        let path = self.directory.join(format!("{number:016x}.spare"));
        let making = path.with_extension("making");
        preallocate(&making, self.sizes.segment)?;
        fs::rename(making, &path)?;
        Ok(path)
    }

    fn recycle(&self, files: &mut Files, segment: &Segment) -> io::Result<()> {
        if files.spares.len() >= SPARES {
            return fs::remove_file(&segment.path);
        }
        let path = self.directory.join(format!("{:016x}-used.spare", segment.number));
        fs::rename(&segment.path, &path)?;
        files.spares.push(path);
        Ok(())
    }
}

/// Reads all segments into the index; says where the last one ends.
fn read_all(
    segments: &mut VecDeque<Arc<Segment>>,
    index: &mut Index,
    sizes: Sizes,
) -> Result<usize, OpenError> {
    let mut contents = Vec::new();
    for segment in segments.iter() {
        contents.push(fs::read(&segment.path)?);
    }
    drop_unbegun(segments, &mut contents)?;
    let mut end = HEADER;
    for (nth, segment) in segments.iter().enumerate() {
        let sealed_at = match segments.get(nth + 1) {
            None => None,
            Some(next) if next.number != segment.number + 1 => {
                return Err(next.corrupt(0, "the segment before it is missing").into());
            }
            Some(next) => match next.previous_end(&contents[nth + 1]) {
                None => return Err(next.corrupt(0, "the header is damaged").into()),
                sealed_at => sealed_at,
            },
        };
        let (records, at) = segment.scan(&contents[nth], sealed_at)?;
        for record in &records {
            if !index.replay(segment, record, sizes.cache) {
                return Err(segment.corrupt(record.at, "an entry is missing before it").into());
            }
        }
        end = at;
    }
    if let (Some(first), Some(segment)) = (index.first_index(), segments.front()) {
        let expected = index.purged.map_or(0, |purged| purged.index + 1);
        if first > expected {
            return Err(segment.corrupt(HEADER, "entries before it are missing").into());
        }
    }
    Ok(end)
}

/// A last segment whose header never became whole was never written to.
fn drop_unbegun(
    segments: &mut VecDeque<Arc<Segment>>,
    contents: &mut Vec<Vec<u8>>,
) -> Result<(), OpenError> {
    let (Some(last), Some(bytes)) = (segments.back(), contents.last()) else { return Ok(()) };
    if last.previous_end(bytes).is_some() {
        return Ok(());
    }
    if last.has_records(bytes) {
        return Err(last.corrupt(0, "the header is damaged").into());
    }
    fs::remove_file(&last.path)?;
    segments.pop_back();
    contents.pop();
    Ok(())
}

/// Runs what may wait for a disk where waiting hurts nobody.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

pub(crate) fn trouble(
    subject: ErrorSubject<u64>,
    verb: ErrorVerb,
    error: io::Error,
) -> StorageError {
    StorageError::from_io_error(subject, verb, error)
}

#[expect(clippy::result_large_err, reason = "openraft's traits want its error as it is")]
fn entry_of(stored: Stored) -> Result<Entry, StorageError> {
    let payload: EntryPayload<Types> =
        payload_of(stored.kind, stored.payload).ok_or_else(|| {
            let error = io::Error::new(io::ErrorKind::InvalidData, "an entry has a foreign form");
            trouble(ErrorSubject::Log(stored.id), ErrorVerb::Read, error)
        })?;
    Ok(Entry { log_id: stored.id, payload })
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(after) => after + 1,
            Bound::Unbounded => 0,
        };
        let before = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(before) => *before,
            Bound::Unbounded => u64::MAX,
        };
        let stored = self.read(from, before, usize::MAX).await;
        let stored = stored.map_err(|error| trouble(ErrorSubject::Logs, ErrorVerb::Read, error))?;
        stored.into_iter().map(entry_of).collect()
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, StorageError> {
        let stored = self.read(start, end, self.0.sizes.message).await;
        let stored = stored.map_err(|error| trouble(ErrorSubject::Logs, ErrorVerb::Read, error))?;
        stored.into_iter().map(entry_of).collect()
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        let index = self.0.index.lock();
        Ok(LogState { last_purged_log_id: index.purged, last_log_id: index.last() })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let (log, vote) = (self.clone(), *vote);
        blocking(move || log.0.slots.save_vote(&vote))
            .await
            .map_err(|error| trouble(ErrorSubject::Vote, ErrorVerb::Write, error))
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.0.slots.vote())
    }

    /// Not synced: a stale one only means that the leader has to say it again after a start.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        let saved = committed.map_or(Ok(()), |id| self.0.slots.save_committed(&id));
        saved.map_err(|error| trouble(ErrorSubject::Store, ErrorVerb::Write, error))
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        // After a power loss it may be older than the log, and never newer: what is
        // committed was synced before.
        let last = self.0.index.lock().last();
        Ok(self.0.slots.committed().min(last))
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<Types>,
    ) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let records = entries
            .into_iter()
            .map(|entry| {
                let (kind, payload) = payload_bytes(&entry.payload);
                (entry.log_id, kind, payload)
            })
            .collect();
        let log = self.clone();
        let written = blocking(move || log.write(records)).await;
        self.prepare_spare();
        callback.log_io_completed(written);
        Ok(())
    }

    async fn truncate(&mut self, id: LogId) -> Result<(), StorageError> {
        let log = self.clone();
        blocking(move || log.write(vec![(id, Kind::Truncate, Bytes::new())]))
            .await
            .map_err(|error| trouble(ErrorSubject::Log(id), ErrorVerb::Delete, error))
    }

    async fn purge(&mut self, id: LogId) -> Result<(), StorageError> {
        let log = self.clone();
        blocking(move || log.forget(id))
            .await
            .map_err(|error| trouble(ErrorSubject::Log(id), ErrorVerb::Delete, error))
    }
}
