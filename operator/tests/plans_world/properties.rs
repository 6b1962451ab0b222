//! Whatever happens, and wherever the operator dies: plans pass the audit, no restart ends a quorum, no
//! volume and no genesis is lost, and once the trouble is over everything is as the spec says.

use cairn_operator::{manifest::Kind, plan::Progress};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{put, set, world::World};

/// What can happen. Numbers name a validator, modulo how many there are.
#[derive(Clone, Debug)]
enum Event {
    Image(&'static str),
    Break(usize, &'static str),
    Mend(usize),
    DeletePod(usize),
    DeleteSet(usize),
    StopByHand(usize),
    Fence(usize),
    Unfence,
    Suspend(bool),
    Strategy(&'static str),
    Approve,
    Grow(u8),
    FileSystemWaits(usize),
    Wait(i64),
    Tick,
    /// A pass of an operator that dies after so many writes.
    Pass(usize),
}

fn event() -> impl Strategy<Value = Event> {
    use Event::*;
    let who = 0_usize..7;
    let trouble =
        ["unpullable", "crashing", "unscheduled", "unready", "silent", "behind", "unreachable"];
    prop_oneof![
        2 => prop::sample::select(vec!["2", "3", "unpullable", "crashing"]).prop_map(Image),
        2 => (who.clone(), prop::sample::select(trouble.to_vec())).prop_map(|(who, how)| Break(who, how)),
        2 => who.clone().prop_map(Mend),
        1 => who.clone().prop_map(DeletePod),
        1 => who.clone().prop_map(DeleteSet),
        1 => who.clone().prop_map(StopByHand),
        1 => who.clone().prop_map(Fence),
        1 => Just(Unfence),
        1 => any::<bool>().prop_map(Suspend),
        1 => prop::sample::select(vec!["RollingUpdate", "Supervised", "OnDelete"]).prop_map(Strategy),
        1 => Just(Approve),
        1 => (0_u8..3).prop_map(Grow),
        1 => who.prop_map(FileSystemWaits),
        2 => prop::sample::select(vec![30, 700]).prop_map(Wait),
        8 => Just(Tick),
        12 => prop::sample::select(vec![0, 1, 2, usize::MAX, usize::MAX, usize::MAX]).prop_map(Pass),
    ]
}

fn happen(world: &mut World, names: &[String], event: &Event) {
    let name = |who: &usize| names[who % names.len()].clone();
    let edit = |world: &mut World, pointer: &str, value: Value| {
        set(world, pointer, &value.to_string()).expect("an edit");
    };
    match event {
        Event::Image(tag) => edit(world, "/image", json!({ "tag": tag })),
        Event::Break(who, how) => drop(world.broken.insert(name(who), (*how).to_owned())),
        Event::Mend(who) => drop(world.broken.remove(&name(who))),
        Event::DeletePod(who) => drop(world.pods.remove(&name(who))),
        Event::DeleteSet(who) => {
            world.objects.remove(&(Kind::StatefulSet, format!("demo-{}", name(who))));
        }
        Event::StopByHand(who) => {
            let key = (Kind::StatefulSet, format!("demo-{}", name(who)));
            if let Some(live) = world.objects.get_mut(&key) {
                put(live, "/spec/replicas", "0").expect("an edit");
            }
        }
        Event::Fence(who) => edit(world, "/fencedValidators", json!([name(who)])),
        Event::Unfence => edit(world, "/fencedValidators", json!([])),
        Event::Suspend(suspend) => edit(world, "/suspend", json!(suspend)),
        Event::Strategy(strategy) => edit(world, "/update/strategy", json!(strategy)),
        Event::Approve => {
            let generation = world.cluster.metadata.generation.unwrap_or(0).to_string();
            let annotations = world.cluster.metadata.annotations.get_or_insert_default();
            annotations.insert("cairndb.io/approve-update".into(), generation);
        }
        Event::Grow(step) => {
            let size = &world.cluster.spec.storage.data.size.0;
            let now: u32 = size.trim_end_matches("Gi").parse().expect("a size");
            edit(world, "/storage/data/size", json!(format!("{}Gi", now + u32::from(*step))));
        }
        Event::FileSystemWaits(who) => {
            let key = (Kind::PersistentVolumeClaim, format!("data-demo-{}", name(who)));
            if let Some(live) = world.objects.get_mut(&key) {
                live["status"]["conditions"] = json!([{
                    "type": "FileSystemResizePending", "status": "True",
                    "lastTransitionTime": world.now.to_string() }]);
            }
        }
        Event::Wait(seconds) => world.now += jiff::SignedDuration::from_secs(*seconds),
        Event::Tick => world.tick(),
        Event::Pass(writes) => drop(world.pass(*writes)),
    }
}

/// What must be there for ever once it is: volumes, and the genesis.
fn treasures(world: &World) -> Vec<(Kind, String, Value)> {
    let precious =
        |key: &&(Kind, String)| key.0 == Kind::PersistentVolumeClaim || key.1 == "demo-genesis";
    let keep = |key: &(Kind, String)| {
        let live = &world.objects[key];
        (key.0, key.1.clone(), json!([live["metadata"]["uid"], live["data"]]))
    };
    world.objects.keys().filter(precious).map(keep).collect()
}

/// All trouble ends, and a person asks for what can be had.
fn calm(world: &mut World) {
    world.broken.clear();
    for live in world.objects.values_mut() {
        live["status"]["conditions"] = Value::Null;
    }
    for (pointer, value) in [
        ("/fencedValidators", "[]"),
        ("/suspend", "false"),
        ("/update/strategy", "RollingUpdate"),
        ("/image", r#"{"tag":"9"}"#),
    ] {
        set(world, pointer, value).expect("an edit");
    }
}

/// Few cases by default; `PROPTEST_CASES=1000` for a long look.
fn config() -> ProptestConfig {
    let usual = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { usual.cases } else { 32 };
    ProptestConfig { cases, ..usual }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_happens_ends_well(
        powers in prop::collection::vec(1_u32..5, 1..=7),
        founded in any::<bool>(),
        events in prop::collection::vec(event(), 1..60),
    ) {
        let names: Vec<String> = ('a'..='g').take(powers.len()).map(String::from).collect();
        let validators: Vec<_> = names.iter().zip(&powers)
            .map(|(name, power)| json!({ "name": name, "power": power })).collect();
        let mut world = World::new(json!({ "validators": validators }));
        if founded {
            world.settle(|_, _| {}).expect("it comes to rest");
        }
        for event in &events {
            let before = treasures(&world);
            if matches!(event, Event::Pass(_)) {
                prop_assert!(world.is_decided(), "the same world, another plan");
            }
            happen(&mut world, &names, event);
            let after = treasures(&world);
            prop_assert!(before.iter().all(|treasure| after.contains(treasure)), "{before:?}");
        }
        calm(&mut world);
        let rest = world.settle(|_, _| {});
        prop_assert!(rest.is_some(), "it does not come to rest");
        let (_, _, plan) = world.look().expect("nothing stands in the way");
        prop_assert_eq!(&plan.progress, &Progress::Settled);
        prop_assert!(plan.steps.is_empty() && plan.operation.is_none());
        prop_assert!(world.has_quorum());
        for pod in world.pods.values() {
            let image = pod["spec"]["containers"][0]["image"].as_str();
            prop_assert_eq!(image, Some("r.example/cairn:9"));
        }
    }
}
