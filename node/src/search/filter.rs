//! Conditions over fields, as people write them: `asset.kind = "car" and metadata.km < 1000`.

/// A path to a field: `asset` or `metadata`, then keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(Vec<String>);

/// A condition that holds for a row or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter;

/// Why a text is no condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {wanted}")]
pub struct FilterError {
    /// Where, from 1.
    pub at: usize,
    /// What would have been fine there.
    pub wanted: String,
}

impl Path {
    /// Reads `asset.a.b` or `metadata.a`.
    pub fn parse(_text: &str) -> Result<Self, FilterError> {
        Ok(Self(Vec::new()))
    }
}

impl Filter {
    /// Reads a condition.
    pub fn parse(_text: &str) -> Result<Self, FilterError> {
        Ok(Self)
    }
}
