//! A table of conditions: what happened to a federation of four that had settled, and what one condition
//! says then.

use cairn_operator::manifest::Kind;
use serde_json::json;

use super::{put, set, world::World};

type Happening = fn(&mut World);

fn spec(world: &mut World, pointer: &str, value: &str) {
    set(world, pointer, value).expect("an edit");
}

fn breaks(world: &mut World, validator: &str, how: &str) {
    world.broken.insert(validator.into(), how.into());
}

fn on(world: &mut World, validator: &str, node: &str) {
    world.pods.get_mut(validator).expect("it is there")["spec"]["nodeName"] = json!(node);
}

fn status_of_claim(world: &mut World, pointer: &str, value: &str) {
    let key = (Kind::PersistentVolumeClaim, "data-demo-bob".to_owned());
    put(world.objects.get_mut(&key).expect("it is there"), pointer, value).expect("an edit");
}

fn tls(world: &mut World, from_now: i64) {
    spec(world, "/api/tls", r#"{"secretName":"certificate"}"#);
    // A changed API needs no other genesis; the nodes are taken to have loaded it already.
    world.certificate_expiry = world.now.as_second() + from_now;
    world.settle(|_, _| {}).expect("it comes to rest");
}

const DAY: i64 = 24 * 3600;

#[rustfmt::skip]
const TABLE: &[(Happening, &str, &str, &str)] = &[
    (|_| {},                                        "Ready",                   "True",    "Ready"),
    (|w| breaks(w, "bob", "unready"),               "Degraded",                "True",    "ValidatorsNotReady"),
    (|w| breaks(w, "bob", "crashing"),              "Degraded",                "True",    "ConfigRejected"),
    (|w| breaks(w, "bob", "unpullable"),            "Degraded",                "True",    "ImagePullFailed"),
    (|w| breaks(w, "bob", "unscheduled"),           "Degraded",                "True",    "Unschedulable"),
    (|w| breaks(w, "bob", "unreachable"),           "Degraded",                "Unknown", "NotAsked"),
    (|w| breaks(w, "bob", "unreachable"),           "Ready",                   "Unknown", "NotAsked"),
    (|w| breaks(w, "bob", "unreachable"),           "QuorumAtRisk",            "Unknown", "NotAsked"),
    (|w| breaks(w, "bob", "unreachable"),           "Available",               "True",    "QuorumAnswers"),
    (|w| all(w, "unreachable"),                     "Available",               "Unknown", "NotAsked"),
    (|w| all(w, "crashing"),                        "Available",               "False",   "NoQuorum"),
    (|w| breaks(w, "bob", "silent"),                "QuorumAtRisk",            "True",    "OneMoreLoss"),
    (|w| { breaks(w, "bob", "silent"); breaks(w, "carol", "silent") },
                                                    "QuorumAtRisk",            "True",    "NoQuorum"),
    (|w| { breaks(w, "bob", "silent"); breaks(w, "carol", "silent") },
                                                    "Available",               "False",   "NoQuorum"),
    (|w| { on(w, "alice", "n1"); on(w, "bob", "n2"); on(w, "carol", "n3"); on(w, "dave", "n4") },
                                                    "QuorumAtRisk",            "False",   "Spare"),
    (|w| { on(w, "alice", "n1"); on(w, "bob", "n2"); on(w, "carol", "n3"); on(w, "dave", "n3") },
                                                    "QuorumAtRisk",            "False",   "SharedNode"),
    (|w| { on(w, "carol", "n3"); on(w, "dave", "n3"); breaks(w, "bob", "silent") },
                                                    "QuorumAtRisk",            "True",    "OneMoreLoss"),
    // As when the TiKV that holds the log is away: all would vote, and nothing is decided.
    (|w| all(w, "unready"),                         "QuorumAtRisk",            "True",    "NoQuorum"),
    (|w| spec(w, "/suspend", "true"),               "Suspended",               "True",    "Suspending"),
    (|w| { spec(w, "/suspend", "true"); w.settle(|_, _| {}).expect("rest"); },
                                                    "Available",               "False",   "Suspended"),
    (|w| spec(w, "/paused", "true"),                "ReconciliationPaused",    "True",    "Paused"),
    (|w| spec(w, "/paused", "true"),                "Ready",                   "True",    "Ready"),
    (|w| spec(w, "/monitoring/podMonitor", "true"), "MonitoringConfigured",    "False",   "CRDMissing"),
    (|w| { spec(w, "/monitoring/podMonitor", "true"); w.installed.insert(Kind::PodMonitor); },
                                                    "MonitoringConfigured",    "True",    "Configured"),
    (|w| status_of_claim(w, "/status/phase", "Lost"),
                                                    "StorageHealthy",          "False",   "VolumeLost"),
    (|w| status_of_claim(w, "/status/phase", "Pending"),
                                                    "StorageHealthy",          "Unknown", "Provisioning"),
    (|w| status_of_claim(w, "/status/conditions", r#"[{"type":"Resizing","status":"True"}]"#),
                                                    "StorageHealthy",          "True",    "Resizing"),
    (|w| status_of_claim(w, "/metadata/labels/cairndb.io~1chain", "feedface"),
                                                    "StorageHealthy",          "False",   "VolumeForeignChain"),
    (|w| status_of_claim(w, "/metadata/deletionTimestamp", "2030-01-01T00:00:00Z"),
                                                    "StorageHealthy",          "False",   "VolumeTerminating"),
    (|w| { w.objects.remove(&(Kind::PersistentVolumeClaim, "data-demo-bob".into())); },
                                                    "KeysAvailable",           "False",   "VolumeLost"),
    (|w| tls(w, 30 * DAY),                          "CertificatesValid",       "True",    "Valid"),
    (|w| tls(w, 13 * DAY),                          "CertificatesValid",       "True",    "ExpiresSoon"),
    (|w| tls(w, -1),                                "CertificatesValid",       "False",   "Expired"),
    (|w| { tls(w, DAY); w.certificate_expiry = 0; },
                                                    "CertificatesValid",       "False",   "CertificateMissing"),
    (|w| { w.objects.remove(&(Kind::ConfigMap, "demo-genesis".into())); breaks(w, "bob", "unreachable") },
                                                    "Initialized",             "False",   "GenesisMissing"),
    (|w| spec(w, "/chain/chainId", &"ab".repeat(32)),
                                                    "Initialized",             "False",   "GenesisMismatch"),
    (|w| spec(w, "/validators", r#"[{"name":"alice"},{"name":"bob"},{"name":"carol"}]"#),
                                                    "MembershipChangePending", "True",    "ElectionMissing"),
    (|w| spec(w, "/validators", r#"[{"name":"Alice"}]"#),
                                                    "SpecValid",               "False",   "SpecInvalid"),
    (|w| spec(w, "/image", r#"{"tag":"2"}"#),       "Progressing",             "True",    "Updating"),
];

fn all(world: &mut World, how: &str) {
    for validator in ["alice", "bob", "carol", "dave"] {
        breaks(world, validator, how);
    }
}

#[test]
fn conditions_say_what_was_seen() {
    let four: Vec<_> = ["alice", "bob", "carol", "dave"].map(|name| json!({ "name": name })).into();
    for (row, (happens, name, status, reason)) in TABLE.iter().enumerate() {
        let mut world = World::new(json!({ "validators": four }));
        world.settle(|_, _| {}).expect("it comes to rest");
        let before = world.cluster.status.clone().expect("a status");
        happens(&mut world);
        world.run_nodes();
        world.now += jiff::SignedDuration::from_secs(1);
        world.pass(usize::MAX);
        let after = world.cluster.status.clone().expect("a status");
        let find = |conditions: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition]| {
            conditions
                .iter()
                .find(|condition| condition.type_ == *name)
                .cloned()
                .expect("it is there")
        };
        let (was, is) = (find(&before.conditions), find(&after.conditions));
        let got = (is.status.as_str(), is.reason.as_str());
        assert_eq!(got, (*status, *reason), "row {row}, {name}: {}", is.message);
        let moved = was.last_transition_time != is.last_transition_time;
        assert_eq!(moved, was.status != is.status, "row {row}: the time of the last transition");
        assert_eq!(is.observed_generation, world.cluster.metadata.generation, "row {row}");
    }
}
