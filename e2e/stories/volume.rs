//! Volumes apart from their claims: what a person does who saves one, or puts one back.

use anyhow::ensure;
use serde_json::{Value, json};

use crate::{federation::Federation, stage::Stage, validator::text};

/// A volume that outlives its claim.
pub(crate) struct Kept(String);

impl Federation {
    /// From now on a validator's volume stays when its claim goes.
    pub(crate) fn keep_volume(&self, stage: &Stage, validator: &str) -> anyhow::Result<Kept> {
        let claim = stage.object("pvc", &self.claim(validator))?;
        let kept = Kept(text(&claim["spec"]["volumeName"])?);
        kept.reclaim(stage, "Retain")?;
        Ok(kept)
    }

    /// A claim under a validator's name on that volume, with these labels; the volume goes with it again.
    pub(crate) fn claim_volume(
        &self,
        stage: &Stage,
        validator: &str,
        kept: &Kept,
        labels: &Value,
    ) -> anyhow::Result<()> {
        let volume = stage.object("pv", &kept.0)?;
        let free = json!({ "spec": { "claimRef": null } }).to_string();
        stage.kubectl(&["patch", "pv", &kept.0, "--type=merge", "--patch", &free])?;
        let name = self.claim(validator);
        let claim = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": { "name": name, "labels": labels },
            "spec": {
                "volumeName": kept.0,
                "accessModes": volume["spec"]["accessModes"],
                "storageClassName": volume["spec"]["storageClassName"],
                "resources": { "requests": { "storage": volume["spec"]["capacity"]["storage"] } },
            },
        });
        stage.apply(&format!("a claim {name} on the volume {}", kept.0), &claim)?;
        stage.until(&format!("{name} is bound"), || {
            let claim = stage.object("pvc", &name)?;
            ensure!(claim["status"]["phase"] == "Bound", "{}", claim["status"]);
            Ok(())
        })?;
        kept.reclaim(stage, "Delete")
    }

    /// Deletes the claim of a validator that does not run, and waits until it is gone.
    pub(crate) fn drop_claim(&self, stage: &Stage, validator: &str) -> anyhow::Result<()> {
        stage.kubectl(&["delete", "pvc", &self.claim(validator)]).map(drop)
    }
}

impl Kept {
    fn reclaim(&self, stage: &Stage, policy: &str) -> anyhow::Result<()> {
        let patch = json!({ "spec": { "persistentVolumeReclaimPolicy": policy } }).to_string();
        stage.kubectl(&["patch", "pv", &self.0, "--patch", &patch]).map(drop)
    }
}
