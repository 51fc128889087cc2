//! A member of a NATS load: it publishes to a subject, and receives what all publish there.

use std::io::{self, BufRead, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use roundel::{NodeId, Ordinal, Service};

use super::sender::{Pace, Sender, Shared};
use super::wire::{Frame, HELLO, parse};
use crate::exit::{Exit, fail};
use crate::load::{Extras, Measured, Measurement, Tally};
use crate::payload::{Load, Payload};
use crate::peers::session::{Outcome, Word};
use crate::usage::now_ns;

/// A broker gives no places: what comes between the markers lies between them.
const PLACE: Ordinal = Ordinal(0);

/// Of one order, the broker's.
fn tally() -> Tally {
    Tally::new(Service::Agreed)
}

/// Longest wait for the broker.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Longest wait for a frame: bounds how late the end is noticed.
const READ_MAX: Duration = Duration::from_millis(20);

/// Of what is received at once; a message has to fit.
const BUFFER_BYTES: usize = 1 << 20;

/// One of the members that `peers` starts.
#[derive(clap::Args, Debug)]
pub(crate) struct MemberArgs {
    broker: SocketAddr,
    id: u32,
    members: u16,
    size: usize,
    /// 0 for as many as there is room for.
    rate: u64,
}

/// Runs it and prints what it saw.
pub(crate) fn run(args: &MemberArgs) -> Exit {
    let outcome = measure(args)
        .unwrap_or_else(|reason| Outcome { reason: Some(reason), ..Outcome::default() });
    match tell(&Word::Result(outcome)) {
        Ok(()) => Exit::Ok,
        Err(error) => fail(Exit::Failed, &error.to_string()),
    }
}

fn tell(word: &Word) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, word)?;
    out.write_all(b"\n")?;
    out.flush()
}

fn measure(args: &MemberArgs) -> Result<Outcome, String> {
    let stream = connect(args.broker).map_err(|error| format!("no broker: {error}"))?;
    let shared = Arc::new(Shared::default());
    let mut receiver = Receiver::new(NodeId(args.id), stream, Arc::clone(&shared));
    while !receiver.is_subscribed {
        receiver.receive(|_, _, _| Ok(()))?;
    }
    let [begin_ns, start_ns, end_ns] = begin().map_err(|error| error.to_string())?;
    let pace = Pace { me: NodeId(args.id), size: args.size, rate: args.rate, begin_ns };
    let stream = receiver.stream.try_clone();
    let sender = stream.and_then(|stream| Sender::start(pace, stream, shared));
    let sender = sender.map_err(|error| format!("no sending thread: {error}"))?;
    let mut measurement = None;
    loop {
        let now_ns = now_ns();
        if now_ns >= end_ns {
            break;
        } else if now_ns >= start_ns && measurement.is_none() {
            measurement = Some(Measurement::start(NodeId(args.id), tally(), Extras::default()));
        }
        receiver.receive(|now_ns, load, payload| match &mut measurement {
            Some(measurement) => measurement.message(now_ns, Some(PLACE), load, payload),
            None => Ok(()),
        })?;
        sender.wake();
    }
    let measured = measurement.map(|it| it.end(PLACE)).ok_or("nothing was measured")?;
    Ok(outcome(args, &measured))
}

fn connect(broker: SocketAddr) -> io::Result<TcpStream> {
    let deadline = Instant::now() + CONNECT_MAX;
    let mut stream = loop {
        match TcpStream::connect(broker) {
            Err(_) if Instant::now() < deadline => std::thread::sleep(READ_MAX),
            stream => break stream?,
        }
    };
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(READ_MAX))?;
    stream.write_all(HELLO.as_bytes())?;
    Ok(stream)
}

/// Says that this member is ready, and hears when to begin, start and end.
fn begin() -> io::Result<[u64; 3]> {
    tell(&Word::Ready)?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let times: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    times.try_into().map_err(|_| io::Error::other("nobody said when to begin"))
}

fn outcome(args: &MemberArgs, measured: &Measured) -> Outcome {
    let heard = measured.senders.len();
    let all = usize::from(args.members);
    let recorded = measured.own.iter_recorded().filter(|_| args.rate > 0);
    let latencies = recorded.flat_map(|value| {
        let count = usize::try_from(value.count_at_value()).unwrap_or(usize::MAX);
        std::iter::repeat_n(value.value_iterated_to(), count)
    });
    Outcome {
        delivered: measured.delivered,
        span_ns: u64::try_from(measured.span.as_nanos()).unwrap_or(u64::MAX),
        digest: format!("{:016x}", measured.digest.unwrap_or_default()),
        latency_ns: latencies.collect(),
        reason: (heard < all).then(|| format!("{heard} of {all} senders were heard")),
    }
}

/// The receiving end of a connection.
struct Receiver {
    me: NodeId,
    stream: TcpStream,
    shared: Arc<Shared>,
    buffer: Box<[u8]>,
    /// Of the buffer, what was received and not yet read: from here to there.
    from: usize,
    to: usize,
    is_subscribed: bool,
}

impl Receiver {
    fn new(me: NodeId, stream: TcpStream, shared: Arc<Shared>) -> Self {
        let buffer = vec![0; BUFFER_BYTES].into();
        Self { me, stream, shared, buffer, from: 0, to: 0, is_subscribed: false }
    }

    /// Takes what has come, or waits a moment for it.
    fn receive(
        &mut self,
        mut message: impl FnMut(u64, Load, &[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        self.buffer.copy_within(self.from..self.to, 0);
        (self.from, self.to) = (0, self.to - self.from);
        match self.stream.read(&mut self.buffer[self.to..]) {
            Ok(0) => return Err("the broker closed the connection".to_owned()),
            Ok(length) => self.to += length,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock) => return Ok(()),
            Err(error) => return Err(format!("the connection broke: {error}")),
        }
        let now_ns = now_ns();
        while let Some((frame, length)) = parse(&self.buffer[self.from..self.to])? {
            match frame {
                Frame::Message(payload) => {
                    if let Some(Payload::Load(load)) = Payload::parse(payload) {
                        message(now_ns, load, payload)?;
                        self.shared.take(u64::from(load.sender == self.me));
                    }
                }
                Frame::Ping => self.shared.ping(),
                Frame::Pong => self.is_subscribed = true,
                Frame::Other => {}
            }
            self.from += length;
        }
        Ok(())
    }
}
