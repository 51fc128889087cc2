//! The disk thread: makes epoch ceilings and records of primary components durable, so that a slow
//! disk stops nothing but the adoption that needs the epoch, and the vote.

use std::thread::JoinHandle;

use bytes::Bytes;
use crossbeam::channel::{Receiver, Sender, bounded};
use roundel_ring::id::Epoch;
use tracing::error;

use crate::control::Disk;
use crate::doorbell::Doorbell;
use crate::stall::{At, heir, stall};
use crate::state_dir::StateDir;

/// What is to be made durable.
#[derive(Debug)]
pub(crate) enum Write {
    /// An epoch ceiling.
    Ceiling(Epoch),
    /// A record of primary components.
    Record(Bytes),
}

/// What the thread answers to.
struct Answers {
    written: Sender<Option<Epoch>>,
    stored: Sender<bool>,
}

/// Starts the thread; it ends when `Disk` is dropped, and the lock of `state` with it.
pub(crate) fn start(
    state: StateDir,
    control_bell: Doorbell,
) -> std::io::Result<(Disk, JoinHandle<()>)> {
    // One write of each kind at a time.
    let (writes, to_write) = bounded(2);
    let (written, written_out) = bounded(1);
    let (stored, stored_out) = bounded(1);
    let answers = Answers { written, stored };
    let (name, inherit) = ("roundel-disk", heir("roundel-disk"));
    let body = move || {
        inherit();
        run(&state, &to_write, &answers, &control_bell);
    };
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body)?;
    Ok((Disk { writes, written: written_out, stored: stored_out }, thread))
}

fn run(state: &StateDir, to_write: &Receiver<Write>, answers: &Answers, control_bell: &Doorbell) {
    while let Ok(write) = to_write.recv() {
        stall(At::Pop);
        let is_heard = match write {
            Write::Ceiling(ceiling) => {
                let is_durable = is_durable(&state.write(ceiling), "epoch", "no ring is joined");
                stall(At::Push);
                answers.written.send(is_durable.then_some(ceiling)).is_ok()
            }
            Write::Record(record) => {
                let outcome = state.write_record(&record);
                let is_durable = is_durable(&outcome, "vote", "there is no primary component");
                stall(At::Push);
                answers.stored.send(is_durable).is_ok()
            }
        };
        if !is_heard {
            return;
        }
        control_bell.ring();
    }
}

fn is_durable(outcome: &std::io::Result<()>, what: &str, until: &str) -> bool {
    if let Err(error) = outcome {
        error!(
            "the {what} cannot be made durable: {error}; {until} until it can; \
             fix: make room in the state directory"
        );
    }
    outcome.is_ok()
}
