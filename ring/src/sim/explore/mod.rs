//! The small-scope explorer: every short list of faults at every step of a small cluster.
//!
//! The seeded simulator draws; this one enumerates. It drives the same two halves of each member,
//! and god and the checker judge as there.
//!
//! - **Time** is canonical (`world`): a frame takes one hop, a hand-over and a write to disk their
//!   fixed times, an application reads at once. What is due at one instant happens in the order in
//!   which it was sent, arrivals before timers. So without faults there is one run.
//! - **A step** is an arrival (frame, directive, report, disk's answer) or a timer.
//! - **A choice** (`choice`) is a fault at a step: drop this frame, kill the member that would take
//!   the step (for good, or it starts again soon), a cut of every shape that stops this frame, or the
//!   heal that lets it pass; also a frame that comes late or twice. A fault is tried only where it
//!   differs from the same fault one step later, so nothing is lost by that. Choices are there from
//!   the start (`scenario`) until the cluster, as far as it is connected, is at rest.
//! - **A path** ends then (`end`): all is healed, the cluster must become one ring that has
//!   delivered everything and orders a new message, and the checker judges the histories.
//! - **A state** (`state`) is everything that decides what follows and how it is judged: both
//!   halves of each member, disks, all that is under way, the cut, god's memory and the histories
//!   without their times. Points in time count from now. Two paths in one state have one future: it
//!   is searched once, by the one with more faults left (`search`).
//!
//! What is merged is equal but for 64 bits of hash; nothing else is taken to be alike. Members are not
//! exchanged for each other (the lowest id is special everywhere), and epochs are not renumbered
//! (frames carry them): both would be sound only with a renaming of everything at once, and paths that
//! differ in them differ in their timers anyway.

mod choice;
mod end;
mod host;
mod replay;
mod scenario;
mod search;
mod state;
mod world;

#[cfg(test)]
mod directed_tests;
#[cfg(test)]
mod search_tests;

pub use choice::{BadPath, Choice, Fault, Kinds, MEMBERS_MAX, Path};
pub use replay::{Replayed, replay};
pub use scenario::{Size, Start};
pub use search::{Memory, Met, Scope, Tally, Visit, Visited, pieces, search};
