//! The manifests of clusters, as golden files: `tests/objects/NAME.yaml` in, `NAME.golden` out.
//! `UPDATE_GOLDENFILES=1` writes them anew; read the difference. And what must hold of all of them.
#![expect(clippy::unwrap_used, reason = "all of this is a test: what must not happen ends it")]

use std::{collections::BTreeSet, fs};

use cairn_ledger::{
    genesis::{Genesis, Validator},
    signature::SigningKey,
};
use cairn_operator::{
    check::Checked,
    crd::BlockchainCluster,
    manifest::{Kind, Manifest},
    names::{ANNOTATION_CONFIG, ANNOTATION_TEMPLATE},
    objects::{config, stateful_set, surroundings, template_hash},
    render::{manifests, parse, render},
};
use proptest::prelude::*;
use serde_json::{Value, json};

const IMAGE: &str = "registry.example/cairn:1.0";

/// Clusters, and whether they have been founded.
const CLUSTERS: [(&str, bool); 6] = [
    ("minimal", false),
    ("everything", false),
    ("tikv", false),
    ("federation", false),
    ("suspended", false),
    ("founded", true),
];

fn path(name: &str) -> String {
    format!("{}/tests/objects/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn cluster(name: &str) -> BlockchainCluster {
    parse(&fs::read_to_string(path(&format!("{name}.yaml"))).unwrap()).unwrap()
}

/// Alice to Dave, with keys that anybody can make.
fn founders() -> Genesis {
    let key = |seed: u8| SigningKey::from_seed([seed; 32]).public();
    let validators =
        (1_u8..).zip(["alice", "bob", "carol", "dave"]).map(|(seed, name)| Validator {
            name: name.into(),
            consensus_key: key(seed),
            member_key: key(seed + 100),
            power: 1,
        });
    Genesis::new("demo".into(), [7; 16], validators.collect()).unwrap()
}

fn checked(name: &str) -> Checked {
    let founded = CLUSTERS.iter().any(|(other, founded)| *other == name && *founded);
    Checked::assumed(&cluster(name), founded.then(founders), IMAGE)
}

#[test]
fn manifests_are_as_they_were_read_last() {
    for (name, founded) in CLUSTERS {
        let text = render(&cluster(name), founded.then(founders), IMAGE).unwrap();
        let golden = path(&format!("{name}.golden"));
        if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
            fs::write(&golden, &text).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        let differs = text.lines().zip(expected.lines()).find(|(a, b)| a != b);
        assert!(
            text == expected,
            "{name}.golden is stale, at {differs:?}: UPDATE_GOLDENFILES=1 writes it"
        );
    }
}

#[test]
fn the_order_in_which_people_write_changes_nothing() {
    let mut other = cluster("everything");
    other.spec.validators.reverse();
    let other = Checked::assumed(&other, None, IMAGE);
    assert_eq!(manifests(&other), manifests(&checked("everything")));
}

#[test]
fn nothing_that_is_written_knows_the_operators_version() {
    for (name, _) in CLUSTERS {
        for manifest in manifests(&checked(name)) {
            let text = manifest.value.to_string();
            assert!(!text.contains(env!("CARGO_PKG_VERSION")), "{name}: {text}");
        }
    }
}

#[test]
fn a_template_changes_with_what_a_pod_is_and_with_nothing_else() {
    type Change = fn(&mut Value);
    #[rustfmt::skip]
    let table: [(Change, bool, &str); 13] = [
        (|s| s["suspend"] = true.into(),                               false, "stopping"),
        (|s| s["fencedValidators"] = json!(["alice"]),                 false, "fencing"),
        (|s| s["paused"] = true.into(),                                false, "looking away"),
        (|s| s["storage"] = json!({"data": {"size": "30Gi"}}),         false, "growing the volume"),
        (|s| s["api"] = json!({"service": {"type": "NodePort"}}),      false, "another Service"),
        (|s| s["update"] = json!({"strategy": "Supervised"}),          false, "another strategy"),
        (|s| s["validators"][1]["resources"] = json!({"limits": {"cpu": "1"}}), false, "somebody else's resources"),
        (|s| s["resources"] = json!({"limits": {"cpu": "1"}}),         true,  "resources"),
        (|s| s["image"] = json!({"tag": "2"}),                         true,  "an image"),
        (|s| s["config"] = json!({"log": "debug"}),                    true,  "the configuration"),
        (|s| s["api"] = json!({"tls": {"secretName": "mine"}}),        true,  "TLS"),
        (|s| s["podOverrides"] = json!({"spec": {"hostNetwork": true}}), true, "an override"),
        (|s| s["podOverrides"] = json!({"metadata": {"annotations": {ANNOTATION_TEMPLATE: "x"}}}), true, "even one that means to say its hash"),
    ];
    let hash_of = |spec: &Value| {
        let mut cluster = cluster("minimal");
        cluster.spec = serde_json::from_value(spec.clone()).unwrap();
        let checked = Checked::assumed(&cluster, None, IMAGE);
        let manifest = stateful_set(&checked, &checked.spec.validators[0]);
        let hash = template_hash(&manifest);
        let carried = &manifest.value["spec"]["template"]["metadata"]["annotations"];
        assert_eq!(carried[ANNOTATION_TEMPLATE], hash, "its pods carry it");
        hash.to_owned()
    };
    let before = json!(cluster("minimal").spec);
    for (change, changes, what) in table {
        let mut after = before.clone();
        change(&mut after);
        assert_eq!(hash_of(&before) != hash_of(&after), changes, "{what}");
    }
}

#[test]
fn founding_a_cluster_changes_no_template_and_no_configuration() {
    let (before, after) = (
        Checked::assumed(&cluster("minimal"), None, IMAGE),
        Checked::assumed(&cluster("minimal"), Some(founders()), IMAGE),
    );
    for validator in &before.spec.validators {
        assert_eq!(stateful_set(&before, validator), stateful_set(&after, validator));
        assert_eq!(config(&before, validator), config(&after, validator));
    }
}

#[test]
fn stopped_validators_have_no_replicas() {
    let replicas = |name: &str| -> Vec<Value> {
        let all = manifests(&checked(name));
        let sets = all.iter().filter(|m| m.kind == Kind::StatefulSet);
        sets.map(|m| m.value["spec"]["replicas"].clone()).collect()
    };
    assert_eq!(replicas("minimal"), [1, 1, 1, 1]);
    assert_eq!(replicas("suspended"), [0, 0, 0, 0]);
    assert_eq!(replicas("founded"), [1, 0, 1], "alice, bob, carol; erin waits for her election");
}

/// The leaves of a TOML document, as `api.tls.key`.
fn leaves(path: &str, value: &toml::Value, found: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                leaves(&path, value, found);
            }
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn every_field_of_a_configuration_is_one_that_the_documentation_has() {
    let documentation = fs::read_to_string(path("../../../docs/configuration.md")).unwrap();
    let rows: Vec<_> = documentation.lines().filter(|line| line.starts_with('|')).collect();
    let documented = |field: &str| {
        let (section, last) = field.rsplit_once('.').unwrap_or(("", field));
        rows.iter().any(|row| {
            let short =
                row.contains(&format!("`{section}.")) && row.contains(&format!("`.{last}`"));
            row.contains(&format!("`{field}`")) || short
        })
    };
    let mut fields = BTreeSet::new();
    for (name, _) in CLUSTERS {
        let checked = checked(name);
        for validator in &checked.spec.validators {
            let manifest = config(&checked, validator);
            let text = manifest.value["data"]["cairn.toml"].as_str().unwrap().to_owned();
            leaves("", &toml::from_str(&text).unwrap(), &mut fields);
        }
    }
    assert!(fields.len() > 20, "{fields:?}");
    for field in fields.iter().filter(|field| !field.starts_with("peers.")) {
        assert!(documented(field), "{field} is not in docs/configuration.md");
    }
}

#[test]
fn people_configure_what_the_operator_leaves_open() {
    let mut cluster = cluster("minimal");
    cluster.spec.api.tls = serde_json::from_value(json!({ "secretName": "mine" })).unwrap();
    cluster.spec.config = Some(json!({
        "name": "mallory", "data": "/tmp", "listen": {"mesh": "127.0.0.1:1"}, "peers": "none",
        "api": {"cors": {"origins": []}, "tls": {"admin": true}},
        "log": "debug", "log_format": "text", "intake": {"bytes": 9_007_199_254_740_993_u64, "x": [1, null, 2.5]},
    }));
    let checked = Checked::assumed(&cluster, None, IMAGE);
    let manifest = config(&checked, &checked.spec.validators[0]);
    let text = manifest.value["data"]["cairn.toml"].as_str().unwrap();
    let toml: toml::Table = toml::from_str(text).unwrap();
    assert_eq!(toml["name"].as_str(), Some("alice"), "what must be wins");
    assert_eq!(toml["data"].as_str(), Some("/var/lib/cairn"));
    assert_eq!(toml["listen"]["mesh"].as_str(), Some("[::]:9987"));
    assert_eq!(toml["peers"]["bob"].as_str(), Some("demo-bob.ledgers.svc:9987"));
    assert_eq!(toml["log"].as_str(), Some("debug"));
    assert_eq!(toml["log_format"].as_str(), Some("json"));
    assert_eq!(toml["api"]["cors"]["origins"].as_array().map(Vec::len), Some(0), "beside ours");
    assert_eq!(toml["api"]["tls"]["admin"].as_bool(), Some(false), "nobody could ask how it is");
    assert_eq!(toml["intake"]["bytes"].as_integer(), Some(9_007_199_254_740_993));
    assert_eq!(toml["intake"]["x"].as_array().map(Vec::len), Some(2), "TOML has no null");
}

/// Names of the alerts in a cluster's PrometheusRule.
fn alerts(name: &str, suspend: bool) -> BTreeSet<String> {
    let mut checked = checked(name);
    checked.spec.suspend = suspend;
    checked.spec.monitoring.rules = true;
    let all = surroundings(&checked);
    let rules = all.iter().find(|m| m.kind == Kind::PrometheusRule).unwrap();
    let groups = rules.value["spec"]["groups"].as_array().unwrap();
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
    let named = rules.filter_map(|rule| rule["alert"].as_str());
    named.map(str::to_owned).collect()
}

#[test]
fn a_cluster_has_the_alerts_of_the_list_and_misses_nobody_who_is_not_meant_to_answer() {
    let validators = cairn_dashboards::rules::validators();
    let list = validators.iter().flat_map(|group| group.alerts);
    let list: BTreeSet<_> = list.map(|alert| alert.name.to_owned()).collect();
    assert_eq!(alerts("founded", false), list);
    let fewer: BTreeSet<_> = list.into_iter().filter(|name| name != "CairnNoValidators").collect();
    assert_eq!(alerts("everything", false), fewer, "it is being founded");
    assert_eq!(alerts("founded", true), fewer, "its validators are stopped");
}

/// JSON of few words, so that it often hits what a template has.
fn json_of_few_words() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "metadata",
        "spec",
        "labels",
        "annotations",
        "containers",
        "volumes",
        "name",
        "cairn",
        "data",
        "tolerations",
        "cairndb.io/cluster",
        "cairndb.io/config",
        "env",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u8>().prop_map(Value::from),
        words.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(words.clone().prop_map(str::to_owned), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Overrides whose lists are where a template has lists, and name what it names.
fn overrides() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["cairn", "data", "other"]);
    let item = (name, json_of_few_words())
        .prop_map(|(name, rest)| {
            let mut item = if rest.is_object() { rest } else { json!({ "secret": rest }) };
            item["name"] = name.into();
            item
        })
        .boxed();
    let items = || {
        prop_oneof![
            prop::collection::vec(item.clone(), 0..3).prop_map(Value::from),
            json_of_few_words()
        ]
    };
    let lists = (json_of_few_words(), items(), items()).prop_map(|(metadata, containers, volumes)| {
        json!({ "metadata": metadata, "spec": { "containers": containers, "volumes": volumes } })
    });
    prop_oneof![json_of_few_words(), lists]
}

