//! The sending thread of a member.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::source::{Progress, Source};
use crate::usage::now_ns;

/// A sending thread, and how to stop it.
#[derive(Debug)]
pub(crate) struct Sender {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(u64, Option<String>)>,
}

impl Sender {
    /// Starts it.
    pub(crate) fn start(mut source: Source) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("perf-sender".to_owned());
        let thread = thread.spawn(move || {
            // Sleeps end when they should: planned times are microseconds apart.
            let _ = nix::sys::prctl::set_timerslack(1);
            let problem = run(&mut source, &stopped).err().map(|error| error.to_string());
            (source.sent(), problem)
        })?;
        Ok(Self { stop, thread })
    }

    /// Sends nothing more.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// It sends nothing more, told to or not.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for its end, which comes at the latest when the member has left. Yields how many
    /// messages it sent, and why it could not go on, if so.
    pub(crate) fn join(self) -> (u64, Option<String>) {
        self.stop();
        let panicked = || (0, Some("the sending thread panicked".to_owned()));
        self.thread.join().unwrap_or_else(|_| panicked())
    }
}

/// Shortest sleep. A shorter one keeps the processor, which the ring then has to be without; what
/// becomes due meanwhile is sent at once, and is that much late.
pub(crate) const SLEEP_MIN: Duration = Duration::from_micros(50);

/// Longest sleep: bounds how late a stop is noticed.
pub(crate) const SLEEP_MAX: Duration = Duration::from_millis(20);

fn run(source: &mut Source, stop: &AtomicBool) -> Result<(), Box<dyn Error>> {
    while !stop.load(Ordering::Relaxed) {
        let now_ns = now_ns();
        match source.poll(now_ns)? {
            Progress::Due => {}
            Progress::Full => source.wait_for_room()?,
            Progress::Until(at_ns) => {
                let left = Duration::from_nanos(at_ns.saturating_sub(now_ns));
                std::thread::sleep(left.clamp(SLEEP_MIN, SLEEP_MAX));
            }
        }
    }
    Ok(())
}
