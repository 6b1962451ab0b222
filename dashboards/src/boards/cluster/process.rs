//! What a validator takes of its machine: how much is used, what waits, what is near its limit.

use crate::boards::{
    Panel, Query, Row,
    board::Unit,
    promql::{VALIDATOR, each, rate_by, rate_of_each},
};

pub(super) fn row() -> Row {
    Row::new(
        "Process",
        vec![
            Panel::lines("CPU", Unit::Count, "Processor cores that each validator uses. Near what its machine or its limit allows, everything waits: give it more, or send less.")
                .ask(VALIDATOR, rate_of_each("process_cpu_seconds_total")),
            Panel::lines("Memory", Unit::Bytes, "Resident memory of each validator. It grows with load up to the bounds in the configuration; beyond its limit Kubernetes ends the pod (OOMKilled).")
                .ask(VALIDATOR, each("process_resident_memory_bytes")),
            Panel::lines("Work that waits for a thread", Unit::Count, "Tasks that are ready and wait for a thread of the runtime. Above 0 for long: the CPU is short, or something holds a thread up.")
                .ask(VALIDATOR, each("cairn_tokio_queue_depth")),
            Panel::lines("Tasks", Unit::Count, "Tasks of the runtime: some for each connection and stream. When they grow without connections growing, something leaks: report it.")
                .ask(VALIDATOR, each("cairn_tokio_tasks")),
            Panel::lines("Threads", Unit::Count, "Threads of each validator, and those of them that run tasks. It is steady after the start.")
                .ask(VALIDATOR, each("process_threads"))
                .query(Query::new("running tasks", "max(cairn_tokio_workers{@})").colour("text").dashed()),
            Panel::lines("Open files, share of the most", Unit::Share, "Open files and connections, of those that the process may have. Near 100 %, connections are refused: raise the limit (LimitNOFILE, or the container's).")
                .most(1.0)
                .ask(VALIDATOR, "max by (cairndb_io_validator) (process_open_fds{@} / process_max_fds{@})"),
            Panel::lines("Spans dropped, by reason", Unit::ASecond, "Spans of traces that no collector got. *unreachable* and *refused*: look at the collector, and at [traces] in the configuration; *busy* and *queue_full*: more is followed than can be sent, lower `sample`. The ledger does not wait for them.")
                .sized(24, 6)
                .query(Query::new("{{reason}}", rate_by("reason", "cairn_spans_dropped_total")).quiet("only where traces are sent, and some are lost")),
        ],
    )
}
