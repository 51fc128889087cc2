//! Lines for all members while the network and the members change.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::member::Member;
use crate::run::Run;

/// Gives every member a line every few milliseconds until it is ended.
#[derive(Debug)]
pub(crate) struct Chatter {
    members: Arc<Mutex<Vec<Arc<Member>>>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeMap<u32, u64>>,
}

const PAUSE: Duration = Duration::from_millis(4);

impl Chatter {
    /// `line` is what a life is given as its line of a number, from 0.
    pub(crate) fn start(run: &Run, line: fn(life: u32, number: u64) -> String) -> Self {
        let members = Arc::new(Mutex::new(run.live()));
        let stop = Arc::new(AtomicBool::new(false));
        let (theirs, until) = (Arc::clone(&members), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut sent: BTreeMap<u32, u64> = BTreeMap::new();
            while !until.load(Ordering::Acquire) {
                let live = theirs.lock().unwrap_or_else(PoisonError::into_inner).clone();
                for member in live.iter().filter(|member| !member.is_gone()) {
                    let life = member.name.life;
                    let count = sent.entry(life).or_default();
                    member.say(line(life, *count) + "\n");
                    *count += 1;
                }
                thread::sleep(PAUSE);
            }
            sent
        });
        Self { members, stop, thread }
    }

    /// Also gives lines to those that were started since.
    pub(crate) fn follow(&self, run: &Run) {
        *self.members.lock().unwrap_or_else(PoisonError::into_inner) = run.live();
    }

    /// How many lines each life was given.
    pub(crate) fn end(self) -> BTreeMap<u32, u64> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().expect("it does not panic")
    }
}
