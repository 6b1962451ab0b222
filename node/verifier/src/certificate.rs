//! The certificate: signatures of more than two thirds of the voting power under one header.

use curve25519_dalek::{
    edwards::{CompressedEdwardsY, EdwardsPoint},
    scalar::Scalar,
    traits::IsIdentity,
};
use sha2::{Digest, Sha512};

use crate::{Genesis, Invalid, header::Header};

/// Domain tag of a vote.
const TAG: &[u8] = b"cairn/vote/1";
/// The second phase of voting, in which a validator commits itself.
const PRECOMMIT: u8 = 2;
/// The vote is for a block, not for none.
const FOR_A_BLOCK: u8 = 1;

/// A receipt's certificate. Height and block are the header's.
pub(crate) struct Certificate {
    /// The round of voting in which the block was decided.
    pub(crate) round: u32,
    pub(crate) signatures: Vec<Signature>,
}

/// A validator's name, and its signature.
pub(crate) struct Signature {
    pub(crate) validator: String,
    pub(crate) bytes: [u8; 64],
}

/// Who signed, and the voting power that they hold.
pub(crate) struct Signed {
    pub(crate) names: Vec<String>,
    pub(crate) power: u64,
}

/// Checks signers, power, signatures, in this order: the cheap reasons to say no come first,
/// and every signature must hold, also those beyond the quorum.
pub(crate) fn check(
    certificate: &Certificate,
    header: &Header,
    genesis: &Genesis,
) -> Result<Signed, Invalid> {
    let field = |at: usize, name: &str| format!("receipt.certificate.signatures[{at}].{name}");
    let mut signed = Signed { names: Vec::new(), power: 0 };
    let mut keys = Vec::new();
    let mut next = 0;
    for (at, Signature { validator, .. }) in certificate.signatures.iter().enumerate() {
        let Some((index, known)) = genesis.validator(validator) else {
            let wanted = format!("{validator:?} is no validator of the genesis");
            return Err(Invalid::field(&field(at, "validator"), wanted));
        };
        // In the genesis's order, so that nobody is counted twice.
        if index < next {
            let wanted = "signers must be in the order of the genesis, each once";
            return Err(Invalid::field(&field(at, "validator"), wanted));
        }
        next = index + 1;
        // No overflow: nobody counts twice, and the genesis bounds the power of all.
        signed.power += known.power;
        signed.names.push(validator.clone());
        keys.push(known.consensus_key);
    }
    let (have, total) = (signed.power, genesis.total_power());
    if u128::from(have) * 3 <= u128::from(total) * 2 {
        let wanted =
            format!("signers hold {have} of {total} voting power, more than two thirds are needed");
        return Err(Invalid::field("receipt.certificate.signatures", wanted));
    }
    let message = sign_bytes(header, certificate.round);
    for (at, (signature, key)) in certificate.signatures.iter().zip(&keys).enumerate() {
        if !holds(key, &message, &signature.bytes) {
            let wanted =
                format!("the signature of {} does not hold for this header", signature.validator);
            return Err(Invalid::field(&field(at, "signature"), wanted));
        }
    }
    Ok(signed)
}

/// What a validator signs to commit itself to a block.
fn sign_bytes(header: &Header, round: u32) -> Vec<u8> {
    let mut bytes = TAG.to_vec();
    bytes.extend(header.chain_id);
    bytes.push(PRECOMMIT);
    bytes.extend(header.height.to_be_bytes());
    bytes.extend(round.to_be_bytes());
    bytes.push(FOR_A_BLOCK);
    bytes.extend(header.id);
    bytes
}

/// Whether a signature (R, s) by A over M holds by the rules of ZIP-215, as every validator
/// asks it: s is canonical, R and A are points in any encoding, and `[8][s]B = [8]R + [8][k]A`
/// with `k = SHA-512(R ‖ A ‖ M)`.
fn holds(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    equation(key, message, signature).unwrap_or(false)
}

fn equation(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> Option<bool> {
    let (r_bytes, s_bytes) = signature.split_first_chunk::<32>()?;
    let s: Scalar = Option::from(Scalar::from_canonical_bytes(s_bytes.try_into().ok()?))?;
    let r = CompressedEdwardsY(*r_bytes).decompress()?;
    let a = CompressedEdwardsY(*key).decompress()?;
    let hash = Sha512::new().chain_update(r_bytes).chain_update(key).chain_update(message);
    let k = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
    let sum = EdwardsPoint::vartime_double_scalar_mul_basepoint(&k, &-a, &s);
    Some((sum - r).mul_by_cofactor().is_identity())
}

#[cfg(test)]
mod tests {
    use cairn_ledger::{ids::PublicKey, signature};
    use curve25519_dalek::constants::EIGHT_TORSION;
    use proptest::prelude::*;

    use super::*;

    fn agreed(key: [u8; 32], message: &[u8], signature: [u8; 64]) -> bool {
        let ours = holds(&key, message, &signature);
        let claim = signature::Claim { key: PublicKey(key), message, signature };
        assert_eq!(signature::holds(&claim), ours, "{claim:?}");
        ours
    }

    fn bytes<const N: usize>(value: &serde_json::Value) -> [u8; N] {
        hex::decode(value.as_str().unwrap()).unwrap().try_into().unwrap()
    }

    /// Chalkias, Garillot, Nikolaenko: Taming the many EdDSAs (SSR 2020): the cases in which
    /// libraries disagree. Verifier and validators must not.
    #[test]
    fn the_known_edge_cases_are_as_zip215_says() {
        let text = include_str!("../../ledger/tests/vectors/taming-eddsas.json");
        let cases: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
        assert_eq!(cases.len(), 10);
        for case in cases {
            let message = hex::decode(case["message"].as_str().unwrap()).unwrap();
            let held = agreed(bytes(&case["pub_key"]), &message, bytes(&case["signature"]));
            assert_eq!(Some(held), case["zip215"].as_bool(), "{case:#}");
        }
    }

    #[test]
    fn points_of_small_order_hold_as_zip215_says() {
        for a in &EIGHT_TORSION {
            for r in &EIGHT_TORSION {
                let mut signature = [0; 64];
                signature[..32].copy_from_slice(&r.compress().0);
                assert!(agreed(a.compress().0, b"Zcash", signature));
                signature[32] = 1;
                assert!(!agreed(a.compress().0, b"Zcash", signature));
            }
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_validators(
            seed in any::<[u8; 32]>(),
            message in prop::collection::vec(any::<u8>(), 0..100),
            at in 0..64_usize,
            bit in 0..8_u8,
        ) {
            let key = signature::SigningKey::from_seed(seed);
            let mut signature = key.sign(&message);
            prop_assert!(agreed(key.public().0, &message, signature));
            signature[at] ^= 1_u8 << bit;
            prop_assert!(!agreed(key.public().0, &message, signature));
            agreed(seed, &message, signature);
        }
    }
}
