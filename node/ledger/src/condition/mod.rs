//! Crypto-conditions: who may spend an output, and the proof that they did.
//!
//! The subset of draft-thomas-crypto-conditions-02 that BigchainDB 2.x uses: ed25519 and
//! threshold, in DER, in base64url without padding. [`Condition`] says who may spend,
//! [`Fulfillment`] carries the signatures; they belong together when both have the same
//! [`Fingerprint`].

mod der;
mod fulfillment;
#[cfg(test)]
mod tests;

use sha2::{Digest, Sha256};

use crate::{
    ids::PublicKey,
    limits::{CONDITION_DEPTH_MAX, CONDITION_KEYS_MAX},
};

pub use fulfillment::{Fulfillment, FulfillmentError};

/// What one ed25519 condition costs to check.
const ED25519_COST: u64 = 131_072;

/// What a threshold adds to its cost for each of its subconditions.
const SUBCONDITION_COST: u64 = 1024;

/// What must be fulfilled to spend an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// One key signs.
    Ed25519(PublicKey),
    /// At least `threshold` of the nested conditions are fulfilled.
    Threshold {
        /// How many.
        threshold: u32,
        /// Of these.
        subconditions: Vec<Condition>,
    },
}

/// A condition that is larger than one may be, or that cannot be met as it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// Thresholds within thresholds.
    #[error("conditions may be nested {CONDITION_DEPTH_MAX} deep")]
    Depth,
    /// Over all nested conditions.
    #[error("the condition has {keys} keys, at most {CONDITION_KEYS_MAX} fit")]
    Keys {
        /// How many there are.
        keys: usize,
    },
    /// Nobody, or nobody ever, could meet it otherwise.
    #[error("the threshold is {threshold} of {of} subconditions: 1 to {of} would be fine")]
    Threshold {
        /// What it says.
        threshold: u64,
        /// How many there are to choose from.
        of: usize,
    },
    /// It would count twice.
    #[error("the condition names the key {0} twice")]
    DuplicateKey(PublicKey),
}

impl Condition {
    /// All of `keys` sign: one key alone, or a threshold of all of them.
    pub fn all_of(keys: &[PublicKey]) -> Self {
        match keys {
            [key] => Self::Ed25519(*key),
            keys => Self::Threshold {
                threshold: u32::try_from(keys.len()).expect("more keys than memory holds"),
                subconditions: keys.iter().copied().map(Self::Ed25519).collect(),
            },
        }
    }

    /// Its keys, in the order in which it names them.
    pub fn keys(&self) -> Vec<PublicKey> {
        let mut keys = Vec::new();
        self.collect_keys(&mut keys);
        keys
    }

    /// How many signatures meet it at least, if its thresholds can be met.
    pub fn signatures_needed(&self) -> usize {
        match self {
            Self::Ed25519(_) => 1,
            Self::Threshold { threshold, subconditions } => {
                let mut needs: Vec<_> = subconditions.iter().map(Self::signatures_needed).collect();
                needs.sort_unstable();
                needs.iter().take(*threshold as usize).sum()
            }
        }
    }

    fn collect_keys(&self, keys: &mut Vec<PublicKey>) {
        match self {
            Self::Ed25519(key) => keys.push(*key),
            Self::Threshold { subconditions, .. } => {
                subconditions.iter().for_each(|sub| sub.collect_keys(keys));
            }
        }
    }

    fn depth(&self) -> usize {
        match self {
            Self::Ed25519(_) => 0,
            Self::Threshold { subconditions, .. } => {
                1 + subconditions.iter().map(Self::depth).max().unwrap_or(0)
            }
        }
    }

    /// Whether it is within the limits and can be met: nesting, number of keys, thresholds.
    pub fn check(&self) -> Result<(), ConditionError> {
        if self.depth() > CONDITION_DEPTH_MAX {
            return Err(ConditionError::Depth);
        }
        let keys = self.keys().len();
        if keys > CONDITION_KEYS_MAX {
            return Err(ConditionError::Keys { keys });
        }
        self.check_thresholds()
    }

