//! From JSON of the right shape to inputs, outputs and signature claims; then what Cairn
//! checks beyond upstream, which leaves several fields unbound (DESIGN.md §6).

use super::{Input, Operation, Output, OwnedClaim, canonical::Canonical, schema::python_str};
use crate::{
    condition::{Condition, ConditionError, Fingerprint, Fulfillment, FulfillmentError},
    ids::{OutputReference, PublicKey, TransactionId},
    json::{Strictness, Value, cut},
    limits::{AMOUNT_MAX, INPUTS_MAX, OUTPUTS_MAX},
    refusal::{Refusal, SchemaFault},
    signature,
};

/// What a transaction's JSON says.
pub(super) struct Body {
    /// Nothing for what makes its own.
    pub(super) asset: Option<TransactionId>,
    pub(super) inputs: Vec<Input>,
    pub(super) outputs: Vec<Output>,
    pub(super) claims: Vec<OwnedClaim>,
}

const SHAPE: &str = "the schema was checked before";

/// Reads a transaction whose shape was checked.
pub(super) fn read(
    transaction: &Value<'_>,
    operation: Operation,
    canonical: &Canonical,
    strictness: Strictness,
) -> Result<Body, Refusal> {
    let array = |name| transaction.get(name).and_then(Value::as_array).expect(SHAPE);
    let (inputs, outputs) = (array("inputs"), array("outputs"));
    if inputs.len() > INPUTS_MAX || outputs.len() > OUTPUTS_MAX {
        return Err(Refusal::TooMany { inputs: inputs.len(), outputs: outputs.len() });
    }
    let proofs = inputs.iter().map(|input| read_input(input, strictness));
    let proofs = proofs.collect::<Result<Vec<_>, Refusal>>()?;
    let values = outputs;
    let outputs = values.iter().map(|output| read_output(output, strictness));
    let outputs = outputs.collect::<Result<Vec<_>, Refusal>>()?;
    let asset = transaction.get("asset").and_then(|asset| asset.get("id")).map(read_hash);
    if strictness == Strictness::Strict {
        check_total(&outputs)?;
        let election = asset.filter(|_| operation == Operation::Vote);
        for (at, (value, output)) in values.iter().zip(&outputs).enumerate() {
            check_output(at, value, output, election)?;
        }
        if operation.makes_asset() {
            proofs.iter().enumerate().try_for_each(|(at, (input, proof))| {
                check_issuers(at, &input.owners_before, proof)
            })?;
        }
    }
    let signing = canonical.signing();
    let mut claims = Vec::with_capacity(proofs.len());
    let mut inputs = Vec::with_capacity(proofs.len());
    for (at, (input, proof)) in proofs.into_iter().enumerate() {
        let message = signing.message(input.spends.as_ref());
        let signatures = proof.signatures().into_iter();
        claims.extend(signatures.map(|(key, signature)| OwnedClaim {
            input: at,
            key,
            message,
            signature,
        }));
        inputs.push(input);
    }
    Ok(Body { asset, inputs, outputs, claims })
}

fn read_hash(value: &Value<'_>) -> TransactionId {
    value.as_str().and_then(|text| text.parse().ok()).expect(SHAPE)
}

fn read_input(input: &Value<'_>, strictness: Strictness) -> Result<(Input, Fulfillment), Refusal> {
    let field = |name| input.get(name).expect(SHAPE);
    // While it is unsigned a transaction may have details here; then it is no transaction yet.
    let text = field("fulfillment").as_str().ok_or(Refusal::Fulfillment)?;
    let proof = Fulfillment::parse(text, strictness).map_err(|error| match error {
        FulfillmentError::Malformed => Refusal::Fulfillment,
        limit @ (FulfillmentError::Depth | FulfillmentError::Keys) => {
            Refusal::ConditionLimit(limit.to_string())
        }
    })?;
    let fulfills = Some(field("fulfills")).filter(|fulfills| !fulfills.is_null());
    let spends = fulfills.map(read_reference);
    let owners_before = read_keys(field("owners_before"))?;
    let fulfils = proof.fingerprint();
    Ok((Input { owners_before, spends, fulfils }, proof))
}

fn read_reference(fulfills: &Value<'_>) -> OutputReference {
    let transaction = read_hash(fulfills.get("transaction_id").expect(SHAPE));
    let Some(Value::Number(digits)) = fulfills.get("output_index") else { unreachable!("{SHAPE}") };
    // An index this large is beyond every transaction's outputs.
    let index = digits.parse().unwrap_or(u32::MAX);
    let index = if *digits == "-0" { 0 } else { index };
    OutputReference { transaction, index }
}

fn read_keys(value: &Value<'_>) -> Result<Vec<PublicKey>, Refusal> {
    value.as_array().unwrap_or_default().iter().map(read_key).collect()
}

fn read_key(value: &Value<'_>) -> Result<PublicKey, Refusal> {
    let parsed = value.as_str().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| Refusal::KeyFormat(python_str(value)))
}

