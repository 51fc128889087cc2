//! The options of a member.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use roundel_ring::params::Params;
use roundel_ring::primary::Policy;
use roundel_transport::{Io, RawProtocol, SocketKind, Wanted};

use super::values::{self, Peer};
use crate::builder::Builder;
use crate::idle::IdleStrategy;
use crate::node::Node;
use crate::placement::{Pin, Placement, SLICE_DEFAULT};
use crate::worker::SlowConsumer;

/// Options that do not go together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// Peers are named, and not used.
    #[error("--peer is only used in unicast mode; fix: add --mode unicast, or remove --peer")]
    PeersWithoutUnicast,
    /// Nobody to send to.
    #[error("--mode unicast reaches only the peers it is told of; fix: name each with --peer")]
    UnicastWithoutPeers,
    /// Raw sockets in unicast mode.
    #[error("--socket raw carries multicast only; fix: remove --mode unicast, or --socket raw")]
    RawUnicast,
    /// A protocol number that nothing uses.
    #[error("--raw-protocol is only used by raw sockets; fix: add --socket raw, or remove it")]
    ProtocolWithoutRaw,
    /// An empty name.
    #[error("the cluster's name is empty; fix: --cluster NAME, the same at every member")]
    NoCluster,
}

/// The options of a command that runs a member. Every one is also a key of the configuration
/// file, and a variable of the environment: `ROUNDEL_TOKEN_TIMEOUT` for `--token-timeout`.
#[derive(Args, Clone, Debug)]
#[command(
    next_help_heading = "Member (also ROUNDEL_NAME in the environment, or a key of --config)"
)]
pub struct MemberOptions {
    /// Name of the cluster; members of another name never meet.
    #[arg(long, value_name = "NAME", default_value = "roundel")]
    cluster: String,
    /// The member's id, its own in the cluster [default: the interface's IPv4 address].
    #[arg(long, value_name = "N")]
    id: Option<u32>,
    /// Interface to use, by name, address or network [default: the first that can multicast].
    #[arg(long, value_name = "IFNAME|ADDR|CIDR")]
    interface: Option<Wanted>,
    /// Multicast group [default: from the cluster's name, in 239.192.0.0/14].
    #[arg(long, value_name = "ADDR")]
    group: Option<Ipv4Addr>,
    /// P: data on group:P, control on group:P+2, tokens on the own address:P+1 and P+2.
    #[arg(long, value_name = "P", default_value_t = 7400)]
    port: u16,
    /// U for tokens and U+1 for control instead of P+1 and P+2; 0 takes any free pair.
    #[arg(long, value_name = "U")]
    unicast_port: Option<u16>,
    /// Whether members on this host hear this one's multicasts.
    #[arg(
        long = "loop",
        value_name = "auto|on|off",
        default_value = "auto",
        hide_possible_values = true
    )]
    multicast_loop: Loop,
    /// Multicast, or one datagram to each peer.
    #[arg(
        long,
        value_name = "multicast|unicast",
        default_value = "multicast",
        hide_possible_values = true
    )]
    mode: Mode,
    /// Peers in unicast mode; PORT is the peer's token port, P+1 if not given.
    #[arg(long, value_name = "ADDR[:PORT]", value_delimiter = ',', num_args = 1..)]
    peer: Vec<Peer>,
    /// The way to the kernel.
    #[arg(
        long,
        value_name = "auto|uring|mmsg",
        default_value = "auto",
        hide_possible_values = true
    )]
    io: IoName,
    /// What carries the data: UDP, or raw IP (slower; needs CAP_NET_RAW). The same at every member.
    #[arg(long, value_name = "udp|raw", default_value = "udp", hide_possible_values = true)]
    socket: Socket,
    /// IP protocol number of raw sockets, the same at every member [default: 254].
    #[arg(long, value_name = "N", value_parser = values::raw_protocol)]
    raw_protocol: Option<RawProtocol>,
    /// Processors for the worker and for control.
    #[arg(long, value_name = "auto|none|CPU[,CPU]", default_value = "auto")]
    #[arg(value_parser = values::pin)]
    pin: Pin,
    /// Real-time priority of the worker and control, 1 to 99; needs a processor for each worker.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=99))]
    realtime: Option<u8>,
    /// Slices of the processor for the worker and control, 0s for the usual ones [default: 100us].
    #[arg(long, value_name = "D", value_parser = values::duration)]
    slice: Option<Duration>,
    /// Lock all memory of the process, so that none is paged out.
    #[arg(long)]
    lock_memory: bool,
    /// How long a look at a socket polls the network device (needs CAP_NET_ADMIN) [default: 0].
    #[arg(long, value_name = "D", value_parser = values::duration)]
    busy_poll: Option<Duration>,
    /// What the worker does when there is nothing to do.
    #[arg(
        long,
        value_name = "auto|spin|backoff|park",
        default_value = "auto",
        hide_possible_values = true
    )]
    idle: Idle,
    /// Where epochs are kept, made when missing [default: under the user's state directory].
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Write the member's history to FILE, for `roundel check`.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Read options from FILE (TOML); environment and flags override it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// When the application does not read: the ring waits, or this member leaves after D.
    #[arg(long, value_name = "hold|evict:D", default_value = "hold")]
    #[arg(value_parser = values::slow_consumer)]
    slow_consumer: SlowConsumer,
    /// Which configurations may be the primary component, the same at every member.
    #[arg(
        long,
        value_name = "none|majority:ID,…|weighted:ID=W,…|dynamic:ID,…",
        default_value = "none"
    )]
    #[arg(value_parser = values::primary)]
    primary: Policy,
    /// IP MTU, 1280 to 9000; the ring's smallest counts [default: the interface's].
    #[arg(long, value_name = "N")]
    mtu: Option<usize>,
    #[command(flatten)]
    tunables: Tunables,
}

