//! A small TiKV cluster beside the validators, for `cairn dev` without `--pd`: one PD and three
//! stores, started by `cairn-tikv-dev`, gone with this process.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use crate::exit::{ExitCode, Failure};

/// The program that starts PD and stores.
const PROGRAM: &str = "cairn-tikv-dev";

/// A running cluster. It ends when this is dropped.
pub(super) struct Servers {
    /// PD's endpoint.
    pub(super) pd: String,
    child: Child,
    /// The servers end when this closes, however this process does.
    stdin: Option<ChildStdin>,
}

impl Servers {
    /// Starts, or starts again, the cluster whose data is in a directory; waits until all regions
    /// have their replicas, which takes some seconds.
    pub(super) fn start(directory: &Path, base_port: u16) -> Result<Self, Failure> {
        let program = find()?;
        eprintln!("starting PD and three stores with {} ...", program.display());
        let failed = |why: String| Failure::general(format!("{}: {why}", program.display()));
        let mut child = Command::new(&program)
            .arg("up")
            .arg(directory)
            .args(["--stores", "3", "--until-eof", "--base-port", &base_port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for this process, which ends the validators first.
            .process_group(0)
            .spawn()
            .map_err(|error| failed(format!("cannot be started: {error}")))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("it was asked for");
        let mut servers = Self { pd: String::new(), child, stdin };
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(pd) = line.strip_prefix("ready pd=") {
                pd.trim().clone_into(&mut servers.pd);
                return Ok(servers);
            }
        }
        let status = servers.child.wait().map_err(|error| failed(error.to_string()))?;
        Err(failed(format!("ended with {status} before it was ready")))
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It ends what it started within seconds.
        let _ = self.child.wait();
    }
}

/// The program: where the environment says, beside this one, on the path, or where `make tikv-build` puts it.
fn find() -> Result<PathBuf, Failure> {
    let environment = std::env::var_os("CAIRN_TIKV_DEV").map(PathBuf::from);
    let own = std::env::current_exe().ok();
    let beside = own.and_then(|own| Some(own.parent()?.join(PROGRAM)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|directory| directory.join(PROGRAM));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let built = cache.map(|cache| cache.join("cairn-tools/tikv").join(PROGRAM));
    let mut places = environment.into_iter().chain(beside).chain(on_path).chain(built);
    places.find(|place| place.is_file()).ok_or_else(|| {
        Failure::new(
            ExitCode::Config,
            format!(
                "{PROGRAM}, which starts a small TiKV, is not installed; `make tikv-build` builds it (some minutes, needs Go), CAIRN_TIKV_DEV says where it is, and --pd HOST:PORT uses a cluster that runs"
            ),
        )
    })
}
