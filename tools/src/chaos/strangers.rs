//! Who does not belong there: second members of an id, and members of another cluster.

use std::path::Path;
use std::time::{Duration, Instant};

use super::fleet::{CLUSTER, FOREIGN, Spec};
use super::scene::{Miss, Outcome, Scene, end, failed, ran};

/// A second by the clock, by which lives of one id on different disks are told apart.
const CLOCK_STEP: Duration = Duration::from_millis(1_100);

impl Scene {
    /// A second member of an id, on another host and disk.
    pub(super) fn twin(&mut self, id: u32) -> Outcome {
        let age = self.fleet.process(id).map(|process| process.started.elapsed());
        if age.is_none_or(|age| age < CLOCK_STEP) {
            return Err(format!("member {id} was started within the same second").into());
        }
        let host = self.members + 1;
        // What an earlier one left there is not what this one knows.
        self.disks.clear(host);
        let started = self.start_as(host, id, CLUSTER, None);
        end(ran(started.map_err(failed("it cannot be started"))?))
    }

    /// The first one has ended, since the twin started later.
    pub(super) fn twin_end(&mut self, id: u32) -> Outcome {
        let host = self.members + 1;
        let twin = self.fleet.process(host).map(|process| (process.started, process.is_ready));
        let struck = u64::from(self.fleet.process(id).is_none());
        let none = || "the second one does not run".to_owned();
        let (started, is_ready) = twin.ok_or_else(none)?;
        let until = started + CLOCK_STEP;
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
        self.fleet.kill(host);
        if struck == 0 && is_ready {
            let what = format!("member {id} did not end beside one that started later");
            return Err(Miss::Wrong(what));
        }
        if struck > 0 && self.policy.is_dynamic() {
            // Its votes were on the other disk, which is gone: it must not stand for what it missed.
            self.disks.forget_votes(id);
        }
        Ok(struck)
    }

    /// A second member of an id, on its host and disk.
    pub(super) fn second(&mut self, id: u32) -> Outcome {
        let host = self.members + 1;
        let (state, lan) = (self.disks.of(id), &self.lan);
        if self.fleet.process(id).is_none_or(|process| !process.is_ready) {
            return Err(format!("member {id} does not run").into());
        }
        let primary = self.policy.option.clone();
        let spec = Spec { host, id, cluster: CLUSTER, state, receive_buffer: None, primary };
        // It is known by the spare host's number and runs on the member's own.
        let command = |program: &Path| lan.command(id, program);
        let started = self.fleet.start(spec, command, &self.traces);
        end(ran(started.map_err(failed("it cannot be started"))?))
    }

    /// The second one was refused, and the first one went on.
    pub(super) fn second_end(&mut self, id: u32) -> Outcome {
        let was_refused = !self.fleet.kill(self.members + 1);
        let goes_on = self.fleet.process(id).is_some();
        let both = "two members of one id and state directory ran";
        if was_refused && goes_on { Ok(1) } else { Err(Miss::Wrong(both.to_owned())) }
    }

    /// Two members of another cluster, with ids of this one's.
    pub(super) fn foreign(&mut self) -> Outcome {
        for id in [1, 2] {
            let host = self.members + 1 + id;
            self.start_as(host, id, FOREIGN, None).map_err(failed("it cannot be started"))?;
        }
        Ok(0)
    }

    /// They came together, and only they.
    pub(super) fn foreign_end(&mut self) -> Outcome {
        let hosts = [self.members + 2, self.members + 3];
        let met = |host: &u32| self.fleet.process(*host).is_some_and(|one| one.members == [1, 2]);
        let struck = u64::from(hosts.iter().all(met));
        for host in hosts {
            self.fleet.kill(host);
        }
        Ok(struck)
    }
}
