use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use super::{record::SECTOR, *};
use crate::{
    store::contract::{self, Story},
    testing::{Federation, create, key},
};

const OPTIONS: Options = Options {
    // Room for a handful of small blocks: every test crosses segments.
    segment_bytes: 32 * SECTOR as u64,
    snapshot_transactions: 3,
    pending_transactions_max: 4,
};

/// A directory that goes when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let name = format!("cairn-store-{}", hex::encode(crate::clock::random::<8>()));
        Self(std::env::temp_dir().join(name))
    }

    fn copy_of(other: &Path) -> Self {
        let copy = Self::new();
        copy_all(other, &copy.0);
        copy
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// All files below a directory that hold something.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if fs::metadata(&path).unwrap().len() > 0 {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn open(path: &Path, federation: &Federation) -> Result<Embedded, StoreError> {
    Embedded::open_with(path, Arc::clone(&federation.genesis), OPTIONS)
}

/// The story in a directory, stopped.
fn told() -> (Scratch, Story) {
    let scratch = Scratch::new();
    let federation = Federation::new(4);
    let store = open(&scratch.0, &federation).unwrap();
    let story = Story::tell(federation, &store);
    store.stop();
    drop(store);
    (scratch, story)
}

/// Only what was synced: the blocks.
fn without_helpers(path: &Path) {
    for name in ["index", "snapshot"] {
        let _ = fs::remove_dir_all(path.join(name));
    }
}

#[test]
fn embedded_keeps_the_promises_of_a_store() {
    let scratch = Scratch::new();
    let number = std::cell::Cell::new(0);
    contract::suite(&|genesis| {
        number.set(number.get() + 1);
        let path = scratch.0.join(number.get().to_string());
        let genesis = Arc::clone(genesis);
        let open = move || -> Arc<dyn Store> {
            Arc::new(Embedded::open_with(&path, Arc::clone(&genesis), OPTIONS).unwrap())
        };
        (
            open(),
            Box::new(move |stopped| {
                drop(stopped);
                open()
            }),
        )
    });
}

#[test]
fn what_is_missing_is_made_again() {
    let (scratch, story) = told();
    for missing in [&["index"][..], &["snapshot"], &["index", "snapshot"]] {
        let copy = Scratch::copy_of(&scratch.0);
        for name in missing {
            fs::remove_dir_all(copy.0.join(name)).unwrap();
        }
        let store = open(&copy.0, &story.federation).unwrap();
        story.check(&store);
    }
}

#[test]
fn a_store_that_was_not_stopped_loses_nothing() {
    let scratch = Scratch::new();
    let federation = Federation::new(4);
    let store = open(&scratch.0, &federation).unwrap();
    let story = Story::tell(federation, &store);
    drop(store);
    story.check(&open(&scratch.0, &story.federation).unwrap());
}

/// The last record of the blocks: file, first byte, end.
fn last_record(path: &Path, story: &Story) -> (PathBuf, u64, u64) {
    let chain = story.federation.genesis.chain();
    let bytes = OPTIONS.segment_bytes;
    let log = Log::open(&path.join("blocks"), &chain, bytes, Vec::new(), Height(0)).unwrap();
    let last = *log.spans_to(log.height()).last().unwrap();
    let file = path.join("blocks").join(format!("{:08}.seg", last.segment));
    let from = u64::from(last.sector) * SECTOR as u64;
    (file, from, from + u64::from(last.sectors) * SECTOR as u64)
}

#[test]
fn a_last_record_cut_at_any_byte_is_dropped_and_nothing_else() {
    let (scratch, mut story) = told();
    without_helpers(&scratch.0);
    let (file, from, to) = last_record(&scratch.0, &story);
    let name = file.strip_prefix(&scratch.0).unwrap().to_owned();
    let whole = fs::read(&file).unwrap();
    let last = story.blocks.pop().unwrap();
    let copy = Scratch::copy_of(&scratch.0);
    let log_only = |bytes: &[u8]| {
        fs::write(copy.0.join(&name), bytes).unwrap();
        let chain = story.federation.genesis.chain();
        let segment = OPTIONS.segment_bytes;
        Log::open(&copy.0.join("blocks"), &chain, segment, Vec::new(), Height(0))
    };
    for cut in from..to {
        let cut = usize::try_from(cut).unwrap();
        let mut zeroed = whole.clone();
        zeroed[cut..].fill(0);
        // A file that ends there and one that is zeros from there read the same.
        let bytes = if cut % 2 == 0 { &whole[..cut] } else { &zeroed[..] };
        assert_eq!(log_only(bytes).unwrap().height(), Height(3), "cut at {cut}");
    }
    // And then it goes on as if the block had never been there.
    let middle = usize::try_from(from + SECTOR as u64 + 100).unwrap();
    drop(log_only(&whole[..middle]).unwrap());
    let store = open(&copy.0, &story.federation).unwrap();
    assert_eq!(store.tip().0.height, Height(3));
    let slice: Vec<_> = last.body.clone();
    assert_eq!(story.federation.commit(&store, &slice), last);
    story.blocks.push(last);
    story.check(&store);
}

