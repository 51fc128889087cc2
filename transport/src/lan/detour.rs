//! A host's link through this process, which delays, doubles, reorders and damages what passes.
//!
//! ```text
//! host's eth0 ── p ══ this process ══ r ── b on the bridge
//! ```
//! Only while there is a detour; else `p` itself is on the bridge.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike, bind, recv,
    send, setsockopt, socket, sockopt,
};

use super::faults::inside;
use super::{Lan, LanError, ip};
use crate::frame::Frame;
use crate::impair::{Faults, FaultsHit, Impairment};
use crate::inbox::Lane;

/// Longest time without looking whether to end.
const PAUSE: Duration = Duration::from_millis(10);

/// Room of a packet socket: bursts wait there while others have the processor.
const BUFFER_BYTES: usize = 4 << 20;

/// Longest Ethernet frame; super-packets are cut before.
const FRAME_BYTES_MAX: usize = 1 << 16;

const ETHERNET_BYTES: usize = 14;
const IPV4: [u8; 2] = [0x08, 0x00];
const ARP: [u8; 2] = [0x08, 0x06];
const UDP: u8 = 17;

/// A host's link that goes through this process; straight again when it is dropped.
#[derive(Debug)]
pub struct Detour {
    namespaces: [String; 2],
    host: u32,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<FaultsHit>>,
}

impl Lan {
    /// From now on a host's link goes through this process, with these faults each way; which
    /// frames they hit depends on the seed.
    ///
    /// # Errors
    /// What the kernel refuses; the link is straight then.
    pub fn detour(&self, host: u32, seed: u64, faults: Faults) -> Result<Detour, LanError> {
        let namespaces = [self.bridge(), self.namespace(host)];
        let stop = Arc::new(AtomicBool::new(false));
        let mut detour = Detour { namespaces, host, stop, thread: None };
        // What passes here is cut to frames before, and has no checksum yet.
        ip(Some(&detour.namespaces[1]), "link set dev eth0 gso_max_segs 1\n")?;
        ip(
            Some(&detour.namespaces[0]),
            &format!(
                "link add r{host} type veth peer name b{host}\n\
                 link set dev b{host} gso_max_segs 1\n\
                 link set b{host} master br0 up\n\
                 link set r{host} up\n\
                 link set p{host} nomaster\n"
            ),
        )?;
        let open = move || Ok([port(&format!("p{host}"))?, port(&format!("r{host}"))?]);
        let ports = inside(&detour.namespaces[0], open)?;
        let stop = Arc::clone(&detour.stop);
        let thread = std::thread::Builder::new().name("detour".to_owned());
        let thread = thread.spawn(move || Relay::new(ports, seed, faults).run(&stop));
        let system = |error| LanError::System { what: "starting a thread".to_owned(), error };
        detour.thread = Some(thread.map_err(system)?);
        Ok(detour)
    }
}

impl Detour {
    /// Straightens the link; yields what the faults have hit.
    #[must_use]
    pub fn end(mut self) -> FaultsHit {
        self.straighten()
    }

    fn straighten(&mut self) -> FaultsHit {
        self.stop.store(true, Ordering::Release);
        let hit = self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        let host = self.host;
        // Whatever of it is there; the namespaces may be gone.
        let _ = ip(Some(&self.namespaces[0]), &format!("link delete b{host}\n"));
        let _ = ip(Some(&self.namespaces[0]), &format!("link set p{host} master br0\n"));
        let _ = ip(Some(&self.namespaces[1]), "link set dev eth0 gso_max_segs 65535\n");
        hit
    }
}

impl Drop for Detour {
    fn drop(&mut self) {
        if !self.stop.load(Ordering::Acquire) {
            self.straighten();
        }
    }
}

/// A packet socket on a device of the namespace that the thread is in.
fn port(device: &str) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let protocol = Some(SockProtocol::EthAll);
    let port = socket(AddressFamily::Packet, SockType::Raw, flags, protocol)?;
    setsockopt(&port, sockopt::RcvBufForce, &BUFFER_BYTES)?;
    bind(port.as_raw_fd(), &link_address(device)?)?;
    // What came from other devices before it was bound to this one.
    let mut buffer = [0; 64];
    while recv(port.as_raw_fd(), &mut buffer, MsgFlags::empty()).is_ok() {}
    Ok(port)
}

