//! Puts a member together: sockets, disk, queues, halves, threads.

use std::collections::VecDeque;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam::channel::{Sender, bounded};
use roundel_ring::cycle::{ControlHalf, DataHalf};
use roundel_ring::delivery::{Assembler, Delivery};
use roundel_ring::epoch::Start;
use roundel_ring::id::NodeId;
use roundel_ring::ordering::Identity;
use roundel_ring::params::Params;
use roundel_ring::primary::{Policy, Primary, Record};
use roundel_ring::roster::{Endpoint, Member};
use roundel_ring::wire::{MTU_MAX_BYTES, MTU_MIN_BYTES, frame_bytes_max};
use roundel_transport::{Interface, Opened, SocketKind, Waker, open};
use tracing::warn;

use crate::builder::{Builder, DriveMode, JoinError};
use crate::clock::Clock;
use crate::control::{self, Control};
use crate::disk;
use crate::doorbell::{Bed, Bells, Doorbell};
use crate::ending::EndReason;
use crate::idle::Idle;
use crate::layered::Letters;
use crate::node::{Drive, Facts, Node};
use crate::placement::Place;
use crate::publisher::Publisher;
use crate::shared::Shared;
use crate::stall::heir;
use crate::state_dir::StateDir;
use crate::trace_file::TraceFile;
use crate::worker::{self, Worker};

/// Messages, or packets of packed ones, between the application and the worker, at most.
const QUEUE_ENTRIES_MAX: usize = 8_192;

/// Their bytes, at most (or one message).
const QUEUE_BYTES_MAX: usize = 16 << 20;

/// Packets between the worker and the application, at most.
const STREAM_PACKETS: usize = 1_024;

/// Between the halves: one directive and its answer, and a few unsolicited reports.
const HANDOFFS_MAX: usize = 16;

pub(crate) fn start(builder: &Builder) -> Result<Node, JoinError> {
    builder.params.validate()?;
    builder.primary.validate()?;
    builder.placement.prepare()?;
    let interface = Interface::choose(&builder.interface)?;
    let id = builder.id.unwrap_or(NodeId(interface.address.to_bits()));
    let state = StateDir::open(&builder.state_root()?, &builder.cluster, id)?;
    let opened = open(&builder.settings(&interface))?;
    start_over(builder, id, interface, opened, state)
}

/// Starts a member over links that are open.
pub(crate) fn start_over(
    builder: &Builder,
    id: NodeId,
    interface: Interface,
    opened: Opened,
    state: StateDir,
) -> Result<Node, JoinError> {
    let mtu_bytes = mtu(builder, &interface)?;
    // Durable before anything leaves: from here on this life is known by its epoch.
    let start = state.start()?;
    let member = Member { id, incarnation: start.incarnation, endpoint: endpoint(&opened) };
    let identity = Identity { member, cluster: builder.cluster_tag(), mtu_bytes };
    // So is what the votes of this life are built on.
    let primary = primary(builder, &state, member)?;
    assemble(builder, opened, state, start, identity, interface, primary)
}

/// The primary component's machine, if a policy is set.
fn primary(
    builder: &Builder,
    state: &StateDir,
    member: Member,
) -> Result<Option<Primary>, JoinError> {
    let record = match builder.primary {
        Policy::None => return Ok(None),
        Policy::Dynamic { .. } => state.record(member.incarnation)?,
        Policy::Majority(_) | Policy::Weighted(_) => Record::new(member.incarnation),
    };
    Ok(Some(Primary::new(member.id, builder.primary.clone(), record)))
}

pub(crate) fn mtu(builder: &Builder, interface: &Interface) -> Result<usize, JoinError> {
    let of_interface = usize::try_from(interface.mtu_bytes).unwrap_or(MTU_MAX_BYTES);
    let mtu_bytes = builder.mtu_bytes.unwrap_or(of_interface.min(MTU_MAX_BYTES));
    if (MTU_MIN_BYTES..=MTU_MAX_BYTES).contains(&mtu_bytes) {
        Ok(mtu_bytes)
    } else {
        Err(JoinError::Mtu { mtu_bytes })
    }
}

