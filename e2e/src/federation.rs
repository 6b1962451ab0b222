//! A federation of real processes, started by `cairn dev`, ended when dropped.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// What a federation is made of.
pub(crate) struct Kinds {
    pub(crate) validators: u16,
    pub(crate) order: String,
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
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
    pub(crate) async fn start(
        cairn: &Path,
        data: &Path,
        base_port: u16,
        kinds: &Kinds,
    ) -> anyhow::Result<Self> {
        let Kinds { validators, order, store, pd } = kinds;
        let validators = *validators;
        let start = Instant::now();
        let mut child = Command::new(cairn)
            .args(["dev", "--validators", &validators.to_string()])
            .args(["--order", order, "--store", store])
            .args(pd.iter().flat_map(|pd| ["--pd", pd]))
            .args(["--base-port", &base_port.to_string()])
            .arg("--data")
            .arg(data)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", cairn.display()))?;
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
        bail!("cairn dev ended before it was ready: {}", child.wait().await?)
    }

    /// API addresses, one a validator.
    pub(crate) fn addresses(&self) -> Vec<String> {
        (0..self.validators).map(|i| format!("127.0.0.1:{}", self.base_port + 10 * i)).collect()
    }

    /// Resident memory of each validator, in MiB.
    pub(crate) fn resident_mib(&self) -> anyhow::Result<Vec<f64>> {
        (0..self.validators)
            .map(|i| {
                let pid = std::fs::read_to_string(self.directory(i).join("pid"))?;
                let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim()))?;
                let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
                let kib: f64 =
                    line.context("VmRSS")?.trim().trim_end_matches("kB").trim().parse()?;
                Ok(kib / 1024.0)
            })
            .collect()
    }

    fn directory(&self, validator: u16) -> PathBuf {
        self.data.join(format!("validator-{validator}"))
    }

    /// Ends all validators in an orderly way.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        let pid = self.child.id().context("cairn dev has ended by itself")?;
        Command::new("kill").args(["-TERM", &pid.to_string()]).status().await?;
        self.child.wait().await?;
        Ok(())
    }

    /// Ends all validators at once, with SIGKILL: what is durable is what the disk has.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        for i in 0..self.validators {
            let pid = std::fs::read_to_string(self.directory(i).join("pid"))?;
            Command::new("kill").args(["-KILL", pid.trim()]).status().await?;
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
    pub(crate) async fn verify(&self, export: &Path) -> anyhow::Result<String> {
        let done = Command::new(&self.cairn)
            .args(["verify", "ledger"])
            .arg(export)
            .arg("--genesis")
            .arg(self.data.join("genesis.json"))
            .output()
            .await?;
        if !done.status.success() {
            bail!("verify ledger: {}", String::from_utf8_lossy(&done.stderr));
        }
        Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
    }
}
