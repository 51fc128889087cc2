//! How a member starts, and how long it waits for the others.

use std::time::Duration;

use roundel::options::MemberOptions;
use roundel::{Builder, JoinError};

use crate::exit::{Exit, fail};

/// Longest wait for all members.
pub(crate) const GATHER_MAX: Duration = Duration::from_secs(20);

/// Opens what a member of these options is made of.
///
/// # Errors
/// How the command ends, which was said.
pub(crate) fn open<T>(
    options: &MemberOptions,
    open: impl FnOnce(Builder) -> Result<T, JoinError>,
) -> Result<T, Exit> {
    let builder = options.builder().map_err(|error| fail(Exit::Usage, &error.to_string()))?;
    open(builder).map_err(|error| {
        let exit = if error.is_configuration() { Exit::Usage } else { Exit::Failed };
        fail(exit, &error.to_string())
    })
}
