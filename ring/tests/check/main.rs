//! The judge of histories: legal histories pass, and for every clause there is a damaged one that
//! it rejects.
#![cfg(feature = "sim")]
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a history that cannot be written is a mistake of its test"
)]

mod end;
mod filter;
mod installing;
mod legal;
mod messages;
mod orders;
mod script;
mod soup;
mod trace_files;
mod truncated;
