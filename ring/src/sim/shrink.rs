//! From a schedule that fails to the least one that still does: fewer faults (delta debugging),
//! then fewer hosts, plainer surroundings, fewer messages, less time.

use std::time::Duration;

use super::buffer::BufferSize;
use super::fault::Fault;
use super::node::MTU_BYTES;
use super::plan::Planned;
use super::schedule::{Demands, Host, Schedule, Tunables};
use super::units::whole_micros;

/// Seeds with which a smaller schedule is tried: what comes from the seed may have to come
/// otherwise for it to fail.
const SEEDS: u64 = 3;

/// Rounds over everything that can be made smaller; what one takes away may free another.
const ROUNDS_MAX: usize = 4;

/// Makes a schedule that fails smaller, as long as `fails` says that it still does.
///
/// Calls `fails` some hundred times.
pub fn shrink(schedule: &Schedule, fails: &mut dyn FnMut(&Schedule) -> bool) -> Schedule {
    let mut shrinking = Shrinking { least: schedule.clone(), fails };
    for _ in 0..ROUNDS_MAX {
        let before = shrinking.least.clone();
        shrinking.take_faults();
        shrinking.take_hosts();
        shrinking.make_plain();
        shrinking.take_messages();
        shrinking.take_time();
        if shrinking.least == before {
            break;
        }
    }
    shrinking.least
}

struct Shrinking<'f> {
    least: Schedule,
    fails: &'f mut dyn FnMut(&Schedule) -> bool,
}

impl Shrinking<'_> {
    /// Keeps `smaller` if it fails, with its seed or another.
    fn try_out(&mut self, smaller: Schedule) -> bool {
        if smaller == self.least || smaller.validate().is_err() {
            return false;
        }
        let seed = smaller.seed;
        let mut candidate = smaller;
        for another in 0..SEEDS {
            candidate.seed = seed.wrapping_add(another << 32);
            if (self.fails)(&candidate) {
                self.least = candidate;
                return true;
            }
        }
        false
    }

    fn try_change(&mut self, change: impl FnOnce(&mut Schedule)) -> bool {
        let mut smaller = self.least.clone();
        change(&mut smaller);
        self.try_out(smaller)
    }

    /// Delta debugging: takes away halves of the faults, then quarters, and so on.
    fn take_faults(&mut self) {
        let mut pieces = 2;
        while !self.least.faults.is_empty() {
            let count = self.least.faults.len();
            let length = count.div_ceil(pieces);
            let mut from = 0;
            let mut took = false;
            while from < self.least.faults.len() {
                let to = (from + length).min(self.least.faults.len());
                if self.try_change(|it| drop(it.faults.drain(from..to))) {
                    took = true;
                } else {
                    from = to;
                }
            }
            if length == 1 && !took {
                break;
            }
            pieces = if took { 2 } else { pieces * 2 };
        }
    }

    fn take_hosts(&mut self) {
        for host in (0..self.least.hosts.len()).rev() {
            if self.least.hosts.len() > 1 {
                self.try_change(|it| it.remove_host(host));
            }
        }
    }

    /// One surrounding after the other is made as it usually is.
    fn make_plain(&mut self) {
        let loses_disks = |it: &Planned| matches!(it.fault, Fault::LoseDisk { .. });
        self.try_change(|it| it.demands = Demands::None);
        self.try_change(|it| it.tunables = Tunables::usual());
        self.try_change(|it| it.workload.huge = 0);
        self.try_change(|it| it.workload.large = 0.0);
        self.try_change(|it| it.workload.silence = Duration::ZERO);
        self.try_change(|it| (it.workload.safe, it.workload.agreed) = (0.0, 1.0));
        for host in 0..self.least.hosts.len() {
            self.try_change(|it| it.hosts[host].buffer = BufferSize::UNLIMITED);
            self.try_change(|it| it.hosts[host].mtu_bytes = MTU_BYTES);
            self.try_change(|it| it.hosts[host].starts_at = Duration::ZERO);
        }
        self.try_change(|it| it.hosts.iter_mut().for_each(Host::forget_ceiling));
        if !self.least.faults.iter().any(loses_disks) {
            self.try_change(|it| it.hosts.iter_mut().for_each(|host| host.clock_s = None));
        }
    }

    fn take_messages(&mut self) {
        if self.try_change(|it| it.workload.interval = None) {
            return;
        }
        for only in 0..self.least.hosts.len() {
            if self.least.workload.only.is_none() {
                self.try_change(|it| it.workload.only = Some(only));
            }
        }
        let mut most = 1_024;
        while most > 0 && self.try_change(|it| it.workload.messages_max = most) {
            most /= 2;
        }
    }

    fn take_time(&mut self) {
        let ends = |it: &Planned| it.at + it.lasts;
        let last = self.least.faults.iter().map(ends).max().unwrap_or_default();
        self.try_change(|it| it.chaos = it.chaos.min(last));
        while self.try_change(|it| it.chaos = whole_micros(it.chaos / 2)) {}
        for at in 0..self.least.faults.len() {
            while self.least.faults[at].lasts > Duration::from_millis(1)
                && self.try_change(|it| {
                    it.faults[at].lasts = whole_micros(it.faults[at].lasts / 2);
                })
            {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Scenario;

    /// Stands in for a defect that one fault on one host shows.
    #[test]
    fn what_does_not_matter_goes() {
        let schedule = (0..50).map(|seed| Schedule::draw(&Scenario::new(seed)));
        let is_leave = |it: &Planned| matches!(it.fault, Fault::Leave { .. });
        let schedules = schedule.filter(|it| it.faults.iter().any(is_leave));
        let mut shrunk = 0;
        for schedule in schedules {
            let least = shrink(&schedule, &mut |it| it.faults.iter().any(is_leave));
            assert_eq!((least.faults.len(), least.hosts.len()), (1, 1), "{least:?}");
            assert_eq!(least.workload.interval, None);
            assert!(least.validate().is_ok() && least.chaos.is_zero());
            shrunk += 1;
        }
        assert!(shrunk > 5, "{shrunk} schedules");
    }
}
