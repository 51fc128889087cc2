//! One life of a member: a process of `roundel` on a host.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::log::{Log, Reader};
use crate::scale;

/// How a process ended.
pub(crate) type Exit = Option<i32>;

/// Names a life.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Name {
    pub(crate) cluster: String,
    pub(crate) id: u32,
    /// Of all members of the run, so that no two have the same.
    pub(crate) life: u32,
}

/// A process, and what it was told and said.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: Name,
    pub(crate) trace: PathBuf,
    stderr: PathBuf,
    child: Mutex<Child>,
    pid: Pid,
    reader: Arc<Reader>,
    feed: Mutex<Option<Sender<Feed>>>,
    fed: Arc<Fed>,
    /// It was told to end, or ended and nobody minds.
    gone: AtomicBool,
    killed: AtomicBool,
    load: Mutex<Option<Arc<AtomicBool>>>,
}

/// What a process reads.
enum Feed {
    /// Lines to publish.
    Lines { lines: u64, bytes: usize },
    /// Lines as they are.
    Text(String),
}

/// Lines handed to the process.
#[derive(Debug, Default)]
struct Fed {
    asked: AtomicU64,
    written: AtomicU64,
}

impl Member {
    pub(crate) fn start(mut command: Command, name: Name, trace: PathBuf, is_shell: bool) -> Self {
        let stderr = trace.with_extension("stderr");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&stderr).expect("a file in our own directory"));
        let mut child = command.spawn().expect("ip starts");
        let reader = Reader::start(child.stdout.take().expect("piped"), is_shell);
        let (feed, batches) = channel();
        let fed = Arc::new(Fed::default());
        let (stdin, counts) = (child.stdin.take().expect("piped"), Arc::clone(&fed));
        let life = name.life;
        thread::spawn(move || write_lines(stdin, life, &batches, &counts));
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
        Self {
            name,
            trace,
            stderr,
            child: Mutex::new(child),
            pid,
            reader,
            feed: Mutex::new(Some(feed)),
            fed,
            gone: AtomicBool::new(false),
            killed: AtomicBool::new(false),
            load: Mutex::new(None),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.name.id
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.reader.log()
    }

    /// Publishes so many lines of so many bytes; does not wait.
    pub(crate) fn publish(&self, lines: u64, bytes: usize) {
        let feed = self.feed.lock().expect("no panics here");
        let feed = feed.as_ref().expect("its input is open");
        self.fed.asked.fetch_add(lines, Ordering::Relaxed);
        // Fails when the process is gone; then nothing is expected of these lines.
        let _ = feed.send(Feed::Lines { lines, bytes });
    }

    /// Gives it lines, each with its newline; does not wait.
    pub(crate) fn say(&self, text: String) {
        let feed = self.feed.lock().expect("no panics here");
        // Fails when the process is gone; then nothing is expected of them.
        let _ = feed.as_ref().expect("its input is open").send(Feed::Text(text));
    }

    /// Publishes a few lines every few milliseconds until [`Member::rest`].
    pub(crate) fn load(self: &Arc<Self>) {
        let stop = Arc::new(AtomicBool::new(false));
        *self.load.lock().expect("no panics here") = Some(Arc::clone(&stop));
        let (member, lines) = (Arc::clone(self), LOAD_LINES * scale());
        thread::spawn(move || {
            while !stop.load(Ordering::Acquire) && !member.is_gone() {
                let waiting = member.fed.asked.load(Ordering::Relaxed) - member.written();
                if waiting < lines * 4 {
                    member.publish(lines, LOAD_BYTES);
                }
                thread::sleep(LOAD_PAUSE);
            }
            // Tells `rest` that it will publish no more.
            drop(stop);
        });
    }

    /// Ends the load.
    pub(crate) fn rest(&self) {
        let Some(stop) = self.load.lock().expect("no panics here").take() else { return };
        stop.store(true, Ordering::Release);
        while Arc::strong_count(&stop) > 1 {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lines that the process was given.
    pub(crate) fn written(&self) -> u64 {
        self.fed.written.load(Ordering::Relaxed)
    }

    /// Every line that it was to publish is delivered at itself.
    pub(crate) fn is_drained(&self) -> bool {
        let asked = self.fed.asked.load(Ordering::Relaxed);
        self.log().count(self.id(), self.name.life) == asked
    }

    /// No more lines.
    pub(crate) fn close_input(&self) {
        self.feed.lock().expect("no panics here").take();
    }

    /// Its consumer stops reading, or goes on.
    pub(crate) fn stand_still(&self, still: bool) {
        self.reader.stand_still(still);
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// It did not get to write the end of its history.
    pub(crate) fn was_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// `kill -9`; yields when.
    pub(crate) fn kill(&self) -> Instant {
        self.gone.store(true, Ordering::Release);
        self.killed.store(true, Ordering::Release);
        self.signal(Signal::SIGKILL);
        let at = Instant::now();
        let _ = self.child.lock().expect("no panics here").wait();
        at
    }

    pub(crate) fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Asks it to leave the ring and end.
    pub(crate) fn ask_to_leave(&self) {
        self.gone.store(true, Ordering::Release);
        self.signal(Signal::SIGTERM);
    }

    /// How it ended, if it has.
    pub(crate) fn exit(&self) -> Option<Exit> {
        let status = self.child.lock().expect("no panics here").try_wait().expect("our child");
        status.map(|status| {
            self.gone.store(true, Ordering::Release);
            status.code()
        })
    }

    /// What it said to people.
    pub(crate) fn messages_to_people(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).expect("VmRSS")
    }

    /// Processor time used so far, of all its threads, in ticks of 10 ms.
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).expect("it runs");
        // The name in parentheses may hold blanks; user and system time are words 14 and 15.
        let rest = stat.rsplit(')').next().expect("a name");
        let words: Vec<&str> = rest.split_whitespace().collect();
        [words[11], words[12]].iter().map(|word| word.parse::<u64>().expect("ticks")).sum()
    }

    /// In one line: where it stands.
    pub(crate) fn describe(&self) -> String {
        let log = self.log();
        let asked = self.fed.asked.load(Ordering::Relaxed);
        let current = log.current.as_ref();
        format!(
            "{}/{}.{}: {} own of {asked} lines ({} written), {} messages, {:?} {:?}, primary {:?}, \
             exit {:?}, strange {:?}, last {:?}\n  {}",
            self.name.cluster,
            self.id(),
            self.name.life,
            log.count(self.id(), self.name.life),
            self.written(),
            log.messages,
            current.map(|conf| (conf.regular, conf.ring)),
            current.map(|conf| conf.members.clone()),
            log.primary,
            self.exit(),
            log.strange,
            log.told().rev().take(3).map(ToString::to_string).collect::<Vec<_>>(),
            self.messages_to_people().lines().collect::<Vec<_>>().join("\n  "),
        )
    }

    fn signal(&self, signal: Signal) {
        let mut child = self.child.lock().expect("no panics here");
        // A process that was waited for may have given its id to another.
        if child.try_wait().expect("our child").is_none() {
            kill(self.pid, signal).expect("our child");
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let child = self.child.get_mut();
        if let Ok(child) = child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What [`Member::load`] publishes at a time, and how often.
const LOAD_LINES: u64 = 5;
const LOAD_BYTES: usize = 200;
const LOAD_PAUSE: Duration = Duration::from_millis(5);

/// Writes lines `life.number xxx…` until there are no more to come, or the process is gone.
fn write_lines(stdin: ChildStdin, life: u32, batches: &Receiver<Feed>, fed: &Fed) {
    let (mut stdin, mut number) = (BufWriter::new(stdin), 0_u64);
    for batch in batches {
        match batch {
            Feed::Text(text) if stdin.write_all(text.as_bytes()).is_err() => return,
            Feed::Text(_) => {}
            Feed::Lines { lines, bytes } => {
                for _ in 0..lines {
                    let head = format!("{life}.{number} ");
                    let filler = "x".repeat(bytes.saturating_sub(head.len()));
                    if writeln!(stdin, "{head}{filler}").is_err() {
                        return;
                    }
                    number += 1;
                }
            }
        }
        if stdin.flush().is_err() {
            return;
        }
        fed.written.store(number, Ordering::Relaxed);
    }
}
