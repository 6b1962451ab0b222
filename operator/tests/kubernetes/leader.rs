//! Two operators, one Lease: processes that are stopped, frozen and thawed.

use k8s_openapi::api::core::v1::Service;
use kube::{Api, api::DeleteParams};
use serde_json::json;

use crate::{
    process::Process,
    world::{World, four, four_with, until},
};

async fn leads(process: &Process) {
    until("it leads", async || if process.leads() { Ok(()) } else { Err(process.log()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_frozen_writes_nothing_when_it_is_thawed() {
    let world = World::new("frozen").await;
    let space = world.namespace.as_str();
    let start = |name| Process::start(world.servers, &[space], (space, "cairn-operator"), name);
    let first = start("first");
    leads(&first).await;
    let second = start("second");
    until("the second stands by", async || match second.get("/readyz") {
        Some((200, _)) if !second.leads() => Ok(()),
        answer => Err(format!("{answer:?}")),
    })
    .await;
    world.writes("demo", four()).await;
    world.settles("demo").await;
    assert_eq!(second.writes(), 0.0, "one that stands by writes nothing");

    // The pass that wrote the status may still tell of it in events.
    until("the first is at rest", async || {
        match first.metric("cairn_operator_passes_active ", "#") {
            Some(0.0) => Ok(()),
            active => Err(format!("{active:?} passes")),
        }
    })
    .await;
    let at_rest = first.writes();
    first.signal("-STOP");
    world
        .writes("demo", four_with("api", json!({"service": {"annotations": {"turn": "second"}}})))
        .await;
    leads(&second).await;
    let services: Api<Service> = world.api();
    until("the second carries on", async || {
        let service = services.get("demo-api").await.unwrap();
        match service.metadata.annotations.unwrap_or_default().get("turn") {
            Some(turn) if turn == "second" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    world.settles("demo").await;

    // Thawed, it finds work that it would do, if it led: it was its turn when it froze.
    let before = second.writes();
    services.delete("demo-api", &DeleteParams::default()).await.unwrap();
    first.signal("-CONT");
    until("the first knows", async || {
        if first.log().contains("does not lead any more") && !first.leads() {
            Ok(())
        } else {
            Err(first.log())
        }
    })
    .await;
    until("the Service is back", async || {
        services.get_opt("demo-api").await.unwrap().map(|_| ()).ok_or_else(String::new)
    })
    .await;
    world.settles("demo").await;
    assert!(second.writes() > before);
    assert_eq!(first.writes(), at_rest, "it wrote nothing: {}", first.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_leads_as_soon_as_the_last_one_ended() {
    let world = World::new("handover").await;
    let space = world.namespace.as_str();
    let start = |name| Process::start(world.servers, &[space], (space, "cairn-operator"), name);
    let mut first = start("first");
    leads(&first).await;
    let second = start("second");
    until("the second stands by", async || match second.get("/readyz") {
        Some((200, _)) => Ok(()),
        answer => Err(format!("{answer:?}")),
    })
    .await;
    let begun = std::time::Instant::now();
    first.signal("-TERM");
    assert_eq!(first.waits(), Some(0), "{}", first.log());
    let ended = begun.elapsed();
    leads(&second).await;
    println!("ended after {ended:?}, the next led {:?} after that", begun.elapsed() - ended);
    assert!(first.log().contains("gave its Lease back"), "{}", first.log());
    // And one that starts when the last one is gone.
    let mut second = second;
    second.signal("-INT");
    assert_eq!(second.waits(), Some(0));
    let begun = std::time::Instant::now();
    let third = start("third");
    leads(&third).await;
    println!("started and led within {:?}", begun.elapsed());
}