fn link_address(device: &str) -> io::Result<LinkAddr> {
    let found = getifaddrs()?.filter(|one| one.interface_name == device).find_map(|one| {
        let address = one.address?;
        (address.family() == Some(AddressFamily::Packet))
            .then(|| address.as_link_addr().copied())?
    });
    found.ok_or_else(|| io::Error::new(ErrorKind::NotFound, format!("no device {device}")))
}

/// Carries between two ports.
struct Relay {
    ports: [OwnedFd; 2],
    /// What comes from each of the ports.
    ways: [Impairment; 2],
    buffer: Vec<u8>,
}

/// Stands for a port where an address is asked for.
const SOURCE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);

impl Relay {
    fn new(ports: [OwnedFd; 2], seed: u64, faults: Faults) -> Self {
        let way = |to| Impairment::new(seed, SocketAddrV4::new(Ipv4Addr::LOCALHOST, to), faults);
        Self { ports, ways: [way(1), way(2)], buffer: vec![0; FRAME_BYTES_MAX] }
    }

    fn run(mut self, stop: &AtomicBool) -> FaultsHit {
        while !stop.load(Ordering::Acquire) {
            self.wait();
            for from in [0, 1] {
                self.take(from);
                self.give(from);
            }
        }
        let [mut hit, other] = [self.ways[0].hit(), self.ways[1].hit()];
        hit.frames += other.frames;
        hit.lost += other.lost;
        hit.duplicated += other.duplicated;
        hit.corrupted += other.corrupted;
        hit.reordered += other.reordered;
        hit
    }

    fn wait(&self) {
        let next = self.ways.iter().filter_map(Impairment::next_at).min();
        let left = next.map_or(PAUSE, |at| at.saturating_duration_since(Instant::now()).min(PAUSE));
        let timeout = u16::try_from(left.as_micros().div_ceil(1000)).unwrap_or(0);
        let mut ports =
            self.ports.each_ref().map(|port| PollFd::new(port.as_fd(), PollFlags::POLLIN));
        let _ = poll(&mut ports, PollTimeout::from(timeout));
    }

    fn take(&mut self, from: usize) {
        loop {
            let got = recv(self.ports[from].as_raw_fd(), &mut self.buffer, MsgFlags::empty());
            let length = match got {
                Ok(length) => length,
                // A device that is down says so once.
                Err(Errno::ENETDOWN | Errno::EINTR) => continue,
                Err(_) => return,
            };
            let frame = &mut self.buffer[..length];
            match frame.get(12..ETHERNET_BYTES).map(|kind| [kind[0], kind[1]]) {
                Some(IPV4) => {
                    // Another's checksum may be wrong by a fault: it must stay so.
                    if let Some(mut datagram) = Datagram::of(frame)
                        && datagram.is_unfinished()
                    {
                        datagram.finish();
                    }
                    let frame = Frame { bytes: frame.to_vec().into(), from: SOURCE };
                    self.ways[from].push(Instant::now(), Lane::Data, frame);
                }
                // A wrong answer of ARP would be believed long after the fault.
                Some(ARP) => drop(send(self.ports[1 - from].as_raw_fd(), frame, MsgFlags::empty())),
                _ => {}
            }
        }
    }

    fn give(&mut self, from: usize) {
        let now = Instant::now();
        while let Some((_, frame)) = self.ways[from].pop(now) {
            let mut bytes = frame.bytes.to_vec();
            // A damaged one that looks unfinished would be mended by who completes it.
            if Datagram::of(&mut bytes).is_some_and(|datagram| datagram.is_unfinished()) {
                continue;
            }
            // What a port does not take is lost, as in a switch.
            let _ = send(self.ports[1 - from].as_raw_fd(), &bytes, MsgFlags::empty());
        }
    }
}

/// A whole datagram of UDP within an Ethernet frame.
struct Datagram<'a> {
    bytes: &'a mut [u8],
    /// The folded sum of addresses, protocol and length.
    pseudo: u16,
}

