//! What this process used, and when: processor time, and a clock that members of one host share.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use xxhash_rust::xxh3::xxh3_64;

/// The system's monotonic clock in nanoseconds. Its origin is the host's, so that times of
/// several processes of one host compare.
pub(crate) fn now_ns() -> u64 {
    // Linux has this clock always.
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |time| nanoseconds(time.tv_sec(), time.tv_nsec()))
}

/// Tells one host's clock from another's, for as long as it runs.
pub(crate) fn clock_id() -> u64 {
    let boot = std::fs::read("/proc/sys/kernel/random/boot_id");
    boot.map_or_else(|_| u64::from(std::process::id()), |id| xxh3_64(&id))
}

/// Processor time of all threads of this process, user and system.
pub(crate) fn cpu_ns() -> u64 {
    let span = |time: TimeVal| nanoseconds(time.tv_sec(), time.tv_usec() * 1_000);
    getrusage(UsageWho::RUSAGE_SELF)
        .map_or(0, |usage| span(usage.user_time()) + span(usage.system_time()))
}

/// The same of another process; 0 for one that is gone.
pub(crate) fn cpu_ns_of(process: u32) -> u64 {
    let process = i32::try_from(process).map_or_else(|_| Pid::this(), Pid::from_raw);
    let time = clock_getcpuclockid(process).and_then(clock_gettime);
    time.map_or(0, |time| nanoseconds(time.tv_sec(), time.tv_nsec()))
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> u64 {
    u64::try_from(seconds * 1_000_000_000 + nanoseconds).unwrap_or(0)
}
