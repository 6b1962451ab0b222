use super::*;
use crate::signature::SigningKey;

/// A chain of validators `v0`, `v1`, … of power 1, and their consensus keys by index.
pub(crate) fn founders(count: u8) -> (Genesis, Vec<SigningKey>) {
    let powers: Vec<u64> = vec![1; usize::from(count)];
    founders_with(&powers)
}

/// The same with that power each. At most ten, so that names sort as numbers do.
pub(crate) fn founders_with(powers: &[u64]) -> (Genesis, Vec<SigningKey>) {
    assert!(powers.len() <= 10);
    let keys: Vec<SigningKey> =
        (0..powers.len()).map(|i| SigningKey::from_seed([i as u8 + 1; 32])).collect();
    let validators = keys.iter().zip(powers).enumerate().map(|(i, (key, power))| Validator {
        name: format!("v{i}"),
        consensus_key: key.public(),
        member_key: SigningKey::from_seed([i as u8 + 129; 32]).public(),
        power: *power,
    });
    (Genesis::new("test".to_owned(), [7; 16], validators.collect()).unwrap(), keys)
}

fn validators(count: u8) -> Vec<Validator> {
    founders(count).0.validators
}

#[test]
fn the_file_reads_back_as_it_was_written() {
    let (genesis, _) = founders(4);
    let text = genesis.to_json();
    assert!(text.ends_with("}\n"));
    assert_eq!(Genesis::from_json(&text).unwrap(), genesis);

    let without: String =
        text.lines().filter(|line| !line.contains("chain_id")).collect::<Vec<_>>().join("\n");
    assert_eq!(Genesis::from_json(&without).unwrap(), genesis, "chain_id may be left out");
}

#[test]
fn the_order_in_which_founders_are_listed_does_not_matter() {
    let mut backward = validators(4);
    backward.reverse();
    let (genesis, keys) = founders(4);
    let again = Genesis::new("test".to_owned(), [7; 16], backward).unwrap();
    assert_eq!(again, genesis);
    for (index, key) in (0..).zip(&keys) {
        assert_eq!(again.index_of(&key.public()), Some(index));
    }
    assert_eq!(again.index_of(&again.validators()[0].member_key), None);
    assert_eq!(again.total_power(), 4);
}

#[test]
fn every_field_is_part_of_the_chains_name() {
    type Bend = fn(&mut String, &mut [u8; 16], &mut Vec<Validator>);
    let bends: [Bend; 8] = [
        |_, _, _| {},
        |name, _, _| name.push('s'),
        |_, salt, _| salt[15] ^= 1,
        |_, _, validators| validators[0].name = "v00".to_owned(),
        |_, _, validators| validators[0].power = 2,
        |_, _, validators| {
            validators[0].consensus_key = SigningKey::from_seed([99; 32]).public();
        },
        |_, _, validators| validators[0].member_key = SigningKey::from_seed([99; 32]).public(),
        |_, _, validators| drop(validators.pop()),
    ];
    let mut seen = HashSet::new();
    for (number, bend) in bends.iter().enumerate() {
        let (mut name, mut salt, mut validators) = ("test".to_owned(), [7; 16], validators(4));
        bend(&mut name, &mut salt, &mut validators);
        let genesis = Genesis::new(name, salt, validators).unwrap();
        assert!(seen.insert(genesis.chain()), "bend {number} does not change the chain's id");
    }
}

#[test]
fn a_record_that_is_not_sound_is_refused_with_a_reason() {
    type Bend = fn(&mut String, &mut Vec<Validator>);
    let long = "x".repeat(63);
    let cases: &[(Bend, &str)] = &[
        (|name, _| name.clear(), "name \"\""),
        (|name, _| *name = "x".repeat(64), "1 to 63 bytes"),
        (|name, _| *name = "a\nb".to_owned(), "control characters"),
        (|_, validators| validators.clear(), "0 validators: 1 to 128"),
        (|_, validators| *validators = vec![validators[0].clone(); 129], "129 validators"),
        (|_, validators| validators[1].name = "v0".to_owned(), "two validators are named v0"),
        (|_, validators| validators[1].name = String::new(), "validator name \"\""),
        (|_, validators| validators[1].name = "V1".to_owned(), "validator name \"V1\""),
        (|_, validators| validators[1].name = "-v".to_owned(), "beginning and ending"),
        (|_, validators| validators[1].name = "v-".to_owned(), "beginning and ending"),
        (|_, validators| validators[1].name = "a.b".to_owned(), "validator name"),
        (|_, validators| validators[1].name = "x".repeat(64), "validator name"),
        (
            |_, validators| validators[1].consensus_key = PublicKey([0; 32]),
            "consensus_key of v1 is no sound",
        ),
        (
            |_, validators| validators[1].member_key = PublicKey([0xff; 32]),
            "member_key of v1 is no sound",
        ),
        (
            |_, validators| validators[1].consensus_key = validators[0].consensus_key,
            "consensus_key of v1 is in the record already",
        ),
        (
            |_, validators| validators[1].member_key = validators[1].consensus_key,
            "member_key of v1 is in the record already",
        ),
        (|_, validators| validators[1].power = 0, "power of v1 is 0"),
        (|_, validators| validators[1].power = VOTING_POWER_TOTAL_MAX - 2, "power of"),
        (|_, validators| validators[1].power = u64::MAX, "power of v1"),
    ];
    for (bend, expected) in cases {
        let (mut name, mut validators) = (long.clone(), validators(4));
        bend(&mut name, &mut validators);
        let error = Genesis::new(name, [0; 16], validators).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}\nshould say: {expected}");
    }
    let mut most = validators(4);
    most[1].power = VOTING_POWER_TOTAL_MAX - 3;
    assert_eq!(Genesis::new(long, [0; 16], most).unwrap().total_power(), VOTING_POWER_TOTAL_MAX);
}

#[test]
fn a_file_that_is_not_as_it_should_be_is_refused_with_a_reason() {
    let good = founders(2).0.to_json();
    let cases: [(&str, &str, &str); 9] = [
        ("\"format\": 1", "\"format\": 2", "format is 2, this version reads 1"),
        ("\"format\": 1,", "", "missing field `format`"),
        ("\"format\": 1", "\"format\": 1, \"extra\": 0", "unknown field `extra`"),
        ("\"format\": 1", "\"format\": 1, \"format\": 1", "duplicate field `format`"),
        ("\"power\": 1", "\"power\": -1", "invalid value"),
        ("\"power\": 1", "\"power\": 1, \"address\": \"a:1\"", "unknown field `address`"),
        ("\"salt\": \"07", "\"salt\": \"", "32 hexadecimal digits"),
        ("\"name\": \"test\"", "\"name\": \"tests\"", "take the file as the founders made it"),
        ("\"consensus_key\": \"", "\"consensus_key\": \"0", "not a public key"),
    ];
    for (from, to, expected) in cases {
        assert!(good.contains(from), "{from}");
        let error = Genesis::from_json(&good.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}\nshould say: {expected}");
    }
    for text in ["", "{", "[]", "null", &good[..good.len() - 3]] {
        assert!(Genesis::from_json(text).is_err(), "{text}");
    }
}
