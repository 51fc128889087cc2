//! Messages out of packets: whatever packets come, in whatever order, an assembler gives what a
//! plain list of pieces gives, and keeps no more than its bound for each sender.

use std::collections::BTreeMap;

use allocation_counter::measure;
use bytes::Bytes;
use roundel_ring::configuration::{Configuration, ConfigurationKind};
use roundel_ring::delivery::{Assembler, DeliveredPacket, Delivery};
use roundel_ring::id::{Epoch, NodeId, RingId};
use roundel_ring::packet::{Content, Fragment, Packet, Waits};
use roundel_ring::seq::Seq;
use roundel_ring::service::Service;

use crate::input::Input;

/// Largest message of the assembler.
const MESSAGE_BYTES_MAX: usize = 512;

/// Senders of an input.
const SENDERS: u8 = 3;

/// What is partial for each sender, as pieces.
type Pieces = BTreeMap<NodeId, Vec<u8>>;

/// Hands an assembler what the input describes; yields packets accepted and messages completed
/// from fragments.
pub(crate) fn check(input: &[u8]) -> (u64, u64) {
    let mut counts = (0, 0);
    let deliveries = deliveries(input);
    let longest = input.len().min(256);
    let used = measure(|| counts = compare(&deliveries));
    // What doubles while it grows, in the assembler and in the oracle, and what is compared.
    let bound = 8_192 + 8 * usize::from(SENDERS) * MESSAGE_BYTES_MAX + 8 * longest;
    assert!(used.bytes_max <= bound as u64, "{used:?}");
    counts
}

fn deliveries(input: &[u8]) -> Vec<Delivery> {
    let mut input = Input::new(input);
    let mut deliveries = Vec::new();
    while !input.is_empty() && deliveries.len() < 256 {
        let choice = input.byte();
        if choice == 255 {
            deliveries.push(Delivery::Configuration(configuration(&mut input)));
            continue;
        }
        let content = match input.byte() % 8 {
            0 => Content::Messages { count: input.byte().into() },
            1 | 2 => Content::Fragment(Fragment::First),
            3 | 4 => Content::Fragment(Fragment::Middle),
            5 | 6 => Content::Fragment(Fragment::Last { padding: (input.byte() % 8).into() }),
            _ => Content::Fragment(Fragment::Only),
        };
        let length = usize::from(input.byte());
        let mut body = input.bytes(length).to_vec();
        if let Content::Fragment(Fragment::Last { padding }) = content {
            body.resize(body.len() + usize::from(padding), 0);
        }
        if let Content::Messages { count } = content {
            // As many as fit, so that some are well formed.
            let lengths = body.len() / usize::from(count).max(1);
            for start in (0..usize::from(count)).map(|index| index * lengths) {
                if let Some(length) = body.get_mut(start..start + 2) {
                    let bytes = u16::try_from(lengths.saturating_sub(2)).unwrap_or(0);
                    length.copy_from_slice(&bytes.to_le_bytes());
                }
            }
        }
        let packet = Packet {
            originator: NodeId(u32::from(choice % SENDERS)),
            first_message: deliveries.len() as u64 + 1,
            class: Service::Agreed.into(),
            waits: Waits::default(),
            content,
            body: Bytes::from(body),
        };
        // Nothing else comes out of a frame.
        if packet.validate().is_ok() {
            let (ring, seq) = (RingId::default(), Some(Seq(deliveries.len() as u64 + 1)));
            let in_configuration = ConfigurationKind::Regular;
            let incarnation = Epoch(1);
            deliveries.push(Delivery::Packet(DeliveredPacket {
                ring,
                seq,
                in_configuration,
                incarnation,
                packet,
            }));
        }
    }
    deliveries
}

fn configuration(input: &mut Input<'_>) -> Configuration {
    let kinds = [ConfigurationKind::Regular, ConfigurationKind::Transitional];
    let kind = kinds[input.index(2)];
    let ring = RingId::default();
    Configuration { kind, ring, previous: None, members: [].into(), eligible: None }
}

fn compare(deliveries: &[Delivery]) -> (u64, u64) {
    let mut assembler = Assembler::new(MESSAGE_BYTES_MAX);
    let mut pieces = Pieces::new();
    let (mut packets, mut completed) = (0, 0);
    for delivery in deliveries {
        let expected = expected(&mut pieces, delivery);
        let mut got = 0;
        assembler.handle(delivery, |message| {
            assert_eq!(Some(message.payload), expected.get(got).map(Vec::as_slice));
            assert_eq!(message.to_message().payload, message.payload);
            got += 1;
        });
        assert_eq!(got, expected.len());
        if let Delivery::Packet(delivered) = delivery {
            packets += 1;
            let is_fragment = matches!(delivered.packet.content, Content::Fragment(_));
            completed += u64::from(is_fragment && got == 1);
        }
    }
    (packets, completed)
}

fn expected(pieces: &mut Pieces, delivery: &Delivery) -> Vec<Vec<u8>> {
    let Delivery::Packet(delivered) = delivery else {
        if let Delivery::Configuration(Configuration { kind, .. }) = delivery
            && *kind == ConfigurationKind::Regular
        {
            pieces.clear();
        }
        return Vec::new();
    };
    let packet = &delivered.packet;
    let Content::Fragment(fragment) = packet.content else {
        return packet.payloads().map(<[u8]>::to_vec).collect();
    };
    if fragment.begins() {
        pieces.insert(packet.originator, Vec::new());
    }
    let Some(whole) = pieces.get_mut(&packet.originator) else { return Vec::new() };
    whole.extend_from_slice(packet.piece());
    if whole.len() > MESSAGE_BYTES_MAX {
        pieces.remove(&packet.originator);
        return Vec::new();
    }
    if fragment.completes() {
        pieces.remove(&packet.originator).into_iter().collect()
    } else {
        Vec::new()
    }
}
