//! How the system schedules a thread.

use std::io;
use std::mem;
use std::time::Duration;

use libc::c_int;

/// Gives the calling thread a real-time priority (`SCHED_FIFO`), 1 to 99: it runs before all
/// threads of a lower or no such priority, until it sleeps or yields to one of its own. Needs
/// `CAP_SYS_NICE`, or a limit (`RLIMIT_RTPRIO`) as high.
///
/// # Errors
/// What the kernel says.
pub fn set_realtime(priority: u8) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: c_int::from(priority) };
    // SAFETY: the call reads the parameters, which outlive it; 0 is the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Asks for slices of so long for the calling thread and those that it starts, 0.1 to 100 ms (the
/// kernel takes the nearest): it gets its share of the processor in smaller pieces, and each sooner.
/// Needs no privilege. Kernels before 6.12 have one length for all and do nothing; so does this for
/// a thread of another policy.
///
/// # Errors
/// What the kernel says.
pub fn set_slice(slice: Duration) -> io::Result<()> {
    let mut attributes = attributes()?;
    let fair = [libc::SCHED_OTHER, libc::SCHED_BATCH].map(c_int::cast_unsigned);
    if !fair.contains(&attributes.sched_policy) {
        return Ok(());
    }
    attributes.sched_runtime = u64::try_from(slice.as_nanos()).unwrap_or(u64::MAX);
    let call = libc::SYS_sched_setattr;
    // SAFETY: the call reads the attributes, which outlive it; 0 is the calling thread.
    let result = unsafe { libc::syscall(call, 0, &raw const attributes, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// How the calling thread is scheduled now.
fn attributes() -> io::Result<libc::sched_attr> {
    // SAFETY: all of its fields are integers, for which zero is a value.
    let mut attributes: libc::sched_attr = unsafe { mem::zeroed() };
    let (call, size) = (libc::SYS_sched_getattr, size_of::<libc::sched_attr>());
    // SAFETY: the call writes at most `size` bytes, which are there; 0 is the calling thread.
    let result = unsafe { libc::syscall(call, 0, &raw mut attributes, size, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(attributes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_is_had_or_refused_with_a_reason() {
        let tried = std::thread::spawn(|| set_realtime(1)).join().unwrap();
        let refused = tried.as_ref().err().and_then(io::Error::raw_os_error);
        assert!(matches!(refused, None | Some(libc::EPERM)), "{tried:?}");
        let too_high = std::thread::spawn(|| set_realtime(100)).join().unwrap();
        assert_eq!(too_high.unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }

    #[test]
    fn a_slice_leaves_everything_else_as_it_was() {
        let all_but_the_slice = |attributes: libc::sched_attr| {
            let libc::sched_attr { sched_policy, sched_nice, sched_priority, .. } = attributes;
            (sched_policy, sched_nice, sched_priority)
        };
        let before_and_after = || {
            let before = attributes().unwrap();
            set_slice(Duration::from_micros(200)).unwrap();
            (before, attributes().unwrap())
        };
        let (before, after) = std::thread::spawn(before_and_after).join().unwrap();
        assert_eq!(all_but_the_slice(after), all_but_the_slice(before));
        // Kernels before 6.12 and other policies have no slice to ask for.
        let is_told = after.sched_runtime == 200_000;
        assert!(is_told || after.sched_runtime == before.sched_runtime);
    }
}
