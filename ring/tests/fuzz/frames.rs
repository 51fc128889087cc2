//! Real frames, and what becomes of them: bytes that are changed, and well-formed lies.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use bytes::Bytes;
use roundel_ring::free::{After, FREE_MEMBERS_MAX, FreeSpan};
use roundel_ring::id::{Epoch, NodeId, RingId};
use roundel_ring::packet::{Content, Fragment, Waits};
use roundel_ring::roster::MemberMask;
use roundel_ring::seq::Seq;
use roundel_ring::service::{Channel, Service};
use roundel_ring::wire::beacon::Beacon;
use roundel_ring::wire::claim::Claim;
use roundel_ring::wire::commit::Commit;
use roundel_ring::wire::data::Data;
use roundel_ring::wire::free::Free;
use roundel_ring::wire::header::HEADER_BYTES;
use roundel_ring::wire::hold_cancel::HoldCancel;
use roundel_ring::wire::join::Join;
use roundel_ring::wire::letter::Letter;
use roundel_ring::wire::token::{Promise, REQUESTS_MAX, Request, Token};
use roundel_ring::wire::{ClusterTag, Header, Kind, MEMBERS_MAX};

use crate::input::Input;

/// The cluster of every frame in the corpus.
pub(crate) fn cluster() -> ClusterTag {
    ClusterTag::of("fuzz")
}

/// Where the frames are kept.
pub(crate) fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "fuzz", "frames"].iter().collect()
}

/// Frames that members sent, in order of their file names.
pub(crate) fn real() -> &'static [Bytes] {
    static FRAMES: OnceLock<Vec<Bytes>> = OnceLock::new();
    FRAMES.get_or_init(|| {
        let entries = fs::read_dir(folder()).unwrap();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| fs::read(path).unwrap().into()).collect()
    })
}

/// The frame that an input describes: itself, or a real one with some changes.
pub(crate) fn described(input: &[u8]) -> Bytes {
    let mut input = Input::new(input);
    match input.byte() % 8 {
        0 => Bytes::copy_from_slice(input.bytes(usize::MAX)),
        1 => {
            // Behind a good header, whatever comes.
            let kind = KINDS[input.index(KINDS.len())];
            let mut frame = Vec::new();
            Header { kind, sender: NodeId(input.byte().into()) }.emit(cluster(), &mut frame);
            frame.extend_from_slice(input.bytes(usize::MAX));
            frame.into()
        }
        2..=4 => changed(&real()[input.index(real().len())], &mut input),
        5 => {
            let lie = lie(&real()[input.index(real().len())], &mut input);
            changed(&lie, &mut input)
        }
        _ => lie(&real()[input.index(real().len())], &mut input),
    }
}

pub(crate) const KINDS: [Kind; 9] = [
    Kind::Data,
    Kind::Token,
    Kind::Join,
    Kind::Commit,
    Kind::Beacon,
    Kind::HoldCancel,
    Kind::Letter,
    Kind::Free,
    Kind::Claim,
];

/// `frame` with a few bytes changed, moved, cut off or added; mostly behind the header.
pub(crate) fn changed(frame: &[u8], input: &mut Input<'_>) -> Bytes {
    let mut frame = frame.to_vec();
    for _ in 0..=input.byte() % 4 {
        let header = if input.byte().is_multiple_of(16) { 0 } else { HEADER_BYTES };
        let len = frame.len().saturating_sub(header).max(1);
        let at = (header + input.index(len)).min(frame.len().saturating_sub(1));
        match input.byte() % 8 {
            0 => frame.truncate(at),
            1 => frame.extend_from_slice(input.bytes(16)),
            2 if !frame.is_empty() => frame[at] = [0, 1, 0x7f, 0x80, 0xff][input.index(5)],
            3 if !frame.is_empty() => frame[at] = frame[at].wrapping_add(1),
            4 if !frame.is_empty() => drop(frame.remove(at)),
            5 if !frame.is_empty() => frame.insert(at, input.byte()),
            6 => {
                let end = frame.len().min(at + 8);
                for byte in frame.get_mut(at..end).unwrap_or_default() {
                    *byte = input.byte();
                }
            }
            _ if !frame.is_empty() => frame[at] ^= 1 << (input.byte() % 8),
            _ => {}
        }
    }
    frame.into()
}

