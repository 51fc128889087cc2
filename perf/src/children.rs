//! Processes of one measurement: what they say, line by line, and their end.
//!
//! Each is in a process group of its own: Ctrl-C on the terminal is for the parent, which ends them
//! properly.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use crate::exit::Stop;

/// Longest wait between two looks at whether to stop.
const PAUSE: Duration = Duration::from_millis(20);

/// Longest wait for the end of standard error, which what a process started may still have.
const TOLD_MAX: Duration = Duration::from_millis(500);

/// Lines that wait to be looked at; processes that say more wait.
const LINES_MAX: usize = 4096;

/// Processes, one on each host, that end with this value at the latest.
#[derive(Debug)]
pub(crate) struct Children {
    all: BTreeMap<u32, Process>,
    /// Counts the starts on each host.
    lives: BTreeMap<u32, u32>,
    said: Receiver<Line>,
    sender: SyncSender<Line>,
}

/// What comes from a process's standard output.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    pub(crate) host: u32,
    /// Counts the starts on the host.
    pub(crate) life: u32,
    /// Nothing at the end of its output.
    pub(crate) said: Option<String>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    /// What it says on standard error, where that is piped.
    told: Option<Receiver<String>>,
}

impl Children {
    /// None yet.
    pub(crate) fn new() -> Self {
        let (sender, said) = mpsc::sync_channel(LINES_MAX);
        Self { all: BTreeMap::new(), lives: BTreeMap::new(), said, sender }
    }

    /// Starts a process on a host, in the place of what was there. Its standard input is open as
    /// long as it lives.
    pub(crate) fn start(&mut self, host: u32, command: &mut Command) -> io::Result<()> {
        self.kill(host);
        let piped = command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = piped.spawn()?;
        let life = self.life(host) + 1;
        self.lives.insert(host, life);
        if let Some(stdout) = child.stdout.take() {
            let sender = self.sender.clone();
            std::thread::spawn(move || {
                let lines = BufReader::new(stdout).lines().map_while(Result::ok).map(Some);
                for said in lines.chain([None]) {
                    if sender.send(Line { host, life, said }).is_err() {
                        break;
                    }
                }
            });
        }
        let told = child.stderr.take().map(|mut stderr| {
            let (sender, receiver) = mpsc::sync_channel(1);
            std::thread::spawn(move || {
                let mut told = Vec::new();
                let _ = stderr.read_to_end(&mut told);
                let _ = sender.send(String::from_utf8_lossy(&told).trim().to_owned());
            });
            receiver
        });
        self.all.insert(host, Process { child, told });
        Ok(())
    }

    /// Ends a process, which has no time to say anything. Yields what it said on standard error.
    pub(crate) fn kill(&mut self, host: u32) -> String {
        let Some(mut process) = self.all.remove(&host) else { return String::new() };
        let _ = process.child.kill();
        let _ = process.child.wait();
        process.told.and_then(|told| told.recv_timeout(TOLD_MAX).ok()).unwrap_or_default()
    }

    /// How a process ended that nobody ended here.
    pub(crate) fn ended(&mut self, host: u32) -> Option<ExitStatus> {
        self.all.remove(&host)?.child.wait().ok()
    }

    /// Counts the starts on a host.
    pub(crate) fn life(&self, host: u32) -> u32 {
        self.lives.get(&host).copied().unwrap_or(0)
    }

    /// The processes that nobody ended, by host.
    pub(crate) fn ids(&self) -> impl Iterator<Item = (u32, u32)> {
        self.all.iter().map(|(host, process)| (*host, process.child.id()))
    }

    /// Says a line to all.
    pub(crate) fn tell(&mut self, line: &str) -> io::Result<()> {
        for process in self.all.values_mut() {
            if let Some(stdin) = &mut process.child.stdin {
                writeln!(stdin, "{line}")?;
            }
        }
        Ok(())
    }

    /// What one of them says next, if it does in this time.
    pub(crate) fn next(&self, patience: Duration) -> Option<Line> {
        self.said.recv_timeout(patience).ok()
    }

    /// Waits for a line of JSON of each.
    ///
    /// # Errors
    /// That one ended, said nothing in time or something else, or that it was all interrupted.
    pub(crate) fn words<T: DeserializeOwned>(
        &mut self,
        interrupted: &AtomicBool,
        patience: Duration,
    ) -> Result<Vec<T>, Stop> {
        let lines = self.lines(interrupted, patience)?;
        lines.iter().map(|line| parse(line)).collect()
    }

    /// The same of a line of anything.
    pub(crate) fn lines(
        &mut self,
        interrupted: &AtomicBool,
        patience: Duration,
    ) -> Result<Vec<String>, Stop> {
        let lines = self.collect(interrupted, patience);
        // What interrupts this process may have ended the others before.
        match lines {
            Ok(_) if interrupted.load(Ordering::Relaxed) => Err(Stop::Interrupted),
            lines => lines.map_err(|stop| stop.or_interrupted(interrupted)),
        }
    }

