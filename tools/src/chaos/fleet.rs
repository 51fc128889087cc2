//! The members' processes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::chance::Chance;
use super::words::{Order, Progress, Report, Ring};

/// The clusters' names: the one under chaos, and one that it must never hear.
pub(super) const CLUSTER: &str = "chaos";
pub(super) const FOREIGN: &str = "foreign";

/// The group and port of both.
pub(super) const GROUP: Ipv4Addr = Ipv4Addr::new(239, 192, 77, 77);
pub(super) const PORT: u16 = 7400;

/// Who a process is and where it runs.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    /// The host, and what the process is called here: there is one on a host.
    pub(super) host: u32,
    pub(super) id: u32,
    pub(super) cluster: &'static str,
    pub(super) state: PathBuf,
    pub(super) receive_buffer: Option<usize>,
    /// As the option for the primary component says it.
    pub(super) primary: String,
}

/// A member's process while it runs.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) spec: Spec,
    life: u64,
    /// What it says to people.
    words: PathBuf,
    child: Child,
    orders: ChildStdin,
    pub(super) started: Instant,
    pub(super) is_ready: bool,
    pub(super) is_paused: bool,
    /// It was told to leave.
    pub(super) is_leaving: bool,
    pub(super) ring: Ring,
    /// Members of its last regular configuration.
    pub(super) members: Vec<u32>,
    /// Its last regular configuration is the primary component.
    pub(super) is_primary: bool,
    pub(super) progress: Progress,
}

/// One life of a member, for the judge.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) id: u32,
    pub(super) cluster: &'static str,
    pub(super) trace: PathBuf,
    pub(super) words: PathBuf,
}

/// A process that nobody killed has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) spec: Spec,
    pub(super) status: ExitStatus,
    pub(super) was_ready: bool,
    pub(super) was_leaving: bool,
    /// What it said to people.
    pub(super) words: String,
}

type Line = (u32, u64, Option<Report>);

/// All processes. None outlives this value; none outlives this process either.
#[derive(Debug)]
pub(super) struct Fleet {
    processes: BTreeMap<u32, Process>,
    program: PathBuf,
    seed: u64,
    started: u64,
    sender: Sender<Line>,
    lines: Receiver<Line>,
    /// Since they were last taken, in the order of their starts.
    pub(super) lives: Vec<Life>,
}

impl Fleet {
    /// Nobody yet; `folder` keeps a copy of this program, so that all are one whatever a build does
    /// meanwhile.
    pub(super) fn new(folder: &Path, seed: u64) -> io::Result<Self> {
        let program = folder.join(env!("CARGO_BIN_NAME"));
        fs::copy("/proc/self/exe", &program)?;
        let (sender, lines) = mpsc::channel();
        let (processes, lives) = (BTreeMap::new(), Vec::new());
        Ok(Self { processes, program, seed, started: 0, sender, lines, lives })
    }

