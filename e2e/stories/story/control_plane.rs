//! Kubernetes' own API server and database are killed and stay away for a while. Validators do not need
//! them to vote; the operator needs them, waits, and goes on by itself.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;

use crate::{
    client::Client,
    nodes::{breaks, federation_on, lives, three},
    stage::{PATIENCE, Stage},
};

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<()> {
    let nodes = three(stage)?;
    let federation = federation_on(stage, &nodes)?;
    let before = lives(stage, &federation)?;
    let client = Client::start(&federation.service(stage)?, 8);
    client.further(20, PATIENCE)?;

    for service in ["kube-apiserver", "etcd"] {
        let since = Instant::now();
        let gone = breaks(stage, &["stop", "cp", service], &["start", "cp", service])?;
        while since.elapsed() < AWAY {
            client.further(20, Duration::from_secs(20)).context("the federation votes on")?;
        }
        gone.mend(stage)?;
        stage.until("the API server is back", || stage.quietly(&["get", "--raw", "/readyz"]))?;
        stage.say(format!(
            "longest silence without {service}: {:.1} s",
            client.silence(since).as_secs_f64()
        ));
    }
    stage.say("a wish is carried out: the operator is back by itself");
    let note =
        json!({ "api": { "service": { "annotations": { "example.com/after": "the outage" } } } });
    federation.patch(stage, note)?;
    stage.until("the Service has its new annotation", || {
        let service = stage.object("service", "ledger-api")?;
        ensure!(service["metadata"]["annotations"]["example.com/after"] == "the outage", "not yet");
        Ok(())
    })?;
    federation.is(stage, "Ready", "True")?;
    ensure!(lives(stage, &federation)? == before, "no validator was restarted");
    stage.check(&federation, client)
}

/// Longer than nodes may be silent before Kubernetes asks what is the matter with them.
const AWAY: Duration = Duration::from_secs(20);
