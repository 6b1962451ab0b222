//! Validators that begin on empty volumes, as in Kubernetes: they make their keys, show the public
//! halves, wait for the genesis, keep it. Whatever ends them in between, no key that was ever
//! shown is replaced by another.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use cairn_ledger::genesis::{Genesis, Validator};
use cairn_node::{clock, keys};
use serde_json::Value;

use super::federation::{Ended, Federation, Founders, Node, until};

/// What a validator shows of itself.
fn identity(node: &Node) -> Option<Value> {
    let (status, text) = node.asks(node.admin, "/identity")?;
    assert_eq!(status, 200, "{text}");
    Some(serde_json::from_str(&text).unwrap())
}

/// Waits until it founds; who it says it is.
fn founds(node: &mut Node) -> Value {
    until(&format!("{} founds", node.name), || {
        assert!(node.is_running(), "it ended: {}", node.logged());
        identity(node)
    })
}

/// Waits until it is part of a chain.
fn runs(node: &mut Node) -> Value {
    until(&format!("{} runs", node.name), || {
        assert!(node.is_running(), "it ended: {}", node.logged());
        node.status().filter(|status| status["phase"] == "running")
    })
}

/// A validator of a genesis, by what it shows.
fn founder(identity: &Value) -> Validator {
    let text = |field: &str| identity[field].as_str().unwrap();
    Validator {
        name: text("validator").to_owned(),
        consensus_key: text("consensus_key").parse().unwrap(),
        member_key: text("member_key").parse().unwrap(),
        power: 1,
    }
}

fn genesis_of(identities: &[Value]) -> Genesis {
    let validators = identities.iter().map(founder).collect();
    Genesis::new("founders".to_owned(), clock::random(), validators).unwrap()
}

fn key_files(node: &Node) -> [PathBuf; 2] {
    [node.data().join("consensus.key"), node.data().join("keys").join("member.key")]
}

/// Everything that the admin port says, and nothing of it is private.
fn shows_no_secret(node: &Node) {
    let paths = ["/livez", "/readyz", "/status", "/metrics", "/identity", "/genesis", "/"];
    let said: Vec<_> = paths.map(|path| node.asks(node.admin, path).unwrap().1).into();
    for file in key_files(node) {
        let key = keys::read(&file).unwrap();
        let hex: String = key.seed().iter().map(|byte| format!("{byte:02x}")).collect();
        for text in &said {
            assert!(!text.contains(&keys::private_text(&key)) && !text.contains(&hex), "{text}");
        }
        assert!(!node.logged().contains(&keys::private_text(&key)), "in the log");
    }
}

/// The one sentence that Kubernetes shows of a container that ended: the last line.
fn last_line(ended: &Ended) -> &str {
    let last = ended.said.trim_end().lines().last().unwrap_or("");
    last.strip_prefix("cairn: ").unwrap_or_else(|| panic!("no last word: {}", ended.said))
}

/// One founder that runs a chain of its own and is down now.
fn settled(test: &str) -> (Founders, Genesis) {
    let mut founders = Founders::new(test, 1);
    let file = founders.genesis_file();
    let node = &mut founders.nodes[0];
    node.start();
    let genesis = genesis_of(&[founds(node)]);
    fs::write(file, genesis.to_json()).unwrap();
    runs(node);
    node.commits();
    assert!(node.stop().success());
    (founders, genesis)
}

