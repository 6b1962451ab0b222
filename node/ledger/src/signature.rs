//! The one predicate that says whether a signature holds, for the whole chain (ZIP-215).

use crate::ids::PublicKey;

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

/// Whether the claim holds by ZIP-215: cofactored equation, canonical `s`.
pub fn holds(claim: &Claim<'_>) -> bool {
    let _ = claim;
    todo!()
}

/// The same answer as [`holds`] for each claim, for less than half the work when all hold.
pub fn all_hold(claims: &[Claim<'_>]) -> Vec<bool> {
    let _ = claims;
    todo!()
}

/// Whether a key is one that an honest generator makes: on the curve, canonical, not of small order.
pub fn is_sound(key: &PublicKey) -> bool {
    let _ = key;
    todo!()
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
