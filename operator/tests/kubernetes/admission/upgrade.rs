//! An older CRD is replaced while objects are stored that its successor would not let in.

use cairn_operator::crd::BlockchainCluster;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use super::*;

/// The CRD under another group, so that it may change under objects of its own.
fn aside(mut crd: Value) -> Value {
    crd["metadata"]["name"] = json!("blockchainclusters.upgrade.cairndb.io");
    crd["spec"]["group"] = json!("upgrade.cairndb.io");
    crd["spec"]["names"]["shortNames"] = json!(["bccup"]);
    crd["spec"]["names"].as_object_mut().unwrap().remove("categories");
    crd
}

/// As an earlier release might have had it: fewer fields, no rules, no bounds.
fn older(mut crd: Value) -> Value {
    let schema = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let spec = schema["properties"]["spec"]["properties"].as_object_mut().unwrap();
    spec.retain(|field, _| {
        ["validators", "storage", "order", "store", "paused", "chain"].contains(&field.as_str())
    });
    strip(schema);
    crd["spec"]["versions"][0].as_object_mut().unwrap().remove("additionalPrinterColumns");
    crd
}

fn strip(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            for rule in [
                "x-kubernetes-validations",
                "maxLength",
                "minLength",
                "maxItems",
                "minItems",
                "minimum",
                "maximum",
            ] {
                fields.remove(rule);
            }
            fields.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

#[tokio::test]
async fn objects_of_an_older_crd_stay_readable_and_changeable() {
    let servers = shared();
    let newer = aside(crd::crd());
    install(servers, &older(newer.clone()));
    namespace(servers, "admission-upgrade");
    let kind = GroupVersionKind::gvk("upgrade.cairndb.io", "v1alpha1", "BlockchainCluster");
    let resource = ApiResource::from_gvk_with_plural(&kind, "blockchainclusters");
    let api: Api<DynamicObject> =
        Api::namespaced_with(servers.client().await, "admission-upgrade", &resource);
    let stored = |name: &str, spec: &str| {
        let mut cluster = cluster(name, spec);
        cluster["apiVersion"] = json!("upgrade.cairndb.io/v1alpha1");
        object(cluster)
    };
    let sound = stored("sound", "storage: {data: {size: 5Gi}}");
    // A name and a size that the new rules refuse.
    let odd = stored("odd", "validators: [{name: Alice}]\nstorage: {data: {size: 1GiB}}");
    for object in [&sound, &odd] {
        api.create(&PostParams::default(), object).await.unwrap();
    }

    install(servers, &newer);
    // The new schema is served a moment after it is stored: the first default shows that it is.
    let mut tries = 0;
    while api.get("sound").await.unwrap().data["spec"]["update"].is_null() {
        tries += 1;
        assert!(tries < 600, "the new schema is not served");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    for name in ["sound", "odd"] {
        let read = serde_json::to_value(api.get(name).await.unwrap()).unwrap();
        let read: BlockchainCluster = serde_json::from_value(read).unwrap();
        assert_eq!(read.spec.update.timeout_seconds, 600, "{name}: new fields have their defaults");
    }
    // What was not touched is not judged anew.
    let pause = Patch::Merge(json!({ "spec": { "paused": true } }));
    for name in ["sound", "odd"] {
        let paused = api.patch(name, &PatchParams::default(), &pause).await;
        assert!(paused.is_ok(), "{name}: {paused:?}");
    }
    // What is touched is.
    let worse = Patch::Merge(json!({ "spec": { "storage": { "data": { "size": "2GiB" } } } }));
    let refusal = api.patch("odd", &PatchParams::default(), &worse).await.unwrap_err();
    assert!(sentence(&refusal).contains("\"20Gi\" is fine"), "{refusal}");
    let shrunk = Patch::Merge(json!({ "spec": { "storage": { "data": { "size": "4Gi" } } } }));
    let refusal = api.patch("sound", &PatchParams::default(), &shrunk).await.unwrap_err();
    assert!(sentence(&refusal).contains("can grow, never shrink"), "{refusal}");
    let grown = Patch::Merge(json!({ "spec": { "storage": { "data": { "size": "6Gi" } } } }));
    api.patch("sound", &PatchParams::default(), &grown).await.unwrap();
}
