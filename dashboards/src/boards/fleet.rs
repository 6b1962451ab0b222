//! All clusters: for whoever looks after many, to see which one to look at.

use super::{
    FLEET, Panel, Query, Row,
    board::{AFTER_TROUBLE, Dashboard, Unit, falling, rising},
    promql::BEHIND,
};

const SCOPE: &str =
    r#"namespace=~"$namespace",cairndb_io_cluster=~"$cluster",job=~"$job",instance=~"$instance""#;

/// What lines are called here.
const NAME: &str = "{{namespace}}/{{cairndb_io_cluster}}";

/// Of the row that was clicked on, at the time that is looked at.
const TO_THE_CLUSTER: (&str, &str) = (
    "Open this cluster",
    "/d/cairn-cluster?var-datasource=${datasource}&var-namespace=${__data.fields.namespace}&var-cluster=${__data.fields.cairndb_io_cluster}&${__url_time_range}",
);

pub(super) fn dashboard() -> Dashboard {
    Dashboard::new(
        FLEET,
        "Cairn / Fleet",
        "All clusters side by side: which one needs somebody.",
        SCOPE,
    )
    .many("namespace", "Namespace", "label_values(cairn_height, namespace)")
    .many(
        "cluster",
        "Cluster",
        r#"label_values(cairn_height{namespace=~"$namespace"}, cairndb_io_cluster)"#,
    )
    .many(
        "job",
        "Job",
        r#"label_values(cairn_height{namespace=~"$namespace",cairndb_io_cluster=~"$cluster"}, job)"#,
    )
    .many(
        "instance",
        "Instance",
        r#"label_values(cairn_height{namespace=~"$namespace",cairndb_io_cluster=~"$cluster",job=~"$job"}, instance)"#,
    )
    .row(Row::new("Now", now()))
    .row(Row::new("Over time", over_time()))
}

/// By cluster.
fn by_cluster(of: &str, expression: &str) -> String {
    format!("{of} by (namespace, cairndb_io_cluster) ({expression})")
}

fn rate_of_all(counter: &str) -> String {
    format!(
        "quantile by (namespace, cairndb_io_cluster) (0.5, rate({counter}{{@}}[$__rate_interval]))"
    )
}

fn quantile(share: &str, histogram: &str) -> String {
    format!(
        "histogram_quantile({share}, sum by (le, namespace, cairndb_io_cluster) (rate({histogram}_bucket{{@}}[$__rate_interval])))"
    )
}

/// How many clusters there are of which this holds.
fn clusters_where(holds: &str) -> String {
    format!("count({holds}) or vector(0)")
}

fn now() -> Vec<Panel> {
    let margin = by_cluster("max", "cairn_quorum_margin{@}");
    let few = by_cluster("sum", "cairn_ready{@}");
    let all = by_cluster("max", "cairn_validators{@}");
    vec![
        Panel::stat("Clusters", Unit::Count, "Clusters that Prometheus has metrics of. One that is missing here has no validator that answers, or is not scraped: look at Prometheus' targets.")
            .sized(4, 4)
            .ask("clusters", "count(count by (namespace, cairndb_io_cluster) (cairn_height{@}))"),
        Panel::stat("Without a quorum", Unit::Count, "Clusters that decide nothing now. Open them from the table, and bring their validators back.")
            .sized(4, 4)
            .steps(vec![(None, "green"), (Some(1.0), "red")])
            .ask("clusters", clusters_where(&format!("{margin} < 0"))),
        Panel::stat("One loss from stopping", Unit::Count, "Clusters that go on only as long as nothing more fails: take none of their validators down, and bring back those that are missing.")
            .sized(4, 4)
            .steps(vec![(None, "green"), (Some(1.0), "orange")])
            .ask("clusters", clusters_where(&format!("{margin} == 0"))),
        Panel::stat("Not all ready", Unit::Count, "Clusters of which a validator is not ready, or not scraped. The table says which.")
            .sized(4, 4)
            .steps(vec![(None, "green"), (Some(1.0), "orange")])
            .ask("clusters", clusters_where(&format!("{few} < {all}"))),
        Panel::stat("Committed", Unit::ASecond, "Transactions a second that all clusters commit together. When it falls, the graphs below say where.")
            .sized(4, 4)
            .ask("committed", format!("sum({})", rate_of_all("cairn_committed_transactions_total"))),
        Panel::stat("Versions", Unit::Count, "How many versions of Cairn run. More than one for long: an upgrade was not finished; the table says where.")
            .sized(4, 4)
            .ask("versions", "count(count by (version) (cairn_build_info{@}))"),
        clusters(margin, few, all),
    ]
}