    fn check_thresholds(&self) -> Result<(), ConditionError> {
        let Self::Threshold { threshold, subconditions } = self else { return Ok(()) };
        let of = subconditions.len();
        if *threshold == 0 || *threshold as usize > of {
            return Err(ConditionError::Threshold { threshold: u64::from(*threshold), of });
        }
        subconditions.iter().try_for_each(Self::check_thresholds)
    }

    /// Whether every key is named once.
    pub fn check_keys_once(&self) -> Result<(), ConditionError> {
        let mut keys = self.keys();
        keys.sort_unstable();
        match keys.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(twice) => Err(ConditionError::DuplicateKey(twice[0])),
            None => Ok(()),
        }
    }

    /// What a fulfillment must have too in order to match.
    pub fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Ed25519(key) => Fingerprint::of_key(key),
            Self::Threshold { threshold, subconditions } => Fingerprint::of_threshold(
                *threshold,
                subconditions.iter().map(Self::fingerprint).collect(),
            ),
        }
    }
}

/// The part of a condition that decides whether a fulfillment matches it: what the
/// condition's URI says, in binary.
/// (Its `subtypes` follow: a threshold always has ed25519 keys in it.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// True for threshold-sha-256, false for ed25519-sha-256.
    pub threshold: bool,
    /// SHA-256 of the condition's fingerprint contents.
    pub sha256: [u8; 32],
    /// The URI's `cost`.
    pub cost: u64,
}

impl Fingerprint {
    /// Of the condition that one key signs.
    pub fn of_key(key: &PublicKey) -> Self {
        let mut contents = [0; 36];
        contents[..4].copy_from_slice(&[der::SEQUENCE, 34, der::PRIMITIVE_0, 32]);
        contents[4..].copy_from_slice(&key.0);
        Self { threshold: false, sha256: Sha256::digest(contents).into(), cost: ED25519_COST }
    }

    /// Of the condition that `threshold` of those are fulfilled.
    fn of_threshold(threshold: u32, subconditions: Vec<Self>) -> Self {
        let mut costs: Vec<u64> = subconditions.iter().map(|sub| sub.cost).collect();
        costs.sort_unstable_by(|left, right| right.cmp(left));
        let largest = costs.iter().take(threshold as usize);
        let cost = largest
            .fold(0u64, |sum, cost| sum.saturating_add(*cost))
            .saturating_add(SUBCONDITION_COST.saturating_mul(subconditions.len() as u64));
        let mut encoded: Vec<Vec<u8>> = subconditions.iter().map(Self::encode).collect();
        encoded.sort_unstable();
        let mut contents = Vec::new();
        der::put_integer(&mut contents, der::PRIMITIVE_0, u64::from(threshold));
        der::put(&mut contents, der::CONSTRUCTED_1, &encoded.concat());
        let mut sequence = Vec::new();
        der::put(&mut sequence, der::SEQUENCE, &contents);
        Self { threshold: true, sha256: Sha256::digest(&sequence).into(), cost }
    }

    /// The condition in DER, as it stands inside thresholds.
    fn encode(&self) -> Vec<u8> {
        let mut contents = Vec::with_capacity(48);
        der::put(&mut contents, der::PRIMITIVE_0, &self.sha256);
        der::put_integer(&mut contents, der::PRIMITIVE_1, self.cost);
        if self.threshold {
            der::put(&mut contents, der::PRIMITIVE_2, &der::SUBTYPES_ED25519);
        }
        let mut out = Vec::with_capacity(contents.len() + 4);
        let tag = if self.threshold { der::THRESHOLD } else { der::ED25519 };
        der::put(&mut out, tag, &contents);
        out
    }

    /// The `condition.uri` of an output that has it.
    pub fn uri(&self) -> String {
        let hash = der::to_base64url(&self.sha256);
        let cost = self.cost;
        if self.threshold {
            format!(
                "ni:///sha-256;{hash}?fpt=threshold-sha-256&cost={cost}&subtypes=ed25519-sha-256"
            )
        } else {
            format!("ni:///sha-256;{hash}?fpt=ed25519-sha-256&cost={cost}")
        }
    }
}
