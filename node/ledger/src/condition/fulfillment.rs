//! The proof that a condition is met: signatures, and what remains unsigned.

use super::{Condition, Fingerprint, der};
use crate::{
    ids::PublicKey,
    json::Strictness,
    limits::{CONDITION_DEPTH_MAX, CONDITION_KEYS_MAX},
    signature::SigningKey,
};

/// What fulfils a condition, if its signatures hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fulfillment {
    /// One key signed.
    Ed25519 {
        /// Who is said to have signed.
        key: PublicKey,
        /// What they made.
        signature: [u8; 64],
    },
    /// The nested ones are met, exactly as many as the threshold asks for.
    Threshold {
        /// Those that are met.
        fulfillments: Vec<Fulfillment>,
        /// Those that are not: only their fingerprints are known.
        conditions: Vec<Fingerprint>,
    },
}

/// Text that is no fulfillment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FulfillmentError {
    /// Not base64url, not DER, not canonical, or a type other than ed25519 and threshold.
    #[error("not the base64url of an ed25519 or threshold fulfillment in DER")]
    Malformed,
    /// Thresholds within thresholds.
    #[error("fulfillments may be nested {CONDITION_DEPTH_MAX} deep")]
    Depth,
    /// Signed or not, over all nested conditions.
    #[error("the fulfillment has more than {CONDITION_KEYS_MAX} keys and conditions")]
    Keys,
}

impl Fulfillment {
    /// Reads the text form. When strict there is one spelling for each fulfillment: leftover
    /// bits are zero and sets are in order; else whoever relays a transaction could respell it
    /// and so give it another id.
    pub fn parse(text: &str, strictness: Strictness) -> Result<Self, FulfillmentError> {
        let strict = strictness == Strictness::Strict;
        let bytes =
            der::from_base64url(text.as_bytes(), strict).ok_or(FulfillmentError::Malformed)?;
        let mut rest = bytes.as_slice();
        let mut room = CONDITION_KEYS_MAX;
        let fulfillment = read(&mut rest, 0, &mut room, strict)?;
        if rest.is_empty() { Ok(fulfillment) } else { Err(FulfillmentError::Malformed) }
    }

    /// The text form.
    pub fn to_text(&self) -> String {
        der::to_base64url(&self.encode())
    }

    fn encode(&self) -> Vec<u8> {
        let mut contents = Vec::new();
        let tag = match self {
            Self::Ed25519 { key, signature } => {
                der::put(&mut contents, der::PRIMITIVE_0, &key.0);
                der::put(&mut contents, der::PRIMITIVE_1, signature);
                der::ED25519
            }
            Self::Threshold { fulfillments, conditions } => {
                let set = |mut elements: Vec<Vec<u8>>| {
                    elements.sort_unstable();
                    elements.concat()
                };
                let met = set(fulfillments.iter().map(Self::encode).collect());
                let unmet = set(conditions.iter().map(Fingerprint::encode).collect());
                der::put(&mut contents, der::CONSTRUCTED_0, &met);
                der::put(&mut contents, der::CONSTRUCTED_1, &unmet);
                der::THRESHOLD
            }
        };
        let mut out = Vec::new();
        der::put(&mut out, tag, &contents);
        out
    }

