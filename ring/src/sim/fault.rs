//! Faults: what they are, and what they do to the simulated cluster while they last.

use std::time::Duration;

use super::god::Violated;
use super::world::{Happening, World};
use crate::wire::Kind;

/// One of a member's two halves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Half {
    Data,
    Control,
}

/// A fault, with all it needs to begin and to end.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Fault {
    /// Every link loses frames.
    Loss(f64),
    /// One link loses frames.
    LinkLoss { from: usize, to: usize, loss: f64 },
    /// Every link loses frames of one kind.
    KindLoss(Kind, f64),
    /// Every link duplicates frames.
    Duplicate(f64),
    /// Some frames take much longer, so that they arrive after later ones.
    Spikes(f64),
    /// Only hosts in the same component reach each other.
    Partition(Vec<usize>),
    /// Nothing passes from one host to another, in this direction.
    OneWay { from: usize, to: usize },
    /// Two hosts do not reach each other; both reach the rest.
    NonTransitive { a: usize, b: usize },
    /// A member is killed, and started again later.
    Crash { node: usize, back_after: Duration },
    /// A member stands still, wholly or one half of it.
    Pause { node: usize, half: Option<Half> },
    /// What crosses between the halves of every member takes longer.
    SlowHandoff(Duration),
    /// An application does not read.
    SlowConsumer(usize),
    /// A disk takes long to write.
    SlowDisks(Duration),
    /// A disk refuses to write.
    BadDisk(usize),
    /// A member leaves, and is started again later.
    Leave(usize),
    /// What a member multicasts on the ring is lost; its token and all else pass.
    Mute(usize),
    /// A host gets the processor once in so long only: what comes meanwhile waits in its buffers.
    Starve { node: usize, slice: Duration },
    /// An application publishes many long messages at once.
    Flood { node: usize, messages: u64, bytes: (u64, u64) },
    /// The first token that a member got of each of its last rings comes once more.
    Replay(usize),
    /// A fault that strikes when a member reaches a certain step, or never.
    When { node: usize, step: Step, delay: Duration, lasts: Duration, then: Box<Fault> },
}

/// A step of a member at which a fault may strike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Its disk begins to write.
    Writes,
    /// Its worker adopts a ring.
    Adopts,
    /// It installs a ring with others.
    Installs,
    /// It says on a ring that it has not installed that it misses nothing.
    Acknowledges,
}

/// A fault that waits for its step.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Armed {
    step: Step,
    delay: Duration,
    lasts: Duration,
    fault: Fault,
}

impl World {
    pub(super) fn begin(&mut self, fault: Fault) -> Result<(), Violated> {
        if self.healed {
            return Ok(());
        }
        match fault {
            Fault::Crash { node, back_after } => {
                self.kill(node);
                self.at(self.now + back_after, node, Happening::Restart);
                Ok(())
            }
            Fault::Leave(node) => self.leave(node),
            Fault::Replay(node) => {
                self.replay(node);
                Ok(())
            }
            Fault::Flood { node, messages, bytes } => self.flood(node, messages, bytes),
            Fault::When { node, step, delay, lasts, then } => {
                self.nodes[node].armed = Some(Armed { step, delay, lasts, fault: *then });
                Ok(())
            }
            Fault::Pause { node, half } => {
                self.pause(node, half);
                Ok(())
            }
            Fault::SlowConsumer(node) => {
                if let Some(life) = &mut self.nodes[node].life {
                    life.reads = false;
                }
                Ok(())
            }
            fault => {
                self.set(&fault, true);
                Ok(())
            }
        }
    }

    pub(super) fn end(&mut self, fault: Fault) -> Result<(), Violated> {
        match fault {
            Fault::Crash { .. } | Fault::Leave(_) | Fault::Replay(_) | Fault::Flood { .. } => {
                Ok(())
            }
            Fault::Pause { node, .. } => self.resume(node),
            Fault::When { node, .. } => {
                self.nodes[node].armed = None;
                Ok(())
            }
            Fault::SlowConsumer(node) => self.read_again(node),
            fault => {
                self.set(&fault, false);
                Ok(())
            }
        }
    }

    /// A member reached a step: what waited for it strikes.
    pub(super) fn reached(&mut self, node: usize, step: Step) {
        let Some(armed) = self.nodes[node].armed.take_if(|armed| armed.step == step) else {
            return;
        };
        let begin = self.now + armed.delay;
        self.stats.strikes += 1;
        self.at(begin, node, Happening::Begin(armed.fault.clone()));
        self.at(begin + armed.lasts, node, Happening::End(armed.fault));
    }

