//! What a validator says about itself: filled in by who runs it, read by the admin port.

/// How a validator is, now.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct NodeStatus {
    /// The chain, in hexadecimal.
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
    /// One line about the log: role, leader, term.
    pub order: String,
    /// The version that runs.
    pub version: String,
}
