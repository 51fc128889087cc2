//! What a member gives its application: one stream of messages and configuration changes.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use crate::configuration::{Configuration, ConfigurationKind};
use crate::id::{Incarnation, MessageId, NodeId, RingId};
use crate::packet::{Content, Fragment, Packet};
use crate::seq::{Ordinal, Seq};
use crate::service::{Channel, Service};

/// One item of the delivery stream, as the worker writes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Delivery {
    /// A packet of messages, or a piece of one.
    Packet(DeliveredPacket),
    /// A configuration change.
    Configuration(Configuration),
    /// The regular configuration in force is the primary component, until the next transitional
    /// one.
    Primary {
        /// Its ring.
        ring: RingId,
    },
}

/// A delivered packet: all its messages, at one place of the order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeliveredPacket {
    /// The regular configuration it was originated in.
    pub ring: RingId,
    /// Its place on that ring; none when it was delivered before it had one.
    pub seq: Option<Seq>,
    /// The kind of the configuration in force here.
    pub in_configuration: ConfigurationKind,
    /// The originator's life.
    pub incarnation: Incarnation,
    /// Originator, service and content.
    pub packet: Packet,
}

impl DeliveredPacket {
    /// The identifier of message `index` of the packet.
    #[must_use]
    pub fn message_id(&self, index: u16) -> MessageId {
        MessageId {
            sender: self.packet.originator,
            incarnation: self.incarnation,
            counter: self.packet.first_message + u64::from(index),
        }
    }

    /// The place of message `index` of the packet, if it has one.
    #[must_use]
    pub fn ordinal(&self, index: u16) -> Option<Ordinal> {
        self.seq.map(|seq| Ordinal::new(seq, index))
    }
}

/// A message as the application gets it, borrowed from the delivery stream: costs no allocation
/// and no reference count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessageRef<'a> {
    /// Who sent it, in which life, and its number there.
    pub id: MessageId,
    /// The regular configuration it was originated in.
    pub ring: RingId,
    /// Its place in the order of that ring; none of a reliable or fifo message that was delivered
    /// before it had one.
    pub ordinal: Option<Ordinal>,
    /// The kind of the configuration in force here.
    pub in_configuration: ConfigurationKind,
    /// Asked of the order by its sender.
    pub service: Service,
    /// Who it is for.
    pub channel: Channel,
    /// The content.
    pub payload: &'a [u8],
    /// What the content is a slice of.
    whole: &'a Bytes,
}

impl MessageRef<'_> {
    /// The message to keep: shares the content's memory.
    #[must_use]
    pub fn to_message(&self) -> Message {
        Message {
            id: self.id,
            ring: self.ring,
            ordinal: self.ordinal,
            in_configuration: self.in_configuration,
            service: self.service,
            channel: self.channel,
            payload: self.whole.slice_ref(self.payload),
        }
    }
}

/// A message as the application gets it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Who sent it, in which life, and its number there.
    pub id: MessageId,
    /// The regular configuration it was originated in.
    pub ring: RingId,
    /// Its place in the order of that ring; none of a reliable or fifo message that was delivered
    /// before it had one.
    pub ordinal: Option<Ordinal>,
    /// The kind of the configuration in force here.
    pub in_configuration: ConfigurationKind,
    /// Asked of the order by its sender.
    pub service: Service,
    /// Who it is for.
    pub channel: Channel,
    /// The content: a slice of a received buffer, or assembled from fragments.
    pub payload: Bytes,
}

impl Message {
    /// The message, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> MessageRef<'_> {
        MessageRef {
            id: self.id,
            ring: self.ring,
            ordinal: self.ordinal,
            in_configuration: self.in_configuration,
            service: self.service,
            channel: self.channel,
            payload: &self.payload,
            whole: &self.payload,
        }
    }
}

/// Puts fragmented messages together, on the application's side of the stream.
///
/// Bounded: at most one partial message a sender, each at most the largest message.
#[derive(Clone, Hash, Debug)]
pub struct Assembler {
    partial: BTreeMap<NodeId, BytesMut>,
    message_bytes_max: usize,
}

impl Assembler {
    /// An assembler for messages of at most `message_bytes_max`; a longer one is dropped (its
    /// sender's program has a larger bound than this one).
    #[must_use]
    pub const fn new(message_bytes_max: usize) -> Self {
        Self { partial: BTreeMap::new(), message_bytes_max }
    }

    /// Takes the next item of the stream and calls `each` with every message complete with it.
    pub fn handle(&mut self, delivery: &Delivery, mut each: impl FnMut(MessageRef<'_>)) {
        match delivery {
            // What is partial here was not originated (its last fragment got no place) or was
            // discarded; its sender sends it again whole.
            Delivery::Configuration(Configuration { kind, .. }) => {
                if *kind == ConfigurationKind::Regular {
                    self.partial.clear();
                }
            }
            Delivery::Primary { .. } => {}
            Delivery::Packet(delivered) => match delivered.packet.content {
                Content::Messages { .. } => {
                    let body = &delivered.packet.body;
                    let payloads = (0..).zip(delivered.packet.payloads());
                    // Asked once a packet, and not once a message.
                    if let Some(seq) = delivered.seq {
                        for (index, payload) in payloads {
                            let ordinal = Some(Ordinal::new(seq, index));
                            each(message(delivered, ordinal, index, payload, body));
                        }
                    } else {
                        for (index, payload) in payloads {
                            each(message(delivered, None, index, payload, body));
                        }
                    }
                }
                Content::Fragment(fragment) => {
                    if let Some(payload) = self.fragment(&delivered.packet, fragment) {
                        each(message(delivered, delivered.ordinal(0), 0, &payload, &payload));
                    }
                }
            },
        }
    }

    /// Adds a fragment; yields the whole payload with the last.
    fn fragment(&mut self, packet: &Packet, fragment: Fragment) -> Option<Bytes> {
        if fragment.begins() {
            self.partial.insert(packet.originator, BytesMut::new());
        }
        let partial = self.partial.get_mut(&packet.originator)?;
        let piece = packet.piece();
        if partial.len() + piece.len() > self.message_bytes_max {
            self.partial.remove(&packet.originator);
            return None;
        }
        partial.extend_from_slice(piece);
        if fragment.completes() {
            self.partial.remove(&packet.originator).map(BytesMut::freeze)
        } else {
            None
        }
    }
}

fn message<'a>(
    delivered: &DeliveredPacket,
    ordinal: Option<Ordinal>,
    index: u16,
    payload: &'a [u8],
    whole: &'a Bytes,
) -> MessageRef<'a> {
    MessageRef {
        id: delivered.message_id(index),
        ring: delivered.ring,
        ordinal,
        in_configuration: delivered.in_configuration,
        service: delivered.packet.class.service,
        channel: delivered.packet.class.channel,
        payload,
        whole,
    }
}