#[test]
fn a_committed_record_that_was_cut_is_damage() {
    let (scratch, story) = told();
    let (file, from, to) = last_record(&scratch.0, &story);
    // The index knows that the block was committed.
    for cut in [from, from + 1, from + SECTOR as u64, to - 1] {
        let copy = Scratch::copy_of(&scratch.0);
        let name = file.strip_prefix(&scratch.0).unwrap();
        let cut_file = fs::File::options().write(true).open(copy.0.join(name)).unwrap();
        cut_file.set_len(cut).unwrap();
        let opened = open(&copy.0, &story.federation);
        assert!(matches!(opened, Err(StoreError::Corrupt { .. })), "cut at {cut}: {opened:?}");
    }
}

#[test]
fn garbage_after_the_last_record_is_dropped() {
    let (scratch, story) = told();
    let (file, _, to) = last_record(&scratch.0, &story);
    let segment = fs::File::options().write(true).open(&file).unwrap();
    segment.write_all_at(&[0xEE; 700], to).unwrap();
    story.check(&open(&scratch.0, &story.federation).unwrap());
}

#[test]
fn a_flipped_bit_in_any_file_is_noticed_or_does_no_harm() {
    let (scratch, story) = told();
    for path in files(&scratch.0) {
        let name = path.strip_prefix(&scratch.0).unwrap();
        let bytes = fs::read(&path).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        // Primes, so that steps fall on all fields over time.
        for at in (0..used).step_by((used / 7).max(1) | 1) {
            let copy = Scratch::copy_of(&scratch.0);
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(copy.0.join(name), flipped).unwrap();
            let is_block = name.starts_with("blocks");
            match open(&copy.0, &story.federation) {
                Err(error) => {
                    let named = is_block || name.starts_with("store.json");
                    assert!(named, "{name:?} can be made again: {error}");
                }
                Ok(store) if is_block => {
                    // Blocks before the snapshot are read when they are asked for.
                    let damaged = (1..=4).filter(|height| {
                        matches!(store.block(Height(*height)), Err(StoreError::Corrupt { .. }))
                    });
                    assert_eq!(damaged.count(), 1, "byte {at} of {name:?}");
                }
                Ok(store) => story.check(&store),
            }
        }
    }
}

#[test]
fn a_middle_block_that_is_damaged_is_named() {
    let (scratch, story) = told();
    without_helpers(&scratch.0);
    let file = scratch.0.join("blocks/00000000.seg");
    let mut bytes = fs::read(&file).unwrap();
    bytes[SECTOR + 9] ^= 4;
    fs::write(&file, bytes).unwrap();
    match open(&scratch.0, &story.federation).unwrap_err() {
        StoreError::Corrupt { path, at, .. } => {
            assert_eq!(Path::new(&path), file);
            assert_eq!(at, SECTOR as u64);
        }
        other => panic!("{other}"),
    }
}

#[test]
fn another_chain_another_process_and_a_newer_format_are_turned_away() {
    let (scratch, story) = told();
    let held = open(&scratch.0, &story.federation).unwrap();
    let foreign = |federation: &Federation| match open(&scratch.0, federation) {
        Err(StoreError::Foreign(why)) => why,
        other => panic!("{other:?}"),
    };
    assert!(foreign(&story.federation).contains("in use"));
    drop(held);
    assert!(foreign(&Federation::named("another", 4)).contains("belongs to"));
    let label = scratch.0.join("store.json");
    let newer = r#"{"format":2,"what":"ever"}"#;
    fs::write(&label, newer).unwrap();
    assert!(foreign(&story.federation).contains("FORMAT_TOO_NEW"));
    assert_eq!(fs::read_to_string(&label).unwrap(), newer);
}

