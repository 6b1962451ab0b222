//! Pods: placed, started when their volume is there, made ready when their validator is, ended when deleted.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Preconditions, Request},
};
use serde_json::{Value, json};

use super::{Fault, Inner, Node, State, listen, merge, serve};

impl Inner {
    pub(super) async fn tend(
        self: &Arc<Self>,
        pods: &Api<Pod>,
        pod: &Pod,
        claims: &BTreeMap<String, PersistentVolumeClaim>,
    ) -> Result<(), kube::Error> {
        let uid = pod.uid().unwrap();
        if pod.metadata.deletion_timestamp.is_some() {
            self.lock().stop(&uid);
            let now = DeleteParams {
                grace_period_seconds: Some(0),
                preconditions: Some(Preconditions { uid: Some(uid), resource_version: None }),
                ..DeleteParams::default()
            };
            return gone_is_fine(pods.delete(&pod.name_any(), &now).await.map(|_| ()));
        }
        let spec = pod.spec.clone().unwrap_or_default();
        if spec.node_name.is_none() {
            return self.place(pod).await;
        }
        let volume = spec.volumes.iter().flatten().find_map(|v| v.persistent_volume_claim.as_ref());
        let claim = volume.and_then(|volume| claims.get(&volume.claim_name));
        let Some(claim) = claim.filter(|claim| is_bound(claim)) else { return Ok(()) };
        let image = spec.containers[0].image.clone().unwrap_or_default();
        if !self.lock().nodes.contains_key(&uid) {
            self.start(pod, claim, image).await;
        }
        self.lock().found(&uid, pod);
        let status = self.lock().pod_status(&uid);
        if has(pod, &status) { Ok(()) } else { merge(pods, &pod.name_any(), &status).await }
    }

    async fn place(&self, pod: &Pod) -> Result<(), kube::Error> {
        let name = pod.name_any();
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
            "target": {"apiVersion": "v1", "kind": "Node", "name": format!("node-of-{name}")},
        });
        let path = format!("/api/v1/namespaces/{}/pods", self.namespace);
        let body = binding.to_string().into_bytes();
        let request =
            Request::new(path).create_subresource("binding", &name, &Default::default(), body);
        let answer = self.client.request::<Value>(request.unwrap()).await;
        gone_is_fine(answer.map(|_| ()))
    }

    async fn start(self: &Arc<Self>, pod: &Pod, claim: &PersistentVolumeClaim, image: String) {
        let uid = pod.uid().unwrap();
        let (address, listener) = listen().await;
        let label = |key: &str| pod.labels().get(key).cloned().unwrap_or_default();
        let claim = claim.uid().unwrap();
        let node = Node {
            validator: label("cairndb.io/validator"),
            cluster: label("cairndb.io/cluster"),
            address,
            founded: self.lock().volumes.contains_key(&claim),
            claim,
            image,
            told: false,
            looks: 0,
            server: serve(self.clone(), uid.clone(), listener),
        };
        self.lock().nodes.insert(uid, node);
    }
}

impl State {
    /// A founding validator whose kubelet was told finds the genesis, and never forgets it.
    fn found(&mut self, uid: &str, pod: &Pod) {
        let Some(node) = self.nodes.get_mut(uid) else { return };
        node.told |= pod.annotations().contains_key("cairndb.io/genesis");
        if let Some(genesis) = self.genesis.get(&node.cluster)
            && (node.told || node.looks > 20)
        {
            node.founded = true;
            self.volumes.insert(node.claim.clone(), genesis.chain().to_string());
        }
    }

    fn pod_status(&self, uid: &str) -> Value {
        let Some(node) = self.nodes.get(uid) else { return json!({}) };
        let ready = self.is_ready(node) && !node.image.contains("bad");
        let waiting = if node.image.contains("bad") {
            Some(
                json!({"reason": "ImagePullBackOff", "message": format!("no image {}", node.image)}),
            )
        } else if let Some(Fault::Exits(_)) = self.faults.get(&node.validator) {
            Some(json!({"reason": "CrashLoopBackOff", "message": "back-off"}))
        } else {
            None
        };
        let last = match self.faults.get(&node.validator) {
            Some(Fault::Exits(code)) => {
                json!({"terminated": {"exitCode": code, "reason": "Error", "message": "it says why"}})
            }
            _ => json!({}),
        };
        let runs = waiting.is_none();
        let state = waiting.map_or_else(|| json!({"running": {}}), |w| json!({"waiting": w}));
        let is = |yes: bool| if yes { "True" } else { "False" };
        json!({
            "phase": if runs { "Running" } else { "Pending" },
            "podIP": node.address.to_string(),
            "podIPs": [{"ip": node.address.to_string()}],
            "conditions": [
                {"type": "PodScheduled", "status": "True"},
                {"type": "Initialized", "status": "True"},
                {"type": "ContainersReady", "status": is(ready)},
                {"type": "Ready", "status": is(ready)},
            ],
            "containerStatuses": [{
                "name": "cairn", "image": node.image, "imageID": "", "ready": ready,
                "restartCount": 0, "started": runs, "state": state, "lastState": last,
            }],
        })
    }
}

fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
}

/// Whether the pod says all of this already.
fn has(pod: &Pod, status: &Value) -> bool {
    let live = serde_json::to_value(&pod.status).unwrap();
    let state = |value: &Value| {
        value["containerStatuses"][0]["state"]
            .as_object()
            .map(|state| state.keys().cloned().collect::<Vec<_>>())
    };
    live["phase"] == status["phase"]
        && live["podIP"] == status["podIP"]
        && live["containerStatuses"][0]["ready"] == status["containerStatuses"][0]["ready"]
        && state(&live) == state(status)
}

fn gone_is_fine(answer: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match answer {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        answer => answer,
    }
}