    fn collect(
        &mut self,
        interrupted: &AtomicBool,
        patience: Duration,
    ) -> Result<Vec<String>, Stop> {
        let deadline = Instant::now() + patience;
        let mut lines = BTreeMap::new();
        while lines.len() < self.all.len() {
            if interrupted.load(Ordering::Relaxed) {
                return Err(Stop::Interrupted);
            }
            if Instant::now() > deadline {
                return Err(Stop::Failed("a member did not end in time".to_owned()));
            }
            let Some(Line { host, life, said }) = self.next(PAUSE) else { continue };
            match said {
                Some(line) if life == self.life(host) => drop(lines.insert(host, line)),
                None if life == self.life(host) && !lines.contains_key(&host) => {
                    let told = self.kill(host);
                    return Err(Stop::Failed(format!("a member gave no result: {told}")));
                }
                Some(_) | None => {}
            }
        }
        Ok(lines.into_values().collect())
    }
}

fn parse<T: DeserializeOwned>(line: &str) -> Result<T, Stop> {
    let word = serde_json::from_str(line);
    word.map_err(|error| {
        Stop::Failed(format!("a member said what it should not: {error} in {line}"))
    })
}

/// A copy of this program in a folder, to be started from there: a build may replace the file from
/// which this process came, and all members are to be one program.
pub(crate) fn copy_of_program(folder: &Path) -> io::Result<PathBuf> {
    let copy = folder.join(env!("CARGO_BIN_NAME"));
    fs::copy("/proc/self/exe", &copy)?;
    Ok(copy)
}

/// What is set for this command is not meant for a child that has options of the same names.
pub(crate) fn without_options(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ROUNDEL_") {
            command.env_remove(name);
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        // All at once, and only then what they leave behind.
        for process in self.all.values_mut() {
            let _ = process.child.kill();
        }
        for process in self.all.values_mut() {
            let _ = process.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stderr(Stdio::piped());
        command
    }

    #[test]
    fn each_says_its_line() {
        let (mut children, on) = (Children::new(), AtomicBool::new(false));
        for host in [2, 1] {
            children.start(host, &mut shell(&format!("read a; echo {host} $a"))).unwrap();
        }
        assert_eq!(children.ids().map(|(host, _)| host).collect::<Vec<_>>(), [1, 2]);
        children.tell("heard").unwrap();
        assert_eq!(children.lines(&on, Duration::from_secs(20)).unwrap(), ["1 heard", "2 heard"]);
    }

    #[test]
    fn what_is_said_is_understood_or_told() {
        let (mut children, on) = (Children::new(), AtomicBool::new(false));
        for (host, number) in [(1, 3), (2, 4)] {
            children.start(host, &mut shell(&format!("echo {number}"))).unwrap();
        }
        assert_eq!(children.words::<u8>(&on, Duration::from_secs(20)).unwrap(), [3, 4]);
        let Err(Stop::Failed(reason)) = parse::<u8>("no number") else { panic!("a number") };
        assert!(reason.contains("no number"), "{reason}");
    }

    #[test]
    fn one_that_ends_without_a_word_is_told_of() {
        let (mut children, on) = (Children::new(), AtomicBool::new(false));
        children.start(1, &mut shell("echo why >&2")).unwrap();
        let Err(Stop::Failed(reason)) = children.lines(&on, Duration::from_secs(20)) else {
            panic!("a line of nobody")
        };
        assert!(reason.contains("why"), "{reason}");
        children.start(1, &mut shell("exec sleep 60")).unwrap();
        assert!(children.lines(&on, Duration::ZERO).is_err());
        assert_eq!(children.kill(1), "");
    }

    #[test]
    fn what_an_interrupt_ended_gave_no_wrong_result() {
        let mut children = Children::new();
        for script in ["exit 130", "echo interrupted"] {
            children.start(1, &mut shell(script)).unwrap();
            let stop = children.lines(&AtomicBool::new(true), Duration::from_secs(20));
            assert_eq!(stop, Err(Stop::Interrupted), "{script}");
        }
    }

    #[test]
    fn lives_are_told_apart() {
        let (mut children, on) = (Children::new(), AtomicBool::new(false));
        children.start(1, &mut shell("echo first; exec sleep 60")).unwrap();
        let first = children.next(Duration::from_secs(20)).unwrap();
        assert_eq!((first.life, first.said.as_deref()), (1, Some("first")));
        children.start(1, &mut shell("echo second; exit 3")).unwrap();
        assert_eq!(children.lines(&on, Duration::from_secs(20)).unwrap(), ["second"]);
        assert_eq!((children.life(1), children.life(2)), (2, 0));
        assert_eq!(children.ended(1).and_then(|status| status.code()), Some(3));
        assert!(children.ended(1).is_none() && children.ids().next().is_none());
    }

    #[test]
    fn the_copy_is_this_program_under_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let copy = copy_of_program(folder.path()).unwrap();
        assert_eq!(copy.file_name().unwrap(), "roundel-perf");
        assert_eq!(fs::read(copy).unwrap(), fs::read("/proc/self/exe").unwrap());
    }
}
