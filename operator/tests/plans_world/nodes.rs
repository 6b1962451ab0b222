//! The nodes of that world, and the kubelets that run them.

use std::collections::BTreeMap;

use cairn_ledger::{genesis::Genesis, signature::SigningKey};
use cairn_operator::{manifest::Kind, names::GENESIS_KEY, observe::NodeReport};
use serde_json::{Value, json};

use super::{World, hash};

/// A validator's keys: of its consensus, of its member. They are on its volume.
pub(crate) fn keys(volume: &str) -> [String; 2] {
    let key = |what: &str| {
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&hash(&Value::from(format!("{what} {volume}"))).to_be_bytes());
        SigningKey::from_seed(seed).public().to_string()
    };
    [key("consensus"), key("member")]
}

impl World {
    /// What is wrong with a validator: by order of the script, or because of its image.
    fn trouble(&self, validator: &str) -> Option<String> {
        let pod = self.pods.get(validator)?;
        let image = pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
        let of_image = ["unpullable", "crashing"].iter().find(|bad| image.contains(**bad));
        self.broken.get(validator).cloned().or_else(|| of_image.map(|bad| (*bad).to_owned()))
    }

    fn volume(&self, validator: &str) -> Option<String> {
        let claim = (Kind::PersistentVolumeClaim, format!("data-demo-{validator}"));
        Some(self.objects.get(&claim)?["metadata"]["uid"].as_str()?.to_owned())
    }

    /// The document that is mounted, if any.
    fn mounted(&self) -> Option<Genesis> {
        let published = self.objects.get(&(Kind::ConfigMap, "demo-genesis".into()))?;
        Genesis::from_json(published["data"][GENESIS_KEY].as_str()?).ok()
    }

    /// Validators that sign now, and their power; those elsewhere included.
    fn voting(&self, genesis: &Genesis) -> BTreeMap<String, u64> {
        let local =
            |name: &str| self.objects.contains_key(&(Kind::StatefulSet, format!("demo-{name}")));
        // What is broken is so when its kubelet says so: what runs votes until then, as it says itself.
        let votes = |name: &str| match local(name) {
            true => {
                let runs =
                    self.pods.get(name).is_some_and(|pod| pod["status"]["phase"] == "Running");
                runs && self.trouble(name).as_deref() != Some("silent")
            }
            false => !self.down.contains(name),
        };
        let validators = genesis.validators().iter().filter(|v| votes(&v.name));
        validators.map(|v| (v.name.clone(), v.power)).collect()
    }

    /// Whether the federation decides.
    pub(crate) fn has_quorum(&self) -> bool {
        self.genesis.as_ref().is_some_and(|genesis| {
            3 * self.voting(genesis).values().sum::<u64>() > 2 * genesis.total_power()
        })
    }

    /// Whether it could decide without one of them at all.
    pub(crate) fn could_spare(&self, validator: &str) -> bool {
        self.genesis.as_ref().is_some_and(|genesis| {
            let others = genesis.validators().iter().filter(|v| v.name != validator);
            3 * others.map(|v| v.power).sum::<u64>() > 2 * genesis.total_power()
        })
    }

    /// Kubelets start what is not broken, and the first of those that vote leads.
    pub(crate) fn run_nodes(&mut self) {
        self.genesis = self.genesis.take().or_else(|| self.mounted());
        let names: Vec<String> = self.pods.keys().cloned().collect();
        for name in names {
            let trouble = self.trouble(&name);
            let chained = self.genesis.is_some();
            let pod = self.pods.get_mut(&name).expect("it is there");
            let ready = chained
                && !matches!(
                    trouble.as_deref(),
                    Some("crashing" | "unpullable" | "unscheduled" | "unready")
                );
            let state = match trouble.as_deref() {
                Some("unpullable") => json!({ "waiting": {
                    "reason": "ImagePullBackOff", "message": "Back-off pulling image" } }),
                Some("crashing") => json!({ "waiting": { "reason": "CrashLoopBackOff" } }),
                Some("unscheduled") => json!({}),
                _ => json!({ "running": {} }),
            };
            let running = state.get("running").is_some();
            pod["status"] = json!({
                "phase": if running { "Running" } else { "Pending" },
                "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }],
                "containerStatuses": [{
                    "name": "cairn", "image": "", "imageID": "", "ready": ready, "restartCount": 0,
                    "state": state,
                }],
            });
            match trouble.as_deref() {
                Some("crashing") => {
                    pod["status"]["containerStatuses"][0]["lastState"] = json!({ "terminated": {
                        "exitCode": 10, "message": "a log line\nlisten.api: no such address\n" } });
                }
                Some("unscheduled") => {
                    pod["status"]["containerStatuses"] = json!([]);
                    pod["status"]["conditions"] = json!([{
                        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                        "message": "0/3 nodes are available: 3 Insufficient memory." }]);
                }
                _ => {}
            }
        }
        let voting = self.genesis.as_ref().map(|genesis| self.voting(genesis)).unwrap_or_default();
        let leads = |name: &String| voting.contains_key(name) && self.pods.contains_key(name);
        if !self.leader.as_ref().is_some_and(leads) {
            self.leader = voting.keys().find(|name| leads(name)).cloned();
        }
    }

    /// What each says on its admin port.
    pub(super) fn nodes(&self) -> BTreeMap<String, Result<NodeReport, String>> {
        let running = self.pods.iter().filter(|(_, pod)| pod["status"]["phase"] == "Running");
        running.map(|(name, _)| (name.clone(), self.say(name))).collect()
    }

    fn say(&self, name: &str) -> Result<NodeReport, String> {
        let trouble = self.trouble(name);
        if trouble.as_deref() == Some("unreachable") {
            return Err("no route to host".into());
        }
        let volume = self.volume(name).ok_or("no volume")?;
        let [consensus_key, member_key] = keys(&volume);
        let founding = NodeReport {
            phase: "founding".into(),
            validator: name.to_owned(),
            consensus_key,
            member_key,
            not_ready_because: Some("there is no chain yet".into()),
            version: "1.0.0".into(),
            ..NodeReport::default()
        };
        let Some(genesis) = &self.genesis else { return Ok(founding) };
        let quorum = self.has_quorum();
        let silent = trouble.as_deref() == Some("silent");
        let unready = trouble.as_deref() == Some("unready");
        // On another volume than the one that its key was made on, it follows.
        let own = &founding.consensus_key;
        let known = genesis.validators().iter().any(|it| it.consensus_key.to_string() == *own);
        Ok(NodeReport {
            phase: "running".into(),
            chain_id: genesis.chain().to_string(),
            height: if trouble.as_deref() == Some("behind") { 10 } else { 100 },
            best_peer: 100,
            ready: !unready,
            not_ready_because: unready.then(|| "it looks at its store".into()),
            voting: known && !silent,
            not_voting_because: silent
                .then(|| "SIGN_STATE_CORRUPT: what it signed is damaged".into()),
            quorum,
            no_quorum_because: (!quorum).then(|| "too few validators can be reached".into()),
            certificate_expiry: self.certificate_expiry,
            leads: self.leader.as_deref() == Some(name) || trouble.as_deref() == Some("claims"),
            ..founding
        })
    }
}
