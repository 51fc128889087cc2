//! What one member printed, with the time at which it was read.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::ChildStdout;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use roundel_ring::trace::ContentHash;
use serde::Deserialize;
use serde_json::Value;

/// A ring's name: epoch, representative.
pub(crate) type RingName = (u64, u32);

/// A configuration that was delivered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Conf {
    pub(crate) regular: bool,
    pub(crate) ring: RingName,
    pub(crate) members: Vec<u32>,
    /// Whether it may become the primary component, if there is a policy and it can tell.
    pub(crate) eligible: Option<bool>,
    pub(crate) read_at: Instant,
}

/// A message that was delivered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Heard {
    pub(crate) sender: u32,
    /// The sender's life and its line there, as its first word says.
    pub(crate) line: (u32, u64),
    /// Hash of the whole payload.
    pub(crate) hash: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Item {
    Conf(Conf),
    Message(Heard),
    /// The configuration in force is the primary component.
    Primary(RingName),
    /// What only one command says.
    Told(Value),
}

/// Everything so far.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// The program is not plain `roundel cat`: its messages are its own.
    is_shell: bool,
    pub(crate) items: Vec<Item>,
    /// The configuration in force.
    pub(crate) current: Option<Conf>,
    /// The configuration in force, while it is the primary component.
    pub(crate) primary: Option<RingName>,
    /// Messages by sender and life.
    pub(crate) counts: BTreeMap<(u32, u32), u64>,
    pub(crate) messages: u64,
    /// The last line of a command that ends by itself.
    pub(crate) summary: Option<String>,
    /// Lines that are none of these.
    pub(crate) strange: Vec<String>,
    /// The process closed its output.
    pub(crate) ended: bool,
}

/// Shared with the thread that reads.
#[derive(Debug)]
pub(crate) struct Reader {
    log: Mutex<Log>,
    still: AtomicBool,
}

impl Reader {
    pub(crate) fn start(out: ChildStdout, is_shell: bool) -> Arc<Self> {
        let log = Mutex::new(Log { is_shell, ..Log::default() });
        let reader = Arc::new(Self { log, still: AtomicBool::new(false) });
        let shared = Arc::clone(&reader);
        thread::spawn(move || shared.run(out));
        reader
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("readers do not panic")
    }

    /// Stops reading, or goes on.
    pub(crate) fn stand_still(&self, still: bool) {
        self.still.store(still, Ordering::Relaxed);
    }

    fn run(&self, out: ChildStdout) {
        let (mut out, mut line) = (BufReader::new(out), Vec::new());
        loop {
            while self.still.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(5));
            }
            line.clear();
            let read = out.read_until(b'\n', &mut line);
            // A killed process leaves a torn line at most.
            if read.is_err() || line.last() != Some(&b'\n') {
                break;
            }
            self.log().take(&line, Instant::now());
        }
        self.log().ended = true;
    }
}

#[derive(Deserialize)]
struct Line {
    event: Option<String>,
    sender: Option<Value>,
    payload: Option<String>,
    kind: Option<String>,
    ring: Option<Ring>,
    members: Option<Value>,
    eligible: Option<bool>,
}

/// As it is printed.
#[derive(Clone, Copy, Deserialize, Debug)]
pub(crate) struct Ring {
    rep: u32,
    seq: u64,
}

impl Ring {
    pub(crate) const fn name(&self) -> RingName {
        (self.seq, self.rep)
    }
}

impl Log {
    fn take(&mut self, text: &[u8], read_at: Instant) {
        let line: Option<Line> = serde_json::from_slice(text).ok();
        let event = line.as_ref().and_then(|line| line.event.as_deref());
        let item = match (event, &line) {
            (Some("primary"), Some(line)) => line.ring.as_ref().map(|it| Item::Primary(it.name())),
            (Some("message"), Some(line)) if !self.is_shell => message(line).map(Item::Message),
            (Some("configuration"), Some(line)) => configuration(line, read_at).map(Item::Conf),
            (Some("start"), _) => return,
            (Some("summary"), _) => {
                self.summary = Some(String::from_utf8_lossy(text).trim().to_owned());
                return;
            }
            _ if self.is_shell => serde_json::from_slice(text).ok().map(Item::Told),
            _ => None,
        };
        match item {
            Some(item) => self.add(item),
            None => self.strange.push(String::from_utf8_lossy(text).chars().take(200).collect()),
        }
    }

    fn add(&mut self, item: Item) {
        match &item {
            Item::Conf(conf) => (self.current, self.primary) = (Some(conf.clone()), None),
            Item::Primary(ring) => self.primary = Some(*ring),
            Item::Told(_) => {}
            Item::Message(heard) => {
                self.messages += 1;
                *self.counts.entry((heard.sender, heard.line.0)).or_default() += 1;
            }
        }
        self.items.push(item);
    }

    /// Messages that a life of a member sent and this one delivered.
    pub(crate) fn count(&self, sender: u32, life: u32) -> u64 {
        self.counts.get(&(sender, life)).copied().unwrap_or(0)
    }

    /// The regular configuration in force, if there is one.
    pub(crate) fn regular(&self) -> Option<&Conf> {
        self.current.as_ref().filter(|conf| conf.regular)
    }

    pub(crate) fn confs(&self) -> impl Iterator<Item = &Conf> {
        self.items.iter().filter_map(|item| match item {
            Item::Conf(conf) => Some(conf),
            _ => None,
        })
    }

    pub(crate) fn heard(&self) -> impl Iterator<Item = &Heard> {
        self.items.iter().filter_map(|item| match item {
            Item::Message(heard) => Some(heard),
            _ => None,
        })
    }

    /// What the program said that only it says.
    pub(crate) fn told(&self) -> impl DoubleEndedIterator<Item = &Value> {
        self.items.iter().filter_map(|item| match item {
            Item::Told(value) => Some(value),
            _ => None,
        })
    }

    /// The same, of one event.
    pub(crate) fn told_of(&self, event: &str) -> impl DoubleEndedIterator<Item = &Value> {
        self.told().filter(move |value| value["event"] == event)
    }
}

fn message(line: &Line) -> Option<Heard> {
    let payload = line.payload.as_ref()?;
    let (life, number) = payload.split(' ').next()?.split_once('.')?;
    let line_name = (life.parse().ok()?, number.parse().ok()?);
    let hash = ContentHash::of(payload.as_bytes());
    let sender = line.sender.as_ref()?.as_u64().and_then(|sender| u32::try_from(sender).ok())?;
    Some(Heard { sender, line: line_name, hash })
}

fn configuration(line: &Line, read_at: Instant) -> Option<Conf> {
    let regular = match line.kind.as_deref()? {
        "regular" => true,
        "transitional" => false,
        _ => return None,
    };
    let ring = line.ring.as_ref()?;
    let members = serde_json::from_value(line.members.clone()?).ok()?;
    Some(Conf { regular, ring: ring.name(), members, eligible: line.eligible, read_at })
}
