//! What a transaction may do, and what the schema asks of each operation beyond what all have
//! in common: `transaction_create_…`, `…_transfer_…`, `…_validator_election_…`,
//! `…_chain_migration_election_…` and `…_vote_v2.0.yaml`, in the order in which upstream finds faults.

use super::schema::{
    Checked, array, missing, no_match, no_others, not_of_type, object, python_repr, refuse, string,
};
use crate::{
    json::{Value, is_float},
    refusal::{Refusal, SchemaFault},
};

/// What a transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Makes an asset.
    Create,
    /// Moves an asset from outputs to outputs.
    Transfer,
    /// Proposes another power for a validator, or a new one: an asset whose shares are the votes.
    ValidatorElection,
    /// Proposes to end this chain and go on with another: an asset whose shares are the votes.
    ChainMigrationElection,
    /// Moves shares of an election: to the election itself, which says yes, or to a delegate.
    Vote,
}

impl Operation {
    /// All of them, in the order in which upstream's schema lists them.
    pub const ALL: [Self; 5] = [
        Self::Create,
        Self::Transfer,
        Self::ValidatorElection,
        Self::ChainMigrationElection,
        Self::Vote,
    ];

    /// Its name in a transaction.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Transfer => "TRANSFER",
            Self::ValidatorElection => "VALIDATOR_ELECTION",
            Self::ChainMigrationElection => "CHAIN_MIGRATION_ELECTION",
            Self::Vote => "VOTE",
        }
    }

    /// Whether it makes an asset, which is then named as the transaction is; the others move one.
    pub fn makes_asset(self) -> bool {
        match self {
            Self::Create | Self::ValidatorElection | Self::ChainMigrationElection => true,
            Self::Transfer | Self::Vote => false,
        }
    }
}

/// Checks what is special to an operation. The common schema was checked before.
pub(super) fn check(operation: Operation, transaction: &Value<'_>) -> Checked {
    let field = |name| transaction.get(name).expect("required fields are there by now");
    let (asset, outputs) = (field("asset"), field("outputs"));
    check_inputs(operation, asset, field("inputs"))?;
    let data = asset.get("data").unwrap_or(&Value::Null);
    match operation {
        Operation::Create | Operation::Transfer => Ok(()),
        Operation::ValidatorElection => {
            check_proposal(data)?;
            check_uris(outputs)?;
            check_proposed_key(data)
        }
        Operation::ChainMigrationElection => {
            no_others(data, &["seed"])?;
            optional(data, "seed")?;
            check_uris(outputs)
        }
        Operation::Vote => check_uris(outputs),
    }
}

/// What makes an asset has data and one input that spends nothing; what moves one names it and
/// spends.
fn check_inputs(operation: Operation, asset: &Value<'_>, inputs: &Value<'_>) -> Checked {
    let makes = operation.makes_asset();
    let field = if makes { "data" } else { "id" };
    object(asset, &[field], &[field])?;
    let all = array(inputs)?;
    if makes && all.len() > 1 {
        return Err(refuse(SchemaFault::Value, format!("{} is too long", python_repr(inputs))));
    }
    if all.is_empty() {
        return Err(refuse(SchemaFault::Value, "[] is too short".to_owned()));
    }
    all.iter().try_for_each(|input| {
        let fulfills = input.get("fulfills").ok_or_else(|| missing("fulfills"))?;
        match (makes, fulfills.is_null()) {
            (true, false) => Err(not_of_type(fulfills, "null")),
            (false, true) => Err(not_of_type(fulfills, "object")),
            (true, true) | (false, false) => Ok(()),
        }
    })
}

const ENCODINGS: [&str; 3] = ["ed25519-base16", "ed25519-base32", "ed25519-base64"];

/// What a validator election proposes: who, and which power.
fn check_proposal(data: &Value<'_>) -> Checked {
    if data.is_null() {
        // Upstream's schema lets it pass, and its validation falls over it.
        return Err(not_of_type(data, "object"));
    }
    no_others(data, &["node_id", "seed", "public_key", "power"])?;
    optional(data, "node_id")?;
    optional(data, "seed")?;
    data.get("public_key").map_or(Ok(()), check_key_shape)?;
    data.get("power").map_or(Ok(()), check_power)?;
    let absent = |name: &&&str| data.get(name).is_none();
    ["node_id", "public_key", "power"].iter().find(absent).map_or(Ok(()), |name| Err(missing(name)))
}

