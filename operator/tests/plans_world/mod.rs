//! A world in which plans can be carried out without a Kubernetes: objects, the StatefulSet controller, a
//! kubelet, and nodes as far as the operator sees them. It is as kind as the real one or less: it does one
//! thing at a time, and only when it is told to.

mod nodes;

pub(crate) use nodes::keys;

use std::collections::{BTreeMap, BTreeSet};

use cairn_ledger::genesis::Genesis;
use cairn_operator::{
    apply::Applied,
    check::{Checked, check},
    crd::BlockchainCluster,
    manifest::{Kind, Manifest},
    names::{ANNOTATION_GENESIS, LABEL_VALIDATOR},
    observe::Observed,
    plan::{Plan, Step, audit::audit, plan},
    report::{Announcement, Outcome, announce, report},
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

/// The image that the operator was installed with.
pub(crate) const IMAGE: &str = "r.example/cairn:1";
/// When worlds begin.
const BEGINNING: i64 = 1_800_000_000;

/// Everything that there is.
pub(crate) struct World {
    pub(crate) cluster: BlockchainCluster,
    pub(crate) objects: BTreeMap<(Kind, String), Value>,
    pub(crate) pods: BTreeMap<String, Value>,
    pub(crate) now: Timestamp,
    pub(crate) reference: Option<String>,
    pub(crate) rivals: Vec<String>,
    pub(crate) installed: BTreeSet<Kind>,
    /// What is wrong with validators, by name.
    pub(crate) broken: BTreeMap<String, String>,
    /// Validators elsewhere that are down.
    pub(crate) down: BTreeSet<String>,
    pub(crate) leader: Option<String>,
    /// When the API's certificate ends that the nodes have loaded; 0 without one.
    pub(crate) certificate_expiry: i64,
    /// The genesis that the nodes have read, and keep.
    genesis: Option<Genesis>,
    made: u64,
}

/// What came of one pass.
pub(crate) struct Pass {
    /// The plan, unless the spec was refused.
    pub(crate) plan: Option<Plan>,
    pub(crate) news: Vec<Announcement>,
    /// Whether anything was written.
    pub(crate) wrote: bool,
}

impl World {
    /// A cluster of that spec, and nothing else.
    pub(crate) fn new(spec: Value) -> Self {
        let spec = serde_json::from_value(spec).expect("a spec");
        let mut cluster = BlockchainCluster::new("demo", spec);
        cluster.metadata.namespace = Some("ledgers".into());
        cluster.metadata.uid = Some("uid-of-demo".into());
        cluster.metadata.generation = Some(1);
        Self {
            cluster,
            objects: BTreeMap::new(),
            pods: BTreeMap::new(),
            now: Timestamp::from_second(BEGINNING).expect("a time"),
            reference: None,
            rivals: vec![],
            installed: BTreeSet::new(),
            broken: BTreeMap::new(),
            down: BTreeSet::new(),
            leader: None,
            certificate_expiry: 0,
            genesis: None,
            made: 0,
        }
    }

    /// What an operator sees of it.
    pub(crate) fn observe(&self) -> Observed {
        let pod = |value: &Value| -> Pod { serde_json::from_value(value.clone()).expect("a pod") };
        Observed {
            now: self.now,
            objects: self.objects.clone(),
            pods: self.pods.iter().map(|(name, value)| (name.clone(), pod(value))).collect(),
            nodes: self.nodes(),
            genesis_reference: self.reference.clone(),
            prefix_rivals: self.rivals.clone(),
            installed: self.installed.clone(),
            default_image: IMAGE.into(),
        }
    }

    /// Whether planning twice comes to the same.
    pub(crate) fn is_decided(&self) -> bool {
        let plans = [self.look(), self.look()].map(|look| look.map(|(_, _, plan)| plan));
        plans[0] == plans[1]
    }

    /// What would be done now.
    pub(crate) fn look(&self) -> Option<(Checked, Observed, Plan)> {
        let observed = self.observe();
        let checked = check(&self.cluster, &observed).ok()?;
        let plan = plan(&self.cluster, &checked, &observed);
        Some((checked, observed, plan))
    }

    /// One pass of the operator, which dies after `writes` of its steps if there are more.
    pub(crate) fn pass(&mut self, writes: usize) -> Pass {
        let observed = self.observe();
        let before = self.cluster.status.clone();
        let checked = check(&self.cluster, &observed);
        let (status, plan, died) = match &checked {
            Err(refusals) => {
                let outcome = Outcome::Refused(refusals);
                (report(&self.cluster, &observed, &outcome), None, false)
            }
            Ok(checked) => {
                let plan = plan(&self.cluster, checked, &observed);
                audit(&plan, checked, &observed).expect("plans pass the audit");
                let died = plan.steps.len() > writes;
                let done: Vec<_> = plan.steps.iter().take(writes).cloned().collect();
                done.iter().for_each(|step| self.carry_out(step));
                let applied = Applied { done, failed: None };
                let outcome = Outcome::Planned { checked, plan: &plan, applied: &applied };
                (report(&self.cluster, &observed, &outcome), Some(plan), died)
            }
        };
        let news = announce(before.as_ref(), &status);
        let steps = plan.as_ref().is_some_and(|plan| !plan.steps.is_empty());
        let wrote = steps || before.as_ref() != Some(&status);
        if !died {
            self.cluster.status = Some(status);
        }
        Pass { plan, news, wrote }
    }

    fn uid(&mut self) -> String {
        self.made += 1;
        format!("uid-{}", self.made)
    }

    fn carry_out(&mut self, step: &Step) {
        match step {
            Step::Apply(manifest) => self.write(manifest),
            Step::Publish(manifest) => {
                let there = self.objects.contains_key(&(manifest.kind, manifest.name.clone()));
                assert!(!there, "a genesis is published once");
                self.write(manifest);
            }
            Step::Sweep { kind, name, uid } => {
                let gone = self.objects.remove(&(*kind, name.clone())).expect("it is there");
                assert_eq!(gone["metadata"]["uid"], uid.as_str());
            }
            Step::RestartPod { validator, pod: _, uid } => {
                let before = self.has_quorum();
                let gone = self.pods.remove(validator).expect("it is there");
                assert_eq!(gone["metadata"]["uid"], uid.as_str());
                let kept = !before || self.has_quorum() || !self.could_spare(validator);
                assert!(kept, "stopping {validator} stopped the federation");
            }
            Step::Nudge { pod, chain_id } => {
                let pod = self.pods.values_mut().find(|p| p["metadata"]["name"] == pod.as_str());
                let pod = pod.expect("it is there");
                pod["metadata"]["annotations"][ANNOTATION_GENESIS] = chain_id.as_str().into();
            }
        }
    }

    fn write(&mut self, manifest: &Manifest) {
        let key = (manifest.kind, manifest.name.clone());
        let mut value = manifest.annotated();
        let was = self.objects.get(&key).cloned();
        let uid = match &was {
            Some(was) => was["metadata"]["uid"].clone(),
            None => self.uid().into(),
        };
        value["metadata"]["uid"] = uid;
        let was = was.unwrap_or_default();
        let generation = was["metadata"]["generation"].as_i64().unwrap_or(0);
        let changed = i64::from(was["spec"] != value["spec"]);
        value["metadata"]["generation"] = (generation + changed).into();
        value["status"] = was["status"].clone();
        self.objects.insert(key, value);
    }

    /// Lets everybody but the operator do what they have to do.
    pub(crate) fn tick(&mut self) {
        for ((kind, _), live) in &mut self.objects {
            if *kind == Kind::PersistentVolumeClaim {
                live["status"]["phase"] = "Bound".into();
                live["status"]["capacity"] = live["spec"]["resources"]["requests"].clone();
            }
        }
        let sets: Vec<String> = (self.objects.keys())
            .filter(|(kind, _)| *kind == Kind::StatefulSet)
            .map(|(_, name)| name.clone())
            .collect();
        sets.iter().for_each(|name| self.control(name));
        self.run_nodes();
    }

    /// The StatefulSet's controller.
    fn control(&mut self, name: &str) {
        let uid = self.uid();
        let live =
            self.objects.get_mut(&(Kind::StatefulSet, name.to_owned())).expect("it is there");
        let revision = format!("{name}-{:x}", hash(&live["spec"]["template"]));
        live["status"]["observedGeneration"] = live["metadata"]["generation"].clone();
        live["status"]["updateRevision"] = revision.as_str().into();
        let validator = live["metadata"]["labels"][LABEL_VALIDATOR].as_str().expect("a label");
        if live["spec"]["replicas"] == 0 {
            self.pods.remove(validator);
            return;
        }
        let template = live["spec"]["template"].clone();
        let mut pod = json!({
            "metadata": {
                "name": format!("{name}-0"),
                "uid": uid,
                "creationTimestamp": self.now.to_string(),
                "labels": template["metadata"]["labels"],
                "annotations": template["metadata"]["annotations"],
            },
            "spec": { "containers": template["spec"]["containers"] },
        });
        pod["metadata"]["labels"]["controller-revision-hash"] = revision.into();
        self.pods.entry(validator.to_owned()).or_insert(pod);
    }

    /// Passes and ticks until the operator has nothing to write any more. The number of passes, or nothing
    /// when it does not come to rest.
    pub(crate) fn settle(&mut self, mut each: impl FnMut(&Pass, &World)) -> Option<usize> {
        for count in 0..200 {
            let pass = self.pass(usize::MAX);
            each(&pass, self);
            let before = (self.objects.clone(), self.pods.clone());
            self.tick();
            self.now += jiff::SignedDuration::from_secs(15);
            if !pass.wrote && before == (self.objects.clone(), self.pods.clone()) {
                return Some(count);
            }
        }
        None
    }
}

/// Any hash will do.
fn hash(value: &Value) -> u32 {
    value
        .to_string()
        .bytes()
        .fold(7_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)))
}
