//! A member can be opened again as soon as the end of its killed process is known, whatever the
//! kernel has still to give back.
//!
//! The killed process is this program once more, for the test `child` alone.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands, also in a helper"
)]

use std::env::{current_exe, var};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use roundel_transport::{Destination, Interface, Io, Mode, Settings, Wanted, open};

const IO: &str = "TRANSPORT_TEST_KILLED";

/// What the child prints before its address.
const READY: &str = "ready ";

fn settings(io: Io) -> Settings {
    let lo = Interface::choose(&Wanted::Address(Ipv4Addr::LOCALHOST)).unwrap();
    let mut settings = Settings::new(lo, Mode::Unicast);
    settings.unicast_port = Some(0);
    settings.io = io;
    settings
}

/// Opens a link, uses it, says where it is, and goes on to receive until it is killed.
#[test]
fn child() {
    let io = match var(IO).as_deref() {
        Ok("uring") => Io::Uring,
        Ok("mmsg") => Io::Mmsg,
        // Run with all the others, it has nothing to do.
        _ => return,
    };
    let mut link = open(&settings(io)).unwrap().data;
    let own = link.own_address();
    link.send(Destination::Member(own), b"to myself", Bytes::new());
    link.flush();
    while link.receive(Instant::now()) == 0 {
        link.wait(Some(Duration::from_millis(10)));
    }
    println!("\n{READY}{own}");
    loop {
        link.wait(None);
        link.receive(Instant::now());
    }
}

fn kill_and_open(io: &str) {
    let mut child = Command::new(current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(IO, io)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let address = lines.find_map(|line| line.strip_prefix(READY).map(str::to_owned)).unwrap();
    let address: SocketAddrV4 = address.parse().unwrap();
    assert!(UdpSocket::bind(address).is_err(), "the child has it");
    child.kill().unwrap();
    child.wait().unwrap();
    let killed_at = Instant::now();
    let again = Settings { unicast_port: Some(address.port()), ..settings(Io::Mmsg) };
    let link = open(&again).unwrap().data;
    println!("{io}: open again {:?} after the end", killed_at.elapsed());
    assert_eq!(link.own_address(), address);
}

#[test]
fn again_after_mmsg() {
    kill_and_open("mmsg");
}

#[test]
fn again_after_uring() {
    if let Err(error) = open(&settings(Io::Uring)) {
        // Not `eprintln!`, which the test harness swallows.
        let _ = writeln!(std::io::stderr(), "again_after_uring skipped: {error}");
        return;
    }
    kill_and_open("uring");
}
