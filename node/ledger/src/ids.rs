//! The names of things: newtypes that parse, print and never mix.

use std::{fmt, str::FromStr};

/// Text that does not name what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// A 32-byte hash in hexadecimal was wanted.
    #[error("not a hash: 64 hexadecimal digits name one")]
    Hash,
    /// A base58 public key was wanted.
    #[error("not a public key: 32 bytes in base58 (43 or 44 characters) name one")]
    PublicKey,
}

macro_rules! hash_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The 32 bytes.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), hex::encode(&self.0[..6]))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let mut bytes = [0; 32];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| IdError::Hash)?;
                Ok(Self(bytes))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

hash_id!(
    /// Names a transaction: SHA3-256 of its canonical JSON with `"id": null`
    /// (BigchainDB transaction spec 2.0).
    TransactionId
);
hash_id!(
    /// Names a block: the hash of its header, which is what validators vote on.
    BlockId
);
hash_id!(
    /// Names a chain: the hash of its genesis record. Part of everything that is signed.
    ChainId
);
hash_id!(
    /// Any other SHA-256 hash: a Merkle root, a state root.
    Hash
);

/// An ed25519 public key as bytes. Whether it is a point on the curve, and a safe
/// one, is [`crate::signature`]'s to say.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bs58::encode(self.0).into_string())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut bytes = [0; 32];
        // 44 characters hold 32 bytes; decoding longer text takes the square of its length.
        if text.len() > 44 {
            return Err(IdError::PublicKey);
        }
        match bs58::decode(text).onto(&mut bytes) {
            Ok(32) => Ok(Self(bytes)),
            _ => Err(IdError::PublicKey),
        }
    }
}

impl serde::Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for PublicKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default,
            serde::Serialize, serde::Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The one after.
            ///
            /// # Panics
            /// At `u64::MAX`, which counting by one never reaches.
            pub fn next(self) -> Self {
                Self(self.0.checked_add(1).expect("counting by one does not reach 2^64"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id!(
    /// A block's place in the chain. The genesis is 0, the first block 1.
    Height
);
number_id!(
    /// A batch's place in the ordered log. Positions grow; gaps are allowed (a Raft log
    /// holds entries that are not batches). 0 is before the first batch.
    Position
);

/// One output of one transaction: what a transfer spends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutputReference {
    /// The transaction that made the output.
    pub transaction: TransactionId,
    /// Which of its outputs, from 0.
    pub index: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_print_and_parse() {
        let id = TransactionId(std::array::from_fn(|i| i as u8));
        let text = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        assert_eq!(id.to_string(), text);
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(text.to_uppercase().parse(), Ok(id));
        assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<TransactionId>(&format!("\"{text}\"")).unwrap(), id);
        for text in ["", &text[1..], &text[2..], &format!("{text}00"), &text.replace('0', "g")] {
            assert_eq!(text.parse::<TransactionId>(), Err(IdError::Hash), "{text}");
        }
    }

    #[test]
    fn keys_print_and_parse() {
        let text = "4K9sWUMFwTgaDGPfdynrbxWqWS6sWmKbZoTjxLtVUibD";
        let key: PublicKey = text.parse().unwrap();
        assert_eq!(key.to_string(), text);
        let zeros = PublicKey([0; 32]);
        assert_eq!(zeros.to_string().parse(), Ok(zeros));
        let long = "1".repeat(1_000_000);
        for text in ["", "1", &text[2..], &format!("{text}2"), &text.replace('4', "0"), &long] {
            assert_eq!(text.parse::<PublicKey>(), Err(IdError::PublicKey), "{text:.50}");
        }
    }

    #[test]
    fn numbers_count() {
        assert_eq!(Height(1).next(), Height(2));
        assert_eq!(serde_json::to_string(&Position(7)).unwrap(), "7");
    }

    #[test]
    #[should_panic(expected = "counting by one does not reach 2^64")]
    fn the_last_number_has_no_next() {
        let _ = Height(u64::MAX).next();
    }
}
