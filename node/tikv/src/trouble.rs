//! What can go wrong with a call, in the three kinds that a caller can act upon, and the map
//! from everything that `tikv-client` says to one of them.

use tikv_client::{Error, ProtoKeyError, ProtoRegionError};

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

impl Trouble {
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Unreachable(_) => "unreachable",
            Self::Bug(_) => "bug",
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Failure::from(error).trouble()
    }
}

/// What to do about an attempt that failed. Of several at once the last one here decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Next {
    /// Another writer was there: soon again.
    Soon,
    /// One-phase commit was not possible, and nothing is written: again in two phases.
    TwoPhases,
    /// The answer was larger than a message may be: ask for less.
    Smaller,
    /// TiKV has no time or no leader: again after a while.
    Later,
    /// The connection may have lost its way: again with a new one.
    Reconnect,
    /// Never again: what came makes no sense.
    Bug,
    /// Never again: it cannot be done as it was asked.
    Never,
}

/// An attempt that failed, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) next: Next,
    pub(crate) words: String,
    /// When a writer began whose locks are there and whose first key is not locked.
    pub(crate) orphan: Option<u64>,
}

impl Failure {
    pub(crate) fn new(next: Next, words: impl Into<String>) -> Self {
        Self { next, words: words.into(), orphan: None }
    }

    pub(crate) fn trouble(self) -> Trouble {
        match self.next {
            Next::Never => Trouble::Refused(self.words),
            Next::Bug => Trouble::Bug(self.words),
            Next::Soon | Next::TwoPhases | Next::Smaller | Next::Later | Next::Reconnect => {
                Trouble::Unreachable(self.words)
            }
        }
    }

    /// Whether trying again can help.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self.next, Next::Never | Next::Bug)
    }

    /// Whether it says that TiKV is not there, rather than that others were faster.
    pub(crate) fn is_weather(&self) -> bool {
        matches!(self.next, Next::Later | Next::Reconnect)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let next = next(&error);
        let orphan = orphan(&error);
        // Some errors print whole requests: enough to see what it was.
        let mut words = error.to_string();
        if let Some((end, _)) = words.char_indices().nth(300) {
            words.truncate(end);
            words.push('…');
        }
        Self { next, words, orphan }
    }
}

/// No arm for whatever else there may be: a new version of `tikv-client` has to be read first.
fn next(error: &Error) -> Next {
    match error {
        Error::Unimplemented
        | Error::DuplicateKeyInsertion
        | Error::InvalidTransactionType
        | Error::OperationAfterCommitError
        | Error::NoPrimaryKey
        | Error::UnsupportedMode
        | Error::ColumnFamilyError(_)
        | Error::MaxScanLimitExceeded { .. }
        | Error::InvalidSemver(_) => Next::Bug,
        // No keyspaces of TiKV's are used here: only settings can ask for one.
        Error::KeyspaceNotFound(_) => Next::Never,
        Error::OnePcFailure => Next::TwoPhases,
        // Its writer is alive, or was until a moment ago. Its time to live is 3 s.
        Error::ResolveLockError(_) | Error::TxnNotFound(_) => Next::Soon,
        Error::NoCurrentRegions | Error::RegionNotFoundInResponse { .. } => Next::Later,
        // What lost its way comes from a cache that only a new client empties.
        Error::EntryNotFoundInRegionCache
        | Error::RegionForKeyNotFound { .. }
        | Error::RegionForRangeNotFound { .. }
        | Error::LeaderNotFound { .. }
        | Error::Io(_)
        | Error::Channel(_)
        | Error::Canceled(_)
        | Error::Grpc(_)
        | Error::Url(_)
        | Error::JoinError(_)
        | Error::KvError { .. }
        | Error::InternalError { .. }
        | Error::StringError(_) => Next::Reconnect,
        Error::GrpcAPI(status) => match i32::from(status.code()) {
            GRPC_RESOURCE_EXHAUSTED | GRPC_OUT_OF_RANGE => Next::Smaller,
            _ => Next::Reconnect,
        },
        Error::RegionError(error) => of_region(error),
        Error::KeyError(error) => of_key(error),
        Error::UndeterminedError(inner) | Error::PessimisticLockError { inner, .. } => next(inner),
        Error::ExtractedErrors(errors) | Error::MultipleKeyErrors(errors) => {
            errors.iter().map(next).max().unwrap_or(Next::Later)
        }
    }
}

