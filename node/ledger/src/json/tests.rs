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