#[test]
fn four_empty_volumes_become_a_federation_that_decides() {
    let mut founders = Founders::new("founders", 4);
    let file = founders.genesis_file();
    for node in &mut founders.nodes {
        node.start();
    }
    let identities: Vec<_> = founders.nodes.iter_mut().map(founds).collect();
    for (node, identity) in founders.nodes.iter().zip(&identities) {
        assert_eq!(
            (&identity["chain_id"], &identity["validator"]),
            (&Value::Null, &Value::from(&*node.name))
        );
        assert_eq!(node.asks(node.admin, "/livez").unwrap().0, 200);
        let (status, why) = node.asks(node.admin, "/readyz").unwrap();
        assert!(status == 503 && why.contains("waits for the genesis file"), "{why}");
        let status = node.status().unwrap();
        assert_eq!((&status["phase"], &status["chain_id"]), (&"founding".into(), &"".into()));
        assert_eq!((&status["quorum"], &status["leads"]), (&false.into(), &false.into()));
        assert_eq!(node.asks(node.admin, "/metrics").unwrap().0, 200);
        assert_eq!(node.asks(node.admin, "/genesis").unwrap().0, 404);
        assert_eq!(node.asks(node.api, "/"), None, "only the admin port is open");
        shows_no_secret(node);
    }

    // Somebody who writes it slowly ends nobody.
    let genesis = genesis_of(&identities);
    let text = genesis.to_json();
    for part in [0, text.len() / 2] {
        fs::write(&file, &text[..part]).unwrap();
        for node in &mut founders.nodes {
            until("half a genesis is seen", || {
                assert!(node.is_running(), "{}", node.logged());
                let (_, why) = node.asks(node.admin, "/readyz")?;
                why.contains("ends in the middle").then_some(())
            });
        }
    }
    fs::write(&file, &text).unwrap();
    for node in &mut founders.nodes {
        runs(node);
    }
    let mut federation = founders.founded(genesis);
    let mut acknowledged = vec![federation.nodes[0].commits()];
    for (node, mut identity) in federation.nodes.iter().zip(identities) {
        identity["chain_id"] = federation.genesis.chain().to_string().into();
        assert_eq!(self::identity(node), Some(identity));
        assert_eq!(node.asks(node.admin, "/genesis"), Some((200, text.clone())));
        assert_eq!(fs::read_to_string(node.data().join("genesis.json")).unwrap(), text);
        shows_no_secret(node);
        for line in node.logged().lines() {
            assert!(
                serde_json::from_str::<Value>(line).is_ok_and(|it| it["level"].is_string()),
                "{line}"
            );
        }
    }

    // The file may go: the copy counts.
    fs::remove_file(file).unwrap();
    for node in &mut federation.nodes {
        assert!(node.stop().success());
    }
    federation.start_all();
    acknowledged.push(federation.nodes[1].commits());
    federation.agrees_on(&acknowledged);
    federation.nothing_alarming();
}

/// All that run say the same of the quorum.
fn all_say(nodes: &[Node], quorum: bool) -> Vec<Value> {
    until(&format!("all say quorum: {quorum}"), || {
        let said: Option<Vec<_>> = nodes.iter().map(Node::status).collect();
        said.filter(|said| said.iter().all(|status| status["quorum"] == quorum))
    })
}

#[test]
fn a_validator_says_when_the_federation_cannot_decide_and_when_it_can_again() {
    let mut federation = Federation::start("quorum", 4);
    let said = all_say(&federation.nodes, true);
    assert!(said.iter().all(|status| status["no_quorum_because"].is_null()), "{said:?}");
    let leading = |nodes: &[Node]| {
        until("one leads", || {
            let leads = |node: &Node| node.status().is_some_and(|status| status["leads"] == true);
            let leads: Vec<_> = (0..nodes.len()).filter(|at| leads(&nodes[*at])).collect();
            (leads.len() == 1).then(|| leads[0])
        })
    };
    let leader = leading(&federation.nodes);
    assert_eq!(leader, federation.leader());

    // Without a word, as when a machine is cut off: nobody tells the others, and the one that
    // leads goes on believing that it does. It is one of those that stay.
    federation.nodes.swap(0, leader);
    for node in &mut federation.nodes[2..] {
        node.pause();
    }
    for status in all_say(&federation.nodes[..2], false) {
        let why = status["no_quorum_because"].as_str().unwrap();
        assert!(why.contains("2 of 4") || why.contains("leads the log"), "{why}");
    }
    assert_eq!(federation.nodes[1].tries_to_commit(), None, "it said so");
    for node in &mut federation.nodes[2..] {
        node.resume();
    }
    all_say(&federation.nodes, true);
    federation.nodes[1].commits();

    // The leader alone: the others find another.
    let leader = leading(&federation.nodes);
    federation.nodes.swap(0, leader);
    federation.nodes[0].kill();
    all_say(&federation.nodes[1..], true);
    leading(&federation.nodes[1..]);
    federation.nodes[1].kill();
    all_say(&federation.nodes[2..], false);
    federation.start_all();
    all_say(&federation.nodes, true);
    federation.nothing_alarming();
}

