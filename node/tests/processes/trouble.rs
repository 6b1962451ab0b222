//! What keeps a validator from running: one sentence, a stable exit code, nothing damaged.
//! Once the trouble is over, it starts and goes on.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::Command,
};

use cairn_ledger::genesis::Genesis;
use cairn_node::clock;

use super::federation::{Federation, Node, until};

/// A checksum of each file. The lock and the query index are not what must not be touched:
/// the one is empty, the other is made from the blocks.
fn checksums(directory: &Path) -> BTreeMap<PathBuf, u32> {
    let mut found = BTreeMap::new();
    let mut directories = vec![directory.to_owned()];
    let mut buffer = vec![0; 1 << 20];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("data/index") {
                directories.push(path);
            } else if path.is_file() {
                let mut hasher = crc32fast::Hasher::new();
                let mut file = fs::File::open(&path).unwrap();
                loop {
                    match file.read(&mut buffer).unwrap() {
                        0 => break,
                        read => hasher.update(&buffer[..read]),
                    }
                }
                found.insert(path, hasher.finalize());
            }
        }
    }
    found
}

/// Puts a file back as it was, whatever a test does to it.
struct Undo(PathBuf, Vec<u8>);

impl Undo {
    fn of(path: &Path) -> Self {
        Self(path.to_owned(), fs::read(path).unwrap())
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        fs::write(&self.0, &self.1).unwrap();
    }
}

/// Makes trouble that can be undone.
type Trouble<'a> = Box<dyn FnOnce() -> Undo + 'a>;

/// Changes a text file.
fn edit(path: &Path, from: &str, to: &str) -> Undo {
    let undo = Undo::of(path);
    let text = String::from_utf8(undo.1.clone()).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    fs::write(&undo.0, text.replace(from, to)).unwrap();
    undo
}

