//! The ring of Roundel: every protocol, sans-I/O.
#![forbid(unsafe_code)]

pub mod arena;
pub mod backlog;
pub mod configuration;
pub mod counters;
pub mod cycle;
pub mod delivery;
pub mod epoch;
pub mod flow;
pub mod free;
pub mod groups;
pub mod handoff;
pub mod id;
pub mod layer;
mod level;
pub mod membership;
pub mod ordering;
pub mod pace;
pub mod packet;
pub mod packing;
pub mod params;
pub mod primary;
pub mod receive;
pub mod replica;
pub mod roster;
pub mod seq;
pub mod service;
pub mod slots;
pub mod time;
pub mod trace;
pub mod vs;
pub mod window;
pub mod wire;

#[cfg(feature = "sim")]
pub mod sim;
