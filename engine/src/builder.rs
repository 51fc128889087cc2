//! What a member is made from.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::Duration;

use roundel_ring::id::NodeId;
use roundel_ring::params::{Params, ParamsError};
use roundel_ring::primary::{Policy, PolicyError};
use roundel_ring::wire::ClusterTag;
use roundel_transport::{
    Interface, InterfaceError, Io, Mode, OpenError, Settings, SocketKind, Wanted,
};

use crate::idle::IdleStrategy;
use crate::member;
use crate::node::Node;
use crate::placement::{Pin, Placement, PlacementError};
use crate::state_dir::StateError;
use crate::views::Views;
use crate::worker::SlowConsumer;

/// A member cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The interface.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    /// The sockets.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// The tunables.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// The primary policy.
    #[error(transparent)]
    Primary(#[from] PolicyError),
    /// Views without a policy.
    #[error(
        "views are of the primary component, and no policy says which that is; fix: name one, the \
         same at every member, with --primary (Builder::primary)"
    )]
    NoPolicy,
    /// The trace file.
    #[error("the trace {path} cannot be made: {error}; fix: name a writable file with --trace")]
    Trace {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// What the process may not do.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// A thread.
    #[error("no thread can be started: {0}; fix: raise the limit of processes (ulimit -u)")]
    Thread(std::io::Error),
    /// The MTU.
    #[error(
        "an IP MTU of {mtu_bytes} is not supported; fix: raise the interface's to 1280 or more \
         (ip link set NAME mtu 1500) or name another with --interface; --mtu takes 1280 to 9000"
    )]
    Mtu {
        /// What was asked for.
        mtu_bytes: usize,
    },
    /// No place for the state.
    #[error("no state directory: neither XDG_STATE_HOME nor HOME is set; fix: give --state-dir")]
    NoStateDir,
}

/// Bytes of messages that wait for the confirmation of a primary component, at most, unless told
/// otherwise: two full backlogs and a window.
const VIEWS_HELD_BYTES: usize = 128 << 20;

/// Who does the member's work.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum DriveMode {
    /// Two threads of its own.
    #[default]
    Threads,
    /// The application's thread, by [`Node::poll`]: no hand-over, the lowest latency on few cores.
    /// It must be called at least every few milliseconds, or the others take the member for dead.
    Inline,
}

/// Describes a member; [`Builder::join`] starts it.
#[derive(Clone, Debug)]
pub struct Builder {
    pub(crate) cluster: String,
    pub(crate) id: Option<NodeId>,
    pub(crate) interface: Wanted,
    pub(crate) group: Option<Ipv4Addr>,
    pub(crate) port: u16,
    pub(crate) unicast_port: Option<u16>,
    pub(crate) multicast_loop: Option<bool>,
    pub(crate) peers: Option<Vec<SocketAddrV4>>,
    pub(crate) socket: SocketKind,
    pub(crate) io: Io,
    pub(crate) gso: bool,
    pub(crate) placement: Placement,
    pub(crate) busy_poll: Duration,
    pub(crate) idle: IdleStrategy,
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) trace: Option<PathBuf>,
    pub(crate) slow_consumer: SlowConsumer,
    pub(crate) mtu_bytes: Option<usize>,
    pub(crate) receive_buffer_bytes: Option<usize>,
    pub(crate) drive: DriveMode,
    pub(crate) primary: Policy,
    pub(crate) views_held_bytes: usize,
    pub(crate) params: Params,
}

impl Builder {
    pub(crate) fn new(cluster: &str) -> Self {
        Self {
            cluster: cluster.to_owned(),
            id: None,
            interface: Wanted::default(),
            group: None,
            port: 7400,
            unicast_port: None,
            multicast_loop: None,
            peers: None,
            socket: SocketKind::Udp,
            io: Io::Auto,
            gso: true,
            placement: Placement::default(),
            busy_poll: Duration::ZERO,
            idle: IdleStrategy::Auto,
            state_dir: None,
            trace: None,
            slow_consumer: SlowConsumer::Hold,
            mtu_bytes: None,
            receive_buffer_bytes: None,
            drive: DriveMode::Threads,
            primary: Policy::None,
            views_held_bytes: VIEWS_HELD_BYTES,
            params: Params::default(),
        }
    }

    /// The member's id; default the interface's IPv4 address as a number.
    #[must_use]
    pub const fn id(mut self, id: u32) -> Self {
        self.id = Some(NodeId(id));
        self
    }