/// Changes bytes of a file.
fn damage(path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Undo {
    let undo = Undo::of(path);
    let mut bytes = undo.1.clone();
    change(&mut bytes);
    assert!(bytes != undo.1, "nothing changed");
    fs::write(&undo.0, bytes).unwrap();
    undo
}

fn removed(path: &Path) -> Undo {
    let undo = Undo::of(path);
    fs::remove_file(&undo.0).unwrap();
    undo
}

fn replaced(path: &Path, by: &Path) -> Undo {
    let bytes = fs::read(by).unwrap();
    damage(path, |own| *own = bytes)
}

/// Flips a bit in a block of a segment: `at` counts from 0, or from the end when negative.
fn flip_in_block(bytes: &mut [u8], at: isize) {
    let begins = |at: &usize| bytes[*at..].starts_with(b"CRNb");
    let blocks: Vec<_> = (0..bytes.len()).step_by(512).filter(begins).collect();
    let block = at.rem_euclid(blocks.len().try_into().unwrap());
    bytes[blocks[usize::try_from(block).unwrap()] + 100] ^= 1;
}

/// A chain of one validator that has decided a few blocks and is down.
fn settled(test: &str) -> Federation {
    let mut federation = Federation::start(test, 1);
    for _ in 0..4 {
        federation.nodes[0].commits();
    }
    assert!(federation.nodes[0].stop().success(), "SIGTERM is the ordinary way to end");
    federation
}

/// The node starts, has what it had, and goes on.
fn goes_on(node: &mut Node, height: u64, after: &str) -> u64 {
    node.start_and_serve();
    assert!(node.end().unwrap() >= height, "after {after} blocks are missing");
    assert_eq!(node.status().unwrap()["voting"], true, "after {after}");
    node.commits();
    let end = node.end().unwrap();
    assert!(node.stop().success());
    end
}

#[test]
fn whoever_cannot_start_says_why_and_damages_nothing() {
    let mut federation = settled("trouble");
    let other = settled("other");
    let (scratch, foreign) = (federation.scratch.0.clone(), other.nodes[0].directory.clone());
    let validators = federation.genesis.validators().to_vec();
    let sibling = Genesis::new("sibling".to_owned(), clock::random(), validators).unwrap();
    let sibling_file = other.scratch.0.join("sibling.json");
    fs::write(&sibling_file, sibling.to_json()).unwrap();

    let node = &mut federation.nodes[0];
    let (data, config) = (node.data(), node.config());
    let genesis = scratch.join("genesis.json");
    let chain = format!("\"{}", &federation.genesis.chain().to_string()[..8]);
    let other_data = format!("data = \"{}\"", foreign.join("data").display());
    let segment = data.join("blocks/00000000.seg");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = listener.local_addr().unwrap().to_string();
    let own_api = format!("127.0.0.1:{}", node.api);

    let (label, member) = (data.join("store.json"), node.directory.join("member.key"));
    let journal = data.join("journal");
    let foreign_genesis = other.scratch.0.join("genesis.json");
    let foreign_journal = foreign.join("data/journal");
    #[rustfmt::skip]
    let table: Vec<(i32, &str, &str, Trouble<'_>)> = vec![
        (10, "colour",         "a field that is none",          Box::new(|| edit(&config, "order =", "colour ="))),
        (11, "chain_id",       "a genesis that was edited",     Box::new(|| edit(&genesis, &chain, "\"00000000"))),
        (11, "genesis",        "no genesis",                    Box::new(|| removed(&genesis))),
        (18, "member key",     "the genesis of others",         Box::new(|| replaced(&genesis, &foreign_genesis))),
        (12, "belongs to",     "another chain of the same members", Box::new(|| replaced(&genesis, &sibling_file))),
        (12, "belongs to",     "a directory of others",         Box::new(|| edit(&config, "data = \"data\"", &other_data))),
        (13, "in use",         "a busy port",                   Box::new(|| edit(&config, &own_api, &busy))),
        (15, "damaged",        "a bit flipped in the last block", Box::new(|| damage(&segment, |bytes| flip_in_block(bytes, -1)))),
        (16, "FORMAT_TOO_NEW", "blocks of a later version",     Box::new(|| edit(&label, "\"format\":1", "\"format\":9"))),
        (16, "FORMAT_TOO_NEW", "a journal of a later version",  Box::new(|| damage(&journal, |bytes| bytes[11] = 9))),
        (12, "SIGN_STATE_FOREIGN_CHAIN", "the journal of another chain", Box::new(|| replaced(&journal, &foreign_journal))),
        (18, "key file",       "no member key",                 Box::new(|| removed(&member))),
    ];
    let mut height = 4;
    for (code, word, what, make) in table {
        let undo = make();
        let before = (checksums(&data), checksums(&foreign));
        let ended = node.fails();
        assert_eq!(ended.code, Some(code), "{what}: {ended:?}");
        let said: Vec<_> = ended.said.lines().filter(|line| line.starts_with("cairn: ")).collect();
        assert!(said.len() == 1 && said[0].contains(word), "{what}: {ended:?}");
        assert!(!ended.said.contains("panicked"), "{what}: {ended:?}");
        let after = (checksums(&data), checksums(&foreign));
        let differ: Vec<_> =
            before.0.iter().filter(|(path, sum)| after.0.get(*path) != Some(sum)).collect();
        assert!(before == after, "{what} changed files: {differ:?}");
        drop(undo);
        height = goes_on(node, height, what);
    }
}

#[test]
fn a_signing_state_that_is_lost_is_never_replaced_by_a_new_one() {
    let mut federation = settled("lost-state");
    let node = &mut federation.nodes[0];
    let (journal, key) = (node.data().join("journal"), node.data().join("consensus.key"));
    #[rustfmt::skip]
    let table: Vec<(&str, Trouble<'_>)> = vec![
        ("SIGN_STATE_MISSING", Box::new(|| removed(&journal))),
        ("SIGN_STATE_CORRUPT", Box::new(|| damage(&journal, |bytes| bytes[4096..12288].fill(7)))),
        ("the chain knows",    Box::new(|| removed(&key))),
    ];
    let mut height = 4;
    for (word, make) in table {
        let before = fs::read(&journal).unwrap();
        let undo = make();
        // Twice: what the first start leaves behind must not convince the second.
        for _ in 0..2 {
            node.start_and_serve();
            let status = node.status().unwrap();
            assert_eq!(status["voting"], false, "{status}");
            let why = status["not_voting_because"].as_str().unwrap();
            assert!(why.contains(word), "{word}: {status}");
            assert!(node.end().unwrap() >= height, "what it has can be read");
            node.kill();
        }
        drop(undo);
        fs::write(&journal, before).unwrap();
        height = goes_on(node, height, word);
    }
}

/// A start verifies the tip and no more, so that it is quick; older blocks are verified when
/// they are read, or when the state must be computed anew.
#[test]
fn an_older_block_that_is_damaged_is_never_shown_and_stops_nothing_else() {
    let mut federation = settled("older-block");
    let node = &mut federation.nodes[0];
    let undo = damage(&node.data().join("blocks/00000000.seg"), |bytes| flip_in_block(bytes, 1));
    node.start_and_serve();
    assert_eq!(node.block(2), None, "what is damaged is not shown");
    until("what is not damaged is shown", || node.block(1).and(node.block(3)));
    assert!(node.stop().success());
    drop(undo);
    let height = goes_on(node, 4, "an older block was damaged");

    // The state after the last block is gone: all blocks are needed.
    let snapshot = removed(&node.data().join("snapshot/outputs.snapshot"));
    let undo = damage(&node.data().join("blocks/00000000.seg"), |bytes| flip_in_block(bytes, 1));
    let ended = node.fails();
    assert_eq!(ended.code, Some(15), "{ended:?}");
    assert!(ended.said.contains("damaged"), "{ended:?}");
    drop((undo, snapshot));
    goes_on(node, height, "an older block was damaged");
}

#[test]
fn a_log_that_is_damaged_before_its_end_is_not_taken_for_one_that_was_cut_short() {
    let mut federation = settled("damaged-log");
    let node = &mut federation.nodes[0];
    let undo = damage(&node.data().join("raft/0000000000000001.log"), |bytes| bytes[130] ^= 1);
    let ended = node.fails();
    assert_eq!(ended.code, Some(15), "{ended:?}");
    assert!(ended.said.contains("RAFT_LOG_CORRUPT"), "{ended:?}");
    drop(undo);
    goes_on(node, 4, "the log was damaged");
}

#[test]
fn a_second_process_on_one_directory_ends_and_the_first_goes_on() {
    let mut federation = settled("second");
    let node = &mut federation.nodes[0];
    node.start_and_serve();
    let second = Command::new(env!("CARGO_BIN_EXE_cairn"))
        .args(["node", "--config"])
        .arg(node.config())
        .output()
        .unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(12), "{said}");
    assert!(said.contains("in use by another process"), "{said}");
    node.commits();
    assert!(node.stop().success());
    goes_on(node, 5, "a second process");
}

