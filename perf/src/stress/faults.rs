//! What happens to the members, and when: a plan that a seed decides.

use std::time::Duration;

use clap::ValueEnum;

use super::chance::chance;

/// Faults that are asked for.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Faults {
    None,
    Crashes,
    Partitions,
    All,
}

/// A fault that ends by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// A member is killed, and started again at the end.
    Crash(u32),
    /// These are parted from all others, and joined again at the end.
    Partition(Vec<u32>),
}

/// The next fault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Planned {
    /// How long nothing happens before it.
    pub(super) quiet: Duration,
    pub(super) fault: Fault,
    pub(super) lasts: Duration,
}

impl Faults {
    /// The fault with this number among hosts 1, 2, …; the same for a seed, always.
    pub(super) fn plan(self, seed: u64, number: u64, hosts: u32) -> Option<Planned> {
        let random = |what: u64, below: u64| chance(seed, [number, what]) % below;
        let millis = |what, from, below| Duration::from_millis(from + random(what, below));
        let is_crash = match self {
            Self::None => return None,
            Self::Crashes => true,
            Self::Partitions => false,
            Self::All => random(0, 2) == 0,
        };
        let fault = if is_crash {
            // Above 0, below the number of hosts: it fits.
            Fault::Crash(u32::try_from(random(1, hosts.into())).unwrap_or(0) + 1)
        } else {
            Fault::Partition(part(hosts, |host| random(2 + u64::from(host), 2) == 0))
        };
        // Some faults are over before a membership has formed without the members they hit.
        Some(Planned { quiet: millis(100, 300, 2_700), fault, lasts: millis(101, 50, 1_950) })
    }
}

/// Some of the hosts, and not all.
fn part(hosts: u32, is_in: impl Fn(u32) -> bool) -> Vec<u32> {
    let chosen: Vec<u32> = (1..=hosts).filter(|host| is_in(*host)).collect();
    if chosen.is_empty() || chosen.len() == hosts as usize { vec![1] } else { chosen }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_and_all_kinds_happen() {
        let plan = |seed| (0..50).filter_map(move |number| Faults::All.plan(seed, number, 3));
        assert!(plan(1).eq(plan(1)) && plan(1).ne(plan(2)));
        let crashed = |host| plan(1).any(|it| it.fault == Fault::Crash(host));
        assert!((1..=3).all(crashed) && !crashed(0) && !crashed(4));
        let parted = plan(1).filter_map(|it| match it.fault {
            Fault::Partition(part) => Some(part.len()),
            Fault::Crash(_) => None,
        });
        let parted: Vec<usize> = parted.collect();
        assert!(parted.contains(&1) && parted.contains(&2), "{parted:?}");
        assert!(parted.iter().all(|len| (1..3).contains(len)), "{parted:?}");
        assert_eq!(Faults::None.plan(1, 0, 3), None);
    }
}
