//! How the `cairn` command ends: one list of exit codes, which scripts may rely on.

use std::fmt;

/// Exit codes. A number, once given, keeps its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// It worked.
    Ok = 0,
    /// It did not, and the sentence on stderr says why.
    Failed = 1,
    /// The command line makes no sense (clap's own code).
    Usage = 2,
    /// The configuration cannot be read, or a field is not what it must be.
    Config = 10,
    /// The genesis file cannot be read, is not sound, or does not name this validator.
    Genesis = 11,
    /// The data directory belongs to another chain or validator, or another process uses it.
    DataDirectory = 12,
    /// A port is in use.
    PortBusy = 13,
    /// The disk is full.
    DiskFull = 14,
    /// A stored record is corrupt.
    Corrupt = 15,
    /// The data was written by a later version.
    FormatTooNew = 16,
    /// A write or an fsync failed: what is on disk is unknown until the next start.
    StorageFailed = 17,
    /// A key file is missing, unreadable, or not the key that the genesis record names.
    Key = 18,
    /// The signing state is used by another process.
    SignStateLocked = 19,
    /// Two decided blocks at one height, or another broken promise: an operator must look.
    SafetyViolated = 20,
    /// Ctrl-C or SIGTERM, where there was something to put away first. What shells say of a
    /// process that SIGINT ended, too.
    Interrupted = 130,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// Why a command did not do what it was asked: one sentence, and the code it ends with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How the process ends.
    pub code: ExitCode,
    /// What went wrong and what would have been fine.
    pub message: String,
}

impl Failure {
    /// With a code of its own.
    pub fn new(code: ExitCode, message: impl fmt::Display) -> Self {
        Self { code, message: message.to_string() }
    }

    /// With [`ExitCode::Failed`].
    pub fn general(message: impl fmt::Display) -> Self {
        Self::new(ExitCode::Failed, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