proptest! {
    /// Nobody can write an override that takes a pod out of its Service, its budget or its policies, that
    /// gives it another volume, or that ends the operator.
    #[test]
    fn whatever_overrides_say_a_validator_stays_one(
        overrides in overrides(),
        configuration in json_of_few_words(),
    ) {
        let mut cluster = cluster("minimal");
        let plain = Checked::assumed(&cluster, None, IMAGE);
        cluster.spec.pod_overrides = Some(overrides);
        cluster.spec.config = Some(configuration);
        let checked = Checked::assumed(&cluster, None, IMAGE);
        let template = |checked: &Checked| {
            stateful_set(checked, &checked.spec.validators[0]).value["spec"]["template"].clone()
        };
        let named = |template: &Value, list: &str, name: &str| -> Option<Value> {
            template["spec"][list].as_array()?.iter().find(|item| item["name"] == name).cloned()
        };
        let (plain, template) = (template(&plain), template(&checked));
        for (label, value) in plain["metadata"]["labels"].as_object().unwrap() {
            prop_assert_eq!(&template["metadata"]["labels"][label], value);
        }
        prop_assert!(template["metadata"]["annotations"][ANNOTATION_CONFIG].is_string());
        prop_assert!(named(&template, "containers", "cairn").is_some());
        prop_assert_eq!(named(&template, "volumes", "data"), named(&plain, "volumes", "data"));
    }
}

