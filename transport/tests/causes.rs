//! What a member says and does where io_uring does not work, each cause that can be made here; and
//! what it leaves behind where it does.
//!
//! Each runs in a process of its own, this program once more for the test `child` alone.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands, also in a helper"
)]

use std::collections::BTreeMap;
use std::env::{consts::ARCH, current_exe, var};
use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Uid, geteuid, setuid};
use roundel_transport::{
    DataLink, Destination, Interface, Io, IoInUse, Mode, OpenError, Settings, Wanted, open,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

/// What the child is to do.
const CAUSE: &str = "TRANSPORT_TEST_CAUSE";

const SYSCTL: &str = "/proc/sys/kernel/io_uring_disabled";

/// Held while the sysctl is changed, and by tests that it would disturb.
static UNPRIVILEGED: Mutex<()> = Mutex::new(());

/// Nobody: no files, no capabilities.
const NOBODY: u32 = 65_534;

fn settings(io: Io) -> Settings {
    let lo = Interface::choose(&Wanted::Address(Ipv4Addr::LOCALHOST)).unwrap();
    let mut settings = Settings::new(lo, Mode::Unicast);
    settings.unicast_port = Some(0);
    settings.io = io;
    settings
}

/// The link works, whatever is below it.
fn exchange(link: &mut DataLink) {
    let own = Destination::Member(link.own_address());
    for _ in 0..3 {
        link.send(own, b"to myself", Bytes::new());
        link.flush();
        let start = Instant::now();
        while link.receive(Instant::now()) == 0 {
            assert!(start.elapsed() < Duration::from_secs(10));
            link.wait(Some(Duration::from_millis(10)));
        }
        assert_eq!(link.data().unwrap().bytes, b"to myself"[..]);
    }
}

/// System calls fail from now on, in this thread.
fn refuse(system_call: libc::c_long, errno: libc::c_int) {
    let filter = SeccompFilter::new(
        BTreeMap::from([(system_call, vec![])]),
        SeccompAction::Allow,
        SeccompAction::Errno(errno.unsigned_abs()),
        ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    apply_filter(&program).unwrap();
}

fn become_nobody() {
    if geteuid().is_root() {
        setuid(Uid::from_raw(NOBODY)).unwrap();
    }
}

/// Opens links with a file less to spare each time, until not even sockets can be had.
fn run_out_of_files() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let (settings, mut lines) = (settings(Io::Auto), Vec::new());
    for files in 3..64 {
        setrlimit(Resource::RLIMIT_NOFILE, files, hard).unwrap();
        match open(&settings) {
            Ok(opened) if opened.notices.is_empty() => break,
            Ok(mut opened) => {
                lines.extend(opened.notices.iter().map(ToString::to_string));
                exchange(&mut opened.data);
            }
            Err(error) => assert!(matches!(error, OpenError::Files(_)), "{error}"),
        }
    }
    print!("\n{}\nio mmsg\n", lines.join("\n"));
}

/// Address space of this process, in bytes.
fn address_space_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let kilobytes: u64 = size.unwrap().trim_end_matches("kB").trim().parse().unwrap();
    kilobytes << 10
}

/// A ring that ends where it was used gives back what it received into.
fn open_and_drop() {
    const LINKS: u32 = 40;
    exchange(&mut open(&settings(Io::Uring)).unwrap().data);
    let before = address_space_bytes();
    for _ in 0..LINKS {
        exchange(&mut open(&settings(Io::Uring)).unwrap().data);
    }
    let grown = address_space_bytes().saturating_sub(before);
    // A link has eight megabytes of slots.
    assert!(grown < 32 << 20, "{grown} bytes are not given back");
    // What the other children end with.
    print!("\nio mmsg\n");
}

#[test]
fn child() {
    let Ok(cause) = var(CAUSE) else {
        // Run with all the others, it has nothing to do.
        return;
    };
    match cause.as_str() {
        "memlock" => {
            setrlimit(Resource::RLIMIT_MEMLOCK, 0, 0).unwrap();
            become_nobody();
        }
        "sysctl" => become_nobody(),
        "end" => return open_and_drop(),
        "files" => return run_out_of_files(),
        "setup EPERM" => refuse(libc::SYS_io_uring_setup, libc::EPERM),
        "setup ENOSYS" => refuse(libc::SYS_io_uring_setup, libc::ENOSYS),
        "register EINVAL" => refuse(libc::SYS_io_uring_register, libc::EINVAL),
        "enter EPERM" => refuse(libc::SYS_io_uring_enter, libc::EPERM),
        other => panic!("no cause is named {other}"),
    }
    let mut opened = open(&settings(Io::Auto)).unwrap();
    exchange(&mut opened.data);
    println!();
    for notice in &opened.notices {
        println!("{notice}");
    }
    println!("io {}", opened.data.io());
    match open(&settings(Io::Uring)) {
        Err(OpenError::Uring(error)) => println!("asked for: {error}"),
        other => panic!("{other:?}"),
    }
}