/// Each is a field of [`Params`], and its default that field's.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Tunables of the protocol (the same at every member)")]
struct Tunables {
    /// Silence of the ring after which its token is lost [default: 80ms].
    #[arg(long, value_name = "D", value_parser = values::duration)]
    token_timeout: Option<Duration>,
    /// Times a token is sent again before it is lost [default: 4].
    #[arg(long, value_name = "N")]
    token_retransmits: Option<u32>,
    /// Longest time an idle token is held [default: 20ms, at most a quarter of the timeout].
    #[arg(long, value_name = "D", value_parser = values::duration)]
    hold: Option<Duration>,
    /// Slots for packets kept for reordering and retransmission, a power of two [default: 8192].
    #[arg(long, value_name = "N")]
    window: Option<usize>,
    /// Packets a member may number in one token visit [default: 64].
    #[arg(long, value_name = "N")]
    personal_window: Option<u32>,
    /// Packets all members may multicast in one rotation [default: 256].
    #[arg(long, value_name = "N")]
    global_window: Option<u32>,
    /// Packets a member may multicast after its token left [default: 32].
    #[arg(long, value_name = "N")]
    accelerated_window: Option<u32>,
    /// Reliable and fifo packets under way that did not wait for the token [default: 16, at most 16;
    /// 0: all wait].
    #[arg(long, value_name = "N")]
    free_window: Option<u32>,
    /// Packets a member sends again in one token visit [default: 64].
    #[arg(long, value_name = "N")]
    retransmit_window: Option<u32>,
    /// Packets that others may send this member in one rotation [default: what its buffer takes].
    #[arg(long, value_name = "N")]
    receive_window: Option<u32>,
    /// A member that does not catch up for this long is given up [default: 2s].
    #[arg(long, value_name = "D", value_parser = values::duration)]
    receive_timeout: Option<Duration>,
    /// Distance of joins while a membership forms [default: 20ms].
    #[arg(long, value_name = "D", value_parser = values::duration)]
    join_interval: Option<Duration>,
    /// Silence after which a member of a forming membership counts as failed [default: 100ms].
    #[arg(long, value_name = "D", value_parser = values::duration)]
    consensus_timeout: Option<Duration>,
    /// Distance of repeated commit tokens [default: 10ms].
    #[arg(long, value_name = "D", value_parser = values::duration)]
    commit_interval: Option<Duration>,
    /// A proposed ring not installed within this time is given up [default: 100ms].
    #[arg(long, value_name = "D", value_parser = values::duration)]
    commit_timeout: Option<Duration>,
    /// Distance of beacons, by which rings find each other [default: 40ms].
    #[arg(long, value_name = "D", value_parser = values::duration)]
    beacon_interval: Option<Duration>,
    /// Accepted messages that wait for their number, in bytes [default: 32MiB].
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    backlog_size: Option<usize>,
    /// Accepted messages that wait for their number [default: 65536].
    #[arg(long, value_name = "N")]
    backlog_messages: Option<usize>,
    /// Packets that wait for the application beyond those in the window [default: 512].
    #[arg(long, value_name = "N")]
    stream_packets: Option<usize>,
    /// Largest message [default: 64MiB].
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    message_size: Option<usize>,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Loop {
    Auto,
    On,
    Off,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Multicast,
    Unicast,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum IoName {
    Auto,
    Uring,
    Mmsg,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Socket {
    Udp,
    Raw,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Idle {
    Auto,
    Spin,
    Backoff,
    Park,
}

impl MemberOptions {
    /// The member's description, ready to be joined.
    ///
    /// # Errors
    /// Options that do not go together, with the fix.
    pub fn builder(&self) -> Result<Builder, OptionsError> {
        if self.cluster.is_empty() {
            return Err(OptionsError::NoCluster);
        }
        let mut builder = Node::builder(&self.cluster);
        builder.id = self.id.map(roundel_ring::id::NodeId);
        builder.interface = self.interface();
        builder.group = self.group;
        builder.port = self.port;
        builder.unicast_port = self.unicast_port;
        builder.multicast_loop = match self.multicast_loop {
            Loop::Auto => None,
            Loop::On => Some(true),
            Loop::Off => Some(false),
        };
        builder.peers = self.peers()?;
        builder.socket = self.socket()?;
        builder.io = match self.io {
            IoName::Auto => Io::Auto,
            IoName::Uring => Io::Uring,
            IoName::Mmsg => Io::Mmsg,
        };
        builder.placement = Placement {
            pin: self.pin.clone(),
            realtime: self.realtime,
            slice: self.slice(),
            lock_memory: self.lock_memory,
        };
        builder.busy_poll = self.busy_poll.unwrap_or_default();
        builder.idle = match self.idle {
            Idle::Auto => IdleStrategy::Auto,
            Idle::Spin => IdleStrategy::Spin,
            Idle::Backoff => IdleStrategy::Backoff,
            Idle::Park => IdleStrategy::Park,
        };
        builder.state_dir.clone_from(&self.state_dir);
        builder.trace.clone_from(&self.trace);
        builder.slow_consumer = self.slow_consumer;
        builder.mtu_bytes = self.mtu;
        builder.primary = self.primary.clone();
        builder.params = self.tunables.params();
        Ok(builder)
    }

    /// The interface that is wanted.
    #[must_use]
    pub fn interface(&self) -> Wanted {
        self.interface.clone().unwrap_or_default()
    }

    /// Whether a policy for the primary component is set.
    #[must_use]
    pub fn has_primary(&self) -> bool {
        self.primary != Policy::None
    }

    /// Which configurations may be the primary component.
    #[must_use]
    pub const fn primary(&self) -> &Policy {
        &self.primary
    }

    /// Slices of the processor; zero for those that a thread has anyway.
    #[must_use]
    pub fn slice(&self) -> Duration {
        self.slice.unwrap_or(SLICE_DEFAULT)
    }

    /// The cluster's name.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Largest message, in bytes.
    #[must_use]
    pub fn message_bytes_max(&self) -> usize {
        self.tunables.params().message_bytes
    }

    fn socket(&self) -> Result<SocketKind, OptionsError> {
        match (self.socket, self.raw_protocol, self.mode) {
            (Socket::Udp, None, _) => Ok(SocketKind::Udp),
            (Socket::Udp, Some(_), _) => Err(OptionsError::ProtocolWithoutRaw),
            (Socket::Raw, _, Mode::Unicast) => Err(OptionsError::RawUnicast),
            (Socket::Raw, protocol, Mode::Multicast) => {
                Ok(SocketKind::Raw(protocol.unwrap_or_default()))
            }
        }
    }

    fn peers(&self) -> Result<Option<Vec<SocketAddrV4>>, OptionsError> {
        match (self.mode, self.peer.as_slice()) {
            (Mode::Multicast, []) => Ok(None),
            (Mode::Multicast, _) => Err(OptionsError::PeersWithoutUnicast),
            (Mode::Unicast, []) => Err(OptionsError::UnicastWithoutPeers),
            (Mode::Unicast, peers) => {
                Ok(Some(peers.iter().map(|peer| peer.token_address(self.port)).collect()))
            }
        }
    }
}

impl Tunables {
    /// What is not given keeps its default, or follows what is given where it must.
    fn params(&self) -> Params {
        let usual = Params::default();
        let token_loss = self.token_timeout.unwrap_or(usual.token_loss);
        let join = self.join_interval.unwrap_or(usual.join);
        let consensus = self.consensus_timeout.unwrap_or_else(|| usual.consensus.max(join * 3));
        Params {
            window_packets: self.window.unwrap_or(usual.window_packets),
            personal_packets: self.personal_window.unwrap_or(usual.personal_packets),
            global_packets: self.global_window.unwrap_or(usual.global_packets),
            accelerated_packets: self.accelerated_window.unwrap_or(usual.accelerated_packets),
            retransmit_packets: self.retransmit_window.unwrap_or(usual.retransmit_packets),
            receive_packets: self.receive_window.unwrap_or(usual.receive_packets),
            pad_packets: usual.pad_packets,
            free_packets: self.free_window.unwrap_or(usual.free_packets),
            token_loss,
            token_retransmits: self.token_retransmits.unwrap_or(usual.token_retransmits),
            hold: self.hold.unwrap_or_else(|| usual.hold.min(token_loss / 4)),
            fail_to_receive: self.receive_timeout.unwrap_or(usual.fail_to_receive),
            join,
            consensus,
            commit_retransmit: self.commit_interval.unwrap_or(usual.commit_retransmit),
            commit_loss: self.commit_timeout.unwrap_or_else(|| usual.commit_loss.min(consensus)),
            beacon: self.beacon_interval.unwrap_or(usual.beacon),
            backlog_bytes: self.backlog_size.unwrap_or(usual.backlog_bytes),
            backlog_messages: self.backlog_messages.unwrap_or(usual.backlog_messages),
            stream_packets: self.stream_packets.unwrap_or(usual.stream_packets),
            message_bytes: self.message_size.unwrap_or(usual.message_bytes),
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
