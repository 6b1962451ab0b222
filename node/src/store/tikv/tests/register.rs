//! The register of rows: lost, old, damaged or somebody else's, and what it says of keys.

use super::*;
use crate::store::tikv::families::{assets, transactions};

const REGISTER: &str = "rows";

/// After something happened to the register, the answers are as before, and a removed row is
/// named.
fn check_with(told: &Told, register: impl Fn(&Path)) {
    let scratch = Scratch::copy_of(&told.scratch.0);
    register(&scratch.0.join(REGISTER));
    let genesis = &told.story.federation.genesis;
    let store = open(&told.shelf, &scratch.0, genesis).unwrap();
    told.story.check(&store);
    assert_eq!(store.shared.known.reaches(), Height(4));
    assert!(store.scrub().unwrap().is_clean());
    let id = Rows::replayed(&told.story.blocks[0]).unwrap().committed[0].id;
    let row = told.shelf.rows.lock().remove(&transactions::key(&id)).unwrap();
    let error = store.locate(&id).unwrap_err();
    assert!(error.to_string().contains(&hex::encode(id.0)), "{error}");
    told.shelf.rows.lock().insert(transactions::key(&id), row);
}

#[test]
fn a_register_that_is_lost_or_old_or_of_another_is_made_again() {
    let (told, other) = (Told::new(), Told::new());
    check_with(&told, |_| ());
    check_with(&told, |register| fs::remove_dir_all(register).unwrap());
    let replace = |register: &Path, with: &Path| {
        fs::remove_dir_all(register).unwrap();
        copy_all(with, register);
    };
    // Another volume's, and one of the same volume from before its first block.
    check_with(&told, |register| replace(register, &other.scratch.0.join(REGISTER)));
    let older = Scratch::copy_of(&told.scratch.0);
    fs::remove_dir_all(older.0.join(REGISTER)).unwrap();
    let (genesis, shelf) = (&told.story.federation.genesis, Shelf::new());
    drop(open(&shelf, &older.0, genesis).unwrap());
    check_with(&told, |register| replace(register, &older.0.join(REGISTER)));
    // One of a later block: the tip went back, and forward again without it.
    let newer = Scratch::copy_of(&told.scratch.0);
    let rows = told.shelf.copy();
    let store = open(&told.shelf, &newer.0, genesis).unwrap();
    told.story.federation.commit(&store, &[]);
    store.stop();
    drop(store);
    told.shelf.put_back(rows);
    check_with(&told, |register| replace(register, &newer.0.join(REGISTER)));
}

pub(super) fn files_below(path: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn a_register_with_a_damaged_file_never_hides_a_row() {
    let told = Told::new();
    let store = told.open().unwrap();
    store.shared.known.flush();
    store.stop();
    drop(store);
    let genesis = &told.story.federation.genesis;
    let register = told.scratch.0.join(REGISTER);
    let files = files_below(&register);
    assert!(files.len() > 3, "{files:?}");
    for file in files {
        let name = file.strip_prefix(&register).unwrap();
        for how in ["removed", "emptied", "garbled"] {
            let scratch = Scratch::copy_of(&told.scratch.0);
            let file = scratch.0.join(REGISTER).join(name);
            match how {
                "removed" => fs::remove_file(&file).unwrap(),
                "emptied" => fs::write(&file, b"").unwrap(),
                _ => {
                    let garbled: Vec<_> =
                        fs::read(&file).unwrap().iter().map(|byte| byte ^ 0x55).collect();
                    fs::write(&file, garbled).unwrap();
                }
            }
            let what = format!("{} {how}", name.display());
            let answered = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let store = open(&told.shelf, &scratch.0, genesis).unwrap();
                told.story.check(&store);
            }));
            if let Err(panic) = answered {
                // A read failed, which is no answer; a wrong one is.
                let why = panic.downcast_ref::<String>().unwrap();
                assert!(why.contains("Err`") && why.contains(REGISTER), "{what}: {why}");
                let store = open(&told.shelf, &scratch.0, genesis).unwrap();
                told.story.check(&store);
            }
        }
    }
}

