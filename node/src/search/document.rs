//! What a committed transaction says, as far as searching goes.

use cairn_ledger::{
    ids::{PublicKey, TransactionId},
    json::{self, Strictness, Value},
};

use super::{Collection, text::Wanted};

/// Where a path begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Root {
    Asset,
    Metadata,
}

impl Root {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Asset => "asset",
            Self::Metadata => "metadata",
        }
    }
}

/// A committed transaction, read as JSON.
#[derive(Debug)]
pub(super) struct Transaction<'a>(Value<'a>);

impl<'a> Transaction<'a> {
    /// Reads what a block says is committed. Nothing when it is no transaction, which no
    /// block of a chain holds; what cannot be read has no words and no fields.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let value = json::parse(bytes, Strictness::Lenient).ok()?;
        let read = Self(value);
        read.id().is_some().then_some(read)
    }

    pub(super) fn id(&self) -> Option<TransactionId> {
        self.0.get("id")?.as_str()?.parse().ok()
    }

    /// The asset's data when this transaction makes one (CREATE, and elections).
    pub(super) fn data(&self) -> Option<&Value<'a>> {
        self.0.get("asset")?.get("data")
    }

    /// Whether it makes an asset.
    pub(super) fn makes(&self) -> bool {
        self.data().is_some()
    }

    /// The asset that it makes or moves.
    pub(super) fn asset(&self) -> Option<TransactionId> {
        match self.0.get("asset")?.get("id") {
            Some(id) => id.as_str()?.parse().ok(),
            None => self.id(),
        }
    }

    pub(super) fn metadata(&self) -> Option<&Value<'a>> {
        self.0.get("metadata")
    }

    /// How well it answers a text search in a collection; nothing when it does not.
    pub(super) fn score(&self, collection: Collection, wanted: &Wanted) -> Option<f64> {
        let value = self.text(collection)?;
        wanted.score(value, self.0.get("id")?.as_str()?)
    }

    /// The document that a text search looks at. `null` is none.
    pub(super) fn text(&self, collection: Collection) -> Option<&Value<'a>> {
        let value = match collection {
            Collection::Assets => self.data(),
            Collection::Metadata => self.metadata(),
        };
        value.filter(|value| !value.is_null())
    }

    /// How many outputs it makes.
    pub(super) fn outputs(&self) -> u32 {
        let outputs = self.0.get("outputs").and_then(Value::as_array).unwrap_or_default();
        u32::try_from(outputs.len()).unwrap_or(u32::MAX)
    }

    /// Whether an output lists that key among its owners.
    pub(super) fn is_owner(&self, output: u32, owner: &PublicKey) -> bool {
        let outputs = self.0.get("outputs").and_then(Value::as_array).unwrap_or_default();
        let output = outputs.get(output as usize);
        let keys = output.and_then(|output| output.get("public_keys")).and_then(Value::as_array);
        let named = |key: &Value<'_>| key.as_str().and_then(|key| key.parse().ok()) == Some(*owner);
        keys.unwrap_or_default().iter().any(named)
    }
}

/// What conditions are asked of: an asset's data, and the metadata of the transaction that
/// made the row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Document<'a> {
    pub(super) asset: Option<&'a Value<'a>>,
    pub(super) metadata: Option<&'a Value<'a>>,
}

impl<'a> Document<'a> {
    pub(super) fn root(&self, root: Root) -> Option<&'a Value<'a>> {
        match root {
            Root::Asset => self.asset,
            Root::Metadata => self.metadata,
        }
    }
}
