//! The Kubernetes cluster that stories play on: kubectl, and the hands that crash and cut its nodes.

use std::{path::PathBuf, process::Command};

use anyhow::Context;

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
