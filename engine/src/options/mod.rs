//! The options of every command that runs a member (feature `cli`).
//!
//! [`MemberOptions`] is flattened into a command's own options, and [`parse`] reads them from the
//! configuration file, the environment and the command line, one name for all three:
//! `--token-timeout 100ms`, `ROUNDEL_TOKEN_TIMEOUT=100ms`, `token-timeout = "100ms"`.

mod known;
mod layers;
mod member;
mod values;

pub use known::KNOWN_NAMES;
pub use layers::{Variables, parse, try_parse};
pub use member::{MemberOptions, OptionsError};
pub use values::{duration, service, size};

use roundel_transport::OpenError;

use crate::builder::JoinError;
use crate::state_dir::StateError;

impl JoinError {
    /// Whether the options or the configuration ask for something that cannot be: exit code 2
    /// for a command.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        match self {
            Self::Interface(_)
            | Self::Params(_)
            | Self::Primary(_)
            | Self::NoPolicy
            | Self::Trace { .. }
            | Self::Mtu { .. }
            | Self::NoStateDir
            | Self::Placement(_)
            | Self::State(StateError::Io { .. })
            | Self::Open(
                OpenError::Port { .. }
                | OpenError::NotMulticast { .. }
                | OpenError::RawForbidden
                | OpenError::RawUnicast
                | OpenError::BusyPoll(_),
            ) => true,
            Self::State(_) | Self::Open(_) | Self::Thread(_) => false,
        }
    }
}
