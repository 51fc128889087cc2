//! Exit codes: the same for every command.

use std::process::ExitCode;

use roundel::JoinError;

/// How a command ended, as scripts see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// It did what it was asked.
    Ok = 0,
    /// It did not.
    Failed = 1,
    /// Options, configuration or input cannot be used.
    Usage = 2,
    /// It works, but not as it should.
    Degraded = 4,
    /// A check found a violation.
    Violation = 6,
    /// A signal ended it early.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<&JoinError> for Exit {
    fn from(error: &JoinError) -> Self {
        if error.is_configuration() { Self::Usage } else { Self::Failed }
    }
}

/// Says why a command ends so.
pub(crate) fn fail(exit: Exit, reason: &str) -> Exit {
    eprintln!("roundel: {reason}");
    exit
}