fn clusters(margin: String, few: String, all: String) -> Panel {
    Panel::table("Each cluster", "A click on a cluster's name opens it. Look first at those without margin, then at those that are behind or slow. A cluster in the middle of an upgrade shows the version that most of its validators run.")
        .sized(24, 7)
        .key("namespace", "Namespace")
        .key_that_leads("cairndb_io_cluster", "Cluster", TO_THE_CLUSTER)
        .query(Query::new("Ready", few))
        .query(Query::new("Of", all))
        .query(Query::new("Quorum margin", margin).steps(falling(0.0, 1.0)).names(&[(-1, "no quorum", "red")]))
        .query(Query::new("Height", by_cluster("max", "cairn_height{@}")).unit(Unit::Exact))
        .query(Query::new("Furthest behind", by_cluster("max", BEHIND)).unit(Unit::Exact).steps(rising(10.0, 100.0)))
        .query(Query::new("Committed", rate_of_all("cairn_committed_transactions_total")).unit(Unit::ASecond))
        .query(Query::new("Commit, 99 % within", quantile("0.99", "cairn_commit_latency_seconds")).unit(Unit::Seconds).steps(rising(1.0, 5.0)))
        .query(Query::new("Pending", by_cluster("sum", "cairn_pending_transactions{@}")))
        .query(Query::new("Disk used, worst", by_cluster("max", "1 - cairn_data_free_bytes{@} / cairn_data_size_bytes{@}")).unit(Unit::Share).steps(rising(0.8, 0.9)))
        .query(Query::new("Version", "topk by (namespace, cairndb_io_cluster) (1, count by (namespace, cairndb_io_cluster, version) (cairn_build_info{@}))").says("version"))
}

fn over_time() -> Vec<Panel> {
    vec![
        Panel::lines("Committed, by cluster", Unit::ASecond, "Transactions a second that become part of each ledger. A line that falls to 0 while its *Pending* grows is a cluster that decides nothing.")
            .ask(NAME, rate_of_all("cairn_committed_transactions_total")),
        Panel::lines("Commit, 99 % within, by cluster", Unit::Seconds, "How long the slowest of a hundred transactions takes. One cluster alone: open it. All at once: what they share (storage, network, machines).")
            .ask(NAME, quantile("0.99", "cairn_commit_latency_seconds")),
        Panel::lines("Pending, by cluster", Unit::Count, "Transactions that wait for a decision. It grows where more comes than is decided.")
            .ask(NAME, by_cluster("sum", "cairn_pending_transactions{@}")),
        Panel::lines("Quorum margin, by cluster", Unit::Count, "How many validators more each cluster may lose. Below 0 it decides nothing.")
            .least(-1.0)
            .ask(NAME, by_cluster("max", "cairn_quorum_margin{@}")),
        Panel::lines("Furthest behind, by cluster", Unit::Exact, "Blocks that the last validator of each cluster lacks. A line that does not come down again is a validator that does not keep up: open the cluster.")
            .ask(NAME, by_cluster("max", BEHIND)),
        Panel::lines("Failed requests, by cluster", Unit::RequestsASecond, "Answers of 500 and above. Open the cluster: *Failed requests, by route* says which.")
            .query(Query::new(NAME, r#"sum by (namespace, cairndb_io_cluster) (rate(cairn_http_requests_total{@,status=~"5.."}[$__rate_interval]))"#).quiet(AFTER_TROUBLE)),
        Panel::lines("Data, by cluster", Unit::Bytes, "What all validators of a cluster keep. How fast it grows says when volumes must.")
            .ask(NAME, by_cluster("sum", "cairn_data_bytes{@}")),
        Panel::lines("CPU, by cluster", Unit::Count, "Processor cores that all validators of a cluster use. A cluster that uses more than its share slows those on the same machines.")
            .ask(NAME, by_cluster("sum", "rate(process_cpu_seconds_total{@}[$__rate_interval])")),
        Panel::lines("Memory, by cluster", Unit::Bytes, "Resident memory of all validators of a cluster. One that grows without its load growing leaks: compare its versions.")
            .ask(NAME, by_cluster("sum", "process_resident_memory_bytes{@}")),
    ]
}
