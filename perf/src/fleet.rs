//! Members on hosts of their own, each a process of this program, and what they tell.

use std::io;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use roundel::lan::Lan;
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use crate::children::{self, Children, Line};
use crate::exit::Stop;

/// Longest wait without looking whether it was interrupted.
const PAUSE: Duration = Duration::from_millis(5);

/// The members and the network between them; all end with it.
pub(crate) struct Fleet<T> {
    // Before the network, which would take what runs there with it.
    members: Children,
    lan: Arc<Lan>,
    program: PathBuf,
    /// What members keep, and the program.
    folder: TempDir,
    interrupted: Arc<AtomicBool>,
    tells: PhantomData<T>,
}

/// What a member told.
pub(crate) struct Word<T> {
    pub(crate) host: u32,
    /// Counts the member's starts.
    pub(crate) life: u32,
    /// Nothing at the end of its output.
    pub(crate) told: Option<T>,
}

impl<T: DeserializeOwned> Fleet<T> {
    /// Hosts, and nothing on them yet.
    pub(crate) fn new(hosts: u32, interrupted: Arc<AtomicBool>) -> Result<Self, Stop> {
        let folder = tempfile::tempdir()?;
        Ok(Self {
            members: Children::new(),
            lan: Arc::new(Lan::new(hosts)?),
            program: children::copy_of_program(folder.path())?,
            folder,
            interrupted,
            tells: PhantomData,
        })
    }

    /// The network.
    pub(crate) const fn lan(&self) -> &Arc<Lan> {
        &self.lan
    }

    /// Starts a member with the host's number as its id, for the first time or again.
    pub(crate) fn start(&mut self, host: u32, arguments: &[String]) -> Result<(), Stop> {
        let mut command = self.lan.command(host, &self.program);
        children::without_options(&mut command);
        command.args(arguments).args(["--interface", "eth0", "--id", &host.to_string()]);
        command.arg("--state-dir").arg(self.folder.path());
        let started = self.members.start(host, &mut command);
        started.map_err(|error| Stop::Failed(format!("no member starts: {error}")))
    }

    /// Kills a member, which has no time to say anything.
    pub(crate) fn kill(&mut self, host: u32) {
        self.members.kill(host);
    }

    /// Tells the members that run.
    pub(crate) fn order(&mut self, word: &str) -> io::Result<()> {
        self.members.tell(word)
    }

    /// The member's process, while nobody has ended it.
    pub(crate) fn process(&self, host: u32) -> Option<u32> {
        self.members.ids().find(|(at, _)| *at == host).map(|(_, process)| process)
    }

    /// Counts the member's starts.
    pub(crate) fn life(&self, host: u32) -> u32 {
        self.members.life(host)
    }

    /// How a member's process ended that nobody ended here.
    pub(crate) fn ended(&mut self, host: u32) -> Option<ExitStatus> {
        self.members.ended(host)
    }

    /// What is told next, until then; nothing when that has come.
    pub(crate) fn next(&mut self, until: Instant) -> Result<Option<Word<T>>, Stop> {
        loop {
            if self.interrupted.load(Ordering::Relaxed) {
                return Err(Stop::Interrupted);
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.members.next(left.min(PAUSE)) {
                Some(Line { host, life, said: None }) => {
                    return Ok(Some(Word { host, life, told: None }));
                }
                Some(Line { host, life, said: Some(line) }) => {
                    let Ok(told) = serde_json::from_str(&line) else { continue };
                    return Ok(Some(Word { host, life, told: Some(told) }));
                }
                None if left.is_zero() => return Ok(None),
                None => {}
            }
        }
    }
}
