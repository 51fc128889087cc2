//! What all members saw, and the gap around a fault.

use std::collections::BTreeMap;
use std::time::Duration;

use super::member::Seen;

/// By host.
#[derive(Default, Debug)]
pub(crate) struct Log(BTreeMap<u32, Vec<Seen>>);

/// What a fault did to the members that live.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Effect {
    /// The longest time without a delivery, at the member that fared worst; zero when it was too
    /// short to be told.
    pub(crate) gap: Duration,
    /// From the fault until the last member had the configuration that it leads to; zero when that
    /// was while the fault was being made.
    pub(crate) agreed: Duration,
}

impl Log {
    /// Takes what a member saw.
    pub(crate) fn push(&mut self, host: u32, seen: Seen) {
        self.0.entry(host).or_default().push(seen);
    }

    /// A member begins a new life.
    pub(crate) fn forget(&mut self, host: u32) {
        self.0.remove(&host);
    }

    /// Whether the last configuration of each member of a group is that group.
    pub(crate) fn are_together(&self, group: &[u32]) -> bool {
        group.iter().all(|host| self.configuration(*host).is_some_and(|(_, now)| now == group))
    }

    /// Whether each of them has also delivered a message in it.
    pub(crate) fn have_resumed(&self, group: &[u32]) -> bool {
        let has_resumed = |host: &u32| self.0.get(host).is_some_and(|seen| has_resumed(seen));
        self.are_together(group) && group.iter().all(has_resumed)
    }

    /// What a fault that was made from `begun_ns` on, and was there at `at_ns`, did to these members.
    pub(crate) fn effect(&self, hosts: &[u32], [begun_ns, at_ns]: [u64; 2]) -> Effect {
        let gaps = hosts.iter().filter_map(|host| self.longest_gap(*host, begun_ns));
        let agreed = hosts.iter().filter_map(|host| self.configuration(*host));
        let agreed = agreed.map(|(agreed_ns, _)| agreed_ns.saturating_sub(at_ns));
        let longest = |spans: Option<u64>| Duration::from_nanos(spans.unwrap_or(0));
        Effect { gap: longest(gaps.max()), agreed: longest(agreed.max()) }
    }

    fn configuration(&self, host: u32) -> Option<(u64, &[u32])> {
        self.0.get(&host)?.iter().rev().find_map(|seen| match seen {
            Seen::Configuration { at_ns, members } => Some((*at_ns, members.as_slice())),
            Seen::Gap { .. } | Seen::Resumed { .. } => None,
        })
    }

    /// Of the gaps that ended after `at_ns`, in nanoseconds.
    fn longest_gap(&self, host: u32, at_ns: u64) -> Option<u64> {
        let gaps = self.0.get(&host)?.iter().filter_map(|seen| match seen {
            Seen::Gap { from_ns, to_ns } if *to_ns > at_ns => Some(to_ns - from_ns),
            Seen::Gap { .. } | Seen::Configuration { .. } | Seen::Resumed { .. } => None,
        });
        gaps.max()
    }
}

/// Whether a message has come since the last configuration.
fn has_resumed(seen: &[Seen]) -> bool {
    let mut last = seen.iter().rev();
    let last = last.find(|seen| !matches!(seen, Seen::Gap { .. }));
    matches!(last, Some(Seen::Resumed { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_as_bad_as_for_the_member_that_fared_worst() {
        let mut log = Log::default();
        let configuration =
            |at_ns, members: &[u32]| Seen::Configuration { at_ns, members: members.to_vec() };
        for host in [1, 2, 3] {
            log.push(host, configuration(5, &[1, 2, 3]));
            log.push(host, Seen::Gap { from_ns: 0, to_ns: 90 });
        }
        assert!(log.are_together(&[1, 2, 3]) && !log.are_together(&[1, 2]));
        log.push(1, Seen::Gap { from_ns: 95, to_ns: 120 });
        log.push(1, configuration(130, &[1, 2]));
        assert!(!log.are_together(&[1, 2]));
        log.push(2, configuration(150, &[1, 2]));
        log.push(2, Seen::Gap { from_ns: 99, to_ns: 151 });
        assert!(log.are_together(&[1, 2]));
        let effect = log.effect(&[1, 2], [100, 110]);
        assert_eq!(effect.gap, Duration::from_nanos(52), "those before the fault do not count");
        assert_eq!(effect.agreed, Duration::from_nanos(40));
        let early = log.effect(&[1, 2], [100, 160]);
        let (gap, agreed) = (Duration::from_nanos(52), Duration::ZERO);
        assert_eq!(early, Effect { gap, agreed }, "the fault was not whole yet");
        log.forget(3);
        assert!(!log.are_together(&[3]));
    }

    #[test]
    fn a_fault_is_not_over_before_everybody_delivers_again() {
        let mut log = Log::default();
        let configuration = |at_ns| Seen::Configuration { at_ns, members: vec![1, 2] };
        for host in [1, 2] {
            log.push(host, configuration(5));
            log.push(host, Seen::Gap { from_ns: 1, to_ns: 7 });
            assert!(!log.have_resumed(&[1, 2]));
            log.push(host, Seen::Resumed { at_ns: 7 });
        }
        assert!(log.have_resumed(&[1, 2]) && !log.have_resumed(&[1]));
        log.push(1, Seen::Gap { from_ns: 8, to_ns: 9 });
        assert!(log.have_resumed(&[1, 2]));
        log.push(2, configuration(10));
        assert!(!log.have_resumed(&[1, 2]), "the stall in the last one has no end");
    }
}
