//! What a process holds, as the system sees it from outside.

use std::fs;

use super::growth::Holdings;

/// Of a process, if it is there.
pub(super) fn holdings(process: u32) -> Option<Holdings> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let fds = fs::read_dir(format!("/proc/{process}/fd")).ok()?.count();
    Some(Holdings {
        rss_kib: number(&status, "VmRSS")?,
        fds: fds as u64,
        threads: number(&status, "Threads")?,
    })
}

/// The number behind `name:`.
fn number(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_holds_something() {
        let Holdings { rss_kib, fds, threads } = holdings(std::process::id()).unwrap();
        assert!(rss_kib > 100 && fds > 2 && threads > 0, "{rss_kib} {fds} {threads}");
        assert_eq!(holdings(u32::MAX), None);
    }
}
