//! One validator of a federation: who it is, how it is, and what can be done to its process.

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::{federation::Federation, stage::Stage};

/// Who a validator is: what has to outlive its pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The public half of the key that signs its votes.
    pub(crate) consensus_key: String,
    /// The chain.
    pub(crate) chain: String,
    /// Its claim's uid.
    pub(crate) claim: String,
    /// The volume behind it.
    pub(crate) volume: String,
}

/// One run of a validator: the pod's uid, and how often its container was started again.
pub(crate) type Run = (String, u64);

impl Federation {
    /// What a validator says of itself, asked in its own container.
    pub(crate) fn status(&self, stage: &Stage, validator: &str) -> anyhow::Result<Value> {
        let pod = self.pod(validator);
        let text = stage.quietly(&["exec", &pod, "--", "cairn", "status", "--output", "json"])?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Who a validator is.
    pub(crate) fn identity(&self, stage: &Stage, validator: &str) -> anyhow::Result<Identity> {
        let chain = text(&self.status(stage, validator)?["chain_id"])?;
        let key = ["cairn", "key", "show", "/var/lib/cairn/consensus.key"];
        let shown = stage.quietly(&[&["exec", &self.pod(validator), "--"], &key[..]].concat())?;
        let claim = stage.object("pvc", &self.claim(validator))?;
        Ok(Identity {
            consensus_key: shown.trim().to_owned(),
            chain,
            claim: text(&claim["metadata"]["uid"])?,
            volume: text(&claim["spec"]["volumeName"])?,
        })
    }

    /// The claim of a validator's volume.
    pub(crate) fn claim(&self, validator: &str) -> String {
        format!("data-{}-{validator}", self.name)
    }

    /// Which run of a validator this is.
    pub(crate) fn run(&self, stage: &Stage, validator: &str) -> anyhow::Result<Run> {
        let pod = stage.object("pod", &self.pod(validator))?;
        let restarts = pod["status"]["containerStatuses"][0]["restartCount"].as_u64();
        Ok((text(&pod["metadata"]["uid"])?, restarts.unwrap_or(0)))
    }

    /// Waits until a validator runs again, serves and votes.
    pub(crate) fn is_back(
        &self,
        stage: &Stage,
        validator: &str,
        before: &Run,
    ) -> anyhow::Result<()> {
        stage.until(&format!("{validator} is back and votes"), || {
            ensure!(self.run(stage, validator)? != *before, "it runs as it did");
            self.votes(stage, validator)
        })
    }

    /// Whether a validator serves and votes.
    pub(crate) fn votes(&self, stage: &Stage, validator: &str) -> anyhow::Result<()> {
        let pod = stage.object("pod", &self.pod(validator))?;
        let conditions = pod["status"]["conditions"].as_array().context("no conditions yet")?;
        let ready = conditions.iter().any(|it| it["type"] == "Ready" && it["status"] == "True");
        // Right after a restart "Ready" may still be that of the run before.
        let started = pod["status"]["containerStatuses"][0]["started"] == true;
        ensure!(ready && started, "{validator} is not ready");
        let said = self.status(stage, validator)?;
        ensure!(said["voting"] == true && said["ready"] == true, "{validator}: {said}");
        Ok(())
    }

    /// Who leads the log now.
    pub(crate) fn leader(&self, stage: &Stage) -> anyhow::Result<String> {
        stage.until("one of them leads", || {
            for validator in &self.validators {
                if self.status(stage, validator)?["leads"] == true {
                    return Ok(validator.clone());
                }
            }
            bail!("nobody says so")
        })
    }

    /// Sends a signal to a validator's process, from the node that it runs on.
    pub(crate) fn signal(
        &self,
        stage: &Stage,
        validator: &str,
        signal: &str,
    ) -> anyhow::Result<()> {
        let pod = stage.object("pod", &self.pod(validator))?;
        let (node, uid) = (text(&pod["spec"]["nodeName"])?, text(&pod["metadata"]["uid"])?);
        stage.say(format!("kill -{signal} the process of {validator} on {node}"));
        // The pod's cgroup has its uid in its name.
        let script = format!(
            "for p in /proc/[0-9]*; do \
               if grep -q {uid} $p/cgroup && [ \"$(cat $p/comm)\" = cairn ]; then kill -{signal} ${{p#/proc/}} && echo done; fi; \
             done 2>/dev/null"
        );
        let done = stage.cluster.node(&["exec", &node, "sh", "-c", &script]);
        let done = done.with_context(|| format!("looking for the process of {validator}"))?;
        ensure!(done.trim() == "done", "no process of {validator} was found on {node}");
        Ok(())
    }
}

/// A text that has to be there.
pub(crate) fn text(value: &Value) -> anyhow::Result<String> {
    Ok(value.as_str().with_context(|| format!("{value} is no text"))?.to_owned())
}
