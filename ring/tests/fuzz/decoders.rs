//! Every decoder of frames on any bytes: it does not panic, allocates no more than twice the
//! frame's length, and what it accepts is written again as it came.

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;
use roundel_ring::free::{After, FREE_MEMBERS_MAX, FREE_PACKETS_MAX};
use roundel_ring::id::{Epoch, NodeId};
use roundel_ring::layer::LETTER_BYTES_MAX;
use roundel_ring::packet::Content;
use roundel_ring::seq::Seq;
use roundel_ring::wire::beacon::Beacon;
use roundel_ring::wire::claim::Claim;
use roundel_ring::wire::commit::Commit;
use roundel_ring::wire::data::Data;
use roundel_ring::wire::free::Free;
use roundel_ring::wire::hold_cancel::HoldCancel;
use roundel_ring::wire::join::Join;
use roundel_ring::wire::letter::Letter;
use roundel_ring::wire::token::{REQUESTS_MAX, Token};
use roundel_ring::wire::{Header, Kind, MEMBERS_MAX, Malformed};

use crate::frames::{KINDS, cluster};

/// What the decoders were given and took.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Seen {
    /// Frames whose header was refused.
    pub(crate) headers_refused: u64,
    /// By kind, as [`KINDS`]: frames that the kind's own decoder read, and those it accepted.
    pub(crate) by_kind: [(u64, u64); KINDS.len()],
}

/// A frame as its own decoder reads it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Decoded {
    Data(Data),
    Token(Box<Token>),
    Join(Join),
    Commit(Commit),
    Beacon(Beacon),
    HoldCancel(HoldCancel),
    Letter { sender: NodeId, incarnation: Epoch, payload: Vec<u8> },
    Free(Free),
    Claim(Claim),
}

/// Reads a frame by the decoder of its kind.
pub(crate) fn decode(frame: &Bytes, into: &mut Token) -> Result<Decoded, Malformed> {
    let cluster = cluster();
    Ok(match Header::parse(&mut &frame[..], cluster)?.kind {
        Kind::Data => Decoded::Data(Data::parse(frame, cluster)?),
        Kind::Token => {
            into.parse_into(frame, cluster)?;
            Decoded::Token(Box::new(std::mem::take(into)))
        }
        Kind::Join => Decoded::Join(Join::parse(frame, cluster)?),
        Kind::Commit => Decoded::Commit(Commit::parse(frame, cluster)?),
        Kind::Beacon => Decoded::Beacon(Beacon::parse(frame, cluster)?),
        Kind::HoldCancel => Decoded::HoldCancel(HoldCancel::parse(frame, cluster)?),
        Kind::Free => Decoded::Free(Free::parse(frame, cluster)?),
        Kind::Claim => Decoded::Claim(Claim::parse(frame, cluster)?),
        Kind::Letter => {
            let Letter { sender, incarnation, payload } = Letter::parse(frame, cluster)?;
            Decoded::Letter { sender, incarnation, payload: payload.to_vec() }
        }
    })
}

impl Decoded {
    fn emit(&self, out: &mut Vec<u8>) {
        let cluster = cluster();
        match self {
            Self::Data(data) => {
                data.emit_head(cluster, out);
                out.extend_from_slice(&data.packet.body);
            }
            Self::Token(token) => token.emit(cluster, out),
            Self::Join(join) => join.emit(cluster, out),
            Self::Commit(commit) => commit.emit(cluster, out),
            Self::Beacon(beacon) => beacon.emit(cluster, out),
            Self::HoldCancel(hold_cancel) => hold_cancel.emit(cluster, out),
            Self::Free(free) => {
                free.emit_head(cluster, out);
                out.extend_from_slice(&free.free.packet.body);
            }
            Self::Claim(claim) => claim.emit(cluster, out),
            Self::Letter { sender, incarnation, payload } => {
                let (sender, incarnation) = (*sender, *incarnation);
                Letter { sender, incarnation, payload }.emit(cluster, out);
            }
        }
    }
}

/// The properties of every decoder on one frame.
pub(crate) fn check(frame: &Bytes, seen: &mut Seen) {
    let Ok(header) = Header::parse(&mut &frame[..], cluster()) else {
        seen.headers_refused += 1;
        others_refuse(frame, None);
        return;
    };
    let index = KINDS.iter().position(|kind| *kind == header.kind).unwrap_or(0);
    seen.by_kind[index].0 += 1;
    // Its room is made once, before: a token is read into it.
    let mut token = Token::with_capacity();
    let mut decoded = Err(Malformed::Kind);
    let used = measure(|| decoded = decode(frame, &mut token));
    // The box is this test's own.
    let own = if header.kind == Kind::Token { size_of::<Token>() } else { 0 };
    // A slice of the frame: at most the count of who shares it is new.
    let shared = 3 * size_of::<usize>();
    let bound =
        own + if matches!(header.kind, Kind::Data | Kind::Free) { shared } else { 2 * frame.len() };
    assert!(fits(&used, bound), "{used:?} for {} bytes of {:?}", frame.len(), header.kind);
    if let Ok(decoded) = &decoded {
        seen.by_kind[index].1 += 1;
        let mut again = Vec::with_capacity(frame.len());
        decoded.emit(&mut again);
        assert_eq!(again, frame[..], "{decoded:?} is written in another way");
        bounded(decoded, frame);
    }
    others_refuse(frame, Some(header.kind));
}

