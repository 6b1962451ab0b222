//! The only place that writes to the API server: each step of a plan, in order, until one fails. The same
//! step twice is as good as once, so that dying after any of them loses nothing.

use crate::plan::Step;

/// What became of a plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Applied {
    /// Steps that were carried out.
    pub done: Vec<Step>,
    /// The step that was not, and why. Those after it were not tried.
    pub failed: Option<(Step, ApplyError)>,
}

/// Why a step was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// An object of that name is somebody else's.
    #[error("{0} exists already and belongs to somebody else: rename one of the two, or delete it")]
    NameConflict(String),
    /// The API server says no: the spec has to change.
    #[error("the API server refuses {object}: {message}")]
    Refused {
        /// Kind and name.
        object: String,
        /// The API server's words.
        message: String,
    },
    /// It may work later: no answer, a conflict, too many requests.
    #[error("{object}: {message}; it is tried again")]
    Trouble {
        /// Kind and name.
        object: String,
        /// What happened.
        message: String,
    },
}
