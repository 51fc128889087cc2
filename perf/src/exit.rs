//! Exit codes: the same for every command.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use roundel::lan::LanError;
use signal_hook::consts::{SIGINT, SIGTERM};

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
    /// A check found a violation.
    Violation = 6,
    /// Stopped from outside.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Says why a command ends.
pub(crate) fn fail(exit: Exit, cause: &str) -> Exit {
    eprintln!("roundel-perf: {cause}");
    exit
}

/// What becomes true when the command is told to stop.
///
/// # Errors
/// That signals cannot be handled.
pub(crate) fn interrupted() -> Result<Arc<AtomicBool>, Stop> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))
            .map_err(|error| Stop::Failed(format!("signal {signal} cannot be handled: {error}")))?;
    }
    Ok(interrupted)
}

/// Why the run of one member counts for nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// The members were never together.
    NotTogether(String),
    /// They were started with different options.
    Disagree(String),
    /// Stopped from outside.
    Interrupted,
    /// Anything else.
    Invalid(String),
}

impl End {
    /// How the command ends, and why.
    pub(crate) fn exit(&self) -> (Exit, String) {
        match self {
            Self::NotTogether(reason) => (Exit::Timeout, reason.clone()),
            Self::Disagree(reason) => (Exit::Usage, reason.clone()),
            Self::Interrupted => (Exit::Interrupted, "interrupted".to_owned()),
            Self::Invalid(reason) => (Exit::Failed, reason.clone()),
        }
    }
}

/// Why a measurement on several hosts does not go on.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// Told from outside.
    Interrupted,
    /// Members did not come together in time, as a sentence.
    Timeout(String),
    /// Something does not work, as a sentence.
    Failed(String),
}

impl Stop {
    /// How the command ends, and why.
    pub(crate) fn exit(self) -> (Exit, String) {
        match self {
            Self::Interrupted => (Exit::Interrupted, "interrupted".to_owned()),
            Self::Timeout(reason) => (Exit::Timeout, reason),
            Self::Failed(reason) => (Exit::Failed, reason),
        }
    }

    /// Says why the command ends.
    pub(crate) fn fail(self) -> Exit {
        let (exit, cause) = self.exit();
        fail(exit, &cause)
    }

    /// The cause behind what does not work: what tells this process to stop often ends the
    /// processes that it waits for as well.
    pub(crate) fn or_interrupted(self, interrupted: &AtomicBool) -> Self {
        if interrupted.load(Ordering::Relaxed) { Self::Interrupted } else { self }
    }
}

impl From<LanError> for Stop {
    fn from(error: LanError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_after_an_interrupt_is_an_interrupt() {
        let failed = || Stop::Failed("a member gave no result".to_owned());
        assert_eq!(failed().or_interrupted(&AtomicBool::new(false)), failed());
        let stop = failed().or_interrupted(&AtomicBool::new(true));
        assert_eq!(stop.exit(), (Exit::Interrupted, "interrupted".to_owned()));
        assert_eq!(Stop::Timeout(String::new()).exit().0, Exit::Timeout);
    }
}
