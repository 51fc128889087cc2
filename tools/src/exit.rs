//! Exit codes: the same for every command.

use std::process::ExitCode;

/// How a command ended, as scripts see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// It did what it was asked.
    Ok = 0,
    /// It did not.
    Failed = 1,
    /// Options, configuration or input cannot be used.
    Usage = 2,
    /// A check found a violation.
    Violation = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
