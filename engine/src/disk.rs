//! The disk thread: makes epoch ceilings durable, so that a slow disk stops nothing but the
//! adoption that needs the epoch.

use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, bounded};
use roundel_ring::id::Epoch;
use tracing::error;

use crate::control::Disk;
use crate::doorbell::Doorbell;
use crate::stall::{At, heir, stall};
use crate::state_dir::StateDir;

/// Starts the thread; it ends when `Disk` is dropped, and the lock of `state` with it.
pub(crate) fn start(
    state: StateDir,
    control_bell: Doorbell,
) -> std::io::Result<(Disk, JoinHandle<()>)> {
    let (writes, to_write) = bounded(1);
    let (answers, written) = bounded(1);
    let (name, inherit) = ("roundel-disk", heir("roundel-disk"));
    let body = move || {
        inherit();
        run(&state, &to_write, &answers, &control_bell);
    };
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body)?;
    Ok((Disk { writes, written }, thread))
}

fn run(
    state: &StateDir,
    to_write: &Receiver<Epoch>,
    answers: &Sender<Option<Epoch>>,
    control_bell: &Doorbell,
) {
    while let Ok(ceiling) = to_write.recv() {
        stall(At::Pop);
        let outcome = state.write(ceiling);
        if let Err(error) = &outcome {
            error!(
                "the epoch cannot be made durable: {error}; no ring is joined until it can; \
                 fix: make room in the state directory"
            );
        }
        stall(At::Push);
        if answers.send(outcome.is_ok().then_some(ceiling)).is_err() {
            return;
        }
        control_bell.ring();
    }
}
