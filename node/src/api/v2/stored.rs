//! What a stored transaction says, read for showing: free-form data stays the text that its
//! client sent, so that no number changes on the way.

use std::sync::Arc;

use cairn_ledger::{
    block::Place,
    ids::{Height, OutputReference, TransactionId},
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::schema;
use crate::query::{Query, StoreError, unreadable};

/// JSON text as it came, or nothing where it is `null`.
pub(super) type Raw = Option<Box<RawValue>>;

/// A committed transaction, as far as it is shown.
#[derive(Debug, Deserialize)]
pub(super) struct Stored {
    pub(super) id: TransactionId,
    pub(super) operation: String,
    asset: Asset,
    #[serde(default)]
    pub(super) metadata: Raw,
    pub(super) inputs: Vec<Input>,
    pub(super) outputs: Vec<Output>,
}

#[derive(Debug, Deserialize)]
struct Asset {
    #[serde(default)]
    id: Option<TransactionId>,
    #[serde(default)]
    data: Raw,
}

/// What it spends, and who signed for that.
#[derive(Debug, Deserialize)]
pub(super) struct Input {
    pub(super) owners_before: Vec<String>,
    pub(super) fulfills: Option<Reference>,
}

/// One output of one transaction.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[schema(as = OutputReference)]
pub(super) struct Reference {
    /// The transaction that made the output.
    #[schema(value_type = schema::Id)]
    pub(super) transaction_id: TransactionId,
    /// Which of its outputs, from 0.
    #[serde(deserialize_with = "index")]
    pub(super) output_index: u32,
}

/// What it makes, and whose that is.
#[derive(Debug, Deserialize)]
pub(super) struct Output {
    pub(super) amount: String,
    pub(super) public_keys: Vec<String>,
    pub(super) condition: Box<RawValue>,
}

/// `-0` is an index that BigchainDB takes, and a float to serde.
fn index<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let text = Box::<RawValue>::deserialize(deserializer)?;
    let digits = text.get().strip_prefix("-0").map_or(text.get(), |_| "0");
    digits.parse().map_err(serde::de::Error::custom)
}

impl Stored {
    /// Reads the bytes that a block holds there.
    pub(super) fn of(bytes: &[u8], place: Place) -> Result<Self, StoreError> {
        serde_json::from_slice(bytes).map_err(|error| unreadable(place, error))
    }

    /// Reads what stands there, unless whoever found it has read it already.
    pub(super) fn at(
        query: &Query,
        place: Place,
        body: Option<&Arc<[u8]>>,
    ) -> Result<(Self, Arc<[u8]>), StoreError> {
        let bytes = body.map_or_else(|| query.body_of(place), |body| Ok(Arc::clone(body)))?;
        Ok((Self::of(&bytes, place)?, bytes))
    }

    /// The asset that it makes or moves.
    pub(super) fn asset(&self) -> TransactionId {
        self.asset.id.unwrap_or(self.id)
    }

    /// What it says about the asset that it makes.
    pub(super) fn data(self) -> Raw {
        self.asset.data
    }

    /// Those that signed for its inputs, each once, in order.
    pub(super) fn signers(&self) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        for key in self.inputs.iter().flat_map(|input| &input.owners_before) {
            if !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        keys
    }

    /// All that its outputs hold together.
    pub(super) fn amount(&self) -> u128 {
        self.outputs.iter().map(Output::amount).sum()
    }

    /// Its outputs by name.
    pub(super) fn references(&self) -> Vec<OutputReference> {
        let indexes = (0..).take(self.outputs.len());
        indexes.map(|index| OutputReference { transaction: self.id, index }).collect()
    }
}

impl Output {
    pub(super) fn amount(&self) -> u128 {
        self.amount.parse().unwrap_or_default()
    }
}

/// Where in the chain, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Moment {
    /// The block's height.
    #[schema(value_type = u64)]
    pub(super) height: Height,
    /// The index in the block, from 0.
    pub(super) index: u32,
    /// The block's time: Unix milliseconds, by its proposer's clock.
    pub(super) time_ms: u64,
}

impl Moment {
    /// When what stands there was decided.
    pub(super) fn of(query: &Query, place: Place) -> Result<Self, StoreError> {
        let time_ms = query.time_of(place.height)?;
        Ok(Self { height: place.height, index: place.index, time_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_form_data_stays_as_it_came() {
        let text = br#"{"asset":{"data":{"n":1.50,"big":123456789012345678901234567890, "s":"\ud800"}},
            "id":"0000000000000000000000000000000000000000000000000000000000000001",
            "inputs":[{"fulfillment":"x","fulfills":{"output_index":-0,"transaction_id":"0000000000000000000000000000000000000000000000000000000000000002"},"owners_before":["a","a"]}],
            "metadata":{"k":1E3},"operation":"CREATE","version":"2.0",
            "outputs":[{"amount":"9000000000000000000","condition":{"uri":"u"},"public_keys":["a"]}]}"#;
        let place = Place { height: Height(3), index: 4 };
        let stored = Stored::of(text, place).unwrap();
        assert_eq!(stored.metadata.as_ref().unwrap().get(), r#"{"k":1E3}"#);
        assert_eq!(stored.inputs[0].fulfills.as_ref().unwrap().output_index, 0);
        assert_eq!((stored.signers().len(), stored.amount()), (1, 9_000_000_000_000_000_000));
        assert_eq!(stored.asset(), stored.id);
        let data = stored.data().unwrap();
        assert_eq!(data.get(), r#"{"n":1.50,"big":123456789012345678901234567890, "s":"\ud800"}"#);
        let damaged = Stored::of(b"{}", place).unwrap_err().to_string();
        assert!(damaged.contains("transaction 4 of block 3"), "{damaged}");
    }
}
