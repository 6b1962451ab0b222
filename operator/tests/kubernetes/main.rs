//! The operator against a real Kubernetes API server. One program, so that etcd and the API server are
//! started once; each test has a namespace of its own.
#![allow(clippy::disallowed_methods, reason = "these tests wait for real servers")]

mod crashes;
mod faults;
mod kubelet;
mod objects;
mod scenarios;
mod servers;
mod world;

use servers::shared;

#[test]
fn the_api_server_takes_the_crd() {
    let crd = serde_json::to_string(&{
        use kube::CustomResourceExt;
        cairn_operator::crd::BlockchainCluster::crd()
    })
    .unwrap();
    let answer = shared().kubectl_with(&["apply", "--server-side", "-f", "-"], &crd);
    assert!(answer.is_ok(), "{answer:?}");
}
