//! What is kept, and how long the disk takes; and the same where TiKV keeps it.

use crate::boards::{
    Panel, Query, Row,
    board::{AFTER_TROUBLE, Unit, WITH_TIKV, rising},
    promql::{VALIDATOR, each, quantile, quantile_by, rate_by, rate_of_each},
};

pub(super) fn row() -> Row {
    Row::new(
        "Store",
        vec![
            Panel::lines("fsync, 99 % within", Unit::Seconds, "How long the disk takes to make something durable, by file: the journal of votes, the blocks, the Raft log. Each is waited for, so this is the floor of the commit latency. Above some 10 ms: another disk, or fewer neighbours on it.")
                .ask("{{class}}", quantile_by("0.99", "class", "cairn_fsync_seconds")),
            Panel::lines("fsync, 99 % within, by validator", Unit::Seconds, "The same for each validator. One that is slower than the others has the bad disk.")
                .ask(VALIDATOR, quantile_by("0.99", "cairndb_io_validator", "cairn_fsync_seconds")),
            Panel::lines("fsyncs", Unit::ASecond, "How often something is made durable, by file. Disks are billed and limited by this: compare with what the volume may do.")
                .ask("{{class}}", rate_by("class", "cairn_fsync_seconds_count")),
            Panel::lines("Data", Unit::Bytes, "What each validator's data folder takes. It only grows; how fast says when the volume must grow, too.")
                .ask(VALIDATOR, each("cairn_data_bytes")),
            Panel::lines("Disk, share used", Unit::Share, "How full the file system under the data folder is. A validator whose disk is full ends with exit code 14, and keeps what it has: enlarge the volume before, at 80 %.")
                .most(1.0)
                .steps(rising(0.8, 0.9))
                .ask(VALIDATOR, "max by (cairndb_io_validator) (1 - cairn_data_free_bytes{@} / cairn_data_size_bytes{@})"),
            Panel::lines("Search behind", Unit::Exact, "Blocks that searches do not see yet. It catches up by itself after load; when it only grows, the validator's CPU is too small for what is indexed.")
                .ask(VALIDATOR, "clamp_min(max by (cairndb_io_validator) (cairn_height{@} - cairn_search_height{@}), 0)"),
            Panel::lines("Snapshots", Unit::Seconds, "How long writing a snapshot of the state takes. It grows with the state; it runs beside the votes, and slows them only on a disk that is busy already.")
                .sized(12, 7)
                .query(Query::new("half within", quantile("0.5", "cairn_snapshot_seconds")).quiet("only when a snapshot was written"))
                .query(Query::new("99 % within", quantile("0.99", "cairn_snapshot_seconds")).quiet("only when a snapshot was written")),
            Panel::states("Store reachable", &[(0, "away", "red"), (1, "answers", "green")], "Whether each validator's store answers. One on its own disk always does; when TiKV is away the chain waits and clients get 503 STORE_UNAVAILABLE until it is back.")
                .sized(12, 7)
                .ask(VALIDATOR, each("cairn_store_reachable")),
        ],
    )
}

pub(super) fn tikv() -> Row {
    Row::folded(
        "TiKV, where log or state are in it",
        vec![
            Panel::lines("Calls, 99 % within", Unit::Seconds, "How long calls of TiKV take, their retries included, by kind. Compare with TiKV's own dashboards: slow here and fast there is the network.")
                .query(Query::new("{{kind}}", quantile_by("0.99", "kind", "cairn_tikv_call_seconds")).quiet(WITH_TIKV)),
            Panel::lines("Calls", Unit::ASecond, "Calls of TiKV a second, by kind. They follow the load; many more than blocks call for a look at *Search behind* and at who reads.")
                .query(Query::new("{{kind}}", rate_by("kind", "cairn_tikv_call_seconds_count")).quiet(WITH_TIKV)),
            Panel::lines("Calls that failed", Unit::ASecond, "Calls without a yes: *unreachable* is the network or a store that is down, *refused* a limit or a lock, *bug* is ours: report it with the log.")
                .query(Query::new("{{kind}}: {{outcome}}", r#"sum by (kind, outcome) (rate(cairn_tikv_call_seconds_count{@,outcome!="yes"}[$__rate_interval]))"#).quiet(WITH_TIKV)),
            Panel::lines("Blocks compared with their rows", Unit::ASecond, "Blocks in TiKV whose rows were read again and compared. It goes on for ever; at 0 with TiKV in use, the scrub stands still: see the log.")
                .sized(12, 7)
                .ask(VALIDATOR, rate_of_each("cairn_store_scrubbed_blocks_total")),
            Panel::lines("Damaged rows", Unit::Count, "Rows and blocks in TiKV that were gone or wrong. Anything but 0: somebody or something changed TiKV's data beside the validators; docs/tikv.md says what to do.")
                .sized(12, 7)
                .query(Query::new(VALIDATOR, "sum by (cairndb_io_validator) (increase(cairn_store_damaged_rows_total{@}[$__rate_interval]))").quiet(AFTER_TROUBLE)),
        ],
    )
}
