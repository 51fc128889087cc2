//! A member's sockets, bound and set up.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use crate::interface::Interface;
use crate::notice::Notice;
use crate::open::OpenError;
use crate::outbox::{Group, Via};
use crate::raw::RawProtocol;
use crate::settings::{Mode, Settings, SocketKind};
use crate::sys::options;

/// Tries to bind an address that is in use, and the pause between two. What io_uring held is
/// released some 10 ms after its process was killed; more than two seconds later was seen on a host
/// with ten runnable threads for each processor.
const BIND_TRIES: u32 = 2500;
const BIND_PAUSE: Duration = Duration::from_millis(2);

/// Ports tried for a pair of which both are free.
const PAIR_TRIES: u32 = 64;

/// Receive buffer of the control sockets: a join of every member, many times over.
const CONTROL_BUFFER_BYTES: usize = 4 << 20;

/// Send buffer: the super-packets of one cycle, with what they occupy besides their payload.
const SEND_BUFFER_BYTES: usize = 8 << 20;

/// One half's sockets.
#[derive(Debug)]
pub(crate) struct Pair {
    /// Receives what is sent to all, and sends it where it is raw; `None` in unicast mode.
    pub(crate) group: Option<Socket>,
    /// On the member's own address: receives what is sent to this member, and sends the rest.
    pub(crate) own: Socket,
    /// Where to send to all, in multicast mode.
    pub(crate) group_address: Option<SocketAddrV4>,
    /// The own socket's address.
    pub(crate) own_address: SocketAddrV4,
    /// Which of them sends to the group.
    pub(crate) via: Via,
}

impl Pair {
    /// Where to send to all: the group, or peers that are set later.
    pub(crate) fn to_group(&self) -> Group {
        match self.group_address {
            Some(address) => Group::Multicast { address, via: self.via },
            None => Group::Peers(Vec::new()),
        }
    }

    /// The sockets that send.
    pub(crate) fn senders(&self) -> impl Iterator<Item = &Socket> {
        let group = self.group.as_ref().filter(|_| self.via == Via::Raw);
        [Some(&self.own), group].into_iter().flatten()
    }
}

/// All sockets of a member.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) data: Pair,
    pub(crate) control: Pair,
    pub(crate) notices: Vec<Notice>,
}

impl Sockets {
    pub(crate) fn open(settings: &Settings) -> Result<Self, OpenError> {
        let mut notices = Vec::new();
        let ports = Ports::of(settings)?;
        let (token, control) = bind_pair(settings.interface.address, &ports)?;
        let receive_bytes = settings.receive_buffer_bytes;

        set_receive_buffer(&token, receive_bytes, &mut notices)?;
        set_receive_buffer(&control, CONTROL_BUFFER_BYTES, &mut notices)?;
        let data = GroupTerms { port: ports.data, kind: settings.socket, receive_bytes };
        let data = pair(token, data, settings, &mut notices)?;
        let control_terms = GroupTerms {
            port: ports.group_control,
            kind: SocketKind::Udp,
            receive_bytes: CONTROL_BUFFER_BYTES,
        };
        let control = pair(control, control_terms, settings, &mut notices)?;
        for sender in data.senders() {
            set_up_sender(sender, settings)?;
            options::set_no_fragments(sender.as_fd()).map_err(set_up("IP_MTU_DISCOVER"))?;
        }
        control.senders().try_for_each(|sender| set_up_sender(sender, settings))?;
        if settings.gro && data.via == Via::Own {
            // In unicast mode the data comes on the own socket.
            let socket = data.group.as_ref().unwrap_or(&data.own);
            if let Err(error) = options::set_gro(socket.as_fd(), true) {
                let errno = error.raw_os_error().unwrap_or(0);
                notices.push(Notice::NoGro { errno });
            }
        }
        if !settings.busy_poll.is_zero() {
            for socket in [Some(&data.own), data.group.as_ref()].into_iter().flatten() {
                let set = options::set_busy_poll(socket.as_fd(), settings.busy_poll);
                set.map_err(OpenError::BusyPoll)?;
            }
        }
        Ok(Self { data, control, notices })
    }
}

/// The ports of [`Settings`], worked out.
struct Ports {
    data: u16,
    group_control: u16,
    /// 0 for any free pair.
    token: u16,
}

impl Ports {
    fn of(settings: &Settings) -> Result<Self, OpenError> {
        let data = settings.port;
        let token = settings.unicast_port.unwrap_or(data.saturating_add(1));
        if data == 0 || data.checked_add(2).is_none() {
            return Err(OpenError::Port { port: data });
        }
        if token == u16::MAX {
            return Err(OpenError::Port { port: token });
        }
        Ok(Self { data, group_control: data + 2, token })
    }
}

