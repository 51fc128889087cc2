//! One scenario: a network, the members on it, and what they must have in common in the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use roundel::lan::{self, Lan};
use roundel_ring::sim::check::Verdict;

use crate::judge;
use crate::log::Conf;
use crate::member::{Member, Name};
use crate::{say, scale};

/// How long anything may take before the test fails, and a second more for each time as much to
/// order: far more than it should on a busy host.
const PATIENCE: Duration = Duration::from_secs(60);

/// One scenario at a time: each brings more processes than there are cores.
static SERIAL: Mutex<()> = Mutex::new(());

/// The members' way to the network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    Auto,
    Uring,
    Mmsg,
    Unicast,
    Raw,
}

impl Way {
    /// What the operator asked for, for scenarios that are not about one way.
    pub(crate) fn chosen() -> Self {
        match std::env::var("NET_WAY").as_deref() {
            Err(_) | Ok("" | "auto") => Self::Auto,
            Ok("uring") => Self::Uring,
            Ok("mmsg") => Self::Mmsg,
            Ok("unicast") => Self::Unicast,
            Ok("raw") => Self::Raw,
            Ok(other) => panic!("NET_WAY={other}: use auto, uring, mmsg, unicast or raw"),
        }
    }

    fn options(self, hosts: impl Iterator<Item = u32>, own: u32) -> Vec<String> {
        let fixed = |options: &[&str]| options.iter().map(|&option| option.to_owned()).collect();
        match self {
            Self::Auto => Vec::new(),
            Self::Uring => fixed(&["--io", "uring"]),
            Self::Mmsg => fixed(&["--io", "mmsg"]),
            Self::Raw => fixed(&["--socket", "raw"]),
            Self::Unicast => {
                let mut options: Vec<String> = fixed(&["--mode", "unicast"]);
                for peer in hosts.filter(|host| *host != own).map(Lan::address) {
                    options.extend(["--peer".to_owned(), peer.to_string()]);
                }
                options
            }
        }
    }
}

/// A member to start: on the host of its id unless said otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// Which command, and its first words.
    pub(crate) command: &'static [&'static str],
    pub(crate) id: u32,
    pub(crate) host: u32,
    pub(crate) cluster: &'static str,
    /// Below the scenario's directory.
    pub(crate) state: &'static str,
    pub(crate) options: Vec<String>,
}

impl Spec {
    pub(crate) fn new(id: u32) -> Self {
        let (command, options) = (&["cat"][..], Vec::new());
        Self { command, id, host: id, cluster: "net", state: "state", options }
    }

    pub(crate) fn options(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(|&option| option.to_owned()));
        self
    }
}

/// A running scenario. At its end everything it made is removed; its files stay if it failed.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) lan: Lan,
    /// Every life of every member, in the order of their starts.
    pub(crate) lives: Vec<Arc<Member>>,
    pub(crate) directory: PathBuf,
    name: &'static str,
    way: Way,
    started: Instant,
    _serial: MutexGuard<'static, ()>,
}

impl Run {
    /// A network of so many hosts; `None`, said in a line, where none can be made.
    pub(crate) fn new(name: &'static str, hosts: u32) -> Option<Self> {
        Self::by(Way::chosen(), name, hosts)
    }

