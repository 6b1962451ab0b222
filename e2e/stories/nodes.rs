//! The machines under a federation: which there are, who sits where, and breaking them such that they
//! are whole again when a story ends, however it ends.

use anyhow::ensure;
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    federation::Federation,
    stage::{NotHere, Stage},
};

/// What is to be done to put a node right again; done when this goes, at the latest.
#[must_use = "it is mended when this is dropped"]
pub(crate) struct Broken<'a> {
    cluster: &'a Cluster,
    mend: Option<Vec<String>>,
}

impl Broken<'_> {
    /// Puts it right.
    ///
    /// # Errors
    ///
    /// When that does not work.
    pub(crate) fn mend(mut self, stage: &Stage) -> anyhow::Result<()> {
        let mend = self.mend.take().unwrap_or_default();
        act(stage, &mend)
    }
}

impl Drop for Broken<'_> {
    fn drop(&mut self) {
        let Some(mend) = self.mend.take() else { return };
        let words: Vec<&str> = mend.iter().map(String::as_str).collect();
        if let Err(error) = self.cluster.node(&words) {
            println!("    it stays broken: {}: {error:#}", mend.join(" "));
        }
    }
}

/// Breaks something of a node by the words of `cluster.sh`, of which `mend` undo it.
///
/// # Errors
///
/// [`NotHere`] where nodes are not ours to break.
pub(crate) fn breaks<'a>(
    stage: &Stage<'a>,
    words: &[&str],
    mend: &[&str],
) -> anyhow::Result<Broken<'a>> {
    let owned = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let broken = Broken { cluster: stage.cluster, mend: Some(owned(mend)) };
    act(stage, &owned(words))?;
    Ok(broken)
}

fn act(stage: &Stage, words: &[String]) -> anyhow::Result<()> {
    stage.say(format!("# node: {}", words.join(" ")));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    stage.cluster.node(&words).map(drop)
}

/// Three nodes that take pods.
///
/// # Errors
///
/// [`NotHere`] where there are fewer, or where they are not ours to break.
pub(crate) fn three(stage: &Stage) -> anyhow::Result<[String; 3]> {
    if !stage.cluster.has_our_nodes() {
        return Err(
            NotHere("it breaks nodes, and those of this cluster are not ours".into()).into()
        );
    }
    let list: Value = serde_json::from_str(&stage.quietly(&["get", "nodes", "-o", "json"])?)?;
    let nodes = list["items"].as_array().into_iter().flatten();
    let free = nodes.filter(|node| node["spec"]["unschedulable"] != true);
    let names = free.filter_map(|node| Some(node["metadata"]["name"].as_str()?.to_owned()));
    let names: Vec<String> = names.take(3).collect();
    names
        .try_into()
        .map_err(|few: Vec<_>| NotHere(format!("it needs three nodes, not {few:?}")).into())
}

/// Four validators on three nodes: alice on the first, bob on the second, carol and dave on the third.
/// No more than that can be had of three: one of them always holds what the rest cannot do without.
pub(crate) fn federation_on(stage: &Stage, nodes: &[String; 3]) -> anyhow::Result<Federation> {
    let [first, second, third] = nodes;
    let places = [("alice", first), ("bob", second), ("carol", third), ("dave", third)];
    let place = |(name, node): &(&str, &String)| json!({ "name": name, "nodeSelector": { "kubernetes.io/hostname": node } });
    let validators: Vec<Value> = places.iter().map(place).collect();
    Federation::of_four(stage, json!({ "validators": validators }))
}

/// What tells validators apart, and must stay as it is whatever happens to their nodes: keys and volumes.
pub(crate) fn identities(stage: &Stage, federation: &Federation) -> anyhow::Result<Vec<Value>> {
    let object = stage.object("bcc", &federation.name)?;
    let members = object["status"]["members"].as_array().cloned().unwrap_or_default();
    ensure!(members.len() == federation.validators.len(), "not all are told of: {members:?}");
    let mut identities = vec![];
    for member in members {
        let claim = member["claim"].as_str().unwrap_or_default();
        let volume = stage.object("persistentvolumeclaim", claim)?["spec"]["volumeName"].clone();
        identities.push(json!([
            member["name"],
            member["consensusKey"],
            member["memberKey"],
            volume
        ]));
    }
    Ok(identities)
}

/// Each pod of the federation as long as nobody restarts it: its uid and how often its container began.
pub(crate) fn lives(stage: &Stage, federation: &Federation) -> anyhow::Result<Vec<Value>> {
    let life = |validator: &String| {
        let pod = stage.object("pod", &federation.pod(validator))?;
        Ok(json!([pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"]]))
    };
    federation.validators.iter().map(life).collect()
}

/// A validator as the status has it.
pub(crate) fn member(stage: &Stage, federation: &Federation, name: &str) -> anyhow::Result<Value> {
    let object = stage.object("bcc", &federation.name)?;
    let mut members = object["status"]["members"].as_array().into_iter().flatten();
    Ok(members.find(|member| member["name"] == name).cloned().unwrap_or_default())
}
