//! Is it well? Eight numbers, what clients notice, and a line for each validator.

use crate::boards::{
    Panel, Query, Row,
    board::{Unit, YES_OR_NO, falling, rising},
    promql::{BEHIND, HEAD, VALIDATOR, each, quantile, rate, rate_of_all},
};

pub(super) fn row() -> Row {
    let mut panels = numbers();
    panels.extend(what_clients_notice());
    panels.push(validators());
    panels.extend(over_time());
    Row::new("Overview", panels)
}

fn numbers() -> Vec<Panel> {
    let latency = [("Commit, half within", "0.5"), ("Commit, 99 % within", "0.99")].map(|(title, share)| {
        Panel::stat(title, Unit::Seconds, "How long transactions take from their arrival at a validator to their block being stored there. When it grows, compare *Consensus* (rounds, append) and *Store* (fsync): one of the two is slow.")
            .steps(rising(1.0, 5.0))
            .ask(title, quantile(share, "cairn_commit_latency_seconds"))
    });
    let mut panels = vec![
        Panel::stat("Validators ready", Unit::Count, "Validators that are ready for clients, of all that the federation has; those of other organisations count only where Prometheus reads them. When it falls, the table below says who is missing: look at its log and its /readyz.")
            .ask("ready", "sum(cairn_ready{@})")
            .query(Query::new("of", "max(cairn_validators{@})").colour("text")),
        Panel::stat("Voting power reached", Unit::Share, "Share of the voting power that the best connected validator reaches, its own included. At two thirds or less nothing is decided: bring validators back, or mend the network between them.")
            .most(1.0)
            .steps(falling(0.6667, 0.9999))
            .ask("reached", "max(cairn_voting_power_reachable{@} / cairn_voting_power{@})"),
        Panel::stat("Quorum margin", Unit::Count, "How many validators more may be lost, the strongest first, before nothing is decided. At 0, take no validator down and bring back those that are missing; *none* means that there is no quorum now.")
            .steps(falling(0.0, 1.0))
            .names(&[(-1, "none", "red")])
            .ask("margin", "max(cairn_quorum_margin{@})"),
        Panel::stat("Height", Unit::Exact, "The highest block that anyone has. While transactions wait it must grow; when it stands still, look at *Quorum margin* and at *Who leads the log*.")
            .ask("height", HEAD),
        Panel::stat("Committed", Unit::ASecond, "Transactions a second that become part of the ledger. When it falls while *Pending transactions* grows, the federation decides less than clients send.")
            .ask("committed", rate_of_all("cairn_committed_transactions_total")),
        Panel::stat("Refused", Unit::ASecond, "Transactions a second that are turned away, at the door or in a block. Mostly clients at fault: *Refused, by code* says why.")
            .ask("refused", format!("{} or vector(0)", rate("cairn_refused_transactions_total"))),
    ];
    panels.extend(latency);
    panels
}

fn what_clients_notice() -> Vec<Panel> {
    vec![
        Panel::lines("Transactions", Unit::ASecond, "Committed and refused transactions a second; a refusal in a block is counted by each validator. A gap, or committed at 0 while clients send, means that nothing is decided: see *Quorum margin*.")
            .sized(12, 8)
            .query(Query::new("committed", rate_of_all("cairn_committed_transactions_total")).colour("green"))
            .query(Query::new("refused", format!("{} or vector(0)", rate("cairn_refused_transactions_total"))).colour("orange")),
        Panel::lines("Commit latency", Unit::Seconds, "From a transaction's arrival to its block being stored. When only the 99 % grow, single heights take more rounds or a disk stalls now and then; when all grow, the federation is loaded or a quorum is slow.")
            .sized(12, 8)
            .ask("half within", quantile("0.5", "cairn_commit_latency_seconds"))
            .ask("90 % within", quantile("0.9", "cairn_commit_latency_seconds"))
            .ask("99 % within", quantile("0.99", "cairn_commit_latency_seconds")),
    ]
}

fn validators() -> Panel {
    Panel::table("Validators", "Each validator as it is now. One that is not ready, or far behind, is looked at first: its log and its /status on the admin port say why; one that is missing here does not answer Prometheus at all.")
        .sized(24, 7)
        .key("cairndb_io_validator", "Validator")
        .query(Query::new("Ready", each("cairn_ready")).names(&YES_OR_NO))
        .query(Query::new("Votes", each("cairn_voting")).names(&[(0, "no", "orange"), (1, "yes", "green")]))
        .query(Query::new("Sees a quorum", each("cairn_quorum")).names(&YES_OR_NO))
        .query(Query::new("Leads the log", each("cairn_order_leader")).names(&[(0, "–", "text"), (1, "yes", "blue")]))
        .query(Query::new("Height", each("cairn_height")).unit(Unit::Exact))
        .query(Query::new("Behind", format!("max by (cairndb_io_validator) ({BEHIND})")).unit(Unit::Exact).steps(rising(10.0, 100.0)))
        .query(Query::new("Peers", each("cairn_peers_connected")))
        .query(Query::new("Pending", each("cairn_pending_transactions")))
        .query(Query::new("Memory", each("process_resident_memory_bytes")).unit(Unit::Bytes))
        .query(Query::new("Data", each("cairn_data_bytes")).unit(Unit::Bytes))
        .query(Query::new("Up for", "time() - max by (cairndb_io_validator) (process_start_time_seconds{@})").unit(Unit::Seconds))
        .query(Query::new("Version", "max by (cairndb_io_validator, version) (cairn_build_info{@})").says("version"))
}

fn over_time() -> Vec<Panel> {
    vec![
        Panel::states("Ready", &[(0, "not ready", "red"), (1, "ready", "green")], "Which validator was ready when; a gap means that it did not answer Prometheus. One that flaps is short of memory, disk or network: see *Process* and *Mesh*.")
            .ask(VALIDATOR, each("cairn_ready")),
        Panel::states("Sees a quorum", &[(0, "no quorum", "red"), (1, "quorum", "green")], "Which validator reaches enough voting power to decide, and whoever leads the log. One that does not is cut off: look at *Peers* and at the network of its machine. None that does: nothing is decided.")
            .ask(VALIDATOR, each("cairn_quorum")),
        Panel::lines("Blocks behind", Unit::Exact, "How many blocks each validator lacks of the highest that its peers have shown it. One that stays behind is too slow (CPU, disk); one that catches up falls steadily; one that is cut off knows of no blocks to lack, see *Sees a quorum*.")
            .ask(VALIDATOR, format!("max by (cairndb_io_validator) ({BEHIND})")),
    ]
}
