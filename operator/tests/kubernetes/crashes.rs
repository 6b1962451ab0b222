//! The write at which it dies: of each scenario, at every write that it makes, the operator is killed before
//! the write reaches the API server, or after it did and before its answer came back. Another one starts,
//! and it has to end the same, with nothing having happened in between that must never happen.
//!
//! Each write is a death of one of the two kinds, in turn; `CAIRN_CRASH_ALL=1` has both for each, and
//! `CAIRN_CRASH_STRIDE=3` every third write only, for those in a hurry.

use std::{collections::BTreeMap, io::Write, sync::Arc};

use cairn_operator::manifest::Kind;
use futures_util::{StreamExt, stream};
use kube::{ResourceExt, api::DeleteParams};
use serde_json::{Value, json};

use crate::{
    faults::{Faults, Verdict},
    world::{World, four, four_with, until},
};

/// Deaths that are tried at the same time.
const AT_ONCE: usize = 4;

/// A scenario: what is done, and what has to be so in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scenario {
    Create,
    Upgrade,
    Growth,
    Readopt,
}

impl Scenario {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "crash-create",
            Self::Upgrade => "crash-upgrade",
            Self::Growth => "crash-growth",
            Self::Readopt => "crash-readopt",
        }
    }

    /// What is there before.
    async fn prepare(self, world: &World) {
        if self == Self::Create {
            return;
        }
        let operator = world.operator();
        world.writes("demo", four()).await;
        world.settles("demo").await;
        operator.stop().await;
        if self == Self::Readopt {
            world.kubelet.looks_away();
            world.clusters().delete("demo", &DeleteParams::background()).await.unwrap();
            until("what is not kept is gone", async || {
                let sets = world.objects("apps/v1", "StatefulSet").await.len();
                let maps = world.objects("v1", "ConfigMap").await.len();
                if (sets, maps) == (0, 1) { Ok(()) } else { Err(format!("{sets} {maps}")) }
            })
            .await;
        }
    }

    /// What is done while the operator runs that dies.
    async fn act(self, world: &World) {
        let spec = match self {
            Self::Create | Self::Readopt => four(),
            Self::Upgrade => {
                four_with("image", json!({"repository": "registry.test/cairn", "tag": "2"}))
            }
            Self::Growth => {
                let mut spec = four();
                spec["storage"]["data"]["size"] = json!("2Gi");
                spec
            }
        };
        world.writes("demo", spec).await;
    }

    async fn ends(self, world: &World) {
        world
            .sees("demo", "it is settled", |status| {
                status.is("Ready", "True")
                    && status.because("Progressing", "Settled")
                    && status.0.operation.is_none()
                    && status.0.updated_validators == 4
            })
            .await;
        if self == Self::Growth {
            until("all volumes have grown", async || {
                let claims = world.objects("v1", "PersistentVolumeClaim").await;
                let has = |c: &&kube::api::DynamicObject| {
                    c.data["status"]["capacity"]["storage"] == "2Gi"
                };
                let grown = claims.iter().filter(has).count();
                if grown == 4 { Ok(()) } else { Err(format!("{grown}")) }
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_at_any_write_of_a_creation_changes_nothing() {
    at_every_write(Scenario::Create).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_at_any_write_of_an_upgrade_changes_nothing() {
    at_every_write(Scenario::Upgrade).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_at_any_write_of_a_volume_growth_changes_nothing() {
    at_every_write(Scenario::Growth).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_at_any_write_of_taking_over_what_a_deletion_kept_changes_nothing() {
    at_every_write(Scenario::Readopt).await;
}

async fn at_every_write(scenario: Scenario) {
    let (writes, expected) = undisturbed(scenario).await;
    assert!(writes > 0);
    let all = std::env::var_os("CAIRN_CRASH_ALL").is_some();
    let stride = std::env::var("CAIRN_CRASH_STRIDE").map_or(1, |stride| stride.parse().unwrap());
    let points = (1..=writes).step_by(stride).flat_map(|k| {
        let both = [(k, Verdict::DieBefore), (k, Verdict::DieAfter)];
        both.into_iter()
            .filter(move |(k, verdict)| all || (k % 2 == 0) == (*verdict == Verdict::DieAfter))
    });
    let deaths = stream::iter(points).map(|(k, verdict)| dies(scenario, k, verdict, &expected));
    let died: Vec<bool> = deaths.buffer_unordered(AT_ONCE).collect().await;
    let covered = died.iter().filter(|died| **died).count();
    // Past the test's capture: how many points were covered is worth knowing when all is well, too.
    let told = format!(
        "{}: died at {covered} of {} points, {writes} writes\n",
        scenario.name(),
        died.len()
    );
    std::io::stderr().write_all(told.as_bytes()).unwrap();
    // A run that is disturbed may need fewer writes of the status; the others are always the same.
    assert!(covered * 10 >= died.len() * 8, "too few points were reached");
}

/// How many writes it takes, and what it comes to.
async fn undisturbed(scenario: Scenario) -> (u64, BTreeMap<String, Value>) {
    let world = World::new(scenario.name()).await;
    scenario.prepare(&world).await;
    let operator = world.operator();
    scenario.act(&world).await;
    scenario.ends(&world).await;
    nothing_bad_happened(&world, scenario);
    (operator.faults.writes(), state(&world).await)
}

/// Whether it came so far that it died.
async fn dies(
    scenario: Scenario,
    at: u64,
    how: Verdict,
    expected: &BTreeMap<String, Value>,
) -> bool {
    let world = World::new(scenario.name()).await;
    scenario.prepare(&world).await;
    let faults = Faults::new(move |write, _, _| if write == at { how } else { Verdict::Pass });
    let first = world.operator_with(faults.clone());
    scenario.act(&world).await;
    let died = tokio::select! {
        () = death(&faults) => true,
        () = scenario.ends(&world) => faults.is_dead(),
    };
    drop(first);
    let _second = world.operator();
    scenario.ends(&world).await;
    nothing_bad_happened(&world, scenario);
    let came_to = state(&world).await;
    for (name, object) in expected {
        assert_eq!(came_to.get(name), Some(object), "{name}, dead at write {at} {how:?}");
    }
    assert_eq!(came_to.len(), expected.len(), "dead at write {at} {how:?}");
    died
}

async fn death(faults: &Arc<Faults>) {
    while !faults.is_dead() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn nothing_bad_happened(world: &World, scenario: Scenario) {
    let book = world.kubelet.book();
    assert_eq!(book.documents.len(), 1, "one genesis");
    assert!(book.claims_gone.is_empty(), "no volume was deleted: {:?}", book.claims_gone);
    assert!(!book.lost_quorum, "there was a quorum all the time");
    let stops = if scenario == Scenario::Upgrade { 1 } else { 0 };
    assert!(book.down_most <= stops, "{} were down at once", book.down_most);
}

/// Everything that the operator wrote, without what differs from one run to the next.
async fn state(world: &World) -> BTreeMap<String, Value> {
    let cluster = world.clusters().get("demo").await.unwrap();
    let chain = cluster.status.as_ref().and_then(|s| s.chain_id.clone()).unwrap();
    let uid = cluster.uid().unwrap();
    let mut state = BTreeMap::new();
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_optional()) {
        let (api_version, title, _) = kind.names();
        for object in world.objects(api_version, title).await {
            let mut value = json!({
                "labels": object.labels(),
                "annotations": object.annotations().keys().filter(|k| k.starts_with("cairndb.io/")).collect::<Vec<_>>(),
                "owners": object.owner_references(),
                "spec": object.data["spec"],
                "data": object.data["data"],
            });
            for field in ["clusterIP", "clusterIPs", "volumeName"] {
                value["spec"].as_object_mut().and_then(|spec| spec.remove(field));
            }
            if let Some(template) = value.pointer_mut("/spec/template/metadata/annotations") {
                *template =
                    json!(template.as_object().map(|t| t.keys().cloned().collect::<Vec<_>>()));
            }
            if object.name_any().ends_with("-genesis") {
                value["data"] = json!("the genesis");
            }
            let text = value.to_string();
            let text = text.replace(&world.namespace, "NAMESPACE").replace(&uid, "UID");
            let text = text.replace(&chain[..63], "CHAIN");
            state.insert(
                format!("{title} {}", object.name_any()),
                serde_json::from_str(&text).unwrap(),
            );
        }
    }
    state
}
