//! What the core's paths cost, without sockets and threads: the codec, the window, packing, and a
//! rotation of the token through three members.

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use roundel_ring::arena::Arena;
use roundel_ring::backlog::Backlog;
use roundel_ring::handoff::{Directive, Recover};
use roundel_ring::id::{Epoch, Incarnation, NodeId, RingId};
use roundel_ring::ordering::{DataDestination, Identity, Ordering, Recovery};
use roundel_ring::packet::{Content, Packet};
use roundel_ring::params::Params;
use roundel_ring::roster::{Endpoint, Member, MemberMask, Roster};
use roundel_ring::seq::Seq;
use roundel_ring::service::Service;
use roundel_ring::slots::SlotMap;
use roundel_ring::time::Time;
use roundel_ring::window::Window;
use roundel_ring::wire::data::Data;
use roundel_ring::wire::token::{Promise, Request, Token};
use roundel_ring::wire::{ClusterTag, body_bytes_max};

const MTU_BYTES: usize = 1_500;
const RING: RingId = RingId::new(Epoch(9), NodeId(1));

fn cluster() -> ClusterTag {
    ClusterTag::of("bench")
}

/// A backlog of so many messages of `bytes`.
fn backlog(messages: usize, bytes: usize) -> Backlog {
    let (mut backlog, payload) = (Backlog::new(), Bytes::from(vec![7; bytes]));
    for _ in 0..messages {
        let _ = backlog.accept(&Params::default(), Service::Agreed, payload.clone().into());
    }
    backlog
}

/// A full packet of 64-byte messages.
fn packet() -> Packet {
    let mut arena = Arena::default();
    let numbered = backlog(30, 64).next_packet(NodeId(1), body_bytes_max(MTU_BYTES), &mut arena);
    numbered.map_or_else(
        || Packet {
            originator: NodeId(1),
            first_message: 1,
            service: Service::Agreed,
            content: Content::Messages { count: 0 },
            body: Bytes::new(),
        },
        |numbered| numbered.packet,
    )
}

fn codec(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire");
    let data = Data {
        transmitter: NodeId(1),
        ring: RING,
        seq: Seq(1_000),
        hop: 77,
        post_token: false,
        packet: packet(),
    };
    let mut head = Vec::with_capacity(256);
    group.bench_function("data head emit", |b| {
        b.iter(|| {
            head.clear();
            black_box(&data).emit_head(cluster(), &mut head);
        });
    });
    head.clear();
    data.emit_head(cluster(), &mut head);
    let frame = Bytes::from([&head[..], &data.packet.body].concat());
    group.bench_function("data parse, 64 B messages", |b| {
        b.iter(|| Data::parse(black_box(&frame), cluster()));
    });
    let mut token = Token::with_capacity();
    (token.sender, token.ring, token.seq) = (NodeId(1), RING, Seq(1_000));
    token.promises = vec![Promise { aru: Seq(990), ceiling: Seq(9_000) }; 3];
    token.requests = vec![Request { first: Seq(991), count: 2, by: 1, skip: 0, held: false }; 4];
    let mut out = Vec::with_capacity(1_500);
    group.bench_function("token emit, 3 members, 4 requests", |b| {
        b.iter(|| {
            out.clear();
            black_box(&token).emit(cluster(), &mut out);
        });
    });
    out.clear();
    token.emit(cluster(), &mut out);
    let mut parsed = Token::with_capacity();
    group.bench_function("token parse, 3 members, 4 requests", |b| {
        b.iter(|| parsed.parse_into(black_box(&out), cluster()));
    });
    group.finish();
}

fn window(c: &mut Criterion) {
    const PACKETS: u64 = 256;
    let mut group = c.benchmark_group("window");
    group.throughput(Throughput::Elements(PACKETS));
    let (mut window, packet) = (Window::new(8_192, Seq::ZERO), packet());
    let mut last = Seq::ZERO;
    group.bench_function("insert and release in order", |b| {
        b.iter(|| {
            for _ in 0..PACKETS {
                last = last.next();
                window.insert(last, packet.clone());
            }
            window.release(last);
        });
    });
    group.bench_function("insert and release backwards", |b| {
        b.iter(|| {
            for back in 0..PACKETS {
                window.insert(last.plus(PACKETS - back), packet.clone());
            }
            last = last.plus(PACKETS);
            window.release(last);
        });
    });
    group.finish();
}