    /// The fingerprint of the condition that it fulfils.
    pub fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Ed25519 { key, .. } => Fingerprint::of_key(key),
            Self::Threshold { fulfillments, conditions } => {
                let threshold = u32::try_from(fulfillments.len())
                    .expect("limits keep the number of keys small");
                let met = fulfillments.iter().map(Self::fingerprint);
                Fingerprint::of_threshold(
                    threshold,
                    met.chain(conditions.iter().copied()).collect(),
                )
            }
        }
    }

    /// Who is said to have signed, with what they made.
    pub fn signatures(&self) -> Vec<(PublicKey, [u8; 64])> {
        let mut signatures = Vec::new();
        self.visit(&mut |key, signature| signatures.push((key, signature)), &mut |_| ());
        signatures
    }

    /// The fingerprints of what is left unsigned, at every level.
    pub fn unsigned(&self) -> Vec<Fingerprint> {
        let mut unsigned = Vec::new();
        self.visit(&mut |_, _| (), &mut |condition| unsigned.push(condition));
        unsigned
    }

    fn visit(
        &self,
        signed: &mut impl FnMut(PublicKey, [u8; 64]),
        unsigned: &mut impl FnMut(Fingerprint),
    ) {
        match self {
            Self::Ed25519 { key, signature } => signed(*key, *signature),
            Self::Threshold { fulfillments, conditions } => {
                fulfillments.iter().for_each(|met| met.visit(signed, unsigned));
                conditions.iter().copied().for_each(unsigned);
            }
        }
    }

    /// Fulfils `condition` over `message` with those of `keys` that it takes, and no more
    /// than it takes. Nothing when they are not enough.
    pub fn sign(condition: &Condition, message: &[u8], keys: &[&SigningKey]) -> Option<Self> {
        match condition {
            Condition::Ed25519(key) => {
                let signer = keys.iter().find(|signer| signer.public() == *key)?;
                Some(Self::Ed25519 { key: *key, signature: signer.sign(message) })
            }
            Condition::Threshold { threshold, subconditions } => {
                let needed = *threshold as usize;
                let mut fulfillments = Vec::new();
                let mut conditions = Vec::new();
                for sub in subconditions {
                    match Self::sign(sub, message, keys) {
                        Some(met) if fulfillments.len() < needed => fulfillments.push(met),
                        _ => conditions.push(sub.fingerprint()),
                    }
                }
                let enough = fulfillments.len() == needed;
                enough.then_some(Self::Threshold { fulfillments, conditions })
            }
        }
    }
}

/// Reads one fulfillment off the front, `depth` thresholds down. `room` is how many more
/// keys and conditions fit.
fn read(
    from: &mut &[u8],
    depth: usize,
    room: &mut usize,
    strict: bool,
) -> Result<Fulfillment, FulfillmentError> {
    let (tag, mut contents, _) = der::take(from).ok_or(FulfillmentError::Malformed)?;
    let fulfillment = match tag {
        der::ED25519 => {
            *room = room.checked_sub(1).ok_or(FulfillmentError::Keys)?;
            read_ed25519(&mut contents).ok_or(FulfillmentError::Malformed)?
        }
        der::THRESHOLD if depth == CONDITION_DEPTH_MAX => return Err(FulfillmentError::Depth),
        der::THRESHOLD => {
            let mut met = der::expect(&mut contents, der::CONSTRUCTED_0)
                .ok_or(FulfillmentError::Malformed)?;
            let mut unmet = der::expect(&mut contents, der::CONSTRUCTED_1)
                .ok_or(FulfillmentError::Malformed)?;
            if met.is_empty() || strict && !(in_order(met) && in_order(unmet)) {
                return Err(FulfillmentError::Malformed);
            }
            let mut fulfillments = Vec::new();
            while !met.is_empty() {
                fulfillments.push(read(&mut met, depth + 1, room, strict)?);
            }
            let mut conditions = Vec::new();
            while !unmet.is_empty() {
                *room = room.checked_sub(1).ok_or(FulfillmentError::Keys)?;
                conditions.push(read_condition(&mut unmet).ok_or(FulfillmentError::Malformed)?);
            }
            Fulfillment::Threshold { fulfillments, conditions }
        }
        _ => return Err(FulfillmentError::Malformed),
    };
    if contents.is_empty() { Ok(fulfillment) } else { Err(FulfillmentError::Malformed) }
}

fn read_ed25519(contents: &mut &[u8]) -> Option<Fulfillment> {
    let key = der::expect(contents, der::PRIMITIVE_0)?.try_into().ok()?;
    let signature = der::expect(contents, der::PRIMITIVE_1)?.try_into().ok()?;
    Some(Fulfillment::Ed25519 { key: PublicKey(key), signature })
}

fn read_condition(from: &mut &[u8]) -> Option<Fingerprint> {
    let (tag, mut contents, _) = der::take(from)?;
    let threshold = match tag {
        der::ED25519 => false,
        der::THRESHOLD => true,
        _ => return None,
    };
    let sha256 = der::expect(&mut contents, der::PRIMITIVE_0)?.try_into().ok()?;
    let cost = der::integer(der::expect(&mut contents, der::PRIMITIVE_1)?)?;
    if threshold && der::expect(&mut contents, der::PRIMITIVE_2)? != der::SUBTYPES_ED25519 {
        return None;
    }
    contents.is_empty().then_some(Fingerprint { threshold, sha256, cost })
}

/// Whether the elements of a set stand in the order of their bytes.
fn in_order(mut set: &[u8]) -> bool {
    let mut last: &[u8] = &[];
    while let Some((_, _, element)) = der::take(&mut set) {
        if element < last {
            return false;
        }
        last = element;
    }
    true
}
