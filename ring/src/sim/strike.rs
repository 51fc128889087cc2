//! What faults do to the simulated cluster while they last.

use std::time::Duration;

use super::fault::{Armed, Fault, Half, Step};
use super::god::Violated;
use super::world::{CLEAN_DISK, CLEAN_HANDOFF, Happening, World};
use crate::time::Time;

impl World {
    pub(super) fn begin(&mut self, fault: Fault) -> Result<(), Violated> {
        if self.healed {
            return Ok(());
        }
        match fault {
            Fault::Crash { node, back_after } => self.kill_for(node, back_after),
            Fault::Storm { apart } => {
                self.stats.storms += 1;
                for (node, back_after) in (0..self.nodes.len()).zip(0..) {
                    self.kill_for(node, back_after * apart);
                }
            }
            Fault::Readdress { node, back_after } => {
                self.stats.new_addresses += u64::from(self.nodes[node].life.is_some());
                self.kill_for(node, back_after);
                self.nodes[node].addresses = self.nodes[node].addresses.wrapping_add(1);
            }
            Fault::LoseDisk { node, back_after } => {
                self.stats.lost_disks += u64::from(self.nodes[node].life.is_some());
                self.kill_for(node, back_after);
                self.nodes[node].disk.forget();
                self.nodes[node].out_until = self.now + back_after;
            }
            Fault::WallStep { node, seconds } => {
                self.stats.wall_steps += 1;
                let clock = &mut self.nodes[node].clock_s;
                *clock = clock.map(|at| at.saturating_add_signed(seconds));
            }
            Fault::Leave { node } => self.leave(node)?,
            Fault::Replay { node } => self.replay(node),
            Fault::Strangers { every } => {
                self.strangers = Some(every);
                self.at(self.now, 0, Happening::Stranger);
            }
            Fault::Flood { node, messages, bytes } => self.flood(node, messages, bytes)?,
            Fault::When { node, step, delay, lasts, then } => {
                self.nodes[node].armed.push(Armed { step, delay, lasts, fault: *then });
            }
            Fault::Pause { node, half } => self.pause(node, half),
            Fault::SlowConsumer { node } => {
                if let Some(life) = &mut self.nodes[node].life {
                    life.reads = false;
                }
            }
            fault => self.set(&fault, true),
        }
        Ok(())
    }

    pub(super) fn end(&mut self, fault: Fault) -> Result<(), Violated> {
        match fault {
            Fault::Crash { .. }
            | Fault::Storm { .. }
            | Fault::Readdress { .. }
            | Fault::LoseDisk { .. }
            | Fault::WallStep { .. }
            | Fault::Leave { .. }
            | Fault::Replay { .. }
            | Fault::Flood { .. } => {}
            Fault::Strangers { .. } => self.strangers = None,
            Fault::Pause { node, .. } => self.resume(node)?,
            Fault::When { node, step, .. } => {
                let armed = &mut self.nodes[node].armed;
                if let Some(at) = armed.iter().position(|armed| armed.step == step) {
                    armed.remove(at);
                }
            }
            Fault::SlowConsumer { node } => self.read_again(node)?,
            fault => self.set(&fault, false),
        }
        Ok(())
    }

    /// A member reached a step: what waited for it strikes. A crash without a delay strikes before
    /// anything else happens: the caller has to look whether the member still lives.
    pub(super) fn reached(&mut self, node: usize, step: Step) {
        let armed = &mut self.nodes[node].armed;
        let Some(at) = armed.iter().position(|armed| armed.step == step) else { return };
        let armed = armed.remove(at);
        self.stats.strikes += 1;
        if let Fault::Crash { back_after, .. } = armed.fault
            && armed.delay.is_zero()
        {
            match step {
                Step::Gathers => self.stats.crashes_in_gather += 1,
                Step::Writes => self.stats.crashes_before_a_write += 1,
                Step::Written => self.stats.crashes_after_a_write += 1,
                Step::Installs => self.stats.crashes_after_installation += 1,
                Step::Adopts | Step::Acknowledges => {}
            }
            self.kill_for(node, back_after);
            return;
        }
        let begin = self.now + armed.delay;
        self.at(begin, node, Happening::Begin(armed.fault.clone()));
        self.at(begin + armed.lasts, node, Happening::End(armed.fault));
    }