fn packing(c: &mut Criterion) {
    let mut group = c.benchmark_group("packing");
    for bytes in [64, 1_350, 8_192] {
        const MESSAGES: usize = 1_000;
        group.throughput(Throughput::Elements(MESSAGES as u64));
        let mut arena = Arena::default();
        group.bench_function(format!("{bytes} B messages"), |b| {
            let pack = |mut backlog: Backlog| {
                let body_bytes = body_bytes_max(MTU_BYTES);
                while let Some(packet) = backlog.next_packet(NodeId(1), body_bytes, &mut arena) {
                    black_box(packet);
                }
            };
            b.iter_batched(|| backlog(MESSAGES, bytes), pack, BatchSize::SmallInput);
        });
    }
    group.finish();
}

/// Members on one ring, with a perfect network between them.
struct Members {
    members: Vec<Ordering>,
    head: Vec<u8>,
    now: Time,
}

fn member(id: u32) -> Member {
    let address = Ipv4Addr::from_bits(0x7f00_0000 + id);
    let endpoint = Endpoint { address, token_port: 7401, control_port: 7402 };
    Member { id: NodeId(id), incarnation: Incarnation::default(), endpoint }
}

impl Members {
    /// Forms the ring of `count` members as control would.
    fn new(count: u32) -> Self {
        let now = Time::default();
        let all: Vec<Member> = (1..=count).map(member).collect();
        let roster = Arc::new(Roster::new(RING, all.clone(), MTU_BYTES));
        let alone = |member: Member| {
            let identity = Identity { member, cluster: cluster(), mtu_bytes: MTU_BYTES };
            Ordering::new(identity, Params::default(), false, now)
        };
        let mut members: Vec<Ordering> = all.into_iter().map(alone).collect();
        for (index, ordering) in members.iter_mut().enumerate() {
            let id = ordering.installed().ring;
            ordering.handle_directive(now, Directive::Freeze { ring: id });
            let recover = Recover {
                roster: Arc::clone(&roster),
                slots: SlotMap::empty(),
                transitional: MemberMask(1),
                transitional_ids: Arc::from([NodeId(u32::try_from(index).unwrap_or(0) + 1)]),
                obligations: MemberMask::default(),
                stable: Seq::ZERO,
                complete: roster.everyone(),
            };
            let recovery = Box::new(Recovery::new(recover, index, &Params::default()));
            ordering.handle_directive(now, Directive::Recover(recovery));
        }
        let mut members = Self { members, head: Vec::with_capacity(9_000), now };
        members.members[0].handle_directive(now, Directive::Originate { ring: RING });
        for _ in 0..4 {
            members.rotate();
        }
        assert!(members.members.iter().all(|member| member.installed().ring == RING));
        members
    }

    /// Carries every frame of each member in turn, and takes what is delivered.
    fn rotate(&mut self) -> usize {
        let mut delivered = 0;
        for from in 0..self.members.len() {
            self.now = self.now + Duration::from_micros(10);
            self.members[from].advance(self.now);
            while let Some(transmit) = self.members[from].poll_transmit(&mut self.head) {
                let frame = Bytes::from([&self.head[..], &transmit.body].concat());
                for (to, member) in self.members.iter_mut().enumerate() {
                    let own = Ipv4Addr::from_bits(0x7f00_0001 + u32::try_from(to).unwrap_or(0));
                    let is_for = match transmit.to {
                        DataDestination::Group => to != from,
                        DataDestination::Member(endpoint) => endpoint.address == own,
                    };
                    if is_for {
                        member.handle_frame(self.now, &frame);
                    }
                }
            }
            delivered += std::iter::from_fn(|| self.members[from].poll_delivery()).count();
            while self.members[from].poll_report().is_some() {}
        }
        delivered
    }
}

/// One rotation: a token visit at each member, with what each has to send. Frames are copied on
/// the way, as a network would.
fn token_visits(c: &mut Criterion) {
    let mut group = c.benchmark_group("rotation of 3 members");
    for messages in [1, 100, 1_000] {
        let mut members = Members::new(3);
        let payload = Bytes::from(vec![7; 64]);
        group.throughput(Throughput::Elements(3 * messages));
        group.bench_function(format!("{messages} messages of 64 B each"), |b| {
            b.iter(|| {
                let now = members.now;
                for member in &mut members.members {
                    for _ in 0..messages {
                        let _ = member.submit(now, Service::Agreed, payload.clone());
                    }
                }
                members.rotate()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, codec, window, packing, token_visits);
criterion_main!(benches);
