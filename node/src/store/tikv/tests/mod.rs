//! Over TiKV in memory ([`shelf`]), where every step can fail and every row be tampered with;
//! and over servers ([`cluster`]).

mod cluster;
mod dice;
mod large;
mod register;
mod removed;
mod shelf;

use std::{collections::BTreeMap, fs, path::PathBuf, sync::atomic::Ordering};

use self::shelf::Shelf;
use super::*;
use crate::{
    store::{
        contract::{self, Story},
        memory::MemoryStore,
    },
    testing::{Federation, Signed, create, key, transfer},
};

const OPTIONS: Options = Options {
    pending_bytes_max: 4000,
    batch_transactions: 3,
    mark_transactions: 20,
    scrub_every: Duration::from_secs(3600),
};

/// A directory that goes when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let name = format!("cairn-tikv-store-{}", hex::encode(crate::clock::random::<8>()));
        Self(std::env::temp_dir().join(name))
    }

    fn copy_of(other: &Path) -> Self {
        let copy = Self::new();
        copy_all(other, &copy.0);
        copy
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_all(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn open(
    shelf: &Arc<Shelf>,
    directory: &Path,
    genesis: &Arc<Genesis>,
) -> Result<TikvStore, StoreError> {
    let held = Directory::claim(directory, genesis.chain())?;
    let secret = Secret::read_or_make(&held.join("tikv.secret"))?;
    let far = Arc::<Shelf>::clone(shelf);
    TikvStore::start(Shared::open(far, held, secret, Arc::clone(genesis), OPTIONS)?, directory)
}

/// The story on a shelf, stopped: all rows are written.
struct Told {
    shelf: Arc<Shelf>,
    scratch: Scratch,
    story: Story,
}

impl Told {
    fn new() -> Self {
        let (shelf, scratch, federation) = (Shelf::new(), Scratch::new(), Federation::new(4));
        let store = open(&shelf, &scratch.0, &federation.genesis).unwrap();
        let story = Story::tell(federation, &store);
        store.stop();
        Self { shelf, scratch, story }
    }

    fn open(&self) -> Result<TikvStore, StoreError> {
        open(&self.shelf, &self.scratch.0, &self.story.federation.genesis)
    }

    /// The blocks with their changes, to be committed again.
    fn plan(&self) -> Vec<(Arc<Block>, Changes)> {
        plan(&self.story)
    }
}

fn plan(story: &Story) -> Vec<(Arc<Block>, Changes)> {
    let memory = MemoryStore::new(&story.federation.genesis);
    let again = story.blocks.iter().map(|block| {
        let (decided, changes) = story.federation.decide(&memory, &block.body);
        assert_eq!(decided, *block);
        memory.commit(&decided, &changes).unwrap();
        (decided, changes)
    });
    again.collect()
}

/// Commits what is still to be committed of a plan.
fn go_on(store: &dyn Store, plan: &[(Arc<Block>, Changes)]) -> Result<(), StoreError> {
    for (block, changes) in plan {
        if block.header.height > store.tip().0.height {
            store.commit(block, changes)?;
        }
    }
    Ok(())
}

#[test]
fn a_store_in_tikv_keeps_the_promises_of_a_store() {
    let scratch = Scratch::new();
    let number = std::cell::Cell::new(0);
    contract::suite(&|genesis| {
        number.set(number.get() + 1);
        let path = scratch.0.join(number.get().to_string());
        let (genesis, shelf) = (Arc::clone(genesis), Shelf::new());
        let open = move || -> Arc<dyn Store> { Arc::new(open(&shelf, &path, &genesis).unwrap()) };
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
fn a_store_that_was_not_stopped_loses_nothing() {
    let (shelf, scratch, federation) = (Shelf::new(), Scratch::new(), Federation::new(4));
    let store = open(&shelf, &scratch.0, &federation.genesis).unwrap();
    let story = Story::tell(federation, &store);
    drop(store);
    story.check(&open(&shelf, &scratch.0, &story.federation.genesis).unwrap());
}

#[test]
fn a_process_that_ends_at_any_step_leaves_a_store_that_goes_on() {
    let (story, mut steps, mut crashes) = (Told::new().story, 0, 0);
    let (plan, genesis) = (plan(&story), &story.federation.genesis);
    loop {
        let (shelf, scratch) = (Shelf::new(), Scratch::new());
        shelf.light(steps, false);
        let lived = open(&shelf, &scratch.0, genesis).and_then(|store| {
            go_on(&store, &plan)?;
            store.stop();
            Ok(())
        });
        let is_whole = lived.is_ok() && shelf.fuse.load(Ordering::SeqCst) > 0;
        crashes += usize::from(lived.is_err());
        shelf.mend();
        if steps % 2 == 1 {
            // The same end before the register was written, and after it was lost.
            let _ = fs::remove_dir_all(scratch.0.join("rows"));
        }
        let store = open(&shelf, &scratch.0, genesis).unwrap();
        go_on(&store, &plan).unwrap();
        story.check(&store);
        store.stop();
        let findings = store.scrub().unwrap();
        assert_eq!(findings.blocks, 4);
        assert!(findings.is_clean(), "after {steps} steps: {findings:?}");
        if is_whole {
            break;
        }
        steps += 1;
    }
    assert!(crashes > 10, "{crashes} of {steps}");
}

#[test]
fn a_call_that_fails_once_at_any_step_is_made_again() {
    let (story, mut steps) = (Told::new().story, 0);
    let (plan, genesis) = (plan(&story), &story.federation.genesis);
    loop {
        let (shelf, scratch) = (Shelf::new(), Scratch::new());
        let store = open(&shelf, &scratch.0, genesis).unwrap();
        shelf.light(steps, true);
        for (block, changes) in &plan {
            while let Err(error) = store.commit(block, changes) {
                assert!(matches!(error, StoreError::Unreachable(_)), "{error}");
            }
        }
        story.check(&store);
        store.stop();
        if shelf.fuse.load(Ordering::SeqCst) > 0 {
            break;
        }
        drop(store);
        shelf.mend();
        story.check(&open(&shelf, &scratch.0, genesis).unwrap());
        steps += 1;
    }
    assert!(steps > 10);
}

#[test]
fn a_row_that_somebody_else_wrote_is_never_believed() {
    let told = Told::new();
    let whole = told.shelf.copy();
    for (key, value) in &whole {
        let other = whole.iter().find(|(other, _)| *other != key && other[0] == key[0]);
        let moved = other.map(|(_, value)| value.clone());
        let mut flipped = value.clone();
        flipped[value.len() / 2] ^= 1;
        for forged in [Some(b"forged".to_vec()), Some(flipped), moved].into_iter().flatten() {
            told.shelf.put_back(whole.clone());
            told.shelf.rows.lock().insert(key.clone(), forged);
            let served = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let store = told.open().unwrap();
                // The tip fell back to the last one that is proven, perhaps.
                go_on(&store, &told.plan()).unwrap();
                told.story.check(&store);
            }));
            let Err(panic) = served else { continue };
            let why = panic.downcast_ref::<String>().unwrap();
            assert!(why.contains("Corrupt"), "{why}");
            // The next start has looked at all rows, and repaired what blocks can repair.
            let store = told.open().unwrap();
            let repaired = store.scrub().unwrap();
            for height in &repaired.damaged {
                let (block, _) = &told.plan()[height.0 as usize - 1];
                store.repair(block).unwrap();
            }
            told.story.check(&store);
        }
    }
}

#[test]
fn rows_that_were_removed_are_named_and_come_back() {
    let told = Told::new();
    let whole = told.shelf.copy();
    for key in whole.keys().filter(|key| key[0] != b'0') {
        told.shelf.put_back(whole.clone());
        told.shelf.rows.lock().remove(key);
        let store = told.open().unwrap();
        go_on(&store, &told.plan()).unwrap();
        let findings = store.scrub().unwrap();
        let counted = findings.rewritten + findings.damaged.len() as u64;
        // The opening may have compared them already.
        let all = store.scrubbed();
        assert!(all.blocks >= findings.blocks && all.damaged >= counted, "{all:?}");
        assert!(all.damaged > 0 || key[0] == b'b', "{all:?}");
        if key[0] == b'b' && !findings.damaged.is_empty() {
            for height in &findings.damaged {
                store.repair(&told.plan()[height.0 as usize - 1].0).unwrap();
            }
        }
        assert!(store.scrub().unwrap().is_clean());
        told.story.check(&store);
        let at_tip = key[0] == b'b' && key[8] == 4;
        let name = store.shared.vault.readable(key);
        let named = findings.named.iter().any(|named| named.contains(&name));
        assert!(named || at_tip, "{name} is not among {findings:?}");
    }
}

#[test]
fn a_row_in_an_empty_place_is_refused_and_removed() {
    let told = Told::new();
    let whole = told.shelf.copy();
    let unknown = TransactionId([9; 32]);
    let mut key = families::transactions::key(&unknown);
    let of_another = whole.iter().find(|(other, _)| other[0] == key[0]).unwrap().1.clone();
    told.shelf.rows.lock().insert(key.clone(), of_another);
    let store = told.open().unwrap();
    // It was never written, so it is not looked at.
    assert_eq!(store.locate(&unknown).unwrap(), None);
    assert_eq!(store.scrub().unwrap().removed, 1);
    assert!(!told.shelf.rows.lock().contains_key(&key));
    drop(store);
    // In every family.
    for letter in families::LETTERS {
        key[0] = letter;
        told.shelf.rows.lock().insert(key.clone(), b"forged".to_vec());
    }
    let store = told.open().unwrap();
    let findings = store.scrub().unwrap();
    assert_eq!((findings.removed, findings.rewritten), (7, 0), "{findings:?}");
    assert!(store.scrub().unwrap().is_clean());
    told.story.check(&store);
}

#[test]
fn a_block_is_repaired_by_what_its_certificate_proves_alone() {
    let told = Told::new();
    let key = families::blocks::key(Height(2), 0);
    told.shelf.rows.lock().remove(&key);
    let store = told.open().unwrap();
    assert_eq!(store.damaged(), []);
    assert!(matches!(store.block(Height(2)), Err(StoreError::Corrupt { .. })));
    assert_eq!(store.damaged(), [Height(2)]);
    assert_eq!(store.scrub().unwrap().damaged, [Height(2)]);
    let whole = Block::clone(&told.story.blocks[1]);
    let mut unproven = whole.clone();
    unproven.certificate.signatures.truncate(2);
    let mut others = whole.clone();
    others.certificate = told.story.blocks[0].certificate.clone();
    let mut bent = whole.clone();
    bent.body.push(b"{}".to_vec().into());
    for wrong in [unproven, others, bent] {
        let refused = store.repair(&wrong).unwrap_err();
        assert!(matches!(refused, StoreError::Foreign(_)), "{refused}");
    }
    assert_eq!(store.damaged(), [Height(2)]);
    store.repair(&whole).unwrap();
    assert_eq!(store.damaged(), []);
    assert!(store.scrub().unwrap().is_clean());
    told.story.check(&store);
}

#[test]
fn of_two_processes_on_the_same_keys_the_older_one_ends() {
    let (shelf, scratch, federation) = (Shelf::new(), Scratch::new(), Federation::new(4));
    let older = open(&shelf, &scratch.0, &federation.genesis).unwrap();
    federation.commit(&older, &[]);
    // The same volume in two places: a copy of it.
    let copy = Scratch::copy_of(&scratch.0);
    let newer = open(&shelf, &copy.0, &federation.genesis).unwrap();
    let (block, changes) = federation.decide(&older, &[]);
    for _ in 0..2 {
        let refused = older.commit(&block, &changes).unwrap_err();
        assert!(matches!(refused, StoreError::Foreign(_)), "{refused}");
    }
    federation.commit(&newer, &[]);
    assert_eq!(newer.tip().0.height, Height(2));
    assert_eq!(older.tip().0.height, Height(1));
}

#[test]
fn another_volume_has_keys_of_its_own() {
    let [one, other] = [Scratch::new(), Scratch::new()].map(|scratch| {
        fs::create_dir_all(&scratch.0).unwrap();
        let path = scratch.0.join("tikv.secret");
        let secret = Secret::read_or_make(&path).unwrap();
        assert_eq!(Secret::read_or_make(&path).unwrap().volume(), secret.volume());
        secret.volume()
    });
    assert_ne!(one, other);
}

/// What the shelf held after each block of the story, the tip of genesis first.
fn history(
    story: &Story,
    scratch: &Scratch,
    shelf: &Arc<Shelf>,
) -> Vec<BTreeMap<Vec<u8>, Vec<u8>>> {
    let genesis = &story.federation.genesis;
    let states = (0..=story.blocks.len()).map(|height| {
        let store = open(shelf, &scratch.0, genesis).unwrap();
        go_on(&store, &plan(story)[..height]).unwrap();
        store.stop();
        drop(store);
        shelf.copy()
    });
    states.collect()
}

#[test]
fn a_tikv_that_was_put_back_is_noticed_and_goes_on() {
    let story = Told::new().story;
    let (shelf, scratch) = (Shelf::new(), Scratch::new());
    let past = history(&story, &scratch, &shelf);
    for (height, rows) in (0..).zip(&past) {
        let copy = Scratch::copy_of(&scratch.0);
        shelf.put_back(rows.clone());
        let store = open(&shelf, &copy.0, &story.federation.genesis).unwrap();
        assert_eq!(store.tip().0.height, Height(height));
        go_on(&store, &plan(&story)).unwrap();
        story.check(&store);
        drop(store);
        // Only the tip was put back: the pinned one has its block, and goes on.
        let mut rows = past.last().unwrap().clone();
        rows.insert(families::TIP.to_vec(), past[height as usize][families::TIP].clone());
        shelf.put_back(rows);
        let copy = Scratch::copy_of(&scratch.0);
        story.check(&open(&shelf, &copy.0, &story.federation.genesis).unwrap());
    }
    // All of it is gone.
    shelf.put_back(BTreeMap::new());
    let store = open(&shelf, &scratch.0, &story.federation.genesis).unwrap();
    assert_eq!(store.tip().0.height, Height(0));
    go_on(&store, &plan(&story)).unwrap();
    story.check(&store);
}

#[test]
fn a_tip_that_is_put_back_under_a_running_process_ends_it() {
    let told = Told::new();
    let store = told.open().unwrap();
    let plan = told.plan();
    let federation = &told.story.federation;
    let (block, changes) = federation.decide(&store, &[]);
    let tip = told.shelf.rows.lock().remove(families::TIP).unwrap();
    let error = store.commit(&block, &changes).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    // It stays the end, also when the tip comes back.
    told.shelf.rows.lock().insert(families::TIP.to_vec(), tip);
    assert!(store.commit(&block, &changes).is_err());
    drop(store);
    let store = told.open().unwrap();
    go_on(&store, &plan).unwrap();
    told.story.check(&store);
    store.commit(&block, &changes).unwrap();
}

#[test]
fn the_largest_block_is_stored_and_each_of_its_transactions_is_read() {
    let (shelf, scratch, federation) = (Shelf::new(), Scratch::new(), Federation::new(1));
    let store = open(&shelf, &scratch.0, &federation.genesis).unwrap();
    let alice = key(1);
    let note = "x".repeat(318);
    let made: Vec<_> = (0..4096)
        .map(|at| create(&alice, &format!("{at:04}{note}"), &[(&[alice.public()], 1)]))
        .collect();
    let bytes: Vec<_> = made.iter().map(|made| Arc::clone(&made.bytes)).collect();
    let size: usize = bytes.iter().map(|bytes| bytes.len()).sum();
    assert!((4 << 20) - (64 << 10) < size && size <= 4 << 20, "{size}");
    federation.commit(&store, &bytes);
    store.stop();
    drop(store);
    let store = open(&shelf, &scratch.0, &federation.genesis).unwrap();
    for (index, bytes) in (0..).zip(&bytes) {
        let place = Place { height: Height(1), index };
        assert_eq!(store.transaction(place).unwrap().as_ref(), Some(bytes));
    }
    assert_eq!(store.block(Height(1)).unwrap().unwrap().body, bytes);
    let owned = store.outputs_of(&alice.public(), Spent::No, usize::MAX).unwrap();
    assert!(owned.iter().eq(made.iter().map(|made| made.output(0)).collect::<Vec<_>>().iter()));
    let largest = shelf.rows.lock().values().map(Vec::len).max().unwrap();
    assert!(largest < 256 << 10, "a row of {largest} bytes");
}