/// A field that is text where it is there.
fn optional(data: &Value<'_>, name: &str) -> Checked {
    data.get(name).map_or(Ok(()), |value| string(value).map(|_| ()))
}

fn check_key_shape(key: &Value<'_>) -> Checked {
    object(key, &["value", "type"], &["value", "type"])?;
    optional(key, "value")?;
    optional(key, "type")?;
    let encoding = key.get("type").expect("required fields are there by now");
    if ENCODINGS.iter().any(|known| encoding.as_str() == Some(known)) {
        return Ok(());
    }
    let known = ENCODINGS.map(|known| format!("'{known}'")).join(", ");
    let encoding = python_repr(encoding);
    Err(refuse(SchemaFault::Value, format!("{encoding} is not one of [{known}]")))
}

fn check_power(power: &Value<'_>) -> Checked {
    match power {
        Value::Number(digits) if !is_float(digits) => {
            if digits.starts_with('-') && *digits != "-0" {
                let power = python_repr(power);
                let message = format!("{power} is less than the minimum of 0");
                return Err(refuse(SchemaFault::Value, message));
            }
            Ok(())
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => Err(not_of_type(power, "integer")),
    }
}

/// The power that a validator election proposes, at most what 64 bits hold: more than a third of
/// all power in any case.
pub(super) fn proposed_power(transaction: &Value<'_>) -> Option<u64> {
    let power = transaction.get("asset")?.get("data")?.get("power")?;
    let Value::Number(digits) = power else { return None };
    Some(if *digits == "-0" { 0 } else { digits.parse().unwrap_or(u64::MAX) })
}

const URI_PATTERN: &str = "^ni:///sha-256;([a-zA-Z0-9_-]{0,86})[?](fpt=ed25519-sha-256(&)?|cost=[0-9]+(&)?|subtypes=ed25519-sha-256(&)?){2,3}$";

/// Votes belong to one key each. The common pattern, which held, also lets thresholds in.
fn check_uris(outputs: &Value<'_>) -> Checked {
    array(outputs)?.iter().try_for_each(|output| {
        let uri = output.get("condition").and_then(|condition| condition.get("uri"));
        let uri = uri.expect("required fields are there by now");
        if string(uri)?.contains("fpt=threshold-sha-256") {
            return Err(no_match(SchemaFault::Value, uri, URI_PATTERN));
        }
        Ok(())
    })
}

/// The proposed key is 32 bytes, spelled as it says.
fn check_proposed_key(data: &Value<'_>) -> Checked {
    let key = data.get("public_key").expect("required fields are there by now");
    let text = |name| key.get(name).and_then(Value::as_str).expect("the shape was checked before");
    let value = text("value").as_bytes();
    let bytes = match text("type") {
        "ed25519-base16" => {
            decoded(value, 4, 2, |digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F'))
        }
        "ed25519-base32" => {
            decoded(value, 5, 8, |digit| matches!(digit, b'A'..=b'Z' | b'2'..=b'7'))
        }
        _ => decoded(value, 6, 4, |digit| {
            digit.is_ascii_alphanumeric() || matches!(digit, b'+' | b'/')
        }),
    };
    match bytes {
        None => Err(Refusal::ProposedKeyEncoding),
        Some(32) => Ok(()),
        Some(_) => Err(Refusal::ProposedKeySize),
    }
}

/// How many bytes an RFC 4648 text holds whose digits carry `bits` each and which is filled up
/// with `=` to a multiple of `group`; nothing when it is none.
fn decoded(text: &[u8], bits: usize, group: usize, is_digit: impl Fn(u8) -> bool) -> Option<usize> {
    let digits = text.iter().take_while(|digit| is_digit(**digit)).count();
    let padding = &text[digits..];
    let is_whole = text.len().is_multiple_of(group) && digits * bits % 8 < bits;
    (is_whole && padding.len() < group && padding.iter().all(|byte| *byte == b'='))
        .then_some(digits * bits / 8)
}

#[cfg(test)]
pub(super) mod tests;
