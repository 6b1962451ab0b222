//! What is exported comes back; what is damaged, cut short or foreign does not, and says where.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use cairn_ledger::ids::Height;

use super::{
    export::{Blocks, to_files},
    import::into_directory,
    records::{Source, certificates_of},
    walk,
};
use crate::{
    cli::{interrupt::Interrupt, progress::Progress},
    exit::{ExitCode, Failure},
    store::{Store, embedded::Embedded, memory::MemoryStore},
    testing::{Federation, create, key, transfer},
};

/// A directory of its own for each test, gone at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cairn-ledger-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A chain of three blocks: an asset, its transfer, another asset.
fn chain() -> (Federation, MemoryStore) {
    let federation = Federation::new(1);
    let store = MemoryStore::new(&federation.genesis);
    let (alice, bob) = (key(1), key(2));
    let asset = create(&alice, "a", &[(&[alice.public()], 1)]);
    federation.commit(&store, std::slice::from_ref(&asset.bytes));
    let spends = [(&alice, asset.output(0))];
    let to_bob = transfer(asset.id, &spends, &[(&[bob.public()], 1)]);
    federation.commit(&store, &[to_bob.bytes]);
    federation.commit(&store, &[create(&bob, "b", &[(&[bob.public()], 1)]).bytes]);
    (federation, store)
}

fn blocks<'a>(store: &'a dyn Store, federation: &'a Federation) -> Blocks<'a> {
    let (interrupt, progress) = (Interrupt::default(), Progress::blocks("exporting", 0));
    Blocks { store, genesis: &federation.genesis, interrupt, progress }
}

fn progress() -> Progress {
    Progress::bytes("reading", None)
}

/// Checks a file as `verify ledger` does; how many blocks it has.
fn check(path: &Path, federation: &Federation) -> Result<u64, Failure> {
    let mut source = Source::open(path, &federation.genesis)?;
    let audit =
        walk(&mut source, &federation.genesis, &Interrupt::default(), &progress(), |_, _| Ok(()))?;
    Ok(audit.tip().height.0)
}

fn import(path: &Path, federation: &Federation, data: &Path) -> Result<u64, Failure> {
    let mut source = Source::open(path, &federation.genesis)?;
    let genesis = &federation.genesis;
    let audit = into_directory(&mut source, genesis, data, &Interrupt::default(), &progress())?;
    Ok(audit.tip().height.0)
}

#[test]
fn what_is_exported_is_imported_again_byte_for_byte() {
    let scratch = Scratch::new("round");
    let (federation, store) = chain();
    let out = scratch.0.join("ledger");
    to_files(&blocks(&store, &federation), &out).unwrap();
    let mut stream = Vec::new();
    blocks(&store, &federation).stream(&mut stream).unwrap();
    fs::write(scratch.0.join("stream"), stream).unwrap();
    assert_eq!(scratch.names(), ["ledger", "ledger.certificates", "stream"], "no drafts are left");

    for (name, file) in [("one", "ledger"), ("two", "stream")] {
        let data = scratch.0.join(name);
        assert_eq!(import(&scratch.0.join(file), &federation, &data).unwrap(), 3);
        let imported = Embedded::open(&data, Arc::clone(&federation.genesis)).unwrap();
        assert_eq!(imported.tip(), store.tip());
        for height in (1..=3).map(Height) {
            assert_eq!(imported.block(height).unwrap(), store.block(height).unwrap());
        }
        let again = scratch.0.join(format!("{name}-again"));
        to_files(&blocks(&imported, &federation), &again).unwrap();
        assert_eq!(fs::read(&again).unwrap(), fs::read(&out).unwrap());
        imported.stop();
    }
}

#[test]
fn a_file_or_directory_that_is_there_is_left_alone() {
    let scratch = Scratch::new("there");
    let (federation, store) = chain();
    let out = scratch.0.join("ledger");
    for there in [out.clone(), certificates_of(&out)] {
        fs::write(&there, "mine").unwrap();
        let failure = to_files(&blocks(&store, &federation), &out).unwrap_err();
        assert!(failure.message.contains("not overwritten"), "{failure}");
        assert_eq!(fs::read_to_string(&there).unwrap(), "mine");
        assert_eq!(scratch.names().len(), 1, "no drafts are left");
        fs::remove_file(&there).unwrap();
    }
    to_files(&blocks(&store, &federation), &out).unwrap();
    let data = scratch.0.join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("file"), "mine").unwrap();
    let failure = import(&out, &federation, &data).unwrap_err();
    assert_eq!(failure.code, ExitCode::DataDirectory);
    fs::remove_file(data.join("file")).unwrap();

    // Where a draft would lie is something else.
    let draft = scratch.0.join("data.importing");
    fs::create_dir(&draft).unwrap();
    assert!(import(&out, &federation, &data).unwrap_err().message.contains("move it away"));
    // What an import that was killed leaves behind gives way, and so does an empty directory.
    fs::write(draft.join("importing"), "").unwrap();
    fs::write(draft.join("half"), "").unwrap();
    assert_eq!(import(&out, &federation, &data).unwrap(), 3);
    assert_eq!(scratch.names(), ["data", "ledger", "ledger.certificates"]);
    assert!(!data.join("importing").exists() && !data.join("half").exists());
}

