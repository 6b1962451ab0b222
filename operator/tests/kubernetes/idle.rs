//! Nothing to do: nothing is written.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Service;
use kube::{Api, ResourceExt, api::DeleteParams};

use crate::{
    faults::Faults,
    world::{World, four, until},
};

/// Whole looks; of an hour and more, as most find that nothing has changed.
const PASSES: u64 = 20;
/// From one look to the next.
const LOOK: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread")]
async fn ten_idle_minutes_are_no_writes() {
    let world = World::new("idle").await;
    let faults: Arc<Faults> = Arc::default();
    let operator = world.operator_that_looks(LOOK, faults.clone());
    world.writes("demo", four()).await;
    world.settles("demo").await;
    let looked = || operator.metrics.passes.with_label_values(&["settled"]).get_sample_count();
    // What was under way when it became ready may still have to be told.
    let from = looked();
    until(
        "it has come to rest",
        async || {
            if looked() >= from + 3 { Ok(()) } else { Err(String::new()) }
        },
    )
    .await;
    let (writes, from) = (faults.log(), looked());
    until("it has looked often", async || {
        let passes = looked() - from;
        if passes >= PASSES { Ok(()) } else { Err(format!("{passes}")) }
    })
    .await;
    assert_eq!(faults.log()[writes.len()..], [] as [String; 0]);
    let unchanged = operator.metrics.passes.with_label_values(&["unchanged"]).get_sample_count();
    assert!(unchanged >= PASSES, "only {unchanged} passes found that nothing had changed");
    // A new operator that finds it so writes nothing either.
    drop(operator);
    let faults: Arc<Faults> = Arc::default();
    let next = world.operator_that_looks(LOOK, faults.clone());
    until("the next operator has looked often", async || {
        let passes = next.metrics.passes.with_label_values(&["settled"]).get_sample_count();
        if passes >= 5 { Ok(()) } else { Err(format!("{passes}")) }
    })
    .await;
    assert_eq!(faults.log(), [] as [String; 0]);
}

/// Nobody looks again by the clock here: what changes must be seen although the cluster was at rest.
#[tokio::test(flavor = "multi_thread")]
async fn what_goes_while_a_cluster_rests_is_seen_at_once() {
    let world = World::new("rest").await;
    let operator = world.operator_that_looks(Duration::from_secs(3600), Arc::default());
    world.writes("demo", four()).await;
    world.settles("demo").await;
    let passes = |outcome| operator.metrics.passes.with_label_values(&[outcome]).get_sample_count();
    let mut last = (0, 0);
    until("it has come to rest", async || {
        let now = (passes("written"), passes("settled"));
        tokio::time::sleep(Duration::from_secs(1)).await;
        if now == std::mem::replace(&mut last, now) { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    let services: Api<Service> = world.api();
    let before = services.get("demo-api").await.unwrap().uid();
    services.delete("demo-api", &DeleteParams::default()).await.unwrap();
    until("the Service is back", async || {
        let now = services.get_opt("demo-api").await.unwrap();
        if now.is_some_and(|now| now.uid() != before) { Ok(()) } else { Err(String::new()) }
    })
    .await;
}