fn fits(used: &AllocationInfo, bound: usize) -> bool {
    usize::try_from(used.bytes_max).is_ok_and(|bytes| bytes <= bound)
}

/// Every decoder but that of `kind` says so.
fn others_refuse(frame: &Bytes, kind: Option<Kind>) {
    let cluster = cluster();
    let mut token = Token::default();
    for other in KINDS {
        let result = match other {
            _ if Some(other) == kind => continue,
            Kind::Data => Data::parse(frame, cluster).map(drop),
            Kind::Token => token.parse_into(frame, cluster),
            Kind::Join => Join::parse(frame, cluster).map(drop),
            Kind::Commit => Commit::parse(frame, cluster).map(drop),
            Kind::Beacon => Beacon::parse(frame, cluster).map(drop),
            Kind::HoldCancel => HoldCancel::parse(frame, cluster).map(drop),
            Kind::Letter => Letter::parse(frame, cluster).map(drop),
            Kind::Free => Free::parse(frame, cluster).map(drop),
            Kind::Claim => Claim::parse(frame, cluster).map(drop),
        };
        assert!(result.is_err(), "{other:?} of a frame of {kind:?}");
        assert!(kind.is_none() || result == Err(Malformed::Kind), "{other:?}: {result:?}");
    }
}

/// What the rest of the protocol takes for granted about a frame that was accepted.
fn bounded(decoded: &Decoded, frame: &Bytes) {
    let ascends = |nodes: &[NodeId]| nodes.is_sorted_by(|a, b| a < b) && nodes.len() <= MEMBERS_MAX;
    match decoded {
        Decoded::Data(data) => {
            let packet = &data.packet;
            assert!(frame.as_ptr_range().contains(&packet.body.as_ptr()), "a slice, no copy");
            match packet.content {
                Content::Messages { count } => {
                    let bytes: usize = packet.payloads().map(<[u8]>::len).sum();
                    assert_eq!(packet.payloads().count(), usize::from(count));
                    assert!(bytes + 2 * usize::from(count) <= packet.body.len());
                }
                Content::Fragment(_) => assert!(!packet.piece().is_empty()),
            }
            let last = packet.first_message.checked_add(packet.messages_completed().into());
            assert!(last.is_some() && packet.first_message > 0 && data.seq.0 > 0);
        }
        Decoded::Token(token) => {
            assert!((2..=MEMBERS_MAX).contains(&token.promises.len()));
            assert!(token.requests.len() <= REQUESTS_MAX);
            assert!(token.promises.iter().all(|it| it.aru <= token.seq && token.seq <= it.ceiling));
            let last = |request: &roundel_ring::wire::token::Request| request.last() <= token.seq;
            assert!(token.requests.iter().all(last));
        }
        Decoded::Join(join) => assert!(ascends(&join.proc_set) && ascends(&join.fail_set)),
        Decoded::Commit(commit) => {
            let hop = usize::from(commit.hop);
            assert_eq!(commit.entries.len(), hop.min(commit.members.len()));
            assert!(commit.members.is_sorted_by(|a, b| a.id < b.id));
            for entry in &commit.entries {
                let places = entry.frees.iter().map(|span| span.place);
                assert!(places.is_sorted_by(|a, b| a < b));
                assert!(entry.frees.len() <= FREE_MEMBERS_MAX);
            }
        }
        Decoded::Beacon(beacon) => assert!(ascends(&beacon.heard)),
        Decoded::HoldCancel(_) => {}
        Decoded::Free(Free { number, free, .. }) => {
            let (packet, after) = (&free.packet, free.after);
            assert!(frame.as_ptr_range().contains(&packet.body.as_ptr()), "a slice, no copy");
            assert!(packet.class.service.is_token_free() && packet.messages_completed() > 0);
            assert!(after == After::Nothing || packet.keeps_order());
            assert!(!matches!(after, After::Number(before) if before >= *number));
        }
        Decoded::Claim(claim) => {
            assert!((1..=FREE_PACKETS_MAX).contains(&claim.count.into()));
            assert!(claim.last_seq() >= claim.first_seq && claim.first_seq > Seq::ZERO);
        }
        Decoded::Letter { payload, .. } => assert!(payload.len() <= LETTER_BYTES_MAX),
    }
}
