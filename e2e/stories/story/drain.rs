//! Nodes are emptied for maintenance. The PodDisruptionBudget lets one validator go; what would take the
//! quorum waits, and says why.

use anyhow::{Context, ensure};
use serde_json::json;

use crate::{
    client::Client,
    federation::Federation,
    nodes::{federation_on, identities, three},
    stage::{PATIENCE, Stage},
};

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<()> {
    let nodes = three(stage)?;
    let federation = federation_on(stage, &nodes)?;
    let before = identities(stage, &federation)?;
    let client = Client::start(&federation.service(stage)?, 8);
    client.further(20, PATIENCE)?;

    let [first, _, third] = &nodes;
    stage.say(format!("{third} has two of four validators: it cannot be emptied"));
    let emptied = Cordoned { stage, node: third };
    let refusal =
        drain(stage, third, "15s").err().context("the node was emptied, and the quorum gone")?;
    let told = "Cannot evict pod as it would violate the pod's disruption budget";
    ensure!(
        format!("{refusal:#}").contains(told),
        "the drain ended for another reason: {refusal:#}"
    );
    stage.say(format!("drain: {told}"));
    federation.is(stage, "QuorumAtRisk", "True")?;
    client.further(20, PATIENCE).context("with one validator evicted")?;
    let refusal = evict(stage, &federation.pod("alice")).err();
    let refusal = refusal.context("a second validator was evicted")?;
    ensure!(
        format!("{refusal:#}").contains(told),
        "it was refused for another reason: {refusal:#}"
    );
    stage.say(format!("an eviction of alice, on another node: {told}"));
    drop(emptied);
    back(stage, &federation)?;

    stage.say(format!("{first} has one validator: it can be emptied"));
    let emptied = Cordoned { stage, node: first };
    drain(stage, first, "90s")?;
    client.further(20, PATIENCE).context("with one node empty")?;
    ensure!(federation.condition(stage, "Available")?["status"] == "True", "it is available");
    drop(emptied);
    back(stage, &federation)?;
    ensure!(identities(stage, &federation)? == before, "they have the keys and volumes they had");
    stage.check(&federation, client)
}

/// A node that takes no pods, and takes them again when this goes.
struct Cordoned<'a, 'b> {
    stage: &'a Stage<'b>,
    node: &'a str,
}

impl Drop for Cordoned<'_, '_> {
    fn drop(&mut self) {
        if let Err(error) = self.stage.kubectl(&["uncordon", self.node]) {
            self.stage.say(format!("{} stays cordoned: {error:#}", self.node));
        }
    }
}

fn drain(stage: &Stage, node: &str, limit: &str) -> anyhow::Result<String> {
    let limit = format!("--timeout={limit}");
    stage.kubectl(&["drain", node, "--ignore-daemonsets", "--delete-emptydir-data", &limit])
}

/// Asks the API server to evict a pod, as a drain does, once.
fn evict(stage: &Stage, pod: &str) -> anyhow::Result<String> {
    let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", stage.namespace);
    let eviction =
        json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": pod } });
    stage.cluster.kubectl(&["create", "--raw", &path, "-f", "-"], Some(&eviction.to_string()))
}

fn back(stage: &Stage, federation: &Federation) -> anyhow::Result<()> {
    federation.is(stage, "Ready", "True")?;
    federation.is(stage, "QuorumAtRisk", "False").map(drop)
}
