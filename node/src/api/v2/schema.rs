//! Small types that exist for the OpenAPI document alone: what texts of the API look like.
#![expect(dead_code, reason = "described, never made")]

use utoipa::ToSchema;

/// Names a transaction: 64 hexadecimal digits.
#[derive(ToSchema)]
#[schema(
    pattern = "^[0-9a-f]{64}$",
    example = "3b5ddc4a5a3e6bd2b3e3d2d5b5b5d3c1f6a3a7c3cbe8e1c4ad0d4c2f4f6f0a11"
)]
pub(super) struct Id(String);

/// A SHA-256 hash: 64 hexadecimal digits.
#[derive(ToSchema)]
#[schema(pattern = "^[0-9a-f]{64}$")]
pub(super) struct Hash(String);

/// An ed25519 public key: 32 bytes in base58.
#[derive(ToSchema)]
#[schema(
    pattern = "^[1-9A-HJ-NP-Za-km-z]{32,44}$",
    example = "4K9sWUMFwTgaDGPfdynrbxWqWS6sWmKbZoTjxLtVUibD"
)]
pub(super) struct PublicKey(String);

/// How many shares of an asset: digits, because some are larger than a double holds exactly.
#[derive(ToSchema)]
#[schema(pattern = "^[1-9][0-9]{0,18}$", example = "1")]
pub(super) struct Amount(String);

/// Bytes in hexadecimal.
#[derive(ToSchema)]
#[schema(pattern = "^([0-9a-f]{2})*$")]
pub(super) struct Hex(String);

/// Where the next page begins. Give it back as it is, as `cursor`, with the same question.
#[derive(ToSchema)]
#[schema(pattern = "^[A-Za-z0-9_-]+$")]
pub(super) struct Cursor(String);

/// Any JSON object, or null.
#[derive(ToSchema)]
#[schema(value_type = Option<Object>)]
pub(super) struct FreeForm(serde_json::Value);

/// A signed transaction of the BigchainDB 2.0 specification. Clients make it with a driver or
/// with `cairn`: `id` is the hash of all the rest, `inputs` carry the signatures.
#[derive(ToSchema)]
pub(super) struct Transaction {
    id: Id,
    /// `2.0`
    version: String,
    /// `CREATE` makes an asset, `TRANSFER` moves one.
    operation: String,
    /// `{"data": …}` of a CREATE; `{"id": …}`, the asset's, of a TRANSFER.
    #[schema(value_type = Object)]
    asset: serde_json::Value,
    /// Whatever is worth saying about this transaction.
    metadata: FreeForm,
    /// What it spends, with the signatures.
    #[schema(value_type = Vec<Object>)]
    inputs: Vec<serde_json::Value>,
    /// What it makes: amounts, owners, conditions.
    #[schema(value_type = Vec<Object>)]
    outputs: Vec<serde_json::Value>,
}

/// Any JSON object.
#[derive(ToSchema)]
#[schema(value_type = Object)]
pub(super) struct Anything(serde_json::Value);