#[test]
fn without_register_and_a_block_nothing_is_said_not_to_be_there() {
    let told = Told::new();
    told.shelf.rows.lock().remove(&families::blocks::key(Height(1), 0));
    fs::remove_dir_all(told.scratch.0.join(REGISTER)).unwrap();
    let store = told.open().unwrap();
    assert_eq!(store.damaged(), [Height(1)]);
    let (known, unknown) = (&told.story.blocks[2], TransactionId([9; 32]));
    let awaited = |error: StoreError| {
        assert!(matches!(&error, StoreError::Unreachable(_)), "{error}");
        assert!(error.to_string().contains("block 1"), "{error}");
    };
    awaited(store.locate(&unknown).unwrap_err());
    awaited(store.outputs_of(&key(1).public(), Spent::Either, 9).unwrap_err());
    awaited(store.transactions_of(&unknown, 9).unwrap_err());
    // What is known is said.
    let id = Rows::replayed(known).unwrap().committed[0].id;
    assert!(matches!(store.locate(&id).unwrap(), Some(Located::Committed(_))));
    // Another start is no wiser.
    drop(store);
    let store = told.open().unwrap();
    awaited(store.locate(&unknown).unwrap_err());
    store.repair(&told.story.blocks[0]).unwrap();
    assert_eq!(store.locate(&unknown).unwrap(), None);
    told.story.check(&store);
    store.stop();
    drop(store);
    told.story.check(&told.open().unwrap());
}

#[test]
fn names_that_the_register_lacks_come_back_with_the_scrub() {
    let told = Told::new();
    let (path, stamp) = (told.scratch.0.join(REGISTER), told.open().unwrap().shared.vault.stamp());
    fs::remove_dir_all(&path).unwrap();
    let empty = Known::open(&path, &stamp, Height(4)).unwrap();
    empty.learn(std::iter::empty(), Height(4)).unwrap();
    empty.sync().unwrap();
    drop(empty);
    let rows = told.shelf.copy().keys().filter(|key| b"tsrwa".contains(&key[0])).count();
    let store = told.open().unwrap();
    assert_eq!(store.scrub().unwrap().rewritten, rows as u64);
    told.story.check(&store);
    assert!(store.scrub().unwrap().is_clean());
}

#[test]
fn keys_are_known_once_they_were_learnt_and_lists_come_in_order() {
    let scratch = Scratch::new();
    let stamp = || super::super::vault::Stamp { key: [3; 32], label: [4; 32] };
    let open = || Known::open(&scratch.0.join("rows"), &stamp(), Height(9)).unwrap();
    let (asset, other) = (TransactionId([1; 32]), TransactionId([2; 32]));
    let all = |asset| assets::range(asset, Height(0), Height(u64::MAX));
    let of = |asset, height| assets::range(asset, Height(height), Height(height)).start;
    let heights = [1, 2, 255, 256, 70_000];
    let mut keys: Vec<_> = heights.iter().map(|height| of(&asset, *height)).collect();
    let known = open();
    known.learn(keys.iter().map(Vec::as_slice), Height(7)).unwrap();
    known.learn([&of(&other, 2)[..], &transactions::key(&asset)], Height(8)).unwrap();
    known.sync().unwrap();
    drop(known);
    let known = open();
    assert_eq!(known.reaches(), Height(8));
    for (id, expected) in [(&asset, true), (&other, false)] {
        assert_eq!(known.has(&transactions::key(id)).unwrap(), expected);
    }
    assert_eq!(known.within(&all(&asset), 99, false).unwrap(), keys);
    assert_eq!(known.within(&all(&other), 99, false).unwrap(), [of(&other, 2)]);
    let part = assets::range(&asset, Height(2), Height(256));
    assert_eq!(known.within(&part, 99, false).unwrap(), keys[1..4]);
    assert_eq!(known.within(&all(&asset), 2, false).unwrap(), keys[..2]);
    keys.reverse();
    assert_eq!(known.within(&all(&asset), 3, true).unwrap(), keys[..3]);
    drop(known);
    // Above the tip: left behind.
    let known = Known::open(&scratch.0.join("rows"), &stamp(), Height(7)).unwrap();
    assert_eq!(known.reaches(), Height(0));
    assert_eq!(known.within(&all(&asset), 9, false).unwrap(), Vec::<Vec<u8>>::new());
}