fn orphan(error: &Error) -> Option<u64> {
    match error {
        Error::TxnNotFound(writer) => Some(writer.start_ts),
        Error::KeyError(error) => error.txn_not_found.as_ref().map(|writer| writer.start_ts),
        Error::UndeterminedError(inner) | Error::PessimisticLockError { inner, .. } => {
            orphan(inner)
        }
        Error::ExtractedErrors(errors) | Error::MultipleKeyErrors(errors) => {
            errors.iter().find_map(orphan)
        }
        // Nothing else can name one.
        _ => None,
    }
}

/// The sender's limit and the receiver's, by the numbers that gRPC gave them.
const GRPC_RESOURCE_EXHAUSTED: i32 = 8;
const GRPC_OUT_OF_RANGE: i32 = 11;

fn of_region(error: &ProtoRegionError) -> Next {
    if error.raft_entry_too_large.is_some() {
        Next::Never
    } else if error.mismatch_peer_id.is_some() || error.store_not_match.is_some() {
        Next::Reconnect
    } else {
        // No leader, busy, full, moving: it passes, or an operator sees to it.
        Next::Later
    }
}

fn of_key(error: &ProtoKeyError) -> Next {
    let others_were_faster = error.conflict.is_some()
        || error.already_exist.is_some()
        || error.locked.is_some()
        || error.deadlock.is_some()
        || error.txn_not_found.is_some()
        || error.commit_ts_expired.is_some()
        || error.commit_ts_too_large.is_some()
        || error.primary_mismatch.is_some()
        || !error.retryable.is_empty();
    if others_were_faster {
        Next::Soon
    } else if error.assertion_failed.is_some() {
        // Nothing here asserts.
        Next::Bug
    } else {
        Next::Later
    }
}

