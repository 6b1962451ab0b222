use super::*;

fn vectors() -> serde_json::Value {
    serde_json::from_str(include_str!("../../tests/vectors/bigchaindb-vectors.json")).unwrap()
}

fn published() -> Vec<serde_json::Value> {
    let vectors = vectors();
    ["v2_0_official", "v2_0_derived"]
        .iter()
        .flat_map(|group| vectors[group]["txs"].as_array().unwrap().clone())
        .collect()
}

fn parse_text(text: &str) -> Result<Parsed, Refusal> {
    parse(text.as_bytes().into(), Strictness::Strict)
}

#[test]
fn published_transactions_are_admitted() {
    let parsed: Vec<Parsed> =
        published().iter().map(|value| parse_text(&value.to_string()).unwrap()).collect();
    assert_eq!(parsed.len(), 5);
    for admitted in admit(parsed) {
        admitted.unwrap();
    }
}
