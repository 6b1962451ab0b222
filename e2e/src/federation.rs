//! A federation of real processes, started by `cairn dev`, ended when dropped.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{clock::now, interrupt, usage};

/// What a federation is made of.
#[derive(Clone, Debug)]
pub(crate) struct Kinds {
    /// How many validators.
    pub(crate) validators: u16,
    /// Which log.
    pub(crate) order: String,
    /// Which store.
    pub(crate) store: String,
    /// Where TiKV is, if one runs already.
    pub(crate) pd: Option<String>,
}

/// Running validators.
pub(crate) struct Federation {
    child: Child,
    cairn: PathBuf,
    data: PathBuf,
    base_port: u16,
    validators: u16,
    /// From start to `ready`.
    pub(crate) ready_after: Duration,
}

impl Federation {
    /// Starts, and waits until every validator serves.
    pub(crate) async fn start(
        cairn: &Path,
        data: &Path,
        base_port: u16,
        kinds: &Kinds,
    ) -> anyhow::Result<Self> {
        let Kinds { validators, order, store, pd } = kinds;
        let validators = *validators;
        let start = now();
        let said = data.with_extension("log");
        let mut child = Command::new(cairn)
            .args(["dev", "--validators", &validators.to_string()])
            .args(["--order", order, "--store", store])
            .args(pd.iter().flat_map(|pd| ["--pd", pd]))
            .args(["--base-port", &base_port.to_string()])
            .arg("--data")
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&said)?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", cairn.display()))?;
        interrupt::register(child.id().context("cairn dev runs")?, data);
        let mut lines = BufReader::new(child.stdout.take().context("a pipe")?).lines();
        while let Some(line) = lines.next_line().await? {
            if line.trim() == "ready" {
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Ok(Self {
                    child,
                    cairn: cairn.to_owned(),
                    data: data.to_owned(),
                    base_port,
                    validators,
                    ready_after: start.elapsed(),
                });
            }
        }
        let (status, said) = (child.wait().await?, std::fs::read_to_string(said)?);
        bail!("cairn dev ended before it was ready: {status}\n{said}")
    }

    /// API addresses, one a validator.
    pub(crate) fn addresses(&self) -> Vec<String> {
        (0..self.validators).map(|i| format!("127.0.0.1:{}", self.base_port + 10 * i)).collect()
    }

    /// Resident memory of each validator, in MiB.
    pub(crate) fn resident_mib(&self) -> Vec<f64> {
        self.processes().into_iter().filter_map(usage::resident_mib).collect()
    }

    /// The validators' processes.
    pub(crate) fn processes(&self) -> Vec<Pid> {
        interrupt::validators(&self.data)
    }

    /// Kills one validator, with SIGKILL; the others go on.
    pub(crate) fn kill_one(&self, validator: u16) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(self.directory(validator).join("pid"))?;
        let process = Pid::from_raw(text.trim().parse()?).context("a process id")?;
        Ok(kill_process(process, Signal::KILL)?)
    }

    /// Addresses for the operator and for metrics, one a validator.
    pub(crate) fn admin_addresses(&self) -> Vec<String> {
        (0..self.validators).map(|i| format!("127.0.0.1:{}", self.base_port + 10 * i + 2)).collect()
    }

    /// The same, after all were killed and came back.
    pub(crate) async fn restarted(mut self, kinds: &Kinds) -> anyhow::Result<Self> {
        self.kill().await?;
        Self::start(&self.cairn, &self.data, self.base_port, kinds).await
    }

    /// Where it keeps its data, and its first port.
    pub(crate) fn home(&self) -> (PathBuf, u16) {
        (self.data.clone(), self.base_port)
    }

    fn directory(&self, validator: u16) -> PathBuf {
        self.data.join(format!("validator-{validator}"))
    }

    /// Ends all validators in an orderly way.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        let id = self.child.id().context("cairn dev has ended by itself")?;
        let process = Pid::from_raw(i32::try_from(id)?).context("a process id")?;
        kill_process(process, Signal::TERM)?;
        self.child.wait().await?;
        interrupt::forget(id);
        Ok(())
    }

    /// Ends all validators at once, with SIGKILL: what is durable is what the disk has.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        for process in self.processes() {
            // One that is gone already needs no killing.
            let _ = kill_process(process, Signal::KILL);
        }
        self.stop().await
    }

    /// Exports one validator's chain; every certificate and every rule is checked again on the way.
    pub(crate) async fn export(&self, validator: u16) -> anyhow::Result<PathBuf> {
        let file = self.data.join(format!("export-{validator}"));
        let done = Command::new(&self.cairn)
            .args(["export", "--config"])
            .arg(self.directory(validator).join("cairn.toml"))
            .arg("--out")
            .arg(&file)
            .output()
            .await?;
        if !done.status.success() {
            bail!("export of validator {validator}: {}", String::from_utf8_lossy(&done.stderr));
        }
        Ok(file)
    }

    /// Checks an exported ledger from the first block to the last, as a stranger would.
    pub(crate) async fn verify(&self, export: &Path) -> anyhow::Result<Verified> {
        let done = Command::new(&self.cairn)
            .args(["verify", "ledger", "--output", "json"])
            .arg(export)
            .arg("--genesis")
            .arg(self.data.join("genesis.json"))
            .output()
            .await?;
        if !done.status.success() {
            bail!("verify ledger: {}", String::from_utf8_lossy(&done.stderr));
        }
        serde_json::from_slice(&done.stdout).context("what verify ledger said")
    }
}

/// What `cairn verify ledger` counted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Verified {
    /// Blocks, each with a certificate that holds.
    pub(crate) blocks: u64,
    /// Transactions that the federation committed.
    pub(crate) committed: usize,
    /// Transactions that it refused, in blocks.
    pub(crate) refused: usize,
    /// Signatures that were checked again.
    pub(crate) signatures: u64,
}

/// Where a measurement fails half way, no validator is left behind.
impl Drop for Federation {
    fn drop(&mut self) {
        if let Some(id) = self.child.id() {
            interrupt::end(id, &self.data);
            interrupt::forget(id);
        }
    }
}