/// What Kubernetes writes on a node that it does not hear of.
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

#[test]
fn overrides_add_by_name_and_take_away_by_null() {
    let mut cluster = cluster("minimal");
    cluster.spec.tolerations =
        serde_json::from_value(json!([{"key": "a", "operator": "Exists"}, {"key": UNREACHABLE}]))
            .unwrap();
    cluster.spec.pod_overrides = Some(json!({"spec": {
        "terminationGracePeriodSeconds": 5,
        "affinity": null,
        "tolerations": [{"key": "b", "operator": "Exists"}, {"key": "a", "operator": "Exists"}],
        "containers": [
            {"name": "cairn", "livenessProbe": null, "ports": [{"name": "debug", "containerPort": 1}]},
            {"name": "other"},
        ],
    }}));
    let checked = Checked::assumed(&cluster, None, IMAGE);
    let manifest: Manifest = stateful_set(&checked, &checked.spec.validators[0]);
    let spec = &manifest.value["spec"]["template"]["spec"];
    assert_eq!(spec["terminationGracePeriodSeconds"], 5);
    assert_eq!(spec.get("affinity"), None);
    let tolerated = spec["tolerations"].as_array().unwrap().iter().map(|it| &it["key"]);
    let not_ready = "node.kubernetes.io/not-ready";
    assert_eq!(Vec::from_iter(tolerated), ["a", UNREACHABLE, not_ready, "b"], "each once");
    assert_eq!(spec["tolerations"][1], json!({"key": UNREACHABLE}), "as the spec has it");
    let containers = spec["containers"].as_array().unwrap();
    assert_eq!((containers.len(), &containers[1]["name"]), (2, &json!("other")));
    assert_eq!(containers[0].get("livenessProbe"), None);
    assert_eq!(containers[0]["image"], IMAGE, "the rest stays");
    assert_eq!(containers[0]["ports"].as_array().map(Vec::len), Some(5), "and so do its ports");
}

#[test]
fn errors_of_render_are_one_sentence_that_names_what_is_wrong() {
    #[rustfmt::skip]
    let table = [
        ("apiVersion: v1\nkind: Pod\n",                                     "BlockchainCluster"),
        ("",                                                                "BlockchainCluster"),
        ("a: [",                                                            "line"),
        ("apiVersion: cairndb.io/v1alpha1\nkind: BlockchainCluster\nmetadata: {name: a}\nspec: {}\n", "validators"),
    ];
    for (text, named) in table {
        let error = parse(text).unwrap_err();
        assert!(error.contains(named), "{text:?}: {error}");
    }
}

#[test]
fn what_is_rendered_without_a_cluster_has_no_owner() {
    let mut cluster = cluster("minimal");
    cluster.metadata.uid = None;
    let text = render(&cluster, None, IMAGE).unwrap();
    assert!(!text.contains("ownerReferences"), "it would be collected as garbage at once");
    assert!(text.contains("kind: StatefulSet"));
}