/// `frame` with some fields of another value, written by the encoder; bytes changed when it is not
/// well formed.
pub(crate) fn lie(frame: &Bytes, input: &mut Input<'_>) -> Bytes {
    let cluster = cluster();
    let mut out = Vec::new();
    let Ok(header) = Header::parse(&mut &frame[..], cluster) else { return changed(frame, input) };
    match header.kind {
        Kind::Data => {
            let Ok(mut data) = Data::parse(frame, cluster) else { return changed(frame, input) };
            lie_data(&mut data, input);
            data.emit_head(cluster, &mut out);
            out.extend_from_slice(&data.packet.body);
        }
        Kind::Token => {
            let mut token = Token::default();
            if token.parse_into(frame, cluster).is_err() {
                return changed(frame, input);
            }
            for _ in 0..=input.byte() % 2 {
                lie_token(&mut token, input);
            }
            token.emit(cluster, &mut out);
        }
        Kind::Join => {
            let Ok(mut join) = Join::parse(frame, cluster) else { return changed(frame, input) };
            lie_join(&mut join, input);
            join.emit(cluster, &mut out);
        }
        Kind::Commit => {
            let Ok(mut commit) = Commit::parse(frame, cluster) else {
                return changed(frame, input);
            };
            for _ in 0..=input.byte() % 2 {
                lie_commit(&mut commit, input);
            }
            commit.emit(cluster, &mut out);
        }
        Kind::Beacon => {
            let Ok(mut beacon) = Beacon::parse(frame, cluster) else {
                return changed(frame, input);
            };
            lie_beacon(&mut beacon, input);
            beacon.emit(cluster, &mut out);
        }
        Kind::HoldCancel => {
            let Ok(mut cancel) = HoldCancel::parse(frame, cluster) else {
                return changed(frame, input);
            };
            lie_ring(&mut cancel.ring, input);
            cancel.emit(cluster, &mut out);
        }
        Kind::Letter => {
            let Ok(mut letter) = Letter::parse(frame, cluster) else {
                return changed(frame, input);
            };
            lie_letter(&mut letter, input);
            letter.emit(cluster, &mut out);
        }
        Kind::Free => {
            let Ok(mut free) = Free::parse(frame, cluster) else { return changed(frame, input) };
            lie_free(&mut free, input);
            free.emit_head(cluster, &mut out);
            out.extend_from_slice(&free.free.packet.body);
        }
        Kind::Claim => {
            let Ok(mut claim) = Claim::parse(frame, cluster) else { return changed(frame, input) };
            lie_claim(&mut claim, input);
            claim.emit(cluster, &mut out);
        }
    }
    out.into()
}

fn lie_node(node: &mut NodeId, input: &mut Input<'_>) {
    *node = NodeId(u32::from(input.byte() % 5));
}

fn lie_seq(seq: &mut Seq, input: &mut Input<'_>) {
    *seq = Seq(input.near(seq.0));
}

fn lie_ring(ring: &mut RingId, input: &mut Input<'_>) {
    match input.byte() % 3 {
        0 => ring.epoch = Epoch(input.near(ring.epoch.0)),
        _ => lie_node(&mut ring.representative, input),
    }
}

