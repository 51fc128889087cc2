//! Other members on this host, and whether they hear what this one multicasts.

use std::io;
use std::net::SocketAddrV4;

use socket2::Socket;

/// Turns the loop of multicasts to this host on once another member of this host listens to the
/// group, so that members alone on their host do not pay for it.
#[derive(Debug)]
pub struct Neighbours {
    senders: Vec<Socket>,
    group: SocketAddrV4,
    looped: bool,
}

impl Neighbours {
    /// `senders` multicast; every member listens to `group`.
    pub(crate) fn new<'a>(
        senders: impl Iterator<Item = &'a Socket>,
        group: SocketAddrV4,
        looped: bool,
    ) -> io::Result<Self> {
        let senders = senders.map(Socket::try_clone).collect::<io::Result<_>>()?;
        Ok(Self { senders, group, looped })
    }

    /// Looks for another listener to the group on this host; true when the loop was turned on just
    /// now. It stays on: a neighbour that was here once is likely to come back.
    pub fn look(&mut self) -> bool {
        if self.looped || listeners(self.group) < 2 {
            return false;
        }
        let turned_on =
            self.senders.iter().all(|sender| sender.set_multicast_loop_v4(true).is_ok());
        self.looped = turned_on;
        turned_on
    }
}

/// Sockets of this network namespace that are bound to `group`.
fn listeners(group: SocketAddrV4) -> usize {
    // The kernel prints addresses as the numbers they are in memory.
    let address = u32::from_ne_bytes(group.ip().octets());
    let local = format!("{address:08X}:{:04X}", group.port());
    let table = std::fs::read_to_string("/proc/net/udp").unwrap_or_default();
    table.lines().filter(|line| line.split_whitespace().nth(1) == Some(local.as_str())).count()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use socket2::{Domain, Type};

    use super::*;

    fn listener(group: SocketAddrV4) -> Socket {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&group.into()).unwrap();
        socket
    }

    #[test]
    fn the_loop_is_turned_on_with_the_second_listener() {
        let sender = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        sender.bind(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        sender.set_multicast_loop_v4(false).unwrap();
        let port = sender.local_addr().unwrap().as_socket_ipv4().unwrap().port();
        let group = SocketAddrV4::new(Ipv4Addr::new(239, 192, 3, 4), port);
        let mut neighbours = Neighbours::new([&sender].into_iter(), group, false).unwrap();
        let _mine = listener(group);
        assert!(!neighbours.look(), "alone");
        let _other = listener(group);
        assert!(neighbours.look() && sender.multicast_loop_v4().unwrap());
        assert!(!neighbours.look(), "only once");
    }
}