    pub(crate) fn by(way: Way, name: &'static str, hosts: u32) -> Option<Self> {
        if let Some(reason) = lan::missing() {
            say(format_args!("{name} skipped: {reason}"));
            return None;
        }
        let serial = SERIAL.lock().unwrap_or_else(PoisonError::into_inner);
        let started = Instant::now();
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let directory = directory.join(format!("net-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).expect("cargo's directory is writable");
        let (lan, lives) = (Lan::new(hosts).expect("a network"), Vec::new());
        let run = Self { lan, lives, directory, name, way, started, _serial: serial };
        if way == Way::Uring
            && let Some(reason) = run.uring_refused()
        {
            say(format_args!("{name} skipped: {reason}"));
            return None;
        }
        Some(run)
    }

    /// Why this build or kernel has no `io_uring`, in its own words.
    fn uring_refused(&self) -> Option<&'static str> {
        static REASON: OnceLock<Option<String>> = OnceLock::new();
        let ask = || {
            let program = Path::new(env!("CARGO_BIN_EXE_roundel"));
            let mut command = self.lan.command(1, program);
            command.args(["cat", "--json", "--io", "uring", "--interface", "eth0", "--id", "1"]);
            command.args(["--linger", "0ms", "--state-dir"]).arg(self.directory.join("probe"));
            let output = command.stdin(Stdio::null()).output().expect("ip starts");
            let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            (!output.status.success()).then_some(text)
        };
        REASON.get_or_init(ask).as_deref()
    }

    /// Starts a member on the host of its number.
    pub(crate) fn start(&mut self, id: u32) -> Arc<Member> {
        self.start_as(&Spec::new(id))
    }

    /// Starts members 1 … n.
    pub(crate) fn start_all(&mut self, members: u32) -> Vec<Arc<Member>> {
        (1..=members).map(|id| self.start(id)).collect()
    }

    pub(crate) fn start_as(&mut self, spec: &Spec) -> Arc<Member> {
        let life = u32::try_from(self.lives.len()).expect("few lives") + 1;
        let Spec { id, cluster, .. } = *spec;
        let trace = self.directory.join(format!("{cluster}-{id}.{life}.jsonl"));
        let mut command = self.lan.command(spec.host, Path::new(env!("CARGO_BIN_EXE_roundel")));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ROUNDEL_") {
                command.env_remove(name);
            }
        }
        command.args(spec.command);
        command.args(["--json", "--interface", "10.77.0.0/24", "--cluster", cluster]);
        command.args(["--log", "info"]);
        command.arg("--id").arg(id.to_string());
        command.arg("--state-dir").arg(self.directory.join(spec.state));
        command.arg("--trace").arg(&trace);
        command.args(self.way.options(self.lan.hosts(), spec.host)).args(&spec.options);
        let name = Name { cluster: cluster.to_owned(), id, life };
        let member = Arc::new(Member::start(command, name, trace, spec.command != ["cat"]));
        self.lives.push(Arc::clone(&member));
        member
    }

    /// Members that were not told to end.
    pub(crate) fn live(&self) -> Vec<Arc<Member>> {
        self.lives.iter().filter(|member| !member.is_gone()).cloned().collect()
    }

    /// Waits until `done`, or fails and says where everybody stands.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, mut done: impl FnMut() -> bool) {
        let patience = PATIENCE + Duration::from_secs(scale());
        let deadline = Instant::now() + patience;
        while !done() {
            if Instant::now() > deadline {
                let lives: Vec<String> = self.lives.iter().map(|one| one.describe()).collect();
                panic!("{}: not within {patience:?}: {what}\n{}", self.name, lives.join("\n"));
            }
            thread::sleep(Duration::from_millis(3));
        }
    }

    /// Waits until these members are in one regular configuration of exactly themselves.
    #[track_caller]
    pub(crate) fn wait_ring(&self, members: &[Arc<Member>]) {
        let what = format!("one ring of {:?}", ids(members));
        self.wait(&what, || are_one_ring(members));
    }

    /// Waits until each of these members has delivered so many more messages, or as many times
    /// more as there are to be.
    #[track_caller]
    pub(crate) fn wait_progress(&self, members: &[Arc<Member>], messages: u64) {
        let goals: Vec<u64> =
            members.iter().map(|one| one.log().messages + messages * scale()).collect();
        let what = format!("{messages} more messages at each of {:?}", ids(members));
        self.wait(&what, || {
            members.iter().zip(&goals).all(|(member, goal)| member.log().messages >= *goal)
        });
    }

    /// Ends the load, and waits until all is delivered and nothing happens any more; then judges
    /// order and traces of this quiet point.
    #[track_caller]
    pub(crate) fn judge_quiet(&self) {
        for member in self.live() {
            member.rest();
        }
        for cluster in self.clusters() {
            let (live, lives) = (self.live_of(&cluster), self.lives_of(&cluster));
            let mut cut = None;
            self.wait("a quiet ring of all members that live", || {
                cut = judge::quiet_cut(&live, &lives);
                cut.is_some()
            });
            judge::together(&lives);
            let verdict = judge::traces(&cut.expect("waited for"), true);
            println!("{}: {} instances judged at rest", self.name, verdict.instances());
        }
    }

    /// Has some more lines ordered, judges at rest, lets everybody leave, and judges the traces
    /// whole.
    #[track_caller]
    pub(crate) fn finish(self) {
        for member in self.live() {
            member.rest();
            member.publish(10, 64);
        }
        self.conclude();
    }

    /// Judges at rest, lets everybody leave, and judges the traces whole; yields the verdict.
    #[track_caller]
    pub(crate) fn conclude(self) -> Verdict {
        self.judge_quiet();
        self.leave_all();
        let mut all = Verdict::empty();
        for cluster in self.clusters() {
            let lives = self.lives_of(&cluster);
            let histories = judge::ended_histories(&lives);
            let verdict = judge::traces(&histories, false);
            println!("{}: {} instances judged in the end", self.name, verdict.instances());
            all.add(&verdict);
        }
        println!("{}: {:.1} s", self.name, self.started.elapsed().as_secs_f64());
        all
    }

    /// Asks all to leave and sees that they do.
    #[track_caller]
    pub(crate) fn leave_all(&self) {
        let live = self.live();
        for member in &live {
            member.ask_to_leave();
        }
        for member in live {
            self.wait("the end of a member that was asked to leave", || member.exit().is_some());
            self.wait("the rest of its output", || member.log().ended);
            judge::ended_well(&member);
        }
    }

    fn clusters(&self) -> Vec<String> {
        let mut clusters: Vec<String> =
            self.lives.iter().map(|member| member.name.cluster.clone()).collect();
        clusters.sort_unstable();
        clusters.dedup();
        clusters
    }

    fn lives_of(&self, cluster: &str) -> Vec<Arc<Member>> {
        self.lives.iter().filter(|one| one.name.cluster == cluster).cloned().collect()
    }

    fn live_of(&self, cluster: &str) -> Vec<Arc<Member>> {
        self.live().into_iter().filter(|one| one.name.cluster == cluster).collect()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        for member in self.live() {
            member.kill();
        }
        if thread::panicking() {
            say(format_args!("{} failed; its files: {}", self.name, self.directory.display()));
        } else {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

pub(crate) fn ids(members: &[Arc<Member>]) -> Vec<u32> {
    let mut ids: Vec<u32> = members.iter().map(|member| member.id()).collect();
    ids.sort_unstable();
    ids
}

pub(crate) fn are_one_ring(members: &[Arc<Member>]) -> bool {
    let ids = ids(members);
    let confs: Vec<Option<Conf>> =
        members.iter().map(|member| member.log().regular().cloned()).collect();
    let ring = confs.first().and_then(|conf| conf.as_ref().map(|conf| conf.ring));
    ring.is_some()
        && confs.iter().flatten().count() == members.len()
        && confs.iter().flatten().all(|conf| Some(conf.ring) == ring && conf.members == ids)
}
