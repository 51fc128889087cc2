//! Exit codes: the same for every command.

use std::process::ExitCode;

/// How a command ended, as scripts see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// It did what it was asked.
    Ok = 0,
    /// It did not; a run that is not valid.
    Failed = 1,
    /// Options or configuration cannot be used.
    Usage = 2,
    /// The members did not come together in time.
    Timeout = 5,
    /// Stopped from outside.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
