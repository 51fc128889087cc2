//! The disk thread: makes epoch ceilings durable, so that a slow disk stops nothing but the
//! adoption that needs the epoch.

use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, bounded};
use roundel_ring::id::Epoch;
use tracing::error;

use crate::control::Disk;
use crate::doorbell::Doorbell;
use crate::state_dir::StateDir;

/// Starts the thread; it ends when `Disk` is dropped, and the lock of `state` with it.
pub(crate) fn start(
    state: StateDir,
    control_bell: Doorbell,
) -> std::io::Result<(Disk, JoinHandle<()>)> {
    let (writes, to_write) = bounded(1);
    let (answers, written) = bounded(1);
    let thread = std::thread::Builder::new()
        .name("roundel-disk".to_owned())
        .spawn(move || run(&state, &to_write, &answers, &control_bell))?;
    Ok((Disk { writes, written }, thread))
}

fn run(
    state: &StateDir,
    to_write: &Receiver<Epoch>,
    answers: &Sender<Option<Epoch>>,
    control_bell: &Doorbell,
) {
    while let Ok(ceiling) = to_write.recv() {
        let outcome = state.write(ceiling);
        if let Err(error) = &outcome {
            error!(
                "the epoch cannot be made durable: {error}; no ring is joined until it can; \
                 fix: make room in the state directory"
            );
        }
        if answers.send(outcome.is_ok().then_some(ceiling)).is_err() {
            return;
        }
        control_bell.ring();
    }
}
