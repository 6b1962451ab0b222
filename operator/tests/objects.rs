//! The manifests of clusters, as golden files: `tests/objects/NAME.yaml` in, `NAME.golden` out.
//! `UPDATE_GOLDENFILES=1` writes them anew; read the difference. And what must hold of all of them.

use std::fs;

use cairn_ledger::{
    genesis::{Genesis, Validator},
    signature::SigningKey,
};
use cairn_operator::{
    check::Checked,
    crd::BlockchainCluster,
    manifest::{Kind, Manifest},
    names::{ANNOTATION_CONFIG, ANNOTATION_TEMPLATE},
    objects::{config, image, stateful_set, surroundings, template_hash},
    render::{manifests, parse, render},
};
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