/// What the child prints, with a cause made.
fn with(cause: &str) -> String {
    let output = Command::new(current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CAUSE, cause)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(text.contains("\nio mmsg\n"), "the other way works:\n{text}");
    text
}

/// The one line about io_uring.
#[track_caller]
fn line(text: &str) -> &str {
    let mut lines = text.lines().filter(|line| line.starts_with("io_uring is not used"));
    let line = lines.next().unwrap();
    assert_eq!(lines.next(), None, "one line:\n{text}");
    assert!(line.contains("recvmmsg do its work; fix: "), "{line}");
    line
}

fn works_here(test: &str) -> bool {
    let works = open(&settings(Io::Uring));
    if let Err(error) = &works {
        skip(test, &error.to_string());
    }
    works.is_ok()
}

fn skip(test: &str, reason: &str) {
    // Not `eprintln!`, which the test harness swallows.
    let _ = writeln!(std::io::stderr(), "{test} skipped: {reason}");
}

#[test]
fn too_little_locked_memory() {
    if works_here("too_little_locked_memory") {
        let _alone = UNPRIVILEGED.lock().unwrap_or_else(PoisonError::into_inner);
        let text = with("memlock");
        let line = line(&text);
        assert!(line.contains("RLIMIT_MEMLOCK of 0 bytes"), "{line}");
        assert!(line.contains("ulimit -l"), "{line}");
    }
}

#[test]
fn a_filter() {
    if works_here("a_filter") {
        for cause in ["setup EPERM", "enter EPERM"] {
            let text = with(cause);
            assert!(line(&text).contains("seccomp"), "{text}");
            assert!(text.contains("\nasked for: io_uring does not work here: "), "{text}");
        }
    }
}

#[test]
fn a_kernel_without_it_or_too_old() {
    if works_here("a_kernel_without_it_or_too_old") {
        let text = with("setup ENOSYS");
        assert!(line(&text).contains("this kernel has none"), "{text}");
        let text = with("register EINVAL");
        let line = line(&text);
        assert!(line.contains("the kernel refuses a ring of provided buffers"), "{line}");
    }
}

#[test]
fn too_many_open_files() {
    if works_here("too_many_open_files") {
        let text = with("files");
        assert!(text.contains("too many files are open"), "{text}");
        assert!(text.contains("ulimit -n"), "{text}");
    }
}

#[test]
fn a_link_that_ends_gives_its_memory_back() {
    if works_here("a_link_that_ends_gives_its_memory_back") {
        with("end");
    }
}

/// Sets the sysctl back.
struct Restore(String);

impl Drop for Restore {
    fn drop(&mut self) {
        fs::write(SYSCTL, &self.0).unwrap();
    }
}

#[test]
fn the_sysctl() {
    let name = "the_sysctl";
    if !works_here(name) {
        return;
    }
    if !geteuid().is_root() {
        return skip(name, "setting kernel.io_uring_disabled needs root");
    }
    let _alone = UNPRIVILEGED.lock().unwrap_or_else(PoisonError::into_inner);
    let before = fs::read_to_string(SYSCTL).unwrap_or_default();
    if before.trim() != "0" {
        return skip(name, "kernel.io_uring_disabled is not 0");
    }
    // 1 binds only processes without capabilities: those that run as root are not disturbed.
    if let Err(error) = fs::write(SYSCTL, "1") {
        return skip(name, &format!("kernel.io_uring_disabled cannot be set: {error}"));
    }
    let restore = Restore(before);
    let text = with("sysctl");
    drop(restore);
    let line = line(&text);
    assert!(line.contains("kernel.io_uring_disabled is 1"), "{line}");
    assert!(line.contains("sysctl -w kernel.io_uring_disabled=0"), "{line}");
}

#[test]
fn a_ring_that_fails_later() {
    if !works_here("a_ring_that_fails_later") {
        return;
    }
    // In a thread of its own, to which the filter is confined.
    std::thread::spawn(|| {
        let mut link = open(&settings(Io::Uring)).unwrap().data;
        exchange(&mut link);
        assert_eq!(link.io(), IoInUse::Uring);
        refuse(libc::SYS_io_uring_enter, libc::EPERM);
        exchange(&mut link);
        assert_eq!(link.io(), IoInUse::Mmsg);
        let counters = link.counters();
        assert_eq!((counters.uring_errno, counters.dropped_frames), (libc::EPERM, 0));
    })
    .join()
    .unwrap();
}
