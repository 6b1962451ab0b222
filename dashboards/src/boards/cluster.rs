//! One cluster: for whoever is asked whether it is well, and what is the matter when it is not.

mod consensus;
mod mempool;
mod mesh;
mod overview;
mod process;
mod requests;
mod store;

use super::{
    CLUSTER,
    board::{Dashboard, Mark},
};

const SCOPE: &str =
    r#"namespace="$namespace",cairndb_io_cluster="$cluster",job=~"$job",instance=~"$instance""#;

pub(super) fn dashboard() -> Dashboard {
    Dashboard::new(
        CLUSTER,
        "Cairn / Cluster",
        "One cluster: what clients get, how it is decided, and what it costs each validator.",
        SCOPE,
    )
    .one("namespace", "Namespace", "label_values(cairn_height, namespace)")
    .one(
        "cluster",
        "Cluster",
        r#"label_values(cairn_height{namespace="$namespace"}, cairndb_io_cluster)"#,
    )
    .many(
        "job",
        "Job",
        r#"label_values(cairn_height{namespace="$namespace",cairndb_io_cluster="$cluster"}, job)"#,
    )
    .many(
        "instance",
        "Instance",
        r#"label_values(cairn_height{namespace="$namespace",cairndb_io_cluster="$cluster",job=~"$job"}, instance)"#,
    )
    .mark(Mark::at(
        "Start",
        "blue",
        "max by (cairndb_io_validator) (process_start_time_seconds{@}) * 1000",
        "{{cairndb_io_validator}} started",
    ))
    .mark(Mark::while_there(
        "Alert",
        "red",
        r#"ALERTS{alertstate="firing",namespace="$namespace",cairndb_io_cluster="$cluster"}"#,
        "{{alertname}} {{cairndb_io_validator}}",
    ))
    .row(overview::row())
    .row(requests::row())
    .row(consensus::row())
    .row(mempool::row())
    .row(store::row())
    .row(store::tikv())
    .row(mesh::row())
    .row(process::row())
}
