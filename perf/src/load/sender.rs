//! The sending thread of a member: the load, and at the lead the markers around what is measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use roundel::{Batch, NodeId, Publisher, Service};

use super::args::Rate;
use super::payload::{Load, Maker, Payload};
use crate::usage::now_ns;

/// What a sending thread does.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) me: NodeId,
    pub(crate) size: usize,
    pub(crate) rate: Rate,
    pub(crate) service: Service,
    /// Where the run began here, on the clock of [`now_ns`].
    pub(crate) begun_ns: u64,
    /// When the lead marks start and end, after that; `None` for the others.
    pub(crate) markers: Option<[Duration; 2]>,
}

/// A sending thread, and how to stop it.
#[derive(Debug)]
pub(crate) struct Sender {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Option<String>>,
}

impl Sender {
    /// Starts it.
    pub(crate) fn start(plan: Plan, publisher: Publisher) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut work = Work {
            maker: Maker::new(plan.size),
            sent: 0,
            markers: plan.markers.map_or(Vec::new(), |[start, end]| {
                let at = |after| plan.begun_ns + nanoseconds(after);
                vec![(at(end), Payload::End), (at(start), Payload::Start)]
            }),
            batch: publisher.batch(plan.service),
            plan,
            publisher,
            stop: Arc::clone(&stop),
        };
        let thread = std::thread::Builder::new().name("perf-sender".to_owned());
        let thread = thread.spawn(move || {
            // Sleeps end when they should: planned times are microseconds apart.
            let _ = nix::sys::prctl::set_timerslack(1);
            work.run().err().map(|error| error.to_string())
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

    /// Waits for its end, which comes at the latest when the member has left. Yields why it could
    /// not go on, if so.
    pub(crate) fn join(self) -> Option<String> {
        self.stop();
        self.thread.join().unwrap_or_else(|_| Some("the sending thread panicked".to_owned()))
    }
}

struct Work {
    plan: Plan,
    publisher: Publisher,
    batch: Batch,
    stop: Arc<AtomicBool>,
    maker: Maker,
    sent: u64,
    /// Still to be sent, the next one last.
    markers: Vec<(u64, Payload)>,
}

/// Longest sleep: bounds how late a stop is noticed.
const SLEEP_MAX: Duration = Duration::from_millis(20);

impl Work {
    fn run(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        while !self.stop.load(Ordering::Relaxed) {
            let now_ns = now_ns();
            if self.markers.last().is_some_and(|(at, _)| *at <= now_ns)
                && let Some((_, marker)) = self.markers.pop()
            {
                self.batch.flush()?;
                self.publisher.publish(Service::Agreed, marker.control())?;
                continue;
            }
            // Planned from the beginning of the run, whatever happened since.
            let planned_ns = match self.plan.rate {
                Rate::Max => now_ns,
                Rate::PerSecond(rate) => self.plan.begun_ns + planned(self.sent, rate),
            };
            if planned_ns > now_ns {
                self.batch.flush()?;
                let until = self.markers.last().map_or(planned_ns, |(at, _)| planned_ns.min(*at));
                let left = Duration::from_nanos(until.saturating_sub(now_ns));
                std::thread::sleep(left.min(SLEEP_MAX));
                continue;
            }
            let (sender, counter) = (self.plan.me, self.sent);
            let lateness_ns = now_ns - planned_ns;
            let load = Load { sender, counter, planned_ns, lateness_ns };
            self.batch.push(self.maker.make(load))?;
            self.sent += 1;
        }
        Ok(())
    }
}

/// When message `number` is to be sent, in nanoseconds after the beginning.
fn planned(number: u64, rate: u64) -> u64 {
    const SECOND: u64 = 1_000_000_000;
    (number / rate) * SECOND + (number % rate) * SECOND / rate
}

pub(crate) fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planned_times_are_evenly_apart_and_do_not_drift() {
        assert_eq!(planned(0, 3), 0);
        assert_eq!(planned(1, 3), 333_333_333);
        assert_eq!(planned(3_000_000, 3), 1_000_000_000_000_000);
        assert_eq!(planned(10_000, 10_000), 1_000_000_000);
    }
}
