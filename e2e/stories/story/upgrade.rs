//! Changes that restart validators: other images, sizes and configuration, one validator at a time; and
//! images with which no validator can start.

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::{
    client::Client,
    federation::Federation,
    rollout::{Rollout, pods},
    stage::{PATIENCE, Stage},
};

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<()> {
    // As soon as may be: a halt is what this story waits for most.
    let federation = Federation::of_four(stage, json!({ "update": { "timeoutSeconds": 30 } }))?;
    let client = Client::start(&federation.service(stage)?, 4);
    client.further(20, PATIENCE)?;
    let images = Images::of(stage, &federation)?;
    let next = an_image_that_comes_late(stage, &federation, &client, &images)?;
    an_image_that_cannot_start(stage, &federation, &client, &images, &next)?;
    back_with_other_sizes_and_configuration(stage, &federation, &client, &images)?;
    stage.check(&federation, client)
}

/// The images of this story. All but the last are loaded beside the one that the federation has.
struct Images {
    repository: String,
    /// What the federation was made with.
    first: String,
    /// The same program.
    next: String,
    /// The same program with a variable that it refuses: it ends at once.
    broken: String,
    /// The same program again, which no node has until somebody brings it there.
    late: String,
}

impl Images {
    fn of(stage: &Stage, federation: &Federation) -> anyhow::Result<Self> {
        let object = stage.object("bcc", &federation.name)?;
        let image = object["status"]["image"].as_str().context("the status names the image")?;
        let (repository, first) = image.rsplit_once(':').context("the image has a tag")?;
        let tag = |what| format!("{first}-{what}");
        let [next, broken, late] = ["next", "broken", "late"].map(tag);
        Ok(Self { repository: repository.to_owned(), first: first.to_owned(), next, broken, late })
    }

    /// Brings the late one to every node, or takes it away.
    fn late_is_there(&self, stage: &Stage, there: bool) -> anyhow::Result<()> {
        let of = |tag| format!("{}:{tag}", self.repository);
        let (next, late) = (of(&self.next), of(&self.late));
        let nodes = stage.quietly(&["get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"])?;
        for node in nodes.split_whitespace() {
            let images = ["exec", node, "ctr", "--namespace", "k8s.io", "images"];
            let command = if there { vec!["tag", &next, &late] } else { vec!["rm", &late] };
            stage.cluster.node(&[&images[..], &command].concat())?;
        }
        Ok(())
    }
}

/// The first validator waits for an image that does not exist, and the others wait for it; when there is
/// such an image after all, the update goes on by itself. Ends with the tag that all run then.
fn an_image_that_comes_late(
    stage: &Stage,
    federation: &Federation,
    client: &Client,
    images: &Images,
) -> anyhow::Result<String> {
    if !stage.cluster.has_our_nodes() {
        stage.say("no image comes late here: the nodes are not ours");
        let mut rollout = Rollout::begin(stage, federation)?;
        federation.patch(stage, json!({ "image": { "tag": images.next } }))?;
        rollout.until_settled(stage, federation)?;
        rollout.replaced_each_once(stage)?;
        return Ok(images.next.clone());
    }
    images.late_is_there(stage, false)?;
    let mut rollout = Rollout::begin(stage, federation)?;
    federation.patch(stage, json!({ "image": { "tag": images.late } }))?;
    let said = rollout.until_halted(stage, federation)?;
    halted_at_the_first(stage, federation, &rollout, &said, "ImagePullFailed")?;
    client.further(20, PATIENCE)?;
    stage.say("the image is brought to every node");
    images.late_is_there(stage, true)?;
    rollout.until_settled(stage, federation)?;
    rollout.replaced_each_once(stage)?;
    for (validator, pod) in pods(stage, federation)? {
        ensure!(pod.image.ends_with(&images.late), "{validator} runs {}", pod.image);
    }
    client.further(20, PATIENCE)?;
    Ok(images.late.clone())
}

