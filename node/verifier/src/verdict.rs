//! What a verified receipt proves, and the verdict as JSON, for those who are not Rust.

use crate::{Genesis, Invalid, Outcome, verify};

/// What a verified receipt proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The chain's name for people.
    pub chain: String,
    /// The chain.
    pub chain_id: [u8; 32],
    /// The transaction's name. Nothing when it was refused for being so malformed that it
    /// has none: whatever id it claims is then not its own.
    pub transaction_id: Option<[u8; 32]>,
    /// Committed, or refused and why.
    pub outcome: Outcome,
    /// The block's height.
    pub height: u64,
    /// The transaction's place in the block, from 0.
    pub index: u32,
    /// The block.
    pub block_id: [u8; 32],
    /// The block's time, Unix milliseconds.
    pub time_ms: u64,
    /// The names of the validators that signed.
    pub signers: Vec<String>,
    /// The voting power that they hold.
    pub signed_power: u64,
    /// The voting power that all validators hold.
    pub total_power: u64,
}

/// Reads both files, checks everything, and answers in JSON: `{"valid": true, …}` with what
/// is proven, or `{"valid": false, "field": …, "reason": …}`. Both files may be hostile.
pub fn verdict(receipt: &[u8], genesis: &[u8]) -> String {
    let answer = Genesis::read(genesis).and_then(|genesis| verify(receipt, &genesis));
    match answer {
        Ok(proven) => proven.to_json(),
        Err(invalid) => invalid.to_json(),
    }
    .to_string()
}

impl Proven {
    /// The verdict.
    pub fn to_json(&self) -> serde_json::Value {
        let Self { chain, chain_id, transaction_id, outcome, height, index, .. } = self;
        let Self { block_id, time_ms, signers, signed_power, total_power, .. } = self;
        let (outcome, refusal) = match outcome {
            Outcome::Committed => ("committed", None),
            Outcome::Refused { number, text } => {
                ("refused", Some(serde_json::json!({ "number": number, "text": text })))
            }
        };
        serde_json::json!({
            "valid": true,
            "chain": chain,
            "chain_id": hex::encode(chain_id),
            "transaction_id": transaction_id.map(hex::encode),
            "outcome": outcome,
            "refusal": refusal,
            "height": height,
            "index": index,
            "block_id": hex::encode(block_id),
            "time_ms": time_ms,
            "signers": signers,
            "signed_power": signed_power,
            "total_power": total_power,
        })
    }
}

impl Invalid {
    /// The verdict.
    pub fn to_json(&self) -> serde_json::Value {
        let (field, reason) = match self {
            Self::Syntax { file, why } => (*file, format!("not JSON: {why}")),
            Self::Field { field, wanted } => (field.as_str(), wanted.clone()),
        };
        serde_json::json!({ "valid": false, "field": field, "reason": reason })
    }
}
