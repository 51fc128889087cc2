//! The members' processes.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::history::Trace;
use super::place::Place;
use super::words::{Order, Progress, Report};

/// How long members may take to leave.
const LEAVE_PATIENCE: Duration = Duration::from_secs(6);

/// A line of a member: whose, in which life, and nothing at its end.
type Line = (u8, u32, Option<Report>);

/// All members. None outlives this value; none outlives this process either.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) members: Vec<Member>,
    program: PathBuf,
    pace: u32,
    sender: Sender<Line>,
    lines: Receiver<Line>,
    /// Of all lives so far.
    traces: Vec<(u8, u32, bool)>,
}

/// A member as its parent knows it.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: u8,
    life: u32,
    running: Option<Running>,
    /// Members of its last regular configuration.
    pub(super) members: Vec<u32>,
    pub(super) ring: (u64, u32),
    pub(super) progress: Option<Progress>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    orders: ChildStdin,
}

impl Member {
    /// Its process, while it runs.
    pub(super) fn process(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.child.id())
    }

    /// It runs, and its ring has so many members.
    pub(super) fn is_in_ring_of(&self, members: usize) -> bool {
        self.running.is_some() && self.members.len() == members
    }
}

impl Fleet {
    pub(super) fn new(nodes: u8, pace: u32) -> io::Result<Self> {
        let program = std::env::current_exe()?;
        let (sender, lines) = mpsc::channel();
        let member = |id| Member {
            id,
            life: 0,
            running: None,
            members: Vec::new(),
            ring: (0, 0),
            progress: None,
        };
        let members = (1..=nodes).map(member).collect();
        Ok(Self { members, program, pace, sender, lines, traces: Vec::new() })
    }

    /// Starts a member, for the first time or again.
    pub(super) fn start(&mut self, id: u8, place: &Place) -> io::Result<()> {
        let Some(member) = self.members.iter_mut().find(|member| member.id == id) else {
            return Ok(());
        };
        member.life += 1;
        let life = member.life;
        let mut command = Command::new(&self.program);
        command.args(["demo-member", "--cluster", &place.cluster, "--log", "error"]);
        command.args(["--id", &id.to_string(), "--port", &place.port.to_string()]);
        command.args(["--interface", &Place::address(id).to_string()]);
        command.args(["--pace", &self.pace.to_string()]);
        command.arg("--state-dir").arg(place.state());
        command.arg("--trace").arg(place.trace(id, life));
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"ROUNDEL_") {
                command.env_remove(name);
            }
        }
        // A group of its own: Ctrl-C on the terminal is for the parent, which ends it properly.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        self.traces.push((id, life, false));
        let (orders, output) = (child.stdin.take(), child.stdout.take());
        let (Some(orders), Some(output)) = (orders, output) else { return Ok(()) };
        member.running = Some(Running { child, orders });
        member.members.clear();
        member.progress = None;
        let sender = self.sender.clone();
        let follow = move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let Ok(report) = serde_json::from_str(&line) else { break };
                if sender.send((id, life, Some(report))).is_err() {
                    return;
                }
            }
            let _ = sender.send((id, life, None));
        };
        std::thread::Builder::new().name("demo-member".to_owned()).spawn(follow).map(|_| ())
    }

    /// A real `kill -9`, and the end of the process awaited.
    pub(super) fn kill(&mut self, id: u8) -> io::Result<()> {
        let Some(member) = self.members.iter_mut().find(|member| member.id == id) else {
            return Ok(());
        };
        if let Some(mut running) = member.running.take() {
            running.child.kill()?;
            running.child.wait()?;
        }
        member.members.clear();
        member.progress = None;
        let life = member.life;
        self.note_killed(id, life);
        Ok(())
    }

    /// The history of this life has no last line.
    fn note_killed(&mut self, id: u8, life: u32) {
        for trace in self.traces.iter_mut().filter(|trace| (trace.0, trace.1) == (id, life)) {
            trace.2 = true;
        }
    }

    /// Tells a running member.
    pub(super) fn order(&mut self, id: u8, order: Order) -> io::Result<()> {
        let member = self.members.iter_mut().find(|member| member.id == id);
        if let Some(running) = member.and_then(|member| member.running.as_mut()) {
            writeln!(running.orders, "{}", order.word())?;
        }
        Ok(())
    }

    pub(super) fn order_all(&mut self, order: Order) -> io::Result<()> {
        let ids: Vec<u8> = self.members.iter().map(|member| member.id).collect();
        ids.into_iter().try_for_each(|id| self.order(id, order))
    }

    /// The next report, with its member; `Err` is the end of a member that nobody ended.
    pub(super) fn next(&mut self, timeout: Duration) -> Option<(u8, Result<Report, String>)> {
        let (id, life, report) = match self.lines.recv_timeout(timeout) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
        };
        let member = self.members.iter_mut().find(|member| member.id == id)?;
        if member.life != life || member.running.is_none() {
            return None;
        }
        let Some(report) = report else {
            let status = member.running.take().map(|mut running| running.child.wait());
            let status = status.map_or_else(String::new, |status| match status {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            });
            self.note_killed(id, life);
            return Some((id, Err(status)));
        };
        match &report {
            Report::Ring { ring, members } => {
                member.ring = *ring;
                member.members.clone_from(members);
            }
            Report::Progress(progress) => member.progress = Some(*progress),
            Report::Ready { .. } | Report::Ordered | Report::Measured { .. } => {}
        }
        Some((id, Ok(report)))
    }

    /// All have delivered all there is, in one ring.
    pub(super) fn is_settled(&self) -> bool {
        let Some(first) = self.members.first().and_then(|member| member.progress) else {
            return false;
        };
        let agrees = |member: &Member| {
            member.progress.is_some_and(|progress| {
                let same = |p: Progress| (p.ring, p.delivered_in_ring);
                progress.is_idle && progress.ring == member.ring && same(progress) == same(first)
            })
        };
        self.members.iter().all(agrees)
    }

    /// The histories of all lives so far.
    pub(super) fn traces(&self, place: &Place) -> Vec<Trace> {
        let trace = |&(id, life, is_killed): &(u8, u32, bool)| Trace {
            path: place.trace(id, life),
            is_killed,
        };
        self.traces.iter().map(trace).collect()
    }

    /// Lets all leave; the measurements they tell, by member.
    pub(super) fn leave(&mut self) -> Vec<(u8, Report)> {
        // One that is gone says so by the end of its pipe.
        let _ = self.order_all(Order::Leave);
        let since = Instant::now();
        let mut measured = Vec::new();
        while self.members.iter().any(|member| member.running.is_some())
            && since.elapsed() < LEAVE_PATIENCE
        {
            if let Some((id, Ok(report @ Report::Measured { .. }))) =
                self.next(Duration::from_millis(50))
            {
                measured.push((id, report));
            }
        }
        measured
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for running in self.members.iter_mut().filter_map(|member| member.running.as_mut()) {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}
