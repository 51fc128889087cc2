//! Members on hosts of their own, each a process of this program, and what they tell.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::{Duration, Instant};

use roundel::lan::Lan;
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use crate::exit::Stop;

/// Lines that wait to be looked at; members that tell more wait.
const LINES_MAX: usize = 4096;

/// Longest wait without looking whether it was interrupted.
const PAUSE: Duration = Duration::from_millis(5);

/// The members and the network between them; all end with it.
pub(crate) struct Fleet<T> {
    // Before the network, which would take what runs there with it.
    members: BTreeMap<u32, Member>,
    lan: Arc<Lan>,
    program: PathBuf,
    states: TempDir,
    interrupted: Arc<AtomicBool>,
    sender: SyncSender<Line<T>>,
    lines: Receiver<Line<T>>,
}

struct Member {
    child: Option<Child>,
    life: u32,
}

/// What a member told.
pub(crate) struct Line<T> {
    pub(crate) host: u32,
    /// Counts the member's starts.
    pub(crate) life: u32,
    /// Nothing at the end of its output.
    pub(crate) told: Option<T>,
}

impl<T: DeserializeOwned + Send + 'static> Fleet<T> {
    /// Hosts, and nothing on them yet.
    pub(crate) fn new(hosts: u32, interrupted: Arc<AtomicBool>) -> Result<Self, Stop> {
        let (sender, lines) = mpsc::sync_channel(LINES_MAX);
        Ok(Self {
            members: BTreeMap::new(),
            lan: Arc::new(Lan::new(hosts)?),
            program: std::env::current_exe()?,
            states: tempfile::tempdir()?,
            interrupted,
            sender,
            lines,
        })
    }

    /// The network.
    pub(crate) const fn lan(&self) -> &Arc<Lan> {
        &self.lan
    }

    /// Starts a member with the host's number as its id, for the first time or again.
    pub(crate) fn start(&mut self, host: u32, arguments: &[String]) -> Result<(), Stop> {
        let mut command = self.lan.command(host, &self.program);
        command.args(arguments).args(["--interface", "eth0", "--id", &host.to_string()]);
        command.arg("--state-dir").arg(self.states.path());
        // A group of its own: Ctrl-C on the terminal is for the parent, which ends it properly.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.spawn();
        let mut child =
            child.map_err(|error| Stop::Failed(format!("no member starts: {error}")))?;
        let output = child.stdout.take();
        let member = self.members.entry(host).or_insert(Member { child: None, life: 0 });
        member.child = Some(child);
        member.life += 1;
        let (life, sender) = (member.life, self.sender.clone());
        let Some(output) = output else { return Ok(()) };
        let follow = move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let Ok(told) = serde_json::from_str(&line) else { continue };
                if sender.send(Line { host, life, told: Some(told) }).is_err() {
                    return;
                }
            }
            let _ = sender.send(Line { host, life, told: None });
        };
        std::thread::Builder::new().name("perf-follow".to_owned()).spawn(follow)?;
        Ok(())
    }

    /// Kills a member, which has no time to say anything.
    pub(crate) fn kill(&mut self, host: u32) -> Result<(), Stop> {
        let child = self.members.get_mut(&host).and_then(|member| member.child.take());
        let Some(mut child) = child else { return Ok(()) };
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Tells the members that run.
    pub(crate) fn order(&mut self, word: &str) -> io::Result<()> {
        for child in self.members.values_mut().filter_map(|member| member.child.as_mut()) {
            if let Some(input) = &mut child.stdin {
                writeln!(input, "{word}")?;
            }
        }
        Ok(())
    }

    /// The member's process, while nobody has ended it.
    pub(crate) fn process(&self, host: u32) -> Option<u32> {
        self.members.get(&host)?.child.as_ref().map(Child::id)
    }

    /// Counts the member's starts.
    pub(crate) fn life(&self, host: u32) -> u32 {
        self.members.get(&host).map_or(0, |member| member.life)
    }

    /// How a member's process ended that nobody ended here.
    pub(crate) fn ended(&mut self, host: u32) -> Option<ExitStatus> {
        self.members.get_mut(&host)?.child.take()?.wait().ok()
    }

    /// What is told next, until then; nothing when that has come.
    pub(crate) fn next(&mut self, until: Instant) -> Result<Option<Line<T>>, Stop> {
        loop {
            if self.interrupted.load(Ordering::Relaxed) {
                return Err(Stop::Interrupted);
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left.min(PAUSE)) {
                Ok(line) => return Ok(Some(line)),
                Err(_) if left.is_zero() => return Ok(None),
                Err(_) => {}
            }
        }
    }
}

impl<T> Drop for Fleet<T> {
    fn drop(&mut self) {
        for child in self.members.values_mut().filter_map(|member| member.child.as_mut()) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
