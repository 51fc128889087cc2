//! Threads of this process that get in the members' way: computing, and sending garbage.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::chance::Chance;
use super::fleet::{GROUP, PORT};

/// Datagrams at once, and the pause between: some thousands a second.
const VOLLEY: u32 = 8;
const VOLLEY_PAUSE: Duration = Duration::from_millis(2);

/// Threads that compute, until this is dropped.
#[derive(Debug)]
pub(super) struct Hogs {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Hogs {
    pub(super) fn start(threads: u32) -> io::Result<Self> {
        let mut hogs = Self { stop: Arc::default(), threads: Vec::new() };
        for _ in 0..threads {
            let stop = Arc::clone(&hogs.stop);
            let compute = move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            };
            let thread = std::thread::Builder::new().name("chaos-hog".to_owned());
            hogs.threads.push(thread.spawn(compute)?);
        }
        Ok(hogs)
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Sends garbage to all ports of the members, until this is dropped.
#[derive(Debug)]
pub(super) struct Garbage {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Garbage {
    pub(super) fn start(socket: UdpSocket, members: Vec<Ipv4Addr>, seed: u64) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let send = move || {
            let (mut chance, mut sent) = (Chance::new(seed), 0);
            while !asked.load(Ordering::Relaxed) {
                for _ in 0..VOLLEY {
                    let (address, port) = target(&mut chance, &members);
                    let datagram = datagram(&mut chance);
                    sent += u64::from(socket.send_to(&datagram, (address, port)).is_ok());
                }
                std::thread::sleep(VOLLEY_PAUSE);
            }
            sent
        };
        let thread = std::thread::Builder::new().name("chaos-garbage".to_owned()).spawn(send)?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// How many datagrams were sent.
    pub(super) fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or(0)
    }
}

impl Drop for Garbage {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn target(chance: &mut Chance, members: &[Ipv4Addr]) -> (Ipv4Addr, u16) {
    match chance.index(4) {
        0 => (GROUP, PORT),
        1 => (GROUP, PORT + 2),
        _ => (members[chance.index(members.len())], PORT + 1 + u16::from(chance.percent(50))),
    }
}

/// Anything but a frame of the members' cluster: that would be a forgery, and nobody promises to
/// tell those without authentication.
fn datagram(chance: &mut Chance) -> Vec<u8> {
    let length = [0, 1, 15, 16, 17, 64, 300, 1_400][chance.index(8)];
    let mut bytes = vec![0; length];
    chance.fill(&mut bytes);
    let head = match chance.index(3) {
        // Another program's.
        0 => return bytes,
        // Of this protocol, another cluster and any kind.
        1 => vec![b'R', b'l', 1, u8::try_from(chance.index(9)).unwrap_or(0)],
        // Another version.
        _ => vec![b'R', b'l', 2 + u8::try_from(chance.index(200)).unwrap_or(0), 1],
    };
    let begin = head.len().min(length);
    bytes[..begin].copy_from_slice(&head[..begin]);
    bytes
}
