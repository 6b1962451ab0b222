//! Every manifest, as a real API server takes it: accepted as it is written, with no field that it does
//! not know, under the strictest Pod Security; and read back without a difference, which is what keeps an
//! idle cluster from being written to.
#![expect(clippy::unwrap_used, reason = "all of this is a test: what must not happen ends it")]

use std::{fs, path::Path};

use cairn_ledger::{
    genesis::{Genesis, Validator},
    signature::SigningKey,
};
use cairn_operator::{
    check::Checked,
    crd::BlockchainCluster,
    manifest::{Kind, Manifest},
    names::FIELD_MANAGER,
    render::manifests,
};
use kube::{
    Api, Client,
    api::{
        ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams,
        ValidationDirective,
    },
};
use serde_json::{Value, json};

use crate::servers::shared;

/// A client for one kind of object.
fn api(client: &Client, kind: Kind, namespace: &str) -> Api<DynamicObject> {
    let (version, name, plural) = kind.names();
    let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
    let resource =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, name), plural);
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// Server-side apply as the operator does it; no field that the API server does not know passes.
async fn apply(client: &Client, namespace: &str, manifest: &Manifest) -> Value {
    let parameters = PatchParams {
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::apply(FIELD_MANAGER).force()
    };
    let patch = Patch::Apply(manifest.annotated());
    let api = api(client, manifest.kind, namespace);
    let applied = api.patch(&manifest.name, &parameters, &patch).await;
    json!(applied.unwrap_or_else(|error| panic!("{:?} {}: {error}", manifest.kind, manifest.name)))
}

async fn read(client: &Client, namespace: &str, manifest: &Manifest) -> Value {
    json!(api(client, manifest.kind, namespace).get(&manifest.name).await.unwrap())
}

/// Somebody else changes it.
async fn meddle(client: &Client, namespace: &str, manifest: &Manifest, patch: &Value) -> Value {
    let api = api(client, manifest.kind, namespace);
    let parameters = PatchParams { field_manager: Some("somebody".into()), ..Default::default() };
    json!(api.patch(&manifest.name, &parameters, &Patch::Merge(patch)).await.unwrap())
}

/// Makes the cluster of `tests/objects/NAME.yaml` in a namespace of its own, and what the operator would
/// write for it.
async fn cluster(client: &Client, name: &str) -> (String, Vec<Manifest>) {
    let crd = serde_json::to_string(&cairn_operator::crd::crd()).unwrap();
    shared().kubectl_with(&["apply", "--server-side", "-f", "-"], &crd).unwrap();
    shared()
        .kubectl(&["wait", "--for=condition=Established", "crd/blockchainclusters.cairndb.io"])
        .unwrap();
    let namespace = format!("objects-{name}");
    let file = if matches!(name, "drift" | "pods") { "everything" } else { name };
    let restricted = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": namespace,
            "labels": { "pod-security.kubernetes.io/enforce": "restricted" },
        },
    });
    shared().kubectl_with(&["apply", "-f", "-"], &restricted.to_string()).unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/objects/{file}.yaml"));
    let mut written = cairn_operator::render::parse(&fs::read_to_string(file).unwrap()).unwrap();
    written.metadata.namespace = Some(namespace.clone());
    written.metadata.uid = None;
    let api: Api<BlockchainCluster> = Api::namespaced(client.clone(), &namespace);
    let made = api.create(&PostParams::default(), &written).await.unwrap();
    let genesis = (name == "founded").then(founders);
    let mut manifests = manifests(&Checked::assumed(&made, genesis, "registry.example/cairn:1.0"));
    // Kinds of other projects are not installed here.
    manifests.retain(|manifest| !manifest.kind.is_optional());
    (namespace, manifests)
}

fn founders() -> Genesis {
    let key = |seed: u8| SigningKey::from_seed([seed; 32]).public();
    let validators = (1_u8..).zip(["alice", "bob", "carol"]).map(|(seed, name)| Validator {
        name: name.into(),
        consensus_key: key(seed),
        member_key: key(seed + 100),
        power: 1,
    });
    Genesis::new("demo".into(), [7; 16], validators.collect()).unwrap()
}

#[tokio::test]
async fn what_was_applied_is_read_back_without_a_difference() {
    let client = shared().client().await;
    for name in ["minimal", "everything", "tikv", "federation", "suspended", "founded"] {
        let (namespace, manifests) = cluster(&client, name).await;
        for manifest in &manifests {
            let applied = apply(&client, &namespace, manifest).await;
            assert!(!manifest.differs(&applied), "{name}: {manifest:?}\n{applied}");
        }
        // Controllers have added what is theirs by now.
        for manifest in &manifests {
            let live = read(&client, &namespace, manifest).await;
            assert!(!manifest.differs(&live), "{name}, later: {manifest:?}\n{live}");
        }
    }
}

#[tokio::test]
async fn what_somebody_else_changes_is_a_difference_and_what_they_add_is_not() {
    let client = shared().client().await;
    let (namespace, manifests) = cluster(&client, "drift").await;
    let mut kinds = vec![];
    for manifest in &manifests {
        apply(&client, &namespace, manifest).await;
        let beside = json!({ "metadata": {
            "labels": { "theirs": "yes" }, "annotations": { "example.com/note": "theirs" },
        }});
        let live = meddle(&client, &namespace, manifest, &beside).await;
        assert!(!manifest.differs(&live), "{live}");

        let change = match manifest.kind {
            Kind::ServiceAccount => json!({ "automountServiceAccountToken": true }),
            Kind::ConfigMap => json!({ "data": { "cairn.toml": "" } }),
            Kind::Service => {
                json!({ "spec": { "selector": { "app.kubernetes.io/name": "other" } } })
            }
            Kind::NetworkPolicy => json!({ "spec": { "podSelector": { "matchLabels": null } } }),
            Kind::PodDisruptionBudget => json!({ "spec": { "maxUnavailable": 3 } }),
            Kind::StatefulSet => {
                json!({ "spec": { "template": { "spec": { "securityContext": null } } } })
            }
            _ => json!({ "metadata": { "labels": { "cairndb.io/cluster": null } } }),
        };
        let live = meddle(&client, &namespace, manifest, &change).await;
        assert!(manifest.differs(&live), "{change}: {live}");

        let live = apply(&client, &namespace, manifest).await;
        assert!(!manifest.differs(&live), "put back: {live}");
        assert_eq!(live["metadata"]["labels"]["theirs"], "yes", "theirs stays");
        kinds.push(manifest.kind);
    }
    kinds.dedup();
    assert_eq!(kinds.len(), 8, "{kinds:?}");
}

#[tokio::test]
async fn pods_are_taken_under_the_restricted_pod_security_standard() {
    let client = shared().client().await;
    let (namespace, manifests) = cluster(&client, "pods").await;
    let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(client.clone(), &namespace);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let mut checked = 0;
    for manifest in &manifests {
        apply(&client, &namespace, manifest).await;
        if manifest.kind != Kind::StatefulSet {
            continue;
        }
        let mut pod = manifest.value["spec"]["template"].clone();
        pod["metadata"]["name"] = format!("{}-try", manifest.name).into();
        pods.create(&dry_run, &serde_json::from_value(pod.clone()).unwrap()).await.unwrap();
        checked += 1;
        pod["spec"]["hostNetwork"] = true.into();
        let refused = pods.create(&dry_run, &serde_json::from_value(pod).unwrap()).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("PodSecurity"), "the standard is enforced: {refused}");
    }
    assert_eq!(checked, 3);
}
