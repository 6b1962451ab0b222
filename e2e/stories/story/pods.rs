//! Pods go and processes die or hang, the one that leads the log and another: each validator comes back
//! by itself, on its own volume, as who it was.

use anyhow::ensure;
use serde_json::json;

use crate::{
    client::Client,
    federation::Federation,
    stage::{PATIENCE, Stage},
};

/// What is done to a validator.
#[derive(Clone, Copy)]
enum Deed {
    Delete,
    ForceDelete,
    Kill,
    Hang,
}

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<()> {
    // A hung process is found as it always is, only sooner than in the minute that is usual.
    let quick = json!({ "periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 3 });
    let container = json!({ "name": "cairn", "livenessProbe": quick });
    let overrides = json!({ "spec": { "containers": [container] } });
    let federation = Federation::of_four(stage, json!({ "podOverrides": overrides }))?;
    let client = Client::start(&federation.service(stage)?, 2);
    client.further(10, PATIENCE)?;
    for deed in [Deed::Delete, Deed::ForceDelete, Deed::Kill, Deed::Hang] {
        if matches!(deed, Deed::Kill | Deed::Hang) && !stage.cluster.has_our_nodes() {
            stage.say("processes are left alone: the nodes of this cluster are not ours");
            break;
        }
        let leader = federation.leader(stage)?;
        stage.say(format!("--- {leader}, who leads the log"));
        befall(stage, &federation, &client, &leader, deed)?;
        let leader = federation.leader(stage)?;
        let at = federation.validators.iter().position(|it| *it == leader).unwrap_or(0);
        let other = &federation.validators[(at + 1) % federation.validators.len()];
        stage.say(format!("--- {other}, who does not lead"));
        befall(stage, &federation, &client, other, deed)?;
    }
    stage.check(&federation, client)
}

/// Does it, and waits until the validator is back as who it was.
fn befall(
    stage: &Stage,
    federation: &Federation,
    client: &Client,
    validator: &str,
    deed: Deed,
) -> anyhow::Result<()> {
    let who = federation.identity(stage, validator)?;
    let run = federation.run(stage, validator)?;
    let pod = federation.pod(validator);
    let same_pod = match deed {
        Deed::Delete => {
            stage.kubectl(&["delete", "pod", &pod, "--wait=false"])?;
            false
        }
        Deed::ForceDelete => {
            stage.kubectl(&["delete", "pod", &pod, "--force", "--grace-period=0"])?;
            false
        }
        Deed::Kill => {
            federation.signal(stage, validator, "KILL")?;
            true
        }
        Deed::Hang => {
            federation.signal(stage, validator, "STOP")?;
            true
        }
    };
    federation.is_back(stage, validator, &run)?;
    let is = federation.identity(stage, validator)?;
    ensure!(is == who, "{validator} was {who:?} and came back as {is:?}");
    let (uid, restarts) = federation.run(stage, validator)?;
    ensure!((uid == run.0) == same_pod, "{validator}: pod {} became pod {uid}", run.0);
    ensure!(!same_pod || restarts == run.1 + 1, "{validator} was started {restarts} times");
    federation.is(stage, "Ready", "True")?;
    client.further(10, PATIENCE)
}
