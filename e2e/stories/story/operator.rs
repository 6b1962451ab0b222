//! The operator's own deaths and upgrades: what it was doing goes on, and no validator is restarted for it.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::json;

use crate::{
    client::Client,
    cluster::Cluster,
    federation::Federation,
    rollout::Rollout,
    stage::{PATIENCE, Stage},
};

/// Where `charts/cairn-operator` is installed, and under which name.
const INSTALLED: (&str, &str) = ("cairn-system", "cairn-operator");

/// A Lease lasts 15 s and is looked at every 2 s; the rest is for a busy machine.
const TAKEN_OVER: Duration = Duration::from_secs(30);

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<()> {
    exactly_one_leads(stage)?;
    let federation = made_while_the_operator_dies(stage)?;
    let client = Client::start(&federation.service(stage)?, 4);
    client.further(20, PATIENCE)?;
    let upgraded = Upgraded::to_the_next(stage, &federation)?;
    volumes_grow_while_the_operator_dies(stage, &federation)?;
    client.further(20, PATIENCE)?;
    updated_while_operators_die_and_change(stage, &federation, upgraded)?;
    client.further(20, PATIENCE)?;
    the_next_takes_over(stage)?;
    stage.check(&federation, client)
}

/// Of the replicas that there are, one says that it leads, and it is the one that the Lease names.
fn exactly_one_leads(stage: &Stage) -> anyhow::Result<()> {
    let holder = stage.until("exactly one replica of the operator leads", || {
        let replicas = replicas(stage)?;
        ensure!(replicas.len() > 1, "the operator is installed with more than one replica");
        let mut leading = vec![];
        for replica in &replicas {
            if leads(stage, replica)? {
                leading.push(replica.clone());
            }
        }
        let holder = leader(stage)?;
        ensure!(leading == [holder.clone()], "{leading:?} lead, and {holder} has the Lease");
        Ok(holder)
    })?;
    stage.say(format!("{holder} leads"));
    Ok(())
}

/// A federation whose operator dies as soon as something is there of it.
fn made_while_the_operator_dies(stage: &Stage) -> anyhow::Result<Federation> {
    let federation = Federation::apply_four(stage, json!({}))?;
    stage.until("the first validators are being made", || {
        let made = stage.quietly(&["get", "pods", "-o", "name"])?;
        ensure!(!made.is_empty(), "no pod yet");
        Ok(())
    })?;
    let died = holder(stage)?;
    delete_now(stage, &[leader(stage)?])?;
    taken_over(stage, &died)?;
    federation.is(stage, "Ready", "True")?;
    Ok(federation)
}

/// Both replicas die right after a volume was asked to grow: it grows, and no validator notices.
fn volumes_grow_while_the_operator_dies(
    stage: &Stage,
    federation: &Federation,
) -> anyhow::Result<()> {
    let rollout = Rollout::begin(stage, federation)?;
    let replicas = replicas(stage)?;
    federation.patch(stage, json!({ "storage": { "data": { "size": "2Gi" } } }))?;
    delete_now(stage, &replicas)?;
    stage.until("every volume has grown", || {
        for validator in &federation.validators {
            let name = format!("data-{}-{validator}", federation.name);
            let claim = stage.object("persistentvolumeclaim", &name)?;
            let has = &claim["status"]["capacity"]["storage"];
            ensure!(has == "2Gi", "{name} has {has}");
        }
        Ok(())
    })?;
    federation.is(stage, "Ready", "True")?;
    rollout.nobody_restarted(stage, federation)
}

/// Its process is killed while the second validator changes, and another version of it comes while the third does.
fn updated_while_operators_die_and_change(
    stage: &Stage,
    federation: &Federation,
    upgraded: Upgraded<'_>,
) -> anyhow::Result<()> {
    let image = stage.object("bcc", &federation.name)?["status"]["image"].clone();
    let tag = image.as_str().and_then(|image| image.rsplit(':').next()).context("it has a tag")?;
    let mut rollout = Rollout::begin(stage, federation)?;
    federation.patch(stage, json!({ "image": { "tag": format!("{tag}-next") } }))?;
    let so_many = |count: usize| {
        move |rollout: &Rollout| {
            let replaced = rollout.replaced();
            ensure!(replaced.len() >= count, "only {replaced:?} yet");
            Ok(())
        }
    };
    rollout.until(stage, federation, "the second validator changes", so_many(2))?;
    let died = holder(stage)?;
    kill(stage, &leader(stage)?)?;
    rollout.until(stage, federation, "another process leads", |_| other_than(stage, &died))?;
    rollout.until(stage, federation, "the third validator changes", so_many(3))?;
    upgraded.and_back(stage)?;
    rollout.until_settled(stage, federation)?;
    rollout.replaced_each_once(stage)?;
    let (namespace, name) = INSTALLED;
    let deployment = format!("deployment/{name}");
    stage.kubectl(&["--namespace", namespace, "rollout", "status", &deployment]).map(drop)
}

/// A leader that ends as it should gives its Lease back.
fn the_next_takes_over(stage: &Stage) -> anyhow::Result<()> {
    exactly_one_leads(stage)?;
    let (ends, pod) = (holder(stage)?, leader(stage)?);
    stage.kubectl(&["--namespace", INSTALLED.0, "delete", "pod", &pod, "--wait=false"])?;
    let took = taken_over(stage, &ends)?;
    ensure!(took < Duration::from_secs(10), "a clean end hands over at once, not after {took:?}");
    exactly_one_leads(stage)
}

/// The operator in another version, until it is taken back. Whatever becomes of the story, it is.
struct Upgraded<'a> {
    cluster: &'a Cluster,
    done: bool,
}

