//! From the delivery stream to the application's messages.

use std::hint::black_box;

use roundel_ring::configuration::ConfigurationKind;
use roundel_ring::delivery::{Assembler, DeliveredPacket, Delivery};
use roundel_ring::id::Incarnation;
use roundel_ring::packet::Packet;
use roundel_ring::params::MESSAGE_BYTES_MAX;
use roundel_ring::seq::Seq;

use super::{BODY_BYTES, RING, full_packet, packets};

/// In a full packet of 64-byte ones, each behind its length.
pub(super) const MESSAGES: u64 = (BODY_BYTES / (2 + 64)) as u64;

/// The messages are looked at.
pub(super) fn packed() -> impl FnMut(u64) {
    let (delivery, mut assembler) = (delivery(full_packet()), Assembler::new(MESSAGE_BYTES_MAX));
    move |iterations| {
        for _ in 0..iterations {
            assembler.handle(black_box(&delivery), |message| _ = black_box(message));
        }
    }
}

/// The messages are taken out of the call that brings them.
pub(super) fn kept() -> impl FnMut(u64) {
    let (delivery, mut assembler) = (delivery(full_packet()), Assembler::new(MESSAGE_BYTES_MAX));
    move |iterations| {
        for _ in 0..iterations {
            assembler.handle(black_box(&delivery), |message| _ = black_box(message.to_message()));
        }
    }
}

/// One message is put together.
pub(super) fn fragments() -> impl FnMut(u64) {
    let deliveries: Vec<Delivery> = packets(1, 8_192).into_iter().map(delivery).collect();
    let mut assembler = Assembler::new(MESSAGE_BYTES_MAX);
    move |iterations| {
        let mut messages = 0;
        for _ in 0..iterations {
            for delivery in &deliveries {
                assembler.handle(black_box(delivery), |message| {
                    black_box(message);
                    messages += 1;
                });
            }
        }
        assert_eq!(messages, iterations);
    }
}

fn delivery(packet: Packet) -> Delivery {
    Delivery::Packet(DeliveredPacket {
        ring: RING,
        seq: Some(Seq(1_000)),
        in_configuration: ConfigurationKind::Regular,
        incarnation: Incarnation::default(),
        packet,
    })
}
