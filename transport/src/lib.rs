//! Sockets and buffers of Roundel: bytes and addresses, no protocol.
//!
//! [`open`] makes the sockets of a member and gives two links: a [`DataLink`] for the thread that
//! orders messages and a [`ControlLink`] for the one that decides membership. A [`Network`] gives
//! the same links in memory. `TRANSPORT.md` tells what owns what.
#![deny(unsafe_code)]

mod control;
mod counters;
mod frame;
mod impair;
mod inbox;
mod interface;
#[cfg(feature = "lan")]
pub mod lan;
mod link;
mod memory;
mod neighbours;
mod notice;
mod open;
mod outbox;
mod pool;
mod raw;
mod settings;
mod sockets;
#[allow(
    unsafe_code,
    reason = "the one place of the project where the operating system is called directly"
)]
#[allow(
    clippy::cast_possible_truncation,
    reason = "sizes of the kernel's structures and of bounded batches fit the kernel's integers"
)]
mod sys;
mod waker;

pub use control::ControlLink;
pub use counters::{ControlCounters, Counters};
pub use frame::{Destination, Frame};
pub use impair::{Faults, FaultsHit, Impairment};
pub use interface::{Interface, InterfaceError, Wanted};
pub use link::{DataLink, KernelDrops, WATCHED_MAX};
pub use memory::Network;
pub use neighbours::Neighbours;
pub use notice::{Notice, UringError};
pub use open::{OpenError, Opened, open};
pub use raw::{NotFree, RawProtocol};
pub use settings::{Io, IoInUse, MemoryBounds, Mode, Settings, SocketKind};
pub use sys::thread::{set_realtime, set_slice};
pub use waker::Waker;
