//! The operator: for whoever wonders why a cluster is not as its spec says.

use super::{
    OPERATOR, Panel, Query, Row,
    board::{AFTER_TROUBLE, Dashboard, Mark, Unit, rising},
    promql::{mean, quantile, quantile_by, rate_by},
};

const SCOPE: &str = r#"namespace=~"$namespace",job=~"$job",instance=~"$instance""#;

/// What lines of processes are called.
const NAME: &str = "{{instance}}";

pub(super) fn dashboard() -> Dashboard {
    Dashboard::new(
        OPERATOR,
        "Cairn / Operator",
        "The operator: who leads, what its passes do, and what the API server says to it.",
        SCOPE,
    )
    .many("namespace", "Namespace", "label_values(cairn_operator_leader, namespace)")
    .many("job", "Job", r#"label_values(cairn_operator_leader{namespace=~"$namespace"}, job)"#)
    .many(
        "instance",
        "Instance",
        r#"label_values(cairn_operator_leader{namespace=~"$namespace",job=~"$job"}, instance)"#,
    )
    .mark(Mark::at(
        "Start",
        "blue",
        &of_the_operator("process_start_time_seconds{@} * 1000"),
        "{{instance}} started",
    ))
    .row(Row::new("Overview", overview()))
    .row(Row::new("Clusters", clusters()))
    .row(Row::new("Passes", passes()))
    .row(Row::new("API server and validators", requests()))
    .row(Row::new("Process", process()))
}

/// What every process tells, of the operator's processes only: others may be of the same job or namespace.
fn of_the_operator(expression: &str) -> String {
    format!("{expression} and on (namespace, job, instance) cairn_operator_leader{{@}}")
}

fn overview() -> Vec<Panel> {
    vec![
        Panel::stat("Leaders", Unit::Count, "Operators that lead: one at any time. 0 for more than 15 seconds: none runs, or none gets its Lease; look at the operator's pods and log. Validators go on without it.")
            .sized(4, 4)
            .steps(vec![(None, "red"), (Some(1.0), "green"), (Some(2.0), "red")])
            .ask("leaders", "sum(cairn_operator_leader{@})"),
        Panel::stat("Clusters", Unit::Count, "BlockchainClusters that the operator looks after, in the namespaces that it watches.")
            .sized(4, 4)
            .ask("clusters", "sum(max by (reason) (cairn_operator_clusters{@}))"),
        Panel::stat("Clusters not ready", Unit::Count, "Those of them whose condition Ready is not True. *Clusters, by reason* says why; `kubectl describe` says what to do.")
            .sized(4, 4)
            .steps(rising(1.0, 1000.0))
            .ask("clusters", r#"sum(max by (reason) (cairn_operator_clusters{@})) - (max(cairn_operator_conditions{@,type="Ready"}) or vector(0))"#),
        Panel::stat("Oldest pass under way", Unit::Seconds, "How long the oldest pass that runs now has taken. Minutes: it waits for an API server or a validator that does not answer; the log says for which.")
            .sized(4, 4)
            .steps(rising(30.0, 120.0))
            .ask("age", "max(cairn_operator_pass_age_seconds{@})"),
        Panel::stat("CRD", Unit::Count, "Whether the CRD in the API server is this operator's. *missing* or *outdated*: upgrade the chart cairn-crds; until then the operator waits, or does without newer fields.")
            .sized(4, 4)
            .steps(rising(1.0, 2.0))
            .names(&[(0, "current", "green"), (1, "outdated", "orange"), (2, "missing", "red")])
            .ask("CRD", "max(cairn_operator_crd_outdated{@} + 2 * cairn_operator_crd_missing{@})"),
        Panel::stat("Clusters that cannot be read", Unit::Count, "BlockchainClusters with fields that this version does not know. Upgrade the operator, or take those fields out; they are left alone until then.")
            .sized(4, 4)
            .steps(rising(1.0, 1000.0))
            .ask("clusters", "max(cairn_operator_clusters_undecodable{@})"),
    ]
}

fn clusters() -> Vec<Panel> {
    vec![
        Panel::stack("Clusters, by reason", Unit::Count, "All clusters by the reason of their condition Ready. Reasons other than those of a ready cluster pass by themselves, or say in the status what a person must do.")
            .sized(12, 8)
            .ask("{{reason}}", "max by (reason) (cairn_operator_clusters{@})"),
        Panel::lines("Clusters, by condition", Unit::Count, "In how many clusters each condition is True. Ready, Available and StorageHealthy should be as many as there are clusters; Degraded and QuorumAtRisk 0: `kubectl get blockchainclusters -A` says which.")
            .sized(12, 8)
            .ask("{{type}}", "max by (type) (cairn_operator_conditions{@})"),
    ]
}

fn passes() -> Vec<Panel> {
    let heatmap = |title, outcome: &str, description| {
        let expression = format!(
            r#"sum by (le) (increase(cairn_operator_passes_seconds_bucket{{@,outcome{outcome}}}[$__rate_interval]))"#
        );
        Panel::heatmap(title, Unit::Seconds, description).ask("{{le}}", expression)
    };
    vec![
        heatmap("Duration of passes that only looked", r#"="unchanged""#, "Passes over clusters in which nothing had changed: milliseconds, or as long as the slowest validator takes to answer. When they move up, validators or the API server answer late."),
        heatmap("Duration of passes with something to do", r#"!="unchanged""#, "Passes that planned, wrote or failed. When they move up, the API server is slow, or validators do not answer: see *Requests, by code* and *Asking a validator*."),
        Panel::stack("Passes, by outcome", Unit::ASecond, "Passes a second: *unchanged*, *settled* (nothing to do), *written*, *failed*. *written* that never ends means that somebody else changes the same objects; *failed* has its reasons in *Failed passes*.")
            .ask("{{outcome}}", rate_by("outcome", "cairn_operator_passes_seconds_count")),
        Panel::lines("Duration, 99 % within, by outcome", Unit::Seconds, "How long passes take. Seconds for *written* are well; seconds for *unchanged* are not: see *Asking a validator*.")
            .ask("{{outcome}}", quantile_by("0.99", "outcome", "cairn_operator_passes_seconds")),
        Panel::lines("Failed passes, by kind", Unit::ASecond, "Passes that failed: *trouble* is weather and is tried again, *conflict* is somebody else who wrote at the same time, *refused* is the API server (rights, quotas, policies), *bug* is ours: report it with the log.")
            .query(Query::new("{{kind}}", rate_by("kind", "cairn_operator_errors_total")).quiet(AFTER_TROUBLE)),
        Panel::lines("Passes that run", Unit::Count, "Passes at the same time. When as many as `concurrency` allows run all the time, clusters wait for each other: raise it in the chart's values.")
            .ask(NAME, "max by (instance) (cairn_operator_passes_active{@})"),
        Panel::lines("Clusters that wait for a pass", Unit::Count, "Clusters whose turn it is with the operator that leads, and that no worker has taken yet. Above 0 for long: `concurrency` in the chart's values is too low, or passes hang: see *Oldest pass*.")
            .ask(NAME, "max by (instance) (cairn_operator_queue_depth{@} and cairn_operator_leader{@} == 1)"),
        Panel::lines("Oldest pass", Unit::Seconds, "How long the oldest pass that ran at each time had taken. A line that climbs is one that hangs: the log says on what.")
            .ask(NAME, "max by (instance) (cairn_operator_pass_age_seconds{@})"),
    ]
}

fn requests() -> Vec<Panel> {
    vec![
        Panel::stack("Requests, by code", Unit::RequestsASecond, "Requests to the API server by its answer; *none* is no answer. 403: the chart's rights were changed; 409: somebody else writes the same; 429 and 5xx: the API server has enough to do.")
            .ask("{{code}}", rate_by("code", "cairn_operator_requests_total")),
        Panel::lines("Requests, by verb and kind", Unit::RequestsASecond, "What is asked of the API server. An operator with nothing to do only renews its Lease and keeps its watches: anything else that goes on without end is worth a report.")
            .ask("{{verb}} {{kind}}", rate_by("verb, kind", "cairn_operator_requests_total")),
        Panel::lines("Writes, by kind", Unit::RequestsASecond, "What is changed. Leases are always renewed; other kinds only while a cluster changes. When they go on, somebody else puts the same objects back.")
            .ask("{{verb}} {{kind}}", rate_by("verb, kind", "cairn_operator_writes_total")),
        Panel::lines("Watches begun again", Unit::ASecond, "Watches that failed. A few after an API server restarted; lasting, the operator sees changes late: look at the network to the API server, and at its rights.")
            .query(Query::new("{{kind}}", rate_by("kind", "cairn_operator_watch_failures_total")).quiet(AFTER_TROUBLE)),
        Panel::lines("Asking a validator", Unit::Seconds, "How long validators take to answer on their admin ports. 2 s is where it stops waiting: then a validator hangs, or a NetworkPolicy is between.")
            .ask("half within", quantile("0.5", "cairn_operator_probe_seconds"))
            .ask("99 % within", quantile("0.99", "cairn_operator_probe_seconds"))
            .ask("mean", mean("cairn_operator_probe_seconds")),
        Panel::states("Who leads", &[(0, "stands by", "text"), (1, "leads", "green")], "Which process leads. The lead changes hands at upgrades and drains; more often means that its Lease cannot be renewed: the API server is slow or far.")
            .ask(NAME, "max by (instance) (cairn_operator_leader{@})"),
    ]
}

fn process() -> Vec<Panel> {
    let line = |title, unit, expression: &str, description| {
        Panel::lines(title, unit, description).ask(NAME, of_the_operator(expression))
    };
    vec![
        line("CPU", Unit::Count, "rate(process_cpu_seconds_total{@}[$__rate_interval])", "Processor cores that each operator uses. It follows the number of clusters; a jump without new clusters is a pass that goes on for ever: see *Passes, by outcome*."),
        line("Memory", Unit::Bytes, "process_resident_memory_bytes{@}", "Resident memory of each operator: its caches, so it follows the number of objects. Beyond the chart's `resources.limits` Kubernetes ends it."),
        line("Open files", Unit::Count, "process_open_fds{@}", "Open files and connections of each operator. When they only grow, something leaks: report it."),
        line("Threads", Unit::Count, "process_threads{@}", "Threads of each operator. Steady after the start; when they grow, report it with the log."),
        Panel::table("Operators", "Each operator as it is now. Two versions for long: an upgrade hangs, look at the Deployment.")
            .sized(16, 7)
            .key("instance", "Instance")
            .query(Query::new("Leads", "max by (instance) (cairn_operator_leader{@})").names(&[(0, "stands by", "text"), (1, "leads", "green")]))
            .query(Query::new("Up for", format!("time() - max by (instance) ({})", of_the_operator("process_start_time_seconds{@}"))).unit(Unit::Seconds))
            .query(Query::new("Version", "max by (instance, version) (cairn_operator_build_info{@})").says("version")),
    ]
}