fn lie_data(data: &mut Data, input: &mut Input<'_>) {
    match input.byte() % 10 {
        0 => lie_node(&mut data.transmitter, input),
        1 => lie_ring(&mut data.ring, input),
        2 => lie_seq(&mut data.seq, input),
        3 => data.hop = input.near(data.hop),
        4 => lie_node(&mut data.packet.originator, input),
        5 => data.packet.first_message = input.near(data.packet.first_message),
        6 => data.packet.class.service = Service::ALL[input.index(Service::ALL.len())],
        7 => data.packet.waits = Waits { sender: input.u16(), past: input.u16() },
        8 => {
            let number = input.byte() % (Channel::MAX + 1);
            data.packet.class.channel = Channel::new(number).unwrap_or_default();
        }
        _ => {
            data.packet.content = match input.byte() % 5 {
                0 => Content::Messages { count: input.u16() },
                1 => Content::Fragment(Fragment::First),
                2 => Content::Fragment(Fragment::Middle),
                3 => Content::Fragment(Fragment::Last { padding: input.u16() }),
                _ => Content::Fragment(Fragment::Only),
            }
        }
    }
}

fn lie_token(token: &mut Token, input: &mut Input<'_>) {
    match input.byte() % 10 {
        0 => lie_node(&mut token.sender, input),
        1 => lie_ring(&mut token.ring, input),
        2 => token.hop = input.near(token.hop),
        3 => lie_seq(&mut token.seq, input),
        4 => token.fcc = input.near(token.fcc.into()) as u32,
        5 => token.backlog = input.near(token.backlog.into()) as u32,
        6 if !token.promises.is_empty() => {
            let at = input.index(token.promises.len());
            lie_seq(&mut token.promises[at].aru, input);
        }
        7 if !token.promises.is_empty() => {
            let at = input.index(token.promises.len());
            lie_seq(&mut token.promises[at].ceiling, input);
        }
        8 => {
            if !token.promises.is_empty() && input.byte().is_multiple_of(2) {
                token.promises.truncate(input.index(token.promises.len()));
            } else if token.promises.len() < MEMBERS_MAX {
                token.promises.push(Promise { aru: token.seq, ceiling: token.seq });
            }
        }
        _ => {
            let mut first = token.seq;
            lie_seq(&mut first, input);
            let (count, by, skip) = (input.u16() % 300, input.byte() % 4, input.byte() % 4);
            let request = Request { first, count, by, skip, held: input.byte() & 1 != 0 };
            let copies = [1, 2, REQUESTS_MAX][input.index(3)];
            let room = MEMBERS_MAX.saturating_sub(token.requests.len());
            token.requests.extend(std::iter::repeat_n(request, copies.min(room)));
        }
    }
}

fn lie_join(join: &mut Join, input: &mut Input<'_>) {
    match input.byte() % 8 {
        0 => lie_node(&mut join.sender, input),
        1 => join.incarnation = Epoch(input.near(join.incarnation.0)),
        2 => join.endpoint.token_port ^= input.u16(),
        3 => join.mtu_bytes = input.u16(),
        4 => join.epoch = Epoch(input.near(join.epoch.0)),
        5 => join.leaving = !join.leaving,
        6 => lie_set(&mut join.proc_set, input),
        _ => lie_set(&mut join.fail_set, input),
    }
}

fn lie_set(set: &mut Vec<NodeId>, input: &mut Input<'_>) {
    match input.byte() % 4 {
        0 => set.push(NodeId(u32::from(input.byte() % 8))),
        1 => drop(set.pop()),
        2 => *set = (0..u32::from(input.byte()) % 129).map(NodeId).collect(),
        _ => set.push(NodeId(u32::from(input.u16()))),
    }
    // Mostly as it should be, so that more is reached than the check of the order.
    if !input.byte().is_multiple_of(8) {
        set.sort_unstable();
        set.dedup();
    }
    set.truncate(MEMBERS_MAX);
}

