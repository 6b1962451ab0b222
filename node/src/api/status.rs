//! What a validator says about itself: filled in by who runs it, read by the admin port.

/// Where a validator is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It has its keys, and waits for the genesis that names them.
    #[default]
    Founding,
    /// It is one of a chain's.
    Running,
}

/// How a validator is, now.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct NodeStatus {
    /// Whether there is a chain yet.
    pub phase: Phase,
    /// The chain, in hexadecimal; empty while there is none.
    pub chain_id: String,
    /// This validator's name in the genesis.
    pub validator: String,
    /// Height of the last stored block.
    pub height: u64,
    /// Its id, in hexadecimal.
    pub block: String,
    /// Round of the height that is being decided.
    pub round: u32,
    /// Whether this validator may sign.
    pub voting: bool,
    /// Why not, in one sentence; nothing when it may.
    pub not_voting_because: Option<String>,
    /// Whether it serves: it is open, and not far behind its peers.
    pub ready: bool,
    /// Why not, in one sentence; nothing when it does.
    pub not_ready_because: Option<String>,
    /// Names of the validators that it is connected with.
    pub peers: Vec<String>,
    /// The best height that a peer has shown.
    pub best_peer: u64,
    /// Whether the federation can decide, as seen from here: more than two thirds of the power
    /// are within reach, and so is whoever leads the log.
    pub quorum: bool,
    /// Why not, in one sentence; nothing when it can.
    pub no_quorum_because: Option<String>,
    /// Whether this validator leads the log: Raft's leader, or TiKV's writer.
    pub leads: bool,
    /// One line about the log: role, leader, term.
    pub order: String,
    /// Unix time in seconds at which the certificate of the API ends; 0 without TLS.
    pub certificate_expiry: i64,
    /// The version that runs.
    pub version: String,
}
