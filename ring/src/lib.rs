//! The ring of Roundel: every protocol, sans-I/O.
#![forbid(unsafe_code)]

pub mod configuration;
pub mod id;
pub mod seq;
pub mod service;
pub mod time;
pub mod trace;

#[cfg(feature = "sim")]
pub mod sim;
