//! Other systems, measured in the same run by a script of the project's own, where it is there. It
//! prints one JSON object a line.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use tokio::{process::Command, time::timeout};

use crate::{interrupt, progress::say};

/// The script, from the root of the project.
const SCRIPT: &str = "e2e/peers/run.sh";

/// One figure of another system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Peer {
    /// Which system.
    pub(crate) name: String,
    /// What it did.
    pub(crate) what: String,
    /// How often in a second.
    pub(crate) per_second: f64,
    /// Of what.
    pub(crate) unit: String,
    /// The middle latency, in milliseconds.
    #[serde(default)]
    pub(crate) p50_ms: Option<f64>,
    /// The 99th percentile.
    #[serde(default)]
    pub(crate) p99_ms: Option<f64>,
    /// What else there is to say.
    #[serde(default)]
    pub(crate) note: String,
}

/// Runs the script, for as long as there is time.
pub(crate) async fn measure(time: Duration) -> anyhow::Result<Vec<Peer>> {
    if !Path::new(SCRIPT).exists() {
        say(&format!("no peers: there is no {SCRIPT} here"));
        return Ok(Vec::new());
    }
    say("peers ...");
    let script = Command::new(SCRIPT)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| format!("starting {SCRIPT}"))?;
    let leader = script.id().context("the script runs")?;
    interrupt::register_script(leader);
    let out = timeout(time, script.wait_with_output()).await;
    if out.is_err() {
        interrupt::end_script(leader);
    }
    interrupt::forget(leader);
    let out = out.context("the peers took too long")??;
    if !out.status.success() {
        bail!("{SCRIPT} ended with {}", out.status);
    }
    read(&String::from_utf8_lossy(&out.stdout))
}

fn read(text: &str) -> anyhow::Result<Vec<Peer>> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| serde_json::from_str(line).with_context(|| format!("{SCRIPT} said {line:?}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_peers_are_read() {
        let row = r#"{"name":"etcd","what":"single puts, 3 members","per_second":13500,"unit":"puts","p50_ms":1.5,"p99_ms":null,"note":""}"#;
        let short = r#"{"name":"b","what":"w","per_second":1.5,"unit":"u"}"#;
        let peers = read(&format!("{row}\n\n{short}\n")).unwrap();
        assert_eq!(peers.len(), 2);
        assert_eq!(
            (peers[0].per_second, peers[0].p50_ms, peers[0].p99_ms),
            (13500.0, Some(1.5), None)
        );
        assert_eq!(peers[1].note, "");
        for wrong in ["etcd 13500", r#"{"name":"etcd"}"#] {
            assert!(read(wrong).unwrap_err().to_string().contains("said"), "{wrong}");
        }
    }
}
