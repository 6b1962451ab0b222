//! An API server that is not ready for the operator yet, and one that goes away.

use std::{sync::OnceLock, time::Duration};

use serde_json::json;

use crate::{
    process::Process,
    servers::Servers,
    world::{World, four, four_with, until},
};

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_its_crd_and_outlives_the_api_server() {
    static OWN: OnceLock<Servers> = OnceLock::new();
    let servers = tokio::task::spawn_blocking(|| OWN.get_or_init(|| Servers::start("outage")));
    let servers = servers.await.unwrap();
    let operator = Process::start(servers, &[], ("default", "cairn-operator"), "operator");
    until("it says that the CRD is missing", async || match operator.get("/readyz") {
        Some((503, body)) if body.contains("cairn-crds") => Ok(()),
        answer => Err(format!("{answer:?} {}", operator.log())),
    })
    .await;
    assert_eq!(operator.get("/livez").map(|(status, _)| status), Some(200));
    assert_eq!(operator.metric("cairn_operator_crd_missing ", "#"), Some(1.0));

    let world = World::on(servers, "outage").await;
    until("it goes on by itself", async || match operator.get("/readyz") {
        Some((200, _)) => Ok(()),
        answer => Err(format!("{answer:?}")),
    })
    .await;
    assert_eq!(operator.metric("cairn_operator_crd_outdated ", "#"), Some(0.0));
    world.writes("demo", four()).await;
    world.settles("demo").await;

    let image = json!({"repository": "registry.test/cairn", "tag": "2"});
    world.writes("demo", four_with("image", image)).await;
    world.sees("demo", "a validator changes", |status| status.0.operation.is_some()).await;
    servers.kill_api_server();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(operator.get("/livez").map(|(status, _)| status), Some(200));
    tokio::task::spawn_blocking(|| servers.start_api_server()).await.unwrap();
    world
        .sees("demo", "the upgrade has come to its end", |status| {
            status.0.updated_validators == 4
                && status.0.operation.is_none()
                && status.is("Ready", "True")
        })
        .await;
    let book = world.kubelet.book();
    assert_eq!((book.down_most, book.lost_quorum, book.documents.len()), (1, false, 1));
}
