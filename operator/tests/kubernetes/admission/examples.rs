//! Every manifest of `examples/` is taken, field by field.

use std::{fs, path::Path};

use super::*;

#[test]
fn every_example_is_taken_with_nothing_unknown_in_it() {
    let servers = installed();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut taken = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let namespace = format!("example-{stem}");
        super::namespace(servers, &namespace);
        let file = path.to_str().unwrap();
        let apply = ["-n", &namespace, "apply", "--server-side", "--validate=strict", "-f", file];
        let answer = servers.kubectl(&apply);
        assert!(answer.is_ok(), "{file}: {answer:?}");
        let listed = servers.kubectl(&["-n", &namespace, "get", "bcc", "-o", "name"]).unwrap();
        assert!(listed.starts_with("blockchaincluster.cairndb.io/"), "{file}: {listed}");
        taken.push(stem);
    }
    println!("taken: {taken:?}");
    assert!(taken.len() >= 10, "{taken:?}");
}
