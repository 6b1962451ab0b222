//! A network that is cut between one validator and one store, while PD, the other stores and the
//! other validators are reached as ever.
//!
//! PD tells all clients the same addresses, so the cut is made by who connects: the whole test
//! runs in a network namespace of its own, one validator in it under another user's id, and
//! routing rules for that user and the store's port lose its packets or refuse its connections.
//! That takes root, `unshare`, `setpriv` and `ip`; where they are not, the test says SKIPPED.

use std::{
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

use super::{
    client::Load,
    federation::{Node, until},
    hand::{World, leading_store},
    outages::further,
    servers::Servers,
};

/// Nobody else's on any machine that runs tests.
const USER: &str = "42042";
/// An address of the namespace that answers are never delivered to.
const NOWHERE: &str = "10.255.255.254";
/// As long as a switch that starts again.
const CUT: Duration = Duration::from_secs(20);
const VICTIM: usize = 1;

/// Makes the namespace what the test needs: the rules come before the table of local addresses.
const PREPARE: &str = "set -e; ip link set lo up; ip address add 10.255.255.254/32 dev lo; \
    ip rule add pref 100 lookup local; ip rule del pref 0; \
    ip route add local 127.0.0.1 dev lo src 10.255.255.254 table 77; \
    setpriv --reuid 42042 --clear-groups --inh-caps +dac_override --ambient-caps +dac_override true";

#[test]
fn a_validator_cut_off_from_one_store_comes_back_by_itself() {
    let probe =
        format!("{PREPARE}; ip rule add pref 10 uidrange 42042-42042 ipproto tcp dport 1 prohibit");
    let probed = Command::new("unshare").args(["--net", "sh", "-c", &probe]).output();
    let why = match probed {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("unshare: {error}")),
    };
    if let Some(why) = why {
        // Past the harness, which keeps the words of tests that pass.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED, not tested: a network cut between a validator and one store, because this \
             machine has no network namespaces for us: {why}"
        );
        return;
    }
    let inside = format!("{PREPARE}; exec \"$0\" --exact network::inside --ignored --nocapture");
    let ended = Command::new("unshare")
        .args(["--net", "sh", "-c", &inside])
        .arg(std::env::current_exe().unwrap())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    eprintln!("{said}{}", String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{}", ended.status);
    assert!(said.contains("1 passed"), "it did not run");
}

/// How a network may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// Packets vanish: connections that are there say nothing, new ones are never made.
    Silent,
    /// Connections that are there say nothing, new ones fail at once.
    Refused,
}

impl Cut {
    /// The rules of it, in the order of their numbers.
    fn rules(self, port: &str) -> Vec<String> {
        let whose = format!("uidrange {USER}-{USER} ipproto tcp dport {port}");
        match self {
            // What has an address already is dropped; what asks for one gets that to which no
            // answer is delivered.
            Self::Silent => vec![
                format!("pref 10 from 127.0.0.1 {whose} blackhole"),
                format!("pref 11 {whose} lookup 77"),
                format!("pref 12 to {NOWHERE} blackhole"),
            ],
            Self::Refused => vec![format!("pref 10 {whose} prohibit")],
        }
    }
}

fn rule(action: &str, rule: &str) {
    let done = Command::new("ip").args(["rule", action]).args(rule.split(' ')).status().unwrap();
    assert!(done.success(), "ip rule {action} {rule}");
}

fn port(servers: &Servers, store: &str) -> String {
    let addresses = servers.addresses();
    let (_, address) = addresses.iter().find(|(name, _)| name == store).unwrap();
    address.rsplit_once(':').unwrap().1.to_owned()
}

/// Starts a validator as another user, who may do with files what root may.
fn start_as_another(node: &mut Node) {
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", USER, "--clear-groups"])
        .args(["--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"])
        .args([env!("CARGO_BIN_EXE_cairn"), "node", "--config"])
        .arg(node.config())
        .args(["--end-with-parent", &std::process::id().to_string()]);
    node.start_by(&mut command);
    node.serves();
}

/// Open files and threads of a process: what a client that leaks would have more of.
fn holds(node: &Node) -> (usize, usize) {
    let count = |what: &str| {
        std::fs::read_dir(format!("/proc/{}/{what}", node.process())).map_or(0, Iterator::count)
    };
    (count("fd"), count("task"))
}

#[test]
#[ignore = "runs in a network of its own, which the test above makes"]
fn inside() {
    let mut world = World::found("tikv-cut", &["--base-port", "0"]);
    start_as_another(&mut world.federation.nodes[VICTIM]);
    world.federation.start_all();
    let World { federation, servers, .. } = &world;
    let load = Load::start(&federation.ports(), 4);
    further(&load, 30);
    let victim = &federation.nodes[VICTIM];
    let before = holds(victim);
    for cut in [Cut::Silent, Cut::Refused] {
        // The one that matters: it leads.
        let store = leading_store(servers);
        let rules = cut.rules(&port(servers, &store));
        rules.iter().for_each(|it| rule("add", it));
        eprintln!("{cut:?}: {} does not reach {store}", victim.name);
        until("it says that its store is away", || {
            let why = victim.status()?["not_ready_because"].as_str()?.to_owned();
            why.contains("store").then_some(())
        });
        std::thread::sleep(CUT);
        // Three of four go on, whoever wrote the log before.
        further(&load, 20);
        let elsewhere = federation.nodes[0].height().unwrap();
        rules.iter().for_each(|it| rule("del", it));
        until("it is level and ready", || {
            let status = victim.status()?;
            let level = status["height"].as_u64()? >= elsewhere;
            (level && status["ready"] == true && status["voting"] == true).then_some(())
        });
        victim.commits();
        further(&load, 10);
    }
    let acknowledged = load.stop();
    federation.agrees_on(&acknowledged);
    federation.nothing_alarming();
    let (files, threads) = before;
    let after = until("it holds no more than before", || {
        let after = holds(victim);
        (after.0 <= files + 16 && after.1 <= threads + 16).then_some(after)
    });
    eprintln!("open files and threads: {before:?} before, {after:?} after");
}
