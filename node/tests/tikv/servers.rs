//! A PD and its stores for a test: real processes, which a test may kill, pause and start again.
//! They end with the value, and also when the test's process is killed.

#![allow(dead_code, reason = "several tests share it, and each needs its part")]

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How often, and how many times, something is looked for: a minute in all.
const LOOK_EVERY: Duration = Duration::from_millis(30);
const LOOKS: usize = 2_000;

/// PD and stores, which `cairn-tikv-dev up` watches.
pub(crate) struct Servers {
    /// PD, as HOST:PORT.
    pub(crate) pd: String,
    directory: PathBuf,
    supervisor: Child,
}

impl Servers {
    /// Three stores on free ports, with their data in a directory; with those that are there, if it has some.
    pub(crate) fn start(directory: &Path) -> Self {
        Self::start_with(directory, &["--base-port", "0"])
    }

    /// The same with other options of `cairn-tikv-dev up`.
    pub(crate) fn start_with(directory: &Path, options: &[&str]) -> Self {
        let mut supervisor = Command::new(program())
            .arg("up")
            .arg(directory)
            .arg("--until-eof")
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let output = supervisor.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut line).expect("its output is text");
        let pd = line.trim().strip_prefix("ready pd=").map(str::to_owned);
        let pd = pd.unwrap_or_else(|| panic!("cairn-tikv-dev says why above; it printed {line:?}"));
        Self { pd, directory: directory.to_owned(), supervisor }
    }

    /// SIGKILL for `pd` or `store-1` to `store-3`. Nothing starts it again but [`Servers::revive`].
    pub(crate) fn kill(&self, name: &str) {
        let died = self.signal(name, Signal::KILL);
        self.until(name, |pid| pid != died);
    }

    /// It keeps its connections and answers nothing.
    pub(crate) fn pause(&self, name: &str) {
        self.signal(name, Signal::STOP);
    }

    /// It goes on where it was paused.
    pub(crate) fn resume(&self, name: &str) {
        self.signal(name, Signal::CONT);
    }

    /// Starts whatever was killed, and waits until all run.
    pub(crate) fn revive(&self) {
        let supervisor = i32::try_from(self.supervisor.id()).expect("a pid");
        send(supervisor, Signal::HUP);
        for (name, _) in self.processes() {
            self.until(&name, |pid| pid != 0);
        }
    }

    /// Everything that should run, each with its pid; 0 for what does not.
    pub(crate) fn processes(&self) -> Vec<(String, i32)> {
        let state = self.state();
        let processes = state["processes"].as_array().expect("a list");
        processes
            .iter()
            .map(|process| {
                let pid = process["pid"].as_i64().expect("a number");
                let name = process["name"].as_str().expect("a name").to_owned();
                (name, i32::try_from(pid).expect("a pid"))
            })
            .collect()
    }

    /// Where each of them listens, as HOST:PORT.
    pub(crate) fn addresses(&self) -> Vec<(String, String)> {
        let address = |process: &Value| {
            let name = process["name"].as_str().expect("a name").to_owned();
            (name, process["address"].as_str().expect("an address").to_owned())
        };
        self.state()["processes"].as_array().expect("a list").iter().map(address).collect()
    }

    fn state(&self) -> Value {
        let path = self.directory.join("state.json");
        let text = std::fs::read(&path).expect("cairn-tikv-dev keeps it there");
        serde_json::from_slice(&text).expect("it is replaced as a whole")
    }

    fn pid(&self, name: &str) -> i32 {
        let found = self.processes().into_iter().find(|(candidate, _)| candidate == name);
        found.unwrap_or_else(|| panic!("there is no {name}")).1
    }

    fn signal(&self, name: &str, signal: Signal) -> i32 {
        let pid = self.pid(name);
        assert!(pid != 0, "{name} does not run");
        send(pid, signal);
        pid
    }

    fn until(&self, name: &str, holds: impl Fn(i32) -> bool) {
        for _ in 0..LOOKS {
            if holds(self.pid(name)) {
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        panic!("waited in vain for {name}");
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // The end of its input is what `--until-eof` waits for.
        drop(self.supervisor.stdin.take());
        let _ = self.supervisor.wait();
    }
}

fn send(pid: i32, signal: Signal) {
    let pid = Pid::from_raw(pid).expect("a process");
    kill_process(pid, signal).expect("it takes signals");
}

/// Where the program is: as the environment says, or where `build.sh` puts it.
fn program() -> PathBuf {
    // Tests of more than one package stand on these servers.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .find(|folder| folder.join("e2e/tikv/build.sh").exists())
        .expect("a package of this repository");
    let path = std::env::var_os("CAIRN_TIKV_DEV").map_or_else(
        || {
            let build = Command::new(root.join("e2e/tikv/build.sh")).arg("--where").output();
            let built = build.expect("build.sh runs").stdout;
            Path::new(String::from_utf8_lossy(&built).trim()).join("cairn-tikv-dev")
        },
        PathBuf::from,
    );
    assert!(path.exists(), "PD and the TiKV stores are not built: make tikv-build does that");
    path
}