/// Binds the token's port and control's, the next one. Never shared: what is sent to a member
/// comes to one process.
fn bind_pair(own: Ipv4Addr, ports: &Ports) -> Result<(Socket, Socket), OpenError> {
    if ports.token != 0 {
        let token = bind_patiently(SocketAddrV4::new(own, ports.token))?;
        let control = bind_patiently(SocketAddrV4::new(own, ports.token + 1))?;
        return Ok((token, control));
    }
    for _ in 0..PAIR_TRIES {
        let address = SocketAddrV4::new(own, 0);
        let token = bind(address, false).map_err(|error| bind_failed(address, error))?;
        let port = local(&token)?.port();
        let Some(next) = port.checked_add(1) else {
            continue;
        };
        let address = SocketAddrV4::new(own, next);
        match bind(address, false) {
            Ok(control) => return Ok((token, control)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(bind_failed(address, error)),
        }
    }
    let in_use = io::Error::from_raw_os_error(libc::EADDRINUSE);
    Err(bind_failed(SocketAddrV4::new(own, 0), in_use))
}

fn bind_patiently(address: SocketAddrV4) -> Result<Socket, OpenError> {
    let mut tries = 1;
    loop {
        match bind(address, false) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < BIND_TRIES => {
                tries += 1;
                thread::sleep(BIND_PAUSE);
            }
            result => return result.map_err(|error| bind_failed(address, error)),
        }
    }
}

fn bind(address: SocketAddrV4, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn bind_failed(address: SocketAddrV4, error: io::Error) -> OpenError {
    match error.raw_os_error() {
        Some(libc::EADDRINUSE) => OpenError::InUse { address },
        Some(libc::EMFILE | libc::ENFILE) => OpenError::Files(error),
        _ => OpenError::Bind { address, error },
    }
}

/// A raw socket for what is sent to `group`. Ports are the frames' own affair.
fn bind_raw(group: Ipv4Addr, protocol: RawProtocol) -> Result<Socket, OpenError> {
    let number = Protocol::from(i32::from(protocol.number()));
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(number));
    let socket = socket.map_err(|error| match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => OpenError::RawForbidden,
        Some(libc::EMFILE | libc::ENFILE) => OpenError::Files(error),
        _ => set_up("a raw protocol")(error),
    })?;
    let address = SocketAddrV4::new(group, 0);
    let bound = socket.set_nonblocking(true).and_then(|()| socket.bind(&address.into()));
    bound.map_err(|error| bind_failed(address, error))?;
    Ok(socket)
}

/// What a group's socket is to be.
struct GroupTerms {
    port: u16,
    kind: SocketKind,
    receive_bytes: usize,
}

/// Adds the group's socket to an own one.
fn pair(
    own: Socket,
    GroupTerms { port, kind, receive_bytes }: GroupTerms,
    settings: &Settings,
    notices: &mut Vec<Notice>,
) -> Result<Pair, OpenError> {
    let own_address = local(&own)?;
    let Mode::Multicast { group } = settings.mode else {
        if kind != SocketKind::Udp {
            return Err(OpenError::RawUnicast);
        }
        return Ok(Pair { group: None, own, group_address: None, own_address, via: Via::Own });
    };
    if !group.is_multicast() {
        return Err(OpenError::NotMulticast { group });
    }
    let address = SocketAddrV4::new(group, port);
    // Bound to the group, so that nothing else for this port comes in.
    let (socket, via) = match kind {
        SocketKind::Udp => {
            (bind(address, true).map_err(|error| bind_failed(address, error))?, Via::Own)
        }
        SocketKind::Raw(protocol) => (bind_raw(group, protocol)?, Via::Raw),
    };
    let off = set_up("IP_MULTICAST_ALL");
    socket.set_multicast_all_v4(false).map_err(off)?;
    let interface = InterfaceIndexOrAddress::Index(settings.interface.index);
    socket.join_multicast_v4_n(&group, &interface).map_err(|error| OpenError::Join {
        group,
        interface: settings.interface.name.clone(),
        error,
    })?;
    set_receive_buffer(&socket, receive_bytes, notices)?;
    Ok(Pair { group: Some(socket), own, group_address: Some(address), own_address, via })
}

/// What is sent to a group leaves by the interface, and no router passes it on.
fn set_up_sender(socket: &Socket, settings: &Settings) -> Result<(), OpenError> {
    let Interface { index, address, .. } = settings.interface;
    options::set_multicast_interface(socket.as_fd(), index, address)
        .map_err(set_up("IP_MULTICAST_IF"))?;
    socket.set_multicast_loop_v4(settings.multicast_loop).map_err(set_up("IP_MULTICAST_LOOP"))?;
    socket.set_multicast_ttl_v4(1).map_err(set_up("IP_MULTICAST_TTL"))?;
    if options::force_send_buffer(socket.as_fd(), SEND_BUFFER_BYTES).is_err() {
        socket.set_send_buffer_size(SEND_BUFFER_BYTES).map_err(set_up("SO_SNDBUF"))?;
    }
    Ok(())
}