fn read_output(output: &Value<'_>, strictness: Strictness) -> Result<Output, Refusal> {
    let field = |name| output.get(name).expect(SHAPE);
    let details = field("condition").get("details").expect(SHAPE);
    let condition = read_condition(details)?;
    condition.check().map_err(too_large)?;
    let amount = read_amount(field("amount").as_str().expect(SHAPE), strictness)?;
    let public_keys = read_keys(field("public_keys"))?;
    Ok(Output { amount, condition, public_keys })
}

/// Reads `condition.details`. The schema kept its nesting and its threshold within bounds.
pub(super) fn read_condition(details: &Value<'_>) -> Result<Condition, Refusal> {
    if let Some(key) = details.get("public_key") {
        return read_key(key).map(Condition::Ed25519);
    }
    let Some(Value::Number(digits)) = details.get("threshold") else { unreachable!("{SHAPE}") };
    let subconditions = details.get("subconditions").and_then(Value::as_array).expect(SHAPE);
    Ok(Condition::Threshold {
        threshold: digits.parse().expect(SHAPE),
        subconditions: subconditions.iter().map(read_condition).collect::<Result<_, _>>()?,
    })
}

fn read_amount(digits: &str, strictness: Strictness) -> Result<u64, Refusal> {
    if strictness == Strictness::Strict && digits.len() > 1 && digits.starts_with('0') {
        return Err(Refusal::AmountFormat(cut(digits, 20).to_owned()));
    }
    // Twenty digits fit 128 bits.
    match digits.parse::<u128>().expect(SHAPE) {
        0 => Err(Refusal::AmountZero),
        amount => u64::try_from(amount)
            .ok()
            .filter(|amount| *amount <= AMOUNT_MAX)
            .ok_or(Refusal::AmountTooLarge),
    }
}

fn too_large(error: ConditionError) -> Refusal {
    match error {
        ConditionError::DuplicateKey(key) => Refusal::ConditionDuplicateKey(key),
        limit @ (ConditionError::Depth
        | ConditionError::Keys { .. }
        | ConditionError::Threshold { .. }) => Refusal::ConditionLimit(limit.to_string()),
    }
}

/// There must be something, and not more of it than may exist.
fn check_total(outputs: &[Output]) -> Result<(), Refusal> {
    if outputs.is_empty() {
        let message = "[] is too short".to_owned();
        return Err(Refusal::Schema { fault: SchemaFault::Value, message });
    }
    let total: u128 = outputs.iter().map(|output| u128::from(output.amount)).sum();
    if total > u128::from(AMOUNT_MAX) { Err(Refusal::AmountTooLarge) } else { Ok(()) }
}

/// Only `details` is enforced when an output is spent: whatever else names its owners must
/// say the same.
fn check_output(
    at: usize,
    value: &Value<'_>,
    output: &Output,
    election: Option<TransactionId>,
) -> Result<(), Refusal> {
    output.condition.check_keys_once().map_err(too_large)?;
    let mut keys = output.condition.keys();
    // A vote is given to the election's id as if that were a key. It need not be one: nobody
    // is to spend it.
    let is_election = |key: &PublicKey| election.is_some_and(|election| election.0 == key.0);
    keys.iter().filter(|key| !is_election(key)).try_for_each(check_sound)?;
    let mut listed = output.public_keys.clone();
    keys.sort_unstable();
    listed.sort_unstable();
    if keys != listed {
        return Err(Refusal::OutputOwners { output: at });
    }
    let computed = output.condition.fingerprint().uri();
    let uri = value.get("condition").and_then(|condition| condition.get("uri"));
    if uri.and_then(Value::as_str) != Some(&computed) {
        return Err(Refusal::ConditionUri { output: at, computed });
    }
    Ok(())
}

fn check_sound(key: &PublicKey) -> Result<(), Refusal> {
    if signature::is_sound(key) {
        Ok(())
    } else if signature::is_point(key) {
        Err(Refusal::KeyWeak(*key))
    } else {
        Err(Refusal::KeyFormat(key.to_string()))
    }
}

/// Nobody issues in another's name: the owners are those who signed and, where a threshold
/// leaves some unsigned, those whose conditions the fulfillment shows.
fn check_issuers(at: usize, owners: &[PublicKey], proof: &Fulfillment) -> Result<(), Refusal> {
    let signers: Vec<PublicKey> = proof.signatures().into_iter().map(|(key, _)| key).collect();
    signers.iter().try_for_each(check_sound)?;
    let mut shown: Vec<[u8; 32]> =
        proof.unsigned().iter().map(|unsigned| unsigned.sha256).collect();
    shown.extend(signers.iter().map(|key| Fingerprint::of_key(key).sha256));
    let mut named: Vec<[u8; 32]> =
        owners.iter().map(|key| Fingerprint::of_key(key).sha256).collect();
    shown.sort_unstable();
    named.sort_unstable();
    if shown == named { Ok(()) } else { Err(Refusal::InputOwners { input: at }) }
}