fn lie_commit(commit: &mut Commit, input: &mut Input<'_>) {
    let entry = input.index(commit.entries.len().max(1));
    let member = input.index(commit.members.len().max(1));
    match input.byte() % 14 {
        0 => lie_node(&mut commit.sender, input),
        1 => lie_ring(&mut commit.ring, input),
        2 => commit.hop = input.near(commit.hop.into()) as u16,
        3 => commit.mtu_bytes = input.u16(),
        4 => commit.members[member].incarnation = Epoch(input.near(7)),
        5 => lie_node(&mut commit.members[member].id, input),
        6 => drop(commit.entries.pop()),
        7 if !commit.entries.is_empty() => {
            commit.entries.push(commit.entries[entry].clone());
        }
        8 if !commit.entries.is_empty() => lie_ring(&mut commit.entries[entry].installed, input),
        9 if !commit.entries.is_empty() => {
            commit.entries[entry].obligations = MemberMask(input.u64().into());
        }
        10 | 11 if !commit.entries.is_empty() => {
            lie_frees(&mut commit.entries[entry].frees, input);
        }
        _ if !commit.entries.is_empty() => {
            // All three move together, or nothing but their order would ever be looked at.
            let by = input.near(0);
            let entry = &mut commit.entries[entry];
            let moves = input.byte();
            for (bit, seq) in
                [&mut entry.stable, &mut entry.aru, &mut entry.highest].into_iter().enumerate()
            {
                if moves >> bit & 1 == 0 {
                    seq.0 = seq.0.wrapping_add(by);
                }
            }
        }
        _ => {}
    }
    commit.members.truncate(MEMBERS_MAX);
    commit.entries.truncate(MEMBERS_MAX);
}

fn lie_frees(frees: &mut Vec<FreeSpan>, input: &mut Input<'_>) {
    let at = input.index(frees.len().max(1));
    let span = FreeSpan {
        place: input.byte() % 4,
        first: input.near(frees.get(at).map_or(1, |span| span.first)),
        count: input.byte() % 18,
    };
    match (input.byte() % 4, frees.get_mut(at)) {
        (0, Some(known)) => *known = span,
        (1, Some(_)) => drop(frees.remove(at)),
        _ => frees.insert(at.min(frees.len()), span),
    }
    frees.truncate(FREE_MEMBERS_MAX);
}

fn lie_letter(letter: &mut Letter<'_>, input: &mut Input<'_>) {
    match input.byte() % 3 {
        0 => lie_node(&mut letter.sender, input),
        1 => letter.incarnation = Epoch(input.near(letter.incarnation.0)),
        _ => letter.payload = &letter.payload[..input.index(letter.payload.len().max(1))],
    }
}

fn lie_free(free: &mut Free, input: &mut Input<'_>) {
    let packet = &mut free.free.packet;
    match input.byte() % 8 {
        0 => lie_node(&mut free.transmitter, input),
        1 => lie_ring(&mut free.ring, input),
        2 => lie_seq(&mut free.slot, input),
        3 => free.number = input.near(free.number),
        4 => lie_node(&mut packet.originator, input),
        5 => packet.first_message = input.near(packet.first_message),
        6 => packet.class.service = Service::ALL[input.index(Service::ALL.len())],
        _ => {
            free.free.after = match input.byte() % 3 {
                0 => After::Nothing,
                1 => After::Place(Seq(input.near(1))),
                _ => After::Number(input.near(free.number)),
            };
        }
    }
}

fn lie_claim(claim: &mut Claim, input: &mut Input<'_>) {
    let at = input.index(claim.waits.len());
    match input.byte() % 7 {
        0 => lie_node(&mut claim.sender, input),
        1 => lie_ring(&mut claim.ring, input),
        2 => lie_seq(&mut claim.first_seq, input),
        3 => claim.hop = input.near(claim.hop),
        4 => claim.first_number = input.near(claim.first_number),
        5 => claim.count = input.byte() % 17,
        _ => claim.waits[at] = input.u16(),
    }
}

fn lie_beacon(beacon: &mut Beacon, input: &mut Input<'_>) {
    match input.byte() % 4 {
        0 => lie_node(&mut beacon.sender, input),
        1 => beacon.incarnation = Epoch(input.near(beacon.incarnation.0)),
        2 => lie_ring(&mut beacon.ring, input),
        _ => lie_set(&mut beacon.heard, input),
    }
}