impl<'a> Upgraded<'a> {
    /// Upgrades the operator, and the image that it gives to new federations. Those that there are keep
    /// theirs, and none of their validators is restarted.
    fn to_the_next(stage: &Stage<'a>, federation: &Federation) -> anyhow::Result<Self> {
        let rollout = Rollout::begin(stage, federation)?;
        let (namespace, name) = INSTALLED;
        let path = "jsonpath={.spec.template.spec.containers[0].image}";
        let image =
            stage.quietly(&["--namespace", namespace, "get", "deployment", name, "-o", path])?;
        let (repository, tag) = image.rsplit_once(':').context("its image has a tag")?;
        let (mut images, next) = (vec![], format!("{tag}-next"));
        for (field, value) in
            [("image.repository", repository), ("image.tag", &next), ("validatorImage.tag", &next)]
        {
            images.extend(["--set".to_owned(), format!("{field}={value}")]);
        }
        let upgrade = ["upgrade", name, "charts/cairn-operator", "--namespace", namespace];
        let upgrade = [&upgrade[..], &["--reuse-values", "--wait"]].concat();
        let images: Vec<&str> = images.iter().map(String::as_str).collect();
        stage.say(format!("$ helm {} {}", upgrade.join(" "), images.join(" ")));
        // From here on: a half-done upgrade is taken back as well.
        let upgraded = Self { cluster: stage.cluster, done: false };
        stage.cluster.helm(&[&upgrade[..], &images].concat())?;
        exactly_one_leads(stage)?;
        federation.is(stage, "Ready", "True")?;
        rollout.nobody_restarted(stage, federation)?;
        Ok(upgraded)
    }

    /// Begins to take it back, and does not wait: there is something to look at meanwhile.
    fn and_back(mut self, stage: &Stage) -> anyhow::Result<()> {
        stage.say("$ helm rollback cairn-operator");
        self.done = true;
        self.rollback()
    }

    fn rollback(&self) -> anyhow::Result<()> {
        let (namespace, name) = INSTALLED;
        self.cluster.helm(&["rollback", name, "--namespace", namespace]).map(drop)
    }
}

impl Drop for Upgraded<'_> {
    fn drop(&mut self) {
        if !self.done
            && let Err(error) = self.rollback()
        {
            println!("    the operator stays in another version: {error:#}");
        }
    }
}

/// The operator's pods.
fn replicas(stage: &Stage) -> anyhow::Result<Vec<String>> {
    let pods = stage.quietly(&[
        "--namespace",
        INSTALLED.0,
        "get",
        "pods",
        "--selector",
        "app.kubernetes.io/name=cairn-operator",
        "-o",
        "jsonpath={.items[*].metadata.name}",
    ])?;
    Ok(pods.split_whitespace().map(str::to_owned).collect())
}

/// The pod that has the Lease.
fn leader(stage: &Stage) -> anyhow::Result<String> {
    let holder = holder(stage)?;
    let (pod, _) = holder.rsplit_once('-').context("nobody has the Lease")?;
    Ok(pod.to_owned())
}

/// The process that has the Lease: its pod's name, and dice.
fn holder(stage: &Stage) -> anyhow::Result<String> {
    let (namespace, name) = INSTALLED;
    let path = "jsonpath={.spec.holderIdentity}";
    stage.quietly(&["--namespace", namespace, "get", "lease", name, "-o", path])
}

/// Whether a replica says of itself that it leads.
fn leads(stage: &Stage, replica: &str) -> anyhow::Result<bool> {
    let path = format!("/api/v1/namespaces/{}/pods/{replica}:8080/proxy/metrics", INSTALLED.0);
    let metrics = stage.cluster.kubectl(&["get", "--raw", &path], None)?;
    let says = metrics.lines().find_map(|line| line.strip_prefix("cairn_operator_leader "));
    Ok(says.context("it does not say whether it leads")?.trim() == "1")
}

/// Waits until another process leads; how long that took.
fn taken_over(stage: &Stage, died: &str) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    stage.within(TAKEN_OVER, "another process leads", || other_than(stage, died))?;
    Ok(begun.elapsed())
}

fn other_than(stage: &Stage, died: &str) -> anyhow::Result<()> {
    let holder = holder(stage)?;
    ensure!(holder != died && !holder.is_empty(), "the Lease names {holder:?}");
    Ok(())
}

/// Deletes pods without letting them end.
fn delete_now(stage: &Stage, pods: &[String]) -> anyhow::Result<()> {
    let pods: Vec<&str> = pods.iter().map(String::as_str).collect();
    let force = ["--force", "--grace-period=0", "--wait=false"];
    let delete = ["--namespace", INSTALLED.0, "delete", "pod"];
    stage.kubectl(&[&delete[..], &pods, &force].concat()).map(drop)
}

/// Kills a replica's process; where the nodes are not ours, its pod is deleted instead.
fn kill(stage: &Stage, replica: &str) -> anyhow::Result<()> {
    if !stage.cluster.has_our_nodes() {
        return delete_now(stage, &[replica.to_owned()]);
    }
    let path = "jsonpath={.spec.nodeName} {.status.containerStatuses[0].containerID}";
    let found = stage.quietly(&["--namespace", INSTALLED.0, "get", "pod", replica, "-o", path])?;
    let Some((node, container)) = found.split_once(" containerd://") else {
        bail!("{replica} has no container: {found}");
    };
    stage.say(format!("{replica}'s process is killed on {node}"));
    let ctr = ["exec", node, "ctr", "--namespace", "k8s.io", "tasks", "kill"];
    stage.cluster.node(&[&ctr[..], &["--signal", "SIGKILL", container]].concat()).map(drop)
}