/// The tunables, with what the receive buffer that was got has room for. The ring's packets are no
/// longer than this member's own could be.
fn params(builder: &Builder, receive_frames_max: Option<u32>) -> Params {
    let mut params = builder.params.clone();
    let fitting = receive_frames_max.unwrap_or(u32::MAX);
    params.receive_packets = params.receive_packets.min(fitting);
    // Without super-packets each frame leaves alone, however long.
    params.pad_packets &= builder.gso && builder.socket == SocketKind::Udp;
    params
}

fn endpoint(opened: &Opened) -> Endpoint {
    let token = opened.data.own_address();
    let control = opened.control.own_address();
    Endpoint { address: *token.ip(), token_port: token.port(), control_port: control.port() }
}

fn trace_file(builder: &Builder, member: Member) -> Result<Option<TraceFile>, JoinError> {
    let Some(path) = &builder.trace else { return Ok(None) };
    let made = TraceFile::create(path, member.id, member.incarnation);
    made.map(Some).map_err(|error| JoinError::Trace { path: path.clone(), error })
}

/// What the threads of a member and its application hold of each other.
struct Ends {
    worker: worker::Port,
    control: control::Port,
    node: NodeEnds,
}

/// The application's part.
struct NodeEnds {
    publisher: Publisher,
    stream: rtrb::Consumer<Delivery>,
    bed: Bed,
    leaves: Sender<Instant>,
    letters: Letters,
    disk: JoinHandle<()>,
}

fn assemble(
    builder: &Builder,
    opened: Opened,
    state: StateDir,
    start: Start,
    identity: Identity,
    interface: Interface,
    primary: Option<Primary>,
) -> Result<Node, JoinError> {
    let notices: Vec<String> = opened.notices.iter().map(ToString::to_string).collect();
    for notice in &notices {
        warn!("{notice}");
    }
    let facts = Facts {
        id: identity.member.id,
        incarnation: identity.member.incarnation,
        interface,
        io: opened.data.io(),
        notices,
    };
    let trace = trace_file(builder, identity.member)?;
    let traced = trace.is_some();
    let receive_frames_max = opened.data.receive_frames_max(frame_bytes_max(identity.mtu_bytes));
    let params = params(builder, receive_frames_max);
    let Ends { worker, control, node } = connect(builder, &params, opened, state, trace)?;
    let control_bell = control.bells.control.clone();
    let message_bytes_max = params.message_bytes;
    let clock = Clock::new();
    let (_, now) = clock.now();
    let mut half = DataHalf::new(identity.clone(), params.clone(), traced, now);
    if let Some(primary) = primary {
        half = half.with_primary(now, primary);
    }
    let idle = Idle::new(builder.idle, builder.placement.realtime.is_some());
    let worker = Worker::new(half, worker, clock, idle, builder.slow_consumer);
    let half = ControlHalf::new(identity, start, params, now);
    let control = Control::new(half, control, clock);
    let drive = drive(builder, worker, control)?;
    let NodeEnds { publisher, stream, bed, leaves, letters, disk } = node;
    let (assembler, ready) = (Assembler::new(message_bytes_max), VecDeque::new());
    Ok(Node {
        facts,
        publisher,
        stream,
        assembler,
        ready,
        bed,
        leaves,
        control_bell,
        letters,
        hears_letters: false,
        drive,
        disk: Some(disk),
    })
}

