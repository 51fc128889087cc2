//! How the system schedules a thread.

use std::io;

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
}
