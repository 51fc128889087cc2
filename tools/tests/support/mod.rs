//! Runs the program under test: bounded waits, and nothing left behind.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// Waiting longer than this for anything is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The program under test, without this process's own variables of the project.
pub(crate) fn roundel() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roundel"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ROUNDEL_") {
            command.env_remove(name);
        }
    }
    command
}

/// A running program; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    errors: Receiver<String>,
    /// What came so far.
    pub(crate) seen: Vec<Value>,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// Everything on stdout, parsed.
    pub(crate) lines: Vec<Value>,
    pub(crate) stderr: String,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let stdin = child.stdin.take();
        let (lines, errors) =
            (follow(child.stdout.take().unwrap()), follow(child.stderr.take().unwrap()));
        Self { child, stdin, lines, errors, seen: Vec::new() }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Waits for an object that `wanted` accepts, among those that came or come.
    pub(crate) fn wait_for(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut from = 0;
        let since = Instant::now();
        loop {
            if let Some(found) = self.seen[from..].iter().find(|value| wanted(value)) {
                return found.clone();
            }
            from = self.seen.len();
            let left = PATIENCE.saturating_sub(since.elapsed());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(parse(&line)),
                Err(error) => {
                    let errors: Vec<String> = self.errors.try_iter().collect();
                    unreachable!("{error}; it said {:?} and {errors:?}", self.seen)
                }
            }
        }
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Ended {
        self.stdin = None;
        let since = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(since.elapsed() < PATIENCE, "it does not end; it said {:?}", self.seen);
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut lines = std::mem::take(&mut self.seen);
        lines.extend(self.lines.iter().map(|line| parse(&line)));
        let stderr: Vec<String> = self.errors.iter().collect();
        Ended { status, lines, stderr: stderr.join("\n") }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn parse(line: &str) -> Value {
    let value: Value = serde_json::from_str(line).unwrap();
    // Compact: keys and values stand side by side.
    assert!(!line.contains("\": ") && !line.contains(", \""), "{line}");
    value
}

fn follow(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

impl Ended {
    /// The objects of one event.
    pub(crate) fn events(&self, event: &str) -> Vec<&Value> {
        self.lines.iter().filter(|line| line["event"] == event).collect()
    }

    /// The last line, which must be the summary.
    pub(crate) fn summary(&self) -> &Value {
        let last = self.lines.last().unwrap();
        assert_eq!(last["event"], "summary", "{self:?}");
        last
    }
}

/// Judges traces with the program itself.
pub(crate) fn check(traces: &Path) -> Ended {
    Running::start(roundel().args(["check", "--json"]).arg(traces)).end()
}
