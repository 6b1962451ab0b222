//! The waiting room: what waits for a decision, what is turned away, and what checking signatures costs.

use crate::boards::{
    Panel, Query, Row,
    board::Unit,
    promql::{VALIDATOR, each, mean_by, quantile_by, rate_by, rate_of_each},
};

pub(super) fn row() -> Row {
    Row::new(
        "Mempool",
        vec![
            Panel::lines("Pending transactions", Unit::Count, "Transactions that wait for a decision, all validators together, and how many may. It grows when more comes than is decided; at the limit, new ones are turned away with 503 until there is room.")
                .ask("pending", "sum(cairn_pending_transactions{@})")
                .query(Query::new("at most", "sum(cairn_pending_transactions_max{@})").colour("red").dashed()),
            Panel::lines("Pending, by validator", Unit::Count, "Transactions that wait, by the validator that took them. Where one has many more than the others, clients do not spread their load, or that one is cut off from the log.")
                .ask(VALIDATOR, each("cairn_pending_transactions")),
            Panel::lines("Waiting room, share taken", Unit::Share, "How full each validator's waiting room is, by transactions or bytes, whichever is more. Near 100 %: spread clients over the validators, or send less.")
                .most(1.0)
                .ask(VALIDATOR, "max by (cairndb_io_validator) (cairn_pending_transactions{@} / cairn_pending_transactions_max{@} > cairn_pending_bytes{@} / cairn_pending_bytes_max{@} or cairn_pending_bytes{@} / cairn_pending_bytes_max{@})"),
            Panel::lines("Pending bytes", Unit::Bytes, "Bytes of the transactions that wait at each validator. Large transactions fill the waiting room before many do.")
                .ask(VALIDATOR, each("cairn_pending_bytes")),
            Panel::stack("Refused, by code", Unit::ASecond, "Transactions turned away, by the code that clients get; docs/api.md lists them. Many of one code are one client at fault; a refusal in a block is counted by each validator.")
                .ask("{{code}}", rate_by("code", "cairn_refused_transactions_total")),
            Panel::lines("Put into the log again", Unit::ASecond, "Transactions that blocks passed by, and that were put into the log once more. Above 0 for long: appends are lost on the way, see *Appends, by outcome*.")
                .ask(VALIDATOR, rate_of_each("cairn_appended_again_transactions_total")),
            Panel::lines("Signatures: transactions at once", Unit::Count, "How many transactions are checked together, at the door (those of clients) and out of the log (those that others let in): the more, the cheaper each. Small under little load, which is well.")
                .sized(12, 7)
                .ask("{{at}}, mean", mean_by("at", "cairn_verification_transactions")),
            Panel::lines("Signatures: time of a batch", Unit::Seconds, "How long checking the signatures of a batch takes. When it grows with batches of the same size, the CPU is short: see *CPU*.")
                .sized(12, 7)
                .ask("{{at}}, half within", quantile_by("0.5", "at", "cairn_verification_seconds"))
                .ask("{{at}}, 99 % within", quantile_by("0.99", "at", "cairn_verification_seconds")),
        ],
    )
}
