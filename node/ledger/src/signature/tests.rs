use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use proptest::prelude::*;

use super::*;

fn bytes<const N: usize>(digits: &str) -> [u8; N] {
    hex::decode(digits).unwrap().try_into().unwrap()
}

fn both(claim: &Claim<'_>) -> bool {
    let alone = holds(claim);
    // Twice, so that it goes through a sum as well.
    assert_eq!(all_hold(&[*claim, *claim]), [alone, alone]);
    alone
}

/// Every encoding, canonical or not, that decodes to a point of small order.
fn small_order_encodings() -> Vec<[u8; 32]> {
    let mut encodings: Vec<[u8; 32]> =
        EIGHT_TORSION.iter().map(|point| point.compress().to_bytes()).collect();
    for sign in [0, 0x80] {
        // y = 0 and y = 1 have second spellings p and p + 1; y = 1 and y = -1 have x = 0,
        // whose sign says nothing. (p - 1 is -1 itself.)
        for first in [0xED_u8, 0xEE] {
            let mut encoding = [0xFF; 32];
            encoding[0] = first;
            encoding[31] = 0x7F | sign;
            encodings.push(encoding);
        }
        let mut one = [0; 32];
        one[0] = 1;
        one[31] = sign;
        let mut minus_one = [0xFF; 32];
        minus_one[0] = 0xEC;
        minus_one[31] = 0x7F | sign;
        encodings.extend([one, minus_one]);
    }
    encodings.sort_unstable();
    encodings.dedup();
    encodings
}

#[test]
fn zip215_takes_all_196_pairs_of_small_order_points() {
    let encodings = small_order_encodings();
    assert_eq!(encodings.len(), 14);
    let mut held = 0;
    for key in &encodings {
        assert!(!is_sound(&PublicKey(*key)), "{}", hex::encode(key));
        for r in &encodings {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(r);
            assert!(both(&Claim { key: PublicKey(*key), message: b"Zcash", signature }));
            held += 1;
        }
    }
    assert_eq!(held, 196);
}

/// Chalkias, Garillot, Nikolaenko: Taming the many EdDSAs (SSR 2020), and whether each
/// holds by ZIP-215.
#[test]
fn taming_the_many_eddsas() {
    let text = include_str!("../../tests/vectors/taming-eddsas.json");
    let cases: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
    for (at, case) in cases.iter().enumerate() {
        let message = hex::decode(case["message"].as_str().unwrap()).unwrap();
        let key = PublicKey(bytes(case["pub_key"].as_str().unwrap()));
        let signature = bytes(case["signature"].as_str().unwrap());
        let expected = case["zip215"].as_bool().unwrap();
        assert_eq!(both(&Claim { key, message: &message, signature }), expected, "case {at}");
    }
}

#[test]
fn a_signature_has_one_s() {
    let signer = SigningKey::from_seed([7; 32]);
    let signature = signer.sign(b"message");
    let claim = |signature| Claim { key: signer.public(), message: b"message", signature };
    assert!(both(&claim(signature)));
    // L, the order of the base point, little-endian.
    let order: [u8; 32] = bytes("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut malleated = signature;
    let mut carry = 0;
    for (byte, add) in malleated[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    assert!(!both(&claim(malleated)));
    for at in 0..64 {
        let mut changed = signature;
        changed[at] ^= 1;
        assert!(!both(&claim(changed)), "byte {at}");
    }
}

#[test]
fn sound_keys_are_what_generators_make() {
    for seed in 0..32 {
        assert!(is_sound(&SigningKey::from_seed([seed; 32]).public()));
    }
    // Order 8 times a prime: odd, but nobody can sign for it without its key.
    let mixed = ED25519_BASEPOINT_POINT + EIGHT_TORSION[1];
    assert!(is_sound(&PublicKey(mixed.compress().to_bytes())));
    let mut off_curve = [0; 32];
    off_curve[0] = 2;
    assert!(!is_sound(&PublicKey(off_curve)) && !is_point(&PublicKey(off_curve)));
    // p + 3 is 3 again: on the curve, yet another spelling.
    for low in 0..19u8 {
        let mut key = [0xFF; 32];
        key[0] = 0xED + low;
        key[31] = 0x7F;
        assert!(!is_sound(&PublicKey(key)) && !is_point(&PublicKey(key)));
    }
}

/// A claim of some kind: honest, broken, or crafted so that only the factor 8 makes it hold.
fn crafted(kind: u8, seed: u8) -> (PublicKey, [u8; 64]) {
    let signer = SigningKey::from_seed([seed; 32]);
    let message = [seed];
    let mut signature = signer.sign(&message);
    let torsion = EIGHT_TORSION[usize::from(seed) % 8];
    match kind {
        0..=5 => {}
        6 => signature[usize::from(seed) % 64] ^= 1 << (seed % 8),
        7 => {
            // R plus a point of small order, with s made for it.
            let secret = Scalar::from_bytes_mod_order([seed; 32]);
            let nonce = Scalar::from(u64::from(seed) + 1);
            let key = (ED25519_BASEPOINT_POINT * secret).compress().to_bytes();
            let r = (ED25519_BASEPOINT_POINT * nonce + torsion).compress().to_bytes();
            let hash = Sha512::new().chain_update(r).chain_update(key).chain_update(message);
            let k = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
            signature[..32].copy_from_slice(&r);
            signature[32..].copy_from_slice((nonce + k * secret).as_bytes());
            return (PublicKey(key), signature);
        }
        _ => {
            let key = PublicKey(torsion.compress().to_bytes());
            signature[32..].fill(0);
            signature[..32].copy_from_slice(&EIGHT_TORSION[3].compress().to_bytes());
            return (key, signature);
        }
    }
    (signer.public(), signature)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn one_and_many_agree(kinds in prop::collection::vec((0u8..9, any::<u8>()), 0..40)) {
        let messages: Vec<[u8; 1]> = kinds.iter().map(|(_, seed)| [*seed]).collect();
        let claims: Vec<Claim<'_>> = kinds.iter().zip(&messages).map(|((kind, seed), message)| {
            let (key, signature) = crafted(*kind, *seed);
            Claim { key, message, signature }
        }).collect();
        let alone: Vec<bool> = claims.iter().map(holds).collect();
        prop_assert_eq!(all_hold(&claims), alone);
    }
}

#[test]
fn large_batches_agree_too() {
    for bad in [None, Some(0), Some(299)] {
        let messages: Vec<[u8; 1]> = (0..300u16).map(|at| [at as u8]).collect();
        let claims: Vec<Claim<'_>> = messages
            .iter()
            .enumerate()
            .map(|(at, message)| {
                let kind = if at % 7 == 0 { 7 } else { 0 };
                let (key, mut signature) = crafted(kind, message[0]);
                signature[40] ^= u8::from(Some(at) == bad);
                Claim { key, message, signature }
            })
            .collect();
        let expected: Vec<bool> = (0..300).map(|at| Some(at) != bad).collect();
        assert_eq!(all_hold(&claims), expected);
    }
}
