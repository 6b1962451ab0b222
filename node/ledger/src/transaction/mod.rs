//! A transaction on its way in: bytes, then parsed, then admitted.
//!
//! `parse` checks everything that one transaction shows by itself, except signatures;
//! `admit` checks signatures, many at once. What needs the ledger's state is in
//! [`crate::rules`].

mod body;
pub mod build;
mod canonical;
mod names;
mod operation;
mod schema;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::{
    condition::{Condition, Fingerprint},
    ids::{OutputReference, PublicKey, TransactionId},
    json::{self, Strictness, Value},
    limits::TRANSACTION_BYTES_MAX,
    refusal::Refusal,
    signature::{self, Claim},
};

pub use operation::Operation;

/// One input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Who says to have owned what is spent (CREATE: who issues; elections: who proposes).
    pub owners_before: Vec<PublicKey>,
    /// What is spent; nothing for CREATE and elections.
    pub spends: Option<OutputReference>,
    /// The condition that the fulfillment fulfils, if its signatures hold.
    pub fulfils: Fingerprint,
}

/// One output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// 1 to [`crate::limits::AMOUNT_MAX`].
    pub amount: u64,
    /// Who may spend it, as `condition.details` says.
    pub condition: Condition,
    /// Who is listed as owner.
    pub public_keys: Vec<PublicKey>,
}

/// A transaction whose id, shape and conditions hold; its signatures were not looked at.
/// Only [`parse`] makes one.
#[derive(Clone, Debug)]
pub struct Parsed {
    bytes: Arc<[u8]>,
    id: TransactionId,
    operation: Operation,
    asset: TransactionId,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    claims: Vec<OwnedClaim>,
    proposed_power: Option<u64>,
    strictness: Strictness,
    unsigned_input: Option<usize>,
}

#[derive(Clone, Debug)]
struct OwnedClaim {
    /// The input that it signs.
    input: usize,
    key: PublicKey,
    message: [u8; 32],
    signature: [u8; 64],
}

impl Parsed {
    /// The bytes as they came: JSON text, at most [`crate::limits::TRANSACTION_BYTES_MAX`].
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }
    /// Its name.
    pub fn id(&self) -> TransactionId {
        self.id
    }
    /// What it does.
    pub fn operation(&self) -> Operation {
        self.operation
    }
    /// The asset that it makes or moves: its own id for CREATE and elections.
    pub fn asset(&self) -> TransactionId {
        self.asset
    }
    /// Its inputs, at least one.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }
    /// Its outputs.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }
    /// The power that a validator election proposes, at most what 64 bits hold.
    pub fn proposed_power(&self) -> Option<u64> {
        self.proposed_power
    }
    /// By which rules it was read, and is to be checked.
    pub fn strictness(&self) -> Strictness {
        self.strictness
    }
    /// How many signatures it carries.
    pub fn signatures(&self) -> usize {
        self.claims.len()
    }
    /// The keys that an input carries signatures of.
    pub fn signers(&self, input: usize) -> impl Iterator<Item = &PublicKey> {
        self.claims.iter().filter(move |claim| claim.input == input).map(|claim| &claim.key)
    }
    /// The first input whose signatures do not hold, once [`admit`] found one: to tell its
    /// sender. No part of what a block records.
    pub fn unsigned_input(&self) -> Option<usize> {
        self.unsigned_input
    }
}

/// A parsed transaction whose signatures hold. Only [`admit`] makes one, so whoever
/// takes an `Admitted` never has to ask again.
#[derive(Clone, Debug)]
pub struct Admitted(Parsed);

impl std::ops::Deref for Admitted {
    type Target = Parsed;
    fn deref(&self) -> &Parsed {
        &self.0
    }
}