fn set_receive_buffer(
    socket: &Socket,
    wanted_bytes: usize,
    notices: &mut Vec<Notice>,
) -> Result<(), OpenError> {
    if options::force_receive_buffer(socket.as_fd(), wanted_bytes).is_err() {
        socket.set_recv_buffer_size(wanted_bytes).map_err(set_up("SO_RCVBUF"))?;
    }
    // The kernel doubles what it is asked for, to have room for its own records.
    let got_bytes = socket.recv_buffer_size().map_err(set_up("SO_RCVBUF"))? / 2;
    if got_bytes < wanted_bytes {
        notices.push(Notice::ReceiveBufferClipped { wanted_bytes, got_bytes });
        keep_the_largest(notices);
    }
    Ok(())
}

/// One line is enough for buffers that one setting clips.
fn keep_the_largest(notices: &mut Vec<Notice>) {
    let wanted = |notice: &Notice| match notice {
        Notice::ReceiveBufferClipped { wanted_bytes, .. } => Some(*wanted_bytes),
        _ => None,
    };
    let largest = notices.iter().filter_map(wanted).max();
    notices.retain(|notice| wanted(notice).is_none_or(|wanted| Some(wanted) == largest));
    notices.dedup();
}

fn local(socket: &Socket) -> Result<SocketAddrV4, OpenError> {
    let address = socket.local_addr().map_err(set_up("the local address"))?;
    let not_ipv4 = || io::Error::from(io::ErrorKind::InvalidData);
    address.as_socket_ipv4().ok_or_else(|| set_up("the local address")(not_ipv4()))
}

fn set_up(option: &'static str) -> impl Fn(io::Error) -> OpenError {
    move |error| OpenError::SetUp { option, error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::Wanted;

    fn settings(mode: Mode) -> Settings {
        let lo = Interface::choose(&Wanted::Address(Ipv4Addr::LOCALHOST)).unwrap();
        let mut settings = Settings::new(lo, mode);
        settings.unicast_port = Some(0);
        settings
    }

    #[test]
    fn a_free_pair_is_two_ports_in_a_row() {
        let sockets = Sockets::open(&settings(Mode::Unicast)).unwrap();
        let (token, control) = (sockets.data.own_address, sockets.control.own_address);
        assert_eq!(token.port() + 1, control.port());
        assert_eq!(token.ip(), &Ipv4Addr::LOCALHOST);
    }

    #[test]
    fn a_token_port_in_use_is_an_error_with_a_fix() {
        let first = Sockets::open(&settings(Mode::Unicast)).unwrap();
        let mut second = settings(Mode::Unicast);
        second.unicast_port = Some(first.data.own_address.port());
        let error = Sockets::open(&second).unwrap_err().to_string();
        assert!(error.contains("unicast-port") && error.contains("fix:"), "{error}");
    }

    #[test]
    fn a_port_that_is_free_again_in_time_is_taken() {
        let first = Sockets::open(&settings(Mode::Unicast)).unwrap();
        let mut second = settings(Mode::Unicast);
        second.unicast_port = Some(first.data.own_address.port());
        let releaser = thread::spawn(move || {
            thread::sleep(4 * BIND_PAUSE);
            drop(first);
        });
        Sockets::open(&second).unwrap();
        releaser.join().unwrap();
    }

    #[test]
    fn clipped_buffers_are_one_line() {
        let clipped = |wanted_bytes| Notice::ReceiveBufferClipped { wanted_bytes, got_bytes: 1 };
        let no_gro = Notice::NoGro { errno: 1 };
        let mut notices = vec![clipped(4), clipped(16), no_gro.clone(), clipped(4)];
        keep_the_largest(&mut notices);
        assert_eq!(notices, [clipped(16), no_gro]);
        let mut notices = vec![clipped(16), clipped(4), clipped(16)];
        keep_the_largest(&mut notices);
        assert_eq!(notices, [clipped(16)]);
    }

    #[test]
    fn ports_and_groups_out_of_range_are_errors() {
        let mut high = settings(Mode::Unicast);
        high.port = u16::MAX - 1;
        assert!(matches!(Sockets::open(&high), Err(OpenError::Port { port: 65_534 })));
        let mut high = settings(Mode::Unicast);
        high.unicast_port = Some(u16::MAX);
        assert!(matches!(Sockets::open(&high), Err(OpenError::Port { port: 65_535 })));
        let group = Ipv4Addr::new(10, 0, 0, 1);
        let error = Sockets::open(&settings(Mode::Multicast { group })).unwrap_err();
        assert!(matches!(error, OpenError::NotMulticast { .. }));
    }
}
