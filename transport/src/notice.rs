//! What the operator should know about links that work, though not as wished.

use std::{fmt, io};

/// One line for the operator: cause, consequence, fix.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// io_uring does not work here; mmsg is used.
    NoUring(UringError),
    /// The kernel gave a smaller receive buffer than wanted.
    ReceiveBufferClipped {
        /// Asked for, in bytes.
        wanted_bytes: usize,
        /// Given, in bytes.
        got_bytes: usize,
    },
    /// The kernel does not hand over super-packets.
    NoGro {
        /// The error number of switching it on.
        errno: i32,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoUring(error) => write!(
                f,
                "io_uring is not used: {}; sendmmsg and recvmmsg do its work; fix: {}",
                error.cause(),
                error.fix()
            ),
            Self::ReceiveBufferClipped { wanted_bytes, got_bytes } => write!(
                f,
                "the receive buffer has {got_bytes} bytes instead of {wanted_bytes}: \
                 net.core.rmem_max is smaller and this process lacks CAP_NET_ADMIN; bursts may be \
                 dropped and sent again; fix: sysctl -w net.core.rmem_max={wanted_bytes}"
            ),
            Self::NoGro { errno } => write!(
                f,
                "UDP_GRO is not used: {}; received datagrams cost more CPU; fix: Linux 5.0 or \
                 later",
                io::Error::from_raw_os_error(*errno)
            ),
        }
    }
}

/// Why io_uring does not work here.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UringError {
    /// The kernel has none, or a filter says so.
    Missing,
    /// `kernel.io_uring_disabled` forbids it.
    Disabled {
        /// The setting: 1 forbids it to the unprivileged, 2 to all.
        setting: u8,
    },
    /// A filter (seccomp, a container, a security module) forbids it.
    Forbidden,
    /// There is too little memory for it, or too little that may be locked.
    Memory {
        /// The limit of locked memory in bytes, `None` for no limit.
        locked_bytes_max: Option<u64>,
    },
    /// Too many files are open.
    Files,
    /// The kernel's io_uring is too old for something used here.
    Lacks {
        /// What was tried.
        step: &'static str,
        /// The error number it gave.
        errno: i32,
    },
    /// It did not do what it should.
    Misbehaves {
        /// What was tried.
        step: &'static str,
    },
}

impl UringError {
    fn cause(&self) -> String {
        match self {
            Self::Missing => "this kernel has none, or a filter hides it (ENOSYS)".to_owned(),
            Self::Disabled { setting } => {
                format!("kernel.io_uring_disabled is {setting} (EPERM)")
            }
            Self::Forbidden => {
                "a seccomp filter, container or security module forbids it (EPERM)".to_owned()
            }
            Self::Memory { locked_bytes_max: Some(bytes) } => {
                format!("RLIMIT_MEMLOCK of {bytes} bytes is too small for its queues (ENOMEM)")
            }
            Self::Memory { locked_bytes_max: None } => {
                "there is no memory for its queues (ENOMEM)".to_owned()
            }
            Self::Files => "too many files are open (EMFILE)".to_owned(),
            Self::Lacks { step, errno } => {
                let error = io::Error::from_raw_os_error(*errno);
                format!("the kernel refuses {step}: {error}")
            }
            Self::Misbehaves { step } => format!("{step} does not do what it should"),
        }
    }

    fn fix(&self) -> &'static str {
        match self {
            Self::Missing => "Linux 6.0 or later with CONFIG_IO_URING, outside such a filter",
            Self::Disabled { .. } => "sysctl -w kernel.io_uring_disabled=0",
            Self::Forbidden => "allow io_uring_setup, io_uring_enter and io_uring_register there",
            Self::Memory { .. } => "ulimit -l 8192, or LimitMEMLOCK=8M in the service's unit",
            Self::Files => "ulimit -n 1024 or more",
            Self::Lacks { .. } | Self::Misbehaves { .. } => "Linux 6.0 or later",
        }
    }
}

impl fmt::Display for UringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "io_uring does not work here: {}; fix: {}, or ask for mmsg",
            self.cause(),
            self.fix()
        )
    }
}

impl std::error::Error for UringError {}
