//! What the API server says to a BlockchainCluster: each rule with an object that it lets pass and one that
//! it refuses, by the words that a person would read. Nothing of the operator runs here.

use std::sync::OnceLock;

use cairn_operator::crd;
use kube::{
    Api, Client,
    api::PostParams,
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::{Value, json};

use crate::servers::{Servers, shared};

mod chart;
mod examples;
mod policies;
mod table;
mod upgrade;

/// The shared servers, with the CRD installed as `cairn-operator crds` prints it.
pub(crate) fn installed() -> &'static Servers {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        install(shared(), &crd::crd());
    });
    shared()
}

fn install(servers: &Servers, crd: &Value) {
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    servers.kubectl_with(&apply, &crd.to_string()).unwrap();
    let name = format!("crd/{}", crd["metadata"]["name"].as_str().unwrap());
    servers.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", &name]).unwrap();
}

fn namespace(servers: &Servers, name: &str) {
    let manifest = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
    servers.kubectl_with(&["apply", "-f", "-"], &manifest.to_string()).unwrap();
}

/// Clusters as they are written, not as the operator reads them.
fn clusters(client: Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("cairndb.io", "v1alpha1", "BlockchainCluster");
    let resource = ApiResource::from_gvk_with_plural(&kind, "blockchainclusters");
    Api::namespaced_with(client, namespace, &resource)
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A cluster of that name: the smallest, with `spec` over it. A field of `spec` replaces the whole field.
fn cluster(name: &str, spec: &str) -> Value {
    let mut cluster = json!({
        "apiVersion": "cairndb.io/v1alpha1", "kind": "BlockchainCluster",
        "metadata": { "name": name },
        "spec": { "validators": [{ "name": "alice" }, { "name": "bob" }] },
    });
    if let Value::Object(fields) = yaml(spec) {
        cluster["spec"].as_object_mut().unwrap().extend(fields);
    }
    cluster
}

fn object(value: Value) -> DynamicObject {
    serde_json::from_value(value).unwrap()
}

/// Asks whether an object may be created, as kubectl does: an unknown field is an error.
async fn may_create(api: &Api<DynamicObject>, cluster: Value) -> Result<(), String> {
    let url = format!("{}?dryRun=All&fieldValidation=Strict", api.resource_url());
    let request = hyper::Request::post(url)
        .header("content-type", "application/json")
        .body(cluster.to_string().into_bytes())
        .unwrap();
    let created = api.clone().into_client().request::<Value>(request).await;
    created.map(|_| ()).map_err(|error| sentence(&error))
}

/// Asks whether the object may become this.
async fn may_become(api: &Api<DynamicObject>, cluster: Value) -> Result<(), String> {
    let asked = PostParams { dry_run: true, ..PostParams::default() };
    let mut next = object(cluster);
    let name = next.metadata.name.clone().unwrap();
    next.metadata.resource_version = api.get(&name).await.unwrap().metadata.resource_version;
    api.replace(&name, &asked, &next).await.map(|_| ()).map_err(|error| sentence(&error))
}

/// What kubectl shows of it.
fn sentence(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => panic!("not an answer: {other}"),
    }
}
