//! Making transactions: for the command line, for tests, for load generators.

use std::borrow::Cow;

use super::{Operation, canonical::Canonical};
use crate::{
    condition::{Condition, Fulfillment},
    election::Electorate,
    ids::{OutputReference, PublicKey, TransactionId},
    json::{self, JsonError, Strictness, Value},
    signature::SigningKey,
};

/// What keeps a transaction from being made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Free-form data that is not JSON.
    #[error("{what} is not JSON: {error}")]
    Json {
        /// Which argument.
        what: &'static str,
        /// Why not.
        error: JsonError,
    },
    /// The keys given do not meet the condition of an input.
    #[error("the keys given do not fulfil the condition of input {input}")]
    Keys {
        /// Which input, from 0.
        input: usize,
    },
}

/// A share of an asset on its way to its new owners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// How much.
    pub amount: u64,
    /// Who may spend it.
    pub condition: Condition,
}

impl Share {
    /// All of it to one key.
    pub fn to(key: PublicKey, amount: u64) -> Self {
        Self { amount, condition: Condition::Ed25519(key) }
    }

    /// Votes for an election: nobody can spend them any more.
    pub fn vote_for(election: TransactionId, amount: u64) -> Self {
        Self::to(PublicKey(election.0), amount)
    }
}

/// An output that a transfer spends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spend {
    /// Which.
    pub output: OutputReference,
    /// Its condition.
    pub condition: Condition,
    /// Its `public_keys`, in the order in which it lists them.
    pub owners: Vec<PublicKey>,
}

impl Spend {
    /// An output that one key owns.
    pub fn of(key: PublicKey, output: OutputReference) -> Self {
        Self { output, condition: Condition::Ed25519(key), owners: vec![key] }
    }
}

/// Makes and signs a CREATE: canonical JSON. `data` and `metadata` are JSON text, an object or `null`.
pub fn create(
    data: &str,
    metadata: &str,
    outputs: &[Share],
    issuer: &SigningKey,
) -> Result<Vec<u8>, BuildError> {
    make(Operation::Create, data, metadata, outputs, &[issuer])
}

/// Makes and signs an election. `data` is what `operation` proposes, in JSON; the votes go to
/// all who vote.
pub fn election(
    operation: Operation,
    data: &str,
    electorate: &Electorate,
    proposer: &SigningKey,
) -> Result<Vec<u8>, BuildError> {
    let voters = electorate.voters().iter();
    let votes: Vec<Share> = voters.map(|voter| Share::to(voter.key, voter.power)).collect();
    make(operation, data, "null", &votes, &[proposer])
}

pub(crate) fn make(
    operation: Operation,
    data: &str,
    metadata: &str,
    outputs: &[Share],
    issuers: &[&SigningKey],
) -> Result<Vec<u8>, BuildError> {
    let asset = object([("data", read("asset data", data)?)]);
    let keys: Vec<PublicKey> = issuers.iter().map(|issuer| issuer.public()).collect();
    let input = (None, Condition::all_of(&keys), keys);
    sign(operation, asset, read("metadata", metadata)?, vec![input], outputs, issuers)
}

/// Makes and signs a TRANSFER: canonical JSON. `metadata` is JSON text, an object or `null`.
pub fn transfer(
    asset: TransactionId,
    metadata: &str,
    spends: &[Spend],
    outputs: &[Share],
    signers: &[&SigningKey],
) -> Result<Vec<u8>, BuildError> {
    move_on(Operation::Transfer, asset, metadata, spends, outputs, signers)
}

/// Makes and signs a VOTE: canonical JSON. [`Share::vote_for`] says yes, any other share delegates.
pub fn vote(
    election: TransactionId,
    spends: &[Spend],
    outputs: &[Share],
    signers: &[&SigningKey],
) -> Result<Vec<u8>, BuildError> {
    move_on(Operation::Vote, election, "null", spends, outputs, signers)
}

fn move_on(
    operation: Operation,
    asset: TransactionId,
    metadata: &str,
    spends: &[Spend],
    outputs: &[Share],
    signers: &[&SigningKey],
) -> Result<Vec<u8>, BuildError> {
    let asset = object([("id", text(asset))]);
    let inputs = spends
        .iter()
        .map(|spend| (Some(spend.output), spend.condition.clone(), spend.owners.clone()))
        .collect();
    sign(operation, asset, read("metadata", metadata)?, inputs, outputs, signers)
}

type Unsigned = (Option<OutputReference>, Condition, Vec<PublicKey>);