#[test]
fn what_is_refused_leaves_nothing_and_says_the_height() {
    let scratch = Scratch::new("refused");
    let (federation, store) = chain();
    let out = scratch.0.join("ledger");
    to_files(&blocks(&store, &federation), &out).unwrap();
    let mut damaged = fs::read(&out).unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&out, damaged).unwrap();
    let data = scratch.0.join("data");
    let failure = import(&out, &federation, &data).unwrap_err();
    assert!(failure.message.contains("block 3"), "{failure}");
    assert!(failure.message.contains("nothing was imported"), "{failure}");
    assert_eq!(scratch.names(), ["ledger", "ledger.certificates"]);

    let stranger = Federation::named("another", 1);
    let failure = import(&out, &stranger, &data).unwrap_err();
    assert!(failure.message.contains(&stranger.genesis.chain().to_string()), "{failure}");
    assert_eq!(scratch.names(), ["ledger", "ledger.certificates"]);
}

/// Where each block's record ends in a stream: what lies behind the chain's head.
fn ends(stream: &[u8]) -> Vec<usize> {
    let (mut at, mut ends) = (22 + 32, Vec::new());
    loop {
        for _ in 0..2 {
            let length = u32::from_be_bytes(stream[at..at + 4].try_into().unwrap()) as usize;
            if length == 0 {
                return ends;
            }
            at += 4 + length;
        }
        ends.push(at);
    }
}

#[test]
fn a_stream_cut_anywhere_or_with_a_byte_changed_is_refused_with_the_height() {
    let scratch = Scratch::new("stream");
    let (federation, store) = chain();
    let mut stream = Vec::new();
    blocks(&store, &federation).stream(&mut stream).unwrap();
    let path = scratch.0.join("stream");
    let ends = ends(&stream);
    let height = |at: usize| 1 + ends.iter().filter(|end| **end <= at).count();
    let refused = |bytes: &[u8], at: usize, what: &str| {
        fs::write(&path, bytes).unwrap();
        let failure = match check(&path, &federation) {
            Ok(blocks) => panic!("{what} at byte {at}: {blocks} blocks were taken"),
            Err(failure) => failure.message,
        };
        let height = height(at);
        let named = at < 54
            || failure.contains(&format!("block {height}"))
            || failure.contains(&format!("after block {}", height - 1));
        assert!(named, "{what} at byte {at}, block {height}: {failure}");
    };
    for at in 0..stream.len() {
        refused(&stream[..at], at, "cut");
        // The audit's own test changes every byte of every block.
        if at % 5 == 0 {
            let mut changed = stream.clone();
            changed[at] ^= 1;
            refused(&changed, at, "changed");
        }
    }
    let longer = [&stream[..], b"x"].concat();
    refused(&longer, stream.len(), "longer");
    // Whole blocks, but not the right ones.
    let block = |at: usize| &stream[if at == 0 { 54 } else { ends[at - 1] }..ends[at]];
    let (head, tail) = (&stream[..54], &stream[ends[2]..]);
    for (order, fault) in
        [(&[0, 2][..], ends[0]), (&[0, 0, 1, 2], ends[0]), (&[1, 2], 54), (&[0, 1], ends[1])]
    {
        let body: Vec<u8> = order.iter().flat_map(|at| block(*at).to_vec()).collect();
        refused(&[head, &body, tail].concat(), fault, "out of order");
    }
}

#[test]
fn two_files_must_belong_together() {
    let scratch = Scratch::new("apart");
    let (federation, store) = chain();
    let out = scratch.0.join("ledger");
    to_files(&blocks(&store, &federation), &out).unwrap();
    assert_eq!(check(&out, &federation).unwrap(), 3);
    let files = [out.clone(), certificates_of(&out)];
    let sound = files.each_ref().map(|file| fs::read(file).unwrap());
    for (file, bytes) in files.iter().zip(&sound) {
        // Every fifth byte: the stream test above looks at each.
        for at in (0..bytes.len()).step_by(5) {
            fs::write(file, &bytes[..at]).unwrap();
            assert!(check(&out, &federation).is_err(), "{} cut at {at}", file.display());
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            fs::write(file, changed).unwrap();
            assert!(check(&out, &federation).is_err(), "{} changed at {at}", file.display());
        }
        fs::write(file, bytes).unwrap();
    }
    fs::remove_file(&files[1]).unwrap();
    let failure = check(&out, &federation).unwrap_err();
    assert!(failure.message.contains(".certificates"), "{failure}");
}
