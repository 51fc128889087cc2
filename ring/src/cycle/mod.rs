//! One bounded round of work of each half of a member.
//!
//! The order of work in a cycle is protocol too, so it is pure and lives here. A thread is a loop
//! around `cycle`; the simulator calls the same `cycle` with its own ports.

mod control;
mod data;
mod store;

pub use control::{ControlHalf, ControlPort};
pub use data::{Command, DataHalf, DataPort};
