//! Who founded the chain; the hash of this record is the chain's name.

use crate::ids::{ChainId, PublicKey};

/// One founding member's validator.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validator {
    /// A DNS label, unique in the chain.
    pub name: String,
    /// Signs proposals and votes. Lives and dies with the validator's volume.
    pub consensus_key: PublicKey,
    /// Names the member towards its peers (mesh TLS), and would sign the registration of a
    /// new consensus key. Kept apart from the volume.
    pub member_key: PublicKey,
    /// Voting power, at least 1.
    pub power: u64,
}

/// The founding record. Addresses are not part of it: they may change, the chain may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    name: String,
    salt: [u8; 16],
    validators: Vec<Validator>,
    chain: ChainId,
}

/// What is wrong with a genesis record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// Filled in by whoever builds this file.
    #[error("{0}")]
    Invalid(String),
}

impl Genesis {
    /// Checks and seals a record: validators sorted by name, names and keys unique and
    /// sound, power within limits.
    pub fn new(
        name: String,
        salt: [u8; 16],
        validators: Vec<Validator>,
    ) -> Result<Self, GenesisError> {
        let _ = (name, salt, validators);
        todo!()
    }
    /// Reads the JSON file form (`chain_id` in it, when present, must match).
    pub fn from_json(text: &str) -> Result<Self, GenesisError> {
        let _ = text;
        todo!()
    }
    /// The JSON file form, pretty, ending in a newline.
    pub fn to_json(&self) -> String {
        todo!()
    }
    /// The chain's human-readable name.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// The hash of the record.
    pub fn chain(&self) -> ChainId {
        self.chain
    }
    /// The validators; their order gives each its index, and never changes.
    pub fn validators(&self) -> &[Validator] {
        &self.validators
    }
    /// The index of the validator with that consensus key.
    pub fn index_of(&self, consensus_key: &PublicKey) -> Option<u16> {
        let at = self.validators.iter().position(|v| v.consensus_key == *consensus_key)?;
        u16::try_from(at).ok()
    }
    /// The voting power of all.
    pub fn total_power(&self) -> u64 {
        self.validators.iter().map(|v| v.power).sum()
    }
}