    /// Turns a fault of the surroundings on or off. Two of one kind at once end together with the
    /// first: simpler than stacking, and the seed decides all the same.
    fn set(&mut self, fault: &Fault, on: bool) {
        let rate = |p: f64| if on { p } else { 0.0 };
        match *fault {
            Fault::Loss(p) => self.network.each_link(|_, _, link| link.loss = rate(p)),
            Fault::LinkLoss { from, to, loss } => {
                self.network.link_mut(from, to).loss = rate(loss);
            }
            Fault::KindLoss(kind, p) => {
                self.network.each_link(|_, _, link| link.kind_loss = on.then_some((kind, p)));
            }
            Fault::Duplicate(p) => self.network.each_link(|_, _, link| link.duplicate = rate(p)),
            Fault::Spikes(p) => self.network.each_link(|_, _, link| link.spike = rate(p)),
            Fault::Partition(ref side) => {
                self.stats.partitions += u64::from(on);
                self.network
                    .each_link(|from, to, link| link.blocked = on && side[from] != side[to]);
            }
            Fault::OneWay { from, to } => {
                self.stats.one_way_cuts += u64::from(on);
                self.network.link_mut(from, to).blocked = on;
            }
            Fault::Mute(node) => {
                self.network.each_link(|from, _, link| link.mute = on && from == node);
            }
            Fault::NonTransitive { a, b } => {
                self.stats.non_transitive_cuts += u64::from(on);
                self.network.link_mut(a, b).blocked = on;
                self.network.link_mut(b, a).blocked = on;
            }
            Fault::SlowHandoff(most) => {
                let clean = Duration::from_micros(5);
                self.handoff_delay.1 = if on { most } else { clean };
            }
            Fault::SlowDisks(most) => {
                self.disk_delay.1 = if on { most } else { Duration::from_millis(3) };
            }
            Fault::BadDisk(node) => self.nodes[node].disk.refuses = on,
            Fault::Starve { node, slice } => {
                self.stats.starvations += u64::from(on);
                self.nodes[node].slice = on.then_some(slice);
            }
            Fault::Crash { .. }
            | Fault::Pause { .. }
            | Fault::SlowConsumer(_)
            | Fault::Leave(_)
            | Fault::Replay(_)
            | Fault::Flood { .. }
            | Fault::When { .. } => {}
        }
    }

    fn pause(&mut self, node: usize, half: Option<Half>) {
        let Some(life) = &mut self.nodes[node].life else { return };
        // Ended by the fault's end.
        let until = Some(crate::time::Time::from_ns(u64::MAX));
        match half {
            None => self.stats.pauses += 1,
            Some(Half::Data) => self.stats.data_pauses += 1,
            Some(Half::Control) => self.stats.control_pauses += 1,
        }
        if half != Some(Half::Control) {
            life.data_half.paused_until = until;
        }
        if half != Some(Half::Data) {
            life.control_half.paused_until = until;
        }
    }

    fn resume(&mut self, node: usize) -> Result<(), Violated> {
        if let Some(life) = &mut self.nodes[node].life {
            life.data_half.paused_until = None;
            life.control_half.paused_until = None;
        }
        self.run_data(node)?;
        self.run_control(node)
    }

    fn read_again(&mut self, node: usize) -> Result<(), Violated> {
        if let Some(life) = &mut self.nodes[node].life {
            life.reads = true;
            self.stats.slow_consumers += u64::from(life.data_side.stream_was_full);
            life.data_side.stream_was_full = false;
            life.data_side.stream.clear();
        }
        self.run_data(node)
    }

    /// Ends every fault: what comes now must lead to one ring.
    pub(super) fn heal(&mut self) -> Result<(), Violated> {
        self.network.heal();
        self.handoff_delay.1 = Duration::from_micros(5);
        self.disk_delay.1 = Duration::from_millis(3);
        self.healed = true;
        for node in 0..self.nodes.len() {
            self.nodes[node].armed = None;
            self.nodes[node].disk.refuses = false;
            self.nodes[node].slice = None;
            self.resume(node)?;
            self.read_again(node)?;
            self.start(node)?;
        }
        Ok(())
    }
}
