//! A transaction on its way in: bytes, then parsed, then admitted.
//!
//! `parse` checks everything that one transaction shows by itself, except signatures;
//! `admit` checks signatures, many at once. What needs the ledger's state is in
//! [`crate::rules`].

use std::sync::Arc;

use crate::{
    condition::{Condition, Fingerprint},
    ids::{OutputReference, PublicKey, TransactionId},
    json::Strictness,
    refusal::Refusal,
};

/// What a transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Makes an asset.
    Create,
    /// Moves an asset from outputs to outputs.
    Transfer,
}

/// One input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Who says to have owned what is spent (CREATE: who issues).
    pub owners_before: Vec<PublicKey>,
    /// What is spent; nothing for CREATE.
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
}

#[derive(Clone, Debug)]
struct OwnedClaim {
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
    /// The asset that it makes or moves: its own id for CREATE.
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
    let _ = (bytes, strictness);
    todo!()
}

/// Checks the signatures of many transactions at once. Answers in the order given; a
/// transaction whose signatures do not hold comes back as it was, because some of
/// upstream's other reasons take precedence over that one.
pub fn admit(parsed: Vec<Parsed>) -> Vec<Result<Admitted, Parsed>> {
    let _ = parsed;
    todo!()
}
