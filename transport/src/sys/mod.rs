//! The operating system, and all `unsafe` of the project.
//!
//! What is safe to call is safe: every obligation of the kernel's interfaces is met in here.

#[cfg(test)]
mod counting;
pub(crate) mod intake;
pub(crate) mod messages;
pub(crate) mod mmsg;
pub(crate) mod options;
mod slots;
pub(crate) mod thread;
pub(crate) mod uring;