impl<'a> Datagram<'a> {
    fn of(frame: &'a mut [u8]) -> Option<Self> {
        let packet = frame.get_mut(ETHERNET_BYTES..)?;
        let header_bytes = usize::from(packet.first()? & 15) * 4;
        let field = |at: usize| Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]));
        let is_fragment = field(6)? & 0x3fff != 0;
        let total = usize::from(field(2)?);
        let is_udp = packet.get(9) == Some(&UDP) && header_bytes >= 20;
        if is_fragment || !is_udp || total < header_bytes + 8 || packet.len() < total {
            return None;
        }
        let (header, rest) = packet.split_at_mut(header_bytes);
        let bytes = &mut rest[..total - header_bytes];
        let length = u32::try_from(bytes.len()).unwrap_or(0);
        Some(Self { pseudo: fold(words(&header[12..20]) + u32::from(UDP) + length), bytes })
    }

    /// Its sender has left the checksum to its device, and put there what it would begin with.
    fn is_unfinished(&self) -> bool {
        self.bytes[6..8] == self.pseudo.to_be_bytes()
    }

    fn finish(&mut self) {
        self.bytes[6..8].fill(0);
        let checksum = match !fold(u32::from(self.pseudo) + words(self.bytes)) {
            0 => u16::MAX,
            checksum => checksum,
        };
        self.bytes[6..8].copy_from_slice(&checksum.to_be_bytes());
    }
}

fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    u16::try_from((once & 0xffff) + (once >> 16)).unwrap_or(0)
}

/// The sum of 16-bit words; at most some ten thousand of them.
fn words(bytes: &[u8]) -> u32 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    bytes.chunks(2).map(word).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A datagram of three bytes, its checksum left to the device.
    fn unfinished() -> Vec<u8> {
        let mut frame = vec![0; ETHERNET_BYTES];
        frame.extend([0x45, 0, 0, 31, 0, 0, 0, 0, 64, UDP, 0, 0, 10, 77, 0, 1, 10, 77, 0, 2]);
        let pseudo: u32 = 0x0a4d + 1 + 0x0a4d + 2 + u32::from(UDP) + 11;
        let pseudo = fold(pseudo).to_be_bytes();
        frame.extend([0x1c, 0xe8, 0x1c, 0xe9, 0, 11, pseudo[0], pseudo[1], b'a', b'b', b'c']);
        frame
    }

    #[test]
    fn checksums_are_those_of_the_standard() {
        let mut frame = unfinished();
        let mut datagram = Datagram::of(&mut frame).unwrap();
        assert!(datagram.is_unfinished());
        datagram.finish();
        // With its checksum in place the sum is all ones.
        assert_eq!(fold(u32::from(datagram.pseudo) + words(datagram.bytes)), 0xffff);
        assert!(!datagram.is_unfinished());
    }

    #[test]
    fn what_is_no_whole_datagram_is_none() {
        let whole = unfinished();
        for length in 0..whole.len() {
            assert!(Datagram::of(&mut whole[..length].to_vec()).is_none(), "{length}");
        }
        let mut fragment = whole;
        fragment[ETHERNET_BYTES + 7] = 1;
        assert!(Datagram::of(&mut fragment).is_none());
        assert!(Datagram::of(&mut [0xff; 80]).is_none());
    }

    #[test]
    fn a_link_through_here_carries_and_is_hit() {
        use std::io::Write as _;
        if let Some(reason) = super::super::missing() {
            // Not `eprintln!`, which the test harness swallows.
            let _ = writeln!(io::stderr(), "a_link_through_here skipped: {reason}");
            return;
        }
        let lan = Lan::new(2).unwrap();
        let faults = Faults { duplicate: 1.0, ..Faults::default() };
        let detour = lan.detour(2, 1, faults).unwrap();
        let (one, two) = (lan.socket(1).unwrap(), lan.socket(2).unwrap());
        two.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        // The first may be lost while addresses are asked for.
        let mut buffer = [0; 16];
        for _ in 0..2 {
            one.send_to(b"hello", two.local_addr().unwrap()).unwrap();
            assert_eq!(two.recv(&mut buffer).unwrap(), 5);
            assert_eq!(two.recv(&mut buffer).unwrap(), 5);
        }
        assert!(detour.end().duplicated >= 2);
        one.send_to(b"straight", two.local_addr().unwrap()).unwrap();
        assert_eq!(two.recv(&mut buffer).unwrap(), 8);
    }
}
