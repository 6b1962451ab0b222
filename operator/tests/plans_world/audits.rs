//! Plans that must never be carried out, each made by hand, and what the audit says of them.

use cairn_operator::{
    check::Checked,
    crd::{OperationKind, OperationStatus, SecretKeyRef},
    manifest::{Kind, Manifest},
    observe::Observed,
    plan::{
        Plan, Progress, Step,
        audit::{Violation, audit},
    },
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::world::World;

fn settled(validators: &[&str]) -> World {
    let validators: Vec<_> = validators.iter().map(|name| json!({ "name": name })).collect();
    let mut world = World::new(json!({ "validators": validators }));
    world.settle(|_, _| {}).expect("it comes to rest");
    world
}

fn look(world: &World) -> (Checked, Observed, Plan) {
    world.look().expect("nothing stands in the way")
}

fn restart(world: &World, validator: &str) -> Step {
    let uid = world.pods[validator]["metadata"]["uid"].as_str().expect("a uid").to_owned();
    Step::RestartPod { validator: validator.into(), pod: format!("demo-{validator}-0"), uid }
}

/// A plan of these steps, with that validator's change on record.
fn of(world: &World, target: &str, steps: Vec<Step>) -> Plan {
    let operation = OperationStatus {
        kind: OperationKind::Update,
        target: target.into(),
        to: "any".into(),
        started_at: Time(world.now),
        replaces: None,
        approved: None,
    };
    let progress = Progress::Updating { target: target.into(), remaining: 0 };
    Plan { steps, operation: Some(operation), progress, updated: 0 }
}

const FOUR: [&str; 4] = ["alice", "bob", "carol", "dave"];

#[test]
fn one_validator_stops_at_a_time_and_only_while_the_others_decide() {
    let mut world = settled(&FOUR);
    let steps = vec![restart(&world, "bob"), restart(&world, "carol")];
    let plan = of(&world, "bob", steps);
    let two = Violation::TwoAtOnce(vec!["bob".into(), "carol".into()]);
    says(&world, &plan, Err(two), "two at once");

    let steps = vec![restart(&world, "bob")];
    let plan = of(&world, "bob", steps.clone());
    says(&world, &plan, Ok(()), "one at a time is fine");
    let plan = of(&world, "carol", steps.clone());
    says(&world, &plan, Err(Violation::NotOnRecord("bob".into())), "a change of somebody else");
    let plan = Plan { operation: None, ..plan };
    says(&world, &plan, Err(Violation::NotOnRecord("bob".into())), "no record at all");

    world.broken.insert("dave".into(), "silent".into());
    let plan = of(&world, "bob", steps.clone());
    let below = Violation::BelowQuorum { stopped: "bob".into(), left: 2, total: 4 };
    says(&world, &plan, Err(below), "one is silent already");
    world.broken.insert("bob".into(), "crashing".into());
    world.tick();
    says(&world, &plan, Ok(()), "one that is down loses nothing");
}

#[test]
fn a_validator_is_not_stopped_by_another_name() {
    let world = settled(&FOUR);
    let set =
        world.look().expect("a look").1.objects[&(Kind::StatefulSet, "demo-bob".into())].clone();
    let mut value = set.clone();
    value["spec"]["replicas"] = 0.into();
    let stop = Step::Apply(Manifest { kind: Kind::StatefulSet, name: "demo-bob".into(), value });
    let plan = of(&world, "carol", vec![stop.clone(), restart(&world, "carol")]);
    let two = Violation::TwoAtOnce(vec!["bob".into(), "carol".into()]);
    says(&world, &plan, Err(two), "stopped by its replicas");
    let uid = set["metadata"]["uid"].as_str().expect("a uid").to_owned();
    let sweep = Step::Sweep { kind: Kind::StatefulSet, name: "demo-bob".into(), uid };
    let plan = of(&world, "carol", vec![sweep]);
    says(&world, &plan, Err(Violation::NotOnRecord("bob".into())), "stopped by sweeping");
}

#[test]
fn volumes_are_not_deleted_nor_made_anew() {
    let mut world = settled(&FOUR);
    let claim = (Kind::PersistentVolumeClaim, "data-demo-bob".to_owned());
    let sweep = Step::Sweep { kind: claim.0, name: claim.1.clone(), uid: "any".into() };
    let plan = of(&world, "bob", vec![sweep]);
    says(&world, &plan, Err(Violation::VolumeDeleted(claim.1.clone())), "a volume");
    let value = world.objects.remove(&claim).expect("it is there");
    let make = Step::Apply(Manifest { kind: claim.0, name: claim.1.clone(), value });
    let plan = of(&world, "carol", vec![make]);
    says(&world, &plan, Err(Violation::VolumeReplaced(claim.1.clone())), "an empty volume");
    let secret = SecretKeyRef { name: "bob".into(), key: "member.key".into() };
    world.cluster.spec.validators[1].member_key_secret = Some(secret);
    says(&world, &plan, Ok(()), "one on which its owner may follow");
    world.cluster.spec.fenced_validators = vec!["bob".into()];
    says(&world, &plan, Err(Violation::VolumeReplaced(claim.1.clone())), "while it is stopped");
}

#[test]
fn a_genesis_is_not_replaced() {
    let mut world = settled(&FOUR);
    let genesis = (Kind::ConfigMap, "demo-genesis".to_owned());
    let value = world.objects[&genesis].clone();
    let manifest = Manifest { kind: genesis.0, name: genesis.1.clone(), value };
    let published = Step::Publish(manifest.clone());
    let plan = of(&world, "bob", vec![published.clone()]);
    says(&world, &plan, Err(Violation::GenesisReplaced), "a genesis where there is one");
    let mut another = manifest.clone();
    another.value["data"]["genesis.json"] = "{}".into();
    let plan = of(&world, "bob", vec![Step::Apply(another)]);
    says(&world, &plan, Err(Violation::GenesisReplaced), "other words");
    let plan = of(&world, "bob", vec![Step::Apply(manifest.clone())]);
    says(&world, &plan, Ok(()), "the same words, which may have another owner");
    world.objects.remove(&genesis);
    let plan = of(&world, "bob", vec![Step::Apply(manifest)]);
    says(&world, &plan, Err(Violation::GenesisReplaced), "not by publishing");
    let plan = of(&world, "bob", vec![published]);
    says(&world, &plan, Ok(()), "the same one again, after it was lost");
    let other = settled(&["mallory"]).objects[&genesis].clone();
    let other = Step::Publish(Manifest { kind: genesis.0, name: genesis.1, value: other });
    let plan = of(&world, "bob", vec![other]);
    says(&world, &plan, Err(Violation::GenesisReplaced), "another chain's");
}

#[test]
fn what_is_somebody_elses_is_not_written() {
    let world = settled(&FOUR);
    let key = (Kind::Service, "demo-api".to_owned());
    let apply = |world: &World| {
        let value = world.objects[&key].clone();
        Step::Apply(Manifest { kind: key.0, name: key.1.clone(), value })
    };
    let plan = of(&world, "bob", vec![apply(&settled(&FOUR))]);
    says(&world, &plan, Ok(()), "our own Service");
    let (checked, mut observed, _) = look(&world);
    let live = observed.objects.get_mut(&key).expect("it is there");
    live["metadata"]["ownerReferences"][0]["uid"] = "somebody".into();
    let not_ours = Violation::NotOurs("Service demo-api".into());
    assert_eq!(audit(&plan, &checked, &observed), Err(not_ours), "somebody else's Service");
}

fn says(world: &World, plan: &Plan, expected: Result<(), Violation>, why: &str) {
    let observed = world.observe();
    let checked = cairn_operator::check::check(&world.cluster, &observed).expect("a sound spec");
    assert_eq!(audit(plan, &checked, &observed), expected, "{why}");
}