/// Whether a commit failed in its first phase for certain: no commit of it is on its way, and the
/// locks it has may be given back at once.
pub(crate) fn is_lost_before_commit(error: &Error) -> bool {
    let definite = |error: &Error| match error {
        Error::KeyError(error) => error.conflict.is_some() || error.already_exist.is_some(),
        _ => false,
    };
    match error {
        Error::OnePcFailure => true,
        // Only the first phase's errors come as these; those of the commit come extracted.
        Error::MultipleKeyErrors(errors) => errors.iter().any(definite),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, ErrorKind};

    use super::*;

    fn of_region(fill: impl FnOnce(&mut ProtoRegionError)) -> Error {
        let mut error = ProtoRegionError::default();
        fill(&mut error);
        Error::RegionError(Box::new(error))
    }

    fn of_key(fill: impl FnOnce(&mut ProtoKeyError)) -> Error {
        let mut error = ProtoKeyError::default();
        fill(&mut error);
        Error::KeyError(Box::new(error))
    }

    #[test]
    fn every_error_has_one_thing_to_do_about_it() {
        let conflict = || of_key(|error| error.conflict = Some(Default::default()));
        let too_large = || of_region(|error| error.raft_entry_too_large = Some(Default::default()));
        let busy = || of_region(|error| error.server_is_busy = Some(Default::default()));
        let undetermined = |inner| Error::UndeterminedError(Box::new(inner));
        let internal = || Error::InternalError { message: "PD cluster failed to respond".into() };
        #[rustfmt::skip]
        let table = [
            (conflict(),                                                   Next::Soon,      "another writer"),
            (of_key(|error| error.already_exist = Some(Default::default())), Next::Soon,    "an insert reads who it was"),
            (of_key(|error| error.locked = Some(Default::default())),      Next::Soon,      "the lock has a time to live"),
            (of_key(|error| error.deadlock = Some(Default::default())),    Next::Soon,      "one of two goes again"),
            (of_key(|error| error.txn_not_found = Some(Default::default())), Next::Soon,    "somebody resolved its locks"),
            (of_key(|error| error.commit_ts_expired = Some(Default::default())), Next::Soon, "a reader pushed it"),
            (of_key(|error| error.retryable = "again".into()),             Next::Soon,      "TiKV says so itself"),
            (of_key(|error| error.abort = "schema".into()),                Next::Later,     "whatever else TiKV had"),
            (of_key(|error| error.assertion_failed = Some(Default::default())), Next::Bug,  "nothing asserts"),
            (Error::ResolveLockError(vec![]),                              Next::Soon,      "its writer may live"),
            (Error::OnePcFailure,                                          Next::TwoPhases, "nothing is written"),
            (too_large(),                                                  Next::Never,     "an entry has a limit"),
            (busy(),                                                       Next::Later,     "flow control"),
            (of_region(|error| error.disk_full = Some(Default::default())), Next::Later,    "an operator sees to it"),
            (of_region(|error| error.not_leader = Some(Default::default())), Next::Later,   "an election"),
            (of_region(|error| error.store_not_match = Some(Default::default())), Next::Reconnect, "a store moved"),
            (internal(),                                                   Next::Reconnect, "PD is away"),
            (Error::StringError("Concurrent PD requests failed".into()),   Next::Reconnect, "the cache is stuck"),
            (Error::EntryNotFoundInRegionCache,                            Next::Reconnect, "the cache is wrong"),
            (Error::GrpcAPI(io::Error::from(ErrorKind::ConnectionReset).into()), Next::Reconnect, "a store died"),
            (Error::GrpcAPI(io::Error::from(ErrorKind::UnexpectedEof).into()), Next::Smaller, "larger than a message"),
            (Error::OperationAfterCommitError,                             Next::Bug,       "our mistake"),
            (Error::KeyspaceNotFound("x".into()),                          Next::Never,     "settings"),
            (undetermined(internal()),                                     Next::Reconnect, "as what is in it"),
            (Error::PessimisticLockError { inner: Box::new(conflict()), success_keys: vec![] }, Next::Soon, "as what is in it"),
            (Error::ExtractedErrors(vec![conflict(), too_large()]),        Next::Never,     "the worst one decides"),
            (Error::MultipleKeyErrors(vec![busy(), conflict()]),           Next::Later,     "the worst one decides"),
            (Error::MultipleKeyErrors(vec![]),                             Next::Later,     "it said nothing"),
        ];
        for (error, expected, why) in table {
            let words = error.to_string();
            assert_eq!(Failure::from(error).next, expected, "{why}: {words}");
        }
    }

    #[test]
    fn only_what_cannot_be_in_is_rolled_back() {
        let conflict = || of_key(|error| error.conflict = Some(Default::default()));
        let lost = || of_key(|error| error.txn_not_found = Some(Default::default()));
        #[rustfmt::skip]
        let table = [
            (Error::MultipleKeyErrors(vec![conflict()]), true,  "the first phase failed"),
            (Error::OnePcFailure,                        true,  "it only locked"),
            (Error::MultipleKeyErrors(vec![lost()]),     false, "may come from resolving another's lock"),
            (Error::ExtractedErrors(vec![conflict()]),   false, "from the second phase"),
            (conflict(),                                 false, "from the second phase"),
            (Error::StringError("lost".into()),          false, "nobody knows"),
        ];
        for (error, expected, why) in table {
            assert_eq!(is_lost_before_commit(&error), expected, "{why}");
        }
    }

    #[test]
    fn a_writer_that_tikv_does_not_know_is_named() {
        let unknown =
            || of_key(|error| error.txn_not_found.insert(Default::default()).start_ts = 7);
        let busy = || of_region(|error| error.server_is_busy = Some(Default::default()));
        #[rustfmt::skip]
        let table = [
            (unknown(),                                                     Some(7)),
            (Error::MultipleKeyErrors(vec![busy(), unknown()]),             Some(7)),
            (Error::UndeterminedError(Box::new(Error::ExtractedErrors(vec![unknown()]))), Some(7)),
            (busy(),                                                        None),
        ];
        for (error, expected) in table {
            assert_eq!(Failure::from(error).orphan, expected);
        }
    }

    #[test]
    fn words_stay_short() {
        let failure = Failure::from(Error::StringError("ö".repeat(10_000)));
        assert!(failure.words.chars().count() <= 301);
    }
}
