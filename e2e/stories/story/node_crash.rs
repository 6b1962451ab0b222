//! Nodes lose power under load and boot again: first one with one validator, which the others do without,
//! then the one with two, and with them the quorum.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::{
    client::Client,
    federation::Federation,
    nodes::{breaks, federation_on, identities, member, three},
    rollout,
    stage::{PATIENCE, Stage},
};

/// What Kubernetes writes on a node that it does not hear of.
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<()> {
    let nodes = three(stage)?;
    let federation = federation_on(stage, &nodes)?;
    let before = identities(stage, &federation)?;
    let pods = uids(stage, &federation)?;
    let client = Client::start(&federation.service(stage)?, 8);
    client.further(20, PATIENCE)?;

    let [first, _, third] = &nodes;
    one_validator(stage, &federation, &client, first)?;
    the_quorum(stage, &federation, &client, third)?;
    ensure!(identities(stage, &federation)? == before, "they have the keys and volumes they had");
    ensure!(uids(stage, &federation)? == pods, "no pod was given up with its node");
    stage.check(&federation, client)
}

/// The others decide, the status says who is not heard of, and a boot is all that is needed.
fn one_validator(
    stage: &Stage,
    federation: &Federation,
    client: &Client,
    node: &str,
) -> anyhow::Result<()> {
    let since = Instant::now();
    let crashed = breaks(stage, &["crash", node], &["boot", node])?;
    client.further(20, PATIENCE).context("one validator of four is gone")?;
    stage.until("the status does not call alice ready", || {
        let alice = member(stage, federation, "alice")?;
        ensure!(alice["ready"] != true, "{alice}");
        stage.say(format!("alice: {}", alice["message"].as_str().unwrap_or_default()));
        ensure!(
            federation.condition(stage, "QuorumAtRisk")?["status"] != "False",
            "a spare is promised"
        );
        Ok(())
    })?;
    ensure!(federation.condition(stage, "Available")?["status"] == "True", "it is available");
    client.further(20, PATIENCE).context("one validator of four is gone")?;
    stage.say(format!("longest silence meanwhile: {:.1} s", client.silence(since).as_secs_f64()));
    crashed.mend(stage)?;
    federation.is(stage, "Ready", "True").map(drop)
}

/// Nothing is decided, the status says so; nothing is promised that is not kept when the node is back.
fn the_quorum(
    stage: &Stage,
    federation: &Federation,
    client: &Client,
    node: &str,
) -> anyhow::Result<()> {
    let since = Instant::now();
    let crashed = breaks(stage, &["crash", node], &["boot", node])?;
    federation.is(stage, "Available", "False")?;
    let told = federation.condition(stage, "QuorumAtRisk")?;
    stage.say(format!("QuorumAtRisk: {}", told["message"].as_str().unwrap_or_default()));
    let acknowledged = client.count();
    let decided = client.further(1, Duration::from_secs(3));
    ensure!(decided.is_err(), "{acknowledged} and more were acknowledged by half of the votes");
    stage.until("Kubernetes has given the node up", || {
        let found = stage.object("node", node)?;
        let taints = found["spec"]["taints"].as_array().map_or(&[][..], Vec::as_slice);
        let given_up = |it: &Value| it["key"] == UNREACHABLE && it["effect"] == "NoExecute";
        ensure!(taints.iter().any(given_up), "not yet");
        Ok(())
    })?;
    client.excuse(since);
    let since = Instant::now();
    crashed.mend(stage)?;
    client.further(20, PATIENCE).context("the node is back")?;
    stage.say(format!(
        "longest silence after the boot: {:.1} s",
        client.silence(since).as_secs_f64()
    ));
    federation.is(stage, "Ready", "True").map(drop)
}

/// Which pod is whose.
fn uids(stage: &Stage, federation: &Federation) -> anyhow::Result<BTreeMap<String, String>> {
    let pods = rollout::pods(stage, federation)?;
    Ok(pods.into_iter().map(|(validator, pod)| (validator, pod.uid)).collect())
}