    /// Starts a member, unless there is one on that host.
    pub(super) fn start(
        &mut self,
        spec: Spec,
        command: impl FnOnce(&Path) -> Command,
        traces: &Path,
    ) -> io::Result<bool> {
        if self.processes.contains_key(&spec.host) {
            return Ok(false);
        }
        self.started += 1;
        let life = self.started;
        let Spec { host, id, cluster, .. } = spec;
        let folder = if cluster == FOREIGN { traces.join(FOREIGN) } else { traces.to_owned() };
        fs::create_dir_all(&folder)?;
        let trace = folder.join(format!("{id}.life{life}.part"));
        let words = folder.join(format!("{id}.life{life}.words"));
        let mut command = command(&self.program);
        self.options(&mut command, &spec, life);
        command.arg("--trace").arg(&trace);
        // A group of its own: Ctrl-C on the terminal is for the parent, which ends it properly.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(File::create(&words)?);
        let mut child = command.spawn()?;
        self.lives.push(Life { id, cluster, trace, words: words.clone() });
        let (Some(orders), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("a pipe is missing"));
        };
        self.follow(host, life, output)?;
        let process = Process {
            spec,
            life,
            words,
            child,
            orders,
            started: Instant::now(),
            is_ready: false,
            is_paused: false,
            is_leaving: false,
            ring: Ring::default(),
            members: Vec::new(),
            is_primary: false,
            progress: Progress::default(),
        };
        self.processes.insert(host, process);
        Ok(true)
    }

    fn options(&self, command: &mut Command, spec: &Spec, life: u64) {
        command.args(["chaos-member", "--interface", "eth0", "--cluster", spec.cluster]);
        // The same for all, so that strangers meet.
        command.args(["--group", &GROUP.to_string(), "--port", &PORT.to_string()]);
        command.args(["--log", "warn", "--id", &spec.id.to_string()]);
        command.args(["--primary", &spec.primary]);
        command.arg("--seed").arg((self.seed ^ life << 32).to_string());
        // Both ways to the kernel, in one ring.
        let io = if Chance::new(self.seed ^ life).percent(30) { "mmsg" } else { "auto" };
        command.args(["--io", io]).arg("--state-dir").arg(&spec.state);
        if let Some(bytes) = spec.receive_buffer {
            command.arg("--receive-buffer").arg(bytes.to_string());
        }
        // What is set for this command is not meant for its members.
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"ROUNDEL_") {
                command.env_remove(name);
            }
        }
    }

    fn follow(&self, host: u32, life: u64, output: ChildStdout) -> io::Result<()> {
        let sender = self.sender.clone();
        let follow = move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            for report in lines.map_while(|line| serde_json::from_str(&line).ok()) {
                if sender.send((host, life, Some(report))).is_err() {
                    return;
                }
            }
            let _ = sender.send((host, life, None));
        };
        std::thread::Builder::new().name("chaos-lines".to_owned()).spawn(follow).map(|_| ())
    }

    pub(super) fn process(&self, host: u32) -> Option<&Process> {
        self.processes.get(&host)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Process> {
        self.processes.values()
    }

    /// A real `kill -9`, and the end of the process awaited; false when there was none.
    pub(super) fn kill(&mut self, host: u32) -> bool {
        let Some(mut process) = self.processes.remove(&host) else { return false };
        let ran = matches!(process.child.try_wait(), Ok(None));
        let _ = process.child.kill();
        let _ = process.child.wait();
        ran
    }

    /// Sends a process a signal that stops it or lets it go on; false when there is none to which
    /// that would be new.
    pub(super) fn pause(&mut self, host: u32, paused: bool) -> bool {
        let Some(process) = self.processes.get_mut(&host) else { return false };
        let is_new = process.is_paused != paused;
        process.is_paused = paused;
        let signal = if paused { Signal::SIGSTOP } else { Signal::SIGCONT };
        is_new && kill(Pid::from_raw(process.child.id().cast_signed()), signal).is_ok()
    }

    /// Tells a process, if it runs and listens.
    pub(super) fn order(&mut self, host: u32, order: Order) -> bool {
        let Some(process) = self.processes.get_mut(&host) else { return false };
        process.is_leaving |= order == Order::Leave;
        serde_json::to_string(&order).is_ok_and(|line| writeln!(process.orders, "{line}").is_ok())
    }

    /// Takes what is told until then; yields early when a process has ended that nobody killed.
    pub(super) fn next(&mut self, timeout: Duration) -> Option<Ended> {
        let (host, life, report) = self.lines.recv_timeout(timeout).ok()?;
        let process = self.processes.get_mut(&host)?;
        if process.life != life {
            return None;
        }
        match report {
            Some(Report::Ready { .. }) => process.is_ready = true,
            Some(Report::Ring { ring, members }) => {
                (process.ring, process.members) = (ring, members);
                process.is_primary = false;
            }
            Some(Report::Primary) => process.is_primary = true,
            Some(Report::Progress(progress)) => process.progress = progress,
            Some(Report::Left { .. }) => {}
            None => return self.end_of(host),
        }
        None
    }

    fn end_of(&mut self, host: u32) -> Option<Ended> {
        let mut process = self.processes.remove(&host)?;
        // It may have closed its output and stand still.
        let _ = kill(Pid::from_raw(process.child.id().cast_signed()), Signal::SIGCONT);
        let status = process.child.wait().ok()?;
        let words = fs::read_to_string(&process.words).unwrap_or_default().trim().to_owned();
        Some(Ended {
            status,
            was_ready: process.is_ready,
            was_leaving: process.is_leaving,
            words,
            spec: process.spec,
        })
    }

    /// The traces that are still written.
    pub(super) fn is_live(&self, life: &Life) -> bool {
        self.processes.values().any(|process| process.words == life.words)
    }

    /// What one of them last said to people.
    pub(super) fn words(&self, id: u32) -> String {
        let life = self.lives.iter().rev().find(|life| life.id == id && life.cluster == CLUSTER);
        let text = life.and_then(|life| fs::read_to_string(&life.words).ok()).unwrap_or_default();
        text.lines().rev().take(3).collect::<Vec<_>>().join("; ")
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for process in self.processes.values_mut() {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}
