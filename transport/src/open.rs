//! From settings to links.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

use thiserror::Error;

use crate::control::ControlLink;
use crate::frame::DATAGRAM_BYTES_MAX;
use crate::inbox::Lane;
use crate::link::{Backend, DataLink};
use crate::neighbours::Neighbours;
use crate::notice::{Notice, UringError};
use crate::outbox::{Segmenting, Via};
use crate::settings::{Io, MemoryBounds, Settings};
use crate::sockets::{Pair, Sockets};
use crate::sys::intake::{Framing, IntakeTerms, SocketTerms};
use crate::sys::mmsg::Mmsg;
use crate::sys::uring::Uring;
use crate::waker::Waker;

/// A member's links cannot be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A port leaves no room for those derived from it.
    #[error("port {port} cannot be used with the ones after it; fix: choose one from 1 to 65533")]
    Port {
        /// The port.
        port: u16,
    },
    /// The group is no multicast address.
    #[error("group {group} is not a multicast address; fix: choose one from 239.0.0.0/8")]
    NotMulticast {
        /// The group.
        group: Ipv4Addr,
    },
    /// An address is in use, also after waiting.
    #[error(
        "{address} is in use, probably by another member on this host; fix: give each its own \
         --unicast-port, or 0 for any free one"
    )]
    InUse {
        /// The address.
        address: SocketAddrV4,
    },
    /// An address cannot be bound.
    #[error("{address} cannot be bound: {error}; fix: use an address of this host")]
    Bind {
        /// The address.
        address: SocketAddrV4,
        /// Why.
        error: io::Error,
    },
    /// The process may not have raw sockets.
    #[error(
        "--socket raw needs CAP_NET_RAW, which this process lacks; fix: setcap cap_net_raw+ep on \
         the program, AmbientCapabilities=CAP_NET_RAW in its unit, or --socket udp"
    )]
    RawForbidden,
    /// Raw sockets in unicast mode.
    #[error("raw sockets carry multicast only; fix: --mode multicast, or --socket udp")]
    RawUnicast,
    /// The group cannot be joined.
    #[error(
        "group {group} cannot be joined on {interface}: {error}; fix: raise \
         net.ipv4.igmp_max_memberships, or use --mode unicast"
    )]
    Join {
        /// The group.
        group: Ipv4Addr,
        /// The interface's name.
        interface: String,
        /// Why.
        error: io::Error,
    },
    /// Busy polling is not allowed.
    #[error(
        "the sockets may not poll the device: {0}; fix: setcap cap_net_admin+ep on the program, \
         sysctl -w net.core.busy_read=50, or leave --busy-poll out"
    )]
    BusyPoll(io::Error),
    /// A socket cannot be set up.
    #[error("a socket refuses {option}: {error}; fix: Linux 5.0 or later")]
    SetUp {
        /// The option.
        option: &'static str,
        /// Why.
        error: io::Error,
    },
    /// The process cannot have another file.
    #[error("the process cannot have another file: {0}; fix: ulimit -n 1024 or more")]
    Files(io::Error),
    /// io_uring was asked for and does not work.
    #[error(transparent)]
    Uring(#[from] UringError),
}

/// A member's links.
#[derive(Debug)]
pub struct Opened {
    /// For the thread that orders messages.
    pub data: DataLink,
    /// For the thread that decides membership.
    pub control: ControlLink,
    /// For whoever has time to look for other members of this host now and then; `None` in unicast
    /// mode.
    pub neighbours: Option<Neighbours>,
    /// What the operator should know: each is one line.
    pub notices: Vec<Notice>,
}

/// Opens a member's sockets and makes links of them.
///
/// # Errors
///
/// Each says its cause and a fix. A token port that is in use is tried for five seconds, since
/// the kernel needs some time to give back what io_uring held.
pub fn open(settings: &Settings) -> Result<Opened, OpenError> {
    let Sockets { data, control, mut notices } = Sockets::open(settings)?;
    let own = data.own_address;
    let senders = data.senders().chain(control.senders());
    let neighbours =
        control.group_address.map(|group| Neighbours::new(senders, group, settings.multicast_loop));
    let neighbours = neighbours.transpose().map_err(OpenError::Files)?;
    let group = data.to_group();
    let waker = Waker::new().map_err(OpenError::Files)?;
    let backend = backend(data, settings, &waker, &mut notices)?;
    let segmenting = Segmenting { on: settings.gso, frame_bytes_max: frame_bytes_max(settings) };
    let data = DataLink::new(backend, own, group, segmenting, waker);
    let control = ControlLink::over_sockets(control).map_err(OpenError::Files)?;
    Ok(Opened { data, control, neighbours, notices })
}

fn backend(
    pair: Pair,
    settings: &Settings,
    waker: &Waker,
    notices: &mut Vec<Notice>,
) -> Result<Backend, OpenError> {
    let (own_terms, group_terms) = terms(&pair, settings);
    let own: SocketTerms = (pair.own, own_terms);
    let group = pair.group.map(|socket| (socket, group_terms));
    if settings.io == Io::Mmsg {
        return Ok(Backend::Mmsg(Box::new(Mmsg::new(own, group))));
    }
    match Uring::new(own, group, waker.clone()) {
        Ok(uring) => Ok(Backend::Uring(Box::new(uring))),
        Err(refused) => {
            let (error, own, group) = *refused;
            if settings.io == Io::Uring {
                return Err(error.into());
            }
            notices.push(Notice::NoUring(error));
            Ok(Backend::Mmsg(Box::new(Mmsg::new(own, group))))
        }
    }
}

/// The longest frame that leaves the interface whole.
fn frame_bytes_max(settings: &Settings) -> usize {
    const IP_AND_UDP_BYTES: usize = 28;
    let mtu_bytes = usize::try_from(settings.interface.mtu_bytes).unwrap_or(usize::MAX);
    settings.frame_bytes_max.min(mtu_bytes.saturating_sub(IP_AND_UDP_BYTES))
}

/// How the own socket and the group's receive.
fn terms(pair: &Pair, settings: &Settings) -> (IntakeTerms, IntakeTerms) {
    let (framing, super_packets) = match (pair.via, pair.group_address) {
        (Via::Raw, Some(group)) => (Framing::Raw { group }, false),
        _ => (Framing::Udp, settings.gro),
    };
    let data_bytes_max = if super_packets { DATAGRAM_BYTES_MAX } else { settings.frame_bytes_max };
    let data = IntakeTerms {
        lane: Lane::Data,
        framing,
        // In unicast mode nobody sends to itself but on purpose.
        own: pair.group.as_ref().map(|_| pair.own_address),
        datagram_bytes_max: data_bytes_max,
        bounds: settings.memory,
    };
    if pair.group.is_none() {
        return (data, data);
    }
    let token = IntakeTerms {
        lane: Lane::Token,
        framing: Framing::Udp,
        own: None,
        datagram_bytes_max: settings.frame_bytes_max,
        bounds: TOKEN_BOUNDS,
    };
    (token, data)
}

/// Tokens are few, and dropped as soon as they are read.
const TOKEN_BOUNDS: MemoryBounds = MemoryBounds { buffers_bytes: 0, copies_bytes: 1 << 20 };
