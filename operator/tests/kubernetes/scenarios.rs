//! The cluster's life, against a real API server: made, changed, broken, repaired, deleted.

use crate::world::{World, four};

#[tokio::test(flavor = "multi_thread")]
async fn four_validators_are_made_and_vote() {
    let world = World::new("create").await;
    let _operator = world.operator();
    world.writes("demo", four()).await;
    world.settles("demo").await;
    let book = world.kubelet.book();
    assert_eq!(book.documents.len(), 1);
    assert_eq!(world.objects("apps/v1", "StatefulSet").await.len(), 4);
    assert_eq!(world.objects("v1", "PersistentVolumeClaim").await.len(), 4);
    world
        .sees("demo", "it says what is true", |status| {
            status.0.ready_validators == 4
                && status.0.chain_id.is_some()
                && status.is("Available", "True")
                && status.is("Initialized", "True")
                && status.is("Degraded", "False")
        })
        .await;
}