/// The program ends at once: nobody else is changed, and what was before is a patch away.
fn an_image_that_cannot_start(
    stage: &Stage,
    federation: &Federation,
    client: &Client,
    images: &Images,
    before: &str,
) -> anyhow::Result<()> {
    let mut rollout = Rollout::begin(stage, federation)?;
    federation.patch(stage, json!({ "image": { "tag": images.broken } }))?;
    let said = rollout.until_halted(stage, federation)?;
    halted_at_the_first(stage, federation, &rollout, &said, "ConfigRejected")?;
    ensure!(said.contains("order"), "what the program said last is missing: {said}");
    client.further(20, PATIENCE)?;
    federation.patch(stage, json!({ "image": { "tag": before } }))?;
    rollout.until_settled(stage, federation)?;
    let replaced = rollout.replaced();
    ensure!(
        replaced.len() == 2 && replaced[0] == replaced[1],
        "only the broken one was to be changed, and back: {replaced:?}"
    );
    Ok(())
}

/// Whether one validator was changed, is named with its reason, and the rest goes on as it was.
fn halted_at_the_first(
    stage: &Stage,
    federation: &Federation,
    rollout: &Rollout,
    said: &str,
    reason: &str,
) -> anyhow::Result<()> {
    let [first] = rollout.replaced() else {
        anyhow::bail!("one validator was to be changed, not {:?}", rollout.replaced());
    };
    ensure!(said.starts_with(first.as_str()), "{first} was changed, and it says: {said}");
    ensure!(said.contains(reason), "{reason} is the reason, and it says: {said}");
    let told = "no other validator is changed until it is back or the spec changes";
    ensure!(said.contains(told), "what to do is missing: {said}");
    let available = federation.condition(stage, "Available")?;
    ensure!(available["status"] == "True", "{available}");
    let ready = federation.condition(stage, "Ready")?;
    ensure!(ready["status"] == "False" && ready["reason"] == "UpdateHalted", "{ready}");
    Ok(())
}

/// To the first image again, with sizes and configuration changed by the same patch, once a person says so.
fn back_with_other_sizes_and_configuration(
    stage: &Stage,
    federation: &Federation,
    client: &Client,
    images: &Images,
) -> anyhow::Result<()> {
    let mut rollout = Rollout::begin(stage, federation)?;
    let spec = json!({
        "image": { "tag": images.first },
        "update": { "strategy": "Supervised" },
        "resources": { "requests": { "cpu": "11m", "memory": "72Mi" } },
        "config": { "intake": { "patience_s": 77 } },
    });
    federation.patch(stage, spec)?;
    let mut said = Value::Null;
    rollout.until(stage, federation, "the update waits for a person", |_| {
        said = federation.condition(stage, "Progressing")?;
        ensure!(said["reason"] == "AwaitingApproval", "{said}");
        Ok(())
    })?;
    let generation = stage.object("bcc", &federation.name)?["metadata"]["generation"].to_string();
    let approval = format!("cairndb.io/approve-update={generation}");
    let quoted = format!("cairndb.io/approve-update=\"{generation}\"");
    ensure!(said["message"].as_str().is_some_and(|said| said.contains(&quoted)), "{said}");
    client.further(100, PATIENCE)?;
    rollout.nobody_restarted(stage, federation)?;
    stage.kubectl(&["annotate", "bcc", &federation.name, "--overwrite", &approval])?;
    rollout.until_settled(stage, federation)?;
    rollout.replaced_each_once(stage)?;
    for validator in &federation.validators {
        let pod = stage.object("pod", &federation.pod(validator))?;
        let container = &pod["spec"]["containers"][0];
        let image = container["image"].as_str().unwrap_or_default();
        ensure!(image.ends_with(&format!(":{}", images.first)), "{validator} runs {image}");
        ensure!(container["resources"]["requests"]["cpu"] == "11m", "{validator}: {container}");
        let name = format!("{}-{validator}", federation.name);
        let config = stage.object("configmap", &name)?["data"].to_string();
        ensure!(config.contains("77"), "{validator} is configured otherwise: {config}");
    }
    if stage.cluster.has_our_nodes() {
        images.late_is_there(stage, false)?;
    }
    Ok(())
}
