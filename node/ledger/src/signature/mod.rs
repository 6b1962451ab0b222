//! The one predicate that says whether a signature holds, for the whole chain (ZIP-215).
//!
//! A signature (R, s) by A over M holds when `s` is canonical, R and A decode to points
//! (in any encoding), and `[8][s]B = [8]R + [8][k]A` with `k = SHA-512(R ‖ A ‖ M)`. One
//! claim alone and many at once are the same equation, so they cannot disagree: libraries
//! that leave out the factor 8, or have it in one of the two only, do disagree on crafted
//! signatures, and a federation that mixed them would split.

#[cfg(test)]
mod tests;

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
};

use curve25519_dalek::{
    edwards::{CompressedEdwardsY, EdwardsPoint},
    scalar::Scalar,
    traits::{IsIdentity, VartimeMultiscalarMul},
};
use sha2::{Digest, Sha512};

use crate::ids::PublicKey;

/// Claims that are checked in one sum: where more stop to pay.
const LARGE_BATCH: usize = 1024;

/// From this many claims on, one large sum beats many small ones.
const LARGE_BATCH_MIN: usize = 256;

/// Claims of one small sum. (Sums in between are slower than both.)
const SMALL_BATCH: usize = 16;

/// A claim that `key` signed `message`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    /// Who is said to have signed.
    pub key: PublicKey,
    /// The bytes that were signed.
    pub message: &'a [u8],
    /// R and s.
    pub signature: [u8; 64],
}

/// A claim whose parts were decoded: what is left is the equation.
struct Equation {
    key: PublicKey,
    a: EdwardsPoint,
    r: EdwardsPoint,
    s: Scalar,
    k: Scalar,
}

impl Equation {
    /// Nothing when `s` is not canonical or a point does not decode: then the claim does not hold.
    fn of(
        claim: &Claim<'_>,
        decoded: &mut HashMap<PublicKey, Option<EdwardsPoint>>,
    ) -> Option<Self> {
        let (r_bytes, s_bytes) = claim.signature.split_first_chunk::<32>()?;
        let s_bytes: [u8; 32] = s_bytes.try_into().ok()?;
        let s = Option::<Scalar>::from(Scalar::from_canonical_bytes(s_bytes))?;
        let r = CompressedEdwardsY(*r_bytes).decompress()?;
        let a = (*decoded
            .entry(claim.key)
            .or_insert_with(|| CompressedEdwardsY(claim.key.0).decompress()))?;
        // The bytes as they came are hashed, whatever else would decode to the same points.
        let hash = Sha512::new()
            .chain_update(r_bytes)
            .chain_update(claim.key.0)
            .chain_update(claim.message)
            .finalize();
        let k = Scalar::from_bytes_mod_order_wide(&hash.into());
        Some(Self { key: claim.key, a, r, s, k })
    }

    fn holds(&self) -> bool {
        let sum = EdwardsPoint::vartime_double_scalar_mul_basepoint(&self.k, &-self.a, &self.s);
        (sum - self.r).mul_by_cofactor().is_identity()
    }
}

/// Whether the claim holds by ZIP-215: cofactored equation, canonical `s`.
pub fn holds(claim: &Claim<'_>) -> bool {
    Equation::of(claim, &mut HashMap::new()).is_some_and(|equation| equation.holds())
}

