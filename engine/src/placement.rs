//! Where and how a member's threads run: processors, priority, memory.

use std::time::Duration;

use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use tracing::{debug, warn};

/// On which processors the threads run.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum Pin {
    /// Not pinned with fewer than four cores, else the worker on the last core.
    #[default]
    Auto,
    /// Wherever the system puts them.
    None,
    /// The worker on the first, control on the second if there is one.
    Cpus(Vec<usize>),
}

/// Something that the process may not do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlacementError {
    /// The real-time priority.
    #[error(
        "real-time priority {wanted} is not allowed to this process (at most {max}); fix: \
         LimitRTPRIO={wanted} in its unit, ulimit -r, or setcap cap_sys_nice+ep on the program"
    )]
    Realtime {
        /// What was asked for.
        wanted: u8,
        /// What is allowed; 0 for none.
        max: u8,
    },
    /// Locked memory.
    #[error(
        "this process may not lock all of its memory; fix: LimitMEMLOCK=infinity in its unit, \
         ulimit -l unlimited, or setcap cap_ipc_lock+ep on the program"
    )]
    Lock,
}

/// What the system allows this process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Privileges {
    /// Highest real-time priority of its threads, 0 for none.
    pub realtime_max: u8,
    /// It may lock all memory that it has and will have.
    pub lock_memory: bool,
}

impl Privileges {
    /// Those of this process.
    #[must_use]
    pub fn own() -> Self {
        let soft = |resource| getrlimit(resource).map_or(0, |(soft, _)| soft);
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let capabilities = effective_capabilities(&status);
        let has = |number: u32| capabilities >> number & 1 == 1;
        let realtime = if has(CAP_SYS_NICE) { u64::MAX } else { soft(Resource::RLIMIT_RTPRIO) };
        Self {
            realtime_max: u8::try_from(realtime).unwrap_or(REALTIME_MAX).min(REALTIME_MAX),
            lock_memory: has(CAP_IPC_LOCK) || soft(Resource::RLIMIT_MEMLOCK) == RLIM_INFINITY,
        }
    }
}

const REALTIME_MAX: u8 = 99;

/// Numbers of capabilities (capability.h).
const CAP_IPC_LOCK: u32 = 14;
const CAP_SYS_NICE: u32 = 23;

/// The mask of `/proc/PID/status`.
fn effective_capabilities(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// What is wanted of the system for a member.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    pub(crate) pin: Pin,
    pub(crate) realtime: Option<u8>,
    pub(crate) slice: Duration,
    pub(crate) lock_memory: bool,
}

/// The least that Linux has. A member's threads compute for microseconds at a time; with the
/// system's slice, some 3 ms, they wait for others as long as somebody who computes for that.
pub(crate) const SLICE_DEFAULT: Duration = Duration::from_micros(100);

impl Default for Placement {
    fn default() -> Self {
        Self { pin: Pin::Auto, realtime: None, slice: SLICE_DEFAULT, lock_memory: false }
    }
}

/// One thread's part of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    cpu: Option<usize>,
    realtime: Option<u8>,
    slice: Duration,
}

impl Placement {
    /// Checks that all of it is allowed.
    pub(crate) fn check(&self) -> Result<(), PlacementError> {
        let privileges = Privileges::own();
        if let Some(wanted) = self.realtime
            && wanted > privileges.realtime_max
        {
            return Err(PlacementError::Realtime { wanted, max: privileges.realtime_max });
        }
        // Where less than all may be locked, the lock would make later allocations fail.
        if self.lock_memory && !privileges.lock_memory {
            return Err(PlacementError::Lock);
        }
        Ok(())
    }

    /// Checks that all of it is allowed, and locks the memory if that is wanted.
    pub(crate) fn prepare(&self) -> Result<(), PlacementError> {
        self.check()?;
        if self.lock_memory {
            let flags = MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE;
            mlockall(flags).map_err(|_| PlacementError::Lock)?;
        }
        Ok(())
    }

    /// The worker's processor, where it is pinned.
    pub(crate) fn worker_cpu(&self) -> Option<usize> {
        let [worker, _] = self.places();
        worker.cpu
    }

    /// The places of the worker and of control.
    pub(crate) fn places(&self) -> [Place; 2] {
        let (worker, control) = match &self.pin {
            Pin::None => (None, None),
            Pin::Cpus(cpus) => (cpus.first().copied(), cpus.get(1).copied()),
            Pin::Auto => {
                let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
                ((cores >= 4).then(|| cores - 1), None)
            }
        };
        // One priority: with a lower one the other half would wait while this one polls.
        [worker, control].map(|cpu| Place { cpu, realtime: self.realtime, slice: self.slice })
    }
}

impl Place {
    /// Puts the calling thread there.
    pub(crate) fn take(self) {
        if let Some(id) = self.cpu
            && !core_affinity::set_for_current(core_affinity::CoreId { id })
        {
            warn!("cannot be pinned to processor {id}; it runs anywhere; fix: name another");
        }
        if !self.slice.is_zero()
            && let Err(error) = roundel_transport::set_slice(self.slice)
        {
            debug!("no slices of {:?}: {error}; it has those of the system", self.slice);
        }
        if let Some(priority) = self.realtime
            && let Err(error) = roundel_transport::set_realtime(priority)
        {
            warn!(
                "no real-time priority {priority}: {error}; it has none; fix: see roundel doctor"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_from_the_status() {
        let status = "Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t0000000000804000\n";
        assert_eq!(effective_capabilities(status), 1 << CAP_IPC_LOCK | 1 << CAP_SYS_NICE);
        assert_eq!(effective_capabilities("CapEff: ?\n"), 0);
    }

    #[test]
    fn what_is_not_allowed_is_an_error_with_a_fix() {
        let wanted = Placement { realtime: Some(u8::MAX), ..Placement::default() };
        let error = wanted.prepare().unwrap_err().to_string();
        assert!(error.contains("fix:"), "{error}");
        assert_eq!(Placement::default().prepare(), Ok(()));
    }
}
