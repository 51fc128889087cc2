//! Roundel: programs on several hosts multicast messages to each other, and all of them see the
//! same messages and the same membership changes in the same order, through crashes, partitions
//! and merges, with no broker and no leader.
//!
//! ```no_run
//! use std::time::Duration;
//! use roundel::{Event, Node, Service};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut node = Node::builder("example").join()?;
//! node.publish(Service::Agreed, "hello")?;
//! loop {
//!     match node.recv()? {
//!         Event::Message(message) => {
//!             println!("{}: {:?}", message.id.sender, message.payload);
//!             break;
//!         }
//!         Event::Configuration(configuration) => println!("{:?}", configuration.members),
//!         Event::Primary { ring } => println!("{ring} is the primary component"),
//!     }
//! }
//! let report = node.leave(Duration::from_secs(1));
//! assert_eq!(report.undelivered, 0);
//! # Ok(())
//! # }
//! ```
//!
//! A [`Node`] is one member. Two threads do its work: a data worker that owns the ring's token,
//! window and delivery, and a control thread that forms memberships; see `ENGINE.md`. What the
//! services promise, and what a configuration, a primary component and a view are, in plain words
//! and pictures: [`services`].
#![forbid(unsafe_code)]

mod adaptation;
#[cfg(feature = "bare")]
mod bare;
mod batch;
mod builder;
mod clock;
mod commands;
mod control;
mod disk;
mod doorbell;
mod ending;
mod idle;
mod layered;
mod member;
mod node;
#[cfg(feature = "cli")]
pub mod options;
mod placement;
mod probe;
mod publisher;
mod room;
mod rotation;
#[doc = include_str!("../SERVICES.md")]
pub mod services {}
mod shared;
mod stall;
mod state_dir;
mod sync;
#[cfg(test)]
mod tests;
mod trace_file;
mod views;
mod worker;

#[cfg(feature = "bare")]
pub use bare::{BareLink, PacketShape};
pub use batch::{Batch, BatchError};
pub use builder::{Builder, DriveMode, JoinError};
pub use ending::EndReason;
pub use idle::IdleStrategy;
pub use layered::Layered;
pub use node::{Event, Facts, LeaveReport, Node, TryRecvError};
pub use placement::{Pin, PlacementError, Privileges};
pub use probe::{Probe, Shortcoming, Subject};
pub use publisher::{Publisher, TryPublishError};
pub use rotation::Rotations;
pub use roundel_ring::configuration::{Configuration, ConfigurationKind};
pub use roundel_ring::delivery::{Message, MessageRef};
pub use roundel_ring::id::{Epoch, Incarnation, MessageId, NodeId, RingId};
pub use roundel_ring::layer::{
    LETTER_BYTES_MAX, Layer, Letter, Publication, StreamEvent as EventRef,
};
pub use roundel_ring::params::Params;
pub use roundel_ring::primary::{Policy, PolicyError};
pub use roundel_ring::seq::Ordinal;
pub use roundel_ring::service::{Channel, Class, Service};
pub use roundel_ring::time::Time;
pub use roundel_ring::{groups, replica, vs};
#[cfg(feature = "lan")]
pub use roundel_transport::lan;
pub use roundel_transport::set_slice;
#[cfg(feature = "bare")]
pub use roundel_transport::{Counters, DataLink, Destination, Frame, KernelDrops};
pub use roundel_transport::{Interface, Io, IoInUse, NotFree, RawProtocol, SocketKind, Wanted};
pub use state_dir::StateError;
pub use views::{ViewPublishError, ViewPublisher, Views};
pub use worker::SlowConsumer;