    fn kill_for(&mut self, node: usize, back_after: Duration) {
        self.kill(node);
        self.at(self.now + back_after, node, Happening::Restart);
    }

    /// Turns a fault of the surroundings on or off. Two of one kind at once end together with the
    /// first: simpler than stacking, and the seed decides all the same.
    fn set(&mut self, fault: &Fault, on: bool) {
        match *fault {
            Fault::SlowHandoff { most } => {
                self.handoff_delay.1 = if on { most } else { CLEAN_HANDOFF.1 };
            }
            Fault::SlowDisks { most } => {
                self.disk_delay.1 = if on { most } else { CLEAN_DISK.1 };
            }
            Fault::BadDisk { node } => self.nodes[node].disk.refuses = on,
            Fault::Starve { node, slice } => {
                self.stats.starvations += u64::from(on);
                self.nodes[node].slice = on.then_some(slice);
            }
            Fault::SendFails { node, rate } => {
                self.network.uplink_mut(node).fails = if on { rate } else { 0.0 };
            }
            Fault::Bandwidth { node, bytes_per_ms } => {
                self.network.uplink_mut(node).bytes_per_ms = on.then_some(bytes_per_ms);
            }
            Fault::Partition { .. } => self.stats.partitions += u64::from(on),
            Fault::OneWay { .. } => self.stats.one_way_cuts += u64::from(on),
            Fault::NonTransitive { .. } => self.stats.non_transitive_cuts += u64::from(on),
            Fault::InterfaceDown { .. } => self.stats.interfaces_down += u64::from(on),
            _ => {}
        }
        self.set_links(fault, on);
    }

    fn set_links(&mut self, fault: &Fault, on: bool) {
        let rate = |p: f64| if on { p } else { 0.0 };
        let network = &mut self.network;
        match *fault {
            Fault::Loss { rate: p } => network.each_link(|_, _, link| link.loss = rate(p)),
            Fault::LinkLoss { from, to, rate: p } => network.link_mut(from, to).loss = rate(p),
            Fault::KindLoss { frame, rate: p } => {
                network.each_link(|_, _, link| link.kind_loss = on.then_some((frame, p)));
            }
            Fault::Bursts { rate: p, frames } => {
                network.each_link(|_, _, link| link.bursts = (rate(p), frames));
            }
            Fault::Duplicate { rate: p } => {
                network.each_link(|_, _, link| link.duplicate = rate(p));
            }
            Fault::Spikes { rate: p } => network.each_link(|_, _, link| link.spike = rate(p)),
            Fault::Damage { rate: p } => network.each_link(|_, _, link| link.damage = rate(p)),
            Fault::BlackHole { frame_bytes } => {
                let most = if on { frame_bytes } else { usize::MAX };
                network.each_link(|_, _, link| link.frame_bytes_max = most);
            }
            Fault::Mute { node } => {
                network.each_link(|from, _, link| link.mute = on && from == node);
            }
            Fault::Partition { ref side } => {
                network.each_link(|from, to, link| link.blocked = on && side[from] != side[to]);
            }
            Fault::OneWay { from, to } => network.link_mut(from, to).blocked = on,
            Fault::NonTransitive { a, b } => {
                network.link_mut(a, b).blocked = on;
                network.link_mut(b, a).blocked = on;
            }
            Fault::InterfaceDown { node } => {
                network.each_link(|from, to, link| {
                    if (from == node) != (to == node) {
                        link.blocked = on;
                    }
                });
            }
            _ => {}
        }
    }

    fn pause(&mut self, node: usize, half: Option<Half>) {
        let Some(life) = &mut self.nodes[node].life else { return };
        // Ended by the fault's end.
        let until = Some(Time::from_ns(u64::MAX));
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
        }
        self.read(node)
    }

    /// Ends every fault: what comes now must lead to one ring.
    pub(super) fn heal(&mut self) -> Result<(), Violated> {
        self.network.heal();
        self.handoff_delay = CLEAN_HANDOFF;
        self.disk_delay = CLEAN_DISK;
        self.strangers = None;
        self.healed = true;
        for node in 0..self.nodes.len() {
            self.nodes[node].armed.clear();
            self.nodes[node].disk.refuses = false;
            self.nodes[node].slice = None;
            self.resume(node)?;
            self.read_again(node)?;
            self.at(self.now.max(self.nodes[node].out_until), node, Happening::Restart);
        }
        Ok(())
    }
}
