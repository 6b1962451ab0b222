//! Bytes between validators.

use crate::boards::{
    Panel, Query, Row,
    board::Unit,
    promql::{VALIDATOR, each, rate_by, rate_of_each},
};

pub(super) fn row() -> Row {
    Row::new(
        "Mesh",
        vec![
            Panel::lines("Peers", Unit::Count, "Validators that each one is connected with, and how many others there are. One that lacks some is cut off from them, or they are down: check names, ports and certificates between the two.")
                .ask(VALIDATOR, each("cairn_peers_connected"))
                .query(Query::new("others", "max(cairn_validators{@}) - 1").colour("text").dashed()),
            Panel::lines("Sent", Unit::BytesASecond, "Bytes that each validator sends to peers. Whoever leads the log sends the most; when that nears what its network can do, blocks wait for it.")
                .ask(VALIDATOR, rate_of_each("cairn_mesh_sent_bytes_total")),
            Panel::lines("Received", Unit::BytesASecond, "Bytes that each validator receives from peers. One that receives much more than the others is catching up.")
                .ask(VALIDATOR, rate_of_each("cairn_mesh_received_bytes_total")),
            Panel::lines("Connections made", Unit::Count, "Connections that were made anew. After a restart each peer makes one; without restarts the network loses them: look at the machines between.")
                .ask(VALIDATOR, "sum by (cairndb_io_validator) (increase(cairn_mesh_connects_total{@}[$__rate_interval]))"),
            Panel::lines("Frames dropped, by reason", Unit::ASecond, "Frames of peers that were not taken. *queue_full* and *overloaded*: more comes than this validator can do; *malformed* and *unauthenticated*: a peer of another version, or a stranger.")
                .query(Query::new("{{reason}}", rate_by("reason", "cairn_frames_dropped_total")).quiet("only when frames were dropped")),
            Panel::lines("Waiting to be sent", Unit::Bytes, "Bytes that wait for peers to take them. It grows where a peer or the network to it is slower than the federation; at the limit frames are dropped and asked for again.")
                .ask(VALIDATOR, each("cairn_mesh_queue_bytes")),
        ],
    )
}