/// Reads one transaction and checks what it shows by itself, in upstream's order: size,
/// JSON, id, schema, key names, language, fulfillments; then what Cairn adds when strict.
pub fn parse(bytes: Arc<[u8]>, strictness: Strictness) -> Result<Parsed, Refusal> {
    // Size first: parsing and hashing an unbounded body is a gift to whoever wants to keep us busy.
    if bytes.len() > TRANSACTION_BYTES_MAX {
        return Err(Refusal::TooLarge { size: bytes.len() });
    }
    let value = json::parse(&bytes, strictness).map_err(Refusal::Json)?;
    let canonical = canonical::Canonical::of(&value);
    let id = check_id(&value, &canonical)?;
    let operation = schema::check(&value)?;
    names::check(&value)?;
    let body = body::read(&value, operation, &canonical, strictness)?;
    let body::Body { asset, inputs, outputs, claims } = body;
    let asset = asset.unwrap_or(id);
    let proposed_power = match operation {
        Operation::ValidatorElection => operation::proposed_power(&value),
        Operation::Create
        | Operation::Transfer
        | Operation::ChainMigrationElection
        | Operation::Vote => None,
    };
    drop(value);
    let unsigned_input = None;
    Ok(Parsed {
        bytes,
        id,
        operation,
        asset,
        inputs,
        outputs,
        claims,
        proposed_power,
        strictness,
        unsigned_input,
    })
}

fn check_id(value: &Value<'_>, canonical: &canonical::Canonical) -> Result<TransactionId, Refusal> {
    if value.as_object().is_none() {
        return Err(schema::not_an_object(value));
    }
    let claimed = value.get("id").ok_or(Refusal::IdMissing)?;
    let computed = canonical.id();
    let mut digits = [0; 64];
    hex::encode_to_slice(computed.0, &mut digits).expect("32 bytes are 64 digits");
    if claimed.as_str().map(str::as_bytes) == Some(digits.as_slice()) {
        return Ok(computed);
    }
    Err(Refusal::IdMismatch { claimed: schema::python_str(claimed), computed })
}

/// Checks the signatures of many transactions at once. Answers in the order given; a
/// transaction whose signatures do not hold comes back as it was, because some of
/// upstream's other reasons take precedence over that one.
#[expect(
    clippy::result_large_err,
    reason = "both sides are the same transaction, moved and not copied"
)]
pub fn admit(parsed: Vec<Parsed>) -> Vec<Result<Admitted, Parsed>> {
    let claims: Vec<Claim<'_>> = parsed
        .iter()
        .flat_map(|transaction| &transaction.claims)
        .map(|claim| Claim { key: claim.key, message: &claim.message, signature: claim.signature })
        .collect();
    let mut answers = signature::all_hold(&claims).into_iter();
    drop(claims);
    parsed
        .into_iter()
        .map(|mut transaction| {
            let own = answers.by_ref().take(transaction.claims.len());
            // Every answer is taken, also after the first that is false.
            let bad = own.zip(&transaction.claims).fold(None, |first, (holds, claim)| {
                if holds { first } else { first.or(Some(claim.input)) }
            });
            if bad.is_none() {
                Ok(Admitted(transaction))
            } else {
                transaction.unsigned_input = bad;
                Err(transaction)
            }
        })
        .collect()
}

/// What a stored transaction does, without looking at anything else of it.
pub fn operation_of(bytes: &[u8]) -> Option<Operation> {
    let value = json::parse(bytes, Strictness::Lenient).ok()?;
    let name = value.get("operation")?.as_str()?;
    Operation::ALL.into_iter().find(|known| known.name() == name)
}

/// The `id` that bytes claim to have, as far as it can be read, though they may be no
/// transaction: so that whoever sent them can be told what became of them.
pub fn claimed_id(bytes: &[u8]) -> Option<TransactionId> {
    if bytes.len() > TRANSACTION_BYTES_MAX {
        return None;
    }
    json::parse(bytes, Strictness::Lenient).ok()?.get("id")?.as_str()?.parse().ok()
}
