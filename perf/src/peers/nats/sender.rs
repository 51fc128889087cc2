//! The sending thread of a member, and what it shares with the receiving one.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use roundel::NodeId;

use super::wire::{PONG, publish};
use crate::load::{SLEEP_MAX, SLEEP_MIN};
use crate::pace::planned;
use crate::payload::{Load, Maker};
use crate::usage::now_ns;

/// Of what is written at once.
const BATCH_BYTES: usize = 32 << 10;

/// Own messages on their way at most, and how few bytes these may be: the broker keeps what a slow
/// subscriber has not taken, and parts with one that leaves too much.
const WINDOW_BYTES: usize = 1 << 20;
const WINDOW_MESSAGES_MIN: u64 = 16;

/// What is to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) me: NodeId,
    pub(crate) size: usize,
    /// Messages a second; 0 for as many as there is room for.
    pub(crate) rate: u64,
    pub(crate) begin_ns: u64,
}

/// What the receiving thread tells the sending one.
#[derive(Default, Debug)]
pub(crate) struct Shared {
    /// Own messages that came back.
    returned: AtomicU64,
    ping: AtomicBool,
}

impl Shared {
    /// So many own messages came back.
    pub(crate) fn take(&self, own: u64) {
        self.returned.fetch_add(own, Ordering::Relaxed);
    }

    /// The broker wants an answer.
    pub(crate) fn ping(&self) {
        self.ping.store(true, Ordering::Relaxed);
    }
}

/// A sending thread; it ends with the process or the connection.
#[derive(Debug)]
pub(crate) struct Sender(JoinHandle<io::Result<()>>);

impl Sender {
    /// Starts it.
    pub(crate) fn start(pace: Pace, stream: TcpStream, shared: Arc<Shared>) -> io::Result<Self> {
        let thread = std::thread::Builder::new().name("perf-sender".to_owned());
        let run = move || {
            // Sleeps end when they should: planned times are microseconds apart.
            let _ = nix::sys::prctl::set_timerslack(1);
            run(pace, stream, &shared)
        };
        Ok(Self(thread.spawn(run)?))
    }

    /// There may be room again.
    pub(crate) fn wake(&self) {
        self.0.thread().unpark();
    }
}

/// How a batch ended.
enum Next {
    /// More is due.
    Due,
    /// More is due when so many own messages have come back.
    Returned(u64),
    /// Nothing is due before then.
    Until(u64),
}

fn run(pace: Pace, mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let (mut maker, mut sent, mut batch) = (Maker::new(pace.size), 0, Vec::new());
    loop {
        let now_ns = now_ns();
        let next = fill(&pace, &mut maker, &mut sent, now_ns, shared, &mut batch);
        if shared.ping.swap(false, Ordering::Relaxed) {
            batch.extend_from_slice(PONG);
        }
        stream.write_all(&batch)?;
        batch.clear();
        match next {
            Next::Due => {}
            Next::Returned(enough) => {
                while shared.returned.load(Ordering::Relaxed) < enough {
                    std::thread::park_timeout(SLEEP_MAX);
                }
            }
            Next::Until(at_ns) => {
                let left = Duration::from_nanos(at_ns.saturating_sub(now_ns));
                std::thread::sleep(left.clamp(SLEEP_MIN, SLEEP_MAX));
            }
        }
    }
}

/// Puts into a batch what is due.
fn fill(
    pace: &Pace,
    maker: &mut Maker,
    sent: &mut u64,
    now_ns: u64,
    shared: &Shared,
    batch: &mut Vec<u8>,
) -> Next {
    if now_ns < pace.begin_ns {
        return Next::Until(pace.begin_ns);
    }
    let window = WINDOW_MESSAGES_MIN.max((WINDOW_BYTES / pace.size) as u64);
    let returned = shared.returned.load(Ordering::Relaxed);
    while batch.len() < BATCH_BYTES {
        let planned_ns = match pace.rate {
            0 => now_ns,
            rate => pace.begin_ns + planned(*sent, rate),
        };
        if planned_ns > now_ns {
            return Next::Until(planned_ns);
        }
        if *sent - returned >= window {
            return Next::Returned(returned + window / 2);
        }
        let lateness_ns = now_ns - planned_ns;
        let load = Load { sender: pace.me, counter: *sent, planned_ns, lateness_ns };
        publish(maker.make(load), batch);
        *sent += 1;
    }
    Next::Due
}
