//! The cluster's life, against a real API server: made, changed, broken, repaired, deleted.

use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    faults::{Faults, Verdict},
    kubelet::Fault,
    world::{World, four, four_with, until},
};

const OURS: &str = "app.kubernetes.io/managed-by=cairn-operator";

fn image(tag: &str) -> Value {
    json!({"repository": "registry.test/cairn", "tag": tag})
}

async fn settled(name: &str) -> (World, crate::world::Running) {
    let world = World::new(name).await;
    let operator = world.operator();
    world.writes("demo", four()).await;
    world.settles("demo").await;
    (world, operator)
}

async fn chain(world: &World) -> String {
    world.clusters().get("demo").await.unwrap().status.unwrap().chain_id.unwrap()
}

async fn claims(world: &World) -> Vec<Option<String>> {
    world.objects("v1", "PersistentVolumeClaim").await.iter().map(ResourceExt::uid).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn four_validators_are_made_and_vote() {
    let (world, _operator) = settled("create").await;
    assert_eq!(world.kubelet.book().documents.len(), 1);
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

#[tokio::test(flavor = "multi_thread")]
async fn what_a_deletion_keeps_is_taken_over_by_an_object_of_the_same_name() {
    let (world, _operator) = settled("adopt").await;
    let (before, volumes) = (chain(&world).await, claims(&world).await);
    world.kubelet.looks_away();
    world.clusters().delete("demo", &DeleteParams::background()).await.unwrap();
    until("nothing is left but volumes and the genesis", async || {
        let mut left = vec![];
        for kind in cairn_operator::manifest::Kind::ALL.into_iter().filter(|k| !k.is_optional()) {
            let (api_version, title, _) = kind.names();
            let objects = world.objects(api_version, title).await;
            left.extend(objects.iter().map(|object| format!("{title} {}", object.name_any())));
        }
        let kept = |name: &&String| {
            name.starts_with("PersistentVolumeClaim") || *name == "ConfigMap demo-genesis"
        };
        let pods = world.objects("v1", "Pod").await.len();
        let is_over = left.len() == 5 && left.iter().filter(kept).count() == 5 && pods == 0;
        if is_over { Ok(()) } else { Err(format!("{left:?} and {pods} pods")) }
    })
    .await;
    world.writes("demo", four()).await;
    world.settles("demo").await;
    assert_eq!(chain(&world).await, before);
    assert_eq!(claims(&world).await, volumes);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_of_a_cluster_that_says_so() {
    let world = World::new("delete").await;
    let _operator = world.operator();
    let mut spec = four();
    spec["storage"]["retention"] = json!({"whenDeleted": "Delete"});
    world.writes("demo", spec).await;
    world.settles("demo").await;
    world.kubelet.looks_away();
    world.clusters().delete("demo", &DeleteParams::background()).await.unwrap();
    until("nothing is left", async || {
        let claims = world.objects("v1", "PersistentVolumeClaim").await.len();
        let maps = world.objects("v1", "ConfigMap").await.len();
        if claims + maps == 0 { Ok(()) } else { Err(format!("{claims} {maps}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_deletes_or_changes_comes_back() {
    let (world, _operator) = settled("drift").await;
    deleted_comes_back::<ServiceAccount>(&world).await;
    deleted_comes_back::<Service>(&world).await;
    deleted_comes_back::<NetworkPolicy>(&world).await;
    deleted_comes_back::<PodDisruptionBudget>(&world).await;
    deleted_comes_back::<StatefulSet>(&world).await;
    changed_comes_back::<Service>(
        &world,
        "demo-alice",
        json!({"spec": {"publishNotReadyAddresses": false}}),
        "/spec/publishNotReadyAddresses",
    )
    .await;
    changed_comes_back::<StatefulSet>(
        &world,
        "demo-bob",
        json!({"spec": {"replicas": 3}}),
        "/spec/replicas",
    )
    .await;
    changed_comes_back::<ConfigMap>(
        &world,
        "demo-carol",
        json!({"data": {"cairn.toml": "x"}}),
        "/data/cairn.toml",
    )
    .await;
    changed_comes_back::<NetworkPolicy>(
        &world,
        "demo-deny",
        json!({"spec": {"policyTypes": ["Ingress"]}}),
        "/spec/policyTypes",
    )
    .await;
    changed_comes_back::<PodDisruptionBudget>(
        &world,
        "demo",
        json!({"spec": {"maxUnavailable": 4}}),
        "/spec/maxUnavailable",
    )
    .await;
    changed_comes_back::<PersistentVolumeClaim>(
        &world,
        "data-demo-alice",
        json!({"metadata": {"labels": {"cairndb.io/validator": "bob"}}}),
        "/metadata/labels/cairndb.io~1validator",
    )
    .await;
    world.settles("demo").await;
    assert_eq!(world.kubelet.book().documents.len(), 1);
}

async fn deleted_comes_back<K>(world: &World)
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = world.api();
    let ours = ListParams::default().labels(OURS);
    let victim = api.list(&ours).await.unwrap().items.remove(0);
    // A StatefulSet's pod stays: only what keeps it is taken away.
    let orphan = DeleteParams::orphan();
    api.delete(&victim.name_any(), &orphan).await.unwrap();
    until(&format!("{} {} is back", K::kind(&()), victim.name_any()), async || {
        let now = api.get_opt(&victim.name_any()).await.unwrap();
        let is_new = now.is_some_and(|now| now.uid() != victim.uid());
        if is_new { Ok(()) } else { Err(String::new()) }
    })
    .await;
}

async fn changed_comes_back<K>(world: &World, name: &str, change: Value, at: &str)
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + serde::Serialize,
{
    let api: Api<K> = world.api();
    let value = async || {
        let object = serde_json::to_value(api.get(name).await.unwrap()).unwrap();
        object.pointer(at).cloned()
    };
    let before = value().await;
    api.patch(name, &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
    until(&format!("{} {name} is as it was", K::kind(&())), async || {
        let now = value().await;
        if now == before { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_write_beside_it_is_theirs() {
    let (world, operator) = settled("beside").await;
    let services: Api<Service> = world.api();
    let theirs = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "demo-api", "annotations": {"mesh.test/inject": "yes"}, "labels": {"team": "a"}},
        "spec": {"sessionAffinity": "ClientIP"},
    });
    let parameters = PatchParams::apply("another-manager");
    services.patch("demo-api", &parameters, &Patch::Apply(theirs)).await.unwrap();
    let before = operator.faults.log().iter().filter(|l| l.contains("services/demo-api")).count();
    // Something that makes the operator write the same object.
    world
        .writes("demo", four_with("api", json!({"service": {"annotations": {"ours": "1"}}})))
        .await;
    until("the operator has written it", async || {
        let service = services.get("demo-api").await.unwrap();
        if service.annotations().contains_key("ours") { Ok(()) } else { Err(String::new()) }
    })
    .await;
    let service = services.get("demo-api").await.unwrap();
    assert_eq!(service.annotations().get("mesh.test/inject").map(String::as_str), Some("yes"));
    assert_eq!(service.labels().get("team").map(String::as_str), Some("a"));
    assert_eq!(service.spec.unwrap().session_affinity.as_deref(), Some("ClientIP"));
    let after = operator.faults.log().iter().filter(|l| l.contains("services/demo-api")).count();
    assert_eq!(after, before + 1, "it is not written for what others wrote");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_somebody_else_is_not_written() {
    let world = World::new("conflict").await;
    let services: Api<Service> = world.api();
    let theirs = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "demo-api"},
        "spec": {"ports": [{"port": 80}]},
    });
    let theirs = serde_json::from_value(theirs).unwrap();
    let theirs = services.create(&Default::default(), &theirs).await.unwrap();
    let _operator = world.operator();
    world.writes("demo", four()).await;
    until("the status says so", async || {
        let status = world.clusters().get("demo").await.unwrap().status.unwrap_or_default();
        let told = format!("{status:?}").contains("NameConflict");
        if told { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await;
    let now = services.get("demo-api").await.unwrap();
    assert_eq!(now.resource_version(), theirs.resource_version());
    services.delete("demo-api", &DeleteParams::default()).await.unwrap();
    world.settles("demo").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_goes_one_by_one_and_the_leader_last() {
    let (world, _operator) = settled("upgrade").await;
    world.kubelet.leads("demo", "bob");
    let before = world.kubelet.book().stopped.len();
    world.writes("demo", four_with("image", image("2"))).await;
    world
        .sees("demo", "all run the new image", |status| {
            status.0.updated_validators == 4
                && status.0.operation.is_none()
                && status.is("Ready", "True")
        })
        .await;
    let book = world.kubelet.book();
    assert_eq!(book.stopped[before..], ["alice", "carol", "dave", "bob"]);
    assert_eq!(book.down_most, 1);
    assert!(!book.lost_quorum);
    let pods: Api<Pod> = world.api();
    for pod in pods.list(&ListParams::default()).await.unwrap() {
        let image = pod.spec.unwrap().containers[0].image.clone();
        assert_eq!(image.as_deref(), Some("registry.test/cairn:2"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_image_stops_at_the_first_validator_and_goes_back() {
    let (world, _operator) = settled("halt").await;
    let mut spec = four_with("image", image("bad"));
    spec["update"] = json!({"timeoutSeconds": 30});
    world.writes("demo", spec).await;
    world
        .sees("demo", "the update halts and says why", |status| {
            status.because("Degraded", "UpdateHalted") && format!("{status:?}").contains("no image")
        })
        .await;
    let book = world.kubelet.book();
    assert_eq!(book.down_most, 1);
    assert_eq!(book.stopped.len(), 1, "{:?}", book.stopped);
    world.sees("demo", "it is available all the same", |s| s.is("Available", "True")).await;
    // What runs is told from what is wanted by the hash of the template: the image that it was made with.
    world.writes("demo", four()).await;
    world.settles("demo").await;
    let book = world.kubelet.book();
    assert_eq!((book.down_most, book.lost_quorum), (1, false));
    assert_eq!(book.stopped.len(), 2, "only the broken one is changed back: {:?}", book.stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn suspended_it_has_no_pods_and_resumed_it_is_the_same_chain() {
    let (world, _operator) = settled("suspend").await;
    let (before, volumes) = (chain(&world).await, claims(&world).await);
    world.kubelet.looks_away();
    world.writes("demo", four_with("suspend", json!(true))).await;
    until("there are no pods", async || {
        let pods = world.objects("v1", "Pod").await.len();
        if pods == 0 { Ok(()) } else { Err(format!("{pods}")) }
    })
    .await;
    world.sees("demo", "it says so", |status| status.is("Suspended", "True")).await;
    assert_eq!(claims(&world).await, volumes);
    world.writes("demo", four()).await;
    world.settles("demo").await;
    assert_eq!(chain(&world).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_validator_stops_and_the_others_go_on() {
    let (world, _operator) = settled("fence").await;
    world.writes("demo", four_with("fencedValidators", json!(["dave"]))).await;
    until("it has no pod", async || {
        let pods = world.objects("v1", "Pod").await;
        let names: Vec<_> = pods.iter().map(ResourceExt::name_any).collect();
        if names.len() == 3 { Ok(()) } else { Err(format!("{names:?}")) }
    })
    .await;
    world.sees("demo", "the others go on", |s| s.is("Available", "True")).await;
    assert!(!world.kubelet.book().lost_quorum);
    world.writes("demo", four()).await;
    world.settles("demo").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_is_not_called_well() {
    let world = World::new("silent").await;
    let _operator = world.operator_that_looks(Duration::from_secs(1), Default::default());
    world.writes("demo", four()).await;
    world.settles("demo").await;
    world.kubelet.breaks("carol", Fault::Silent);
    world
        .sees("demo", "nobody says that carol serves", |status| {
            let carol = status.0.members.iter().find(|member| member.name == "carol");
            carol.is_some_and(|carol| carol.ready.is_none()) && !status.is("Ready", "True")
        })
        .await;
    world.kubelet.heals("carol");
    world.settles("demo").await;
    world.kubelet.breaks("dave", Fault::NotReady);
    world
        .sees("demo", "dave says that he does not serve", |status| {
            let dave = status.0.members.iter().find(|member| member.name == "dave");
            dave.is_some_and(|dave| dave.ready == Some(false)) && status.is("QuorumAtRisk", "True")
        })
        .await;
    world.kubelet.heals("dave");
    world.settles("demo").await;
    world.kubelet.breaks("carol", Fault::Exits(15));
    world
        .sees("demo", "the exit code is told", |s| format!("{s:?}").contains("StoreCorrupt"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_throttling_and_errors_are_waited_out() {
    let world = World::new("weather").await;
    let faults = Faults::new(|write, _, _| match write % 7 {
        1 => Verdict::Answer(409),
        3 => Verdict::Answer(429),
        5 => Verdict::Answer(500),
        _ => Verdict::Pass,
    });
    let _operator = world.operator_with(faults);
    world.writes("demo", four()).await;
    world.settles("demo").await;
    assert_eq!(world.kubelet.book().documents.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_that_are_late_stop_nobody_too_many() {
    let world = World::new("late").await;
    let faults = Faults::new(|_, _, path| match path.contains("watch=true") {
        true => Verdict::Slow(Duration::from_millis(700)),
        false => Verdict::Pass,
    });
    let _operator = world.operator_with(faults);
    world.writes("demo", four()).await;
    world.settles("demo").await;
    world.writes("demo", four_with("image", image("2"))).await;
    world
        .sees("demo", "all run the new image", |status| {
            status.0.updated_validators == 4 && status.is("Ready", "True")
        })
        .await;
    let book = world.kubelet.book();
    assert_eq!((book.down_most, book.lost_quorum, book.documents.len()), (1, false, 1));
    assert_eq!(book.stopped.len(), 4, "each once: {:?}", book.stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_lost_its_place_lists_again() {
    let world = World::new("gap").await;
    let gaps = std::sync::atomic::AtomicU32::new(0);
    let faults = Faults::new(move |_, _, path| {
        let is_watch = path.contains("watch=true");
        let n = is_watch.then(|| gaps.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
        match n {
            Some(n) if n < 40 && n % 2 == 0 => Verdict::Answer(410),
            _ => Verdict::Pass,
        }
    });
    let _operator = world.operator_with(faults);
    world.writes("demo", four()).await;
    world.settles("demo").await;
}
