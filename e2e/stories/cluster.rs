//! The Kubernetes cluster that stories play on: kubectl, and the hands that crash and cut its nodes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

use crate::stage::{NotHere, run};

/// A cluster, and how it is reached.
pub(crate) struct Cluster {
    /// The script that started it; nothing when it is somebody else's.
    nodes: Option<PathBuf>,
}

impl Cluster {
    /// That of the environment: `KUBECONFIG`, and `CAIRN_CLUSTER_SCRIPT` when its nodes are ours.
    ///
    /// # Errors
    ///
    /// When no API server answers, or no operator is installed.
    pub(crate) fn of_environment() -> anyhow::Result<Self> {
        let nodes = std::env::var_os("CAIRN_CLUSTER_SCRIPT").map(PathBuf::from);
        let cluster = Self { nodes };
        cluster
            .kubectl(&["get", "blockchainclusters", "--all-namespaces"], None)
            .context("no cluster with the operator on it: `make cluster` starts one")?;
        Ok(cluster)
    }

    /// Runs kubectl.
    pub(crate) fn kubectl(
        &self,
        arguments: &[&str],
        input: Option<&str>,
    ) -> anyhow::Result<String> {
        run(Command::new("kubectl").args(arguments), input)
    }

    /// Runs helm.
    pub(crate) fn helm(&self, arguments: &[&str]) -> anyhow::Result<String> {
        run(Command::new("helm").args(arguments), None)
    }

    /// Does something to a node: the words of `cluster.sh` (crash, boot, stop, start, cut, heal, exec).
    ///
    /// # Errors
    ///
    /// [`NotHere`] on a cluster whose nodes are not ours.
    pub(crate) fn node(&self, words: &[&str]) -> anyhow::Result<String> {
        let script = self.nodes.as_ref().ok_or_else(|| {
            NotHere("it breaks nodes, and those of this cluster are not ours to break".into())
        })?;
        run(Command::new(script).args(words), None)
    }

    /// Whether nodes can be crashed and cut here.
    pub(crate) fn has_our_nodes(&self) -> bool {
        self.nodes.is_some()
    }
}

/// Writes what a person needs to understand a failed story: objects without secrets, events, logs.
pub(crate) fn bundle(cluster: &Cluster, namespace: &str, folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let mut missing = vec![];
    let mut save = |file: &str, arguments: &[&str]| match cluster.kubectl(arguments, None) {
        Ok(text) => fs::write(folder.join(file), text).map_err(anyhow::Error::from),
        Err(error) => {
            missing.push(format!("{file}: {error:#}"));
            Ok(())
        }
    };
    let here = ["--namespace", namespace];
    let kinds = "blockchainclusters,statefulsets,pods,services,endpointslices,configmaps,\
                 persistentvolumeclaims,poddisruptionbudgets,networkpolicies,jobs";
    save("objects.yaml", &[&here[..], &["get", kinds, "-o", "yaml"]].concat())?;
    save("objects.txt", &[&here[..], &["get", kinds, "-o", "wide"]].concat())?;
    save("events.txt", &[&here[..], &["get", "events", "--sort-by=.lastTimestamp"]].concat())?;
    save("nodes.txt", &["get", "nodes,persistentvolumes", "-o", "wide"])?;
    save(
        "operator.log",
        &[
            "--namespace",
            "cairn-system",
            "logs",
            "--all-containers",
            "--prefix",
            "--tail=5000",
            "--selector=app.kubernetes.io/name=cairn-operator",
        ],
    )?;
    let pods = cluster.kubectl(&[&here[..], &["get", "pods", "-o", "name"]].concat(), None)?;
    for pod in pods.lines() {
        let name = pod.trim_start_matches("pod/");
        save(&format!("{name}.log"), &[&here[..], &["logs", pod, "--all-containers"]].concat())?;
        save(
            &format!("{name}.previous.log"),
            &[&here[..], &["logs", pod, "--all-containers", "--previous"]].concat(),
        )?;
        save(
            &format!("{name}.status.json"),
            &[&here[..], &["exec", pod, "--", "cairn", "status", "--output", "json"]].concat(),
        )?;
    }
    if !missing.is_empty() {
        fs::write(folder.join("missing.txt"), missing.join("\n"))?;
    }
    if fs::read_dir(folder)?.count() == 0 {
        bail!("nothing could be read");
    }
    Ok(())
}