/// The same answer as [`holds`] for each claim, for less than half the work when all hold.
pub fn all_hold(claims: &[Claim<'_>]) -> Vec<bool> {
    let mut answers = vec![false; claims.len()];
    // Most submitters sign more than once: their keys are decoded once.
    let mut decoded = HashMap::new();
    let equations: Vec<(usize, Equation)> = claims
        .iter()
        .enumerate()
        .filter_map(|(at, claim)| Some((at, Equation::of(claim, &mut decoded)?)))
        .collect();
    for large in equations.chunks(LARGE_BATCH) {
        let all = large.len() >= LARGE_BATCH_MIN && sum_holds(large);
        for small in large.chunks(SMALL_BATCH) {
            let all = all || small.len() > 1 && sum_holds(small);
            for (at, equation) in small {
                answers[*at] = all || equation.holds();
            }
        }
    }
    answers
}

/// Whether a random linear combination of the equations holds: if they all do, always; if
/// one does not, with probability below 2⁻¹²⁴.
fn sum_holds(equations: &[(usize, Equation)]) -> bool {
    let mut scalars = Vec::with_capacity(2 * equations.len() + 1);
    let mut points = Vec::with_capacity(2 * equations.len() + 1);
    let mut base = Scalar::ZERO;
    let mut by_key: HashMap<PublicKey, usize> = HashMap::new();
    let mut coefficients = coefficients(equations);
    for (_, equation) in equations {
        let mut bytes = [0; 32];
        coefficients.fill(&mut bytes[..16]);
        let z = Scalar::from_bytes_mod_order(bytes);
        base -= z * equation.s;
        scalars.push(z);
        points.push(equation.r);
        let zk = z * equation.k;
        match by_key.get(&equation.key) {
            Some(at) => scalars[*at] += zk,
            None => {
                by_key.insert(equation.key, scalars.len());
                scalars.push(zk);
                points.push(equation.a);
            }
        }
    }
    scalars.push(base);
    points.push(curve25519_dalek::constants::ED25519_BASEPOINT_POINT);
    EdwardsPoint::vartime_multiscalar_mul(&scalars, &points).mul_by_cofactor().is_identity()
}

/// The coefficients come from a hash over the whole batch: nobody can choose a claim
/// after seeing them, and no dice are needed.
fn coefficients(equations: &[(usize, Equation)]) -> blake3::OutputReader {
    let mut hasher = blake3::Hasher::new_derive_key("cairn ledger: ed25519 batch coefficients v1");
    for (_, equation) in equations {
        // `k` is a hash over R, A and the message.
        hasher.update(equation.k.as_bytes());
        hasher.update(equation.s.as_bytes());
    }
    hasher.finalize_xof()
}

/// Whether a key is one that an honest generator makes: on the curve, canonical, not of small order.
pub fn is_sound(key: &PublicKey) -> bool {
    // The answer never changes and most keys come again: what was found sound is remembered,
    // within bounds, because decoding a point costs as much as all the rest of parsing.
    SOUND.with_borrow_mut(|sound| {
        if sound.contains(key) {
            return true;
        }
        let is_sound = has_canonical_y(key)
            && CompressedEdwardsY(key.0).decompress().is_some_and(|point| !point.is_small_order());
        if is_sound {
            if sound.len() == SOUND_KEYS_MAX {
                sound.clear();
            }
            sound.insert(*key);
        }
        is_sound
    })
}

/// Most keys that one thread remembers as sound: half a megabyte.
const SOUND_KEYS_MAX: usize = 8192;

thread_local! {
    static SOUND: RefCell<HashSet<PublicKey>> = RefCell::default();
}

/// Whether a key's bytes are the canonical encoding of a point on the curve, weak or not.
pub fn is_point(key: &PublicKey) -> bool {
    CompressedEdwardsY(key.0).decompress().is_some_and(|point| point.compress().0 == key.0)
}

/// Whether y is below the field's prime 2²⁵⁵ - 19. (The other non-canonical encodings, of
/// x = 0 with a sign, are of points of small order.)
fn has_canonical_y(key: &PublicKey) -> bool {
    let [first, middle @ .., last] = key.0;
    first < 0xED || last & 0x7F != 0x7F || middle.iter().any(|byte| *byte != 0xFF)
}

/// A private key that signs. Never printed, wiped when dropped.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// From the 32-byte seed of RFC 8032.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(&seed))
    }

    /// The seed, to be stored where only its owner reads.
    pub fn seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs; the same message gives the same bytes.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        use ed25519_dalek::Signer;
        self.0.sign(message).to_bytes()
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey(of {})", self.public())
    }
}
