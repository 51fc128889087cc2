//! The lines of stdin, published by a thread of their own. Its only queue is the engine's, which
//! is bounded: when the ring is slower than stdin, stdin waits.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use roundel::{Publisher, Service, TryPublishError};

use crate::lines::next_line;

/// What the thread and the session share.
#[derive(Default, Debug)]
struct State {
    accepted: AtomicU64,
    ended: AtomicBool,
    failure: Mutex<Option<String>>,
}

/// The lines of stdin.
#[derive(Debug)]
pub(super) struct Input {
    state: Arc<State>,
    waiting: Option<Lines>,
}

impl Input {
    /// Reads nothing before [`Input::release`].
    pub(super) fn new(publisher: Publisher, service: Service, bytes_max: usize) -> Self {
        let state = Arc::new(State::default());
        let lines = Lines { publisher, service, bytes_max, state: Arc::clone(&state) };
        Self { state, waiting: Some(lines) }
    }

    /// Lets the lines go; the first call counts.
    pub(super) fn release(&mut self) {
        let Some(lines) = self.waiting.take() else { return };
        let spawned = std::thread::Builder::new().name("roundel-stdin".to_owned());
        if let Err(error) = spawned.spawn(move || lines.run()) {
            self.state.fail(format!("stdin cannot be read: {error}"));
        }
    }

    /// Messages accepted so far.
    pub(super) fn accepted(&self) -> u64 {
        self.state.accepted.load(Ordering::Acquire)
    }

    /// How many messages were accepted in all, once there will be no more.
    pub(super) fn accepted_all(&self) -> Option<u64> {
        self.state.ended.load(Ordering::Acquire).then(|| self.accepted())
    }

    /// Why stdin was given up, if it was.
    pub(super) fn failure(&self) -> Option<String> {
        self.state.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl State {
    fn fail(&self, text: String) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
        self.ended.store(true, Ordering::Release);
    }
}

#[derive(Debug)]
struct Lines {
    publisher: Publisher,
    service: Service,
    bytes_max: usize,
    state: Arc<State>,
}

impl Lines {
    fn run(self) {
        let mut input = io::stdin().lock();
        loop {
            match next_line(&mut input, self.bytes_max) {
                Ok(Some(line)) => match self.publisher.publish(self.service, line) {
                    Ok(()) => {
                        self.state.accepted.fetch_add(1, Ordering::AcqRel);
                    }
                    // The session knows why the member takes nothing more.
                    Err(TryPublishError::Closed { .. }) => break,
                    Err(error) => return self.state.fail(error.to_string()),
                },
                Ok(None) => break,
                Err(error) => return self.state.fail(format!("stdin cannot be read: {error}")),
            }
        }
        self.state.ended.store(true, Ordering::Release);
    }
}
