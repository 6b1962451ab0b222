//! Real validators: processes with their own directories and ports, which a test may kill,
//! stop, rob of their disks and start again.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use cairn_ledger::{
    genesis::{Genesis, Validator},
    ids::TransactionId,
};
use cairn_node::{
    clock::{self, Stopwatch},
    keys,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::client::{Client, asset_and_transfer, id_of};

/// Where a federation's log and state are.
pub(crate) struct Backend {
    pub(crate) order: &'static str,
    pub(crate) store: &'static str,
    /// More of the configuration.
    pub(crate) section: String,
}

/// What the log calls whoever writes it.
const LEADERS: [&str; 2] = ["leader", "writer"];

/// What has not happened by then will not happen.
const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until something is there.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let watch = Stopwatch::start();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(watch.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Ports that nothing listens on, below those that the operating system gives to outgoing
/// connections: a validator that is down for a moment must find its ports free again.
fn free_ports<const N: usize>() -> [u16; N] {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 15_000 + u16::try_from(std::process::id() % 1000).expect("below 1000") * 16;
    [(); N].map(|()| {
        loop {
            let port = 15_000 + (first - 15_000 + NEXT.fetch_add(1, Ordering::Relaxed)) % 17_000;
            if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return port;
            }
        }
    })
}

/// A directory that goes when the test is over.
pub(crate) struct Scratch(pub PathBuf);

impl Scratch {
    pub(crate) fn new(test: &str) -> Self {
        let name = format!("cairn-processes-{test}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One validator, running or not.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) directory: PathBuf,
    pub(crate) api: u16,
    pub(crate) events: u16,
    pub(crate) admin: u16,
    pub(crate) mesh: u16,
    child: Option<Child>,
    client: Client,
}

/// How a process ended that should not have stayed.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
}

impl Node {
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.directory.join("cairn.toml")
    }

    fn log(&self) -> PathBuf {
        self.directory.join("node.log")
    }

    pub(crate) fn logged(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Starts the process; it may not serve yet.
    pub(crate) fn start(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
        command.args(["node", "--config"]).arg(self.config());
        // A test that is itself killed leaves no validators behind.
        command.args(["--end-with-parent", &std::process::id().to_string()]);
        self.start_by(&mut command);
    }

    /// Starts it by another command.
    pub(crate) fn start_by(&mut self, command: &mut Command) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command.env_remove("CAIRN_DATA").env_remove("CAIRN_LOG");
        self.child = Some(command.spawn().unwrap());
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// Starts and waits until it serves.
    pub(crate) fn start_and_serve(&mut self) {
        self.start();
        self.serves();
    }

    pub(crate) fn serves(&mut self) {
        let name = self.name.clone();
        until(&format!("{name} serves"), || {
            assert!(self.is_running(), "{name} ended: {}", tail(&self.logged()));
            self.status()
        });
    }

    /// The id of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Status and body of a GET at one of its ports.
    pub(crate) fn asks(&self, port: u16, path: &str) -> Option<(u16, String)> {
        self.client.get(port, path)
    }

    fn signal(&mut self, signal: Signal) {
        let child = self.child.as_ref().expect("only what runs hears signals");
        let pid = Pid::from_child(child);
        kill_process(pid, signal).unwrap();
    }

    /// SIGKILL: no goodbye.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.take().expect("it ran").wait().unwrap();
    }

    pub(crate) fn pause(&mut self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn resume(&mut self) {
        self.signal(Signal::CONT);
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// SIGINT, and how it ended.
    pub(crate) fn interrupt(&mut self) -> ExitStatus {
        self.signal(Signal::INT);
        self.ended()
    }

    /// Waits for the end that is about to come by itself.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let (name, child) = (&self.name, self.child.as_mut().expect("it ran"));
        let ended = until(&format!("{name} ends"), || child.try_wait().unwrap());
        self.child = None;
        ended
    }

    /// Runs a start that is expected to fail at once.
    pub(crate) fn fails(&mut self) -> Ended {
        let before = self.logged().len();
        self.start();
        let code = self.ended().code();
        Ended { code, said: self.logged()[before..].to_owned() }
    }

    pub(crate) fn status(&self) -> Option<Value> {
        self.client.json(self.admin, "/status")
    }

    pub(crate) fn height(&self) -> Option<u64> {
        self.status()?["height"].as_u64()
    }

    /// Where its chain ends, by its blocks: what it says of itself may be a moment old.
    pub(crate) fn end(&self) -> Option<u64> {
        let mut height = self.height()?;
        while self.block(height + 1).is_some() {
            height += 1;
        }
        Some(height)
    }

    /// The block at a height, as text.
    pub(crate) fn block(&self, height: u64) -> Option<String> {
        let (status, text) = self.client.get(self.api, &format!("/api/v1/blocks/{height}"))?;
        (status == 200).then_some(text)
    }

    /// Whether a transaction is decided here.
    pub(crate) fn has(&self, id: &TransactionId) -> bool {
        let answer = self.client.json(self.api, &format!("/api/v2/transactions/{id}"));
        answer.is_some_and(|report| report["status"] == "committed")
    }

    pub(crate) fn receipt(&self, id: &TransactionId) -> Option<String> {
        let path = format!("/api/v2/transactions/{id}/receipt");
        let (status, text) = self.client.get(self.api, &path)?;
        (status == 200).then_some(text)
    }

    /// Has one new transaction committed through this validator; tries until that works.
    pub(crate) fn commits(&self) -> TransactionId {
        until(&format!("{} commits", self.name), || self.tries_to_commit())
    }

    /// One new transaction; its id if it was committed.
    pub(crate) fn tries_to_commit(&self) -> Option<TransactionId> {
        let [create, _] = asset_and_transfer(0);
        let (status, _) = self.client.commit(self.api, &create)?;
        (status == 202).then(|| id_of(&create))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("---- {} ----\n{}", self.name, tail(&self.logged()));
        }
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// All validators of a chain, and their files.
pub(crate) struct Federation {
    // First, so that the processes end before their files go.
    pub(crate) nodes: Vec<Node>,
    pub(crate) genesis: Genesis,
    pub(crate) scratch: Scratch,
}

impl Federation {
    /// Writes keys, genesis and configurations; starts nothing.
    pub(crate) fn found(test: &str, validators: usize) -> Self {
        Self::found_in(test, validators, &super::backend())
    }

    /// The same with a log and a store of the test's choice.
    pub(crate) fn found_in(test: &str, validators: usize, backend: &Backend) -> Self {
        let scratch = Scratch::new(test);
        let nodes: Vec<_> = (0..validators).map(|at| place(&scratch.0, at)).collect();
        let members = nodes.iter().map(found_member).collect();
        let genesis = Genesis::new(test.to_owned(), clock::random(), members).unwrap();
        fs::write(scratch.0.join("genesis.json"), genesis.to_json()).unwrap();
        for node in &nodes {
            fs::write(node.config(), config(node, &nodes, backend)).unwrap();
        }
        Self { nodes, genesis, scratch }
    }

    /// Founds it and starts all.
    pub(crate) fn start(test: &str, validators: usize) -> Self {
        let mut federation = Self::found(test, validators);
        federation.start_all();
        federation
    }

    /// Starts those that do not run, and waits until they serve.
    pub(crate) fn start_all(&mut self) {
        for node in self.nodes.iter_mut().filter(|node| node.child.is_none()) {
            node.start();
        }
        for node in &mut self.nodes {
            node.serves();
        }
    }

    pub(crate) fn ports(&self) -> Vec<u16> {
        self.nodes.iter().map(|node| node.api).collect()
    }

    /// Who leads the log, once all that run and know one agree.
    pub(crate) fn leader(&self) -> usize {
        until("somebody leads", || {
            let said = self.nodes.iter().filter_map(Node::status).find_map(|status| {
                let order = status["order"].as_str()?;
                let (_, rest) = LEADERS
                    .iter()
                    .find_map(|leader| order.split_once(&format!("{leader} validator ")))?;
                rest.split(',').next()?.parse::<usize>().ok()
            })?;
            let name = &self.genesis.validators()[said].name;
            self.nodes.iter().position(|node| node.name == *name)
        })
    }

    /// Waits until all are level, and proves that their chains are the same, byte for byte,
    /// and hold all that was acknowledged.
    pub(crate) fn agrees_on(&self, acknowledged: &[TransactionId]) {
        let end = self.nodes.iter().map(|node| node.end().expect("all run")).max();
        let tip = until("all are level", || {
            let tips: Option<Vec<_>> = self
                .nodes
                .iter()
                .map(|node| {
                    let status = node.status()?;
                    Some((status["height"].as_u64()?, status["block"].as_str()?.to_owned()))
                })
                .collect();
            let mut tips = tips?;
            let tip = tips.pop().filter(|tip| Some(tip.0) >= end)?;
            tips.iter().all(|other| other.0 == tip.0).then_some((tips, tip))
        });
        let (others, (height, block)) = tip;
        assert!(others.iter().all(|other| other.1 == block), "a fork: {others:?}, {block}");
        let mut stored = std::collections::HashSet::new();
        for height in 1..=height {
            let texts: Vec<_> =
                self.nodes.iter().map(|node| node.block(height).expect("below the tip")).collect();
            assert!(texts.iter().all(|text| *text == texts[0]), "block {height}: {texts:?}");
            let block: Value = serde_json::from_str(&texts[0]).unwrap();
            for transaction in block["transactions"].as_array().unwrap() {
                let id = transaction["id"].as_str().unwrap().to_owned();
                assert!(stored.insert(id), "twice in the chain: {transaction}");
            }
        }
        for id in acknowledged {
            assert!(stored.contains(&id.to_string()), "acknowledged and lost: {id}");
        }
        // The index tells the same as the blocks.
        for id in acknowledged.iter().step_by(1 + acknowledged.len() / 20) {
            for node in &self.nodes {
                assert!(node.has(id), "{} does not know {id}", node.name);
            }
        }
        eprintln!("{height} blocks, {} transactions, on all", stored.len());
    }

    /// Nobody signed twice, panicked, or saw what must not be.
    pub(crate) fn nothing_alarming(&self) {
        for node in &self.nodes {
            assert!(!node.data().join("evidence.jsonl").exists(), "{} has evidence", node.name);
            let log = node.logged();
            let bad: Vec<_> = log
                .lines()
                .filter(|line| line.contains("alarm") || line.contains("panicked"))
                .collect();
            assert!(bad.is_empty(), "{} said: {bad:?}", node.name);
        }
    }
}

/// Validators on empty volumes that make their own keys, and no chain yet. They listen at all
/// addresses and know one another by name.
pub(crate) struct Founders {
    pub(crate) nodes: Vec<Node>,
    scratch: Scratch,
}

impl Founders {
    /// Writes configurations; starts nothing.
    pub(crate) fn new(test: &str, validators: usize) -> Self {
        let scratch = Scratch::new(test);
        let nodes: Vec<_> = (0..validators).map(|at| place(&scratch.0, at)).collect();
        for node in &nodes {
            fs::remove_dir(node.data()).unwrap();
            let text = config(node, &nodes, &super::backend())
                .replace("\"member.key\"", "\"data/keys/member.key\"")
                .replace("= \"127.0.0.1:", "= \"0.0.0.0:");
            let (first, peers) = text.split_once("[peers]").unwrap();
            let peers = peers.replace("0.0.0.0", "localhost");
            let chosen = "create_keys = true\nlog_format = \"json\"\n";
            fs::write(node.config(), format!("{chosen}{first}[peers]{peers}")).unwrap();
        }
        Self { nodes, scratch }
    }

    /// Where they wait for the genesis.
    pub(crate) fn genesis_file(&self) -> PathBuf {
        self.scratch.0.join("genesis.json")
    }

    /// They are a federation now.
    pub(crate) fn founded(self, genesis: Genesis) -> Federation {
        let Self { nodes, scratch } = self;
        Federation { nodes, genesis, scratch }
    }
}

fn place(scratch: &Path, at: usize) -> Node {
    let name = format!("validator-{at}");
    let directory = scratch.join(&name);
    fs::create_dir_all(directory.join("data")).unwrap();
    let [api, events, admin, mesh] = free_ports();
    Node { name, directory, api, events, admin, mesh, child: None, client: Client::new() }
}

fn found_member(node: &Node) -> Validator {
    let (consensus, member) = (keys::generate(), keys::generate());
    keys::write_new(&node.data().join("consensus.key"), &consensus).unwrap();
    keys::write_new(&node.directory.join("member.key"), &member).unwrap();
    Validator {
        name: node.name.clone(),
        consensus_key: consensus.public(),
        member_key: member.public(),
        power: 1,
    }
}

fn config(node: &Node, nodes: &[Node], backend: &Backend) -> String {
    let Backend { order, store, section } = backend;
    let Node { name, api, events, admin, mesh, .. } = node;
    let others = nodes.iter().filter(|other| other.name != *name);
    let peers: String =
        others.map(|other| format!("{} = \"127.0.0.1:{}\"\n", other.name, other.mesh)).collect();
    format!(
        "name = \"{name}\"\ndata = \"data\"\ngenesis = \"../genesis.json\"\n\
         member_key = \"member.key\"\norder = \"{order}\"\nstore = \"{store}\"\nlog = \"info\"\n\n\
         [listen]\napi = \"127.0.0.1:{api}\"\napi_events = \"127.0.0.1:{events}\"\n\
         admin = \"127.0.0.1:{admin}\"\nmesh = \"127.0.0.1:{mesh}\"\n\n[peers]\n{peers}{section}"
    )
}
