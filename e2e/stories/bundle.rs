//! What a person needs to understand a failed story: objects, events, logs, and of each validator its
//! status, its metrics and its chain. No Secrets.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::{cluster::Cluster, federation::PORT_API};

/// Where a validator shows its status and metrics.
const PORT_ADMIN: u16 = 9986;

/// What one answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Writes it into a folder of its own. What cannot be had is listed in `missing.txt`.
///
/// # Errors
///
/// When nothing could be read, or nothing be written.
pub(crate) fn bundle(cluster: &Cluster, namespace: &str, folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let mut bundle = Bundle { cluster, namespace, folder, missing: vec![] };
    let kinds = "blockchainclusters,statefulsets,pods,services,endpointslices,configmaps,\
                 persistentvolumeclaims,poddisruptionbudgets,networkpolicies,jobs";
    bundle.tells("objects.yaml", &["get", kinds, "-o", "yaml"])?;
    bundle.tells("objects.txt", &["get", kinds, "-o", "wide"])?;
    bundle.tells("events.txt", &["get", "events", "--sort-by=.lastTimestamp"])?;
    bundle.tells("nodes.txt", &["get", "nodes,persistentvolumes", "-o", "wide"])?;
    let of_operator = "--selector=app.kubernetes.io/name=cairn-operator";
    let system = "--namespace=cairn-system";
    let words = ["logs", system, of_operator, "--all-containers", "--prefix", "--tail=5000"];
    bundle.tells("operator.log", &words)?;
    let validators = "--selector=cairndb.io/validator";
    let pods = |of: &[&str]| {
        let words = [&["get", "pods", "--namespace", namespace, "-o", "name"], of].concat();
        let text = cluster.kubectl(&words, None)?;
        anyhow::Ok(text.lines().map(|pod| pod.trim_start_matches("pod/").to_owned()).collect())
    };
    let all: Vec<String> = pods(&[])?;
    for pod in all {
        let words = ["logs", &pod, "--all-containers"];
        bundle.tells(&format!("{pod}.log"), &words)?;
        let words = [&words[..], &["--previous"]].concat();
        bundle.tells(&format!("{pod}.previous.log"), &words)?;
    }
    let validators: Vec<String> = pods(&[validators])?;
    for pod in validators {
        if let Err(error) = bundle.validator(&pod) {
            bundle.missing.push(format!("{pod}: {error:#}"));
        }
    }
    if !bundle.missing.is_empty() {
        fs::write(folder.join("missing.txt"), bundle.missing.join("\n"))?;
    }
    Ok(())
}

/// One in the making.
struct Bundle<'a> {
    cluster: &'a Cluster,
    namespace: &'a str,
    folder: &'a Path,
    missing: Vec<String>,
}

impl Bundle<'_> {
    /// What kubectl says, as a file.
    fn tells(&mut self, file: &str, words: &[&str]) -> anyhow::Result<()> {
        let words = [&["--namespace", self.namespace], words].concat();
        match self.cluster.kubectl(&words, None) {
            Ok(text) => fs::write(self.folder.join(file), text)?,
            Err(error) => self.missing.push(format!("{file}: {error:#}")),
        }
        Ok(())
    }

    /// What a validator says, ready or not.
    fn validator(&self, pod: &str) -> anyhow::Result<()> {
        let forward = Forward::start(self.namespace, pod)?;
        let [api, admin] = forward.ports;
        let file = |what: &str| self.folder.join(format!("{pod}.{what}"));
        let agent = agent();
        let get = |url: String| get(&agent, &url);
        let told = get(format!("http://127.0.0.1:{admin}/status"))?;
        fs::write(file("status.json"), &told)?;
        fs::write(file("metrics.txt"), get(format!("http://127.0.0.1:{admin}/metrics"))?)?;
        let status: Value = serde_json::from_str(&told)?;
        let mut chain = String::new();
        for height in 1..=status["height"].as_u64().unwrap_or_default() {
            // With TLS it is asked all the same: whom one talks to is not the question here.
            let scheme = if status["certificate_expiry"] == 0 { "http" } else { "https" };
            chain += &get(format!("{scheme}://127.0.0.1:{api}/api/v2/blocks/{height}"))?;
            chain.push('\n');
        }
        fs::write(file("chain.jsonl"), chain)?;
        Ok(())
    }
}

fn agent() -> ureq::Agent {
    let tls = ureq::tls::TlsConfig::builder().disable_verification(true).build();
    let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).tls_config(tls);
    config.build().new_agent()
}

fn get(agent: &ureq::Agent, url: &str) -> anyhow::Result<String> {
    let mut answer = agent.get(url).call().with_context(|| url.to_owned())?;
    Ok(answer.body_mut().with_config().limit(64 << 20).read_to_string()?)
}

/// `kubectl port-forward` to both ports of a validator, while it lives: nobody else gets to the admin port.
struct Forward {
    ports: [u16; 2],
    child: Child,
    /// It writes a line for each connection, and ends when nobody could read it.
    said: BufReader<ChildStdout>,
}

impl Forward {
    fn start(namespace: &str, pod: &str) -> anyhow::Result<Self> {
        let mut child = Command::new("kubectl")
            .args(["port-forward", "--namespace", namespace, "--address", "127.0.0.1"])
            .args([format!("pod/{pod}"), format!(":{PORT_API}"), format!(":{PORT_ADMIN}")])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("starting kubectl")?;
        let said = child.stdout.take().context("it has no output")?;
        let mut forward = Self { ports: [0; 2], child, said: BufReader::new(said) };
        for port in &mut forward.ports {
            // Forwarding from 127.0.0.1:43211 -> 9984
            let mut line = String::new();
            if forward.said.read_line(&mut line)? == 0 {
                bail!("its ports cannot be reached: no container of it runs");
            }
            let word = line.split_whitespace().nth(2).unwrap_or_default();
            let at = word.rsplit(':').next().unwrap_or_default();
            *port = at.parse().with_context(|| line.clone())?;
        }
        Ok(forward)
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