/// Files that may not grow past a size stand for a disk that is full: writing fails, at
/// first where a file is made, then in the middle of the work.
#[test]
fn a_full_disk_ends_the_process_and_room_lets_it_go_on() {
    for kilobytes in [64, 4096] {
        let mut federation = Federation::found(&format!("full-{kilobytes}"), 1);
        let node = &mut federation.nodes[0];
        limited(node, kilobytes);
        assert!(matches!(node.ended().code(), Some(14 | 17)), "{}", node.logged());
        assert!(node.logged().contains("cairn: "), "{}", node.logged());
        goes_on(node, 0, "no room for the first files");
    }

    let mut federation = settled("full-later");
    let node = &mut federation.nodes[0];
    limited(node, 64);
    node.serves();
    let mut acknowledged = Vec::new();
    until("the disk is full", || {
        if !node.is_running() {
            return Some(());
        }
        let id = node.tries_to_commit();
        acknowledged.extend(id);
        None
    });
    let code = node.ended().code();
    assert!(matches!(code, Some(14 | 17)), "{code:?}: {}", node.logged());
    assert!(!acknowledged.is_empty(), "some had room");
    let said = node.logged();
    assert_eq!(said.lines().filter(|line| line.starts_with("cairn: ")).count(), 1, "{said}");
    node.start_and_serve();
    for id in &acknowledged {
        assert!(node.has(id), "acknowledged and lost: {id}");
    }
    assert!(node.stop().success());
    goes_on(node, 4, "a full disk");
}

fn limited(node: &mut Node, kilobytes: u32) {
    // The shell counts blocks of 512 bytes. Without the signal, writing fails as on a full disk.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", 2 * kilobytes);
    let config = node.config();
    node.start_by(
        Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_cairn"), "node", "--config"])
            .arg(config),
    );
}
