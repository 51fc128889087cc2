//! Exit codes: the same for every command.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

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
/// That signals cannot be handled, as a sentence.
pub(crate) fn interrupted() -> Result<Arc<AtomicBool>, String> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))
            .map_err(|error| format!("signal {signal} cannot be handled: {error}"))?;
    }
    Ok(interrupted)
}

/// Why a measurement on several hosts does not go on.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Told from outside.
    Interrupted,
    /// Something does not work, as a sentence.
    Failed(String),
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
