//! What can go wrong with a call, in the three kinds that a caller can act upon, and the map
//! from everything that `tikv-client` says to one of them.

use tikv_client::Error;

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// It will never succeed as it was asked: too large, or nothing that may be asked.
    #[error("TiKV refuses it: {0}")]
    Refused(String),
    /// TiKV or PD did not answer, or could not do it now. Whether a write is in is not known;
    /// every write of this crate may be called again as it was.
    #[error("TiKV does not answer: {0}")]
    Unreachable(String),
    /// What TiKV or its client said makes no sense: a bug, here or there.
    #[error("TiKV said what it should never say: {0}")]
    Bug(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match &error {
            Error::Unimplemented
            | Error::InvalidTransactionType
            | Error::OperationAfterCommitError
            | Error::NoPrimaryKey
            | Error::UnsupportedMode => Self::Bug(error.to_string()),
            _ => Self::Unreachable(error.to_string()),
        }
    }
}