    /// The interface to send and receive on.
    #[must_use]
    pub fn interface(mut self, wanted: Wanted) -> Self {
        self.interface = wanted;
        self
    }

    /// The multicast group; default from the cluster's name, in 239.192.0.0/14.
    #[must_use]
    pub const fn group(mut self, group: Ipv4Addr) -> Self {
        self.group = Some(group);
        self
    }

    /// P: data on group:P, control on group:P+2, the token on the own address:P+1, control to one
    /// member on the own address:P+2. Default 7400.
    #[must_use]
    pub const fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// U for the token instead of P+1, U+1 for control to this member; 0 takes any free pair. For
    /// several members on one address.
    #[must_use]
    pub const fn unicast_port(mut self, port: u16) -> Self {
        self.unicast_port = Some(port);
        self
    }

    /// Whether other members on this host hear this one's multicasts; default on for loopback and
    /// from when another member of this host listens to the group.
    #[must_use]
    pub const fn multicast_loop(mut self, on: bool) -> Self {
        self.multicast_loop = Some(on);
        self
    }

    /// Unicast instead of multicast: the token addresses of the peers (control is one port above
    /// each).
    #[must_use]
    pub fn unicast(mut self, peers: Vec<SocketAddrV4>) -> Self {
        self.peers = Some(peers);
        self
    }

    /// What carries the data, the same at every member: those of another kind never meet.
    #[must_use]
    pub const fn socket(mut self, kind: SocketKind) -> Self {
        self.socket = kind;
        self
    }

    /// The way to the kernel.
    #[must_use]
    pub const fn io(mut self, io: Io) -> Self {
        self.io = io;
        self
    }

    /// Whether super-packets (GSO, GRO) are used where the kernel has them; default yes.
    #[must_use]
    pub const fn super_packets(mut self, on: bool) -> Self {
        self.gso = on;
        self
    }

    /// On which processors the threads run.
    #[must_use]
    pub fn pin(mut self, pin: Pin) -> Self {
        self.placement.pin = pin;
        self
    }

    /// A real-time priority, 1 to 99, for the member's threads; default none. They run before all
    /// others then: for hosts with a processor for each worker. In inline drive there are none.
    #[must_use]
    pub const fn realtime(mut self, priority: u8) -> Self {
        self.placement.realtime = Some(priority);
        self
    }

    /// Slices of the processor for the member's threads, from 0.1 ms to 100 ms (the kernel takes the
    /// nearest), or zero for those of the thread that joins; default 0.1 ms. With short ones they
    /// wait less for threads that compute (Linux 6.12; before that it does nothing). In inline drive
    /// there are no such threads: see [`set_slice`].
    ///
    /// [`set_slice`]: crate::set_slice
    #[must_use]
    pub const fn slice(mut self, slice: Duration) -> Self {
        self.placement.slice = slice;
        self
    }

    /// Locks all memory of the process, now and later (`mlockall`), so that none of it is paged
    /// out; default no.
    #[must_use]
    pub const fn lock_memory(mut self, on: bool) -> Self {
        self.placement.lock_memory = on;
        self
    }

    /// How long a look at a socket without data asks the network device for some (`SO_BUSY_POLL`);
    /// default not at all. For devices that interrupt late; needs `CAP_NET_ADMIN`.
    #[must_use]
    pub const fn busy_poll(mut self, span: Duration) -> Self {
        self.busy_poll = span;
        self
    }

    /// What the worker does when there is nothing to do.
    #[must_use]
    pub const fn idle(mut self, idle: IdleStrategy) -> Self {
        self.idle = idle;
        self
    }

