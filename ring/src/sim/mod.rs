//! The seeded cluster simulator and the judge of histories.
//!
//! A whole cluster in one thread, every choice from one seed: the network between the members,
//! what their applications publish, when directives, reports and storage writes cross, and every
//! fault. The members run the very cycles that the engine's threads run.

pub mod check;
pub mod explore;

mod applications;
mod buffer;
mod demands;
mod fault;
mod god;
mod log;
mod look;
mod network;
mod node;
mod obliged;
mod plan;
mod rng;
mod run;
mod schedule;
mod shares;
mod shrink;
mod soak;
mod stats;
mod strike;
mod traffic;
mod units;
mod used;
mod views;
mod votes;
mod workload;
mod world;

#[cfg(test)]
mod application_tests;
#[cfg(test)]
mod calm_tests;
#[cfg(test)]
mod scenario_tests;

pub use applications::{Application, Lived, Ran, run_applications, run_applications_under};
pub use log::Line;
pub use plan::Profile;
pub use run::{Failure, Outcome, Scenario, play, play_aloud, run};
pub use schedule::Schedule;
pub use shrink::shrink;
pub use soak::{Soak, Soaked, soak};
pub use stats::Stats;
pub use used::{Used, User};
