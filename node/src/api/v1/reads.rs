//! Outputs, blocks, validators.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, Uri},
    response::Response,
};
use cairn_ledger::ids::Height;
use serde_json::{Value, json};

use super::{
    super::{Api, Segment, Shared, at, error::Failure, json_text},
    parameters::{Parameters, exact_id},
    say,
    transactions::array,
};
use crate::query::{At, Spent};

/// `GET /api/v1/outputs?public_key&spent`.
pub(super) async fn outputs(State(api): Shared, uri: Uri) -> Response {
    say(outputs_of(&api, &uri).await)
}

async fn outputs_of(api: &Arc<Api>, uri: &Uri) -> Result<Response, Failure> {
    let parameters = Parameters::of(uri);
    let owner = Parameters::required("public_key", parameters.key("public_key")?)?;
    let spent = match parameters.boolean("spent")? {
        None => Spent::Either,
        Some(true) => Spent::Yes,
        Some(false) => Spent::No,
    };
    parameters.only(&["public_key", "spent"])?;
    let answer = match owner {
        Some(owner) => api.read(move |query| query.outputs_of(&owner, spent)).await?,
        None => At { height: api.query.height(), found: Vec::new() },
    };
    let rows = answer
        .found
        .iter()
        .map(|output| json!({"transaction_id": output.transaction, "output_index": output.index}));
    Ok(at(answer.height, Json(rows.collect::<Value>())))
}

/// `GET /api/v1/blocks/{height}`.
pub(super) async fn block(State(api): Shared, Segment(height): Segment) -> Response {
    say(block_at(&api, &height).await)
}

async fn block_at(api: &Arc<Api>, height: &str) -> Result<Response, Failure> {
    // Digits and nothing else, or upstream's router would not have found the route.
    let digits = height.bytes().all(|byte| byte.is_ascii_digit());
    let height = height.parse().ok().filter(|_| digits).map(Height).ok_or(Failure::NotFound)?;
    let answer = api.read(move |query| query.block(height)).await?;
    // Upstream stores no block without transactions, and answers so for each height up to the
    // last: also for that of the genesis, which is no block here.
    let transactions = match answer.found {
        None if height == Height(0) => Vec::new(),
        found => found.ok_or(Failure::NotFound)?,
    };
    let mut text = format!("{{\"height\":{height},\"transactions\":").into_bytes();
    text.extend_from_slice(&array(&transactions));
    text.push(b'}');
    Ok(at(answer.height, json_text(StatusCode::OK, text)))
}

/// `GET /api/v1/blocks?transaction_id`.
pub(super) async fn blocks(State(api): Shared, uri: Uri) -> Response {
    say(blocks_with(&api, &uri).await)
}

async fn blocks_with(api: &Arc<Api>, uri: &Uri) -> Result<Response, Failure> {
    let parameters = Parameters::of(uri);
    let id = Parameters::required("transaction_id", parameters.text("transaction_id")?)?;
    parameters.only(&["transaction_id"])?;
    // Upstream looks for whatever text it is given; what is no hash is nowhere.
    let answer = match exact_id(&id) {
        Some(id) => api.read(move |query| query.block_of(&id)).await?,
        None => At { height: api.query.height(), found: None },
    };
    Ok(at(answer.height, Json(Vec::from_iter(answer.found))))
}

/// `GET /api/v1/validators`.
pub(super) async fn validators(State(api): Shared) -> Json<Value> {
    let validators = api.query.genesis().validators().iter().map(|validator| {
        json!({
            "public_key": {"type": "ed25519-base64", "value": base64(&validator.consensus_key.0)},
            "voting_power": validator.power,
        })
    });
    Json(validators.collect())
}

/// Standard alphabet, padded (RFC 4648 §4).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0, |word, at| word << 8 | u32::from(*chunk.get(at).unwrap_or(&0)));
        for at in 0..4 {
            let digit = ALPHABET[(word >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let table =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (bytes, text) in table {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }
}