fn sign(
    operation: Operation,
    asset: Value<'_>,
    metadata: Value<'_>,
    inputs: Vec<Unsigned>,
    outputs: &[Share],
    signers: &[&SigningKey],
) -> Result<Vec<u8>, BuildError> {
    let numbers: Vec<String> = inputs
        .iter()
        .map(|(spends, ..)| spends.map_or(String::new(), |output| output.index.to_string()))
        .collect();
    let thresholds: Vec<String> =
        (0..=crate::limits::CONDITION_KEYS_MAX).map(|threshold| threshold.to_string()).collect();
    let unsigned = object([
        ("asset", asset),
        ("id", Value::Null),
        (
            "inputs",
            Value::Array(
                inputs
                    .iter()
                    .zip(&numbers)
                    .map(|(input, number)| input_value(input, number))
                    .collect(),
            ),
        ),
        ("metadata", metadata),
        ("operation", text(operation.name())),
        (
            "outputs",
            Value::Array(outputs.iter().map(|share| output_value(share, &thresholds)).collect()),
        ),
        ("version", text("2.0")),
    ]);
    let canonical = Canonical::of(&unsigned);
    let signing = canonical.signing();
    let mut fulfillments = Vec::with_capacity(inputs.len());
    for (at, (spends, condition, _)) in inputs.iter().enumerate() {
        let message = signing.message(spends.as_ref());
        let proof = Fulfillment::sign(condition, &message, signers)
            .ok_or(BuildError::Keys { input: at })?;
        fulfillments.push(Some(proof.to_text()));
    }
    seal(&canonical, &fulfillments)
}

/// Puts the signatures in, then the id, which covers them.
fn seal(canonical: &Canonical, fulfillments: &[Option<String>]) -> Result<Vec<u8>, BuildError> {
    let signed = canonical.filled(None, fulfillments);
    let value = json::parse(&signed, Strictness::Lenient).expect("canonical text is JSON");
    let signed = Canonical::of(&value);
    Ok(signed.filled(Some(&signed.id().to_string()), fulfillments))
}

fn read<'a>(what: &'static str, text: &'a str) -> Result<Value<'a>, BuildError> {
    json::parse(text.as_bytes(), Strictness::Strict)
        .map_err(|error| BuildError::Json { what, error })
}

fn object<'a, const N: usize>(members: [(&'static str, Value<'a>); N]) -> Value<'a> {
    debug_assert!(members.is_sorted_by(|(left, _), (right, _)| left < right));
    Value::Object(members.into_iter().map(|(key, value)| (Cow::Borrowed(key), value)).collect())
}

fn text<'a>(value: impl ToString) -> Value<'a> {
    Value::String(Cow::Owned(value.to_string()))
}

fn keys_value<'a>(keys: &[PublicKey]) -> Value<'a> {
    Value::Array(keys.iter().map(text).collect())
}

fn input_value<'a>((spends, _, owners): &Unsigned, index: &'a str) -> Value<'a> {
    let fulfills = spends.map_or(Value::Null, |output| {
        object([
            ("output_index", Value::Number(index)),
            ("transaction_id", text(output.transaction)),
        ])
    });
    object([
        ("fulfillment", Value::Null),
        ("fulfills", fulfills),
        ("owners_before", keys_value(owners)),
    ])
}

fn output_value<'a>(share: &Share, thresholds: &'a [String]) -> Value<'a> {
    let condition = object([
        ("details", details_value(&share.condition, thresholds)),
        ("uri", text(share.condition.fingerprint().uri())),
    ]);
    object([
        ("amount", text(share.amount)),
        ("condition", condition),
        ("public_keys", keys_value(&share.condition.keys())),
    ])
}

fn details_value<'a>(condition: &Condition, thresholds: &'a [String]) -> Value<'a> {
    match condition {
        Condition::Ed25519(key) => {
            object([("public_key", text(key)), ("type", text("ed25519-sha-256"))])
        }
        Condition::Threshold { threshold, subconditions } => {
            let subs = subconditions.iter().map(|sub| details_value(sub, thresholds)).collect();
            // A threshold beyond the limit on keys cannot be met: any number beyond says so.
            let most = thresholds.len() - 1;
            let threshold = &thresholds[most.min(*threshold as usize)];
            object([
                ("subconditions", Value::Array(subs)),
                ("threshold", Value::Number(threshold)),
                ("type", text("threshold-sha-256")),
            ])
        }
    }
}
