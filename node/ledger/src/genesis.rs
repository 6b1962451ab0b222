//! Who founded the chain; the hash of this record is the chain's name.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use crate::{
    encoding::Writer,
    ids::{ChainId, PublicKey},
    limits::{NAME_BYTES_MAX, VALIDATORS_MAX, VOTING_POWER_TOTAL_MAX},
    signature::is_sound,
};

/// Domain tag of the record that is hashed into the chain's id.
const GENESIS_TAG: &[u8] = b"cairn/genesis/1";
/// The format of the file, and of the binary record.
const FORMAT: u16 = 1;

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
    /// A field is not what it must be; the text says which, and what would be fine.
    #[error("{0}")]
    Invalid(String),
    /// The text is not a genesis file.
    #[error("not a genesis file: {0}")]
    Syntax(String),
    /// The file was changed, or names another chain.
    #[error(
        "chain_id is {written}, but the record's hash is {computed}: take the file as the founders made it"
    )]
    Chain {
        /// What the file says.
        written: ChainId,
        /// What its fields hash to.
        computed: ChainId,
    },
}

/// The file form. `chain_id` may be left out by whoever writes one by hand.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u16,
    name: String,
    salt: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chain_id: Option<ChainId>,
    validators: Vec<Validator>,
}

impl Genesis {
    /// Checks and seals a record: validators sorted by name, names and keys unique and
    /// sound, power within limits.
    pub fn new(
        name: String,
        salt: [u8; 16],
        validators: Vec<Validator>,
    ) -> Result<Self, GenesisError> {
        check_name(&name)?;
        check_validators(&validators)?;
        let mut validators = validators;
        validators.sort_by(|a, b| a.name.cmp(&b.name));
        let chain = ChainId(Sha256::digest(encode(&name, &salt, &validators)).into());
        Ok(Self { name, salt, validators, chain })
    }
    /// The binary form whose SHA-256 is the chain's id: domain tag, format, name, salt, number
    /// of validators, and of each (sorted by name) its name, both keys and power.
    pub fn encode(&self) -> Vec<u8> {
        encode(&self.name, &self.salt, &self.validators)
    }
    /// Reads the JSON file form (`chain_id` in it, when present, must match).
    pub fn from_json(text: &str) -> Result<Self, GenesisError> {
        let File { format, name, salt, chain_id, validators } =
            serde_json::from_str(text).map_err(|error| GenesisError::Syntax(error.to_string()))?;
        if format != FORMAT {
            return invalid(format!("format is {format}, this version reads {FORMAT}"));
        }
        let mut salt_bytes = [0; 16];
        if hex::decode_to_slice(&salt, &mut salt_bytes).is_err() {
            return invalid("salt is not 16 bytes: 32 hexadecimal digits are".to_owned());
        }
        let genesis = Self::new(name, salt_bytes, validators)?;
        match chain_id {
            Some(written) if written != genesis.chain => {
                Err(GenesisError::Chain { written, computed: genesis.chain })
            }
            _ => Ok(genesis),
        }
    }
    /// The JSON file form, pretty, ending in a newline.
    pub fn to_json(&self) -> String {
        let file = File {
            format: FORMAT,
            name: self.name.clone(),
            salt: hex::encode(self.salt),
            chain_id: Some(self.chain),
            validators: self.validators.clone(),
        };
        serde_json::to_string_pretty(&file).expect("plain fields always serialise") + "\n"
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

fn invalid<T>(what: String) -> Result<T, GenesisError> {
    Err(GenesisError::Invalid(what))
}

/// A chain's name is for people: anything printable.
fn check_name(name: &str) -> Result<(), GenesisError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return invalid(format!(
            "name {name:?}: 1 to {NAME_BYTES_MAX} bytes without control characters are fine"
        ));
    }
    Ok(())
}

fn check_validators(validators: &[Validator]) -> Result<(), GenesisError> {
    if validators.is_empty() || validators.len() > VALIDATORS_MAX {
        return invalid(format!(
            "{} validators: 1 to {VALIDATORS_MAX} make a chain",
            validators.len()
        ));
    }
    let (mut names, mut keys, mut total) = (HashSet::new(), HashSet::new(), 0_u64);
    for Validator { name, consensus_key, member_key, power } in validators {
        if !is_dns_label(name) {
            return invalid(format!(
                "validator name {name:?}: 1 to {NAME_BYTES_MAX} of a-z, 0-9 and '-', beginning and ending with a letter or digit, are fine"
            ));
        }
        if !names.insert(name) {
            return invalid(format!("two validators are named {name}: names must differ"));
        }
        for (field, key) in [("consensus_key", consensus_key), ("member_key", member_key)] {
            // A weak key would make signatures that anyone can forge.
            if !is_sound(key) {
                return invalid(format!(
                    "{field} of {name} is no sound ed25519 public key: take one that `cairn` generated"
                ));
            }
            // One key in two places is one party in two places: a quorum would be fewer than it seems.
            if !keys.insert(key) {
                return invalid(format!(
                    "{field} of {name} is in the record already: every key must differ"
                ));
            }
        }
        total = total.saturating_add(*power);
        if *power == 0 || total > VOTING_POWER_TOTAL_MAX {
            return invalid(format!(
                "power of {name} is {power}: at least 1 each and at most {VOTING_POWER_TOTAL_MAX} together are fine"
            ));
        }
    }
    Ok(())
}

/// RFC 1123, as Kubernetes reads it: validators name pods and certificates.
fn is_dns_label(name: &str) -> bool {
    let inside = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name.bytes().all(inside)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn encode(name: &str, salt: &[u8; 16], validators: &[Validator]) -> Vec<u8> {
    let mut writer = Writer::tagged(GENESIS_TAG);
    writer.u16(FORMAT).bytes(name.as_bytes()).raw(salt);
    writer.u32(u32::try_from(validators.len()).expect("validators are few"));
    for Validator { name, consensus_key, member_key, power } in validators {
        writer.bytes(name.as_bytes()).raw(&consensus_key.0).raw(&member_key.0).u64(*power);
    }
    writer.finish()
}

#[cfg(test)]
pub(crate) mod tests;
