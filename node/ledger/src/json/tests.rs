use proptest::prelude::*;

use super::*;

fn canonical(text: &str) -> Result<String, JsonError> {
    let mut out = Vec::new();
    write_canonical(&parse(text.as_bytes(), Strictness::Lenient)?, &mut out);
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn writes_what_rapidjson_writes() {
    use sha3::{Digest, Sha3_256};
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../tests/vectors/bigchaindb-vectors.json")).unwrap();
    let cases = vectors["canonical_json_rapidjson_0.9.1"].as_array().unwrap();
    assert_eq!(cases.len(), 7);
    for case in cases {
        let ours = canonical(case["in"].as_str().unwrap()).unwrap();
        assert_eq!(ours, case["canonical"].as_str().unwrap());
        assert_eq!(hex::encode(Sha3_256::digest(&ours)), case["sha3_256"].as_str().unwrap());
    }
}

#[test]
fn floats_are_spelled_as_python_does() {
    for (text, expected) in [
        ("1e15", "1000000000000000.0"),
        ("1e16", "1e+16"),
        ("123456789012345.6", "123456789012345.6"),
        ("0.0001", "0.0001"),
        ("0.00012345", "0.00012345"),
        ("0.00001", "1e-05"),
        ("1.5e300", "1.5e+300"),
        ("-2.50", "-2.5"),
        ("0.1e1", "1.0"),
        ("-0.0", "-0.0"),
        ("-0", "0"),
        ("0e5", "0.0"),
        ("1E2", "100.0"),
        ("2.2250738585072014e-308", "2.2250738585072014e-308"),
        ("9007199254740993.0", "9007199254740992.0"),
    ] {
        assert_eq!(canonical(text).unwrap(), expected, "{text}");
    }
}

#[test]
fn what_is_no_json_says_where() {
    for (text, line, column) in [
        ("{", 1, 2),
        ("[1,]", 1, 4),
        ("{\"a\":1,}", 1, 8),
        ("{\"a\" 1}", 1, 6),
        ("{a:1}", 1, 2),
        ("[1]x", 1, 4),
        ("[1] [2]", 1, 5),
        ("\n\n  nul", 3, 3),
        ("NaN", 1, 1),
        ("[-Infinity]", 1, 3),
        ("[\n1e400]", 2, 1),
        ("01", 1, 2),
        ("1.", 1, 3),
        ("-", 1, 2),
        ("+1", 1, 1),
        ("\"a\nb\"", 1, 3),
        ("\"abc", 1, 5),
        ("\"\\x\"", 1, 3),
        ("\"\\u12g4\"", 1, 6),
        ("\"\\ud800\"", 1, 3),
        ("\"\\udc00\"", 1, 3),
        ("\"\\ud800\\u0041\"", 1, 3),
    ] {
        match parse(text.as_bytes(), Strictness::Lenient) {
            Err(JsonError::Syntax { line: l, column: c, .. }) => {
                assert_eq!((l, c), (line, column), "{text}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    assert!(matches!(
        parse(b"\"\xff\"", Strictness::Strict),
        Err(JsonError::Syntax { column: 2, .. })
    ));
    for empty in ["", " \n\t\r"] {
        assert_eq!(parse(empty.as_bytes(), Strictness::Strict), Err(JsonError::Empty));
    }
}

#[test]
fn a_key_may_be_given_once() {
    for (text, path, lenient) in [
        (r#"{"a":1,"a":2}"#, "a", r#"{"a":2}"#),
        (r#"{"a":1,"\u0061":2}"#, "a", r#"{"a":2}"#),
        (r#"{"x":{"b":[0,{"c":1,"a":3,"c":2}]}}"#, "x.b[1].c", r#"{"x":{"b":[0,{"a":3,"c":2}]}}"#),
        (r#"{"a":1,"a":2,"a":3}"#, "a", r#"{"a":3}"#),
    ] {
        let refused = parse(text.as_bytes(), Strictness::Strict);
        assert_eq!(refused, Err(JsonError::DuplicateKey { path: path.to_owned() }), "{text}");
        assert_eq!(canonical(text).unwrap(), lenient);
    }
    let long = format!(r#"{{"{0}":1,"{0}":2}}"#, "é".repeat(500));
    let Err(JsonError::DuplicateKey { path }) = parse(long.as_bytes(), Strictness::Strict) else {
        panic!("taken")
    };
    assert_eq!(path, "é".repeat(50));
}

#[test]
fn nesting_has_a_limit() {
    use crate::limits::JSON_DEPTH_MAX;
    let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
    assert!(parse(nested(JSON_DEPTH_MAX).as_bytes(), Strictness::Strict).is_ok());
    assert!(parse(nested(JSON_DEPTH_MAX + 1).as_bytes(), Strictness::Strict).is_err());
    assert!(parse(nested(30_000).as_bytes(), Strictness::Strict).is_err());
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        // Quarters: serde_json reads longer fractions inexactly.
        any::<i32>().prop_map(|quarters| (f64::from(quarters) / 4.0).into()),
        any::<String>().prop_map(Into::into),
        "[\\x00-\\x7f]{0,20}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn agrees_with_serde_json(value in any_json(), pretty in any::<bool>()) {
        let text = if pretty {
            serde_json::to_string_pretty(&value).unwrap()
        } else {
            value.to_string()
        };
        let canonical = canonical(&text).unwrap();
        let again: serde_json::Value = serde_json::from_str(&canonical).unwrap();
        prop_assert_eq!(&again, &value);
        // What is canonical stays as it is.
        prop_assert_eq!(super::tests::canonical(&canonical).unwrap(), canonical);
    }

    #[test]
    fn floats_come_back_the_same(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        prop_assume!(value.is_finite());
        let canonical = canonical(&format!("{value:e}")).unwrap();
        prop_assert!(canonical.contains(['.', 'e']));
        prop_assert_eq!(canonical.parse::<f64>().unwrap().to_bits(), bits, "{}", canonical);
    }

    #[test]
    fn takes_what_serde_json_takes(text in r#"[\[\]{}",:\\u0-9a-e.+\- tnrl]{0,24}"#) {
        let theirs = serde_json::from_str::<serde_json::Value>(&text).is_ok();
        prop_assert_eq!(parse(text.as_bytes(), Strictness::Lenient).is_ok(), theirs, "{}", text);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = parse(&bytes, Strictness::Strict);
    }
}

#[test]
fn strings_are_read_eight_bytes_at_a_time_and_none_is_missed() {
    for before in 0..20 {
        for control in 0..0x20u8 {
            let mut text = format!("\"{}\u{7f}é", "a".repeat(before)).into_bytes();
            let column = text.len() + 1;
            text.push(control);
            text.extend_from_slice(b"bbbbbbbbbbbbbbbb\"");
            match parse(&text, Strictness::Strict) {
                Err(JsonError::Syntax { column: found, .. }) => assert_eq!(found, column),
                other => panic!("{control} after {before}: {other:?}"),
            }
        }
        for escaped in [r"\n", r#"\""#, r"\\"] {
            let text = format!("\"{}{escaped}{}\"", "a".repeat(before), "é".repeat(9));
            assert_eq!(canonical(&text).unwrap(), text);
        }
    }
}
