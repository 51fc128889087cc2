//! The seeded cluster simulator and the judge of histories.

pub mod check;
