//! How blocks come about: the votes, and the log that they vote on.

use crate::boards::{
    Panel, Query, Row,
    board::{AFTER_TROUBLE, Unit},
    promql::{VALIDATOR, each, mean, quantile, rate_by, rate_of_all, rate_of_each},
};

pub(super) fn row() -> Row {
    let mut panels = blocks();
    panels.extend(votes());
    panels.extend(log());
    Row::new("Consensus", panels)
}

fn blocks() -> Vec<Panel> {
    vec![
        Panel::lines("Block interval", Unit::Seconds, "Between one stored block and the next. A block is made as soon as there is something for it, so it is long where there is little to do; long under load means rounds that fail (*Rounds*) or a slow *Decision*.")
            .ask("half within", quantile("0.5", "cairn_block_interval_seconds"))
            .ask("99 % within", quantile("0.99", "cairn_block_interval_seconds")),
        Panel::lines("Decision", Unit::Seconds, "From a proposal being seen to its block being decided: two rounds of votes. It grows with the distance between validators, and when a quorum is slow to execute or to vote.")
            .ask("half within", quantile("0.5", "cairn_decision_seconds"))
            .ask("99 % within", quantile("0.99", "cairn_decision_seconds")),
        Panel::lines("Transactions of a block", Unit::Count, "How full blocks are. Always at the limit: the federation decides as much as it can, and more load only waits.")
            .ask("mean", mean("cairn_block_transactions"))
            .ask("99 % within", quantile("0.99", "cairn_block_transactions")),
        Panel::lines("Rounds", Unit::Count, "Rounds that a height took, and the round that the slowest validator is in now (the first is 0). Above one: proposers are away or late; when it goes on growing, validators cannot agree: compare their versions and logs.")
            .ask("mean of a height", mean("cairn_rounds"))
            .ask("99 % within", quantile("0.99", "cairn_rounds"))
            .ask("round now", "max(cairn_round{@})"),
        Panel::lines("Blocks fetched from peers", Unit::ASecond, "Blocks that a validator fetched because it was not there for the votes, and for comparison those that are decided by votes. One that goes on fetching does not keep up: see its CPU, disk and network.")
            .ask(VALIDATOR, rate_of_each("cairn_sync_blocks_total"))
            .query(Query::new("decided by votes", rate_of_all("cairn_certificates_total")).colour("text").dashed()),
    ]
}

fn votes() -> Vec<Panel> {
    vec![
        Panel::lines("Votes missing, by validator", Unit::ASecond, "Decided blocks a second whose certificate lacks this validator's vote, as the others see it. A quorum is enough for a certificate, so that everyone is late now and then; as many as blocks means that it does not vote: look at *Ready* and at its log.")
            .query(Query::new("{{validator}}", "max by (validator) (rate(cairn_votes_missing_total{@}[$__rate_interval]))").quiet("only when votes are missing")),
        Panel::stack("Proposals, by outcome", Unit::ASecond, "Proposals that validators examined. *missing*: its transactions were not here yet, which only delays. *invalid*: a proposer and this validator come to different results: keep their logs, this is a fault or an attack.")
            .ask("{{outcome}}", rate_by("outcome", "cairn_proposals_total")),
        Panel::lines("Evidence and refused signatures", Unit::Count, "Two different votes or proposals of one validator for one round, and signatures that a validator refused to give because it had signed something else (it ends with that). Anything but 0: a key is used twice. Stop the validator whose key it is.")
            .query(Query::new("two {{kind}}", "sum by (kind) (increase(cairn_evidence_total{@}[$__rate_interval]))").quiet(AFTER_TROUBLE))
            .ask("refused to sign twice", "sum(increase(cairn_double_sign_refusals_total{@}[$__rate_interval]))"),
        Panel::states("May vote", &[(0, "does not vote", "orange"), (1, "votes", "green")], "Which validator may sign. After a start it first catches up; one that stays without a vote says why in its /status.")
            .ask(VALIDATOR, each("cairn_voting")),
    ]
}

fn log() -> Vec<Panel> {
    vec![
        Panel::states("Who leads the log", &[(0, "knows no leader", "red"), (1, "follows", "blue"), (2, "leads", "green")], "Which validator leads the ordered log, and who knows a leader. Without one nothing new is ordered: a majority must reach each other.")
            .ask(VALIDATOR, format!("{} + {}", each("cairn_order_leader"), each("cairn_order_has_leader"))),
        Panel::lines("Changes of the log's leader", Unit::Count, "How often the lead changed hands, and the term that it is in. Changes without restarts mean that the leader is too slow to be heard: look at its CPU, its disk (*raft* in *fsync*) and its network.")
            .ask("changes", "max(increase(cairn_order_leader_changes_total{@}[$__rate_interval]))")
            .ask("term", "max(cairn_order_term{@})"),
        Panel::lines("Log not yet in blocks", Unit::Count, "Entries of the log after the last stored block. It grows when more is ordered than decided: then *Decision* or a validator's CPU is the limit.")
            .ask(VALIDATOR, each("cairn_order_backlog")),
        Panel::lines("Append to the log", Unit::Seconds, "How long until the log has a batch, on a majority of disks. Slow appends are slow disks (*fsync*, raft) or a slow network between validators.")
            .ask("half within", quantile("0.5", "cairn_append_seconds"))
            .ask("99 % within", quantile("0.99", "cairn_append_seconds")),
        Panel::stack("Appends, by outcome", Unit::ASecond, "Batches put into the log. *unavailable* and *unknown*: there was no leader, or no answer of one; batches are appended again by themselves. Lasting: see *Who leads the log*.")
            .ask("{{outcome}}", rate_by("outcome", "cairn_appends_total")),
        Panel::lines("Bytes appended", Unit::BytesASecond, "What each validator puts into the log. It is written on every validator's disk and sent to all: when it nears what disks or network can do, nothing else helps but fewer or smaller transactions.")
            .ask(VALIDATOR, rate_of_each("cairn_appended_bytes_total")),
    ]
}