#[test]
fn an_error_of_the_disk_poisons_the_store() {
    let scratch = Scratch::new();
    let chain = ChainId([3; 32]);
    let log = Log::open(&scratch.0, &chain, OPTIONS.segment_bytes, Vec::new(), Height(0)).unwrap();
    log.append(Height(1), b"one").unwrap();
    log.break_disk();
    assert!(matches!(log.append(Height(2), b"two"), Err(StoreError::Io { .. })));
    log.mend_disk();
    // Mended or not: what was not synced once is never believed.
    assert!(matches!(log.append(Height(2), b"two"), Err(StoreError::Io { .. })));
    assert_eq!(log.height(), Height(1));
    drop(log);
    let log = Log::open(&scratch.0, &chain, OPTIONS.segment_bytes, Vec::new(), Height(0)).unwrap();
    log.append(Height(2), b"two").unwrap();
    assert_eq!(log.read(Height(2)).unwrap().unwrap(), b"two");
}

#[test]
fn a_full_disk_is_met_before_anything_is_written() {
    let scratch = Scratch::new();
    let chain = ChainId([3; 32]);
    let open = || Log::open(&scratch.0, &chain, OPTIONS.segment_bytes, Vec::new(), Height(0));
    let log = open().unwrap();
    let large = vec![b'x'; 20 * SECTOR];
    log.append(Height(1), &large).unwrap();
    // A directory in the place of the next segment: it cannot be made, as on a full disk.
    log.finish_preparing();
    let next = scratch.0.join("00000001.seg");
    fs::remove_file(&next).unwrap();
    fs::create_dir(scratch.0.join("00000001.new")).unwrap();
    assert!(log.append(Height(2), &large).is_err());
    assert_eq!(log.height(), Height(1));
    fs::remove_dir(scratch.0.join("00000001.new")).unwrap();
    // Nothing was poisoned: with room again it goes on.
    log.append(Height(2), &large).unwrap();
    drop(log);
    assert_eq!(open().unwrap().height(), Height(2));
}

#[test]
fn a_full_disk_has_a_name_of_its_own() {
    let path = Path::new("blocks/00000000.seg");
    let full = io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error());
    assert!(matches!(trouble("writing", path)(full), StoreError::Full { .. }));
    let other = io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error());
    assert!(matches!(trouble("writing", path)(other), StoreError::Io { .. }));
}

/// Figures, on demand: `cargo test --release -p cairn-node -- --ignored --nocapture figures`.
#[test]
#[ignore = "measures, asserts nothing"]
fn figures() {
    use crate::clock::Stopwatch;
    let scratch = Scratch::new();
    let federation = Federation::new(4);
    let open = || Embedded::open(&scratch.0, Arc::clone(&federation.genesis)).unwrap();
    let store = open();
    let alice = key(1);
    let note = "x".repeat(700);
    let made: Vec<_> = (0..100_u32)
        .map(|block| {
            let made = (0..1000).map(|at| {
                let note = format!("{block}-{at}-{note}");
                create(&alice, &note, &[(&[alice.public()], 1)]).bytes
            });
            made.collect::<Vec<_>>()
        })
        .collect();
    let (mut views, mut commits) = (0.0, 0.0);
    for transactions in &made {
        let (block, changes) = federation.decide(&store, transactions);
        let reads = Reads {
            transactions: (0..1000).map(|_| TransactionId(crate::clock::random())).collect(),
            outputs: Vec::new(),
        };
        let watch = Stopwatch::start();
        store.view(&reads).unwrap();
        views += watch.seconds();
        let watch = Stopwatch::start();
        store.commit(&block, &changes).unwrap();
        commits += watch.seconds();
    }
    println!(
        "view {:.2} µs a CREATE, commit {:.2} ms a block of 1000",
        views * 10.0,
        commits * 10.0
    );
    drop(store);
    let watch = Stopwatch::start();
    drop(open());
    println!("open after a crash {:.2} s", watch.seconds());
    let store = open();
    let watch = Stopwatch::start();
    store.stop();
    drop(store);
    println!("stop {:.2} s", watch.seconds());
    let watch = Stopwatch::start();
    drop(open());
    println!("open after a stop {:.2} s", watch.seconds());
    without_helpers(&scratch.0);
    let watch = Stopwatch::start();
    drop(open());
    println!("open from blocks alone {:.2} s", watch.seconds());
}
