//! Why the kernel refuses io_uring: from an error number to cause and fix.

use std::fs;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

use crate::notice::UringError;
use crate::sys::uring::ring::Refused;

/// Bits of a process's capabilities.
const CAP_IPC_LOCK: u32 = 14;
const CAP_SYS_ADMIN: u32 = 21;

/// What of this process and system decides between causes of one error number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Circumstances {
    /// `kernel.io_uring_disabled`, 0 where there is none.
    disabled: u8,
    locked_bytes_max: Option<u64>,
    capabilities: u64,
}

impl Circumstances {
    fn here() -> Self {
        let setting = fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
        let disabled = setting.ok().and_then(|text| text.trim().parse().ok());
        let limit = getrlimit(Resource::RLIMIT_MEMLOCK).map(|(soft, _)| soft);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let capabilities = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))
            .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
        Self {
            disabled: disabled.unwrap_or(0),
            locked_bytes_max: limit.ok().filter(|limit| *limit != RLIM_INFINITY),
            capabilities: capabilities.unwrap_or(0),
        }
    }

    fn may(&self, capability: u32) -> bool {
        self.capabilities >> capability & 1 == 1
    }
}

/// The cause of a refusal, here and now.
pub(super) fn why(refused: Refused) -> UringError {
    why_in(refused, Circumstances::here())
}

fn why_in(refused: Refused, here: Circumstances) -> UringError {
    let Refused { step, errno } = refused;
    match errno {
        libc::ENOSYS => UringError::Missing,
        libc::EPERM | libc::EACCES => match here.disabled {
            0 => UringError::Forbidden,
            // The setting does not bind an administrator, so something else does.
            1 if here.may(CAP_SYS_ADMIN) => UringError::Forbidden,
            setting => UringError::Disabled { setting },
        },
        libc::ENOMEM => UringError::Memory {
            // The limit does not bind a process that may lock as much as it likes.
            locked_bytes_max: here.locked_bytes_max.filter(|_| !here.may(CAP_IPC_LOCK)),
        },
        libc::EMFILE | libc::ENFILE => UringError::Files,
        _ => UringError::Lacks { step, errno },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Circumstances =
        Circumstances { disabled: 0, locked_bytes_max: Some(65_536), capabilities: 0 };

    fn cause(errno: i32, here: Circumstances) -> UringError {
        let step = "a step";
        why_in(Refused { step, errno }, here)
    }

    #[test]
    fn the_circumstances_tell_causes_of_one_error_apart() {
        let disabled =
            |setting, capabilities| Circumstances { disabled: setting, capabilities, ..HERE };
        let administrator = 1 << CAP_SYS_ADMIN;
        assert_eq!(cause(libc::EPERM, HERE), UringError::Forbidden);
        let one = UringError::Disabled { setting: 1 };
        assert_eq!(cause(libc::EPERM, disabled(1, 0)), one);
        assert_eq!(cause(libc::EPERM, disabled(1, administrator)), UringError::Forbidden);
        let two = UringError::Disabled { setting: 2 };
        assert_eq!(cause(libc::EPERM, disabled(2, administrator)), two);

        let limited = UringError::Memory { locked_bytes_max: Some(65_536) };
        assert_eq!(cause(libc::ENOMEM, HERE), limited);
        let unlimited = UringError::Memory { locked_bytes_max: None };
        assert_eq!(cause(libc::ENOMEM, disabled(0, 1 << CAP_IPC_LOCK)), unlimited);
    }

    #[test]
    fn each_cause_is_one_line_with_consequence_and_fix() {
        for errno in [libc::ENOSYS, libc::EPERM, libc::ENOMEM, libc::EMFILE, libc::EINVAL] {
            let error = cause(errno, HERE);
            let line = crate::notice::Notice::NoUring(error.clone()).to_string();
            assert!(line.starts_with("io_uring is not used: "), "{line}");
            assert!(line.contains("recvmmsg do its work; fix: "), "{line}");
            assert!(!line.contains('\n'), "{line}");
            assert!(error.to_string().contains("; fix: "), "{error}");
        }
    }

    #[test]
    fn the_circumstances_here_can_be_read() {
        let here = Circumstances::here();
        assert!(here.disabled <= 2, "{here:?}");
    }
}