#[test]
fn a_genesis_that_does_not_name_these_keys_ends_a_founding_validator() {
    let mut founders = Founders::new("foreign", 1);
    let file = founders.genesis_file();
    let node = &mut founders.nodes[0];
    node.start();
    let own = founds(node);
    let before = key_files(node).map(|path| fs::read(path).unwrap());
    let other = || keys::generate().public();
    let with = |change: &dyn Fn(&mut Validator)| {
        let mut validator = founder(&own);
        change(&mut validator);
        let genesis = Genesis::new("foreign".to_owned(), clock::random(), vec![validator]).unwrap();
        genesis.to_json()
    };
    let (member, consensus) = (other(), other());
    let text = |field: &str| own[field].as_str().unwrap().to_owned();
    let says = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    #[rustfmt::skip]
    let table = [
        ("another member key",    18, with(&|it| it.member_key = member),       says(&[&text("member_key"), &member.to_string()])),
        ("another consensus key", 18, with(&|it| it.consensus_key = consensus), says(&[&text("consensus_key"), &consensus.to_string()])),
        ("another name",          11, with(&|it| it.name = "eve".to_owned()),   says(&["validator-0", "eve"])),
        ("no genesis",            11, "{\"format\": 1}".to_owned(),             says(&["genesis.json", "missing field"])),
        ("no JSON",               11, "genesis".to_owned(),                     says(&["genesis.json"])),
    ];
    for (what, code, genesis, words) in table {
        fs::write(&file, genesis).unwrap();
        let ended = Ended { code: node.ended().code(), said: node.logged() };
        assert_eq!(ended.code, Some(code), "{what}: {ended:?}");
        let last = last_line(&ended);
        assert!(words.iter().all(|word| last.contains(word)), "{what}: {last}");
        // And again when it finds the file at its start.
        let again = node.fails();
        assert_eq!((again.code, last_line(&again)), (Some(code), last), "{what}");
        fs::remove_file(&file).unwrap();
        node.start();
        assert_eq!(founds(node), own, "{what}");
    }
    assert_eq!(key_files(node).map(|path| fs::read(path).unwrap()), before);
    assert!(!node.data().join("genesis.json").exists(), "what was refused is not kept");
    fs::write(&file, with(&|_| ())).unwrap();
    runs(node);
    node.commits();
}

#[test]
fn a_lost_key_is_not_made_again() {
    let (mut founders, genesis) = settled("lost-key");
    let file = founders.genesis_file();
    let node = &mut founders.nodes[0];
    let chain = genesis.chain().to_string();
    let refuses = |node: &mut Node, lost: &[&Path], code: i32, words: &[&str]| {
        let ended = node.fails();
        assert_eq!(ended.code, Some(code), "{ended:?}");
        let last = last_line(&ended);
        assert!(words.iter().all(|word| last.contains(word)), "{last}");
        assert!(lost.iter().all(|path| !path.exists()), "made again: {lost:?}");
    };
    let away = |path: &Path| {
        let aside = path.with_extension("aside");
        fs::rename(path, &aside).unwrap();
        (aside, path.to_owned())
    };
    let back = |(aside, path): (PathBuf, PathBuf)| fs::rename(aside, path).unwrap();

    let [consensus, member] = key_files(node);
    for key in [&consensus, &member] {
        let gone = away(key);
        let words = [key.file_name().unwrap().to_str().unwrap(), &chain, "restore the volume"];
        refuses(node, &[key], 18, &words);
        // The pinned copy says that there is a chain, too.
        let file = away(&file);
        refuses(node, &[key], 18, &words);
        back(file);
        back(gone);
    }

    // A new volume for a validator of a chain that there is.
    let data = node.data();
    let gone = away(&data);
    refuses(node, &[&consensus, &member], 18, &["consensus.key", "register a new validator"]);
    fs::remove_dir_all(&data).unwrap_or(());
    back(gone);

    // A chain, and no word of which.
    let (file, pinned) = (away(&file), away(&node.data().join("genesis.json")));
    let (first, second) = (away(&consensus), away(&member));
    refuses(node, &[&consensus, &member], 11, &["genesis.json", "there is a chain already"]);
    [first, second, file, pinned].into_iter().for_each(back);

    node.start();
    runs(node);
    node.commits();
}

/// In Kubernetes: a new disk under a validator whose member key is in a Secret.
#[test]
fn a_validator_whose_volume_is_lost_follows_and_signs_nothing_until_it_is_back() {
    let mut founders = Founders::new("lost-volume", 4);
    let file = founders.genesis_file();
    let node = &founders.nodes[3];
    let kept = node.directory.join("member.key");
    let text = fs::read_to_string(node.config()).unwrap();
    fs::write(node.config(), text.replace("data/keys/member.key", "member.key")).unwrap();
    keys::write_new(&kept, &keys::generate()).unwrap();
    founders.nodes.iter_mut().for_each(Node::start);
    let identities: Vec<_> = founders.nodes.iter_mut().map(founds).collect();
    let genesis = genesis_of(&identities);
    fs::write(file, genesis.to_json()).unwrap();
    founders.nodes.iter_mut().for_each(|node| drop(runs(node)));
    let mut federation = founders.founded(genesis);
    let mut acknowledged = vec![federation.nodes[0].commits()];

    assert!(federation.nodes[3].stop().success());
    let (data, aside) = (federation.nodes[3].data(), federation.nodes[3].directory.join("aside"));
    fs::rename(&data, &aside).unwrap();
    let mut keys_shown = vec![identities[3]["consensus_key"].clone()];
    // Once on the empty volume, and once more on what it made there.
    for _ in 0..2 {
        acknowledged.push(federation.nodes[1].commits());
        federation.nodes[3].start();
        let status = runs(&mut federation.nodes[3]);
        assert_eq!(status["voting"], false, "{status}");
        assert!(status["not_voting_because"].as_str().unwrap().contains("registered"), "{status}");
        keys_shown.push(identity(&federation.nodes[3]).unwrap()["consensus_key"].clone());
        federation.agrees_on(&acknowledged);
        assert!(federation.nodes[3].stop().success());
    }
    assert!(keys_shown[1] == keys_shown[2] && keys_shown[0] != keys_shown[1], "{keys_shown:?}");

    fs::remove_dir_all(&data).unwrap();
    fs::rename(aside, data).unwrap();
    federation.nodes[3].start();
    runs(&mut federation.nodes[3]);
    until("it votes again", || federation.nodes[3].status().filter(|said| said["voting"] == true));
    assert_eq!(identity(&federation.nodes[3]).unwrap()["consensus_key"], keys_shown[0]);
    acknowledged.push(federation.nodes[3].commits());
    federation.agrees_on(&acknowledged);
}

