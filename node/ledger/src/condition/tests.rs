use super::*;
use crate::{json::Strictness, signature::SigningKey};

fn signers(count: u8) -> Vec<SigningKey> {
    (1..=count).map(|seed| SigningKey::from_seed([seed; 32])).collect()
}

fn any_of(threshold: u32, subconditions: Vec<Condition>) -> Condition {
    Condition::Threshold { threshold, subconditions }
}

#[test]
fn base64url_has_one_spelling() {
    for length in 0..70usize {
        let bytes: Vec<u8> = (0..length).map(|at| (at * 37 + length) as u8).collect();
        let text = der::to_base64url(&bytes);
        assert_eq!(der::from_base64url(text.as_bytes(), true), Some(bytes));
    }
    assert_eq!(der::to_base64url(b"\xfb\xff\xfe"), "-__-");
    for (text, exact, lenient) in [
        ("AA", Some(vec![0]), Some(vec![0])),
        ("AB", None, Some(vec![0])),
        ("AAB", None, Some(vec![0, 0])),
        ("A", None, None),
        ("AA==", None, None),
        ("A+", None, None),
        ("A é", None, None),
    ] {
        assert_eq!(der::from_base64url(text.as_bytes(), true), exact, "{text}");
        assert_eq!(der::from_base64url(text.as_bytes(), false), lenient, "{text}");
    }
}

#[test]
fn integers_are_minimal() {
    for value in [0, 1, 127, 128, 255, 256, 131_072, u64::MAX >> 1, u64::MAX] {
        let mut out = Vec::new();
        der::put_integer(&mut out, der::PRIMITIVE_1, value);
        let contents = der::expect(&mut out.as_slice(), der::PRIMITIVE_1).map(<[u8]>::to_vec);
        assert_eq!(der::integer(&contents.unwrap()), Some(value));
    }
    for bad in [&[][..], &[0x80], &[0, 1], &[0xFF; 9], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]] {
        assert_eq!(der::integer(bad), None, "{bad:?}");
    }
}

#[test]
fn a_fulfillment_matches_its_condition_and_no_other() {
    let keys = signers(5);
    let key = |at: usize| Condition::Ed25519(keys[at].public());
    let nested =
        any_of(2, vec![key(0), any_of(1, vec![key(1), key(2)]), any_of(2, vec![key(3), key(4)])]);
    for (condition, signing, enough) in [
        (key(0), vec![0], true),
        (key(0), vec![1], false),
        (any_of(2, vec![key(0), key(1)]), vec![0, 1], true),
        (any_of(2, vec![key(0), key(1)]), vec![0], false),
        (any_of(1, vec![key(0), key(1)]), vec![1], true),
        (any_of(1, vec![key(0), key(1)]), vec![0, 1], true),
        (nested.clone(), vec![0, 2], true),
        (nested.clone(), vec![1, 3, 4], true),
        (nested.clone(), vec![1, 2], false),
    ] {
        let held: Vec<&SigningKey> = signing.iter().map(|at: &usize| &keys[*at]).collect();
        let proof = Fulfillment::sign(&condition, b"message", &held);
        assert_eq!(proof.is_some(), enough, "{condition:?} {signing:?}");
        let Some(proof) = proof else { continue };
        assert_eq!(proof.fingerprint(), condition.fingerprint());
        let text = proof.to_text();
        let read = Fulfillment::parse(&text, Strictness::Strict).unwrap();
        assert_eq!(read.fingerprint(), condition.fingerprint());
        assert_eq!(read.to_text(), text);
        // Every other spelling of the last character, and every cut, is refused.
        let cut = &text[..text.len() - 1];
        assert!(Fulfillment::parse(cut, Strictness::Strict).is_err());
        assert!(Fulfillment::parse(&format!("{text}AAAA"), Strictness::Strict).is_err());
    }
    assert_ne!(
        any_of(1, vec![key(0), key(1)]).fingerprint(),
        any_of(2, vec![key(0), key(1)]).fingerprint()
    );
}

#[test]
fn costs_are_upstreams() {
    let keys = signers(2);
    let subs: Vec<Condition> = keys.iter().map(|key| Condition::Ed25519(key.public())).collect();
    assert_eq!(subs[0].fingerprint().cost, 131_072);
    assert_eq!(any_of(2, subs.clone()).fingerprint().cost, 264_192);
    assert_eq!(any_of(1, subs).fingerprint().cost, 133_120);
}

#[test]
fn sets_have_one_order() {
    let keys = signers(2);
    let subs: Vec<Condition> = keys.iter().map(|key| Condition::Ed25519(key.public())).collect();
    let condition = any_of(2, subs);
    let proof = Fulfillment::sign(&condition, b"m", &[&keys[0], &keys[1]]).unwrap();
    let text = proof.to_text();
    let der = der::from_base64url(text.as_bytes(), true).unwrap();
    // A2 81 xx A0 81 CC, two elements of 102 bytes, A1 00.
    let (head, rest) = der.split_at(6);
    let (first, rest) = rest.split_at(102);
    let (second, tail) = rest.split_at(102);
    let swapped = der::to_base64url(&[head, second, first, tail].concat());
    assert_eq!(Fulfillment::parse(&swapped, Strictness::Strict), Err(FulfillmentError::Malformed));
    let lenient = Fulfillment::parse(&swapped, Strictness::Lenient).unwrap();
    assert_eq!(lenient.fingerprint(), condition.fingerprint());
}

#[test]
fn conditions_have_limits() {
    let keys = signers(33);
    let key = |at: usize| Condition::Ed25519(keys[at].public());
    let all = |count: usize| any_of(1, (0..count).map(key).collect());
    let deep = |depth| (0..depth).fold(key(0), |inner, _| any_of(1, vec![inner]));
    assert_eq!(all(32).check(), Ok(()));
    assert_eq!(all(33).check(), Err(ConditionError::Keys { keys: 33 }));
    assert_eq!(deep(4).check(), Ok(()));
    assert_eq!(deep(5).check(), Err(ConditionError::Depth));
    for threshold in [0, 3] {
        let condition = any_of(threshold, vec![key(0), key(1)]);
        let expected = ConditionError::Threshold { threshold: u64::from(threshold), of: 2 };
        assert_eq!(condition.check(), Err(expected));
    }
    let twice = any_of(2, vec![key(0), any_of(1, vec![key(0)])]);
    assert_eq!(twice.check_keys_once(), Err(ConditionError::DuplicateKey(keys[0].public())));
    for (condition, expected) in
        [(deep(5), FulfillmentError::Depth), (all(33), FulfillmentError::Keys)]
    {
        let text = Fulfillment::sign(&condition, b"m", &[&keys[0]]).unwrap().to_text();
        assert_eq!(Fulfillment::parse(&text, Strictness::Lenient), Err(expected));
    }
}