/// Makes the queues and bells, and gives each side its ends.
fn connect(
    builder: &Builder,
    params: &Params,
    opened: Opened,
    state: StateDir,
    trace: Option<TraceFile>,
) -> Result<Ends, JoinError> {
    let bed = || Waker::new().map(Bed::new).map_err(JoinError::Thread);
    let (application, room) = (bed()?, bed()?);
    let bells = Bells {
        worker: Doorbell::new(opened.data.waker()),
        control: Doorbell::new(opened.control.waker()),
        application: application.bell(),
        room: room.bell(),
    };
    let shared = Arc::new(Shared::new(QUEUE_ENTRIES_MAX));
    let (directives_in, directives) = rtrb::RingBuffer::new(HANDOFFS_MAX);
    let (reports, reports_out) = rtrb::RingBuffer::new(HANDOFFS_MAX);
    let (stream, stream_out) = rtrb::RingBuffer::new(STREAM_PACKETS);
    let (leaves, leave_requests) = bounded(1);
    let (letters, letters_end) = Letters::new(bells.control.clone());
    let (disk, disk_thread) =
        disk::start(state, bells.control.clone()).map_err(JoinError::Thread)?;
    let publisher = Publisher {
        shared: Arc::clone(&shared),
        worker_bell: bells.worker.clone(),
        room,
        message_bytes_max: params.message_bytes,
        queue_bytes_max: QUEUE_BYTES_MAX,
        pad_packets: params.pad_packets,
    };
    let worker = worker::Port {
        link: opened.data,
        shared: Arc::clone(&shared),
        directives,
        reports,
        stream,
        trace,
        bells: bells.clone(),
        activity: worker::Activity::default(),
        has_left: false,
    };
    let node = NodeEnds {
        publisher,
        stream: stream_out,
        bed: application,
        leaves,
        letters,
        disk: disk_thread,
    };
    let configured_peers = control_peers(builder);
    let mut link = opened.control;
    link.set_peers(&configured_peers);
    let control = control::Port {
        link,
        shared,
        reports: reports_out,
        directives: directives_in,
        disk,
        leaves: leave_requests,
        letters: letters_end,
        bells,
        configured_peers,
        // Without a wish of the operator's, members of one host find each other.
        neighbours: opened.neighbours.filter(|_| builder.multicast_loop.is_none()),
        directed: false,
        drained: false,
    };
    Ok(Ends { worker, control, node })
}

/// The operator names token addresses; control is one port above each.
fn control_peers(builder: &Builder) -> Vec<SocketAddrV4> {
    let peers = builder.peers.iter().flatten();
    peers.map(|peer| SocketAddrV4::new(*peer.ip(), peer.port().saturating_add(1))).collect()
}

fn drive(builder: &Builder, mut worker: Worker, control: Control) -> Result<Drive, JoinError> {
    if builder.drive == DriveMode::Inline {
        worker.watch(control.files().map_err(JoinError::Thread)?);
        return Ok(Drive::Inline { worker: Box::new(worker), control: Box::new(control) });
    }
    let [data_place, control_place] = builder.placement.places();
    let end = |is_worker| End { shared: control.shared(), bells: control.bells(), is_worker };
    let (control_end, data_end) = (end(false), end(true));
    let control = spawn("roundel-ctl", control_place, control_end, || control.run())?;
    let data = spawn("roundel-data", data_place, data_end, || worker.run())?;
    Ok(Drive::Threads { data, control })
}

fn spawn(
    name: &'static str,
    place: Place,
    end: End,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, JoinError> {
    let inherit = heir(name);
    let body = move || {
        let _end = end;
        inherit();
        place.take();
        run();
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(body).map_err(JoinError::Thread)
}

/// The end of a thread, by a panic too, which takes its member with it: the other would run on half
/// dead.
struct End {
    shared: Arc<Shared>,
    bells: Bells,
    is_worker: bool,
}

impl Drop for End {
    fn drop(&mut self) {
        let ending = &self.shared.ending;
        // A worker ends when it is told to, or it did not even start.
        if std::thread::panicking() || self.is_worker && !ending.is_stopping() {
            ending.end(EndReason::Panicked);
        }
        ending.end_thread(self.is_worker, &self.bells);
    }
}