    /// Where the epoch is kept; default under the user's state directory.
    #[must_use]
    pub fn state_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.state_dir = Some(directory.as_ref().to_owned());
        self
    }

    /// Writes the member's history to a file, made new.
    #[must_use]
    pub fn trace(mut self, file: impl AsRef<Path>) -> Self {
        self.trace = Some(file.as_ref().to_owned());
        self
    }

    /// What happens when the application does not read.
    #[must_use]
    pub const fn slow_consumer(mut self, policy: SlowConsumer) -> Self {
        self.slow_consumer = policy;
        self
    }

    /// The IP MTU to use, 1280 to 9000; default the interface's, at most 9000. The smallest of
    /// all members counts.
    #[must_use]
    pub const fn mtu(mut self, mtu_bytes: usize) -> Self {
        self.mtu_bytes = Some(mtu_bytes);
        self
    }

    /// Room of the sockets for data and tokens; default as much as the kernel gives. Flow control
    /// keeps to what the kernel gave; what it drops all the same is sent again.
    #[must_use]
    pub const fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer_bytes = Some(bytes);
        self
    }

    /// Who does the member's work.
    #[must_use]
    pub const fn drive(mut self, drive: DriveMode) -> Self {
        self.drive = drive;
        self
    }

    /// Which configurations may become the primary component, the same at every member; default
    /// none. With the dynamic policy the member's votes are in the state directory: keep it.
    #[must_use]
    pub fn primary(mut self, policy: Policy) -> Self {
        self.primary = policy;
        self
    }

    /// For [`Builder::join_views`]: bytes of messages that may wait for the confirmation of a
    /// primary component; default 128 MiB. With more, this member's process stops, and comes back
    /// as another with the next configuration. What may come meanwhile is what the members' backlogs
    /// had accepted before.
    #[must_use]
    pub const fn views_held(mut self, bytes: usize) -> Self {
        self.views_held_bytes = bytes;
        self
    }

    /// The protocol's tunables.
    #[must_use]
    pub fn params(mut self, params: Params) -> Self {
        self.params = params;
        self
    }

    /// Starts the member. It is alone in its configuration first, and finds the others from there.
    ///
    /// # Errors
    /// What does not work, with cause and fix.
    pub fn join(&self) -> Result<Node, JoinError> {
        member::start(self)
    }

    /// Starts the member in virtual synchrony: its application sees the views of the primary
    /// component ([`Builder::primary`]) and nothing of its parts.
    ///
    /// # Errors
    /// What does not work, with cause and fix; besides what [`Builder::join`] says, that there is
    /// no policy.
    pub fn join_views(&self) -> Result<Views, JoinError> {
        if self.primary == Policy::None {
            return Err(JoinError::NoPolicy);
        }
        let node = self.join()?;
        Ok(Views::new(node, self.primary.clone(), self.views_held_bytes))
    }

    pub(crate) fn state_root(&self) -> Result<PathBuf, JoinError> {
        if let Some(directory) = &self.state_dir {
            return Ok(directory.clone());
        }
        let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let state = from("XDG_STATE_HOME").map(PathBuf::from);
        let home = || from("HOME").map(|home| PathBuf::from(home).join(".local/state"));
        state.or_else(home).map(|root| root.join("roundel")).ok_or(JoinError::NoStateDir)
    }

    /// By what members know each other's frames. Who sends data by other means than the rest
    /// would be of no use in one ring with them, so it is no part of the same cluster.
    pub(crate) fn cluster_tag(&self) -> ClusterTag {
        match self.socket {
            SocketKind::Udp => ClusterTag::of(&self.cluster),
            SocketKind::Raw(protocol) => {
                ClusterTag::of(&format!("{}\0raw {protocol}", self.cluster))
            }
        }
    }

    pub(crate) fn settings(&self, interface: &Interface) -> Settings {
        let mode = match self.peers {
            Some(_) => Mode::Unicast,
            None => {
                Mode::Multicast { group: self.group.unwrap_or_else(|| group_of(&self.cluster)) }
            }
        };
        let mut settings = Settings::new(interface.clone(), mode);
        settings.port = self.port;
        settings.unicast_port = self.unicast_port;
        settings.multicast_loop = self.multicast_loop.unwrap_or(interface.loopback);
        settings.socket = self.socket;
        settings.io = self.io;
        settings.busy_poll = self.busy_poll;
        settings.gso = self.gso;
        settings.gro = self.gso;
        if let Some(bytes) = self.receive_buffer_bytes {
            settings.receive_buffer_bytes = bytes;
        }
        settings
    }
}

/// The group of a cluster: 239.192.0.0/14 (organization-local scope) by the name's hash.
fn group_of(cluster: &str) -> Ipv4Addr {
    let hash = roundel_ring::trace::ContentHash::of(cluster.as_bytes());
    let host = u32::try_from(hash & 0x3_ffff).unwrap_or(1).max(1);
    Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(239, 192, 0, 0)) + host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_organization_local_and_differ_by_cluster() {
        let (a, b) = (group_of("a"), group_of("b"));
        assert_ne!(a, b);
        for group in [a, b] {
            let [first, second, ..] = group.octets();
            assert_eq!((first, second & !3), (239, 192));
        }
    }
}
