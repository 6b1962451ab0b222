//! The genesis: who founded the chain, and so whose signatures count. The hash of the record
//! is the chain's name, and is part of everything that is signed.

use std::collections::BTreeSet;

use curve25519_dalek::edwards::CompressedEdwardsY;
use sha2::{Digest, Sha256};

use crate::{Invalid, json::Field};

/// Domain tag of the record.
const TAG: &[u8] = b"cairn/genesis/1";
/// The format of the file, and of the record.
const FORMAT: u16 = 1;
/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 63;
/// Most validators.
const VALIDATORS_MAX: usize = 128;
/// Largest voting power of all together.
const POWER_TOTAL_MAX: u64 = u64::MAX / 4;

/// The founding record that whoever verifies trusts.
#[derive(Clone, Debug)]
pub struct Genesis {
    name: String,
    chain_id: [u8; 32],
    /// Sorted by name.
    validators: Vec<Validator>,
    total_power: u64,
}

/// A founding member's validator.
#[derive(Clone, Debug)]
pub(crate) struct Validator {
    name: String,
    pub(crate) consensus_key: [u8; 32],
    member_key: [u8; 32],
    pub(crate) power: u64,
}

impl Genesis {
    /// Reads a genesis file, and holds it to every rule that a validator holds it to.
    ///
    /// # Errors
    /// When a field is not what it must be, or the file is not as the founders made it.
    pub fn read(text: &[u8]) -> Result<Self, Invalid> {
        let names = ["format", "name", "salt", "chain_id", "validators"];
        let [format, name, salt, chain_id, validators] =
            Field::read("genesis", text)?.members(names)?;
        if format.number::<u16>()? != FORMAT {
            return Err(format.wrong("format 1 is the one that this version reads"));
        }
        let fine = "1 to 63 bytes without control characters would be fine";
        let text = name.text(fine)?;
        if text.is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
            return Err(name.wrong(fine));
        }
        let (validators, total_power) = read_validators(validators)?;
        let name = text.to_owned();
        let hash = Sha256::digest(record(&name, &salt.bytes()?, &validators)).into();
        // Whoever writes a genesis by hand may leave the hash out.
        if let Some(chain_id) = chain_id.optional()
            && chain_id.bytes::<32>()? != hash
        {
            let computed = hex::encode(hash);
            let wanted =
                format!("the record's hash is {computed}: take the file as the founders made it");
            return Err(chain_id.wrong(&wanted));
        }
        Ok(Self { name, chain_id: hash, validators, total_power })
    }
    /// The chain's name for people.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// The hash of the record.
    pub fn chain_id(&self) -> [u8; 32] {
        self.chain_id
    }
    /// The voting power of all validators.
    pub(crate) fn total_power(&self) -> u64 {
        self.total_power
    }
    /// The validator of that name, and its place in the order by name.
    pub(crate) fn validator(&self, name: &str) -> Option<(usize, &Validator)> {
        self.validators.iter().enumerate().find(|(_, validator)| validator.name == name)
    }
}

fn read_validators(list: Field) -> Result<(Vec<Validator>, u64), Invalid> {
    let few = list.wrong("1 to 128 validators make a chain");
    let list = list.list()?;
    if list.is_empty() || list.len() > VALIDATORS_MAX {
        return Err(few);
    }
    let mut validators: Vec<Validator> = Vec::new();
    let (mut keys, mut total) = (BTreeSet::new(), 0_u64);
    for field in list {
        let names = ["name", "consensus_key", "member_key", "power"];
        let [name_field, consensus, member, power_field] = field.members(names)?;
        let name = read_name(&name_field)?;
        if validators.iter().any(|known| known.name == name) {
            return Err(name_field.wrong("another validator has this name: names must differ"));
        }
        let (consensus_key, member_key) = (read_key(&consensus)?, read_key(&member)?);
        // One key in two places is one party in two places.
        for (field, key) in [(&consensus, consensus_key), (&member, member_key)] {
            if !keys.insert(key) {
                return Err(field.wrong("this key is there already: every key must differ"));
            }
        }
        let power = power_field.number()?;
        total = total.saturating_add(power);
        if power == 0 || total > POWER_TOTAL_MAX {
            return Err(power_field
                .wrong(&format!("at least 1 each, at most {POWER_TOTAL_MAX} together, are fine")));
        }
        validators.push(Validator { name, consensus_key, member_key, power });
    }
    validators.sort_by(|left, right| left.name.cmp(&right.name));
    Ok((validators, total))
}

/// A DNS label.
fn read_name(field: &Field) -> Result<String, Invalid> {
    let fine =
        "1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit, would be fine";
    let name = field.text(fine)?;
    let inside = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let is_label = (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(inside)
        && !name.starts_with('-')
        && !name.ends_with('-');
    if is_label { Ok(name.to_owned()) } else { Err(field.wrong(fine)) }
}

/// An ed25519 public key as an honest generator makes it: on the curve, canonical, and not
/// of small order, because anyone can sign for such a one.
fn read_key(field: &Field) -> Result<[u8; 32], Invalid> {
    let fine = "a sound ed25519 public key, 32 bytes in base58, would be fine";
    let text = field.text(fine)?;
    let mut key = [0; 32];
    // 44 characters hold 32 bytes; decoding longer text takes the square of its length.
    let whole = text.len() <= 44 && bs58::decode(text).onto(&mut key) == Ok(32);
    let is_sound = CompressedEdwardsY(key)
        .decompress()
        .is_some_and(|point| point.compress().0 == key && !point.is_small_order());
    if whole && is_sound { Ok(key) } else { Err(field.wrong(fine)) }
}

/// The binary record: tag, format, name, salt, how many validators, and each by name.
fn record(name: &str, salt: &[u8; 16], validators: &[Validator]) -> Vec<u8> {
    let length = |length: usize| u32::try_from(length).expect("names and validators are few");
    let mut record = TAG.to_vec();
    record.extend(FORMAT.to_be_bytes());
    record.extend(length(name.len()).to_be_bytes());
    record.extend(name.bytes());
    record.extend(salt);
    record.extend(length(validators.len()).to_be_bytes());
    for Validator { name, consensus_key, member_key, power } in validators {
        record.extend(length(name.len()).to_be_bytes());
        record.extend(name.bytes());
        record.extend(consensus_key);
        record.extend(member_key);
        record.extend(power.to_be_bytes());
    }
    record
}
