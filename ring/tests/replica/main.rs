//! Replicas of state machines on histories of extended virtual synchrony.
//!
//! `REPLICA_SEED` and `REPLICA_SEEDS` choose the seeds of the runs in `chaos`.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "all of it is test code, also what stands outside of test functions"
)]

mod book;
mod chaos;
mod cluster;
mod directed;
mod evs;