#[test]
fn a_genesis_of_another_chain_than_the_volumes_is_refused() {
    let (mut founders, genesis) = settled("other-chain");
    let file = founders.genesis_file();
    let other = genesis.validators().to_vec();
    let other = Genesis::new("other".to_owned(), clock::random(), other).unwrap();
    fs::write(&file, other.to_json()).unwrap();
    let node = &mut founders.nodes[0];
    let pinned = node.data().join("genesis.json");
    let both = [genesis.chain().to_string(), other.chain().to_string()];
    // By the pinned copy, then by the blocks themselves.
    for _ in 0..2 {
        let ended = node.fails();
        assert_eq!(ended.code, Some(12), "{ended:?}");
        let last = last_line(&ended);
        assert!(both.iter().all(|chain| last.contains(chain)), "{last}");
        let _ = fs::remove_file(&pinned);
    }
    assert!(!pinned.exists(), "what was refused is not kept");
    fs::write(&file, genesis.to_json()).unwrap();
    node.start();
    runs(node);
    assert_eq!(fs::read_to_string(&pinned).unwrap(), genesis.to_json(), "kept once more");
}

#[test]
fn a_founding_validator_ends_when_told_and_finds_its_keys_again() {
    let mut founders = Founders::new("told", 1);
    let node = &mut founders.nodes[0];

    // A port that is busy leaves no key behind.
    let busy = std::net::TcpListener::bind(("0.0.0.0", node.admin)).unwrap();
    assert_eq!(node.fails().code, Some(13));
    assert!(key_files(node).iter().all(|key| !key.exists()));
    drop(busy);

    node.start();
    let shown = founds(node);
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_cairn"))
        .args(["node", "--config"])
        .arg(node.config())
        .output()
        .unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(12), "{said}");
    assert!(said.contains("in use by another process"), "{said}");
    assert_eq!(node.stop().code(), Some(0));

    node.start();
    assert_eq!(founds(node), shown);
    assert_eq!(node.interrupt().code(), Some(0));
    node.start();
    assert_eq!(founds(node), shown);
}

#[test]
fn a_start_that_was_cut_off_anywhere_is_taken_up() {
    let mut founders = Founders::new("cut-off", 1);
    let node = &mut founders.nodes[0];
    let [consensus, member] = key_files(node);

    // Between the two keys: there is no place for the second.
    fs::create_dir_all(node.data()).unwrap();
    let place = member.parent().unwrap();
    fs::write(place, "in the way").unwrap();
    assert_eq!(node.fails().code, Some(18));
    let first = keys::read(&consensus).unwrap().public();
    fs::remove_file(place).unwrap();
    // And in the middle of the second.
    fs::create_dir(place).unwrap();
    fs::write(place.join("member.key.draft"), "# Cairn private k").unwrap();
    node.start();
    assert_eq!(founds(node)["consensus_key"], first.to_string());
    node.kill();

    // Wherever the kernel happens to be: what was shown once is shown for ever.
    for start in 0..12 {
        if start % 3 == 0 {
            fs::remove_dir_all(node.data()).unwrap();
        }
        node.start();
        std::thread::sleep(Duration::from_millis(7 * start));
        node.kill();
        let there: Vec<_> = [&consensus, &member].map(|path| keys::read(path).ok()).into();
        node.start();
        let shown = founds(node);
        for (key, field) in there.iter().zip(["consensus_key", "member_key"]) {
            if let Some(key) = key {
                assert_eq!(shown[field], key.public().to_string(), "start {start}");
            }
        }
        node.kill();
    }
}
